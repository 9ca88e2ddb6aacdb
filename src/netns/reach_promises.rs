//! The promises of Kubernetes about the network of pods, each with whether it holds and by what that is
//! known.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::{Cell, Listener, Outcome, Resolver, network};
use crate::finding::Finding;
use crate::lab::claim::Proof;
use crate::pod::Pod;
use crate::wording::counted;

/// The promises about the pods `judged`; `pods` are those that ports and cells name by index.
pub(super) fn promises(
    pods: &[Pod],
    judged: &[Pod],
    findings: &[Finding],
    ports: &[Listener],
    cells: &[Cell],
    dns: &[Resolver],
) -> Vec<Proof> {
    vec![
        unique_ip(judged, findings),
        shared_network(judged, findings),
        localhost(ports, cells),
        reachable(ports, cells),
        same_port(pods, ports),
        names(dns, findings),
    ]
}

fn proof(
    id: &'static str,
    claim: &'static str,
    holds: Option<bool>,
    evidence: Vec<String>,
) -> Proof {
    Proof {
        id,
        claim,
        holds,
        expected: true,
        evidence,
    }
}

fn said(findings: &[Finding], codes: &[&str]) -> Vec<String> {
    let ours = findings.iter().filter(|one| codes.contains(&one.code));
    ours.map(|one| one.message.clone()).collect()
}

fn unique_ip(pods: &[Pod], findings: &[Finding]) -> Proof {
    let broken = said(findings, &["duplicate-ip", "no-ip"]);
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| !pod.host_network && !pod.ips.is_empty())
        .collect();
    let different: BTreeSet<&String> = own.iter().flat_map(|pod| &pod.ips).collect();
    let (holds, evidence) = match (broken.is_empty(), own.len()) {
        (false, _) => (Some(false), broken),
        (true, 0) => (None, vec!["no pod has an address of its own".into()]),
        (true, count) => (
            Some(true),
            vec![format!(
                "{} in {}",
                counted(different.len(), "different address"),
                counted(count, "pod")
            )],
        ),
    };
    proof(
        "unique-ip",
        "every pod has an IP of its own",
        holds,
        evidence,
    )
}

fn shared_network(pods: &[Pod], findings: &[Finding]) -> Proof {
    let broken = said(
        findings,
        &["split-pod", "orphan-container", "duplicate-sandbox"],
    );
    let shared = pods
        .iter()
        .flat_map(|pod| &pod.containers)
        .filter(|one| one.shares.net == Some(true))
        .count();
    let (holds, evidence) = match (broken.is_empty(), shared) {
        (false, _) => (Some(false), broken),
        (true, 0) => (None, vec!["no container joins a sandbox".into()]),
        (true, count) => (
            Some(true),
            vec![format!(
                "{} in the namespace of the pod's sandbox, by inode",
                counted(count, "container")
            )],
        ),
    };
    let claim = "the containers of a pod share one network namespace";
    proof("shares-net", claim, holds, evidence)
}

/// Tallies cells of one kind: how many are as promised, and the first that are not.
fn tally(cells: &[&Cell], what: &str) -> (Option<bool>, Vec<String>) {
    let promised: Vec<&&Cell> = cells
        .iter()
        .filter(|cell| cell.promised && cell.outcome != Outcome::Unknown)
        .collect();
    let broken: Vec<&&&Cell> = promised.iter().filter(|cell| cell.is_broken()).collect();
    if promised.is_empty() {
        return (None, vec![format!("no {what} to try")]);
    }
    let mut evidence = vec![format!(
        "{} of {} {what} ok",
        promised.len() - broken.len(),
        promised.len()
    )];
    evidence.extend(broken.iter().take(3).map(|cell| {
        format!(
            "{} to {}: {}",
            cell.from,
            cell.target(),
            cell.outcome.word()
        )
    }));
    (Some(broken.is_empty()), evidence)
}

fn localhost(ports: &[Listener], cells: &[Cell]) -> Proof {
    // an address of several is enough: `::1` may refuse what `127.0.0.1` takes
    let mut best: BTreeMap<usize, &Cell> = BTreeMap::new();
    for cell in cells
        .iter()
        .filter(|cell| ports[cell.port_index].pod == cell.asker)
    {
        let known = best.entry(cell.port_index).or_insert(cell);
        if cell.outcome < known.outcome {
            *known = cell;
        }
    }
    let own: Vec<&Cell> = best.into_values().collect();
    let (holds, evidence) = tally(&own, "listeners from their own pod");
    let claim = "containers of a pod reach each other on localhost";
    proof("localhost", claim, holds, evidence)
}

fn reachable(ports: &[Listener], cells: &[Cell]) -> Proof {
    let across: Vec<&Cell> = cells
        .iter()
        .filter(|cell| ports[cell.port_index].pod != cell.asker)
        .collect();
    let (holds, evidence) = tally(&across, "ways from pod to pod");
    let claim = "every pod reaches every other pod's listeners";
    proof("reachable", claim, holds, evidence)
}

fn same_port(pods: &[Pod], ports: &[Listener]) -> Proof {
    let mut pods_of: BTreeMap<(u16, &str), BTreeSet<usize>> = BTreeMap::new();
    for port in ports.iter().filter(|port| !pods[port.pod].host_network) {
        let key = (port.port, port.proto.as_str());
        pods_of.entry(key).or_default().insert(port.pod);
    }
    pods_of.retain(|_, pods| pods.len() > 1);
    let mut apart = true;
    let mut evidence = Vec::new();
    for ((port, proto), indexes) in &pods_of {
        let networks: BTreeSet<_> = indexes.iter().map(|index| network(&pods[*index])).collect();
        apart &= networks.len() == indexes.len();
        evidence.push(format!(
            "{port}/{proto} is held in {}, in {}",
            counted(indexes.len(), "pod"),
            counted(networks.len(), "network namespace")
        ));
    }
    let holds = (!pods_of.is_empty()).then_some(apart);
    let claim = "the same port in two pods does not collide";
    proof("same-port-two-pods", claim, holds, evidence)
}

fn names(dns: &[Resolver], findings: &[Finding]) -> Proof {
    let broken = said(findings, &["dns"]);
    let claim = "a pod's own resolver knows the cluster's names";
    let knowing: Vec<&Resolver> = dns.iter().filter(|one| one.is_of_cluster()).collect();
    let (holds, evidence) = match (broken.is_empty(), knowing.len()) {
        (false, _) => (Some(false), broken),
        (true, 0) => (None, vec!["no pod searches a cluster's domain".into()]),
        (true, count) => (
            Some(true),
            vec![format!(
                "{} asked, each pod has one that answers",
                counted(count, "resolver")
            )],
        ),
    };
    proof("dns", claim, holds, evidence)
}
