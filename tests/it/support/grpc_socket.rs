//! A socket of this computer on which a test answers gRPC.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::Service as _;

/// The connections that are made to a socket.
pub(crate) type Incoming = BoxStream<'static, std::io::Result<UnixStream>>;

/// Listens at a socket. What is spawned on the runtime, which has so many threads, ends with it.
pub(crate) fn listen(socket: &Path, threads: usize) -> (Runtime, Incoming) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let listener = {
        let _inside = runtime.enter();
        tokio::net::UnixListener::bind(socket).unwrap()
    };
    let incoming = futures_util::stream::unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    (runtime, incoming.boxed())
}

/// The way to whoever answers at another socket, connected to when it is first asked.
pub(crate) fn dial(runtime: &Runtime, socket: PathBuf) -> Channel {
    let _inside = runtime.enter();
    let dial = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial)
}

/// Passes a question on to whoever answers there.
pub(crate) async fn pass_on(
    mut channel: Channel,
    request: Request<Body>,
) -> Result<Response<Body>, tonic::Status> {
    let ready = std::future::poll_fn(|context| channel.poll_ready(context)).await;
    let answer = match ready {
        Ok(()) => channel.call(request).await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| tonic::Status::unavailable(error.to_string()))
}
