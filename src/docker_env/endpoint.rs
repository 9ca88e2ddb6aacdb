//! The address at which an engine listens, and the way a client proves who it is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::runtime_kind::RuntimeKind;

/// The port of a Docker engine that listens with TLS.
const TLS_PORT: u16 = 2376;
/// The port of a Docker engine that listens in the clear.
const PLAIN_PORT: u16 = 2375;

/// The socket at which an engine listens unless it was told otherwise.
pub(crate) const USUAL_SOCKET: &str = "/var/run/docker.sock";
/// The same under Windows.
pub(crate) const USUAL_PIPE: &str = "//./pipe/docker_engine";

/// The way to an engine's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A container that is a node: its engine runs programs in it as root.
    Container {
        engine: Box<Endpoint>,
        name: String,
        /// The runtime's socket in the container.
        socket: String,
    },
    /// A named pipe of Windows, as `//./pipe/docker_engine`.
    Npipe(String),
    /// A login on the node; the API is asked through it on `socket`.
    Ssh {
        user: Option<String>,
        host: String,
        port: u16,
        /// The engine's socket on the node.
        socket: String,
    },
    /// An IP address (IPv6 without brackets) or a name, and a port.
    Tcp { host: String, port: u16 },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Reads a `DOCKER_HOST` value: `unix://`, `npipe://`, `tcp://`, `http(s)://` or `ssh://`. As
    /// docker has it, one without a scheme is `tcp://`, and what is left out is the usual: this
    /// computer, port 2375 (also with TLS), the usual socket.
    ///
    /// # Errors
    /// A usage error for another scheme, a missing host or a port that is no port.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let url = without_password(url);
            Error::usage(format!("`{url}` is not an engine's address: {why}"))
                .hint("addresses look like `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2376` or `ssh://docker@host:22`")
        };
        let (scheme, rest) = match url.trim().split_once("://") {
            Some(parts) => parts,
            None if url.trim().is_empty() => return Err(wrong("it is empty")),
            None if url.trim().starts_with('/') => {
                return Err(wrong("a socket's address begins with `unix://`"));
            }
            None => ("tcp", url.trim()),
        };
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::Unix(PathBuf::from(USUAL_SOCKET))),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "npipe" if rest.is_empty() => Ok(Self::Npipe(USUAL_PIPE.into())),
            "npipe" => Ok(Self::Npipe(rest.into())),
            "tcp" | "http" | "https" => {
                let authority = rest.split('/').next().unwrap_or_default();
                let (host, port) = split_port(authority)
                    .ok_or_else(|| wrong("the port is no number from 1 to 65535"))?;
                if host.contains(|c: char| !c.is_ascii_alphanumeric() && !".-_:%".contains(c))
                    || host.is_empty() && scheme != "tcp"
                {
                    return Err(wrong("no host"));
                }
                let host = if host.is_empty() {
                    "localhost".to_owned()
                } else {
                    host
                };
                let default = if scheme == "https" {
                    TLS_PORT
                } else {
                    PLAIN_PORT
                };
                Ok(Self::Tcp {
                    host,
                    port: port.unwrap_or(default),
                })
            }
            "ssh" => {
                let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
                let (user, authority) = authority
                    .rsplit_once('@')
                    .map_or((None, authority), |(user, host)| {
                        (Some(user.to_owned()), host)
                    });
                if user.as_deref().is_some_and(|user| user.contains(':')) {
                    return Err(wrong("a password does not belong into it"));
                }
                let (host, port) = split_port(authority)
                    .ok_or_else(|| wrong("the port is no number from 1 to 65535"))?;
                if host.is_empty() || host.starts_with('-') {
                    return Err(wrong("no host"));
                }
                let socket = if path.is_empty() {
                    USUAL_SOCKET.to_owned()
                } else {
                    format!("/{path}")
                };
                Ok(Self::Ssh {
                    user: user.filter(|user| !user.is_empty()),
                    host,
                    port: port.unwrap_or(22),
                    socket,
                })
            }
            _ => Err(wrong("its scheme is unknown")),
        }
    }
}

/// The names of the sockets of runtimes that are asked by CRI, wherever they stand.
const CONTAINERD_SOCKET: &str = "containerd.sock";
const CRIO_SOCKET: &str = "crio.sock";

impl Address {
    /// The runtime that this address leads to: a socket is known by its name, all else is a Docker
    /// engine's.
    pub(crate) fn runtime(&self) -> RuntimeKind {
        let socket = match self {
            Self::Unix(path) => path.as_path(),
            Self::Container { socket, .. } | Self::Ssh { socket, .. } => Path::new(socket),
            Self::Npipe(_) | Self::Tcp { .. } => return RuntimeKind::Docker,
        };
        match socket.file_name() {
            Some(name) if name == CONTAINERD_SOCKET => RuntimeKind::Containerd,
            Some(name) if name == CRIO_SOCKET => RuntimeKind::CriO,
            _ => RuntimeKind::Docker,
        }
    }
}

/// An address without the password that someone may have put into it.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let after = rest.strip_prefix(authority).unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((login, host)) if login.contains(':') => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}{after}")
        }
        // a Git server takes a token in place of a name
        Some((_token, host)) if matches!(scheme, "http" | "https") => {
            format!("{scheme}://***@{host}{after}")
        }
        _ => url.into(),
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; `None` when the port is no port.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            None if after.is_empty() => Some((host.into(), None)),
            None => None,
            Some(text) => Some((host.into(), Some(port(text)?))),
        };
    }
    match authority.split_once(':') {
        None => Some((authority.into(), None)),
        // more than one colon without brackets: an IPv6 address as some shells have it
        Some((_, rest)) if rest.contains(':') => Some((authority.into(), None)),
        Some((host, text)) => Some((host.into(), Some(port(text)?))),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { engine, name, .. } => write!(f, "container `{name}` at {engine}"),
            Self::Npipe(pipe) => write!(f, "npipe://{pipe}"),
            Self::Ssh {
                user, host, port, ..
            } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write_host(f, host)?;
                if *port == 22 {
                    Ok(())
                } else {
                    write!(f, ":{port}")
                }
            }
            Self::Tcp { host, port } => {
                f.write_str("tcp://")?;
                write_host(f, host)?;
                write!(f, ":{port}")
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]")
    } else {
        f.write_str(host)
    }
}

/// An address with what proves both sides to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// The runtime that answers there.
    pub(crate) runtime: RuntimeKind,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS over TCP; `None` is plain TCP.
    pub(crate) cert_path: Option<PathBuf>,
    /// TLS with whoever answers, as `DOCKER_TLS` and docker contexts may ask for: nobody looks at the
    /// engine's certificate, and files that are not there are not needed.
    pub(crate) unverified: bool,
    /// The private key of an ssh login; `None` asks the agent and the usual files.
    pub(crate) ssh_key: Option<PathBuf>,
    /// The name under which devnet pins this node's ssh host key on first use (a minikube
    /// profile's node); `None` means the host must stand in `known_hosts`.
    pub(crate) pin_as: Option<String>,
    /// The way to the same node for where this one lets nobody in.
    pub(crate) instead: Option<Box<Self>>,
}

/// The port at which every minikube node's engine listens with TLS.
pub(crate) const ENGINE_PORT: u16 = 2376;

impl Endpoint {
    /// True where a connection tells that an engine listens: at a node's own address. A forwarded port
    /// always connects, whether or not anybody listens behind it.
    pub(crate) fn is_of_the_node_itself(&self) -> bool {
        let Address::Tcp { host, port } = &self.address else {
            return false;
        };
        // an address of this computer is a forwarded one
        let here = host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        *port == ENGINE_PORT && !here
    }

    /// An endpoint without certificates, keys or pins.
    pub(crate) fn plain(address: Address) -> Self {
        Self {
            runtime: address.runtime(),
            address,
            cert_path: None,
            unverified: false,
            ssh_key: None,
            pin_as: None,
            instead: None,
        }
    }
}

/// True where an engine's socket is Docker Desktop's, whose engine runs in a virtual machine.
pub(crate) fn is_docker_desktop(socket: &Path) -> bool {
    socket.to_string_lossy().contains("/.docker/desktop/")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_tells_of_an_engine_at_a_node_s_own_address_alone() {
        for (url, own) in [
            ("tcp://192.168.49.2:2376", true),
            ("tcp://[fd00::2]:2376", true),
            ("tcp://node.example:2376", true),
            ("tcp://127.0.0.1:2376", false),
            ("tcp://127.0.0.1:32771", false),
            ("tcp://[::1]:2376", false),
            ("tcp://localhost:2376", false),
            ("tcp://192.168.49.2:32771", false),
            ("ssh://docker@192.168.49.2", false),
            ("unix:///run/docker.sock", false),
        ] {
            let endpoint = Endpoint::plain(Address::parse(url).unwrap());
            assert_eq!(endpoint.is_of_the_node_itself(), own, "{url}");
        }
    }

    #[test]
    fn addresses_survive_a_round_trip() {
        for url in [
            "unix:///var/run/docker.sock",
            "npipe:////./pipe/docker_engine",
            "tcp://127.0.0.1:32771",
            "tcp://[fd00::2]:2376",
            "ssh://docker@127.0.0.1:32770",
            "ssh://host",
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), url);
        }
        for (url, whole) in [
            ("tcp://a", "tcp://a:2375"),
            ("https://a", "tcp://a:2376"),
            ("127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("[fd00::2]:2376", "tcp://[fd00::2]:2376"),
            ("host", "tcp://host:2375"),
            (":2376", "tcp://localhost:2376"),
            (" tcp:// ", "tcp://localhost:2375"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("npipe://", "npipe:////./pipe/docker_engine"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), whole, "{url}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for url in [
            "",
            " ",
            "x y",
            "/var/run/docker.sock",
            "me@host",
            "ftp://a",
            "fd://",
            "http://",
            "tcp://a:0",
            "tcp://a:99999",
            "tcp://[::1",
            "ssh://-oProxyCommand=x",
            "ssh://a:b@c",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (url, shown) in [
            ("ssh://me:secret@host:22/run", "ssh://me:***@host:22/run"),
            ("tcp://a:b@c", "tcp://a:***@c"),
            ("https://token@c/d.git#b", "https://***@c/d.git#b"),
            ("ssh://docker@host", "ssh://docker@host"),
            ("unix:///a:b@c", "unix:///a:b@c"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        let error = Address::parse("ssh://me:secret@host").unwrap_err();
        assert!(!error.in_one_line().contains("secret"));
    }
}
