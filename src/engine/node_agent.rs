//! Jobs of devnet's in a node without containers for them: root there runs devnet's program, which gives
//! up all power that its job does not need before it looks.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncWrite;
use tokio::sync::Mutex;

use crate::engine::cri::node::CriNode;
use crate::engine::exec::{Ended, Output};
use crate::engine::job::{Job, JobNamespaces, Power, Program};
use crate::engine::kept_probe::KeptProbe;
use crate::engine::probe_answer::in_time;
use crate::error::{Error, Result};
use crate::wire::node_program::{Ending, NodeProgram, Terminal, TerminalSize};

/// The jobs of one command in one node.
pub(crate) struct Session {
    node: CriNode,
    kept: Mutex<Option<Arc<KeptProbe>>>,
}

impl Session {
    pub(in crate::engine) fn new(node: CriNode) -> Self {
        Self {
            node,
            kept: Mutex::default(),
        }
    }

    /// Starts a job.
    ///
    /// # Errors
    /// When this devnet carries no program for the node, or the node does not let it run.
    pub(in crate::engine) async fn spawn(&self, job: Job) -> Result<Running> {
        let Program::Probe(words) = &job.program else {
            return Err(Error::failed(
                "a command of an image can't be run beside a container here",
            )
            .hint("without `--image`, devnet's own tools run there"));
        };
        let (probe, joining) = futures_util::try_join!(self.kept(), self.joining(&job.joins))?;
        let start = [probe].into_iter();
        let all: Vec<String> = start
            .chain(joining)
            .chain(powers(job.power).iter().map(|word| (*word).to_owned()))
            .chain(words.iter().cloned())
            .collect();
        let terminal = job.tty.then(|| terminal(&job.env));
        let CriNode { access, probe, .. } = &self.node;
        let program = match terminal {
            Some(_) => access.start_as_root(&all, terminal.as_ref()).await?,
            None => probe.start(&all).await?,
        };
        Ok(of_node(program))
    }

    /// Sees to it that the probe is there, for one who has other things to ask meanwhile.
    ///
    /// # Errors
    /// As `spawn`.
    pub(in crate::engine) async fn bring_probe(&self) -> Result<()> {
        self.kept().await.map(drop)
    }

    /// The path of the probe there. It is asked for the first time that it is wanted.
    async fn kept(&self) -> Result<String> {
        let mut kept = self.kept.lock().await;
        let kept = match &*kept {
            Some(kept) => kept,
            None => kept.insert(in_time(self.borrow()).await?),
        };
        Ok(kept.program())
    }

    async fn borrow(&self) -> Result<Arc<KeptProbe>> {
        let architecture = self.node.architecture().await?;
        self.node.probe.borrow(&architecture).await
    }

    /// The words by which the probe enters the namespaces of a job.
    async fn joining(&self, joins: &JobNamespaces) -> Result<Vec<String>> {
        let file = async |id: &str, kind: &str| self.node.namespace_file(id, kind).await;
        let entered = match joins {
            JobNamespaces::NodeProcesses => return Ok(Vec::new()),
            JobNamespaces::Network(container) => vec![file(container, "net").await?],
            JobNamespaces::Beside { network, processes } => {
                vec![file(network, "net").await?, file(processes, "pid").await?]
            }
        };
        Ok(["enter".to_owned()]
            .into_iter()
            .chain([entered.join(",")])
            .collect())
    }

    /// Ends the session: the probe is gone then, unless another session has it too. Who ends it while
    /// another does waits for that.
    pub(in crate::engine) async fn finish(&self) {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.take() {
            kept.give_back().await;
        }
    }
}

/// The terminal of a job; its size is told once it runs.
pub(in crate::engine) fn terminal(env: &[String]) -> TerminalSize {
    let kind = env.iter().find_map(|one| one.strip_prefix("TERM="));
    TerminalSize {
        kind: kind.unwrap_or("xterm").to_owned(),
        columns: 80,
        rows: 24,
    }
}

/// The words by which the probe gives up all power but that of a job, and confines itself.
fn powers(power: Power) -> &'static [&'static str] {
    match power {
        Power::None => &["keep", "nothing"],
        Power::Root => &[],
        Power::Look => &["keep", "look", "confine"],
        Power::Tools => &["keep", "tools", "confine"],
        Power::Lent => &["keep", "look", "confine", "lent"],
    }
}

/// A program of the node's as a job that runs.
pub(in crate::engine) fn of_node(program: NodeProgram) -> Running {
    let lost = |error: std::io::Error| Error::lost("the node was lost").caused_by(error);
    let control = Control {
        ending: program.ending.clone(),
        terminal: program.terminal.clone(),
    };
    Running {
        output: Box::pin(program.output.map(move |piece| piece.map_err(lost))),
        input: program.input,
        control,
    }
}

/// A job that runs on a node.
pub(crate) struct Running {
    pub(in crate::engine) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(in crate::engine) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(in crate::engine) control: Control,
}

/// The handle to a program on a node.
pub(crate) struct Control {
    ending: Ending,
    terminal: Option<Arc<dyn Terminal>>,
}

impl Control {
    pub(in crate::engine) async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        match &self.terminal {
            Some(terminal) => terminal.resize(columns, rows).await,
            None => Ok(()),
        }
    }

    /// The way in which it ended, once its output is at its end.
    pub(in crate::engine) fn ended(&self) -> Result<Ended> {
        let code = self.ending.code();
        code.map(|code| Ended::With(u8::try_from(code).unwrap_or(255)))
            .ok_or_else(|| Error::lost("the node was lost"))
    }
}
