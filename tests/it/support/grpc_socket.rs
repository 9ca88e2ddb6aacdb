//! A socket of this computer on which a test answers gRPC.

use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

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
