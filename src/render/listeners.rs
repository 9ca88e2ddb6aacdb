//! Listeners of a pod in words: where each is bound, who holds it and from where it can be reached.

use std::fmt::Write as _;

use super::Style;
use super::table::{Cell, lay_out};
use crate::pod::{Pod, PortMapping, Socket};

/// The part of a pod's card about its listeners; empty where it has none.
pub(super) fn listeners(pod: &Pod, sockets: &[Socket], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = sockets
        .iter()
        .filter(|socket| socket.is_listening())
        .map(|socket| {
            vec![
                Cell::plain(format!("{}/{}", socket.port, socket.proto)),
                Cell::plain(style.text(&bind(socket))),
                Cell::plain(style.text(&owners(socket))),
                // a narrow terminal has no room for it
                Cell::number(
                    queue(socket)
                        .filter(|_| style.columns >= 80)
                        .unwrap_or_default(),
                ),
                Cell::plain(style.text(&reach(pod, socket))),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["PORT", "BIND", "OWNER", "QUEUE", "REACHABLE FROM"];
    format!("\n{}", lay_out(&heads, &rows, style))
}

/// The connections that wait to be accepted: more than none says that the program does not come to
/// it.
fn queue(socket: &Socket) -> Option<String> {
    socket
        .queue
        .filter(|_| socket.state == "LISTEN")
        .map(|waiting| waiting.to_string())
}

pub(super) fn bind(socket: &Socket) -> String {
    if socket.family == 6 {
        format!("[{}]", socket.address)
    } else {
        socket.address.clone()
    }
}

/// `web httpd 3431 +4`: the container, the first process, and how many more hold it.
pub(super) fn owners(socket: &Socket) -> String {
    let Some(first) = socket.owners.first() else {
        return if socket.is_engines_dns {
            "(the engine's DNS)".into()
        } else {
            "?".into()
        };
    };
    let mut names: Vec<&str> = socket
        .owners
        .iter()
        .filter_map(|owner| owner.container.as_deref())
        .collect();
    names.dedup();
    let mut text = names.join("+");
    let _infallible = write!(text, " {} {}", first.command, first.pid);
    if socket.owners.len() > 1 {
        let _infallible = write!(text, " +{}", socket.owners.len() - 1);
    }
    text.trim_start().to_owned()
}

/// Those who can reach a listener, as far as its address and those of its network namespace tell.
pub(super) fn reach(pod: &Pod, socket: &Socket) -> String {
    let loopback = socket
        .address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback());
    if pod.host_network {
        return if loopback {
            "node only"
        } else {
            "pod, cluster"
        }
        .into();
    }
    let alone = if pod.is_apart(socket) {
        "its own netns only"
    } else {
        "pod only"
    };
    match pod.addresses_of(socket) {
        _ if loopback => alone.into(),
        Some([]) => alone.into(),
        // the rest of the pod is elsewhere, and so is the address by which the pod is known
        Some([address, ..]) if pod.is_apart(socket) => format!("cluster, at {address}"),
        _ => "pod, cluster".into(),
    }
}

/// The address at which the node takes connections for a pod: `127.0.0.1:18080`.
pub(super) fn on_host(port: &PortMapping) -> String {
    if port.host_ip.contains(':') {
        format!("[{}]:{}", port.host_ip, port.host_port)
    } else {
        format!("{}:{}", port.host_ip, port.host_port)
    }
}
