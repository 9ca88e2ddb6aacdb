//! Running a command in a container, with its streams: the container's own OCI runtime runs it, as it
//! does when cri-o is asked to, and its description waits in a folder on the node, which goes with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::CriO;
use super::oci::{MONITOR, OciRuntime, unknown};
use crate::command_line;
use crate::engine::cri::command;
use crate::engine::exec::{Ended, Exec, Output};
use crate::engine::kept_probe::{KeptFolder, SPARE, first_line};
use crate::engine::node_agent::{self, Session, of_node, terminal};
use crate::error::{Error, Kind, Result};
use crate::wire::node_program::NodeProgram;

/// Writes a file of its input, which nobody else may read.
const WRITE: &str = r#"umask 077 && cat >"$1""#;
/// Runs a command; one that was not even started ends with a code of ours, and not with the runtime's. It
/// is hung up where devnet was killed: the folder is gone then. Who hangs it up is a child too, and must
/// outlive its own signal.
const RUN: &str = r#"began=$1; shift; (trap '' HUP; while [ -d "${began%/*}" ]; do sleep 1; done; kill -HUP $(cat /proc/$$/task/$$/children)) </dev/null >/dev/null 2>&1 & watch=$!; "$@"; code=$?; kill $watch 2>/dev/null; [ -e "$began" ] || exit 125; exit $code"#;
/// The beginning of it where the first bytes of the input are the command's description: so many, for this
/// file. The rest is the command's own.
const TAKE: &str = r#"said=$(umask 077; dd bs="$1" count=1 iflag=fullblock of="$2" 2>&1) || { echo "the command's description can't be left on the node: $said" >&2; exit 125; }; shift 2; "#;
const NOT_DESCRIBED: &str = "the command's description can't be left on the node";
/// The code of a command that may have been one that was not started.
const NOT_STARTED: u8 = 125;
/// The end of what was written that is kept to know why, in bytes.
const LAST_WORDS: usize = 4 << 10;

impl CriO {
    /// Starts a command in a container.
    ///
    /// # Errors
    /// Under code 125.
    pub(in crate::engine) async fn exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let coded = |error: Error| match error.kind() {
            Kind::Coded(_) => error,
            _ => error.with_kind(Kind::Coded(NOT_STARTED)),
        };
        Box::pin(self.start_exec(container, exec))
            .await
            .map_err(coded)
    }

    async fn start_exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let session = Session::new(self.node.clone());
        let process = self.process(container, &exec, &session);
        let described = async { futures_util::try_join!(process, self.folder()) };
        let (program, folder) = if exec.tty {
            let (runtime, (process, folder)) =
                futures_util::try_join!(self.oci_runtime(container), described)?;
            let file = description(&folder);
            // a terminal would change what it is given
            self.write(&file, &process.to_string()).await?;
            let call = called(&runtime, container, &file);
            let size = Some(terminal(&exec.env));
            let words = script(RUN, &[&began(&file)], call);
            let access = &self.node.access;
            let program = access.start_as_root(&words, size.as_ref()).await?;
            (program, folder)
        } else {
            let ((mut program, runtime), (process, folder)) =
                futures_util::try_join!(self.waiting(container), described)?;
            let file = description(&folder);
            let process = process.to_string();
            let size = process.len().to_string();
            let call = called(&runtime, container, &file);
            let given = [size.as_str(), &file, &began(&file)];
            let words = script(&format!("{TAKE}{RUN}"), &given, call);
            let line = command_line::with("exec", &words);
            self.tell(&mut program, &format!("{line}\n{process}"))
                .await?;
            (program, folder)
        };
        let mut running = of_node(program);
        if !exec.stdin && !exec.tty {
            let _has_none = running.input.shutdown().await;
        }
        let last_words = LastWords::default();
        let heard = last_words.clone();
        let output = running.output.inspect(move |piece| heard.hear(piece));
        // the folder goes after the command
        let end = stream::once(async move {
            tokio::join!(folder.remove(), session.finish());
            None
        });
        let output = output.map(Some).chain(end);
        Ok(Running {
            output: Box::pin(output.filter_map(std::future::ready)),
            input: running.input,
            control: Control {
                program: running.control,
                last_words,
            },
        })
    }

    /// A folder for the description, without the probe: what runs there is the node's own.
    async fn folder(&self) -> Result<KeptFolder> {
        let made = self.node.probe.folder();
        self.in_time(NOT_DESCRIBED, made).await?
    }

    /// The specification of the command: the container's own process, with another command.
    async fn process(&self, container: &str, exec: &Exec, session: &Session) -> Result<Value> {
        let answer = self.node.cri.container_status(container, true).await?;
        let answer = answer.ok_or_else(|| Error::not_found("the container is gone"))?;
        let told = answer.info.get("info").map(String::as_str);
        let mut told: Value = serde_json::from_str(told.unwrap_or("{}")).map_err(|error| {
            Error::failed("cri-o's specification of the container can't be read").caused_by(error)
        })?;
        let spec = told["runtimeSpec"].take();
        command::process(&self.node, container, spec, exec, session).await
    }

    /// A shell of root's that waits for its command line, and the OCI runtime of a container, which it
    /// has told: one for both, since each costs a `sudo`.
    async fn waiting(&self, container: &str) -> Result<(NodeProgram, OciRuntime)> {
        let pid = self.node.pid(container).await?.to_string();
        let words = script(&format!("{MONITOR}; {SPARE}"), &[&pid], Vec::new());
        let mut program = self.node.probe.start(&words).await?;
        let lost = |error: std::io::Error| Error::lost("the node was lost").caused_by(error);
        let mut output = program.output.as_mut().map(|piece| piece.map_err(lost));
        let failure = "the node does not tell of the container";
        let told = first_line(&mut output, failure);
        let line = self.in_time(failure, told).await??;
        let runtime = OciRuntime::of_monitor(&line, container);
        Ok((program, runtime.ok_or_else(unknown)?))
    }

    /// Tells a program what it waits for.
    async fn tell(&self, program: &mut NodeProgram, text: &str) -> Result<()> {
        let told = async {
            program.input.write_all(text.as_bytes()).await?;
            program.input.flush().await
        };
        // one that refuses it has ended, and says why
        let _refused: std::io::Result<()> = self.in_time(NOT_DESCRIBED, told).await?;
        Ok(())
    }

    async fn write(&self, path: &str, text: &str) -> Result<()> {
        let words = ["sh", "-c", WRITE, "sh", path].map(str::to_owned);
        let mut program = self.node.probe.start(&words).await?;
        let ending = program.ending.clone();
        let written = async {
            program.input.write_all(text.as_bytes()).await?;
            program.input.shutdown().await?;
            program.read_to_end(LAST_WORDS, self.node.patience).await
        };
        let said = self.in_time(NOT_DESCRIBED, written).await?;
        let said = said.map_err(|error| not_described().caused_by(error))?;
        if ending.code() == Some(0) {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(not_described().caused_by(why))
    }

    /// Waits for what the node does at once; `failure` says what came to nothing where it does not.
    async fn in_time<T>(&self, failure: &str, work: impl Future<Output = T>) -> Result<T> {
        let silent = |_elapsed| Error::failed(failure).caused_by("the node does not answer");
        let done = tokio::time::timeout(self.node.patience, work).await;
        done.map_err(silent)
    }
}

/// The words of a shell program with arguments of its own and those of the command that it runs.
fn script(text: &str, given: &[&str], call: Vec<String>) -> Vec<String> {
    let words = ["sh", "-c", text, "sh"].into_iter();
    let words = words.chain(given.iter().copied());
    words.map(str::to_owned).chain(call).collect()
}

/// The file in which a command is described, in its folder.
fn description(folder: &KeptFolder) -> String {
    format!("{}/exec.json", folder.path())
}

/// The file that an OCI runtime writes once a command runs, beside that command's description.
fn began(description: &str) -> String {
    format!("{description}.began")
}

/// The call of an OCI runtime that runs the command described in a file.
fn called(runtime: &OciRuntime, container: &str, file: &str) -> Vec<String> {
    let began = began(file);
    runtime.call(&["exec", "--process", file, "--pid-file", &began, container])
}

fn not_described() -> Error {
    Error::failed(NOT_DESCRIBED)
}

/// The end of what a command has written.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<Vec<u8>>>);

impl LastWords {
    fn hear(&self, piece: &Result<Output>) {
        let Ok(Output::Stdout(bytes) | Output::Stderr(bytes)) = piece else {
            return;
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let over = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..over);
    }

    /// The code under which docker has a command that was not started for the reason that was said.
    fn code(&self) -> u8 {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        command::code_of_reason(&String::from_utf8_lossy(&kept))
    }
}

/// A command that runs in a container.
pub(crate) struct Running {
    pub(in crate::engine) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(in crate::engine) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(in crate::engine) control: Control,
}

/// The handle to a command that runs in a container.
pub(crate) struct Control {
    program: node_agent::Control,
    last_words: LastWords,
}

impl Control {
    pub(in crate::engine) async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        self.program.resize(columns, rows).await
    }

    /// The way in which the command ended, once its output is at its end. Why one was not started has
    /// been told by then, by its runtime.
    pub(in crate::engine) fn ended(&self) -> Result<Ended> {
        Ok(match self.program.ended()? {
            Ended::With(NOT_STARTED) => Ended::With(self.last_words.code()),
            other => other,
        })
    }
}
