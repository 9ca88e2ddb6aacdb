//! The session of root's in which a node tells of itself and then keeps a folder, with the probe or
//! without: one program for both, since each costs a login shell and a `sudo`.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::engine::exec::Output;
use crate::engine::node_words::NodeWords;
use crate::error::{Error, Result};
use crate::probe::pods_api;
use crate::wire::node::{NodeAccess, refusal_of_root};
use crate::wire::node_program::NodeProgram;

/// The shell program; it ends with its input.
const SCRIPT: &str = include_str!("../../templates/node-session.sh");
/// The line behind what it tells of the node.
const END: &[u8] = b"\n.\n";
/// The most that a node has to say, in bytes.
const LONGEST: usize = 16 << 10;
/// The time that a node may take for it.
const LIMIT: Duration = Duration::from_secs(20);

/// A session that waits for what it is to keep. It ends when this is dropped.
pub(super) struct NodeSession {
    pub(super) program: NodeProgram,
}

impl NodeSession {
    /// Opens one, and hears what the node tells.
    ///
    /// # Errors
    /// Unreachable: no login, or nothing runs as root there. Failed where it does not say these things.
    pub(super) async fn open(access: &NodeAccess) -> Result<(NodeWords, Self)> {
        let words = ["sh", "-c", SCRIPT, "sh"].into_iter();
        let words = words.chain(pods_api::SOCKETS).map(str::to_owned);
        let words: Vec<String> = words.collect();
        let opened = async {
            let mut program = access.start_as_root(&words, None).await?;
            let (mut told, mut complaint) = (Vec::new(), Vec::new());
            while !told.ends_with(END) && told.len() + complaint.len() <= LONGEST {
                let piece = program.output.next().await.transpose();
                match piece.map_err(|error| Error::lost("the node was lost").caused_by(error))? {
                    Some(Output::Stdout(bytes)) => told.extend_from_slice(&bytes),
                    Some(Output::Stderr(bytes)) => complaint.extend_from_slice(&bytes),
                    None => break,
                }
            }
            let words = NodeWords::parse(&String::from_utf8_lossy(&told));
            let words = words.filter(|_| told.ends_with(END)).ok_or_else(|| {
                let why = String::from_utf8_lossy(&complaint);
                not_root(why.trim())
            })?;
            Ok((words, Self { program }))
        };
        tokio::time::timeout(LIMIT, opened)
            .await
            .map_err(|_elapsed| {
                Error::failed("the node does not answer")
                    .caused_by(format!("nothing within {} s", LIMIT.as_secs()))
                    .hint("the machine may be paused or overloaded")
            })?
    }

    /// Sends the probe, which is kept from then on; nothing of it where a folder alone is wanted.
    pub(super) async fn send(&mut self, probe: &[u8], sum: &str) {
        let input = &mut self.program.input;
        let sent = async {
            let head = format!("{} {sum}\n", probe.len());
            input.write_all(head.as_bytes()).await?;
            input.write_all(probe).await?;
            input.flush().await
        };
        // one that refuses has closed its input and says why
        let _refused: std::io::Result<()> = sent.await;
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
    fn a_node_where_root_is_refused_says_so() {
        let error = not_root("sudo: a password is required");
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.hints()[0].contains("without a password"));
        assert!(not_root("sh: 1: sudo: not found").hints()[0].contains("no sudo"));
    }
}
