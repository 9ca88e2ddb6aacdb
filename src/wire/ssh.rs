//! Dialling an engine's socket through an ssh login on its node: one login, a channel for each
//! stream, no program on either side.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use russh::client;
use russh::keys::PublicKey;
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use tokio::sync::Mutex;

use crate::docker_env::endpoint::{Address, Endpoint};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::wire::node_program::{Ending, NodeProgram, Output, Terminal, TerminalSize};
use crate::wire::ssh_ciphers;
use crate::wire::ssh_config::HostConfig;
use crate::wire::ssh_hosts::Known;
use crate::wire::ssh_keys::Keys;
use crate::wire::transport::Stream;

/// The user of a minikube node that logs in.
const NODE_USER: &str = "docker";
/// The messages of a channel that may wait to be read. Once there are more, all channels of the
/// connection wait: who may be slow says what it has room for.
const WAITING: usize = 1024;
/// The port of sshd where none is named.
const USUAL_PORT: u16 = 22;

/// A login that many streams share; it is made at the first dial, and once more if it was lost.
#[derive(Clone)]
pub(crate) struct Login {
    how: Arc<How>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
}

pub(super) type Session = client::Handle<Host>;

/// The facts of this computer and of the endpoint that decide on a login.
struct How {
    home: Option<PathBuf>,
    /// The folder of the pinned host keys.
    state_folder: Option<PathBuf>,
    login_name: Option<String>,
    keys: Keys,
    pin_as: Option<String>,
    /// The person's own configuration of a host that the person names.
    config: Option<Result<HostConfig>>,
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
        let home = settings.home().ok();
        let config = match (&endpoint.address, &endpoint.pin_as, &home) {
            (Address::Ssh { host, .. }, None, Some(home)) => Some(HostConfig::read(home, host)),
            _ => None,
        };
        let said = config.as_ref().and_then(|config| config.as_ref().ok());
        let agent = settings.environment.path("SSH_AUTH_SOCK");
        Self {
            how: Arc::new(How {
                keys: match &endpoint.ssh_key {
                    Some(file) => Keys::only(file),
                    None => Keys::of(said, home.as_deref(), agent),
                },
                home,
                state_folder: settings.state_folder().ok(),
                login_name: settings.login_name(),
                pin_as: endpoint.pin_as.clone(),
                config,
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
        let said = self.said()?.and_then(|config| config.user.as_deref());
        place
            .user
            .or(node)
            .or(said)
            .or(self.login_name.as_deref())
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::usage(format!("nobody is named to log in to {}", place.host))
                    .hint("name the user in the address: `ssh://USER@HOST`")
            })
    }

    /// The person's configuration of the host, where it is one that the person names.
    fn said(&self) -> Result<Option<&HostConfig>> {
        match &self.config {
            None => Ok(None),
            Some(Ok(config)) => Ok(Some(config)),
            Some(Err(error)) => Err(error.duplicate()),
        }
    }

    /// The same place, as the person's configuration has it.
    fn configured<'a>(&'a self, place: Place<'a>) -> Result<Place<'a>> {
        Ok(match self.said()? {
            None => place,
            Some(config) => Place {
                host: &config.host,
                port: match config.port {
                    // no other was named
                    Some(port) if place.port == USUAL_PORT => port,
                    _ => place.port,
                },
                ..place
            },
        })
    }

    async fn log_in(&self, place: Place<'_>, user: &str) -> Result<Session, NoLogin> {
        let place = self.configured(place).map_err(NoLogin::Untrusted)?;
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
                cipher: ssh_ciphers::preferred(),
                ..russh::Preferred::default()
            },
            channel_buffer_size: WAITING,
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
        match self.keys.show(&mut session, user, &mut tried).await {
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
        let usual = home.join(".ssh").join("known_hosts");
        let Some(config) = self.said()? else {
            return Known::in_known_hosts(usual, place.host, place.port);
        };
        // an alias is known without a port
        let (host, port) = match &config.known_as {
            Some(alias) => (alias.as_str(), USUAL_PORT),
            None => (place.host, place.port),
        };
        let mut first = None;
        for file in &config.known_hosts {
            let known = Known::in_known_hosts(file.clone(), host, port)?;
            if known.knows_it() {
                return Ok(known);
            }
            first = first.or(Some(known));
        }
        first.map_or_else(|| Known::in_known_hosts(usual, host, port), Ok)
    }
}

/// Checks the host's key while russh connects.
pub(super) struct Host(Known);

/// The reason why the connection was not made.
#[derive(Debug)]
pub(super) enum Failure {
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
