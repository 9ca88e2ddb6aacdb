//! A node's buildkitd that loses what it has built: it stands before what builds there, passes everything
//! on, and answers a build that was done as one whose layers went meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tower::Service;

use super::containerd_node::ContainerdNode;
use super::grpc_socket;

/// The real socket's second name on the node, and the socket before it.
const REAL: &str = "/run/buildkit/real.sock";
const BEFORE: &str = "/var/lib/buildkitd-before.sock";
const SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// The words of a BuildKit that unpacks an image while another one is removed.
const LOST: &str = "failed to solve: failed to prepare extraction snapshot \"extract-1 sha256:ab\": \
                    parent snapshot sha256:cd does not exist: not found";

/// Stands before a node's builder until it is dropped.
pub(crate) struct ForgetfulBuilder<'a> {
    node: &'a ContainerdNode,
    memory: Arc<Memory>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Memory {
    /// Builds that are still to be lost.
    left: AtomicUsize,
    /// The builds that were asked for.
    builds: AtomicUsize,
}

impl<'a> ForgetfulBuilder<'a> {
    pub(crate) fn before(node: &'a ContainerdNode) -> Self {
        node.run(&["ln", "-f", SOCKET, REAL]).ok();
        let (runtime, incoming) = grpc_socket::listen(&node.path(BEFORE), 1);
        let memory = Arc::new(Memory::default());
        let control = Control {
            channel: grpc_socket::dial(&runtime, node.path(REAL)),
            memory: memory.clone(),
        };
        let server = tonic::transport::Server::builder().add_service(control);
        runtime.spawn(server.serve_with_incoming(incoming));
        node.run(&["chmod", "666", BEFORE]).ok();
        node.run(&["mount", "--bind", BEFORE, SOCKET]).ok();
        Self {
            node,
            memory,
            _runtime: runtime,
        }
    }

    /// Loses the next builds, so many.
    pub(crate) fn loses(&self, builds: usize) {
        self.memory.builds.store(0, Ordering::SeqCst);
        self.memory.left.store(builds, Ordering::SeqCst);
    }

    /// The number of builds that were asked for since.
    pub(crate) fn builds(&self) -> usize {
        self.memory.builds.load(Ordering::SeqCst)
    }
}

impl Drop for ForgetfulBuilder<'_> {
    fn drop(&mut self) {
        let gone = self.node.run(&["umount", SOCKET]);
        if !std::thread::panicking() {
            gone.ok();
        }
    }
}

impl Memory {
    /// True of a build that is to be lost.
    fn loses(&self, path: &str) -> bool {
        if !path.ends_with("/Solve") {
            return false;
        }
        self.builds.fetch_add(1, Ordering::SeqCst);
        let less = |left: usize| left.checked_sub(1);
        let seq = Ordering::SeqCst;
        self.left.fetch_update(seq, seq, less).is_ok()
    }
}

/// The only service of a builder's, passed on.
#[derive(Clone)]
struct Control {
    channel: Channel,
    memory: Arc<Memory>,
}

impl NamedService for Control {
    const NAME: &'static str = "moby.buildkit.v1.Control";
}

impl Service<Request<Body>> for Control {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let is_lost = this.memory.loses(request.uri().path());
            let answer = match grpc_socket::pass_on(this.channel, request).await {
                Ok(_done) if is_lost => Err(tonic::Status::not_found(LOST)),
                answer => answer,
            };
            Ok(answer.unwrap_or_else(tonic::Status::into_http))
        })
    }
}
