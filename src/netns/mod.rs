//! Domain: what a node's kernel says: namespaces by inode, addresses, sockets, and who holds them.

mod conflict;
mod join;
mod leak;
mod marks;
pub(crate) mod reach;
pub(crate) mod reach_judge;

mod traffic;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::pod::Namespaces;

pub(crate) use conflict::{Neighbours, conflict, listeners};
pub(crate) use join::join;
pub(crate) use marks::RuntimeMarks;
pub(crate) use traffic::{Inner, Outer, traffic};

/// One look at a whole node: what `devnet-probe snap` prints.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    schema: u32,
    processes: Vec<Process>,
    networks: Vec<Network>,
    pinned: Vec<Pinned>,
    /// The start of the node's first process, in seconds since 1970.
    #[serde(default)]
    up_since: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Process {
    pid: u32,
    parent: u32,
    /// The kernel's letter: `R`, `S`, `D`, `T`, ...
    state: String,
    command: String,
    /// The container IDs in its cgroups' paths.
    containers: Vec<String>,
    namespaces: Namespaces,
    sockets: Option<Vec<u64>>,
}

/// A network namespace that processes are in.
#[derive(Clone, Debug, Deserialize)]
struct Network {
    inode: u64,
    /// Without loopback and link-local ones.
    addresses: Vec<String>,
    /// The addresses in the network of the default route.
    primary: Vec<String>,
    sockets: Vec<RawSocket>,
}

#[derive(Clone, Debug, Deserialize)]
struct RawSocket {
    proto: String,
    family: u8,
    address: String,
    port: u16,
    remote: Option<String>,
    state: String,
    #[serde(default)]
    queue: Option<u32>,
    inode: Option<u64>,
}

/// A network namespace that a mount keeps alive.
#[derive(Clone, Debug, Deserialize)]
struct Pinned {
    inode: u64,
    path: String,
    /// Seconds.
    age: Option<u64>,
}

impl View {
    /// Reads the probe's document.
    ///
    /// # Errors
    /// When it is cut off, or of another version.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let view: Self = serde_json::from_str(text)
            .map_err(|error| Error::failed("the probe's answer can't be read").because(error))?;
        if view.schema == 1 {
            Ok(view)
        } else {
            Err(Error::failed(format!(
                "the probe answered in version {} of its document",
                view.schema
            )))
        }
    }
}

#[cfg(test)]
mod tests;
