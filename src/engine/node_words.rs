//! A node's word on itself, where no engine tells it: its processor, its name, its boot, its clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::engine::about::{ImageStore, Info};
use crate::engine::node_session::NodeSession;
use crate::error::Result;
use crate::probe::pods_api;
use crate::wire::node::NodeAccess;

/// The time for which words may be handed on without being asked for anew; the clock goes on.
const FRESH: Duration = Duration::from_secs(5);
/// A node's word on itself.
#[derive(Clone, Debug)]
pub(crate) struct NodeWords {
    /// Go's word for its processor: `amd64`, `arm64`.
    pub(crate) architecture: String,
    /// Its host name.
    name: String,
    /// Another one after each start of the machine.
    boot: String,
    /// The socket at which its kubelet serves the Pods API.
    pub(crate) pods_socket: Option<&'static str>,
    clock: Timestamp,
    told: Instant,
}

impl NodeWords {
    /// Asks a node.
    ///
    /// # Errors
    /// Unreachable: no login. Failed where it does not say these things.
    pub(crate) async fn ask(access: &NodeAccess) -> Result<Self> {
        NodeSession::open(access).await.map(|(words, _over)| words)
    }

    /// Reads the lines that a session begins with; `None` where they are not whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let (name, machine) = lines.next()?.rsplit_once(' ')?;
        let architecture = match machine {
            "x86_64" => "amd64",
            "aarch64" | "arm64" => "arm64",
            other => other,
        };
        let boot = lines.next()?.to_owned();
        let (seconds, fraction) = lines.next()?.split_once('.')?;
        let fraction = fraction.parse().ok().filter(|part| *part < 1_000_000_000);
        let there: Vec<&str> = lines.collect();
        let mut sockets = pods_api::SOCKETS.into_iter();
        let clock = Timestamp::new(seconds.parse().ok()?, fraction.unwrap_or(0)).ok()?;
        Some(Self {
            architecture: architecture.to_owned(),
            name: name.to_owned(),
            boot,
            pods_socket: sockets.find(|socket| there.contains(socket)),
            clock,
            told: Instant::now(),
        })
    }

    /// True while they may be handed on.
    pub(crate) fn are_fresh(&self) -> bool {
        self.told.elapsed() < FRESH
    }

    /// The same as an engine's word on its machine.
    pub(crate) fn info(&self) -> Info {
        let now = self.clock.checked_add(self.told.elapsed()).ok();
        Info {
            id: Some(self.boot.clone()),
            name: Some(self.name.clone()),
            store: ImageStore::Cri,
            system_time: now.map(|now| now.to_string()),
            root_dir: None,
            labels: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_understood_and_no_more_is_believed() {
        for (date, time) in [
            ("1700000000.123456789", "2023-11-14T22:13:20.123456789Z"),
            ("1700000000.%N", "2023-11-14T22:13:20Z"),
        ] {
            let words = NodeWords::parse(&format!("minikube aarch64\nb\n{date}\n")).unwrap();
            assert_eq!(words.architecture, "arm64");
            assert_eq!(words.clock.to_string(), time);
        }
        let with = |more: &str| NodeWords::parse(&format!("n x86_64\nb\n1.0\n{more}\n")).unwrap();
        assert_eq!(with("").pods_socket, None);
        assert_eq!(with("/etc/passwd").pods_socket, None);
        let [first, second] = pods_api::SOCKETS;
        assert_eq!(with(second).pods_socket, Some(second));
        let both = format!("{second}\n{first}");
        assert_eq!(with(&both).pods_socket, Some(first));
        assert!(NodeWords::parse("n x86_64\nb\n").is_none());
        assert!(NodeWords::parse("").is_none());
    }
}
