//! The Docker engine that devnet runs on a node's own containerd: devnet's program in the node starts
//! it, stops it and tells its state.

use serde::Deserialize;

use crate::engine::Engine;
use crate::engine::job::{Job, JobNamespaces, Power, ProgramImages};
use crate::error::{Error, Kind, Result};

pub(crate) use crate::runtime_kind::NODE_DOCKER_SOCKET as SOCKET;
/// The label by which it says whose node it runs on, as `PROFILE/NODE`.
pub(crate) const LABEL: &str = "dev.devnet.engine";
/// The folder on the node that stays when it ends.
pub(crate) const DATA: &str = "/var/lib/devnet/docker";

/// The state of a node's Docker engine, as the program there tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DockerState {
    pub(crate) running: bool,
    pub(crate) guard: bool,
    pub(crate) version: Option<String>,
    pub(crate) pid: Option<u32>,
    /// The address at which it listens on the node, as `192.168.49.2:2376`.
    pub(crate) address: Option<String>,
    /// The memory of the engine and of its guard, in bytes.
    pub(crate) rss: Option<u64>,
    pub(crate) guard_rss: Option<u64>,
    /// The size of what stays when it ends.
    pub(crate) data_bytes: u64,
    /// The names of the containers that run through it.
    pub(crate) containers: Vec<String>,
    /// Settings of the node's containerd that it does not have.
    pub(crate) notes: Vec<String>,
    /// Lines of minikube's docker-env in the start file of the node's user.
    pub(crate) nerdctl_lines: usize,
}

/// The profile and the node that an engine says it is of, by its labels; `None` of any other engine.
pub(crate) fn node_of(labels: &[String]) -> Option<(&str, &str)> {
    let mut named = labels.iter().filter_map(|label| label.split_once('='));
    let (_, value) = named.find(|(name, _)| *name == LABEL)?;
    value.split_once('/')
}

/// The answer of the program in the node.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Failed {
        failed: String,
        code: u8,
        hint: String,
    },
    State(DockerState),
}

/// Starts the engine of a node, unless it runs. `label` is `PROFILE/NODE`, and the address is the
/// node's own where its record names it.
///
/// # Errors
/// Unreachable: the node has no engine that can be started. Failed, with the engine's own words.
pub(crate) async fn start(engine: &Engine, label: &str, address: &str) -> Result<DockerState> {
    run(engine, &["start", label, address]).await
}

/// Stops it, and takes away all that it made; its data too where that is said.
///
/// # Errors
/// When the node can't be asked.
pub(crate) async fn stop(engine: &Engine, with_data: bool) -> Result<DockerState> {
    let rest: &[&str] = if with_data { &["rm-data"] } else { &[] };
    run(engine, &[&["stop"], rest].concat()).await
}

/// The state of a node's engine.
///
/// # Errors
/// When the node can't be asked.
pub(crate) async fn state(engine: &Engine) -> Result<DockerState> {
    run(engine, &["status"]).await
}

async fn run(engine: &Engine, words: &[&str]) -> Result<DockerState> {
    let words = [&["engine"], words].concat();
    let words = words.into_iter().map(str::to_owned).collect();
    let session = engine.agent.session(ProgramImages::AnyOf(Vec::new()));
    let job = Job::probe(words, JobNamespaces::NodeProcesses, Power::Root);
    let said = session.output(job).await;
    if said.is_err() {
        session.cleanup().await;
    } else {
        session.finish().await?;
    }
    of_text(&said?)
}

fn of_text(text: &str) -> Result<DockerState> {
    let told = serde_json::from_str(text.trim()).map_err(|error| {
        Error::failed("what devnet's program says can't be read").caused_by(error)
    })?;
    match told {
        Told::State(state) => Ok(state),
        Told::Failed { failed, code, hint } => {
            let kind = match code {
                3 => Kind::Unreachable,
                _ => Kind::Failed,
            };
            let error = Error::new(kind, failed);
            Err(if hint.is_empty() {
                error
            } else {
                error.hint(hint)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_of_devnets_is_known_by_its_label() {
        let of = |label: &str| {
            node_of(&["a=b".to_owned(), label.to_owned()]).map(|(p, n)| format!("{p} {n}"))
        };
        assert_eq!(
            of("dev.devnet.engine=dev/dev-m02").as_deref(),
            Some("dev dev-m02")
        );
        assert_eq!(of("dev.devnet.engines=dev/dev"), None);
        assert_eq!(of("dev.devnet.engine=dev"), None);
    }

    #[test]
    fn the_programs_line_is_a_state_or_a_failure() {
        let state =
            of_text(r#"{"running":true,"guard":true,"pid":7,"data_bytes":12,"containers":["a"]}"#);
        let state = state.unwrap();
        assert!(state.running && state.guard);
        assert_eq!((state.pid, state.data_bytes), (Some(7), 12));
        let error = of_text(r#"{"failed":"it is 20.10","code":3,"hint":"build"}"#).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3);
        assert_eq!(error.hints(), ["build"]);
        assert_eq!(
            of_text(r#"{"failed":"no","code":1,"hint":""}"#)
                .unwrap_err()
                .hints()
                .len(),
            0
        );
        assert!(of_text("nonsense").is_err());
    }
}
