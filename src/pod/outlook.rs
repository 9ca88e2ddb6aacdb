//! A pod's outlook when nothing of it runs any more: whether it is started again. Only proof of the
//! contrary ends the hope: a pod whose sandbox is replaced looks dead for some seconds.

use super::state::{is_up, timestamp};
use super::{ContainerFacts, Origin, Pod, applied};

/// The kubelet takes longer than this from a container's end to its sandbox's.
const IN_PEACE: jiff::SignedDuration = jiff::SignedDuration::from_millis(200);

/// Whether a pod is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Something of it runs, or its network is there for what comes.
    Alive,
    /// Nothing of it runs; whether something starts it again is not known.
    Unknown,
    /// Nothing of it runs, and this is why nothing starts it again.
    Over(&'static str),
    /// There is nothing of it but what its end left.
    Gone,
}

/// The outlook of a pod; `facts` are those of all containers of its engine.
pub(crate) fn outlook(pod: &Pod, facts: &[ContainerFacts]) -> Outlook {
    let containers = &pod.containers;
    let sandbox_up = pod.sandbox.as_ref().is_some_and(|one| is_up(&one.state));
    if sandbox_up || containers.iter().any(|one| is_up(&one.state)) {
        return Outlook::Alive;
    }
    if containers.is_empty() {
        return Outlook::Gone;
    }
    match pod.origin {
        Origin::Docker if containers.iter().any(|one| one.restarted_by_engine) => Outlook::Unknown,
        Origin::Docker => Outlook::Over("nothing restarts its containers"),
        Origin::Lab => Outlook::Over("the lab restarts nothing by itself"),
        Origin::Kubernetes => match policy(pod).as_deref() {
            Some("Never") => Outlook::Over("its restart policy is Never"),
            Some("OnFailure") if containers.iter().all(|one| one.exit_code == Some(0)) => {
                Outlook::Over("it has done its work, and its restart policy is OnFailure")
            }
            _ if ended_in_peace(pod, facts) => {
                Outlook::Over("its sandbox was stopped after its containers had ended")
            }
            _ => Outlook::Unknown,
        },
    }
}

/// The restart policy, where the pod itself was applied.
fn policy(pod: &Pod) -> Option<String> {
    Some(
        applied::manifest(pod)?
            .get("spec")?
            .get("restartPolicy")?
            .as_str()?
            .into(),
    )
}

/// Whether the kubelet stopped the sandbox because nothing is to be restarted: well after the last
/// container's end, while the engine went on.
fn ended_in_peace(pod: &Pod, facts: &[ContainerFacts]) -> bool {
    let of = |id: &String| facts.iter().find(|one| one.id == *id);
    let Some(sandbox) = pod.sandbox.as_ref().and_then(|one| of(&one.id)) else {
        return false;
    };
    let Some(stopped) = timestamp(sandbox.finished_at.as_deref()) else {
        return false;
    };
    let ended = |one: &super::Container| timestamp(one.finished_at.as_deref());
    let last = pod.containers.iter().filter_map(ended).max();
    let engine_went_on = facts.iter().any(|one| {
        is_up(&one.state)
            && timestamp(one.started_at.as_deref()).is_some_and(|started| started < stopped)
    });
    sandbox.exit_code == Some(0)
        && last.is_some_and(|last| stopped.duration_since(last) > IN_PEACE)
        && engine_went_on
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{Lone, pods};

    fn facts(name: &str, state: &str, started: u32, finished: u32, code: i64) -> ContainerFacts {
        let at = |second: u32| Some(format!("2026-01-01T00:00:{second:02}Z"));
        let up = state == "running";
        ContainerFacts {
            id: name.into(),
            name: format!("k8s_{name}_web_default_uid_0"),
            state: state.into(),
            created_at: at(started),
            started_at: at(started),
            finished_at: at(finished).filter(|_| !up),
            exit_code: (!up).then_some(code),
            ..ContainerFacts::default()
        }
    }

    fn of(all: &[ContainerFacts]) -> Outlook {
        let pods = pods("node", all, Lone::Leave);
        let pod = pods.iter().find(|pod| pod.name == "web").unwrap();
        outlook(pod, all)
    }

    fn other() -> ContainerFacts {
        ContainerFacts {
            name: "k8s_POD_other_default_uid2_0".into(),
            ..facts("other", "running", 0, 0, 0)
        }
    }

    #[test]
    fn a_pod_that_is_made_anew_is_not_over() {
        let app = |state: &str, finished| facts("app", state, 2, finished, 137);
        // its sandbox was killed, and then its container
        let killed = facts("POD", "exited", 1, 5, 137);
        assert_eq!(
            of(&[killed.clone(), app("running", 0), other()]),
            Outlook::Alive
        );
        assert_eq!(of(&[killed, app("exited", 6), other()]), Outlook::Unknown);
        // the engine was stopped, and everything with it
        let stopped = facts("POD", "exited", 1, 9, 0);
        assert_eq!(of(&[stopped.clone(), app("exited", 5)]), Outlook::Unknown);
        let waits = facts("POD", "running", 1, 0, 0);
        assert_eq!(of(&[waits, app("exited", 5)]), Outlook::Alive);
        assert_eq!(of(&[stopped, other()]), Outlook::Gone);
    }

    #[test]
    fn what_nothing_restarts_is_over() {
        let app = facts("app", "exited", 2, 5, 0);
        let stopped = facts("POD", "exited", 1, 6, 0);
        let over = |outlook| matches!(outlook, Outlook::Over(_));
        assert!(over(of(&[stopped, app.clone(), other()])));
        let mut killed = facts("POD", "exited", 1, 4, 137);
        assert!(!over(of(&[killed.clone(), app.clone(), other()])));
        let mut with_policy = |policy: &str| {
            let manifest = format!(r#"{{"spec":{{"restartPolicy":"{policy}"}}}}"#);
            killed
                .labels
                .insert(format!("annotation.{}", applied::ANNOTATION), manifest);
            of(&[killed.clone(), app.clone(), other()])
        };
        assert!(over(with_policy("Never")));
        assert!(over(with_policy("OnFailure")));
        assert!(!over(with_policy("Always")));
    }
}
