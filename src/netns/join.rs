//! Joins what the kernel says to the pods that an engine knows.

use std::collections::{BTreeMap, BTreeSet};

use super::pins::Pins;
use super::{Look, RuntimeMarks, leak};
use crate::finding::{Finding, Remedy, Severity};
use crate::pod::{ContainerFacts, Namespaces, Netns, Node, Owner, Pod, Shares, Socket, State};
use crate::probe::look::{self, Process};

/// Fills in namespaces, shares, addresses and sockets of a node's pods, and gives what belongs to
/// no pod. What the kernel did not say stays unknown.
pub(crate) fn join(
    pods: &mut [Pod],
    node: &mut Node,
    view: &Look,
    facts: &[ContainerFacts],
    marks: RuntimeMarks,
) -> Vec<Finding> {
    let kernel = Kernel::new(view, facts, marks);
    let pins = Pins { view, facts };
    node.namespaces = kernel.node();
    node.up_since = view
        .up_since
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok());
    for pod in &mut *pods {
        let sandbox = pod.sandbox.as_mut().map(|sandbox| {
            sandbox.namespaces = match sandbox.pid {
                Some(_) => kernel.namespaces(&sandbox.id, sandbox.pid),
                None => pins.namespaces(&sandbox.id, node.namespaces),
            };
            sandbox.netns = Netns {
                inode: sandbox.namespaces.and_then(|n| n.net),
                path: sandbox.netns.path.take(),
            };
            (sandbox.id.clone(), sandbox.namespaces)
        });
        for container in &mut pod.containers {
            container.namespaces = kernel.namespaces(&container.id, container.pid);
            container.shares = match &sandbox {
                // the holder of a plain group's network shares with itself
                Some((id, _)) if *id == container.id => Shares::default(),
                Some((_, Some(of_sandbox))) => container
                    .namespaces
                    .map_or_else(Shares::default, |own| shares(own, *of_sandbox)),
                _ => Shares::default(),
            };
        }
        let stopped = kernel.stopped(pod);
        pod.findings.extend(stopped);
        kernel.addresses(pod);
        pod.sockets = kernel.sockets(pod);
        pod.networks = kernel.addresses_by_network(pod);
    }
    node.listeners = kernel.strangers(node.namespaces, pods);
    leak::findings(view, facts, node.namespaces, marks)
}

fn shares(one: Namespaces, other: Namespaces) -> Shares {
    let same = |a: Option<u64>, b: Option<u64>| Some(a? == b?);
    Shares {
        net: same(one.net, other.net),
        ipc: same(one.ipc, other.ipc),
        uts: same(one.uts, other.uts),
        pid: same(one.pid, other.pid),
    }
}

/// The view, with its indexes.
struct Kernel<'a> {
    view: &'a Look,
    marks: RuntimeMarks,
    processes: BTreeMap<u32, &'a Process>,
    /// The container of each process.
    container_of: BTreeMap<u32, &'a str>,
    /// The processes that hold each socket.
    holders: BTreeMap<u64, Vec<u32>>,
}

impl<'a> Kernel<'a> {
    fn new(view: &'a Look, facts: &'a [ContainerFacts], marks: RuntimeMarks) -> Self {
        let processes: BTreeMap<u32, &Process> =
            view.processes.iter().map(|p| (p.pid, p)).collect();
        let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for process in &view.processes {
            for inode in process.sockets.iter().flatten() {
                holders.entry(*inode).or_default().push(process.pid);
            }
        }
        let container_of = containers(view, &processes, facts);
        Self {
            view,
            marks,
            processes,
            container_of,
            holders,
        }
    }

    /// The node's own namespaces: those of its first process, or, where that can't be read, of its
    /// engine.
    fn node(&self) -> Option<Namespaces> {
        let engine = self
            .view
            .processes
            .iter()
            .filter(|process| self.marks.programs.contains(&&*process.command));
        self.processes
            .get(&1)
            .copied()
            .into_iter()
            .chain(engine)
            .map(|process| process.namespaces)
            .find(|namespaces| namespaces.net.is_some())
    }

    fn namespaces(&self, id: &str, pid: Option<u32>) -> Option<Namespaces> {
        let pid = pid?;
        // the number may have been given to another process since the engine told it
        (self.container_of.get(&pid) == Some(&id)).then(|| self.processes[&pid].namespaces)
    }

    /// The networks that a pod's processes are in; of a split pod there are several.
    fn networks(pod: &Pod) -> BTreeSet<u64> {
        let sandbox = pod.sandbox.iter().filter_map(|s| s.namespaces?.net);
        let containers = pod.containers.iter().filter_map(|c| c.namespaces?.net);
        sandbox.chain(containers).collect()
    }

    /// Containers whose first process was stopped by a signal: the engine says that they run.
    fn stopped(&self, pod: &Pod) -> Vec<Finding> {
        pod.containers
            .iter()
            .filter(|container| container.state == State::Running)
            .filter_map(|container| {
                let pid = container.pid?;
                // a number that is another's now says nothing of this one
                self.namespaces(&container.id, Some(pid))?;
                (self.processes[&pid].state == "T").then(|| {
                    let message = format!(
                        "`{}` (pid {pid}) is stopped by a signal: connections are accepted and never answered",
                        container.name
                    );
                    let remedy = Remedy::Continue {
                        id: container.id.clone(),
                    };
                    Finding::new("frozen", Severity::Warning, message, remedy)
                        .about(vec![container.id.clone()])
                })
            })
            .collect()
    }

    fn addresses(&self, pod: &mut Pod) {
        let Some(inode) = pod.sandbox.as_ref().and_then(|s| s.namespaces?.net) else {
            return;
        };
        if let Some(network) = self.view.networks.iter().find(|n| n.inode == inode) {
            let addresses = if pod.host_network {
                &network.primary
            } else {
                &network.addresses
            };
            // a sandbox that was restarted alone has an empty network, whatever the engine says
            pod.ips.clone_from(addresses);
        }
    }

    fn addresses_by_network(&self, pod: &Pod) -> BTreeMap<u64, Vec<String>> {
        let of_pod = Self::networks(pod);
        let all = self.view.networks.iter();
        all.filter(|network| of_pod.contains(&network.inode))
            .map(|network| {
                let addresses = if pod.host_network {
                    &network.primary
                } else {
                    &network.addresses
                };
                (network.inode, addresses.clone())
            })
            .collect()
    }

    /// The listeners in the node's own network that are no pod's.
    fn strangers(&self, node: Option<Namespaces>, pods: &[Pod]) -> Vec<Socket> {
        let Some(own) = node.and_then(|node| node.net) else {
            return Vec::new();
        };
        let of_pods: BTreeSet<u64> = pods
            .iter()
            .filter(|pod| pod.host_network)
            .flat_map(|pod| pod.sockets.iter().flatten())
            .filter_map(|socket| socket.inode)
            .collect();
        let network = self.view.networks.iter().find(|one| one.inode == own);
        let sockets = network.into_iter().flat_map(|one| &one.sockets);
        sockets
            .filter(|raw| raw.inode.is_none_or(|inode| !of_pods.contains(&inode)))
            .map(|raw| {
                let holders = raw.inode.and_then(|inode| self.holders.get(&inode));
                let owner = |pid: &u32| Owner {
                    container: None,
                    pid: *pid,
                    command: self.processes[pid].command.clone(),
                };
                let owners = holders.into_iter().flatten().map(owner).collect();
                self.socket(raw, own, owners)
            })
            .filter(Socket::is_listening)
            .collect()
    }

    fn sockets(&self, pod: &Pod) -> Option<Vec<Socket>> {
        let networks = Self::networks(pod);
        if networks.is_empty() {
            // nothing runs, so nothing is open; else nobody could look
            let up = pod.sandbox.as_ref().is_some_and(|s| s.state.is_up())
                || pod.containers.iter().any(|c| c.state.is_up());
            return (!up).then(Vec::new);
        }
        let mut found = Vec::new();
        for network in self
            .view
            .networks
            .iter()
            .filter(|n| networks.contains(&n.inode))
        {
            for raw in &network.sockets {
                let holders = raw.inode.and_then(|inode| self.holders.get(&inode));
                let owners: Vec<Owner> = holders
                    .into_iter()
                    .flatten()
                    .map(|pid| self.owner(pod, *pid))
                    .collect();
                // of the node's network only what the pod's own processes hold is the pod's
                if pod.host_network && owners.iter().all(|owner| owner.container.is_none()) {
                    continue;
                }
                found.push(self.socket(raw, network.inode, owners));
            }
        }
        found.sort_by(|a, b| {
            (
                !a.is_listening(),
                a.port,
                &a.proto,
                a.family,
                &a.address,
                a.inode,
            )
                .cmp(&(
                    !b.is_listening(),
                    b.port,
                    &b.proto,
                    b.family,
                    &b.address,
                    b.inode,
                ))
        });
        Some(found)
    }

    fn socket(&self, raw: &look::Socket, netns: u64, owners: Vec<Owner>) -> Socket {
        Socket {
            proto: raw.proto.clone(),
            family: raw.family,
            address: raw.address.clone(),
            port: raw.port,
            remote: raw.remote.clone(),
            state: raw.state.clone(),
            queue: raw.queue,
            inode: raw.inode,
            netns: Some(netns),
            is_engines_dns: self.marks.resolver == Some(&*raw.address)
                && owners.iter().all(|owner| owner.container.is_none()),
            owners,
        }
    }

    fn owner(&self, pod: &Pod, pid: u32) -> Owner {
        let id = self.container_of.get(&pid);
        Owner {
            container: id.and_then(|id| {
                let found = pod.containers.iter().find(|container| container.id == **id);
                found.map(|container| container.name.clone())
            }),
            pid,
            command: self.processes[&pid].command.clone(),
        }
    }
}

/// The container of each process: by its cgroup; where that says nothing, by its mount namespace
/// (each container has one), then by its parent.
fn containers<'a>(
    view: &'a Look,
    processes: &BTreeMap<u32, &'a Process>,
    facts: &'a [ContainerFacts],
) -> BTreeMap<u32, &'a str> {
    let known: BTreeSet<&str> = facts.iter().map(|f| f.id.as_str()).collect();
    let first: BTreeMap<u32, &str> = facts
        .iter()
        .filter_map(|facts| Some((facts.pid?, facts.id.as_str())))
        .collect();
    let by_cgroup = |process: &'a Process| {
        let mut ids = process.containers.iter().map(String::as_str);
        ids.find(|id| known.contains(id))
    };
    let by_pid = |process: &Process| {
        // a cgroup of another container contradicts the number
        process
            .containers
            .is_empty()
            .then(|| first.get(&process.pid).copied())?
    };
    let mut by_mount: BTreeMap<u64, &str> = BTreeMap::new();
    for process in &view.processes {
        if let (Some(mnt), Some(id)) = (
            process.namespaces.mnt,
            first.get(&process.pid).filter(|id| {
                process.containers.is_empty() || process.containers.iter().any(|c| c == **id)
            }),
        ) {
            by_mount.insert(mnt, id);
        }
    }
    let direct = |process: &'a Process| {
        by_cgroup(process)
            .or_else(|| by_pid(process))
            .or_else(|| by_mount.get(&process.namespaces.mnt?).copied())
    };
    let mut found = BTreeMap::new();
    for process in &view.processes {
        let mut at = process;
        // a chain of parents is shorter than this; a torn view could hold a circle
        for _ in 0..64 {
            if let Some(id) = direct(at) {
                found.insert(process.pid, id);
                break;
            }
            match processes.get(&at.parent) {
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
    found
}
