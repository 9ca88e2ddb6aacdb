//! A node's containerd whose CRI hears late of the names that images get: it stands before the real one, passes
//! everything on, and holds back what CRI says of images.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tower::Service;

use super::containerd_node::ContainerdNode;
use super::grpc_socket;

/// The real socket's second name on the node, and the socket before it.
const REAL: &str = "/run/containerd/real.sock";
const BEFORE: &str = "/var/lib/containerd-before.sock";
const SOCKET: &str = "/run/containerd/containerd.sock";

/// Stands before a node's containerd until it is dropped.
pub(crate) struct LateCri<'a> {
    node: &'a ContainerdNode,
    late: Arc<Late>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Late {
    /// Questions for an image that CRI answers as if it had not heard, once a name was given.
    left: AtomicUsize,
    /// The number of those that it answered so.
    answered: AtomicUsize,
    /// A name was given.
    named: AtomicBool,
}

impl<'a> LateCri<'a> {
    pub(crate) fn before(node: &'a ContainerdNode) -> Self {
        node.run(&["ln", "-f", SOCKET, REAL]).ok();
        let (runtime, incoming) = grpc_socket::listen(&node.path(BEFORE), 1);
        let late = Arc::new(Late::default());
        let passing = Passing {
            channel: grpc_socket::dial(&runtime, node.path(REAL)),
            late: late.clone(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(Containers(passing.clone()))
            .add_service(Contents(passing.clone()))
            .add_service(Diffs(passing.clone()))
            .add_service(Images(passing.clone()))
            .add_service(Leases(passing.clone()))
            .add_service(Snapshots(passing.clone()))
            .add_service(Tasks(passing.clone()))
            .add_service(Versions(passing.clone()))
            .add_service(CriImages(passing.clone()))
            .add_service(CriRuntime(passing));
        runtime.spawn(server.serve_with_incoming(incoming));
        node.run(&["mount", "--bind", BEFORE, SOCKET]).ok();
        Self {
            node,
            late,
            _runtime: runtime,
        }
    }

    /// After the next name that is given CRI answers so many questions for images as if it had not heard.
    pub(crate) fn hears_after(&self, questions: usize) {
        self.late.named.store(false, Ordering::SeqCst);
        self.late.answered.store(0, Ordering::SeqCst);
        self.late.left.store(questions, Ordering::SeqCst);
    }

    /// The number of questions that were answered so.
    pub(crate) fn answered(&self) -> usize {
        self.late.answered.load(Ordering::SeqCst)
    }
}

impl Drop for LateCri<'_> {
    fn drop(&mut self) {
        let gone = self.node.run(&["umount", SOCKET]);
        if !std::thread::panicking() {
            gone.ok();
        }
    }
}

impl Late {
    /// True of a question that is to be answered as if CRI had not heard.
    fn holds_back(&self, path: &str) -> bool {
        if path == "/containerd.services.images.v1.Images/Create" {
            self.named.store(true, Ordering::SeqCst);
        }
        let is_it = path == "/runtime.v1.ImageService/ImageStatus";
        let less = |left: usize| left.checked_sub(1);
        let holds_back = is_it
            && self.named.load(Ordering::SeqCst)
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok();
        self.answered
            .fetch_add(usize::from(holds_back), Ordering::SeqCst);
        holds_back
    }
}

/// The way to the real containerd.
#[derive(Clone)]
struct Passing {
    channel: Channel,
    late: Arc<Late>,
}

type CallFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Passing {
    fn pass(&self, request: Request<Body>) -> CallFuture {
        let this = self.clone();
        Box::pin(async move {
            if this.late.holds_back(request.uri().path()) {
                // an answer without a field: there is no such image
                let nothing =
                    |_question: tonic::Request<()>| async { Ok(tonic::Response::new(())) };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<(), ()>::default());
                return Ok(grpc.unary(tower::service_fn(nothing), request).await);
            }
            let answer = grpc_socket::pass_on(this.channel, request).await;
            Ok(answer.unwrap_or_else(tonic::Status::into_http))
        })
    }
}

/// A service of containerd's that is passed on.
macro_rules! passed_on {
    ($($kind:ident: $name:literal;)*) => {$(
        #[derive(Clone)]
        struct $kind(Passing);

        impl NamedService for $kind {
            const NAME: &'static str = $name;
        }

        impl Service<Request<Body>> for $kind {
            type Response = Response<Body>;
            type Error = Infallible;
            type Future = CallFuture;

            fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<Body>) -> CallFuture {
                self.0.pass(request)
            }
        }
    )*};
}

passed_on! {
    Containers: "containerd.services.containers.v1.Containers";
    Contents: "containerd.services.content.v1.Content";
    Diffs: "containerd.services.diff.v1.Diff";
    Images: "containerd.services.images.v1.Images";
    Leases: "containerd.services.leases.v1.Leases";
    Snapshots: "containerd.services.snapshots.v1.Snapshots";
    Tasks: "containerd.services.tasks.v1.Tasks";
    Versions: "containerd.services.version.v1.Version";
    CriImages: "runtime.v1.ImageService";
    CriRuntime: "runtime.v1.RuntimeService";
}
