//! The probe that looks at a node: it stays there, and looks whenever it is asked.

use tokio::io::AsyncWriteExt as _;

use crate::engine::agent::AgentSession;
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::kubelet::{self, Kubelet};
use crate::engine::probe_answer::{ProbeAnswer, in_time};
use crate::engine::process::Process;
use crate::error::{Error, Result};
use crate::pod::KubeletPod;

/// A probe that stays in its node. It ends when this is dropped.
pub(crate) struct NodeProbe {
    process: Process,
}

/// A node as a probe saw it.
pub(crate) struct ProbedNode {
    /// The look, as the probe printed it.
    pub(crate) look: String,
    /// The pods of its kubelet, where the probe was told of them.
    pub(crate) pods: Option<Vec<KubeletPod>>,
}

/// The extent of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Everything,
    /// Of what was there at the last look, and of networks where no socket came or went since, most is
    /// as it was then.
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

    /// Looks at the node once, not before `when`, and gives what the probe printed. What its kubelet
    /// tells is asked before, where that is the probe's to do. The session is over then.
    ///
    /// # Errors
    /// As `start`.
    pub(crate) async fn look_once(
        session: &AgentSession,
        kubelet: &Kubelet,
        when: impl Future<Output = ()>,
    ) -> Result<ProbedNode> {
        let begin = async {
            let mut probe = Self::start(session).await?;
            let pods = probe.pods(kubelet).await?;
            Ok::<_, Error>((probe, pods))
        };
        let (begun, ()) = tokio::join!(begin, when);
        let (mut probe, pods) = begun?;
        let look = probe.ask(Ask::Everything).await?;
        drop(probe);
        if session.finish().await.is_err() {
            session.cleanup().await;
        }
        Ok(ProbedNode { look, pods })
    }

    /// The pods of the node's kubelet, where that is the probe's to ask; `None` where it does not tell.
    ///
    /// # Errors
    /// As `ask`.
    pub(crate) async fn pods(&mut self, kubelet: &Kubelet) -> Result<Option<Vec<KubeletPod>>> {
        match kubelet {
            Kubelet::Probe => Ok(kubelet::from_probe(&self.answer(b"pods\n").await?)),
            Kubelet::Socket(_) | Kubelet::Silent => Ok(None),
        }
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
        self.answer(line).await
    }

    /// Writes a line, and gives the line that comes back.
    async fn answer(&mut self, line: &[u8]) -> Result<String> {
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
