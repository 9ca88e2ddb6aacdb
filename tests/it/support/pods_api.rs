//! A stand-in for the kubelet's Pods API: `v1alpha1.Pods` of kubernetes'
//! `kubelet/pkg/apis/pods/v1alpha1/api.proto`, with pods as `api/core/v1/generated.proto` has them.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use prost::Message as _;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::grpc_socket;

/// The socket that the kubelet's documentation names, below a node's `/var`.
pub(crate) const SOCKET: &str = "lib/kubelet/pods-api/pods-api.sock";
/// The one of the enhancement proposal.
pub(crate) const PROPOSED_SOCKET: &str = "lib/kubelet/pods/kubelet.sock";

/// The way in which it answers.
#[derive(Clone)]
pub(crate) enum Manner {
    Tells(Vec<Pod>),
    /// Takes the question and never answers.
    Hangs,
    Refuses,
    /// Answers well, with bytes that are no pod.
    Nonsense,
    /// Answers with that many bytes.
    Huge(usize),
}

/// A server at a socket, gone with it.
pub(crate) struct PodsApi {
    socket: PathBuf,
    served: Served,
    _runtime: tokio::runtime::Runtime,
}

impl PodsApi {
    /// Serves at a socket below a node's `/var`.
    pub(crate) fn serve(socket: &Path, manner: Manner) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let _old = std::fs::remove_file(socket);
        let (runtime, incoming) = grpc_socket::listen(socket, 1);
        let served = Served {
            manner: Arc::new(Mutex::new(manner)),
            asked: Arc::default(),
        };
        let server = tonic::transport::Server::builder().add_service(served.clone());
        runtime.spawn(server.serve_with_incoming(incoming));
        Self {
            socket: socket.to_owned(),
            served,
            _runtime: runtime,
        }
    }

    pub(crate) fn answers(&self, manner: Manner) {
        *self.served.manner.lock().unwrap() = manner;
    }

    /// The number of questions so far.
    pub(crate) fn asked(&self) -> usize {
        self.served.asked.load(Ordering::SeqCst)
    }
}

impl Drop for PodsApi {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.socket);
    }
}

/// Listens there, and answers whatever comes with these bytes.
pub(crate) fn answer_with(socket: &Path, bytes: &'static [u8]) {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let _old = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut question = [0; 24];
            let _gone = stream.read_exact(&mut question);
            let _gone = stream.write_all(bytes);
        }
    });
}

#[derive(Clone)]
struct Served {
    manner: Arc<Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
}

impl Served {
    async fn list(self) -> Result<Response<ListPods>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let manner = self.manner.lock().unwrap().clone();
        let pods = match manner {
            Manner::Tells(pods) => pods.iter().map(Pod::encode_to_vec).collect(),
            Manner::Hangs => std::future::pending().await,
            Manner::Refuses => {
                return Err(Status::new(Code::FailedPrecondition, "not synchronized"));
            }
            Manner::Nonsense => vec![vec![0xff; 100]],
            Manner::Huge(bytes) => vec![vec![0; bytes]],
        };
        Ok(Response::new(ListPods { pods }))
    }
}

impl tonic::server::NamedService for Served {
    const NAME: &'static str = "v1alpha1.Pods";
}

type CallFuture =
    Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<tonic::body::Body>> for Served {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> CallFuture {
        let this = self.clone();
        assert_eq!(request.uri().path(), "/v1alpha1.Pods/ListPods");
        Box::pin(async move {
            let answer = move |_request: Request<()>| this.clone().list();
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(tower::service_fn(answer), request).await)
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPods {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pods: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Pod {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    spec: Option<Spec>,
    #[prost(message, optional, tag = "3")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(message, optional, tag = "9")]
    deletion: Option<Time>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Spec {
    #[prost(message, repeated, tag = "2")]
    containers: Vec<Container>,
    #[prost(string, tag = "3")]
    restart_policy: String,
    #[prost(message, repeated, tag = "20")]
    init_containers: Vec<Container>,
    #[prost(message, repeated, tag = "34")]
    ephemeral_containers: Vec<Ephemeral>,
}

/// A container of a pod's specification.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    image: String,
    #[prost(message, repeated, tag = "7")]
    env: Vec<Variable>,
    #[prost(string, tag = "14")]
    pull_policy: String,
    #[prost(string, tag = "24")]
    restart_policy: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Variable {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ephemeral {
    #[prost(message, optional, tag = "1")]
    common: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodStatus {
    #[prost(string, tag = "1")]
    phase: String,
    #[prost(message, repeated, tag = "8")]
    containers: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerStatus {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    state: Option<ContainerState>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerState {
    #[prost(message, optional, tag = "1")]
    waiting: Option<Waiting>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Waiting {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    message: String,
}

/// A secret that no command may show.
pub(crate) const SECRET: &str = "hunter2-of-the-environment";

impl Pod {
    /// A pod in the namespace `default`, with a secret in its annotations.
    pub(crate) fn new(name: &str, uid: &str, phase: &str, restart_policy: &str) -> Self {
        let secret = ("token".to_owned(), SECRET.to_owned());
        Self {
            metadata: Some(Metadata {
                name: name.to_owned(),
                namespace: "default".to_owned(),
                uid: uid.to_owned(),
                annotations: [secret].into(),
                ..Metadata::default()
            }),
            spec: Some(Spec {
                restart_policy: restart_policy.to_owned(),
                ..Spec::default()
            }),
            status: Some(PodStatus {
                phase: phase.to_owned(),
                ..PodStatus::default()
            }),
        }
    }

    pub(crate) fn app(mut self, container: Container) -> Self {
        self.spec.as_mut().unwrap().containers.push(container);
        self
    }

    pub(crate) fn init(mut self, container: Container) -> Self {
        self.spec.as_mut().unwrap().init_containers.push(container);
        self
    }

    pub(crate) fn ephemeral(mut self, container: Container) -> Self {
        let common = Some(container);
        let spec = self.spec.as_mut().unwrap();
        spec.ephemeral_containers.push(Ephemeral { common });
        self
    }

    /// Says that a container waits.
    pub(crate) fn waiting(mut self, container: &str, reason: &str, message: &str) -> Self {
        let waiting = Waiting {
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        self.status
            .as_mut()
            .unwrap()
            .containers
            .push(ContainerStatus {
                name: container.to_owned(),
                state: Some(ContainerState {
                    waiting: Some(waiting),
                }),
            });
        self
    }

    /// Says that somebody has deleted it.
    pub(crate) fn deleted(mut self) -> Self {
        self.metadata.as_mut().unwrap().deletion = Some(Time { seconds: 1 });
        self
    }
}

impl Container {
    /// One with a secret in its environment.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: "docker.io/library/busybox:1.35".to_owned(),
            env: vec![Variable {
                name: "PASSWORD".to_owned(),
                value: SECRET.to_owned(),
            }],
            ..Self::default()
        }
    }

    /// One that runs as long as its pod, though it stands among the init containers.
    pub(crate) fn sidecar(name: &str) -> Self {
        Self {
            restart_policy: "Always".to_owned(),
            ..Self::new(name)
        }
    }

    /// The same with another image, and a policy for its pull.
    pub(crate) fn pulled(self, image: &str, pull_policy: &str) -> Self {
        Self {
            image: image.to_owned(),
            pull_policy: pull_policy.to_owned(),
            ..self
        }
    }
}
