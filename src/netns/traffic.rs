//! Connections between the containers of one pod, and with other pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::pod::{Pod, Socket};

/// Connections between two containers of a pod, which never leave its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    /// The containers' names; `None` where nobody is known to hold the end.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) port: u16,
    pub(crate) count: usize,
}

/// Connections between a pod and somebody outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    /// True where the other side began: the pod's own port is one that it listens on.
    pub(crate) incoming: bool,
    /// `namespace/name` of the other pod, when the address is one's.
    pub(crate) pod: Option<String>,
    pub(crate) address: IpAddr,
    /// The port that was called.
    pub(crate) port: u16,
    pub(crate) proto: String,
    pub(crate) count: usize,
}

/// The connections in a pod's network at this moment.
pub(crate) fn traffic(pod: &Pod, all: &[Pod]) -> (Vec<Inner>, Vec<Outer>) {
    let sockets: Vec<(&Socket, SocketAddr, SocketAddr)> = pod
        .sockets
        .iter()
        .flatten()
        .filter(|socket| socket.state == "ESTABLISHED")
        .filter_map(|socket| Some((socket, own(socket)?, remote(socket)?)))
        .collect();
    let ends: BTreeMap<(SocketAddr, SocketAddr), &Socket> = sockets
        .iter()
        .map(|(socket, own, remote)| ((*own, *remote), *socket))
        .collect();
    let mut inner: BTreeMap<(Option<&str>, Option<&str>, u16), usize> = BTreeMap::new();
    let mut outer: BTreeMap<(bool, IpAddr, u16, &str), usize> = BTreeMap::new();
    for (socket, own, remote) in &sockets {
        let serves = listens(pod, &socket.proto, own.port());
        if let Some(other) = ends.get(&(*remote, *own)) {
            // each connection has two ends here: it is told from the side that called
            if !serves || listens(pod, &socket.proto, remote.port()) && own > remote {
                let key = (holder(socket), holder(other), remote.port());
                *inner.entry(key).or_default() += 1;
            }
            continue;
        }
        let port = if serves { own.port() } else { remote.port() };
        let key = (serves, remote.ip(), port, socket.proto.as_str());
        *outer.entry(key).or_default() += 1;
    }
    let inner = inner.into_iter().map(|((from, to, port), count)| Inner {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        port,
        count,
    });
    let outer = outer
        .into_iter()
        .map(|((incoming, address, port, proto), count)| Outer {
            incoming,
            pod: pod_at(address, pod, all),
            address,
            port,
            proto: proto.into(),
            count,
        });
    (inner.collect(), outer.collect())
}

fn own(socket: &Socket) -> Option<SocketAddr> {
    let address: IpAddr = socket.address.parse().ok()?;
    Some(SocketAddr::new(address.to_canonical(), socket.port))
}

/// An IPv4 peer of a socket of both families stands there as `[::ffff:10.0.0.1]:80`.
fn remote(socket: &Socket) -> Option<SocketAddr> {
    let remote: SocketAddr = socket.remote.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(remote.ip().to_canonical(), remote.port()))
}

fn listens(pod: &Pod, proto: &str, port: u16) -> bool {
    let mut sockets = pod.sockets.iter().flatten();
    sockets.any(|socket| socket.is_listening() && socket.proto == proto && socket.port == port)
}

fn holder(socket: &Socket) -> Option<&str> {
    let mut owners = socket.owners.iter();
    owners.find_map(|owner| owner.container.as_deref())
}

/// The other pod that has this address; one on its node's network has none of its own.
fn pod_at(address: IpAddr, of: &Pod, all: &[Pod]) -> Option<String> {
    let text = address.to_string();
    let mut others = all.iter().filter(|other| {
        !other.host_network && other.uid != of.uid && other.addresses().any(|ip| *ip == text)
    });
    let first = others.next()?;
    // two pods with one address: which of them it is can't be told
    others
        .next()
        .is_none()
        .then(|| format!("{}/{}", first.namespace, first.name))
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
