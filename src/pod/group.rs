//! Containers of one node in, pods out: kubelet pods and lab pods by their labels, plain Docker
//! containers by whose network they join.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Container, ContainerFacts, Join, Member, Membership, Netns, Origin, Part, PastSandbox, Pod,
    PodKey, PodState, Sandbox, Shares, host_ports, kind, state,
};

/// The treatment of plain containers that share no namespace with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainContainers {
    Hide,
    Show,
}

/// The pods of a node, by namespace, name, and age.
pub(crate) fn pods(
    node: &str,
    all: &[ContainerFacts],
    plain_containers: PlainContainers,
) -> Vec<Pod> {
    let mut made: BTreeMap<&PodKey, Vec<(&ContainerFacts, &Member)>> = BTreeMap::new();
    let mut plain = Vec::new();
    for facts in all {
        match &facts.membership {
            Membership::Pod(member) => made.entry(&member.pod).or_default().push((facts, member)),
            Membership::Helper => {}
            Membership::Plain { .. } => plain.push(facts),
        }
    }
    let mut pods: Vec<Pod> = made
        .into_iter()
        .map(|(key, members)| made_pod(node, key, members))
        .chain(plain_groups(node, &plain, plain_containers))
        .collect();
    for pod in &mut pods {
        pod.state = state::of(pod);
    }
    pods.sort_by(|a, b| {
        let started = |pod: &Pod| pod.sandbox.as_ref().and_then(|s| s.created_at.clone());
        (&a.namespace, &a.name, started(a)).cmp(&(&b.namespace, &b.name, started(b)))
    });
    pods
}

fn made_pod(node: &str, key: &PodKey, members: Vec<(&ContainerFacts, &Member)>) -> Pod {
    let origin = members.first().map_or(Origin::Kubernetes, |m| m.1.origin);
    let (mut sandboxes, parts): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|(_, member)| member.part == Part::Sandbox);
    // the one that runs, else the newest; an attempt counts from 0 again after `docker rm`
    sandboxes.sort_by(|(a, am), (b, bm)| {
        (b.state.is_up(), &b.created_at, bm.attempt).cmp(&(
            a.state.is_up(),
            &a.created_at,
            am.attempt,
        ))
    });
    let newest = sandboxes
        .first()
        .map(|(facts, member)| (*facts, member.attempt));
    let current = newest.map(|(facts, _)| facts);
    let named: Vec<(String, &ContainerFacts)> = parts
        .iter()
        .filter_map(|(facts, member)| match &member.part {
            Part::Container(name) => Some((name.clone(), *facts)),
            Part::Sandbox => None,
        })
        .collect();
    let host_ports = host_ports::host_ports(current, &named);
    let (containers, containers_before) = newest_first(parts, newest, origin);
    Pod {
        node: node.into(),
        labels: current.map_or_else(BTreeMap::new, |facts| pod_labels(facts, origin)),
        annotations: current.map_or_else(BTreeMap::new, |facts| annotations(facts, origin)),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: key.uid.clone(),
        origin,
        state: PodState::Pending,
        ips: current.map_or_else(Vec::new, |facts| facts.ips.clone()),
        host_network: current.is_some_and(|facts| facts.joins.network == Join::Host),
        sandbox: sandboxes.first().map(|(f, m)| sandbox(f, m.attempt)),
        sandboxes_before: sandboxes
            .iter()
            .skip(1)
            .map(|(facts, member)| PastSandbox {
                id: facts.id.clone(),
                attempt: member.attempt,
                state: facts.state,
                ip: facts.ips.iter().chain(&facts.wanted_ips).next().cloned(),
                started_at: facts.started_at.clone(),
                finished_at: facts.finished_at.clone(),
            })
            .collect(),
        containers,
        containers_before,
        sockets: None,
        host_ports,
        networks: BTreeMap::new(),
        kubelet: None,
        findings: Vec::new(),
    }
}

/// Splits a pod's containers into the newest of each name (and any that still runs), in the order
/// in which the pod began them, and dead ones that a newer one replaced, newest first.
fn newest_first(
    parts: Vec<(&ContainerFacts, &Member)>,
    sandbox: Option<(&ContainerFacts, Option<u32>)>,
    origin: Origin,
) -> (Vec<Container>, Vec<Container>) {
    let mut by_name: BTreeMap<String, Vec<(&ContainerFacts, &Member)>> = BTreeMap::new();
    for (facts, member) in parts {
        if let Part::Container(name) = &member.part {
            by_name
                .entry(name.clone())
                .or_default()
                .push((facts, member));
        }
    }
    let mut now = Vec::new();
    let mut before = Vec::new();
    for (name, mut same) in by_name {
        same.sort_by(|(a, am), (b, bm)| {
            (&b.created_at, bm.attempt).cmp(&(&a.created_at, am.attempt))
        });
        for (index, (facts, member)) in same.into_iter().enumerate() {
            let list = if index == 0 || facts.state.is_up() {
                &mut now
            } else {
                &mut before
            };
            list.push((facts, made_container(facts, &name, member)));
        }
    }
    // a restarted container keeps its place among those that were never restarted only by name;
    // what the first look shows is the order of creation
    now.sort_by(|(a, _), (b, _)| (&a.created_at, &a.name).cmp(&(&b.created_at, &b.name)));
    before.sort_by(|(a, _), (b, _)| (&b.created_at, &b.name).cmp(&(&a.created_at, &a.name)));
    let in_sandbox = |one: &Container| {
        sandbox.is_some_and(|(facts, _)| one.sandbox_id.as_ref() == Some(&facts.id))
    };
    let seen: Vec<kind::Seen<'_>> = now
        .iter()
        .map(|(facts, one)| kind::Seen {
            name: &one.name,
            facts,
            attempt: one.attempt,
            before: before
                .iter()
                .rev()
                .filter(|(_, old)| old.name == one.name && in_sandbox(old))
                .map(|(facts, old)| (*facts, old.attempt))
                .collect(),
            in_sandbox: in_sandbox(one),
        })
        .collect();
    let declared = kind::declared(sandbox.map(|(facts, _)| facts), origin);
    let attempt = sandbox.and_then(|(_, attempt)| attempt);
    let kinds = kind::kinds(&seen, attempt, &declared);
    let by_name: BTreeMap<String, &str> = now
        .iter()
        .zip(&kinds)
        .map(|((_, one), kind)| (one.name.clone(), *kind))
        .collect();
    let now = now.into_iter().zip(kinds).map(|((_, mut one), kind)| {
        one.kind = kind.into();
        one
    });
    let before = before.into_iter().map(|(_, mut one)| {
        // an earlier run is what the present one is
        one.kind = by_name.get(&one.name).copied().unwrap_or("app?").into();
        one
    });
    (now.collect(), before.collect())
}

/// A pod's own labels: the kubelet writes them on the sandbox beside its own.
fn pod_labels(facts: &ContainerFacts, origin: Origin) -> BTreeMap<String, String> {
    match origin {
        Origin::Lab => facts
            .labels
            .get("dev.devnet.pod.labels")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default(),
        Origin::Kubernetes => facts
            .labels
            .iter()
            .filter(|(name, _)| !name.starts_with("io.kubernetes."))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Origin::Docker => facts.labels.clone(),
    }
}

/// A pod's annotations: the kubelet's are the sandbox's, and the lab's stand in its manifest.
fn annotations(facts: &ContainerFacts, origin: Origin) -> BTreeMap<String, String> {
    match origin {
        Origin::Lab => facts
            .labels
            .get("dev.devnet.pod.spec")
            .and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok())
            .and_then(|spec| serde_json::from_value(spec.get("annotations")?.clone()).ok())
            .unwrap_or_default(),
        Origin::Kubernetes => facts.annotations.clone(),
        Origin::Docker => BTreeMap::new(),
    }
}

fn sandbox(facts: &ContainerFacts, attempt: Option<u32>) -> Sandbox {
    Sandbox {
        id: facts.id.clone(),
        name: facts.name.clone(),
        image: facts.image.clone(),
        attempt,
        state: facts.state,
        pid: facts.pid,
        created_at: facts.created_at.clone(),
        started_at: facts.started_at.clone(),
        network: facts.network.clone(),
        netns: Netns {
            inode: None,
            // the engine keeps naming the file after the sandbox's end, when it is gone
            path: facts.netns_path.clone().filter(|_| facts.state.is_up()),
        },
        namespaces: None,
    }
}

fn made_container(facts: &ContainerFacts, name: &str, member: &Member) -> Container {
    Container {
        attempt: member.attempt,
        restarts: member.restarts,
        sandbox_id: member.sandbox_id.clone(),
        ..container(facts, name)
    }
}

/// A container as far as it does not depend on its pod.
fn container(facts: &ContainerFacts, name: &str) -> Container {
    Container {
        id: facts.id.clone(),
        name: name.into(),
        kind: "app".into(),
        image: facts.image.clone(),
        image_id: facts.image_id.clone(),
        attempt: None,
        restarts: None,
        state: facts.state,
        exit_code: facts.exit_code,
        oom_killed: facts.oom_killed,
        pid: facts.pid,
        created_at: facts.created_at.clone(),
        started_at: facts.started_at.clone(),
        finished_at: facts.finished_at.clone(),
        ended_before: facts.ended_before.clone(),
        restarted_by_engine: facts.restart_count.is_some_and(|count| count > 0),
        network: facts.network.clone(),
        sandbox_id: None,
        namespaces: None,
        shares: Shares::default(),
    }
}

/// Plain containers, grouped by the one whose network all of them have in the end.
fn plain_groups(
    node: &str,
    plain: &[&ContainerFacts],
    plain_containers: PlainContainers,
) -> Vec<Pod> {
    let mut groups: BTreeMap<String, Vec<&ContainerFacts>> = BTreeMap::new();
    for facts in plain {
        groups
            .entry(network_of(facts, plain))
            .or_default()
            .push(facts);
    }
    groups
        .into_iter()
        .filter(|(root, members)| {
            plain_containers == PlainContainers::Show
                || members.len() > 1
                || members.iter().all(|facts| facts.id != *root)
        })
        .map(|(root, members)| plain_pod(node, &root, &members))
        .collect()
}

/// The ID of the container whose network this one has: the end of the chain of joins. A container that is gone ends the chain too; of a cycle the smallest
/// ID stands for all.
fn network_of(facts: &ContainerFacts, plain: &[&ContainerFacts]) -> String {
    let mut seen = BTreeSet::from([facts.id.clone()]);
    let mut at = facts;
    loop {
        let Some(next) = at.joins.network.container() else {
            return at.id.clone();
        };
        let found = plain
            .iter()
            .find(|other| other.id == *next || other.name == *next);
        let Some(found) = found else {
            return next.clone();
        };
        if !seen.insert(found.id.clone()) {
            return seen.into_iter().next().unwrap_or_default();
        }
        at = found;
    }
}

fn plain_pod(node: &str, root: &str, members: &[&ContainerFacts]) -> Pod {
    let holder = members.iter().find(|facts| facts.id == root).copied();
    let joins = |facts: &ContainerFacts| facts.joins.network.container().is_some();
    let mut containers: Vec<&ContainerFacts> = members
        .iter()
        .copied()
        // a container made only to hold the network is the sandbox and no app
        .filter(|facts| facts.id != root || members.len() == 1 || !is_pause(facts))
        .collect();
    containers.sort_by(|a, b| (&a.created_at, &a.name).cmp(&(&b.created_at, &b.name)));
    let first = holder.or_else(|| containers.first().copied());
    let holder = holder.filter(|facts| !joins(facts));
    let named: Vec<(String, &ContainerFacts)> = containers
        .iter()
        .map(|facts| (facts.name.clone(), *facts))
        .collect();
    Pod {
        node: node.into(),
        namespace: first
            .and_then(|facts| match &facts.membership {
                Membership::Plain { project } => project.clone(),
                Membership::Pod(_) | Membership::Helper => None,
            })
            .unwrap_or_else(|| "docker".into()),
        name: first.map_or_else(|| root.into(), |facts| facts.name.clone()),
        uid: root.into(),
        labels: holder.map_or_else(BTreeMap::new, |facts| pod_labels(facts, Origin::Docker)),
        annotations: BTreeMap::new(),
        origin: Origin::Docker,
        state: PodState::Pending,
        ips: holder.map_or_else(Vec::new, |facts| facts.ips.clone()),
        host_network: holder.is_some_and(|facts| facts.joins.network == Join::Host),
        sandbox: holder.map(|facts| sandbox(facts, None)),
        sandboxes_before: Vec::new(),
        containers: containers
            .into_iter()
            .map(|facts| Container {
                restarts: facts.restart_count,
                // what it joins in the end; the holder of the network joins nobody
                sandbox_id: joins(facts).then(|| root.to_owned()),
                ..container(facts, &facts.name)
            })
            .collect(),
        containers_before: Vec::new(),
        sockets: None,
        host_ports: host_ports::host_ports(holder, &named),
        networks: BTreeMap::new(),
        kubelet: None,
        findings: Vec::new(),
    }
}

fn is_pause(facts: &ContainerFacts) -> bool {
    facts
        .command
        .first()
        .and_then(|program| program.rsplit('/').next())
        == Some("pause")
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
