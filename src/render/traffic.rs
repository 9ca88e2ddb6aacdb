//! The connections between pods, as lines of a pod's card.

use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::netns::{Inner, Outer, traffic};
use crate::pod::Pod;

/// Below this many columns peers are left out.
const ROOM_FOR_PEERS: usize = 60;

/// Connections between a pod's containers, then those with others; nothing when there is none.
pub(crate) fn lines(pod: &Pod, everyone: &[Pod], style: Style) -> String {
    let (inner, outer) = traffic(pod, everyone);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (index, link) in inner.iter().enumerate() {
        rows.push(row(index, "LOCALHOST", within(link, style), link.count));
    }
    if style.columns >= ROOM_FOR_PEERS {
        for (index, peer) in outer.iter().enumerate() {
            rows.push(row(index, "PEERS", with(peer, style), peer.count));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    // the column's names would say less than the rows do
    let table = lay_out(&["", "", ""], &rows, style);
    table.trim_start_matches(' ').to_owned()
}

fn row(index: usize, name: &str, what: String, count: usize) -> Vec<Cell> {
    let name = if index == 0 { name } else { "" };
    vec![
        Cell::new(name, Tone::Dim),
        Cell::plain(what),
        Cell::plain(format!("{count} est")),
    ]
}

fn within(link: &Inner, style: Style) -> String {
    let arrow = style.glyph("──▶", "-->");
    let name = |name: &Option<String>| name.as_ref().map_or("?".into(), |name| style.text(name));
    format!(
        "{} {arrow} {} :{}",
        name(&link.from),
        name(&link.to),
        link.port
    )
}

fn with(peer: &Outer, style: Style) -> String {
    let arrow = style.glyph("──▶", "-->");
    let proto = if peer.proto == "tcp" {
        String::new()
    } else {
        format!("/{}", style.text(&peer.proto))
    };
    let port = format!(":{}{proto}", peer.port);
    let who = match &peer.pod {
        Some(pod) => format!("{} {}", style.text(pod), peer.address),
        None => peer.address.to_string(),
    };
    if peer.incoming {
        format!("{who} {arrow} {port}")
    } else {
        format!("{arrow} {who} {port}")
    }
}
