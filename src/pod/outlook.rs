//! A pod's outlook when nothing of it runs any more: whether it is started again. Only proof of the
//! contrary ends the hope: a pod whose sandbox is replaced looks dead for some seconds.

use super::state::timestamp;
use super::{ContainerFacts, Origin, Part, Pod, applied};

/// The kubelet takes longer than this from a container's end to its sandbox's.
const IN_PEACE: jiff::SignedDuration = jiff::SignedDuration::from_millis(200);
/// A kubelet that makes pods anew has made all of them in this time after the first; only what
/// their volumes wait for may take longer.
const ALL_ANEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);
/// The kubelet's note of a pod's source: pods from files come before those of the API.
const SOURCE: &str = "kubernetes.io/config.source";

/// The chance that something starts a pod again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Something of it runs, or its network is there for what comes.
    Alive,
    /// Nothing of it runs; whether something starts it again is not known.
    Unknown,
    /// Nothing of it runs, and this is why nothing starts it again.
    Over(&'static str),
    /// Only its remains are there.
    Gone,
}

/// The outlook of a pod; `facts` are those of all containers of its engine, `now` is that engine's
/// time, where it is known.
pub(crate) fn outlook(
    pod: &Pod,
    facts: &[ContainerFacts],
    now: Option<jiff::Timestamp>,
) -> Outlook {
    let containers = &pod.containers;
    let sandbox_up = pod.sandbox.as_ref().is_some_and(|one| one.state.is_up());
    if sandbox_up || containers.iter().any(|one| one.state.is_up()) {
        return Outlook::Alive;
    }
    if containers.is_empty() {
        return Outlook::Gone;
    }
    match pod.origin {
        Origin::Docker if containers.iter().any(|one| one.restarted_by_engine) => Outlook::Unknown,
        Origin::Docker => Outlook::Over("nothing restarts its containers"),
        Origin::Lab => Outlook::Over("the lab restarts nothing by itself"),
        Origin::Kubernetes => match restart_policy(pod, None).as_deref() {
            Some("Never") => Outlook::Over("its restart policy is Never"),
            Some("OnFailure") if containers.iter().all(|one| one.exit_code == Some(0)) => {
                Outlook::Over("it has done its work, and its restart policy is OnFailure")
            }
            _ if ended_in_peace(pod, facts) => {
                Outlook::Over("its sandbox was stopped after its containers had ended")
            }
            _ if now.is_some_and(|now| was_left_out(pod, facts, now)) => {
                Outlook::Over("other pods were started since, and it was not")
            }
            _ => Outlook::Unknown,
        },
    }
}

/// The restart policy of a pod, or of one of its containers: its kubelet's word, else that of the
/// manifest where the pod itself was applied; Always is what a manifest means that names none.
pub(super) fn restart_policy(pod: &Pod, container: Option<&str>) -> Option<String> {
    let told = pod.kubelet.as_ref();
    if let Some(policy) = told.and_then(|word| word.restart_policy(container)) {
        return Some(policy.to_owned());
    }
    let manifest = applied::manifest(pod)?;
    match manifest.get("spec")?.get("restartPolicy") {
        None => Some("Always".to_owned()),
        Some(policy) => policy.as_str().map(str::to_owned),
    }
}

/// True where the kubelet stopped the sandbox because nothing is to be restarted: well after the
/// last container's end, while the engine went on.
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
        one.state.is_up()
            && timestamp(one.started_at.as_deref()).is_some_and(|started| started < stopped)
    });
    sandbox.exit_code == Some(0)
        && last.is_some_and(|last| stopped.duration_since(last) > IN_PEACE)
        && engine_went_on
}

/// True where the kubelet has made other pods anew since this one's end, as after a restart of the
/// node, and has had the time to make this one.
fn was_left_out(pod: &Pod, facts: &[ContainerFacts], now: jiff::Timestamp) -> bool {
    let sandbox = pod.sandbox.as_ref();
    let ids = pod.containers.iter().map(|one| &one.id);
    let ids: Vec<&String> = ids.chain(sandbox.map(|one| &one.id)).collect();
    let own = facts.iter().filter(|one| ids.contains(&&one.id));
    let Some(ended) = own
        .filter_map(|one| timestamp(one.finished_at.as_deref()))
        .max()
    else {
        return false;
    };
    facts.iter().any(|one| {
        let of_the_api = one
            .annotations
            .get(SOURCE)
            .is_none_or(|source| source == "api");
        let started = timestamp(one.started_at.as_deref());
        one.state.is_up()
            && of_the_api
            && one.member().is_some_and(|member| {
                member.origin == Origin::Kubernetes && member.part == Part::Sandbox
            })
            && started
                .is_some_and(|started| started > ended && now.duration_since(started) >= ALL_ANEW)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{PlainContainers, pods};

    fn facts(name: &str, state: &str, started: u32, finished: u32, code: i64) -> ContainerFacts {
        let at = |second: u32| Some(format!("2026-01-01T00:00:{second:02}Z"));
        let up = state == "running";
        ContainerFacts {
            id: name.into(),
            state: state.into(),
            created_at: at(started),
            started_at: at(started),
            finished_at: at(finished).filter(|_| !up),
            exit_code: (!up).then_some(code),
            ..ContainerFacts::of_kubelet(name, "default/web/uid", 0, "")
        }
    }

    fn of(all: &[ContainerFacts]) -> Outlook {
        let pods = pods("node", all, PlainContainers::Hide);
        let pod = pods.iter().find(|pod| pod.name == "web").unwrap();
        outlook(pod, all, None)
    }

    fn other() -> ContainerFacts {
        ContainerFacts {
            membership: ContainerFacts::of_kubelet("POD", "default/other/uid2", 0, "").membership,
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
    fn what_a_kubelet_leaves_out_that_makes_all_others_anew_is_over() {
        // a node was restarted: all that runs was started since
        let app = facts("app", "exited", 2, 5, 0);
        let sandbox = facts("POD", "exited", 1, 6, 0);
        let part =
            |part: &str| ContainerFacts::of_kubelet(part, "default/other/uid2", 0, "").membership;
        let after = |started: u32, change: &dyn Fn(&mut ContainerFacts), now: &str| {
            let mut other = ContainerFacts {
                membership: part("POD"),
                ..facts("other", "running", started, 0, 0)
            };
            change(&mut other);
            let all = [sandbox.clone(), app.clone(), other];
            let pods = pods("node", &all, PlainContainers::Hide);
            let pod = pods.iter().find(|pod| pod.name == "web").unwrap();
            let now = format!("2026-01-01T{now}Z").parse().unwrap();
            matches!(outlook(pod, &all, Some(now)), Outlook::Over(_))
        };
        let none = |_: &mut ContainerFacts| {};
        assert!(after(9, &none, "00:02:10"));
        assert!(!after(9, &none, "00:02:08"), "it may still come");
        let from_a_file = |other: &mut ContainerFacts| {
            other.annotations.insert(SOURCE.into(), "file".into());
        };
        assert!(!after(9, &from_a_file, "00:09:00"));
        let no_sandbox = |other: &mut ContainerFacts| {
            other.membership = part("app");
        };
        assert!(!after(9, &no_sandbox, "00:09:00"));
        let ended = |other: &mut ContainerFacts| other.state = "exited".into();
        assert!(!after(9, &ended, "00:09:00"));
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
                .annotations
                .insert(applied::ANNOTATION.to_owned(), manifest);
            of(&[killed.clone(), app.clone(), other()])
        };
        assert!(over(with_policy("Never")));
        assert!(over(with_policy("OnFailure")));
        assert!(!over(with_policy("Always")));
    }
}
