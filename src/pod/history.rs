//! Domain: a pod's history from the runs that are known: what began and ended when, and for each
//! restart whether the pod kept its IP address, and why not.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Run;

/// The kind of an event in the history of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventKind {
    SandboxEnded,
    ContainerEnded,
    /// It was made and could not be started.
    ContainerFailed,
    SandboxRemoved,
    ContainerRemoved,
    SandboxStarted,
    ContainerStarted,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Event {
    /// RFC 3339; the node's clock.
    pub(crate) time: String,
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    #[serde(rename = "event")]
    pub(crate) kind: EventKind,
    /// `None` for the sandbox.
    pub(crate) container: Option<String>,
    pub(crate) id: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) sandbox_id: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) oom_killed: Option<bool>,
    pub(crate) ip: Option<String>,
    pub(crate) netns: Option<u64>,
    /// The old and the new address of the pod at a start, if something ran before.
    pub(crate) restart: Option<Restart>,
}

/// A start of what ran before, and what became of the address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Restart {
    pub(crate) same_sandbox: bool,
    /// `None` where one of the addresses is not known.
    pub(crate) ip_kept: Option<bool>,
    pub(crate) ip_before: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) netns_before: Option<u64>,
    pub(crate) netns: Option<u64>,
    /// The reason why the sandbox was replaced.
    pub(crate) because: Option<String>,
    /// All of it in one sentence.
    pub(crate) verdict: String,
}

/// Sandboxes that end within this time of each other ended together.
const TOGETHER: SignedDuration = SignedDuration::from_secs(15);
/// The longest time from an end to a removal by one command, which ends a container to remove it.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(2);

/// The history of the pod with this UID, oldest first. `runs` are those of its whole node;
/// `present` says which containers the engine still has, `up_since` when the node itself was last
/// started, where anyone knows.
pub(crate) fn history(
    uid: &str,
    runs: &[Run],
    present: &BTreeSet<String>,
    up_since: Option<Timestamp>,
) -> Vec<Event> {
    let pod: Vec<&Run> = runs.iter().filter(|run| run.uid == uid).collect();
    let past = Past {
        sandboxes: sandboxes(&pod),
        runs,
        present,
        up_since,
    };
    let mut events = Vec::new();
    for (index, sandbox) in past.sandboxes.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &past.sandboxes[index]);
        let restart = before.map(|before| past.renewal(before, sandbox));
        push(&mut events, sandbox, Some(sandbox), restart);
    }
    let mut containers: Vec<&Run> = pod.into_iter().filter(|run| !run.is_sandbox()).collect();
    containers.sort_by_key(|run| (run.container.clone(), run.began(), run.attempt));
    for (index, run) in containers.iter().enumerate() {
        let before = index
            .checked_sub(1)
            .map(|index| containers[index])
            .filter(|before| before.container == run.container);
        let sandbox = past.sandbox_of(run);
        let restart = before.and_then(|before| past.restart(before, run));
        push(&mut events, run, sandbox, restart);
    }
    // a run that was over at once ended when it began, and not before: of one moment the order is kept
    events.sort_by_cached_key(|event| event.time.parse::<Timestamp>().ok());
    events
}

/// A pod's sandboxes in the order of their starts, with those of which only their containers tell.
fn sandboxes(pod: &[&Run]) -> Vec<Run> {
    let mut all: Vec<Run> = pod
        .iter()
        .filter(|run| run.is_sandbox())
        .map(|run| (*run).clone())
        .collect();
    for run in pod.iter().filter(|run| !run.is_sandbox()) {
        let Some(id) = &run.sandbox_id else { continue };
        match all.iter_mut().find(|sandbox| sandbox.id == *id) {
            None => all.push(Run {
                node: run.node.clone(),
                namespace: run.namespace.clone(),
                pod: run.pod.clone(),
                uid: run.uid.clone(),
                id: id.clone(),
                // not its own start: no later than this
                created_at: run.created_at.clone(),
                ..Run::default()
            }),
            Some(sandbox)
                if sandbox.started_at.is_none() && sandbox.created_at > run.created_at =>
            {
                sandbox.created_at.clone_from(&run.created_at);
            }
            Some(_) => {}
        }
    }
    all.sort_by_key(Run::began);
    all
}

/// Everything known about the past, while a history is made of it.
struct Past<'a> {
    sandboxes: Vec<Run>,
    runs: &'a [Run],
    present: &'a BTreeSet<String>,
    up_since: Option<Timestamp>,
}

impl Past<'_> {
    /// The run of the sandbox in which a container began.
    fn sandbox_of(&self, run: &Run) -> Option<&Run> {
        let id = run.sandbox_id.as_ref()?;
        let same = || self.sandboxes.iter().filter(|sandbox| sandbox.id == *id);
        same()
            .rfind(|sandbox| sandbox.began() <= run.began())
            .or_else(|| same().next())
    }

    /// A container's restart.
    fn restart(&self, before: &Run, run: &Run) -> Option<Restart> {
        run.started_at.as_ref()?;
        let old = self.sandbox_of(before)?;
        let new = self.sandbox_of(run)?;
        if old.id != new.id || old.started_at != new.started_at {
            return Some(self.renewal(old, new));
        }
        let ip = address(new);
        let kept = if new.host_network {
            "IP kept: the node's own".to_owned()
        } else {
            format!("IP kept{}: same sandbox", shown(ip.as_ref()))
        };
        Some(Restart {
            same_sandbox: true,
            // one namespace holds one set of addresses, whether anyone has read them or not
            ip_kept: Some(true),
            ip_before: ip.clone(),
            ip,
            netns_before: before.netns.or(old.netns),
            netns: run.netns.or(new.netns),
            because: None,
            verdict: kept,
        })
    }

    /// A sandbox that came after another.
    fn renewal(&self, old: &Run, new: &Run) -> Restart {
        let (before, now) = (address(old), address(new));
        let same = old.id == new.id;
        // an address is its namespace's: one that is made anew under the same name need not have any
        let lost = same && now.is_none() && new.has_no_address;
        let ip_kept = match (&before, &now) {
            _ if new.host_network && old.host_network => Some(true),
            (Some(_), None) if lost => Some(false),
            (Some(before), Some(now)) => Some(before == now),
            _ => None,
        };
        let because = if same {
            None
        } else {
            Some(self.because(old, new))
        };
        let unknown = |ip: &Option<String>| ip.clone().unwrap_or_else(|| "?".into());
        let address = match ip_kept {
            _ if new.host_network && old.host_network => "IP kept: the node's own".into(),
            Some(true) => format!("IP is {} again", unknown(&now)),
            Some(false) if lost => format!("IP {} lost, there is none now", unknown(&before)),
            None if lost => "there is no IP now".into(),
            Some(false) => format!("IP changed {} -> {}", unknown(&before), unknown(&now)),
            None => format!(
                "IP {} -> {} (? was not seen)",
                unknown(&before),
                unknown(&now)
            ),
        };
        let how = match &because {
            Some(because) => format!("sandbox replaced, because {because}"),
            None => "the sandbox was restarted in place, with a new network namespace; what began before is still in the old one".into(),
        };
        Restart {
            same_sandbox: same,
            ip_kept,
            ip_before: before,
            ip: now,
            netns_before: old.netns,
            netns: new.netns,
            because,
            verdict: format!("{address}: {how}"),
        }
    }

    /// The reason why a sandbox was replaced, as far as anyone has seen it.
    fn because(&self, old: &Run, new: &Run) -> String {
        let node = self.node_restarted(old, new);
        let together = self.ended_together(old);
        match (node, old.exit_code, together) {
            (Some(true), _, _) => return "the node was restarted".into(),
            (Some(false), Some(255), _) => {
                return "its engine found it dead when it came back (exit 255), and the node was up all the while".into();
            }
            (None, Some(255), _) => {
                return "the node went down (its engine found it dead when it came back, exit 255)"
                    .into();
            }
            (Some(false), _, Some(others)) => {
                return format!(
                    "the node's engine was restarted (all {others} sandboxes on it ended at that time)"
                );
            }
            (None, _, Some(others)) => {
                return format!(
                    "the node or its engine was restarted (all {others} sandboxes on it ended at that time)"
                );
            }
            (_, _, None) => {}
        }
        let gone = old.removed_at.is_some() || !self.present.contains(&old.id);
        let removed = old
            .removed_at
            .as_deref()
            .and_then(|at| at.parse::<Timestamp>().ok());
        let at_once = match (old.ended(), removed) {
            (Some(ended), Some(removed)) => removed.duration_since(ended) < AT_ONCE,
            (None, Some(_)) => true,
            // the kubelet counts on from a dead sandbox, and from 0 when there is none
            _ => {
                gone && old.exit_code.is_none()
                    && matches!((old.attempt, new.attempt), (Some(old), Some(new)) if new <= old)
            }
        };
        let removed_first =
            removed.is_none_or(|removed| new.began().is_none_or(|began| removed <= began));
        if gone && at_once && removed_first {
            return match old.exit_code {
                Some(code) => format!("it was removed (exit {code})"),
                None => "it was removed".into(),
            };
        }
        match old.exit_code {
            _ if old.oom_killed == Some(true) => "it was killed for want of memory".into(),
            Some(0) => "it was stopped (exit 0)".into(),
            Some(137) => "it was killed (exit 137)".into(),
            Some(code) => format!("it died (exit code {code})"),
            None if gone => "it ended unseen and is gone".into(),
            // a runtime need not keep how a sandbox ended
            None if old.state.is_some_and(|state| !state.is_up()) => "it ended".into(),
            None => "another was made while it ran".into(),
        }
    }

    /// True where the node itself was restarted between the two; `None` where nobody knows.
    fn node_restarted(&self, old: &Run, new: &Run) -> Option<bool> {
        let up_since = self.up_since?;
        if up_since <= old.began()? {
            return Some(false);
        }
        // what was told to end, or was found dead later; who was removed before the node went down
        // was not replaced because of it
        let with_it = matches!(old.exit_code, None | Some(0 | 137 | 143 | 255));
        let removed = old.removed_at.as_deref().and_then(|at| at.parse().ok());
        let before = removed.is_some_and(|at: Timestamp| at < up_since);
        (with_it && !before && new.began()? >= up_since).then_some(true)
    }

    /// The number of the node's sandboxes that ended together with this one, if all that ran then
    /// did.
    fn ended_together(&self, old: &Run) -> Option<usize> {
        // a node that goes down tells its pause containers to end, and they do
        let told = |run: &Run| matches!(run.exit_code, Some(0 | 143));
        let ended = old.ended().filter(|_| told(old))?;
        // by pod: engines are restarted twice in a row, and each has one sandbox at a time
        let mut together = BTreeSet::from([&old.uid]);
        for other in self.runs.iter().filter(|run| run.uid != old.uid) {
            if other.began().is_none_or(|began| began >= ended) {
                continue;
            }
            match other.ended() {
                Some(at) if ended.duration_since(at).abs() <= TOGETHER => {
                    let pod = (other.is_sandbox() && told(other)).then_some(&other.uid);
                    together.extend(pod);
                }
                Some(at) if at < ended => {}
                // it ran on; or it is gone, and nobody saw when
                Some(_) => return None,
                None if self.present.contains(&other.id)
                    && other.started_at.is_some()
                    && !self.ran_again(other) =>
                {
                    return None;
                }
                None => {}
            }
        }
        (together.len() > 2).then_some(together.len())
    }

    /// True where the same container began a later run: this one is over, though nobody saw its
    /// end.
    fn ran_again(&self, run: &Run) -> bool {
        let mut others = self.runs.iter().filter(|other| other.id == run.id);
        others.any(|other| other.began() > run.began())
    }
}

fn address(sandbox: &Run) -> Option<String> {
    sandbox.ips.first().cloned()
}

fn shown(ip: Option<&String>) -> String {
    ip.map_or(String::new(), |ip| format!(" {ip}"))
}

fn push(events: &mut Vec<Event>, run: &Run, sandbox: Option<&Run>, restart: Option<Restart>) {
    let of_sandbox = run.is_sandbox();
    let event = |time: &str, kind| Event {
        time: time.into(),
        node: run.node.clone(),
        namespace: run.namespace.clone(),
        pod: run.pod.clone(),
        uid: run.uid.clone(),
        kind,
        container: run.container.clone(),
        id: run.id.clone(),
        attempt: run.attempt,
        sandbox_id: run.sandbox_id.clone(),
        exit_code: None,
        oom_killed: None,
        ip: sandbox.and_then(address),
        netns: run
            .netns
            .or_else(|| sandbox.and_then(|sandbox| sandbox.netns)),
        restart: None,
    };
    let pick = |sandbox, container| if of_sandbox { sandbox } else { container };
    if let Some(at) = &run.started_at {
        events.push(Event {
            restart,
            ..event(
                at,
                pick(EventKind::SandboxStarted, EventKind::ContainerStarted),
            )
        });
    } else if let (Some(code), Some(at)) = (run.exit_code, &run.created_at) {
        events.push(Event {
            exit_code: Some(code),
            ..event(at, EventKind::ContainerFailed)
        });
    }
    if let (Some(at), Some(ended)) = (&run.finished_at, run.ended()) {
        // the engine's own digits, unless its clock says that the end was before the start
        let at = if at.parse().is_ok_and(|at: Timestamp| at == ended) {
            at.clone()
        } else {
            ended.to_string()
        };
        events.push(Event {
            exit_code: run.exit_code,
            oom_killed: run.oom_killed,
            ..event(
                &at,
                pick(EventKind::SandboxEnded, EventKind::ContainerEnded),
            )
        });
    }
    if let Some(at) = &run.removed_at {
        events.push(event(
            at,
            pick(EventKind::SandboxRemoved, EventKind::ContainerRemoved),
        ));
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
