//! The probe that looks at a node: it stays there, and looks whenever it is asked.

use tokio::io::AsyncWriteExt as _;

use crate::engine::agent::AgentSession;
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::probe_answer::{ProbeAnswer, in_time};
use crate::engine::process::Process;
use crate::error::{Error, Result};

/// A probe that stays in its node. It ends when this is dropped.
pub(crate) struct NodeProbe {
    process: Process,
}

/// The extent of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Everything,
    /// States and queues as before in networks where no socket came or went since the last look.
    Changes,
}

impl NodeProbe {
    /// Starts a probe in a session's node.
    ///
    /// # Errors
    /// When this devnet carries no probe for the node, or the node does not let it run.
    pub(crate) async fn start(session: &AgentSession) -> Result<Self> {
        let words = vec!["snap".to_owned(), "serve".to_owned()];
        let job = Job {
            input: true,
            ..Job::probe(words, JobNamespaces::NodeProcesses, Power::Look)
        };
        let process = session.spawn(job).await?;
        Ok(Self { process })
    }

    /// Looks at the node once, not before `when`, and gives what the probe printed. The session is
    /// over then.
    ///
    /// # Errors
    /// As `start`.
    pub(crate) async fn look_once(
        session: &AgentSession,
        when: impl Future<Output = ()>,
    ) -> Result<String> {
        let (probe, ()) = tokio::join!(Self::start(session), when);
        let mut probe = probe?;
        let answer = probe.ask(Ask::Everything).await?;
        drop(probe);
        if session.finish().await.is_err() {
            session.cleanup().await;
        }
        Ok(answer)
    }

    /// Asks for a look at this moment.
    ///
    /// # Errors
    /// When the probe or its node is gone, or does not answer in time.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<String> {
        let line: &[u8] = match ask {
            Ask::Everything => b"everything\n",
            Ask::Changes => b"changes\n",
        };
        let lost = |error| Error::failed("the probe is gone").caused_by(error);
        let Process { input, output, .. } = &mut self.process;
        let mut answer = ProbeAnswer::default();
        let work = async {
            let asked = async {
                input.write_all(line).await?;
                input.flush().await
            };
            let asked = asked.await.map_err(lost);
            // one that has ended may have said why
            answer.until_a_line(output).await?;
            asked
        };
        in_time(work).await?;
        answer.text()
    }
}
