//! Dialling an engine's socket through an ssh login on its node: one login, a channel for each
//! stream, no program on either side.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use russh::client;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use tokio::sync::Mutex;

use crate::docker_env::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::text_file;
use crate::wire::node_program::{Ending, NodeProgram, Output, Terminal, TerminalSize};
use crate::wire::ssh_hosts::Known;
use crate::wire::transport::Stream;

/// The keys that ssh itself tries when none is named.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// The user of a minikube node that logs in.
const NODE_USER: &str = "docker";

/// A login that many streams share; it is made at the first dial, and once more if it was lost.
#[derive(Clone)]
pub(crate) struct Login {
    how: Arc<How>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
}

type Session = client::Handle<Host>;

/// The facts of this computer and of the endpoint that decide on a login.
struct How {
    home: Option<PathBuf>,
    /// The folder of the pinned host keys.
    state_folder: Option<PathBuf>,
    login_name: Option<String>,
    /// The socket of the ssh agent.
    agent: Option<PathBuf>,
    key: Option<PathBuf>,
    pin_as: Option<String>,
}

/// An engine's socket behind a login.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) socket: &'a str,
}

impl Login {
    pub(crate) fn new(endpoint: &Endpoint, settings: &Settings) -> Self {
        Self {
            how: Arc::new(How {
                home: settings.home().ok(),
                state_folder: settings.state_folder().ok(),
                login_name: settings.login_name(),
                agent: settings.environment.path("SSH_AUTH_SOCK"),
                key: endpoint.ssh_key.clone(),
                pin_as: endpoint.pin_as.clone(),
            }),
            session: Arc::default(),
        }
    }

    /// Opens one stream to the engine's socket on the node.
    ///
    /// # Errors
    /// Unreachable: no such host, a host key that is not the known one, no key that it accepts, or
    /// a socket that this login can't open.
    pub(crate) async fn dial(&self, place: Place<'_>) -> Result<Box<dyn Stream>> {
        let user = self.how.user(place)?;
        let session = self.session(place, &user).await?;
        let channel = session
            .channel_open_direct_streamlocal(place.socket)
            .await
            .map_err(|error| no_socket(place, &user, error))?;
        Ok(Box::new(channel.into_stream()))
    }

    /// Starts a command line of the login's shell on the node; with a terminal of this kind and
    /// size where one is given.
    ///
    /// # Errors
    /// As for `dial`; unreachable also where the login may run nothing.
    pub(crate) async fn start(
        &self,
        place: Place<'_>,
        command: &str,
        terminal: Option<&TerminalSize>,
    ) -> Result<NodeProgram> {
        let user = self.how.user(place)?;
        let session = self.session(place, &user).await?;
        let failed = |error| {
            Error::unreachable(format!(
                "nothing can be run behind the ssh login {user}@{}",
                place.host
            ))
            .caused_by(error)
        };
        let channel = session.channel_open_session().await.map_err(failed)?;
        if let Some(size) = terminal {
            let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
            channel
                .request_pty(false, &size.kind, columns, rows, 0, 0, &[])
                .await
                .map_err(failed)?;
        }
        channel.exec(false, command).await.map_err(failed)?;
        Ok(program(channel))
    }

    /// Makes the login's connection, unless it is there.
    ///
    /// # Errors
    /// As for `dial`, but for the socket.
    pub(crate) async fn log_in(&self, place: Place<'_>) -> Result<(), NoLogin> {
        let user = self.how.user(place).map_err(NoLogin::Untrusted)?;
        self.session(place, &user).await.map(drop)
    }

    /// The user of this login on its node.
    ///
    /// # Errors
    /// Usage, where nobody is named.
    pub(crate) fn user(&self, place: Place<'_>) -> Result<String> {
        self.how.user(place)
    }

    /// The login's connection, made where there is none.
    async fn session(&self, place: Place<'_>, user: &str) -> Result<Arc<Session>, NoLogin> {
        let mut shared = self.session.lock().await;
        match &*shared {
            Some(session) if !session.is_closed() => Ok(session.clone()),
            _ => {
                let session = Arc::new(self.how.log_in(place, user).await?);
                *shared = Some(session.clone());
                Ok(session)
            }
        }
    }
}

/// The error of a login that was not made.
#[derive(Debug)]
pub(crate) enum NoLogin {
    /// Nobody answers, or no key is accepted.
    Closed(Error),
    /// It can't be said that the host is the one that is meant.
    Untrusted(Error),
}

impl From<NoLogin> for Error {
    fn from(error: NoLogin) -> Self {
        match error {
            NoLogin::Closed(error) | NoLogin::Untrusted(error) => error,
        }
    }
}

/// The streams of a command that runs in a channel.
fn program(channel: Channel<client::Msg>) -> NodeProgram {
    let (reader, writer) = channel.split();
    let input = Box::pin(writer.make_writer());
    let ending = Ending::default();
    let open = Arc::new(OpenChannel(Some(writer)));
    let state = (reader, ending.clone(), Arc::clone(&open));
    let output = futures_util::stream::unfold(state, async |(mut reader, ending, open)| {
        loop {
            let piece = match reader.wait().await? {
                ChannelMsg::Data { data } => Output::Stdout(data),
                ChannelMsg::ExtendedData { data, ext: 1 } => Output::Stderr(data),
                ChannelMsg::ExitStatus { exit_status } => {
                    ending.set(i32::try_from(exit_status).unwrap_or(255));
                    continue;
                }
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    ending.set(128 + number(&signal_name));
                    continue;
                }
                _ => continue,
            };
            return Some((Ok(piece), (reader, ending, open)));
        }
    });
    NodeProgram {
        output: Box::pin(output),
        input,
        ending,
        terminal: Some(open),
    }
}

/// The number of a signal that ended a program; 0 for one that is none of the usual.
fn number(signal: &russh::Sig) -> i32 {
    use russh::Sig;
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}

/// A channel that is closed when nobody holds it any more: the node's sshd ends its program's
/// input, and the program's own output goes nowhere.
struct OpenChannel(Option<ChannelWriteHalf<client::Msg>>);

impl Terminal for OpenChannel {
    fn resize(&self, columns: u16, rows: u16) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let Some(channel) = &self.0 else {
                return Ok(());
            };
            channel
                .window_change(u32::from(columns), u32::from(rows), 0, 0)
                .await
                .map_err(|error| Error::lost("the ssh connection was lost").caused_by(error))
        })
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // a connection that is gone has closed it already
            runtime.spawn(async move { channel.close().await });
        }
    }
}

impl How {
    fn user(&self, place: Place<'_>) -> Result<String> {
        let node = self.pin_as.as_ref().map(|_| NODE_USER);
        place
            .user
            .or(node)
            .or(self.login_name.as_deref())
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::usage(format!("nobody is named to log in to {}", place.host))
                    .hint("name the user in the address: `ssh://USER@HOST`")
            })
    }

    async fn log_in(&self, place: Place<'_>, user: &str) -> Result<Session, NoLogin> {
        let known = self.known(place).map_err(NoLogin::Untrusted)?;
        let session = self.connect(place, user, known).await?;
        self.authenticate(place, user, session)
            .await
            .map_err(NoLogin::Closed)
    }

    /// Connects to a host that shows a key which is known of it.
    async fn connect(
        &self,
        place: Place<'_>,
        user: &str,
        known: Known,
    ) -> Result<Session, NoLogin> {
        let lost = |why| no_login(place, user).caused_by(why);
        let stream = tokio::net::TcpStream::connect((place.host, place.port))
            .await
            .map_err(|error| {
                let error = lost(russh::Error::IO(error));
                NoLogin::Closed(error.hint("is the machine up, and does sshd listen there?"))
            })?;
        stream
            .set_nodelay(true)
            .map_err(|error| NoLogin::Closed(lost(russh::Error::IO(error))))?;
        let config = client::Config {
            preferred: russh::Preferred {
                key: known.preferred(),
                ..russh::Preferred::default()
            },
            ..client::Config::default()
        };
        client::connect_stream(Arc::new(config), stream, Host(known))
            .await
            .map_err(|failure| match failure {
                Failure::Refused(error) => NoLogin::Untrusted(error),
                Failure::Ssh(error) => {
                    NoLogin::Closed(lost(error).hint("does an ssh server listen there?"))
                }
            })
    }

    /// Shows the host the user's keys until it accepts one.
    async fn authenticate(
        &self,
        place: Place<'_>,
        user: &str,
        mut session: Session,
    ) -> Result<Session> {
        let mut tried = Vec::new();
        let accepted = match &self.key {
            Some(file) => self.try_file(&mut session, user, file, &mut tried).await,
            None => self.try_all(&mut session, user, &mut tried).await,
        };
        match accepted {
            Ok(true) => Ok(session),
            Ok(false) => Err(refused(place, user, &tried)),
            // too many keys were tried
            Err(error) if session.is_closed() => Err(refused(place, user, &tried).caused_by(error)),
            Err(error) => Err(no_login(place, user).caused_by(error)),
        }
    }

    /// The keys that are known of the host, before it is asked.
    fn known(&self, place: Place<'_>) -> Result<Known> {
        let nowhere = || {
            Error::failed("host keys can't be checked: no home folder is known").hint("set `HOME`")
        };
        if let Some(name) = &self.pin_as {
            let folder = self.state_folder.as_ref().ok_or_else(nowhere)?;
            return Known::pinned(folder.join("known_nodes"), name, place.host, place.port);
        }
        let home = self.home.as_ref().ok_or_else(nowhere)?;
        Known::in_known_hosts(
            home.join(".ssh").join("known_hosts"),
            place.host,
            place.port,
        )
    }

    /// The agent's keys, then the usual files: ssh's own order.
    async fn try_all(
        &self,
        session: &mut Session,
        user: &str,
        tried: &mut Vec<String>,
    ) -> Result<bool, russh::Error> {
        #[cfg(unix)]
        if let Some(agent) = &self.agent
            && self.try_agent(session, user, agent, tried).await?
        {
            return Ok(true);
        }
        for name in USUAL_KEYS {
            let Some(home) = &self.home else { break };
            let file = home.join(".ssh").join(name);
            if file.exists() && self.try_file(session, user, &file, tried).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[cfg(unix)]
    async fn try_agent(
        &self,
        session: &mut Session,
        user: &str,
        agent: &std::path::Path,
        tried: &mut Vec<String>,
    ) -> Result<bool, russh::Error> {
        use russh::keys::agent::AgentIdentity;
        use russh::keys::agent::client::AgentClient;
        let identities = match AgentClient::connect_uds(agent).await {
            Ok(mut client) => client.request_identities().await.map(|all| (client, all)),
            Err(error) => Err(error),
        };
        // an agent that is gone is none; the files are still there
        let Ok((mut client, identities)) = identities else {
            tried.push("the ssh agent (it does not answer)".into());
            return Ok(false);
        };
        for identity in identities {
            let AgentIdentity::PublicKey { key, comment } = identity else {
                continue;
            };
            tried.push(format!("the agent's `{comment}`"));
            let hash = hash(session, &key.algorithm()).await?;
            match session
                .authenticate_publickey_with(user, key, hash, &mut client)
                .await
            {
                Ok(result) if result.success() => return Ok(true),
                Ok(_) => {}
                Err(_) if !session.is_closed() => {}
                Err(_) => return Err(russh::Error::Disconnect),
            }
        }
        Ok(false)
    }

    async fn try_file(
        &self,
        session: &mut Session,
        user: &str,
        file: &std::path::Path,
        tried: &mut Vec<String>,
    ) -> Result<bool, russh::Error> {
        let key = text_file::read(file)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                russh::keys::decode_secret_key(&text, None).map_err(|error| match error {
                    russh::keys::Error::KeyIsEncrypted => {
                        "it has a passphrase: give it to an agent with `ssh-add`".to_owned()
                    }
                    other => other.to_string(),
                })
            });
        let key = match key {
            Ok(key) => key,
            Err(why) => {
                tried.push(format!("`{}` ({why})", file.display()));
                return Ok(false);
            }
        };
        tried.push(format!("`{}`", file.display()));
        let hash = hash(session, &key.algorithm()).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        Ok(session.authenticate_publickey(user, key).await?.success())
    }
}

/// The hash with which an RSA key signs: SHA-2, except where the server knows only SHA-1.
async fn hash(session: &Session, key: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
    if !key.clone().is_rsa() {
        return Ok(None);
    }
    Ok(session
        .best_supported_rsa_hash()
        .await?
        .unwrap_or(Some(HashAlg::Sha256)))
}

/// Checks the host's key while russh connects.
struct Host(Known);

/// The reason why the connection was not made.
#[derive(Debug)]
enum Failure {
    Refused(Error),
    Ssh(russh::Error),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Host {
    type Error = Failure;

    async fn check_server_key(
        &mut self,
        shown: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Failure> {
        let key: &PublicKey = match shown {
            russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } => key,
            // never asked for, so never right
            russh::keys::PublicKeyOrCertificate::Certificate(_) => return Ok(false),
        };
        self.0.check(key).map_err(Failure::Refused)?;
        Ok(true)
    }
}

fn no_login(place: Place<'_>, user: &str) -> Error {
    Error::unreachable(format!(
        "no ssh connection to {user}@{} port {}",
        place.host, place.port
    ))
}

fn refused(place: Place<'_>, user: &str, tried: &[String]) -> Error {
    let error = Error::unreachable(format!(
        "{} port {} accepts no key for the user `{user}`",
        place.host, place.port
    ));
    if tried.is_empty() {
        return error
            .caused_by("there is none: no agent, no `~/.ssh/id_*`")
            .hint(
                "make one with `ssh-keygen`, and add its `.pub` to `~/.ssh/authorized_keys` there",
            );
    }
    error.hint(format!(
        "tried: {}; the key must stand in `~/.ssh/authorized_keys` there",
        tried.join(", ")
    ))
}

fn no_socket(place: Place<'_>, user: &str, error: russh::Error) -> Error {
    use russh::ChannelOpenFailure as Why;
    let (host, socket) = (place.host, place.socket);
    let said = Error::unreachable(format!(
        "no engine behind the ssh login {user}@{host} at `{socket}`"
    ));
    match error {
        // sshd says no more than "failed" when the socket is missing, closed to this user, or when
        // it forwards none
        russh::Error::ChannelOpenFailure(Why::ConnectFailed | Why::AdministrativelyProhibited) => {
            said.caused_by("the login works, the socket does not open")
                .hint(format!(
                    "is the engine running there, and may `{user}` open the socket? sshd must have `AllowStreamLocalForwarding yes`, its default"
                ))
        }
        other => said.caused_by(other),
    }
}
