//! Domain: runs of sandboxes and containers, from a start to an end, known from what an engine lists
//! now, from its events, or from what an earlier devnet wrote down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::timestamp;
use super::{ContainerFacts, Member, Part, Pod, State};

/// One run of a sandbox or of a container. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    /// The container's name in its pod; a sandbox has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<String>,
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    /// The sandbox that a container was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sandbox_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oom_killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) removed_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ips: Vec<String>,
    /// Its network namespace. Numbers compare only while both are in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) netns: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) host_network: bool,
    /// A sandbox's kernel was asked, and its network has no address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_no_address: bool,
}

impl Run {
    pub(crate) fn is_sandbox(&self) -> bool {
        self.container.is_none()
    }

    /// The time when it began, or was at least made.
    pub(crate) fn began(&self) -> Option<jiff::Timestamp> {
        timestamp(self.started_at.as_deref()).or_else(|| timestamp(self.created_at.as_deref()))
    }

    /// The time when it ended; a clock that was read too early does not make that earlier than its
    /// start.
    pub(crate) fn ended(&self) -> Option<jiff::Timestamp> {
        let ended = timestamp(self.finished_at.as_deref())?;
        Some(timestamp(self.started_at.as_deref()).map_or(ended, |started| ended.max(started)))
    }

    /// Takes over what another source knows of the same run; whether that was news.
    fn learn(&mut self, other: &Self) -> bool {
        let before = self.clone();
        if self.node == UNNAMED {
            self.node.clone_from(&other.node);
        }
        first(&mut self.attempt, other.attempt.as_ref());
        first(&mut self.sandbox_id, other.sandbox_id.as_ref());
        first(&mut self.created_at, other.created_at.as_ref());
        first(&mut self.started_at, other.started_at.as_ref());
        first(&mut self.finished_at, other.finished_at.as_ref());
        first(&mut self.removed_at, other.removed_at.as_ref());
        first(&mut self.exit_code, other.exit_code.as_ref());
        take(&mut self.netns, other.netns.as_ref());
        if other.oom_killed == Some(true) || self.oom_killed.is_none() {
            take(&mut self.oom_killed, other.oom_killed.as_ref());
        }
        // what has ended does not run again under this start
        if self.finished_at.is_none() || other.finished_at.is_some() {
            take(&mut self.state, other.state.as_ref());
        }
        // one look may see fewer of the same addresses than another
        if !other.ips.iter().all(|ip| self.ips.contains(ip)) {
            self.ips.clone_from(&other.ips);
        }
        self.host_network |= other.host_network;
        // it may have got one since
        self.has_no_address = self.ips.is_empty() && (self.has_no_address || other.has_no_address);
        *self != before
    }
}

/// Takes the other's value where it knows one.
fn take<T: Clone>(mine: &mut Option<T>, theirs: Option<&T>) {
    if theirs.is_some() {
        *mine = theirs.cloned();
    }
}

/// Takes the other's value where none was known.
fn first<T: Clone>(mine: &mut Option<T>, theirs: Option<&T>) {
    if mine.is_none() {
        *mine = theirs.cloned();
    }
}

/// Something that happened to a container, as a runtime's events tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerEvent {
    /// RFC 3339.
    pub(crate) time: String,
    /// Nanoseconds since 1970.
    pub(crate) nanoseconds: i64,
    pub(crate) change: Change,
    pub(crate) id: String,
    /// Its place in the pod that it was made for, as far as the event tells it.
    pub(crate) member: Option<Member>,
}

/// A change of a container's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Started,
    Ended {
        exit_code: Option<i64>,
    },
    /// The kernel ended a process of it for want of memory.
    OutOfMemory,
    Removed,
    /// A change that neither begins nor ends a run.
    Other,
}

impl ContainerEvent {
    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let words = self.member.iter().flat_map(|member| {
            let pod = [&member.pod.namespace, &member.pod.name, &member.pod.uid];
            let name = match &member.part {
                Part::Sandbox => None,
                Part::Container(name) => Some(name),
            };
            pod.into_iter().chain(name).chain(&member.sandbox_id)
        });
        size_of::<Self>() + self.id.len() + words.map(String::len).sum::<usize>()
    }
}

/// All runs that are known, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    all: Vec<Run>,
    by_id: BTreeMap<(String, bool), Vec<usize>>,
    /// The runs that are new since someone asked.
    news: BTreeSet<usize>,
}

/// An engine tells of a start after it has noted its time, by this much at most.
const TOLD_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// A run may end before the engine tells of its start, by this much at most.
const ENDED_AT_ONCE: jiff::SignedDuration = jiff::SignedDuration::from_millis(200);

/// The name of an engine without a profile until it is asked for its machine's name.
const UNNAMED: &str = "host";

impl Runs {
    pub(crate) fn all(&self) -> &[Run] {
        &self.all
    }

    /// The runs of which something new is known since this was asked last.
    pub(crate) fn take_news(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.news)
            .into_iter()
            .map(|index| self.all[index].clone())
            .collect()
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Drops the runs of these pods. New ones must have been taken before.
    pub(crate) fn forget(&mut self, uids: &BTreeSet<String>) {
        if uids.is_empty() {
            return;
        }
        self.all.retain(|run| !uids.contains(&run.uid));
        self.by_id.clear();
        self.news.clear();
        for (index, run) in self.all.iter().enumerate() {
            let key = (run.id.clone(), run.is_sandbox());
            self.by_id.entry(key).or_default().push(index);
        }
    }

    /// Adds what one source knows of a run; whether that was news.
    pub(crate) fn learn(&mut self, run: &Run) -> bool {
        let known = self
            .by_id
            .entry((run.id.clone(), run.is_sandbox()))
            .or_default();
        // the same container may run several times; one that was not started yet becomes the first
        let same = known.iter().copied().find(|index| {
            let mine = &self.all[*index];
            mine.started_at == run.started_at || mine.started_at.is_none()
        });
        match same {
            Some(index) => {
                let new = self.all[index].learn(run);
                if new {
                    self.news.insert(index);
                }
                new
            }
            // seen before its first start by someone slower
            None if run.started_at.is_none() && !known.is_empty() => false,
            None => {
                known.push(self.all.len());
                self.news.insert(self.all.len());
                self.all.push(run.clone());
                true
            }
        }
    }

    /// Adds what an engine tells in an event.
    pub(crate) fn hear(&mut self, node: &str, heard: &ContainerEvent) {
        let mut run = match self.of(&heard.id) {
            Some(known) => Run {
                // another run of it
                state: None,
                exit_code: None,
                oom_killed: None,
                started_at: None,
                finished_at: None,
                removed_at: None,
                ips: Vec::new(),
                netns: None,
                has_no_address: false,
                ..known.clone()
            },
            None => match stranger(node, heard) {
                Some(run) => run,
                None => return,
            },
        };
        match heard.change {
            Change::Created => {
                run.created_at = Some(heard.time.clone());
                if self.of(&heard.id).is_none() {
                    self.learn(&run);
                }
            }
            Change::Started if self.started(&heard.id, &heard.time).is_none() => {
                run.started_at = Some(heard.time.clone());
                run.state = Some(State::Running);
                self.learn(&run);
            }
            Change::Ended { exit_code } => {
                self.each_of(&heard.id, Some(&heard.time), &run, |run| {
                    if run.finished_at.is_none() {
                        run.finished_at = Some(heard.time.clone());
                        run.exit_code = exit_code;
                        run.state = Some(State::Exited);
                    }
                });
            }
            Change::OutOfMemory => self.each_of(&heard.id, Some(&heard.time), &run, |run| {
                run.oom_killed = Some(true);
            }),
            Change::Removed => self.each_of(&heard.id, None, &run, |run| {
                run.removed_at = Some(heard.time.clone());
            }),
            Change::Started | Change::Other => {}
        }
    }

    /// Any run of that container.
    fn of(&self, id: &str) -> Option<&Run> {
        self.all.iter().rev().find(|run| run.id == id)
    }

    /// The run whose start an event at `time` told.
    fn started(&self, id: &str, time: &str) -> Option<&Run> {
        let told = timestamp(Some(time))?;
        let of_it = self.all.iter().filter(|run| run.id == id);
        let began = of_it.filter_map(|run| Some((timestamp(run.started_at.as_deref())?, run)));
        let (at, run) = began
            .filter(|(at, _)| *at <= told)
            .max_by_key(|(at, _)| *at)?;
        // a run that had ended by then is not the one that was told; it may have ended at once,
        // before the engine came to tell that it had begun
        let over = run
            .ended()
            .is_some_and(|end| told.duration_since(end) > ENDED_AT_ONCE);
        (told.duration_since(at) < TOLD_AFTER && !over).then_some(run)
    }

    /// Changes the newest run of each part that the container plays, as of a time if one is
    /// given; `unknown` stands in where none is known.
    fn each_of(&mut self, id: &str, time: Option<&str>, unknown: &Run, change: impl Fn(&mut Run)) {
        if self.of(id).is_none() {
            self.learn(unknown);
        }
        let limit = timestamp(time);
        for sandbox in [true, false] {
            let Some(places) = self.by_id.get(&(id.to_owned(), sandbox)) else {
                continue;
            };
            let newest = places
                .iter()
                .copied()
                .filter(|index| match (limit, self.all[*index].began()) {
                    (Some(limit), Some(began)) => began <= limit,
                    _ => true,
                })
                .max_by_key(|index| self.all[*index].began());
            if let Some(index) = newest {
                let before = self.all[index].clone();
                change(&mut self.all[index]);
                if self.all[index] != before {
                    self.news.insert(index);
                }
            }
        }
    }
}

/// A container that only an event tells of.
fn stranger(node: &str, heard: &ContainerEvent) -> Option<Run> {
    let member = heard.member.clone()?;
    Some(Run {
        node: node.into(),
        namespace: member.pod.namespace,
        pod: member.pod.name,
        uid: member.pod.uid,
        container: match member.part {
            Part::Sandbox => None,
            Part::Container(name) => Some(name),
        },
        id: heard.id.clone(),
        attempt: member.attempt,
        sandbox_id: member.sandbox_id,
        ..Run::default()
    })
}

/// The runs of sandboxes and containers, as a look at pods tells them.
pub(crate) fn runs<'p, 'f>(
    pods: impl IntoIterator<Item = &'p Pod>,
    facts: impl IntoIterator<Item = &'f ContainerFacts>,
) -> Vec<Run> {
    let facts: BTreeMap<&str, &ContainerFacts> = facts
        .into_iter()
        .map(|facts| (facts.id.as_str(), facts))
        .collect();
    let mut all = Vec::new();
    for pod in pods {
        let of = |id: &str, attempt| {
            let facts = facts.get(id)?;
            Some(Run {
                node: pod.node.clone(),
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                id: id.into(),
                attempt,
                state: Some(facts.state),
                exit_code: facts.exit_code,
                oom_killed: facts.oom_killed.filter(|_| facts.finished_at.is_some()),
                created_at: facts.created_at.clone(),
                started_at: facts.started_at.clone(),
                finished_at: facts.finished_at.clone(),
                ..Run::default()
            })
        };
        if let Some(sandbox) = &pod.sandbox
            && let Some(mut run) = of(&sandbox.id, sandbox.attempt)
        {
            run.host_network = pod.host_network;
            if !pod.host_network {
                run.ips.clone_from(&pod.ips);
            }
            if run.ips.is_empty() {
                run.ips = asked_for(facts.get(sandbox.id.as_str()).copied());
            }
            run.netns = sandbox.netns.inode;
            run.has_no_address = run.ips.is_empty() && pod.has_no_address();
            all.push(run);
        }
        for sandbox in &pod.sandboxes_before {
            if let Some(mut run) = of(&sandbox.id, sandbox.attempt) {
                run.host_network = pod.host_network;
                run.ips = asked_for(facts.get(sandbox.id.as_str()).copied());
                all.push(run);
            }
        }
        for container in pod.containers.iter().chain(&pod.containers_before) {
            if let Some(mut run) = of(&container.id, container.attempt) {
                run.container = Some(container.name.clone());
                run.sandbox_id.clone_from(&container.sandbox_id);
                run.netns = container.namespaces.and_then(|own| own.net);
                all.push(run);
            }
        }
    }
    all
}

/// The addresses of a sandbox that outlive it: those that its maker chose.
fn asked_for(facts: Option<&ContainerFacts>) -> Vec<String> {
    facts.map_or_else(Vec::new, |facts| {
        if facts.state.is_up() && !facts.ips.is_empty() {
            facts.ips.clone()
        } else {
            facts.wanted_ips.clone()
        }
    })
}

/// The IDs that an engine still has.
pub(crate) fn present(facts: &[ContainerFacts]) -> BTreeSet<String> {
    facts.iter().map(|facts| facts.id.clone()).collect()
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
