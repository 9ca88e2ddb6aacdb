//! `devnet ports`: who listens where, pod by pod, and what of the node is passed on to it.

use super::inspect::{bind, on_host, owners, reach};
use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::pod::{HostPort, Pod, Snapshot, Socket};

/// A line for each listener, and for each port of the node behind which nobody listens; pods without
/// any are left out.
pub(crate) fn table(snapshot: &Snapshot, style: Style) -> String {
    let mut heads = vec!["POD", "IP", "PORT", "BIND", "OWNER", "REACHABLE FROM"];
    let passed_on = snapshot.pods.iter().any(|pod| !pod.host_ports.is_empty());
    if passed_on {
        heads.push("HOST PORT");
    }
    let rows: Vec<Vec<Cell>> = snapshot
        .pods
        .iter()
        .flat_map(|pod| rows(pod, passed_on, style))
        .collect();
    lay_out(&heads, &rows, style)
}

fn rows(pod: &Pod, passed_on: bool, style: Style) -> Vec<Vec<Cell>> {
    let name = || {
        let name = format!("{}/{}", pod.namespace, pod.name);
        Cell::new(style.text(&name), Tone::Head)
    };
    let own = match pod.ips.first() {
        Some(ip) => style.text(ip),
        None if pod.host_network => "host".into(),
        None => String::new(),
    };
    let listening = pod
        .sockets
        .iter()
        .flatten()
        .filter(|one| one.is_listening());
    let mut rows: Vec<Vec<Cell>> = listening
        .map(|socket| {
            let ip = match pod.addresses_of(socket) {
                Some(addresses) if pod.is_apart(socket) => {
                    addresses.first().map_or(String::new(), |ip| style.text(ip))
                }
                _ => own.clone(),
            };
            let mut row = vec![
                name(),
                Cell::plain(ip),
                Cell::plain(format!("{}/{}", socket.port, socket.proto)),
                Cell::plain(style.text(&bind(socket))),
                Cell::plain(style.text(&owners(socket))),
                Cell::plain(style.text(&reach(pod, socket))),
            ];
            if passed_on {
                row.push(Cell::plain(style.text(&hosts_of(pod, socket))));
            }
            row
        })
        .collect();
    for port in pod.host_ports.iter().filter(|port| !is_served(pod, port)) {
        rows.push(vec![
            name(),
            Cell::plain(own.clone()),
            Cell::plain(style.text(&format!("{}/{}", port.port, port.proto))),
            Cell::empty(),
            Cell::new("nobody listens", Tone::Odd),
            Cell::empty(),
            Cell::plain(style.text(&on_host(port))),
        ]);
    }
    rows
}

/// The ports of the node that are passed on to a listener.
fn hosts_of(pod: &Pod, socket: &Socket) -> String {
    let ports = pod.host_ports.iter().filter(|port| fits(port, socket));
    ports.map(on_host).collect::<Vec<_>>().join(" ")
}

fn fits(port: &HostPort, socket: &Socket) -> bool {
    port.port == socket.port && port.proto == socket.proto
}

fn is_served(pod: &Pod, port: &HostPort) -> bool {
    let mut sockets = pod.sockets.iter().flatten();
    sockets.any(|socket| socket.is_listening() && fits(port, socket))
}

/// The same as tab-separated lines, one for each owner.
pub(crate) fn tsv(pods: &[Pod]) -> String {
    let mut text = String::from(
        "node\tnamespace\tpod\tcontainer\tpid\tcommand\tproto\taddress\tport\tinode\thost_port\n",
    );
    for pod in pods {
        for socket in pod.sockets.iter().flatten().filter(|s| s.is_listening()) {
            let hosts = hosts_of(pod, socket);
            let mut line = |container: &str, pid: String, command: &str| {
                let inode = socket
                    .inode
                    .map(|inode| inode.to_string())
                    .unwrap_or_default();
                let port = socket.port.to_string();
                let cells = [
                    &pod.node,
                    &pod.namespace,
                    &pod.name,
                    container,
                    &pid,
                    command,
                    &socket.proto,
                    &socket.address,
                    &port,
                    &inode,
                    &hosts,
                ];
                text.push_str(&cells.map(super::document::field).join("\t"));
                text.push('\n');
            };
            if socket.owners.is_empty() {
                line("", String::new(), "");
            }
            for owner in &socket.owners {
                let container = owner.container.as_deref().unwrap_or_default();
                line(container, owner.pid.to_string(), &owner.command);
            }
        }
    }
    text
}
