//! The way into a node: as its user logs in, through whoever starts programs there, or none where
//! devnet runs on the node itself. Programs run there, as root where that is wanted, and sockets are
//! opened that only root may open.

use std::fmt;
use std::sync::Arc;

use crate::command_line;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::error::{Error, Result};
use crate::host::process;
use crate::settings::Settings;
use crate::wire::node_program::{NodeProgram, ProgramStarter, TerminalSize};
use crate::wire::relay::{self, Complaint, Relayed};
use crate::wire::ssh::{Login, NoLogin, Place};
use crate::wire::transport::Stream;

/// The way into a node. Copies share one login.
#[derive(Clone)]
pub(crate) enum NodeAccess {
    /// devnet runs there.
    Here,
    Ssh {
        login: Login,
        user: Option<String>,
        host: String,
        port: u16,
    },
    /// Another starts its programs.
    Container(Arc<dyn ProgramStarter>),
}

impl fmt::Debug for NodeAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "Here",
            Self::Ssh { .. } => "Ssh",
            Self::Container(_) => "Container",
        })
    }
}

impl NodeAccess {
    /// Prepares the way to an endpoint's node; nothing is connected yet. `None` where an address
    /// leads to an engine only.
    pub(crate) fn of(endpoint: &Endpoint, settings: &Settings) -> Option<Self> {
        match &endpoint.address {
            Address::Unix(_) => Some(Self::Here),
            Address::Ssh {
                user, host, port, ..
            } => Some(Self::Ssh {
                login: Login::new(endpoint, settings),
                user: user.clone(),
                host: host.clone(),
                port: *port,
            }),
            Address::Container { .. } | Address::Npipe(_) | Address::Tcp { .. } => None,
        }
    }

    /// Logs in, where that is the way and was not done yet.
    ///
    /// # Errors
    /// No login.
    pub(crate) async fn log_in(&self) -> Result<(), NoLogin> {
        match self {
            Self::Here | Self::Container(_) => Ok(()),
            Self::Ssh {
                login,
                user,
                host,
                port,
            } => login.log_in(place(user.as_deref(), host, *port)).await,
        }
    }

    /// True where a program's streams and terminal are closed with ours, so that it notices.
    pub(crate) fn closes_streams(&self) -> bool {
        !matches!(self, Self::Container(_))
    }

    /// Starts a program as the node's root, with a terminal where one is described.
    ///
    /// # Errors
    /// Unreachable: no login. That root refuses is known only by what the program says.
    pub(crate) async fn start_as_root(
        &self,
        words: &[String],
        terminal: Option<&TerminalSize>,
    ) -> Result<NodeProgram> {
        match self {
            Self::Here if terminal.is_some() => Err(Error::failed(
                "a program on this computer itself gets no terminal from devnet",
            )
            .hint("without `-t`, and with a command, it runs")),
            Self::Here => {
                let sudo: &[&str] = if is_root() {
                    &[]
                } else {
                    &["sudo", "-n", "--"]
                };
                let all = sudo.iter().map(|word| (*word).to_owned());
                let all: Vec<String> = all.chain(words.iter().cloned()).collect();
                process::start(&all)
            }
            Self::Ssh {
                login,
                user,
                host,
                port,
            } => {
                let place = place(user.as_deref(), host, *port);
                let line = match login.user(place)?.as_str() {
                    "root" => command_line::of(words),
                    _ => command_line::with("sudo -n --", words),
                };
                login.start(place, &line, terminal).await
            }
            Self::Container(starter) => starter.start(words, terminal).await,
        }
    }

    /// Opens a socket of the node: straight where the login may, else as root does.
    ///
    /// # Errors
    /// As `root_socket`.
    pub(crate) async fn socket(
        &self,
        socket: &str,
        complaint: &Complaint,
    ) -> Result<Box<dyn Stream>> {
        if let Self::Ssh {
            login,
            user,
            host,
            port,
        } = self
        {
            let place = Place {
                user: user.as_deref(),
                host,
                port: *port,
                socket,
            };
            // sshd does not say whether it is closed to this user, or not there at all: root knows
            if let Ok(stream) = login.dial(place).await {
                return Ok(stream);
            }
        }
        self.root_socket(socket, complaint).await
    }

    /// Opens a socket of the node that only root may open. What a relay complains of stands in
    /// `complaint`, also after this.
    ///
    /// # Errors
    /// Unreachable: no login, or nobody listens at the socket.
    pub(crate) async fn root_socket(
        &self,
        socket: &str,
        complaint: &Complaint,
    ) -> Result<Box<dyn Stream>> {
        #[cfg(unix)]
        if matches!(self, Self::Here) {
            match tokio::net::UnixStream::connect(socket).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                Err(error) => {
                    return Err(
                        Error::unreachable(format!("no answer from unix://{socket}"))
                            .caused_by(error),
                    );
                }
            }
        }
        let program = self.start_as_root(&relay::command(socket), None).await?;
        Ok(Box::new(Relayed::new(program, complaint.clone())))
    }
}

/// A login without a socket behind it.
fn place<'a>(user: Option<&'a str>, host: &'a str, port: u16) -> Place<'a> {
    Place {
        user,
        host,
        port,
        socket: "",
    }
}

/// The way out where a node refused to run something as root, by what it said; `None` where it said
/// something else.
pub(crate) fn refusal_of_root(said: &str) -> Option<&'static str> {
    let is = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if is(&["password is required", "a terminal is required"]) {
        Some("the node's user must be allowed to become root without a password, as minikube's is")
    } else if is(&["sudo: not found", "sudo: command not found"]) {
        Some("the runtime's socket is root's, and the node has no sudo: log in as root")
    } else {
        None
    }
}

/// True where devnet itself runs as root.
fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    return false;
}
