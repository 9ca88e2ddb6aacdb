//! The connections that should be possible between pods: their listeners as others find them, the
//! questions that a pod asks of them from inside its network, and the meaning of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

use crate::pod::{Pod, Socket, State};
use crate::probe::reach::{AnswerLine, RESOLVERS, Reached, question, resolver};

/// UDP sockets above are given out by the kernel to who only asks; they come and go.
const FIRST_EPHEMERAL: u16 = 32_768;

/// A port of a pod on which something listens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Listener {
    /// Its pod's index in the list that was planned for.
    #[serde(skip)]
    pub(crate) pod: usize,
    #[serde(rename = "pod")]
    pub(crate) pod_name: String,
    pub(crate) node: String,
    pub(crate) proto: String,
    pub(crate) port: u16,
    /// The addresses at which others find it; none when it listens on loopback alone.
    pub(crate) addresses: Vec<IpAddr>,
    /// The addresses at which its own pod finds it.
    pub(crate) local: Vec<IpAddr>,
    /// True where IPv4 is served, if at all, by a socket of IPv6: procfs does not tell.
    #[serde(skip)]
    dual: bool,
    /// The containers that hold it.
    pub(crate) containers: Vec<String>,
    /// True where all that hold it are frozen: the kernel accepts in their place.
    pub(crate) frozen: bool,
}

impl Listener {
    /// As `8080/tcp`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.port, self.proto)
    }

    fn asked_by(&self, pod: usize) -> &[IpAddr] {
        if self.pod == pod {
            &self.local
        } else {
            &self.addresses
        }
    }
}

/// `namespace/name`.
pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The container through which a pod's network can be entered; `None` where nothing of it runs.
pub(crate) fn entrance(pod: &Pod) -> Option<&str> {
    let sandbox = pod.sandbox.iter().filter(|sandbox| sandbox.state.is_up());
    let containers = pod.containers.iter().filter(|one| one.state.is_up());
    sandbox
        .map(|sandbox| sandbox.id.as_str())
        .chain(containers.map(|container| container.id.as_str()))
        .next()
}

/// The network that a pod's questions are asked from: pods that share one (the node's own) need not
/// ask twice.
pub(crate) fn network(pod: &Pod) -> (String, Option<u64>, Option<String>) {
    let of_sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up());
    let inode = match of_sandbox {
        Some(sandbox) => sandbox.namespaces.and_then(|all| all.net),
        None => pod
            .containers
            .iter()
            .filter(|one| one.state.is_up())
            .find_map(|one| one.namespaces?.net),
    };
    // a number that is not known is shared with nobody
    let own = inode.is_none().then(|| pod.uid.clone());
    (pod.node.clone(), inode, own)
}

/// The listeners of those pods that `wanted` names by index.
pub(crate) fn ports(pods: &[Pod], wanted: impl Fn(usize) -> bool) -> Vec<Listener> {
    let indexes = (0..pods.len()).filter(|index| wanted(*index));
    indexes
        .flat_map(|index| of_pod(index, &pods[index]))
        .collect()
}

fn of_pod(index: usize, pod: &Pod) -> Vec<Listener> {
    let mut by_port: BTreeMap<(u16, &str), Vec<&Socket>> = BTreeMap::new();
    for socket in pod.sockets.iter().flatten() {
        let asks_only = socket.proto == "udp" && socket.port >= FIRST_EPHEMERAL;
        if socket.is_listening() && !socket.is_engines_dns && !asks_only {
            by_port
                .entry((socket.port, &socket.proto))
                .or_default()
                .push(socket);
        }
    }
    by_port
        .into_iter()
        .map(|((port, proto), sockets)| {
            let (addresses, local, dual) = places_of(pod, &sockets);
            let containers: BTreeSet<String> = sockets
                .iter()
                .flat_map(|socket| &socket.owners)
                .filter_map(|owner| owner.container.clone())
                .collect();
            Listener {
                pod: index,
                pod_name: full_name(pod),
                node: pod.node.clone(),
                proto: proto.to_owned(),
                port,
                addresses,
                local,
                dual,
                frozen: !containers.is_empty() && containers.iter().all(|name| frozen(pod, name)),
                containers: containers.into_iter().collect(),
            }
        })
        .collect()
}

/// The addresses at which others and the pod itself find sockets of one port, and true where IPv4
/// is a guess.
fn places_of(pod: &Pod, sockets: &[&Socket]) -> (Vec<IpAddr>, Vec<IpAddr>, bool) {
    let own: Vec<IpAddr> = pod.ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let (mut others, mut local) = (BTreeSet::new(), BTreeSet::new());
    let (mut four, mut six) = (false, false);
    for socket in sockets {
        let Ok(address) = socket.address.parse::<IpAddr>() else {
            continue;
        };
        match address.to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => four = true,
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => six = true,
            address => {
                local.insert(address);
                // a link-local one, or one that only the node's own network has, is nobody else's
                if own.contains(&address) {
                    others.insert(address);
                }
            }
        }
    }
    if four || six {
        local.insert(Ipv4Addr::LOCALHOST.into());
        others.extend(own.iter().filter(|ip| ip.is_ipv4()));
    }
    if six {
        local.insert(Ipv6Addr::LOCALHOST.into());
        others.extend(own.iter().filter(|ip| ip.is_ipv6()));
    }
    (
        others.into_iter().collect(),
        local.into_iter().collect(),
        six && !four,
    )
}

fn frozen(pod: &Pod, container: &str) -> bool {
    pod.containers
        .iter()
        .filter(|one| one.name == container)
        .any(|one| {
            let stopped = |finding: &&crate::finding::Finding| {
                finding.code == "frozen" && finding.subjects.contains(&one.id)
            };
            one.state == State::Paused || pod.findings.iter().any(|finding| stopped(&finding))
        })
}

/// The questions that are asked from inside one network, whose pods are `askers`; the resolver
/// first.
pub(crate) fn questions(askers: &[usize], ports: &[Listener]) -> Vec<String> {
    let mut all = BTreeSet::new();
    for asker in askers {
        for port in ports {
            for ip in port.asked_by(*asker) {
                all.insert(question(&port.proto, SocketAddr::new(*ip, port.port)));
            }
        }
    }
    let mut words = vec![RESOLVERS.to_owned()];
    words.extend(all);
    words
}

/// The outcome of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Ok,
    NoReply,
    Frozen,
    Refused,
    Unreachable,
    Timeout,
    /// Nobody could ask.
    Unknown,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoReply => "no-reply",
            Self::Frozen => "frozen",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }
}

/// The answers that one network's probe gave, by question.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeAnswers(BTreeMap<String, ProbeAnswer>);

#[derive(Clone, Debug, PartialEq)]
struct ProbeAnswer {
    /// `None`: there is no such address in that network.
    outcome: Option<Outcome>,
    ms: Option<f64>,
    more: String,
}

impl ProbeAnswers {
    /// Reads the probe's lines; lines of another form are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let one = |line: &str| {
            let line = AnswerLine::read(line)?;
            let outcome = match line.reached {
                Reached::Ok => Some(Outcome::Ok),
                Reached::Refused => Some(Outcome::Refused),
                Reached::Timeout => Some(Outcome::Timeout),
                Reached::Unreachable => Some(Outcome::Unreachable),
                Reached::NoReply => Some(Outcome::NoReply),
                Reached::NoAddress => None,
                Reached::Failed => Some(Outcome::Unknown),
            };
            let answer = ProbeAnswer {
                outcome,
                ms: line.milliseconds.and_then(|ms| ms.parse().ok()),
                more: line.more.to_owned(),
            };
            Some((line.question.to_owned(), answer))
        };
        Self(text.lines().filter_map(one).collect())
    }

    /// The same, but for what was asked of the resolvers.
    pub(crate) fn without_resolvers(&self) -> Self {
        let all = self.0.iter();
        let others = all.filter(|(question, _)| resolver(question).is_none());
        Self(others.map(|(q, a)| (q.clone(), a.clone())).collect())
    }

    fn to(&self, proto: &str, to: SocketAddr) -> Option<&ProbeAnswer> {
        self.0.get(&question(proto, to))
    }

    fn resolvers(&self) -> impl Iterator<Item = (&str, &ProbeAnswer)> {
        let named = |(question, answer)| Some((resolver(question)?, answer));
        self.0
            .iter()
            .map(|(question, answer)| (question.as_str(), answer))
            .filter_map(named)
    }
}

/// One pod's try at one address of one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cell {
    #[serde(skip)]
    pub(crate) asker: usize,
    #[serde(skip)]
    pub(crate) port_index: usize,
    pub(crate) from: String,
    pub(crate) from_node: String,
    pub(crate) to: String,
    pub(crate) to_node: String,
    pub(crate) proto: String,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) outcome: Outcome,
    pub(crate) ms: Option<f64>,
    /// True where Kubernetes promises that this is `ok`.
    pub(crate) promised: bool,
}

impl Cell {
    pub(crate) fn is_broken(&self) -> bool {
        self.promised && !matches!(self.outcome, Outcome::Ok | Outcome::Unknown)
    }

    /// The address that was tried, as `tcp/10.0.0.2:80`.
    pub(crate) fn target(&self) -> String {
        let address = SocketAddr::new(self.address, self.port);
        format!("{}/{address}", self.proto)
    }
}

/// The answer of a pod's own resolver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Resolver {
    pub(crate) pod: String,
    pub(crate) server: String,
    pub(crate) name: Option<String>,
    pub(crate) outcome: Outcome,
    /// As `NOERROR`.
    pub(crate) code: Option<String>,
    pub(crate) ms: Option<f64>,
}

impl Resolver {
    /// True where it was asked for a name of the cluster.
    pub(crate) fn is_of_cluster(&self) -> bool {
        self.name
            .as_deref()
            .is_some_and(|name| name.starts_with("kubernetes.default."))
    }
}

/// The matrix: for each asker (a pod's index with what its network answered) its try at each port.
pub(crate) fn cells(
    pods: &[Pod],
    ports: &[Listener],
    asked: &[(usize, Option<ProbeAnswers>)],
) -> Vec<Cell> {
    let mut cells = Vec::new();
    // a socket of IPv6 that refuses IPv4 on its own loopback is for IPv6 alone
    let six_only: Vec<bool> = ports
        .iter()
        .map(|port| {
            let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.port);
            let own = asked.iter().find(|(asker, _)| *asker == port.pod);
            let answer = own.and_then(|(_, answers)| answers.as_ref()?.to(&port.proto, local));
            port.dual && answer.and_then(|one| one.outcome) == Some(Outcome::Refused)
        })
        .collect();
    for (asker, answers) in asked {
        for (port_index, port) in ports.iter().enumerate() {
            for address in port.asked_by(*asker) {
                let to = SocketAddr::new(*address, port.port);
                let answer = answers.as_ref().map(|all| all.to(&port.proto, to));
                let (outcome, ms) = match answer {
                    // nobody could enter that pod, or the probe was cut off
                    None | Some(None) => (Outcome::Unknown, None),
                    Some(Some(ProbeAnswer { outcome: None, .. })) => continue,
                    Some(Some(ProbeAnswer {
                        outcome: Some(outcome),
                        ms,
                        ..
                    })) => (*outcome, *ms),
                };
                if six_only[port_index] && address.is_ipv4() {
                    continue;
                }
                let accepted_for_it =
                    matches!(outcome, Outcome::Ok | Outcome::Timeout | Outcome::NoReply);
                let from = &pods[*asker];
                cells.push(Cell {
                    asker: *asker,
                    port_index,
                    from: full_name(from),
                    from_node: from.node.clone(),
                    to: port.pod_name.clone(),
                    to_node: port.node.clone(),
                    proto: port.proto.clone(),
                    address: *address,
                    port: port.port,
                    outcome: if port.frozen && accepted_for_it {
                        Outcome::Frozen
                    } else {
                        outcome
                    },
                    ms: ms.filter(|_| !port.frozen),
                    promised: promised(from, &pods[port.pod]),
                });
            }
        }
    }
    silence_is_an_answer(&mut cells, ports);
    cells
}

/// Pods of a cluster reach each other wherever they are, those of a lab on their own network;
/// whether plain containers should is their author's business.
fn promised(from: &Pod, to: &Pod) -> bool {
    use crate::pod::Origin;
    if from.uid == to.uid && from.node == to.node {
        return true;
    }
    match (from.origin, to.origin) {
        (Origin::Kubernetes, Origin::Kubernetes) => true,
        (Origin::Lab, Origin::Lab) => from.node == to.node,
        _ => false,
    }
}

/// Excuses UDP services that answer only requests in their own protocol: silence to others is wrong
/// only if the service answers its own pod.
fn silence_is_an_answer(cells: &mut [Cell], ports: &[Listener]) {
    let answers_itself: BTreeSet<usize> = cells
        .iter()
        .filter(|cell| cell.outcome == Outcome::Ok && ports[cell.port_index].pod == cell.asker)
        .map(|cell| cell.port_index)
        .collect();
    for cell in cells {
        if cell.outcome == Outcome::NoReply && !answers_itself.contains(&cell.port_index) {
            cell.promised = false;
        }
    }
}

/// The answers of the pods' resolvers; pods that share a network have one.
pub(crate) fn resolvers(pods: &[Pod], asked: &[(usize, Option<ProbeAnswers>)]) -> Vec<Resolver> {
    let mut all = Vec::new();
    for (asker, answers) in asked {
        for (server, answer) in answers.iter().flat_map(ProbeAnswers::resolvers) {
            let mut words = answer.more.split(' ').filter(|word| !word.is_empty());
            let (name, code) = match answer.outcome {
                Some(Outcome::Unknown) => (None, None),
                _ => (words.next(), words.next()),
            };
            all.push(Resolver {
                pod: full_name(&pods[*asker]),
                server: server.to_owned(),
                name: name.map(str::to_owned),
                outcome: answer.outcome.unwrap_or(Outcome::Unreachable),
                code: code.map(str::to_owned),
                ms: answer.ms,
            });
        }
    }
    all
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
