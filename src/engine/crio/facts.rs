//! The facts of a cri-o node's containers, from what CRI lists and what it tells of each. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::notes::{addresses, note, published};
use crate::engine::cri::facts::{
    container_membership, newest_first, own, process_in, sandbox_membership, time,
};
use crate::engine::cri::held::Verbose;
use crate::engine::cri::messages::{
    Container, ContainerState, ContainerStatus, ContainerStatusResponse, NamespaceMode,
    NamespaceOption, PodSandbox, PodSandboxState, PodSandboxStatusResponse,
};
use crate::engine::cri::spec::Namespace;
use crate::pod::{ContainerFacts, Join, Joins, LogStore, State};

/// The answers of one look at a node.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) sandboxes: Vec<PodSandbox>,
    pub(super) containers: Vec<Container>,
    /// The details of each sandbox, by ID.
    pub(super) of_sandboxes: BTreeMap<String, Arc<SandboxDetail>>,
    /// The details of each container, by ID.
    pub(super) of_containers: BTreeMap<String, Arc<ContainerDetail>>,
}

/// A sandbox's status, as far as facts are made of it.
#[derive(Debug, Default)]
pub(super) struct SandboxDetail {
    /// Also of one that has ended.
    addresses: Vec<String>,
    wants: NamespaceOption,
    verbose: Verbose,
}

impl From<PodSandboxStatusResponse> for SandboxDetail {
    fn from(answer: PodSandboxStatusResponse) -> Self {
        let status = answer.status.unwrap_or_default();
        let verbose = Verbose::read(&answer.info);
        let network = status.network.unwrap_or_default();
        let more = network.additional_ips.into_iter().map(|more| more.ip);
        let told: Vec<String> = std::iter::once(network.ip)
            .chain(more)
            .filter(|address| !address.is_empty())
            .collect();
        let namespaces = status.linux.and_then(|linux| linux.namespaces);
        Self {
            addresses: if told.is_empty() {
                addresses(&verbose.runtime_spec)
            } else {
                told
            },
            wants: namespaces
                .and_then(|namespaces| namespaces.options)
                .unwrap_or_default(),
            verbose,
        }
    }
}

/// A container's status, as far as facts are made of it.
#[derive(Debug, Default)]
pub(super) struct ContainerDetail {
    status: ContainerStatus,
    verbose: Verbose,
}

impl From<ContainerStatusResponse> for ContainerDetail {
    fn from(answer: ContainerStatusResponse) -> Self {
        Self {
            verbose: Verbose::read(&answer.info),
            status: answer.status.unwrap_or_default(),
        }
    }
}

/// The facts, newest first.
pub(super) fn facts(answers: &Answers) -> Vec<ContainerFacts> {
    let sandboxes = answers.sandboxes.iter();
    let containers = answers.containers.iter();
    let mut all: Vec<ContainerFacts> = sandboxes
        .map(|one| sandbox(one, answers))
        .chain(containers.map(|one| container(one, answers)))
        .collect();
    newest_first(&mut all);
    all
}

fn sandbox(one: &PodSandbox, answers: &Answers) -> ContainerFacts {
    let nothing = Arc::default();
    let detail = answers.of_sandboxes.get(&one.id).unwrap_or(&nothing);
    let spec = &detail.verbose.runtime_spec;
    let ready = one.state() == PodSandboxState::Ready;
    let pinned = |kind: &str| match own(&spec.linux.namespaces, kind) {
        Join::Path(path) => Some(path),
        _ => None,
    };
    // a namespace that is the node's is pinned like any other: what was asked for tells it
    let join = |kind: &str, wanted: NamespaceMode| match wanted {
        NamespaceMode::Node => Join::Host,
        _ => own(&spec.linux.namespaces, kind),
    };
    ContainerFacts {
        id: one.id.clone(),
        name: note(spec, "Name").to_owned(),
        image: note(spec, "ImageName").to_owned(),
        command: spec.process.args.clone(),
        labels: one.labels.clone(),
        annotations: one.annotations.clone(),
        membership: sandbox_membership(one),
        state: if ready { State::Running } else { State::Exited },
        // most have none: cri-o drops the process that would only hold the namespaces
        pid: detail.verbose.pid.filter(|pid| ready && *pid != 0),
        created_at: time(one.created_at),
        // a sandbox is made and started by one call
        started_at: time(one.created_at),
        joins: Joins {
            network: join("network", detail.wants.network()),
            ipc: join("ipc", detail.wants.ipc()),
            pid: join("pid", detail.wants.pid()),
            uts: own(&spec.linux.namespaces, "uts"),
        },
        ips: if ready {
            detail.addresses.clone()
        } else {
            Vec::new()
        },
        wanted_ips: detail.addresses.clone(),
        netns_path: pinned("network").filter(|_| detail.wants.network() != NamespaceMode::Node),
        published: published(spec),
        ..ContainerFacts::default()
    }
}

fn container(one: &Container, answers: &Answers) -> ContainerFacts {
    let detail = answers.of_containers.get(&one.id);
    let spec = detail.map(|detail| &detail.verbose.runtime_spec);
    let status = detail.map(|detail| &detail.status);
    let state = match status.map_or(one.state(), ContainerStatus::state) {
        ContainerState::Created => State::Created,
        ContainerState::Running => State::Running,
        ContainerState::Exited => State::Exited,
        ContainerState::Unknown => State::Unknown,
    };
    let over = status.filter(|_| state == State::Exited);
    let noted = |name: &str| spec.map_or("", |spec| note(spec, name));
    let asked = status.and_then(|status| status.image.as_ref());
    let image = [
        asked.map_or("", |image| &image.user_specified_image),
        asked.map_or("", |image| &image.image),
        noted("ImageName"),
        one.image.as_ref().map_or("", |image| &image.image),
    ];
    let log = [
        status.map_or("", |status| &status.log_path),
        noted("LogPath"),
    ];
    ContainerFacts {
        id: one.id.clone(),
        name: noted("Name").to_owned(),
        image: first_given(&image).unwrap_or_default().to_owned(),
        image_id: first_given(&[&one.image_id, &one.image_ref]).map(image_id),
        command: spec.map_or_else(Vec::new, |spec| spec.process.args.clone()),
        labels: one.labels.clone(),
        annotations: one.annotations.clone(),
        membership: container_membership(one, &answers.sandboxes),
        exit_code: over.map(|status| i64::from(status.exit_code)),
        oom_killed: over.map(|status| status.reason == "OOMKilled"),
        error: over
            .map(|status| status.message.clone())
            .filter(|message| !message.is_empty()),
        // the number of one that has ended still stands there, and may be another's by now
        pid: detail
            .filter(|_| state == State::Running)
            .and_then(|detail| detail.verbose.pid)
            .filter(|pid| *pid != 0),
        created_at: time(one.created_at),
        started_at: status.and_then(|status| time(status.started_at)),
        finished_at: over.and_then(|status| time(status.finished_at)),
        joins: spec.map_or_else(Joins::default, |spec| {
            joins(&spec.linux.namespaces, &one.pod_sandbox_id, answers)
        }),
        log: first_given(&log).map(|path| LogStore::Files(path.to_owned())),
        state,
        ..ContainerFacts::default()
    }
}

/// The first of these words that says something.
fn first_given<'w>(words: &[&'w str]) -> Option<&'w str> {
    words.iter().find(|word| !word.is_empty()).copied()
}

/// An image's ID as other runtimes write it: cri-o leaves the algorithm out.
pub(in crate::engine) fn image_id(id: &str) -> String {
    let is_bare = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_bare {
        format!("sha256:{id}")
    } else {
        id.to_owned()
    }
}

/// The namespaces of a pod's container: the files that pin its sandbox's, or, for processes that are
/// shared, those of a process (`/proc/PID/ns/pid`): the sandbox's, or that of a container which it was
/// added to look at.
fn joins(namespaces: &[Namespace], sandbox: &str, answers: &Answers) -> Joins {
    let of_sandbox = answers.of_sandboxes.get(sandbox);
    let join = |kind: &str| {
        let named = own(namespaces, kind);
        let Join::Path(path) = &named else {
            return named;
        };
        let Some(pid) = process_in(path) else {
            let pinned = of_sandbox.map(|detail| &detail.verbose.runtime_spec.linux.namespaces);
            let is_sandboxes = pinned.is_some_and(|pinned| own(pinned, kind) == named);
            return if is_sandboxes {
                Join::Container(sandbox.to_owned())
            } else {
                named
            };
        };
        let mut containers = answers.of_containers.iter();
        let holder = containers.find(|(_, detail)| {
            detail.verbose.pid == Some(pid) && detail.status.state() == ContainerState::Running
        });
        Join::Container(holder.map_or(sandbox, |(id, _)| id).to_owned())
    };
    Joins {
        network: join("network"),
        ipc: join("ipc"),
        pid: join("pid"),
        uts: join("uts"),
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
