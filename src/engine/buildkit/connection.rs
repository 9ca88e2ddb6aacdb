//! A connection to BuildKit: gRPC for what we ask, and the streams of sessions, in which it asks us.

use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};
use crate::wire::transport::{self, Dialer, Stream};

/// Bytes of a session on their way in one direction.
const SESSION_BYTES: usize = 1 << 20;
/// Bytes of a session in one message; BuildKit takes 4 MiB at least.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the connection.
const WAITING: usize = 8;

/// A connection to BuildKit, for one build.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Connection {
    channel: Channel,
    sessions: Sessions,
    /// The address that it was reached at, for messages.
    address: Arc<str>,
    patience: Duration,
}

/// The way in which a session's stream is opened.
#[derive(Clone, Debug)]
enum Sessions {
    /// A connection of its own to a Docker engine, upgraded.
    Upgraded(Box<Dialer>),
    /// Messages of one call among the connection's others.
    Streamed,
}

impl Connection {
    /// Connects to the BuildKit in a Docker engine.
    ///
    /// # Errors
    /// Unreachable or lost; failed where the engine has none.
    pub(in crate::engine) async fn to_engine(dialer: &Dialer) -> Result<Self> {
        let stream = transport::upgrade(dialer, "/grpc", &[]).await?;
        let address = dialer.endpoint().to_string();
        Ok(Self {
            channel: channel(Box::new(stream), &address, dialer.patience()).await?,
            sessions: Sessions::Upgraded(Box::new(dialer.clone())),
            address: address.into(),
            patience: dialer.patience(),
        })
    }

    /// Takes a stream on which BuildKit itself listens.
    ///
    /// # Errors
    /// When it does not speak HTTP/2.
    pub(in crate::engine) async fn on(
        stream: Box<dyn Stream>,
        address: &str,
        patience: Duration,
    ) -> Result<Self> {
        Ok(Self {
            channel: channel(stream, address, patience).await?,
            sessions: Sessions::Streamed,
            address: address.into(),
            patience,
        })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client of BuildKit's own service.
    pub(in crate::engine) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel()).max_decoding_message_size(super::LONGEST_MESSAGE)
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Opens the stream of a session, of which BuildKit is the client.
    ///
    /// # Errors
    /// When it refuses, or was lost.
    pub(super) async fn session(&self, headers: &[(&str, String)]) -> Result<Box<dyn Stream>> {
        match &self.sessions {
            Sessions::Upgraded(dialer) => {
                let stream = transport::upgrade(dialer, "/session", headers).await?;
                Ok(Box::new(stream))
            }
            Sessions::Streamed => self.streamed(headers).await,
        }
    }

    async fn streamed(&self, headers: &[(&str, String)]) -> Result<Box<dyn Stream>> {
        let failed = || Error::failed(format!("{} opens no session", self.address));
        let (outgoing, pieces) = mpsc::channel(WAITING);
        let mut request = tonic::Request::new(ReceiverStream::new(pieces));
        for (name, value) in headers {
            let key: Result<AsciiMetadataKey, _> = name.to_ascii_lowercase().parse();
            let value: Result<AsciiMetadataValue, _> = value.parse();
            let (Ok(key), Ok(value)) = (key, value) else {
                return Err(failed().caused_by(format!("`{name}` is no header")));
            };
            request.metadata_mut().append(key, value);
        }
        let mut control = self.control();
        let answer = tokio::time::timeout(self.patience, control.session(request));
        let mut incoming = match answer.await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(failed().caused_by(status.message().to_owned())),
            Err(_elapsed) => {
                let seconds = self.patience.as_secs_f64();
                return Err(failed()
                    .caused_by(format!("no answer within {seconds} s"))
                    .hint("the machine may be paused or overloaded"));
            }
        };
        let (ours, theirs) = tokio::io::duplex(SESSION_BYTES);
        let (mut reader, mut writer) = tokio::io::split(theirs);
        // each ends with its side of the stream; then the other finds its own side closed
        tokio::spawn(async move {
            let mut data = Vec::with_capacity(PIECE);
            while let Ok(1..) = reader.read_buf(&mut data).await {
                let next = Vec::with_capacity(PIECE);
                let data = std::mem::replace(&mut data, next);
                if outgoing.send(BytesMessage { data }).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if writer.write_all(&message.data).await.is_err() {
                    return;
                }
            }
            let _already_closed = writer.shutdown().await;
        });
        Ok(Box::new(ours))
    }
}

/// A gRPC client on one stream.
async fn channel(stream: Box<dyn Stream>, address: &str, patience: Duration) -> Result<Channel> {
    // buildkitd refuses an authority that is a path
    let endpoint = Endpoint::from_static("http://localhost")
        // a session's bytes are one of its streams
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        // a step may be silent for hours; this asks whether the engine is still there
        .http2_keep_alive_interval(patience / 2)
        .keep_alive_timeout(patience)
        .keep_alive_while_idle(true);
    on_one_stream(endpoint, stream)
        .await
        .map_err(|error| Error::failed(format!("no BuildKit at {address}")).caused_by(error))
}

/// Speaks gRPC on a stream that is there; it is not made anew.
pub(super) async fn on_one_stream(
    endpoint: Endpoint,
    stream: Box<dyn Stream>,
) -> Result<Channel, tonic::transport::Error> {
    let once = Arc::new(std::sync::Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let taken = once.lock().ok().and_then(|mut stream| stream.take());
        async move {
            taken
                .map(hyper_util::rt::TokioIo::new)
                .ok_or_else(|| std::io::Error::other("the stream has ended"))
        }
    });
    endpoint.connect_with_connector(connector).await
}
