//! The verdict on each promise of Kubernetes about the network of pods, and for each broken one a
//! finding with its place, its evidence and its remedy.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::{Cell, Listener, Outcome, Resolver, entrance, full_name, network};
use crate::finding::{Finding, Remedy, Severity};
use crate::lab::claim::Proof;
use crate::pod::{Origin, Pod};
use crate::wording::{SOME, counted, grouped, listed};

/// The report of a check. Subjects of its findings are `namespace/name` of pods, and IDs of
/// containers.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// `None`: nothing broken was seen, and not everything could be.
    pub(crate) kept: Option<bool>,
    /// The things that could not be looked at.
    pub(crate) unseen: Vec<String>,
    pub(crate) promises: Vec<Proof>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) dns: Vec<Resolver>,
}

/// Findings of a look at the pods that mean a broken promise.
const BREAKS: [&str; 5] = [
    "duplicate-ip",
    "duplicate-sandbox",
    "loopback-only",
    "orphan-container",
    "split-pod",
];

/// Judges `judged`; `pods` are those that ports and cells name by index, `of_several` findings that
/// belong to no one pod.
pub(crate) fn judge(
    pods: &[Pod],
    judged: &[Pod],
    of_several: &[Finding],
    ports: Vec<Listener>,
    cells: Vec<Cell>,
    dns: Vec<Resolver>,
) -> Report {
    let mut findings: Vec<Finding> = judged
        .iter()
        .flat_map(|pod| pod.findings.iter().map(move |one| (Some(pod), one)))
        .chain(of_several.iter().map(|one| (None, one)))
        .filter(|(_, one)| BREAKS.contains(&one.code))
        .map(|(pod, one)| taken_over(pod, one))
        .collect();
    findings.extend(judged.iter().filter_map(without_address));
    findings.extend(unreached(pods, &ports, &cells));
    findings.extend(without_names(&dns));
    let findings = said_once(findings);
    let promises = vec![
        unique_ip(judged, &findings),
        shared_network(judged, &findings),
        localhost(&ports, &cells),
        reachable(&ports, &cells),
        same_port(pods, &ports),
        names(&dns, &findings),
    ];
    let unseen = unseen(judged, &cells);
    Report {
        schema: 1,
        kept: match (findings.is_empty(), unseen.is_empty()) {
            (false, _) => Some(false),
            (true, true) => Some(true),
            (true, false) => None,
        },
        unseen,
        promises,
        findings,
        listeners: ports,
        cells,
        dns,
    }
}

/// Findings that are equal but for the pod, as one that names them all.
fn said_once(findings: Vec<Finding>) -> Vec<Finding> {
    // such a message begins with its pod's name
    let without_pod = |one: &Finding| -> Option<String> {
        let rest = one.message.strip_prefix(one.subjects.first()?.as_str())?;
        rest.strip_prefix(": ").map(str::to_owned)
    };
    let of_one = std::cell::Cell::new(0_usize);
    let groups = grouped(findings, |one| {
        if let Some(text) = without_pod(one) {
            return (one.code, text, Some(one.remedy.clone()), 0);
        }
        // of no pod: equal to no other
        of_one.set(of_one.get() + 1);
        (one.code, String::new(), None, of_one.get())
    });
    groups
        .into_iter()
        .filter_map(|group| {
            let text = group.first().and_then(without_pod);
            let count = group.len();
            let mut all = group.into_iter();
            let mut first = all.next()?;
            let Some(text) = text.filter(|_| count > 1) else {
                return Some(first);
            };
            let mut names: Vec<String> = first.subjects.first().cloned().into_iter().collect();
            for other in all {
                names.extend(other.subjects.first().cloned());
                first.subjects.extend(other.subjects);
                first.evidence.extend(other.evidence);
            }
            let mut seen = BTreeSet::new();
            first.evidence.retain(|line| seen.insert(line.clone()));
            let pods = counted(names.len(), "pod");
            first.message = format!("{pods} ({}): {text}", listed(&names, SOME));
            Some(first)
        })
        .collect()
}

/// Pods whose listeners nobody could see, and promised ways that nobody tried.
fn unseen(judged: &[Pod], cells: &[Cell]) -> Vec<String> {
    let mut all: Vec<String> = judged
        .iter()
        .filter(|pod| entrance(pod).is_some() && pod.sockets.is_none())
        .map(|pod| format!("what listens in {} is not known", full_name(pod)))
        .collect();
    let mut untried: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells
        .iter()
        .filter(|cell| cell.promised && cell.outcome == Outcome::Unknown)
    {
        *untried.entry(&cell.from).or_default() += 1;
    }
    all.extend(untried.into_iter().map(|(from, count)| {
        let were = if count == 1 { "was" } else { "were" };
        format!("{} from {from} {were} not tried", counted(count, "way"))
    }));
    all
}

/// A promise that is not kept.
fn broken(code: &'static str, message: String, remedy: Remedy) -> Finding {
    Finding::new(code, Severity::Error, message, remedy)
}

fn taken_over(pod: Option<&Pod>, finding: &Finding) -> Finding {
    let name = pod.map(full_name);
    let message = match &name {
        Some(name) => format!("{name}: {}", finding.message),
        None => finding.message.clone(),
    };
    Finding {
        evidence: pod.map(numbers).unwrap_or_default(),
        ..broken(finding.code, message, finding.remedy.clone())
            .about(name.into_iter().chain(finding.subjects.clone()).collect())
    }
}

/// The network namespaces of a pod's processes, where they differ.
fn numbers(pod: &Pod) -> Vec<String> {
    let sandbox = pod
        .sandbox
        .as_ref()
        .and_then(|one| Some(("sandbox", one.namespaces?.net?)));
    let containers = pod
        .containers
        .iter()
        .filter_map(|one| Some((one.name.as_str(), one.namespaces?.net?)));
    let all: Vec<(&str, u64)> = sandbox.into_iter().chain(containers).collect();
    if all.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return Vec::new();
    }
    all.into_iter()
        .map(|(name, inode)| format!("{name} is in net:[{inode}]"))
        .collect()
}

fn without_address(pod: &Pod) -> Option<Finding> {
    let up = pod.sandbox.as_ref().is_some_and(|one| one.state.is_up());
    let known = pod.sandbox.as_ref()?.namespaces?.net.is_some();
    if !up || !known || pod.host_network || !pod.ips.is_empty() || pod.origin == Origin::Docker {
        return None;
    }
    let message = format!("{} has no address of its own", full_name(pod));
    let remedy = match pod.origin {
        Origin::Lab => Remedy::RestartLabPod {
            pod: full_name(pod),
        },
        _ => "delete the pod: the network plugin gives its successor an address".into(),
    };
    Some(
        broken("no-ip", message, remedy)
            .seen("its network namespace holds loopback alone")
            .about(vec![full_name(pod)]),
    )
}

/// One finding for each port and each way in which it is not reached.
fn unreached(pods: &[Pod], ports: &[Listener], cells: &[Cell]) -> Vec<Finding> {
    let mut groups: BTreeMap<(usize, bool, Outcome), Vec<&Cell>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.is_broken()) {
        let own = ports[cell.port_index].pod == cell.asker;
        let own_is_enough = own
            && cells.iter().any(|other| {
                other.port_index == cell.port_index
                    && other.asker == cell.asker
                    && other.outcome == Outcome::Ok
            });
        if !own_is_enough {
            groups
                .entry((cell.port_index, own, cell.outcome))
                .or_default()
                .push(cell);
        }
    }
    groups
        .into_iter()
        // a frozen program is frozen for all, its own pod too: once is enough
        .filter(|((index, own, outcome), _)| {
            let of_others = |cell: &Cell| {
                cell.port_index == *index && cell.asker != ports[*index].pod && cell.is_broken()
            };
            !*own || *outcome != Outcome::Frozen || !cells.iter().any(of_others)
        })
        .map(|((index, own, outcome), group)| {
            let port = &ports[index];
            let others: BTreeSet<&str> = group.iter().map(|cell| cell.from.as_str()).collect();
            let asked: BTreeSet<usize> = cells
                .iter()
                .filter(|cell| cell.port_index == index && cell.asker != port.pod)
                .map(|cell| cell.asker)
                .collect();
            let whom = if own {
                "its own pod".to_owned()
            } else {
                format!("{} of {}", others.len(), counted(asked.len(), "other pod"))
            };
            let mut evidence: Vec<String> = group
                .iter()
                .take(3)
                .map(|cell| format!("from {}: {} {}", cell.from, to(cell), outcome.word()))
                .collect();
            if group.len() > 3 {
                evidence.push(format!("and {} more", group.len() - 3));
            }
            evidence.extend(
                cells
                    .iter()
                    .filter(|cell| cell.port_index == index && cell.outcome == Outcome::Ok)
                    .take(1)
                    .map(|cell| format!("from {}: {} ok", cell.from, to(cell))),
            );
            let message = match outcome {
                Outcome::Frozen => format!(
                    "{} {} is frozen: the kernel takes connections and nobody answers",
                    port.pod_name,
                    port.label()
                ),
                _ => format!(
                    "{} {} {} {whom}",
                    port.pod_name,
                    port.label(),
                    means(outcome)
                ),
            };
            let remedy = advice(outcome, own, port, &pods[port.pod]);
            let subjects: BTreeSet<&str> =
                others.into_iter().chain([port.pod_name.as_str()]).collect();
            Finding {
                evidence,
                ..broken(outcome.word(), message, remedy)
                    .about(subjects.into_iter().map(str::to_owned).collect())
            }
        })
        .collect()
}

fn to(cell: &Cell) -> String {
    let address = std::net::SocketAddr::new(cell.address, cell.port);
    format!("{}/{address}", cell.proto)
}

fn means(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok | Outcome::Frozen => "takes connections from",
        Outcome::NoReply => "answers its own pod and is silent to",
        Outcome::Refused => "is refused to",
        Outcome::Unreachable => "is unreachable for",
        Outcome::Timeout => "does not answer, and does not refuse,",
        Outcome::Unknown => "was not asked by",
    }
}

fn advice(outcome: Outcome, own: bool, port: &Listener, pod: &Pod) -> Remedy {
    let split = pod.findings.iter().any(|one| one.code == "split-pod");
    match outcome {
        _ if split => "the pod is split: mend that first".into(),
        Outcome::Frozen => pod
            .findings
            .iter()
            .find(|one| one.code == "frozen")
            .map_or(Remedy::LetGoOn, |one| one.remedy.clone()),
        Outcome::Refused if own => Remedy::ShowPorts {
            pod: full_name(pod),
        },
        Outcome::Refused => format!(
            "it listens, so something on the way rejects: a rule of iptables or nft in the pod or on node {}",
            port.node
        )
        .into(),
        Outcome::NoReply | Outcome::Timeout => format!(
            "something on the way drops: a NetworkPolicy, or a rule of iptables or nft in the pod or on node {}",
            port.node
        )
        .into(),
        Outcome::Unreachable => {
            "there is no way to that address: look at the routes of the asking pod and of its node"
                .into()
        }
        Outcome::Ok | Outcome::Unknown => "ask again".into(),
    }
}

/// Resolvers of a cluster that do not know the cluster's own name.
fn without_names(dns: &[Resolver]) -> Vec<Finding> {
    let mut by_pod: BTreeMap<&str, Vec<&Resolver>> = BTreeMap::new();
    for one in dns.iter().filter(|one| of_cluster(one)) {
        by_pod.entry(&one.pod).or_default().push(one);
    }
    by_pod
        .into_iter()
        .filter(|(_, all)| !all.iter().any(|one| knows(one)))
        .map(|(pod, all)| {
            let message = format!("{pod}: its resolver does not know the cluster");
            let said = |one: &&Resolver| {
                format!(
                    "{} about {}: {}",
                    one.server,
                    one.name.as_deref().unwrap_or("the cluster's name"),
                    one.code.as_deref().unwrap_or(one.outcome.word())
                )
            };
            Finding {
                evidence: all.iter().map(said).collect(),
                ..broken("dns", message, Remedy::ShowDns).about(vec![pod.to_owned()])
            }
        })
        .collect()
}

fn of_cluster(one: &Resolver) -> bool {
    one.name
        .as_deref()
        .is_some_and(|name| name.starts_with("kubernetes.default."))
}

fn knows(one: &Resolver) -> bool {
    one.outcome == Outcome::Ok && one.code.as_deref() == Some("NOERROR")
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
    evidence.extend(
        broken
            .iter()
            .take(3)
            .map(|cell| format!("{} to {}: {}", cell.from, to(cell), cell.outcome.word())),
    );
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
    let knowing: Vec<&Resolver> = dns.iter().filter(|one| of_cluster(one)).collect();
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
