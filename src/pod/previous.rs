//! The last run of a container that ended: what `--previous` means. Under the kubelet a run is a
//! container of its own; an engine's own restarts are runs of one container, in one log.

use jiff::Timestamp;

use super::state::timestamp;
use super::{Container, Pod};

/// A run that is over, and the part of its container's log that is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedRun<'a> {
    pub(crate) container: &'a Container,
    /// Set where an earlier run wrote into the same log.
    pub(crate) from: Option<Timestamp>,
    /// Set where a later run writes into the same log.
    pub(crate) until: Option<Timestamp>,
}

/// The last run that ended of the pod's container with this name.
pub(crate) fn last_ended<'a>(pod: &'a Pod, name: &str) -> Option<EndedRun<'a>> {
    let all = pod.containers.iter().chain(&pod.containers_before);
    all.filter(|container| container.name == name)
        .filter_map(|container| Some((ended(container)?, container)))
        .max_by_key(|((at, _), _)| *at)
        .map(|((_, run), _)| run)
}

fn ended(container: &Container) -> Option<(Timestamp, EndedRun<'_>)> {
    let began = timestamp(container.started_at.as_deref());
    let before = timestamp(container.ended_before.as_deref());
    if let Some(at) = timestamp(container.finished_at.as_deref()) {
        let run = EndedRun {
            container,
            // what the engine restarted, it restarted in one container
            from: began.filter(|_| container.restarted_by_engine),
            until: None,
        };
        return Some((at, run));
    }
    let (at, began) = (before?, began?);
    let run = EndedRun {
        container,
        from: None,
        // neither end is noted to the moment: in between nothing is written
        until: at.checked_add(began.duration_since(at) / 2).ok(),
    };
    Some((at, run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{ContainerFacts, PlainContainers, pods};

    fn app(id: &str, attempt: u32, state: &str, ended: Option<&str>) -> ContainerFacts {
        ContainerFacts {
            id: id.into(),
            state: state.into(),
            created_at: Some(format!("2026-01-01T00:0{attempt}:00Z")),
            started_at: Some(format!("2026-01-01T00:0{attempt}:00Z")),
            finished_at: ended.map(str::to_owned),
            exit_code: ended.map(|_| 1),
            ..ContainerFacts::of_kubelet("app", "default/web/uid", attempt, "s")
        }
    }

    fn last(all: &[ContainerFacts]) -> Option<(String, bool, bool)> {
        let pods = pods("n", all, PlainContainers::Hide);
        let run = last_ended(&pods[0], "app")?;
        let marks = (run.from.is_some(), run.until.is_some());
        Some((run.container.id.clone(), marks.0, marks.1))
    }

    #[test]
    fn while_a_container_waits_to_be_restarted_it_is_the_last_that_ended() {
        let first = app("a", 0, "exited", Some("2026-01-01T00:00:05Z"));
        let second = app("b", 1, "exited", Some("2026-01-01T00:01:05Z"));
        let third = app("c", 2, "running", None);
        let found = |id: &str| Some((id.to_owned(), false, false));
        assert_eq!(last(std::slice::from_ref(&first)), found("a"));
        assert_eq!(last(&[second.clone(), first.clone()]), found("b"));
        assert_eq!(last(&[third.clone(), second, first]), found("b"));
        assert_eq!(last(&[third]), None);
    }

    #[test]
    fn runs_of_one_container_are_parts_of_its_log() {
        let mut waits = app("a", 0, "restarting", Some("2026-01-01T00:00:05Z"));
        waits.restart_count = Some(7);
        assert_eq!(last(&[waits]), Some(("a".into(), true, false)));
        let mut again = app("a", 1, "running", None);
        again.ended_before = Some("2026-01-01T00:00:50Z".into());
        assert_eq!(last(&[again]), Some(("a".into(), false, true)));
    }
}
