//! The facts of a node's containers, from what CRI lists and what containerd keeps beside it. Pure.

use std::collections::BTreeMap;

use super::messages::{Process, Status};
use super::notes::{Description, PortMapping};
use crate::engine::cri::Lists;
use crate::engine::cri::facts::{
    container_membership, newest_first, own, process_in, sandbox_membership, time,
};
use crate::engine::cri::messages::{
    Container, ContainerState, ContainerStatus, PodSandbox, PodSandboxState,
};
use crate::engine::cri::spec::Namespace;
use crate::pod::{ContainerFacts, Join, Joins, LogStore, Published, State};

/// The answers of one look at a node.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) lists: Lists,
    /// The contents of containerd's records of both, by ID.
    pub(super) records: BTreeMap<String, Description>,
    /// The first processes, by their container's ID; what has ended has none.
    pub(super) tasks: BTreeMap<String, Process>,
    /// The statuses of containers, by ID.
    pub(super) statuses: BTreeMap<String, ContainerStatus>,
}

/// The facts, newest first.
pub(super) fn facts(answers: &Answers) -> Vec<ContainerFacts> {
    Reading::of(answers, &answers.lists, Some(&answers.tasks)).facts()
}

/// The facts as far as lists tell them, newest first: who there is, and who is up.
pub(super) fn outline(lists: &Lists) -> Vec<ContainerFacts> {
    Reading::of(&Answers::default(), lists, None).facts()
}

/// The answers of one look while facts are made of them.
struct Reading<'a> {
    answers: &'a Answers,
    lists: &'a Lists,
    /// `None` where nobody asked for them.
    tasks: Option<&'a BTreeMap<String, Process>>,
    /// The container of each first process.
    holders: BTreeMap<u32, &'a str>,
    described_nowhere: Description,
}

impl<'a> Reading<'a> {
    fn of(
        answers: &'a Answers,
        lists: &'a Lists,
        tasks: Option<&'a BTreeMap<String, Process>>,
    ) -> Self {
        let all = tasks.into_iter().flatten();
        Self {
            answers,
            lists,
            tasks,
            holders: all.map(|(id, task)| (task.pid, id.as_str())).collect(),
            described_nowhere: Description::default(),
        }
    }

    fn facts(&self) -> Vec<ContainerFacts> {
        let sandboxes = self.lists.sandboxes.iter();
        let containers = self.lists.containers.iter();
        let mut all: Vec<ContainerFacts> = sandboxes
            .map(|one| self.sandbox(one))
            .chain(containers.map(|one| self.container(one)))
            .collect();
        newest_first(&mut all);
        all
    }

    fn description(&self, id: &str) -> &Description {
        let known = self.answers.records.get(id);
        known.unwrap_or(&self.described_nowhere)
    }

    fn task(&self, id: &str) -> Option<&Process> {
        self.tasks.and_then(|tasks| tasks.get(id))
    }

    /// True for a container that was made for this sandbox.
    fn is_made_for(&self, id: &str, sandbox: &str) -> bool {
        let mut containers = self.lists.containers.iter();
        containers.any(|one| one.id == id && one.pod_sandbox_id == sandbox)
    }

    fn sandbox(&self, one: &PodSandbox) -> ContainerFacts {
        let Description {
            image,
            spec,
            sandbox: notes,
            ..
        } = self.description(&one.id);
        let task = self.task(&one.id);
        let ready = one.state() == PodSandboxState::Ready;
        let addresses: Vec<String> = std::iter::once(&notes.ip)
            .chain(notes.additional_ips.iter().flatten())
            .filter(|address| !address.is_empty())
            .cloned()
            .collect();
        ContainerFacts {
            id: one.id.clone(),
            name: notes.name.clone(),
            image: image.clone(),
            command: spec.process.args.clone(),
            labels: one.labels.clone(),
            annotations: one.annotations.clone(),
            membership: sandbox_membership(one),
            state: match task {
                Some(task) if ready => up(task),
                // a sandbox that may not be used any more, and whose process is still there
                Some(task) if task.status() == Status::Running => State::Stopping,
                None if ready && self.tasks.is_none() => State::Running,
                _ => State::Exited,
            },
            pid: pid(task),
            created_at: time(one.created_at),
            // a sandbox is made and started by one call
            started_at: time(one.created_at),
            joins: Joins {
                network: own(&spec.linux.namespaces, "network"),
                ipc: own(&spec.linux.namespaces, "ipc"),
                pid: own(&spec.linux.namespaces, "pid"),
                uts: own(&spec.linux.namespaces, "uts"),
            },
            ips: if ready { addresses.clone() } else { Vec::new() },
            wanted_ips: addresses,
            netns_path: Some(notes.netns_path.clone()).filter(|path| !path.is_empty()),
            published: notes
                .config
                .port_mappings
                .iter()
                .filter_map(published)
                .collect(),
            ..ContainerFacts::default()
        }
    }

    fn container(&self, one: &Container) -> ContainerFacts {
        let Description {
            image: of_record,
            spec,
            container: notes,
            ..
        } = self.description(&one.id);
        let task = self.task(&one.id);
        let status = self.answers.statuses.get(&one.id);
        let image = one.image.clone().unwrap_or_default();
        let told = status.map_or(one.state(), ContainerStatus::state);
        let state = match (told, task) {
            (ContainerState::Created, _) => State::Created,
            (ContainerState::Running, Some(task)) => up(task),
            (ContainerState::Running, None) => State::Running,
            (ContainerState::Exited, _) => State::Exited,
            (ContainerState::Unknown, _) => State::Unknown,
        };
        let over = state == State::Exited;
        let log = status.map(|status| status.log_path.clone());
        let log = log
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| notes.log_path.clone());
        ContainerFacts {
            id: one.id.clone(),
            name: notes.name.clone(),
            image: [&image.user_specified_image, of_record, &image.image]
                .into_iter()
                .find(|name| !name.is_empty())
                .cloned()
                .unwrap_or_default(),
            image_id: [&one.image_id, &one.image_ref]
                .into_iter()
                .find(|id| !id.is_empty())
                .cloned(),
            command: spec.process.args.clone(),
            labels: one.labels.clone(),
            annotations: one.annotations.clone(),
            membership: container_membership(one, &self.lists.sandboxes),
            exit_code: status
                .filter(|_| over)
                .map(|status| i64::from(status.exit_code)),
            oom_killed: status
                .filter(|_| over)
                .map(|status| status.reason == "OOMKilled"),
            error: status
                .filter(|status| over && !status.message.is_empty())
                .map(|status| status.message.clone()),
            pid: pid(task),
            created_at: time(one.created_at),
            started_at: status.and_then(|status| time(status.started_at)),
            finished_at: status
                .filter(|_| over)
                .and_then(|status| time(status.finished_at)),
            joins: self.joins(&spec.linux.namespaces, &one.pod_sandbox_id),
            log: Some(log)
                .filter(|path| !path.is_empty())
                .map(LogStore::Files),
            state,
            ..ContainerFacts::default()
        }
    }

    /// The namespaces of a pod's container. Their paths name processes (`/proc/PID/ns/net`): those of
    /// its sandbox, or of the container that it was added to look at.
    fn joins(&self, namespaces: &[Namespace], sandbox: &str) -> Joins {
        let of_sandbox = &self.description(sandbox).spec.linux.namespaces;
        let join = |kind: &str| {
            let named = own(namespaces, kind);
            let Join::Path(path) = &named else {
                return named;
            };
            let Some(pid) = process_in(path) else {
                return named;
            };
            match self.holders.get(&pid) {
                // a number is given anew: what has it by now may be of another pod
                Some(id) if self.is_made_for(id, sandbox) => Join::Container((*id).to_owned()),
                // where its sandbox has ended, nobody else's number stands there
                _ if own(of_sandbox, kind) == Join::Host => Join::Host,
                _ => Join::Container(sandbox.to_owned()),
            }
        };
        Joins {
            network: join("network"),
            ipc: join("ipc"),
            pid: join("pid"),
            uts: join("uts"),
        }
    }
}

/// The state of what is there: a task that is frozen is paused.
fn up(task: &Process) -> State {
    match task.status() {
        Status::Paused | Status::Pausing => State::Paused,
        Status::Stopped => State::Exited,
        Status::Created => State::Created,
        Status::Running | Status::Unknown => State::Running,
    }
}

fn pid(task: Option<&Process>) -> Option<u32> {
    task.filter(|task| task.status() != Status::Stopped)
        .map(|task| task.pid)
        .filter(|pid| *pid != 0)
}

fn published(port: &PortMapping) -> Option<Published> {
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port != 0);
    Some(Published {
        proto: match port.protocol {
            0 => "tcp",
            1 => "udp",
            2 => "sctp",
            _ => return None,
        }
        .to_owned(),
        host_ip: match port.host_ip.as_str() {
            "" => "0.0.0.0".to_owned(),
            ip => ip.to_owned(),
        },
        host_port: number(port.host_port)?,
        port: number(port.container_port)?,
    })
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
