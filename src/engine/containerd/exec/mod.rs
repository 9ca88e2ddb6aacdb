//! Running a command in a container, with its streams: containerd opens named pipes, which the probe
//! carries, and tells the code of the command's end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::io::AsyncWrite;
use tokio::sync::OnceCell;

use super::Containerd;
use super::messages::{
    CloseIoRequest, ExecProcessRequest, ProcessRequest, ResizePtyRequest, StartResponse,
};
use crate::engine::cri::command;
use crate::engine::exec::{Ended, Exec, Output};
use crate::engine::grpc::{Any, Empty};
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::kept_probe::first_line;
use crate::engine::node_agent::Session;
use crate::error::{Error, Kind, Result};

/// The type of a specification of a process, as containerd names it.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The time in which the code of a command comes whose output is at its end.
const CODE_WITHIN: Duration = Duration::from_secs(2);

impl Containerd {
    /// Starts a command in a container.
    ///
    /// # Errors
    /// Under code 125, or as docker has it 126 (it can't be run) and 127 (it is not there).
    pub(in crate::engine) async fn exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let coded = |error: Error| match error.kind() {
            Kind::Coded(_) => error,
            _ => error.with_kind(Kind::Coded(125)),
        };
        Box::pin(self.start_exec(container, exec))
            .await
            .map_err(coded)
    }

    async fn start_exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let session = Session::new(self.node.clone());
        let mut streams = vec!["pipes"];
        if exec.stdin {
            streams.push("stdin");
        }
        streams.push("stdout");
        if !exec.tty {
            streams.push("stderr");
        }
        let words = streams.iter().map(|word| (*word).to_owned()).collect();
        let job = Job {
            input: exec.stdin,
            ..Job::probe(words, JobNamespaces::NodeProcesses, Power::Root)
        };
        let spec = self.process(container, &exec, &session);
        let (mut carrier, spec) = futures_util::try_join!(session.spawn(job), spec)?;
        let folder = first_line(&mut carrier.output, "the probe did not run").await?;
        let id = new_id();
        let pipe = |stream: &str| {
            if streams.contains(&stream) {
                format!("{folder}/{stream}")
            } else {
                String::new()
            }
        };
        let question = ExecProcessRequest {
            container_id: container.to_owned(),
            stdin: pipe("stdin"),
            stdout: pipe("stdout"),
            stderr: pipe("stderr"),
            terminal: exec.tty,
            spec: Some(Any {
                type_url: PROCESS_TYPE.to_owned(),
                value: spec.to_string().into_bytes(),
            }),
            exec_id: id.clone(),
        };
        self.tasks("/containerd.services.tasks.v1.Tasks/Exec", question)
            .await?;
        let control = Control {
            containerd: self.clone(),
            container: container.to_owned(),
            id,
            code: Arc::default(),
        };
        control.wait_for_the_end();
        let path = "/containerd.services.tasks.v1.Tasks/Start";
        let started = self.grpc.ask::<_, StartResponse>(path, control.process());
        if let Err(refusal) = started.await {
            control.forget().await;
            session.finish().await;
            return Err(command::not_started(refusal.error));
        }
        if exec.stdin {
            control.close_input_with_ours().await;
        }
        // the outputs are open at both ends by now, and an input may not be: without one the program and
        // its pipes' names go while the command runs
        let early = !exec.stdin && self.node.access.closes_streams();
        let session = Arc::new(session);
        if early {
            let session = session.clone();
            tokio::spawn(async move { session.finish().await });
        }
        // the carrier's program goes when its streams end
        let ended = control.clone();
        let end = stream::once(async move {
            let _code = ended.code().await;
            // also one that is still on its way out
            tokio::join!(ended.forget(), session.finish());
            None
        });
        let output = carrier.output.map(Some).chain(end);
        Ok(Running {
            output: Box::pin(output.filter_map(std::future::ready)),
            input: carrier.input,
            control,
        })
    }

    /// Asks containerd to do something with a process of a container.
    async fn tasks<Q>(&self, path: &'static str, question: Q) -> Result<()>
    where
        Q: prost::Message + Send + Sync + 'static,
    {
        self.grpc
            .ask::<Q, Empty>(path, question)
            .await
            .map_err(Error::from)
    }

    /// The specification of the command: the container's own process, with another command.
    async fn process(&self, container: &str, exec: &Exec, session: &Session) -> Result<Value> {
        let record = self.record(container).await?;
        let nonsense =
            || Error::failed("containerd's specification of the container can't be read");
        let spec = record
            .and_then(|record| record.spec)
            .ok_or_else(|| Error::not_found("the container is gone"))?;
        let spec: Value = serde_json::from_slice(&spec.value).map_err(|_| nonsense())?;
        command::process(&self.node, container, spec, exec, session).await
    }
}

/// An ID that no other command has.
fn new_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = jiff::Timestamp::now().as_nanosecond();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("devnet-{now:x}-{count:x}-{}", std::process::id())
}

/// A command that runs in a container.
pub(crate) struct Running {
    pub(in crate::engine) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(in crate::engine) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(in crate::engine) control: Control,
}

/// The answer to the question for a command's end.
#[derive(Clone, Copy)]
enum Waited {
    Code(u8),
    /// Its container took it along.
    Gone,
    /// The node was lost before the end.
    Lost,
}

/// The handle to a command that runs in a container.
#[derive(Clone)]
pub(crate) struct Control {
    containerd: Containerd,
    container: String,
    id: String,
    code: Arc<OnceCell<Waited>>,
}

impl Control {
    /// The command's process, as containerd knows it.
    fn process(&self) -> ProcessRequest {
        ProcessRequest {
            container_id: self.container.clone(),
            exec_id: self.id.clone(),
        }
    }

    /// Asks for the command's end, from before it is started: afterwards it may be forgotten.
    fn wait_for_the_end(&self) {
        let control = self.clone();
        tokio::spawn(async move { control.code().await });
    }

    async fn code(&self) -> Waited {
        *self
            .code
            .get_or_init(async || match self.containerd.wait(self.process()).await {
                Ok(answer) => u8::try_from(answer.exit_status).map_or(Waited::Gone, Waited::Code),
                Err(refusal) if refusal.error.kind() == Kind::Lost => Waited::Lost,
                Err(_gone) => Waited::Gone,
            })
            .await
    }

    /// Lets containerd end the command's input where ours ends.
    async fn close_input_with_ours(&self) {
        let question = CloseIoRequest {
            container_id: self.container.clone(),
            exec_id: self.id.clone(),
            stdin: true,
        };
        let path = "/containerd.services.tasks.v1.Tasks/CloseIO";
        // one that has ended has no input
        let _ended = self.containerd.tasks(path, question).await;
    }

    /// Lets containerd forget a command that has ended.
    async fn forget(&self) {
        let path = "/containerd.services.tasks.v1.Tasks/DeleteProcess";
        // gone with its container
        let _gone = self.containerd.tasks(path, self.process()).await;
    }

    pub(in crate::engine) async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let question = ResizePtyRequest {
            container_id: self.container.clone(),
            exec_id: self.id.clone(),
            width: columns.into(),
            height: rows.into(),
        };
        let path = "/containerd.services.tasks.v1.Tasks/ResizePty";
        self.containerd.tasks(path, question).await
    }

    /// The way in which the command ended, once its output is at its end.
    pub(in crate::engine) async fn ended(&self) -> Result<Ended> {
        let waited = tokio::time::timeout(CODE_WITHIN, self.code()).await;
        Ok(match waited {
            Err(_still_runs) => Ended::Detached,
            Ok(Waited::Gone) => Ended::WithItsContainer,
            Ok(Waited::Lost) => return Err(Error::lost("the connection to the node was lost")),
            Ok(Waited::Code(code)) => Ended::With(code),
        })
    }
}
