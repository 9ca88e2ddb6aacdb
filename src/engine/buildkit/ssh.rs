//! The ssh agent that a build's steps may use: the person's own, or one made of key files for
//! this build alone.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use futures_util::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{Error, Result as Outcome};
use crate::text_file;
use crate::wire::transport::Stream as Connection;

/// An agent.
#[derive(Clone, Debug)]
pub(crate) enum Agent {
    /// Listens at this socket (on Windows a named pipe).
    Socket(PathBuf),
    /// Ours: a new connection is made by sending its other half here.
    Own(mpsc::Sender<io::Result<tokio::io::DuplexStream>>),
}

impl Agent {
    /// An agent that holds these keys and nothing else; it lives as long as this value.
    ///
    /// # Errors
    /// When a file is no private key, or is encrypted.
    pub(crate) async fn of_keys(files: &[PathBuf]) -> Outcome<Self> {
        let (connections, listener) = mpsc::channel(4);
        tokio::spawn(russh::keys::agent::server::serve(
            ReceiverStream::new(listener),
            (),
        ));
        let agent = Self::Own(connections);
        let unusable = |file: &PathBuf| {
            Error::failed(format!("`{}` can't be used as an ssh key", file.display()))
        };
        for file in files {
            let text = text_file::read(file).map_err(|error| unusable(file).caused_by(error))?;
            let key = russh::keys::decode_secret_key(&text, None).map_err(|error| {
                unusable(file)
                    .caused_by(error)
                    .hint("for a key with a passphrase run an agent, and use `--ssh default`")
            })?;
            let stream = agent
                .connect()
                .await
                .map_err(|e| unusable(file).caused_by(e))?;
            russh::keys::agent::client::AgentClient::connect(stream)
                .add_identity(&key, &[])
                .await
                .map_err(|error| unusable(file).caused_by(error))?;
        }
        Ok(agent)
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            #[cfg(unix)]
            Self::Socket(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(windows)]
            Self::Socket(path) => Ok(Box::new(
                tokio::net::windows::named_pipe::ClientOptions::new().open(path)?,
            )),
            Self::Own(connections) => {
                let (ours, its) = tokio::io::duplex(64 << 10);
                connections
                    .send(Ok(its))
                    .await
                    .map_err(|_ended| io::Error::other("the agent has ended"))?;
                Ok(Box::new(ours))
            }
        }
    }
}

/// Agents by the ID under which a step asks.
pub(crate) struct Agents(pub(crate) BTreeMap<String, Agent>);

impl Agents {
    fn get(&self, id: &str) -> Result<&Agent, Status> {
        let id = if id.is_empty() { "default" } else { id };
        self.0
            .get(id)
            .ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

#[tonic::async_trait]
impl Ssh for Agents {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.get(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request
            .metadata()
            .get("buildkit.ssh.id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let stream = self.get(id)?.connect().await.map_err(|error| {
            Status::unavailable(format!("the ssh agent does not answer: {error}"))
        })?;
        let (mut reading, mut writing) = tokio::io::split(stream);
        let mut from = request.into_inner();
        let (to, replies) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok(Some(message)) = from.message().await {
                if writing.write_all(&message.data).await.is_err() {
                    break;
                }
            }
            let _the_agent_may_be_gone = writing.shutdown().await;
        });
        tokio::spawn(async move {
            let mut buffer = vec![0; 32 << 10];
            while let Ok(read @ 1..) = reading.read(&mut buffer).await {
                let data = buffer[..read].to_vec();
                if to.send(Ok(BytesMessage { data })).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}
