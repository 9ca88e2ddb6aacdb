//! Containers that end again and again by themselves. An end together with the sandbox or the node,
//! or by somebody's signal, does not count.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::findings::{how_it_ended, title};
use super::state::timestamp;
use super::{Container, ContainerFacts, Pod, Run, State};
use crate::finding::{Finding, Remedy, Severity};
use crate::wording::counted;

/// The ends of its own, and the restarts, from which a container is in a loop.
const ENDS: u32 = 3;
const RESTARTS: u32 = 3;
/// The age from which an end does not count any more.
const WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// The longest time between a container's end and its sandbox's that makes them one end.
const TOGETHER: SignedDuration = SignedDuration::from_secs(15);
/// The kubelet waits 10 s before the second restart in a row and twice as long before each more
/// (`pkg/kubelet/kubelet.go`, `backOffPeriod`): a longer wait says that there were three.
const HELD_BACK: SignedDuration = SignedDuration::from_secs(15);
/// Docker waits 100 ms before a restart and twice as long before each more, until a run lasts for
/// 10 s (moby `daemon/../restartmanager`).
const ENGINE_HELD_BACK: SignedDuration = SignedDuration::from_millis(350);
const ENGINE_SHORT_RUN: SignedDuration = SignedDuration::from_secs(10);

/// Each container of the pod that is in a crash loop. `recorded` is its past, as far as it is
/// known.
pub(super) fn findings(
    pod: &Pod,
    facts: &BTreeMap<&str, &ContainerFacts>,
    recorded: &[Run],
    now: Timestamp,
) -> Vec<Finding> {
    let one = |container: &Container| {
        let restarts = container.restarts.filter(|count| *count >= RESTARTS)?;
        let (id, last) = if container.restarted_by_engine {
            (container.id.clone(), restarted_by_engine(container, now)?)
        } else {
            replaced(pod, container, facts, recorded, now)?
        };
        let why = facts
            .get(id.as_str())
            .and_then(|facts| facts.error.as_deref())
            .map_or(String::new(), |error| format!(" ({error})"));
        let message = format!(
            "`{}` was restarted {}; last it {last}{why}",
            container.name,
            counted(restarts as usize, "time"),
        );
        let remedy = Remedy::ReadPrevious {
            pod: title(pod),
            container: container.name.clone(),
        };
        Some(
            Finding::new("crash-loop", Severity::Error, message, remedy)
                .about(vec![container.id.clone()]),
        )
    };
    pod.containers.iter().filter_map(one).collect()
}

/// The last end of a container that its engine restarts in place, in words: the engine counts ends
/// of its own only, since it was last started by hand.
fn restarted_by_engine(container: &Container, now: Timestamp) -> Option<String> {
    let began = timestamp(container.started_at.as_deref());
    let over = timestamp(container.finished_at.as_deref());
    let before = timestamp(container.ended_before.as_deref());
    let last = over.or(before)?;
    if now.duration_since(last) >= WITHIN {
        return None;
    }
    let made = timestamp(container.created_at.as_deref());
    let all_recent = made.is_some_and(|made| now.duration_since(made) < WITHIN);
    let held_back = matches!((before, began), (Some(ended), Some(began))
        if began.duration_since(ended) >= ENGINE_HELD_BACK);
    let short = matches!((began, over), (Some(began), Some(over))
        if over.duration_since(began) < ENGINE_SHORT_RUN);
    (all_recent || held_back || short || container.state == State::Restarting).then(|| {
        if container.exit_code.is_some() {
            how_it_ended(container)
        } else {
            "ended, and runs again".into()
        }
    })
}

/// A run of a container, as far as it matters here.
struct RunTimes<'a> {
    id: &'a str,
    attempt: Option<u32>,
    began: Timestamp,
    ended: Option<Timestamp>,
    sandbox: Option<&'a str>,
    exit_code: Option<i64>,
    oom_killed: Option<bool>,
}

impl RunTimes<'_> {
    /// True where a signal from outside ended it, as somebody's `kill` or `stop` does.
    fn was_told_to_end(&self) -> bool {
        self.oom_killed != Some(true) && matches!(self.exit_code, Some(129 | 130 | 137 | 143))
    }
}

/// The last run that ended, and how it did, of a container whose runs are containers that the
/// kubelet (or a lab) makes one after the other; none where it is in no loop.
fn replaced(
    pod: &Pod,
    container: &Container,
    facts: &BTreeMap<&str, &ContainerFacts>,
    recorded: &[Run],
    now: Timestamp,
) -> Option<(String, String)> {
    let sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up())?;
    let sandbox_began = timestamp(sandbox.started_at.as_deref())?;
    let mut runs = runs(pod, &container.name, facts, recorded);
    // those of this sandbox, since it was last started: older ones ended with what was before it,
    // unless they are known to have ended long before
    runs.retain(|run| match run.sandbox {
        Some(id) if id == sandbox.id => run.began >= sandbox_began,
        Some(id) => pod.sandboxes_before.iter().any(|old| {
            let gone = timestamp(old.finished_at.as_deref());
            old.id == id
                && matches!((run.ended, gone), (Some(ended), Some(gone))
                    if gone.duration_since(ended) > TOGETHER)
        }),
        None => false,
    });
    runs.sort_by_key(|run| run.began);
    let newest = runs.last()?;
    let waits = |ended: Timestamp, until: Timestamp| until.duration_since(ended) >= HELD_BACK;
    // a probe's kill looks like a person's; but who waits for the kubelet so long failed often
    let held_back_now = newest.ended.is_some_and(|ended| waits(ended, now));
    let last = runs.iter().rfind(|run| run.ended.is_some())?;
    let own = |run: &&RunTimes<'_>| !run.was_told_to_end() || held_back_now;
    let recent = |run: &&RunTimes<'_>| {
        run.ended
            .is_some_and(|ended| now.duration_since(ended) < WITHIN)
    };
    if !own(&last) || !recent(&last) {
        return None;
    }
    let counted: Vec<&RunTimes<'_>> = runs.iter().filter(recent).filter(own).collect();
    // runs in between, which are collected, were no better
    let between = counted
        .windows(2)
        .filter(|pair| pair[0].sandbox == pair[1].sandbox)
        .filter_map(|pair| {
            pair[1]
                .attempt?
                .checked_sub(pair[0].attempt?.checked_add(1)?)
        })
        .fold(0, u32::saturating_add);
    // attempts count from 0 in a pod's first sandbox: all of them were in it
    let first_sandbox = sandbox.attempt == Some(0)
        && pod.sandboxes_before.is_empty()
        && !recorded
            .iter()
            .any(|run| run.uid == pod.uid && run.is_sandbox() && run.id != sandbox.id);
    let unseen = if first_sandbox && now.duration_since(sandbox_began) < WITHIN {
        counted.first().and_then(|run| run.attempt).unwrap_or(0)
    } else {
        0
    };
    let ends = u32::try_from(counted.len())
        .unwrap_or(u32::MAX)
        .saturating_add(between)
        .saturating_add(unseen);
    let held_back = held_back_now
        || runs.windows(2).any(|pair| {
            let ended = pair[0]
                .ended
                .filter(|_| own(&&pair[0]) && recent(&&pair[0]));
            ended.is_some_and(|ended| waits(ended, pair[1].began))
                && pair[0].sandbox == pair[1].sandbox
        });
    if ends < ENDS && !held_back {
        return None;
    }
    let mut of_it = pod.containers.iter().chain(&pod.containers_before);
    let words = match (of_it.find(|one| one.id == last.id), last.exit_code) {
        (Some(shown), _) => how_it_ended(shown),
        (None, Some(code)) => format!("ended with exit {code}"),
        (None, None) => "ended".into(),
    };
    Some((last.id.to_owned(), words))
}

/// Every run that is known of the pod's container with this name.
fn runs<'a>(
    pod: &'a Pod,
    name: &str,
    facts: &BTreeMap<&str, &ContainerFacts>,
    recorded: &'a [Run],
) -> Vec<RunTimes<'a>> {
    let all = pod.containers.iter().chain(&pod.containers_before);
    let mut runs: Vec<RunTimes<'a>> = all
        .filter(|one| one.name == name)
        .filter_map(|one| {
            let made = timestamp(one.created_at.as_deref());
            let up = one.state.is_up();
            Some(RunTimes {
                id: &one.id,
                attempt: one.attempt,
                began: timestamp(one.started_at.as_deref()).or(made)?,
                // one that could not be started ended when it was made
                ended: timestamp(one.finished_at.as_deref())
                    .or_else(|| made.filter(|_| one.exit_code.is_some()))
                    .filter(|_| !up),
                sandbox: one.sandbox_id.as_deref(),
                exit_code: one.exit_code,
                oom_killed: one.oom_killed,
            })
        })
        .collect();
    let known: BTreeSet<&str> = runs.iter().map(|run| run.id).collect();
    let past = recorded.iter().filter(|run| {
        run.uid == pod.uid
            && run.container.as_deref() == Some(name)
            && !known.contains(run.id.as_str())
            && !facts.contains_key(run.id.as_str())
    });
    runs.extend(past.filter_map(|run| {
        Some(RunTimes {
            id: &run.id,
            attempt: run.attempt,
            began: run.began()?,
            ended: Some(run.ended()?),
            sandbox: run.sandbox_id.as_deref(),
            exit_code: run.exit_code,
            oom_killed: run.oom_killed,
        })
    }));
    runs
}

#[cfg(test)]
#[path = "crash_loop_tests.rs"]
mod tests;
