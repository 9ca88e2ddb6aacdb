//! The verdict on each promise of Kubernetes about the network of pods, and for each broken one a
//! finding with its place, its evidence and its remedy.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::{Cell, Listener, Outcome, Resolver, entrance, full_name};
use super::reach_promises::promises;
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
    let promises = promises(pods, judged, &findings, &ports, &cells, &dns);
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
                .map(|cell| format!("from {}: {} {}", cell.from, cell.target(), outcome.word()))
                .collect();
            if group.len() > 3 {
                evidence.push(format!("and {} more", group.len() - 3));
            }
            evidence.extend(
                cells
                    .iter()
                    .filter(|cell| cell.port_index == index && cell.outcome == Outcome::Ok)
                    .take(1)
                    .map(|cell| format!("from {}: {} ok", cell.from, cell.target())),
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
    for one in dns.iter().filter(|one| one.is_of_cluster()) {
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

fn knows(one: &Resolver) -> bool {
    one.outcome == Outcome::Ok && one.code.as_deref() == Some("NOERROR")
}
