//! A pod's way back after one of its containers, or its sandbox, was killed: what is still waited
//! for, and in the end what it kept.

use std::fmt::Write as _;

use serde::Serialize;

use super::kind::{is_ephemeral, is_init};
use super::{Container, Pod, State, outlook};

/// A pod as it was before a part of it was killed.
#[derive(Debug)]
pub(crate) struct Killed<'a> {
    pub(crate) before: &'a Pod,
    /// The container that was killed; `None` is the sandbox.
    pub(crate) container: Option<&'a Container>,
}

/// The distance of a pod from being back.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// The part was not ended by the signal yet; this is waited for.
    Survives(String),
    /// The part has ended; this is waited for.
    Waits(String),
    /// Nothing starts it again, and this is why.
    Over(String),
    Back(Box<Comeback>),
}

/// A pod that is back, beside what it was.
#[derive(Debug, PartialEq)]
pub(crate) struct Comeback {
    /// The attempt of the container, or of the sandbox, that runs now.
    pub(crate) attempt: Option<u32>,
    pub(crate) before: Standing,
    pub(crate) after: Standing,
    pub(crate) host_network: bool,
}

/// The place that a pod has in its node's network, and its containers that run there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Standing {
    pub(crate) sandbox_id: Option<String>,
    pub(crate) ips: Vec<String>,
    /// The file that pins its network namespace.
    pub(crate) netns: Option<String>,
    pub(crate) containers: Vec<RunningContainer>,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RunningContainer {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) attempt: Option<u32>,
}

/// The parts that are as they were; unknown is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) sandbox: bool,
    pub(crate) ip: Option<bool>,
    pub(crate) netns: Option<bool>,
}

impl Comeback {
    pub(crate) fn kept(&self) -> Kept {
        let (before, after) = (&self.before, &self.after);
        let known = !before.ips.is_empty() && !after.ips.is_empty();
        Kept {
            sandbox: before.sandbox_id.is_some() && before.sandbox_id == after.sandbox_id,
            ip: if self.host_network {
                // the node's
                Some(true)
            } else {
                known.then(|| before.ips == after.ips)
            },
            netns: before
                .netns
                .as_ref()
                .zip(after.netns.as_ref())
                .map(|(before, after)| before == after),
        }
    }
}

impl Standing {
    pub(crate) fn of(pod: &Pod) -> Self {
        let sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up());
        // one that still ends with the sandbox before has no part in it
        let is_here = |one: &&Container| {
            one.state == State::Running
                && sandbox.is_none_or(|sandbox| one.sandbox_id.as_ref() == Some(&sandbox.id))
        };
        let running = pod.containers.iter().filter(is_here);
        Self {
            sandbox_id: sandbox.map(|one| one.id.clone()),
            ips: pod.ips.clone(),
            netns: sandbox.and_then(|one| one.netns.path.clone()),
            containers: running
                .map(|one| RunningContainer {
                    name: one.name.clone(),
                    id: one.id.clone(),
                    attempt: one.attempt,
                })
                .collect(),
        }
    }
}

impl Killed<'_> {
    /// Compares with the pod as it is now; `None` where its node has nothing of it.
    pub(crate) fn progress(&self, now: Option<&Pod>) -> Progress {
        let Some(now) = now else {
            return Progress::Waits("the pod: its node has nothing of it".to_owned());
        };
        match self.container {
            Some(container) => self.container_progress(container, now),
            None => self.sandbox_progress(now),
        }
    }

    fn container_progress(&self, killed: &Container, now: &Pod) -> Progress {
        let name = &killed.name;
        let of_it = || now.containers.iter().filter(|one| one.name == *name);
        let is_next = |one: &&Container| self.is_new(&one.id);
        if let Some(next) = of_it().find(|one| is_next(one) && one.state == State::Running) {
            return self.back(next.attempt, now);
        }
        let same = of_it().find(|one| one.id == killed.id);
        if same.is_some_and(|one| one.state.is_up()) {
            return Progress::Survives(format!("the end of container `{name}`"));
        }
        let last = of_it().find(is_next).or(same);
        if let Some(why) = self.why_over(now, last.into_iter()) {
            return Progress::Over(why);
        }
        let mut waits = format!("the next attempt of container `{name}`");
        if let Some(failed) = of_it().find(is_next)
            && let (Some(attempt), Some(code)) = (failed.attempt, failed.exit_code)
        {
            let _infallible = write!(waits, ": attempt {attempt} ended with exit code {code}");
        }
        waits.push_str(&reason(now, name));
        Progress::Waits(waits)
    }

    fn sandbox_progress(&self, now: &Pod) -> Progress {
        let before = self.before.sandbox.as_ref().map(|one| &one.id);
        let sandbox = now.sandbox.as_ref().filter(|one| one.state.is_up());
        match sandbox {
            Some(sandbox) if Some(&sandbox.id) == before => {
                Progress::Survives("the end of the sandbox".to_owned())
            }
            Some(sandbox) if self.is_new(&sandbox.id) => {
                let runs = |wanted: &&Container| {
                    now.containers.iter().any(|one| {
                        one.name == wanted.name
                            && one.state == State::Running
                            && one.sandbox_id.as_ref() == Some(&sandbox.id)
                    })
                };
                let missing: Vec<String> = self
                    .before
                    .containers
                    .iter()
                    .filter(|one| one.state.is_up() && !is_init(&one.kind))
                    .filter(|one| !is_ephemeral(&one.kind) && !runs(one))
                    .map(|one| format!("`{}`", one.name))
                    .collect();
                if missing.is_empty() {
                    return self.back(sandbox.attempt, now);
                }
                let names = missing.join(", ");
                Progress::Waits(format!("{names} in the new sandbox"))
            }
            _ => {
                if let Some(why) = self.why_over(now, now.containers.iter()) {
                    return Progress::Over(why);
                }
                Progress::Waits("a new sandbox".to_owned())
            }
        }
    }

    /// True of what was not there before.
    fn is_new(&self, id: &String) -> bool {
        !self.before.ids().any(|known| known == id)
    }

    fn back(&self, attempt: Option<u32>, now: &Pod) -> Progress {
        Progress::Back(Box::new(Comeback {
            attempt,
            before: Standing::of(self.before),
            after: Standing::of(now),
            host_network: now.host_network,
        }))
    }

    /// The proof that what has ended stays so: its restart policy, or that it is deleted.
    fn why_over<'c>(
        &self,
        now: &Pod,
        ended: impl Iterator<Item = &'c Container>,
    ) -> Option<String> {
        if now.kubelet.as_ref().is_some_and(|word| word.terminating) {
            return Some("somebody deletes it".to_owned());
        }
        let codes: Vec<Option<i64>> = ended.map(|one| one.exit_code).collect();
        let ended_well = !codes.is_empty() && codes.iter().all(|code| *code == Some(0));
        let container = self.container.map(|one| one.name.as_str());
        match outlook::restart_policy(self.before, container)?.as_str() {
            "Never" => Some("its restart policy is Never".to_owned()),
            "OnFailure" if ended_well => {
                Some("it ended well, and its restart policy is OnFailure".to_owned())
            }
            _ => None,
        }
    }
}

/// The reason for which a kubelet says that a container waits, with its seconds where it has told them.
fn reason(now: &Pod, container: &str) -> String {
    let declared = now
        .kubelet
        .as_ref()
        .and_then(|word| word.container(container));
    match declared.map(|one| (one.waiting.as_deref(), one.back_off)) {
        Some((Some(reason), Some(seconds))) => {
            format!("; the kubelet waits {seconds} s before it ({reason})")
        }
        Some((Some(reason), None)) => format!("; the kubelet says {reason}"),
        _ => String::new(),
    }
}

/// The doubt whether a pod comes back once a container of it, or its sandbox, is killed; none where the
/// restart policy is Always.
pub(crate) fn doubt(pod: &Pod, container: Option<&Container>) -> Option<&'static str> {
    if pod.kubelet.as_ref().is_some_and(|word| word.terminating) {
        return Some("somebody deletes it: it will not come back");
    }
    let container = container.map(|one| one.name.as_str());
    match outlook::restart_policy(pod, container).as_deref() {
        Some("Always") => None,
        Some("Never") => Some("its restart policy is Never: it will not come back"),
        Some("OnFailure") => Some("its restart policy is OnFailure: it may not come back"),
        _ => Some("its restart policy is not known: it may not come back"),
    }
}

#[cfg(test)]
#[path = "comeback_tests.rs"]
mod tests;
