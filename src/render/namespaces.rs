//! `devnet pods --ns`: which namespaces are shared, proven by the kernel's numbers.

use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::pod::{Container, Namespaces, Node, Pod, Sandbox, Snapshot};

type Pick = fn(&Namespaces) -> Option<u64>;

const KINDS: [(&str, Pick); 6] = [
    ("NET", |n| n.net),
    ("IPC", |n| n.ipc),
    ("UTS", |n| n.uts),
    ("PID-NS", |n| n.pid),
    ("MNT", |n| n.mnt),
    ("USER", |n| n.user),
];

/// The table of every node's pods, and what its signs mean.
pub(crate) fn table(snapshot: &Snapshot, style: Style) -> String {
    let mut heads = vec!["POD / CONTAINER", "PID"];
    heads.extend(KINDS.map(|(name, _)| name));
    let rows: Vec<Vec<Cell>> = snapshot
        .pods
        .iter()
        .flat_map(|pod| {
            let node = snapshot.nodes.iter().find(|node| node.name == pod.node);
            rows_of(pod, node, style)
        })
        .collect();
    let by_file = |pod: &Pod| pod.sandbox.as_ref().is_some_and(Sandbox::is_held_by_a_file);
    let held = if snapshot.pods.iter().any(by_file) {
        "   file = the sandbox holds it, here without a process"
    } else {
        ""
    };
    let legend = format!(
        "{} same inode as the pod's sandbox   {} another   host = the node's   {} configuration says shared, the kernel says no{held}",
        "=",
        style.glyph("≠", "!="),
        style.glyph("⚠", "!"),
    );
    format!(
        "{}\n{}",
        lay_out(&heads, &rows, style),
        super::pods::wrapped(&legend, 0, style)
    )
}

fn rows_of(pod: &Pod, node: Option<&Node>, style: Style) -> Vec<Vec<Cell>> {
    let of_node = node.and_then(|node| node.namespaces);
    let title = Cell::new(
        style.text(&format!("{}/{}", pod.namespace, pod.name)),
        Tone::Head,
    );
    let sandbox = pod.sandbox.as_ref();
    let held = match sandbox {
        Some(sandbox) if sandbox.is_held_by_a_file() => Cell::new("file", Tone::Dim),
        _ => Cell::number(number(sandbox.and_then(|s| s.pid))),
    };
    let mut first = vec![title, held];
    first.extend(KINDS.map(|(_, pick)| {
        let inode = sandbox.and_then(|s| s.namespaces).and_then(|n| pick(&n));
        Cell::plain(match inode {
            None => String::new(),
            Some(inode) if of_node.and_then(|n| pick(&n)) == Some(inode) => "host".into(),
            Some(inode) => inode.to_string(),
        })
    }));
    let mut rows = vec![first];
    let last = pod.containers.len().saturating_sub(1);
    for (index, container) in pod.containers.iter().enumerate() {
        let branch = style.branch(index == last);
        let mut row = vec![
            Cell::plain(format!("{branch}{}", style.text(&container.name))),
            Cell::number(number(container.pid)),
        ];
        if container.state.is_up() {
            row.extend(
                KINDS.map(|(name, pick)| compared(name, pick, container, sandbox, of_node, style)),
            );
        } else {
            row.push(Cell::new(style.text(container.state.word()), Tone::Dim));
        }
        rows.push(row);
    }
    rows
}

fn number(pid: Option<u32>) -> String {
    pid.map(|pid| pid.to_string()).unwrap_or_default()
}

/// `=`, `host`, or `≠` with the end of the number, which is what differs.
fn compared(
    name: &str,
    pick: Pick,
    container: &Container,
    sandbox: Option<&Sandbox>,
    of_node: Option<Namespaces>,
    style: Style,
) -> Cell {
    let Some(inode) = container.namespaces.and_then(|n| pick(&n)) else {
        return Cell::new("?", Tone::Dim);
    };
    let of_node = of_node.and_then(|n| pick(&n));
    let of_sandbox = sandbox.and_then(|s| s.namespaces).and_then(|n| pick(&n));
    if of_sandbox == Some(inode) {
        return Cell::new(
            if of_node == Some(inode) { "host" } else { "=" },
            Tone::Good,
        );
    }
    if of_node == Some(inode) {
        return Cell::new(format!("host {}", style.glyph("≠", "!=")), Tone::Odd);
    }
    let digits = inode.to_string();
    let tail = digits
        .get(digits.len().saturating_sub(4)..)
        .unwrap_or_default();
    let text = format!(
        "{} {}{tail}",
        style.glyph("≠", "!="),
        style.glyph("…", "..")
    );
    // only net and ipc are shared by configuration in every pod
    let wrong = matches!(name, "NET" | "IPC")
        && sandbox.is_some_and(|s| container.sandbox_id.as_ref() == Some(&s.id))
        && of_sandbox.is_some();
    if wrong && name == "NET" {
        Cell::new(format!("{text} {}", style.glyph("⚠", "!")), Tone::Bad)
    } else {
        Cell::plain(text)
    }
}
