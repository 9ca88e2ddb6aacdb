//! A node's word on itself, where no engine tells it: its processor, its name, its boot, its clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::engine::about::{ImageStore, Info};
use crate::error::{Error, Result};
use crate::probe::pods_api;
use crate::wire::node::{NodeAccess, refusal_of_root};

/// The time for which words may be handed on without being asked for anew; the clock goes on.
const FRESH: Duration = Duration::from_secs(2);
/// The most that a node has to say, in bytes.
const LONGEST: usize = 16 << 10;
/// The time that a node may take for it.
const LIMIT: Duration = Duration::from_secs(20);
/// A line for each; of an old busybox the time has no fraction. At the end those of the kubelet's sockets
/// that are there.
const SCRIPT: &str = "uname -m; uname -n; cat /proc/sys/kernel/random/boot_id; date +%s.%N; \
     for one; do if [ -S \"$one\" ]; then echo \"$one\"; fi; done";

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
        let words = ["sh", "-c", SCRIPT, "sh"].into_iter();
        let words = words.chain(pods_api::SOCKETS).map(str::to_owned);
        let words: Vec<String> = words.collect();
        let asked = async {
            let program = access.start_as_root(&words, None).await?;
            let failed = |error| Error::lost("the node was lost").caused_by(error);
            program.read_to_end(LONGEST).await.map_err(failed)
        };
        let said = tokio::time::timeout(LIMIT, asked)
            .await
            .map_err(|_elapsed| {
                Error::failed("the node does not answer")
                    .caused_by(format!("nothing within {} s", LIMIT.as_secs()))
                    .hint("the machine may be paused or overloaded")
            })??;
        Self::parse(&String::from_utf8_lossy(&said.stdout)).ok_or_else(|| {
            let why = String::from_utf8_lossy(&said.stderr);
            not_root(why.trim())
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let architecture = match lines.next()? {
            "x86_64" => "amd64",
            "aarch64" | "arm64" => "arm64",
            other => other,
        };
        let name = lines.next()?.to_owned();
        let boot = lines.next()?.to_owned();
        let (seconds, fraction) = lines.next()?.split_once('.')?;
        let fraction = fraction.parse().ok().filter(|part| *part < 1_000_000_000);
        let there: Vec<&str> = lines.collect();
        let mut sockets = pods_api::SOCKETS.into_iter();
        let clock = Timestamp::new(seconds.parse().ok()?, fraction.unwrap_or(0)).ok()?;
        Some(Self {
            architecture: architecture.to_owned(),
            name,
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

/// The error of a node on which nothing runs as root, by what it said.
fn not_root(why: &str) -> Error {
    let error = Error::unreachable("nothing can be run as root on the node");
    let error = error.caused_by(why.to_owned());
    match refusal_of_root(why) {
        Some(hint) => error.hint(hint),
        None => error,
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
            let words = NodeWords::parse(&format!("aarch64\nminikube\nb\n{date}\n")).unwrap();
            assert_eq!(words.architecture, "arm64");
            assert_eq!(words.clock.to_string(), time);
        }
        let with = |more: &str| NodeWords::parse(&format!("x86_64\nn\nb\n1.0\n{more}\n")).unwrap();
        assert_eq!(with("").pods_socket, None);
        assert_eq!(with("/etc/passwd").pods_socket, None);
        let [first, second] = pods_api::SOCKETS;
        assert_eq!(with(second).pods_socket, Some(second));
        let both = format!("{second}\n{first}");
        assert_eq!(with(&both).pods_socket, Some(first));
        assert!(NodeWords::parse("x86_64\nn\n").is_none());
        assert!(NodeWords::parse("").is_none());
    }

    #[test]
    fn a_node_where_root_is_refused_says_so() {
        let error = not_root("sudo: a password is required");
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.hints()[0].contains("without a password"));
        assert!(not_root("sh: 1: sudo: not found").hints()[0].contains("no sudo"));
    }
}
