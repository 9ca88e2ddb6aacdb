//! The session of a build: a gRPC server on a stream, of which the engine is the client.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use bollard_buildkit_proto::moby::upload::v1::upload_server::UploadServer;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tonic::{Request, Response, Status};

use crate::engine::buildkit::auth::Registries;
use crate::engine::buildkit::connection::Connection;
use crate::engine::buildkit::content::{self, Content};
use crate::engine::buildkit::files::Folders;
use crate::engine::buildkit::secrets::Store;
use crate::engine::buildkit::ssh::Agents;
use crate::engine::buildkit::streams::{Receiver, Uploader};
use crate::engine::buildkit::{LONGEST_MESSAGE, Provide, Sent};
use crate::error::{Error, Result};
use crate::progress::Sender;
use crate::wire::transport::Stream;

/// An open session; it ends when this is dropped.
pub(crate) struct Session {
    id: String,
    folders: Folders,
    ended: Arc<Notify>,
    /// Dropping it closes the connection.
    _open: oneshot::Sender<()>,
}

impl Session {
    pub(crate) async fn open(
        connection: &Connection,
        shared_key: &str,
        provide: Provide,
        events: Sender,
    ) -> Result<Self> {
        let id = token();
        let mut methods = vec![
            "/grpc.health.v1.Health/Check",
            "/moby.filesync.v1.FileSync/DiffCopy",
            "/moby.filesync.v1.Auth/Credentials",
            "/moby.filesync.v1.Auth/FetchToken",
            "/moby.filesync.v1.Auth/GetTokenAuthority",
            "/moby.filesync.v1.Auth/VerifyTokenAuthority",
            "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        ];
        // what is not offered makes the engine say so instead of asking in vain
        if !provide.agents.is_empty() {
            methods.push("/moby.sshforward.v1.SSH/CheckAgent");
            methods.push("/moby.sshforward.v1.SSH/ForwardAgent");
        }
        if !provide.stores.is_empty() {
            methods.extend(content::METHODS);
        }
        if provide.upload.is_some() {
            methods.push("/moby.upload.v1.Upload/Pull");
        }
        if provide.results.iter().any(Option::is_some) {
            methods.push("/moby.filesync.v1.FileSend/DiffCopy");
        }
        let mut headers = vec![
            ("X-Docker-Expose-Session-Uuid", id.clone()),
            ("X-Docker-Expose-Session-Name", "devnet".to_owned()),
            ("X-Docker-Expose-Session-Sharedkey", shared_key.to_owned()),
        ];
        headers.extend(
            methods
                .into_iter()
                .map(|method| ("X-Docker-Expose-Session-Grpc-Method", method.to_owned())),
        );
        let stream = connection.session(&headers).await?;
        let folders = Folders::new(provide.folders, provide.gone_is_empty, events);
        let router = tonic::transport::Server::builder()
            // h2 takes many small messages that wait to be read for an attack, and allows as many as
            // half of this window could hold; an engine asks for thousands of files at once
            .initial_connection_window_size(64 << 20)
            .initial_stream_window_size(1 << 20)
            // the engine pings only through the Health service; this notices a dead network
            .http2_keepalive_interval(Some(connection.patience() / 2))
            .http2_keepalive_timeout(Some(connection.patience()))
            .add_service(HealthServer::new(Alive))
            .add_service(FileSyncServer::new(folders.clone()))
            .add_service(AuthServer::new(Registries(provide.logins)))
            .add_service(SecretsServer::new(Store(provide.secrets)))
            .add_service(SshServer::new(Agents(provide.agents)))
            .add_service(Content::new(provide.stores))
            .add_service(UploadServer::new(Uploader(Mutex::new(provide.upload))))
            .add_service(
                FileSendServer::new(Receiver(Mutex::new(provide.results)))
                    .max_decoding_message_size(LONGEST_MESSAGE),
            );
        let ended = Arc::new(Notify::new());
        let (open, close) = oneshot::channel::<()>();
        let io = Io {
            stream,
            _tell: Told(ended.clone()),
        };
        // an end of the list of connections would end the server
        let incoming = tokio_stream::once(Ok::<_, io::Error>(io)).chain(stream::pending());
        tokio::spawn(router.serve_with_incoming_shutdown(incoming, async move {
            let _dropped = close.await;
        }));
        Ok(Self {
            id,
            folders,
            ended,
            _open: open,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Resolves when the engine has closed the session, or the connection is gone.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    pub(crate) fn sent(&self) -> Sent {
        self.folders.sent()
    }

    /// The reason why we could not serve something that the engine asked for.
    pub(crate) fn complaint(&self) -> Option<Error> {
        self.folders.complaint()
    }
}

/// A name that nobody else uses: 32 hexadecimal digits from the standard library's seeded hasher.
pub(crate) fn token() -> String {
    let number = || {
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    format!("{:016x}{:016x}", number(), number())
}

/// The engine asks every few seconds whether we are still there.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = Pin<
        Box<
            dyn futures_util::Stream<Item = std::result::Result<HealthCheckResponse, Status>>
                + Send,
        >,
    >;

    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> std::result::Result<Response<HealthCheckResponse>, Status> {
        const SERVING: i32 = 1;
        Ok(Response::new(HealthCheckResponse { status: SERVING }))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> std::result::Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> std::result::Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }
}

/// A session's stream as tonic takes it.
struct Io {
    stream: Box<dyn Stream>,
    /// Tells when nobody uses the stream any more.
    _tell: Told,
}

struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl tonic::transport::server::Connected for Io {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
