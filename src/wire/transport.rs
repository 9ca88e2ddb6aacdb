//! One way to an engine for every kind of address: a pooled HTTP/1.1 client for requests, and
//! single dialled streams for connections that are upgraded (BuildKit).
//!
//! bollard's own TLS transport keeps no connection and leaves Nagle's algorithm on, which costs
//! 44 ms a request; over this one a request on loopback stays under a millisecond.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::docker_env::endpoint::{Address, Endpoint};
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;
use crate::wire::node::NodeAccess;
use crate::wire::relay::Complaint;

/// The longest time for dialling, TLS handshake included; less than the first question may take, so
/// that the two are told apart.
const DIAL_TIMEOUT: Duration = Duration::from_secs(7);

/// A connection to an engine, whatever carries it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// True where someone takes a TCP connection at this address, within this time.
pub(crate) async fn connects(address: &Address, within: Duration) -> bool {
    let (Address::Tcp { host, port } | Address::Ssh { host, port, .. }) = address else {
        return false;
    };
    let dial = tokio::net::TcpStream::connect((host.as_str(), *port));
    matches!(tokio::time::timeout(within, dial).await, Ok(Ok(_)))
}

/// Dials an endpoint as often as asked; TLS settings are read once.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Arc<Endpoint>,
    tls: Option<Arc<rustls::ClientConfig>>,
    ssh: crate::wire::ssh::Login,
    /// The socket of a node that root opens where the login may not.
    through: Option<(NodeAccess, Arc<str>)>,
    patience: Duration,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Prepares to dial; nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates can't be used.
    pub(crate) fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        let tls = match (&endpoint.address, &endpoint.cert_path) {
            (Address::Tcp { .. }, Some(folder)) => Some(crate::wire::tls::client_config(
                folder,
                endpoint.unverified,
            )?),
            _ => None,
        };
        Ok(Self {
            endpoint: Arc::new(endpoint.clone()),
            tls,
            ssh: crate::wire::ssh::Login::new(endpoint, settings),
            through: None,
            patience: settings.patience()?,
        })
    }

    /// Dials a socket of a node from within it; `endpoint` is the node, for messages.
    ///
    /// # Errors
    /// When the settings can't be used.
    pub(crate) fn into_node(
        endpoint: &Endpoint,
        access: NodeAccess,
        socket: &str,
        settings: &Settings,
    ) -> Result<Self> {
        Ok(Self {
            through: Some((access, socket.into())),
            ..Self::new(endpoint, settings)?
        })
    }

    /// The longest silence amid an answer of what is dialled.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens one stream.
    ///
    /// # Errors
    /// Unreachable, with the reason.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>> {
        match tokio::time::timeout(DIAL_TIMEOUT, self.dial_without_limit()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self
                .no_answer()
                .caused_by(format!("no connection within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }

    async fn dial_without_limit(&self) -> Result<Box<dyn Stream>> {
        if let Some((access, socket)) = &self.through {
            return access.socket(socket, &Complaint::default()).await;
        }
        match &self.endpoint.address {
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path)
                    .await
                    .map_err(|error| self.no_answer().caused_by(error))?;
                Ok(Box::new(stream))
            }
            #[cfg(windows)]
            Address::Npipe(pipe) => {
                let stream = open_pipe(pipe)
                    .await
                    .map_err(|error| self.no_answer().caused_by(error))?;
                Ok(Box::new(stream))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(self
                .no_answer()
                .caused_by("this computer has no unix sockets")),
            #[cfg(not(windows))]
            Address::Npipe(_) => Err(self.no_answer().caused_by("only Windows has named pipes")),
            Address::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                let place = crate::wire::ssh::Place {
                    user: user.as_deref(),
                    host,
                    port: *port,
                    socket,
                };
                self.ssh.dial(place).await
            }
            // no engine's API is asked through programs
            Address::Container { .. } => Err(self.no_answer()),
            Address::Tcp { host, port } => {
                let stream = tokio::net::TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(|error| self.no_answer().caused_by(error))?;
                stream
                    .set_nodelay(true)
                    .map_err(|error| self.no_answer().caused_by(error))?;
                match &self.tls {
                    None => Ok(Box::new(stream)),
                    Some(config) => self.handshake(config, host, stream).await,
                }
            }
        }
    }

    async fn handshake(
        &self,
        config: &Arc<rustls::ClientConfig>,
        host: &str,
        stream: tokio::net::TcpStream,
    ) -> Result<Box<dyn Stream>> {
        let name = rustls_pki_types::ServerName::try_from(host.to_owned())
            .map_err(|error| self.no_answer().caused_by(error))?;
        let stream = tokio_rustls::TlsConnector::from(config.clone())
            .connect(name, stream)
            .await
            .map_err(|error| self.bad_certificate(error))?;
        Ok(Box::new(stream))
    }

    fn no_answer(&self) -> Error {
        let error = Error::unreachable(format!("no answer from {}", self.endpoint));
        match &self.endpoint.address {
            Address::Unix(_) | Address::Npipe(_) => {
                error.hint("is the engine running, and may this user open its socket?")
            }
            Address::Container { .. } | Address::Ssh { .. } | Address::Tcp { .. } => error,
        }
    }

    fn bad_certificate(&self, error: io::Error) -> Error {
        use rustls::CertificateError as Why;
        let why = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let said = Error::unreachable(format!("no secure connection to {}", self.endpoint));
        let hint = match why {
            Some(rustls::Error::InvalidCertificate(Why::Expired | Why::ExpiredContext { .. })) => {
                "the engine's certificate has expired: `minikube start` makes a new one"
            }
            Some(rustls::Error::InvalidCertificate(
                Why::NotValidYet | Why::NotValidYetContext { .. },
            )) => {
                "the engine's certificate is not valid yet: compare the clocks of this computer and the node"
            }
            Some(rustls::Error::InvalidCertificate(Why::UnknownIssuer | Why::BadSignature)) => {
                "another CA signed the engine's certificate: is this the node of that profile?"
            }
            Some(rustls::Error::InvalidCertificate(
                Why::NotValidForName | Why::NotValidForNameContext { .. },
            )) => {
                "the engine's certificate is for another address: after a change of address, `minikube start` writes a new one"
            }
            _ => {
                "does a Docker engine with TLS listen there, and do the certificates belong to it?"
            }
        };
        said.caused_by(error).hint(hint)
    }
}

#[cfg(windows)]
async fn open_pipe(pipe: &str) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    /// All instances of the pipe are busy; the server makes another at once.
    const ERROR_PIPE_BUSY: i32 = 231;
    let path = pipe.replace('/', "\\");
    loop {
        match tokio::net::windows::named_pipe::ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

/// The dialled stream as hyper's pool wants it.
pub(crate) struct Pooled(TokioIo<Box<dyn Stream>>);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The connector of hyper's pool: every address leads to the one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Dialer);

impl tower::Service<http::Uri> for Connector {
    type Response = Pooled;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Pooled>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move { Ok(Pooled(TokioIo::new(dialer.dial().await?))) })
    }
}

/// A pooled client whose every request goes to the dialer's endpoint.
pub(crate) fn client<B>(dialer: &Dialer) -> hyper_util::client::legacy::Client<Connector, B>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        // an engine closes idle connections only after minutes; a run of devnet is shorter
        .pool_idle_timeout(Duration::from_secs(30))
        .build(Connector(dialer.clone()))
}

/// The reason why a stream was not upgraded.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A dialled stream that has been upgraded from HTTP/1.1 to another protocol.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// The engine answers, but knows no such protocol.
#[derive(Debug)]
pub(crate) struct NotUpgraded(http::StatusCode);

impl fmt::Display for NotUpgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answered {}", self.0)
    }
}

impl std::error::Error for NotUpgraded {}

/// Opens one stream and upgrades it, as `POST /session` with `Upgrade: h2c` does.
///
/// # Errors
/// Unreachable when dialling fails; failed when the engine answers anything but `101`.
pub(crate) async fn upgrade(
    dialer: &Dialer,
    path: &str,
    headers: &[(&str, String)],
) -> Result<Upgraded> {
    let failed = |why: Cause| {
        Error::failed(format!("{} would not open `{path}`", dialer.endpoint())).caused_by(why)
    };
    let patience = dialer.patience();
    tokio::time::timeout(
        patience,
        upgrade_without_limit(dialer, path, headers, &failed),
    )
    .await
    .unwrap_or_else(|_elapsed| {
        let why = format!("no answer within {} s", patience.as_secs_f64());
        Err(failed(why.into()).hint("the machine may be paused or overloaded"))
    })
}

async fn upgrade_without_limit(
    dialer: &Dialer,
    path: &str,
    headers: &[(&str, String)],
    failed: &impl Fn(Cause) -> Error,
) -> Result<Upgraded> {
    // an engine that has answered before
    let dialled = dialer.dial().await;
    let stream = dialled.map_err(|error| match error.kind() {
        Kind::Unreachable => error.with_kind(Kind::Lost),
        _ => error,
    })?;
    upgraded(stream, path, headers).await.map_err(failed)
}

/// Upgrades a stream that an engine listens on.
///
/// # Errors
/// When the engine answers anything but `101`.
pub(crate) async fn upgraded(
    stream: Box<dyn Stream>,
    path: &str,
    headers: &[(&str, String)],
) -> Result<Upgraded, Cause> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // its failure reaches the other half of the upgraded stream
        let _ended = connection.with_upgrades().await;
    });
    let mut request = http::Request::post(path)
        .header(http::header::HOST, "engine")
        .header(http::header::CONNECTION, "Upgrade")
        .header(http::header::UPGRADE, "h2c");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Box::new(NotUpgraded(response.status())));
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await?))
}
