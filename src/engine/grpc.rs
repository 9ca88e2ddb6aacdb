//! gRPC with a node: one HTTP/2 connection for all services of a socket, every answer bounded in
//! size and in time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use hyper_util::rt::TokioIo;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::error::{Error, Kind, Result};
use crate::wire::node::{NodeAccess, refusal_of_root};
use crate::wire::relay::Complaint;

/// The longest answer that is read, in bytes: the descriptions of a thousand containers.
const LONGEST_ANSWER: usize = 32 << 20;

/// A connection to the gRPC services behind one socket of a node. It is made at the first call, and
/// once more where it was lost. Copies share it.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    channel: Channel,
    /// The socket, for messages.
    socket: Arc<str>,
    /// The error that kept the last connection from being made.
    obstacle: Arc<Mutex<Option<Error>>>,
    complaint: Complaint,
    /// True once a service has answered: what fails from then on was reached.
    reached: Arc<AtomicBool>,
    patience: Duration,
    /// The longest answer that is read, in bytes.
    longest: usize,
    /// The namespace of containerd that is meant.
    namespace: Option<&'static str>,
    /// The lease of containerd that keeps what calls make or look at.
    lease: Option<MetadataValue<Ascii>>,
}

impl Grpc {
    /// Prepares the connection; nothing is dialled yet.
    pub(crate) fn new(access: NodeAccess, socket: &str, patience: Duration) -> Self {
        let obstacle: Arc<Mutex<Option<Error>>> = Arc::default();
        let complaint = Complaint::default();
        let socket: Arc<str> = socket.into();
        let connector = {
            let (obstacle, complaint) = (Arc::clone(&obstacle), complaint.clone());
            let socket = Arc::clone(&socket);
            tower::service_fn(move |_uri: http::Uri| {
                let (obstacle, complaint) = (Arc::clone(&obstacle), complaint.clone());
                let (access, socket) = (access.clone(), Arc::clone(&socket));
                async move {
                    match access.root_socket(&socket, &complaint).await {
                        Ok(stream) => Ok(TokioIo::new(stream)),
                        Err(error) => {
                            let told = error.duplicate();
                            *obstacle.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
                            Err(error)
                        }
                    }
                }
            })
        };
        // the server refuses an authority that is a path
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .connect_with_connector_lazy(connector);
        Self {
            channel,
            socket,
            obstacle,
            complaint,
            reached: Arc::default(),
            patience,
            longest: LONGEST_ANSWER,
            namespace: None,
            lease: None,
        }
    }

    /// The same connection with calls that mean this namespace of containerd.
    pub(crate) fn in_namespace(&self, namespace: &'static str) -> Self {
        Self {
            namespace: Some(namespace),
            ..self.clone()
        }
    }

    /// The same connection with calls under a lease of containerd: what they make or look at is kept
    /// as long as that. `None` for what can't be the name of one.
    pub(crate) fn under_lease(&self, lease: &str) -> Option<Self> {
        Some(Self {
            lease: Some(lease.parse().ok()?),
            ..self.clone()
        })
    }

    /// The same connection with answers of so many bytes at most.
    pub(crate) fn with_answers_below(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Asks once. `path` is `/package.Service/Method`.
    ///
    /// # Errors
    /// Under the code that the service gave; unreachable where nobody answers.
    pub(crate) async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Refusal>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.ask_within(path, question, self.patience).await
    }

    /// The same of what may take this long.
    ///
    /// # Errors
    /// As `ask`.
    pub(crate) async fn ask_within<Q, A>(
        &self,
        path: &'static str,
        question: Q,
        limit: Duration,
    ) -> Result<A, Refusal>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let call = async {
            let codec = ProstCodec::<Q, A>::default();
            let at = PathAndQuery::from_static(path);
            let mut client = self.ready().await?;
            client.unary(self.request(question), at, codec).await
        };
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => {
                self.reached.store(true, Ordering::SeqCst);
                Ok(answer.into_inner())
            }
            Ok(Err(status)) => Err(self.refusal(path, &status)),
            Err(_elapsed) => Err(self.silent(path, limit)),
        }
    }

    /// Asks for what comes in several answers, the first of them in time.
    ///
    /// # Errors
    /// As `ask`, also amid the stream.
    pub(crate) async fn follow<Q, A>(
        &self,
        path: &'static str,
        question: Q,
    ) -> Result<BoxStream<'static, Result<A, Refusal>>, Refusal>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let call = async {
            let codec = ProstCodec::<Q, A>::default();
            let at = PathAndQuery::from_static(path);
            let mut client = self.ready().await?;
            client
                .server_streaming(self.request(question), at, codec)
                .await
        };
        match tokio::time::timeout(self.patience, call).await {
            Ok(Ok(answers)) => Ok(self.answers(path, answers)),
            Ok(Err(status)) => Err(self.refusal(path, &status)),
            Err(_elapsed) => Err(self.silent(path, self.patience)),
        }
    }

    /// Asks for what happens from now on. That may be nothing for long, and a service may keep even the head of
    /// its answer until then: this has no limit in time.
    pub(crate) fn listen<Q, A>(
        &self,
        path: &'static str,
        question: Q,
    ) -> BoxStream<'static, Result<A, Refusal>>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let grpc = self.clone();
        let call = async move {
            let codec = ProstCodec::<Q, A>::default();
            let at = PathAndQuery::from_static(path);
            let asked = async {
                let mut client = grpc.ready().await?;
                client
                    .server_streaming(grpc.request(question), at, codec)
                    .await
            };
            match asked.await {
                Ok(answers) => Ok(grpc.answers(path, answers)),
                Err(status) => Err(grpc.refusal(path, &status)),
            }
        };
        stream::once(call).try_flatten().boxed()
    }

    /// Asks by a stream of pieces, each of which may be answered; the answers end with the call.
    /// The pieces set the time that it takes.
    ///
    /// # Errors
    /// As `ask`, also amid the answers.
    pub(crate) async fn exchange<Q, A>(
        &self,
        path: &'static str,
        pieces: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<A, Refusal>>, Refusal>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        let at = PathAndQuery::from_static(path);
        let call = async {
            let mut client = self.ready().await?;
            client.streaming(self.request(pieces), at, codec).await
        };
        match call.await {
            Ok(answers) => Ok(self.answers(path, answers)),
            Err(status) => Err(self.refusal(path, &status)),
        }
    }

    /// The answers of a stream, whose refusals are told as a single answer's.
    fn answers<A>(
        &self,
        path: &'static str,
        answers: Response<Streaming<A>>,
    ) -> BoxStream<'static, Result<A, Refusal>>
    where
        A: Send + 'static,
    {
        let grpc = self.clone();
        let answers = answers.into_inner();
        answers
            .map(move |answer| answer.map_err(|status| grpc.refusal(path, &status)))
            .boxed()
    }

    /// A client that may ask, the connection being there.
    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let client = tonic::client::Grpc::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(self.longest);
        let ready = client.ready().await;
        ready.map_err(|error| Status::new(Code::Unavailable, chain(&error)))?;
        Ok(client)
    }

    fn request<Q>(&self, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        if let Some(namespace) = self.namespace {
            let value = MetadataValue::from_static(namespace);
            request.metadata_mut().insert("containerd-namespace", value);
        }
        if let Some(lease) = &self.lease {
            let metadata = request.metadata_mut();
            metadata.insert("containerd-lease", lease.clone());
        }
        request
    }

    fn refusal(&self, path: &str, status: &Status) -> Refusal {
        let obstacle = self.obstacle.lock();
        let obstacle = obstacle.unwrap_or_else(PoisonError::into_inner).take();
        // a service's own word has no source: what has one came from the connection
        let lost =
            status.code() == Code::Unavailable || std::error::Error::source(status).is_some();
        let error = match obstacle {
            Some(obstacle) => obstacle,
            None if lost => self.unanswered(),
            None => {
                return Refusal {
                    code: status.code(),
                    error: Error::failed(format!("{} was refused", method(path)))
                        .caused_by(status.message().to_owned()),
                };
            }
        };
        let error = self.of_its_time(error);
        Refusal {
            code: status.code(),
            error,
        }
    }

    /// An error of the connection as the kind that it has by now: what was reached is lost.
    fn of_its_time(&self, error: Error) -> Error {
        if self.reached.load(Ordering::SeqCst) {
            error.with_kind(Kind::Lost)
        } else {
            error
        }
    }

    /// The error of a connection that came to nothing, by what its relay said.
    fn unanswered(&self) -> Error {
        let socket = &self.socket;
        let said = self.complaint.text();
        let error = Error::unreachable(format!("no answer from `{socket}` on the node"));
        if said.is_empty() {
            return error;
        }
        let hint = if let Some(hint) = refusal_of_root(&said) {
            hint
        } else if said.contains("neither socat nor buildctl") {
            "one of them must be on the node: minikube's own nodes have both"
        } else if said.contains("No such file or directory") {
            "another container runtime may run there since: `minikube start` writes the profile anew"
        } else if said.contains("Connection refused") {
            "the runtime is not running there: `minikube start` starts it"
        } else {
            return error.caused_by(said);
        };
        error.caused_by(said).hint(hint)
    }

    fn silent(&self, path: &str, limit: Duration) -> Refusal {
        let error = Error::unreachable(format!("`{}` on the node does not answer", self.socket))
            .caused_by(format!(
                "{}: nothing within {} s",
                method(path),
                limit.as_secs_f64()
            ))
            .hint("the machine may be paused or overloaded");
        Refusal {
            code: Code::DeadlineExceeded,
            error: self.of_its_time(error),
        }
    }
}

/// A call that was not answered as wished: the service's own code beside what devnet says of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) error: Error,
}

impl Refusal {
    /// True where the service does not have what was asked for.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// True where the service has it already.
    pub(crate) fn is_already_there(&self) -> bool {
        self.code == Code::AlreadyExists
    }

    /// True where nobody serves such a call there.
    pub(crate) fn is_unknown_call(&self) -> bool {
        self.code == Code::Unimplemented
    }

    /// True where the service gave its reason in words alone.
    pub(crate) fn is_without_code(&self) -> bool {
        self.code == Code::Unknown && self.error.kind() == Kind::Failed
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// The answer, or nothing where the service does not have what was asked for.
///
/// # Errors
/// All other refusals.
pub(crate) fn found<A>(answer: Result<A, Refusal>) -> Result<Option<A>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if refusal.is_not_found() => Ok(None),
        Err(refusal) => Err(refusal.error),
    }
}

fn method(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// An error with its reasons, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// protobuf's `Any`: a message with its type's name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// protobuf's `Timestamp`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Time {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanoseconds: i32,
}

/// protobuf's `Empty`.
pub(crate) type Empty = ();

/// Extensions of a message, by name.
pub(crate) type Extensions = BTreeMap<String, Any>;
