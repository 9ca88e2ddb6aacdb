//! `devnet ports`: who listens where, pod by pod, and what of the node is passed on to it.

use super::listeners::{bind, on_host, owners, reach};
use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::pod::{Pod, PortMapping, Snapshot, Socket};

/// A line for each listener, and for each port of the node that is passed on; pods without any are
/// left out.
pub(crate) fn table(snapshot: &Snapshot, style: Style) -> String {
    let rows: Vec<Vec<Cell>> = snapshot
        .pods
        .iter()
        .flat_map(|pod| {
            let mut rows = listeners(pod, style);
            rows.extend(passed_on(pod, style));
            rows
        })
        .collect();
    lay_out(
        &["POD", "IP", "PORT", "BIND", "OWNER", "REACHABLE FROM"],
        &rows,
        style,
    )
}

fn name(pod: &Pod, style: Style) -> Cell {
    let name = format!("{}/{}", pod.namespace, pod.name);
    Cell::new(style.text(&name), Tone::Head)
}

fn listeners(pod: &Pod, style: Style) -> Vec<Vec<Cell>> {
    let own = match pod.ips.first() {
        Some(ip) => style.text(ip),
        None if pod.host_network => "host".into(),
        None => String::new(),
    };
    let sockets = pod.sockets.iter().flatten();
    sockets
        .filter(|socket| socket.is_listening())
        .map(|socket| {
            let ip = match pod.addresses_of(socket) {
                Some(addresses) if pod.is_apart(socket) => {
                    addresses.first().map_or(String::new(), |ip| style.text(ip))
                }
                _ => own.clone(),
            };
            vec![
                name(pod, style),
                Cell::plain(ip),
                Cell::plain(format!("{}/{}", socket.port, socket.proto)),
                Cell::plain(style.text(&bind(socket))),
                Cell::plain(style.text(&owners(socket))),
                Cell::plain(style.text(&reach(pod, socket))),
            ]
        })
        .collect()
}

fn passed_on(pod: &Pod, style: Style) -> Vec<Vec<Cell>> {
    let arrow = style.glyph("\u{2192}", "->");
    // on the node's own network the listener itself is the node's port
    let ports = pod.host_ports.iter().filter(|_| !pod.host_network);
    ports
        .map(|port| {
            let who = match &port.container {
                _ if !is_served(pod, port) => ", nobody".to_owned(),
                Some(name) => format!(" ({name})"),
                None => String::new(),
            };
            let to = format!("{arrow} {}/{}{who}", port.port, port.proto);
            let loopback = port
                .host_ip
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
            vec![
                name(pod, style),
                Cell::plain("node"),
                Cell::plain(style.text(&format!("{}/{}", port.host_port, port.proto))),
                Cell::plain(style.text(&port.host_ip)),
                Cell::plain(style.text(&to)),
                Cell::plain(if loopback { "node only" } else { "outside" }),
            ]
        })
        .collect()
}

/// The ports of the node that are passed on to a listener.
fn hosts_of(pod: &Pod, socket: &Socket) -> String {
    let ports = pod.host_ports.iter().filter(|port| fits(port, socket));
    ports.map(on_host).collect::<Vec<_>>().join(" ")
}

fn fits(port: &PortMapping, socket: &Socket) -> bool {
    port.port == socket.port && port.proto == socket.proto
}

fn is_served(pod: &Pod, port: &PortMapping) -> bool {
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
                text.push_str(&cells.map(crate::visible::field).join("\t"));
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
