//! The graph of connections between pods now: pods as hosts, their containers and ports, and the
//! connections between them that their kernels know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{Pod, PodState, Socket, State};
use crate::finding::Severity;

/// Pods and their connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Graph {
    pub(crate) schema: u32,
    pub(crate) pods: Vec<Drawn>,
    /// Addresses at the other end of connections that are no pod's.
    pub(crate) outside: Vec<String>,
    /// `None`: nobody could look at the sockets of any pod.
    pub(crate) edges: Option<Vec<Edge>>,
}

impl Graph {
    pub(crate) fn edges(&self) -> &[Edge] {
        self.edges.as_deref().unwrap_or_default()
    }

    /// True where the sockets of some pod that runs are unknown.
    pub(crate) fn is_blind(&self) -> bool {
        self.edges.is_none() || self.pods.iter().any(|host| host.ports.is_none())
    }

    /// As it is drawn: strangers beyond a number, and their connections, are left out. Gives how
    /// many.
    pub(crate) fn drawable(mut self) -> (Self, usize) {
        let left_out = self.outside.len().saturating_sub(OUTSIDE);
        self.outside.truncate(OUTSIDE);
        let far = |end: &End| matches!(end, End::Outside(index) if *index >= OUTSIDE);
        if let Some(edges) = &mut self.edges {
            edges.retain(|edge| !far(&edge.from) && !far(&edge.to));
        }
        (self, left_out)
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Drawn {
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) state: PodState,
    pub(crate) ips: Vec<String>,
    pub(crate) host_network: bool,
    pub(crate) pause: Option<Pause>,
    pub(crate) containers: Vec<GraphContainer>,
    /// Ports that no container of it holds, as far as is known; `None`: nobody could look.
    pub(crate) ports: Option<Vec<Opening>>,
    pub(crate) findings: Vec<Note>,
}

/// The container that holds a pod's network namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Pause {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) state: State,
    pub(crate) netns: Option<u64>,
    /// True where it runs: a dead one holds nothing.
    #[serde(skip)]
    pub(crate) up: bool,
    /// The word for it: one without a process is no container.
    #[serde(skip)]
    pub(crate) word: &'static str,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct GraphContainer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) kind: String,
    pub(crate) state: State,
    /// True where it is in the sandbox's network, by inode.
    pub(crate) shares_net: Option<bool>,
    /// `None`: nobody could look.
    pub(crate) ports: Option<Vec<Opening>>,
}

/// Something listens there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Opening {
    pub(crate) port: u16,
    pub(crate) proto: String,
    /// Only the pod itself reaches it.
    pub(crate) loopback: bool,
    /// Nobody reaches it by the pod's address: it listens on loopback, or in a network namespace that
    /// has no address, or that is not its pod's any more.
    pub(crate) own: bool,
}

/// A finding about a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Note {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// An index into `outside`.
    Outside(usize),
    /// An index into `pods`, and the container where one is known.
    Pod(usize, Option<String>),
}

/// Connections of one kind, from who began them to who listens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Edge {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) proto: String,
    pub(crate) port: u16,
    /// The number of them now.
    pub(crate) count: usize,
    /// Over the pod's own loopback.
    pub(crate) local: bool,
}

impl Edge {
    pub(crate) fn pods(&self) -> impl Iterator<Item = usize> {
        [&self.from, &self.to]
            .into_iter()
            .filter_map(|end| match end {
                End::Pod(index, _) => Some(*index),
                End::Outside(_) => None,
            })
    }
}

/// A page with more strangers than this tells a person nothing.
const OUTSIDE: usize = 40;

/// Draws pods and their connections; `wanted` names pods by index: with some, those and whoever talks
/// with them are kept.
pub(crate) fn graph(pods: &[Pod], wanted: &[usize]) -> Graph {
    let mut found = Finder::new(pods);
    for (index, pod) in pods.iter().enumerate() {
        for socket in pod.sockets.iter().flatten() {
            found.connection(index, socket);
        }
    }
    let graph = Graph {
        schema: 1,
        pods: pods.iter().map(host).collect(),
        outside: found.outside,
        edges: (pods.iter().all(|pod| !is_running(pod)) || pods.iter().any(seen))
            .then(|| merged(found.edges)),
    };
    if wanted.is_empty() {
        graph
    } else {
        around(&graph, wanted)
    }
}

/// True where it has a network, in which something may listen.
fn is_running(pod: &Pod) -> bool {
    let sandbox = pod.sandbox.iter().map(|sandbox| sandbox.state);
    let containers = pod.containers.iter().map(|one| one.state);
    sandbox.chain(containers).any(State::is_up)
}

fn seen(pod: &Pod) -> bool {
    pod.sockets.is_some()
}

type Key = (End, End, String, u16, bool);

/// Each connection between pods is seen at both ends: the end that sees more of them is believed.
fn merged(edges: BTreeMap<Key, [usize; 2]>) -> Vec<Edge> {
    let mut all: Vec<Edge> = Vec::new();
    // the end that listens may not know the container at the other, and the other way round: what
    // says most comes first, and of what says less only those are left that it does not explain
    let mut edges: Vec<_> = edges.into_iter().collect();
    edges.sort_by_key(|((from, to, ..), _)| unknown(from) + unknown(to));
    for ((from, to, proto, port, local), counts) in edges {
        let mut count = counts[0].max(counts[1]);
        if unknown(&from) + unknown(&to) > 0 {
            let explained: usize = all
                .iter()
                .filter(|edge| {
                    edge.proto == proto
                        && edge.port == port
                        && edge.local == local
                        && may_be(&from, &edge.from)
                        && may_be(&to, &edge.to)
                })
                .map(|edge| edge.count)
                .sum();
            count = count.saturating_sub(explained);
        }
        if count > 0 {
            all.push(Edge {
                from,
                to,
                proto,
                port,
                count,
                local,
            });
        }
    }
    all
}

/// The number of containers that an end does not know.
fn unknown(end: &End) -> usize {
    usize::from(matches!(end, End::Pod(_, None)))
}

/// True where an end may be another, which says as much or more.
fn may_be(one: &End, other: &End) -> bool {
    match (one, other) {
        (End::Pod(a, None), End::Pod(b, _)) => a == b,
        _ => one == other,
    }
}

struct Finder<'a> {
    pods: &'a [Pod],
    owners: BTreeMap<IpAddr, Vec<usize>>,
    outside: Vec<String>,
    outside_indexes: BTreeMap<String, usize>,
    /// Seen where it was begun, and where it was taken.
    edges: BTreeMap<Key, [usize; 2]>,
}

impl<'a> Finder<'a> {
    fn new(pods: &'a [Pod]) -> Self {
        let mut owners: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (index, pod) in pods.iter().enumerate() {
            for ip in pod.addresses().filter_map(|ip| ip.parse().ok()) {
                let of: &mut Vec<usize> = owners.entry(ip).or_default();
                if !of.contains(&index) {
                    of.push(index);
                }
            }
        }
        Self {
            pods,
            owners,
            outside: Vec::new(),
            outside_indexes: BTreeMap::new(),
            edges: BTreeMap::new(),
        }
    }

    fn connection(&mut self, index: usize, socket: &Socket) {
        let remote = socket
            .remote
            .as_ref()
            .and_then(|to| to.parse::<SocketAddr>().ok());
        let Some(remote) = remote.filter(|_| socket.state == "ESTABLISHED") else {
            return;
        };
        let ip = remote.ip().to_canonical();
        let here = End::Pod(index, container(socket));
        let taken = self.listener(index, &socket.proto, socket.port, socket.netns);
        let own = &self.pods[index];
        // its own network's, which in a split pod is not that of all others
        let addresses = own.addresses_of(socket).unwrap_or(&own.ips);
        let itself = !own.host_network && addresses.iter().any(|own| own.parse() == Ok(ip));
        if ip.is_loopback() || itself {
            // of the two ends in one pod the one that began is counted
            if let Some(to) = self.listener(index, &socket.proto, remote.port(), socket.netns) {
                self.add((here, to, socket.proto.clone(), remote.port(), true), 0);
            }
            return;
        }
        let there = self.owners.get(&ip).cloned().unwrap_or_default();
        if let Some(to) = taken {
            let from = match there.as_slice() {
                [one] => Some(End::Pod(*one, None)),
                // one of several pods on a node's network, which tells it itself
                [_, ..] => None,
                [] => Some(self.stranger(ip.to_string())),
            };
            if let Some(from) = from {
                self.add((from, to, socket.proto.clone(), socket.port, false), 1);
            }
            return;
        }
        let served = there
            .iter()
            .find_map(|one| self.listener(*one, &socket.proto, remote.port(), None));
        let to = match (served, there.first()) {
            (Some(to), _) => to,
            (None, Some(one)) => End::Pod(*one, None),
            (None, None) => self.stranger(SocketAddr::new(ip, remote.port()).to_string()),
        };
        self.add((here, to, socket.proto.clone(), remote.port(), false), 0);
    }

    fn add(&mut self, key: Key, side: usize) {
        self.edges.entry(key).or_default()[side] += 1;
    }

    /// The listener on a port of a pod, if there is one; in that network namespace, if one is
    /// named.
    fn listener(&self, index: usize, proto: &str, port: u16, netns: Option<u64>) -> Option<End> {
        let mut sockets = self.pods[index].sockets.iter().flatten();
        let found = sockets.find(|one| {
            one.is_listening()
                && one.proto == proto
                && one.port == port
                && (netns.is_none() || one.netns == netns)
                && !one.is_engines_dns
        });
        found.map(|one| End::Pod(index, container(one)))
    }

    fn stranger(&mut self, address: String) -> End {
        let next = self.outside_indexes.len();
        let index = *self.outside_indexes.entry(address.clone()).or_insert(next);
        if index == next {
            self.outside.push(address);
        }
        End::Outside(index)
    }
}

fn container(socket: &Socket) -> Option<String> {
    socket
        .owners
        .iter()
        .find_map(|owner| owner.container.clone())
}

fn host(pod: &Pod) -> Drawn {
    let mut of: BTreeMap<Option<String>, BTreeSet<Opening>> = BTreeMap::new();
    for socket in pod.sockets.iter().flatten() {
        if !socket.is_listening() || socket.is_engines_dns {
            continue;
        }
        let loopback = socket
            .address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback());
        let port = Opening {
            port: socket.port,
            proto: socket.proto.clone(),
            loopback,
            own: loopback
                || pod.is_apart(socket)
                || !pod.host_network && pod.addresses_of(socket).is_some_and(<[String]>::is_empty),
        };
        let holders: BTreeSet<Option<String>> = match socket.owners.as_slice() {
            [] => [None].into(),
            owners => owners.iter().map(|owner| owner.container.clone()).collect(),
        };
        for holder in holders {
            of.entry(holder).or_default().insert(port.clone());
        }
    }
    let known = seen(pod) || !is_running(pod);
    let mut ports = |holder: Option<&String>| -> Option<Vec<Opening>> {
        let all = of.remove(&holder.cloned()).unwrap_or_default();
        // open to all and to loopback too is open to all
        let open: BTreeSet<(u16, String)> = all
            .iter()
            .filter(|port| !port.own)
            .map(|port| (port.port, port.proto.clone()))
            .collect();
        let all = all
            .into_iter()
            .filter(|port| !port.own || !open.contains(&(port.port, port.proto.clone())))
            .collect();
        known.then_some(all)
    };
    Drawn {
        node: pod.node.clone(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        state: pod.state,
        ips: pod.ips.clone(),
        host_network: pod.host_network,
        pause: pod.sandbox.as_ref().map(|sandbox| Pause {
            id: sandbox.id.clone(),
            image: sandbox.image.clone(),
            state: sandbox.state,
            netns: sandbox.namespaces.and_then(|all| all.net),
            up: sandbox.state.is_up(),
            word: if sandbox.is_held_by_a_file() {
                "sandbox (no process)"
            } else {
                "pause"
            },
        }),
        containers: pod
            .containers
            .iter()
            .map(|one| GraphContainer {
                id: one.id.clone(),
                name: one.name.clone(),
                image: one.image.clone(),
                kind: one.kind.clone(),
                state: one.state,
                shares_net: one.shares.net.filter(|_| one.state.is_up()),
                ports: ports(Some(&one.name)),
            })
            .collect(),
        ports: ports(None),
        findings: pod
            .findings
            .iter()
            .map(|one| Note {
                code: one.code,
                severity: one.severity,
                message: one.message.clone(),
            })
            .collect(),
    }
}

/// The pods that are wanted and whoever talks with them.
fn around(graph: &Graph, wanted: &[usize]) -> Graph {
    let edges: Vec<&Edge> = graph
        .edges()
        .iter()
        .filter(|edge| edge.pods().any(|index| wanted.contains(&index)))
        .collect();
    let mut kept: BTreeSet<usize> = wanted.iter().copied().collect();
    kept.extend(edges.iter().flat_map(|edge| edge.pods()));
    let kept: Vec<usize> = kept.into_iter().collect();
    let mut outside = Vec::new();
    let mut end = |end: &End| match end {
        End::Pod(index, container) => {
            let index = kept.iter().position(|one| one == index).unwrap_or(0);
            End::Pod(index, container.clone())
        }
        End::Outside(index) => {
            let address = &graph.outside[*index];
            let known = outside.iter().position(|one| one == address);
            End::Outside(known.unwrap_or_else(|| {
                outside.push(address.clone());
                outside.len() - 1
            }))
        }
    };
    let edges = edges
        .into_iter()
        .map(|edge| Edge {
            from: end(&edge.from),
            to: end(&edge.to),
            ..edge.clone()
        })
        .collect();
    let edges = graph.edges.is_some().then_some(edges);
    Graph {
        schema: graph.schema,
        pods: kept
            .iter()
            .map(|index| graph.pods[*index].clone())
            .collect(),
        edges,
        outside,
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
