//! `devnet ports`: who listens where, pod by pod.

use super::inspect::{bind, owners, reach};
use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::pod::{Pod, Snapshot};

/// A line for each listener; pods without any are left out.
pub(crate) fn table(snapshot: &Snapshot, style: Style) -> String {
    let rows: Vec<Vec<Cell>> = snapshot
        .pods
        .iter()
        .flat_map(|pod| listeners(pod, style))
        .collect();
    lay_out(
        &["POD", "IP", "PORT", "BIND", "OWNER", "REACHABLE FROM"],
        &rows,
        style,
    )
}

fn listeners(pod: &Pod, style: Style) -> Vec<Vec<Cell>> {
    let ip = match pod.ips.first() {
        Some(ip) => style.text(ip),
        None if pod.host_network => "host".into(),
        None => String::new(),
    };
    let sockets = pod.sockets.iter().flatten();
    sockets
        .filter(|socket| socket.is_listening())
        .map(|socket| {
            vec![
                Cell::new(
                    style.text(&format!("{}/{}", pod.namespace, pod.name)),
                    Tone::Head,
                ),
                Cell::plain(ip.clone()),
                Cell::plain(format!("{}/{}", socket.port, socket.proto)),
                Cell::plain(style.text(&bind(socket))),
                Cell::plain(style.text(&owners(socket))),
                Cell::plain(reach(pod, socket)),
            ]
        })
        .collect()
}

/// The same as tab-separated lines, one for each owner.
pub(crate) fn tsv(pods: &[Pod]) -> String {
    let mut text = String::from(
        "node\tnamespace\tpod\tcontainer\tpid\tcommand\tproto\taddress\tport\tinode\n",
    );
    for pod in pods {
        for socket in pod.sockets.iter().flatten().filter(|s| s.is_listening()) {
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
