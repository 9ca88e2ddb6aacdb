//! A graph of pods as a drawing: each pod a card that stands on its pause container.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::graph::{address, edge_label, port_label, state_word};
use super::graph_layout::{
    FOOT, HEAD, Item, Layout, OUTSIDE_HEIGHT, ROW, WIDTH, height, item, layout,
};
use crate::finding::Severity;
use crate::pod::State;
use crate::pod::graph::{Drawn, Edge, End, Graph, GraphContainer, Opening};
use crate::visible::field;
use crate::wording::counted;

/// Text for SVG and HTML: nothing of it is markup, and nothing of it moves other text.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in field(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A file of its own.
pub(crate) fn svg(graph: &Graph) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        drawing(graph, "")
    )
}

/// The drawing; a pod's card leads to `link` and its number, if `link` is not empty.
pub(super) fn drawing(graph: &Graph, link: &str) -> String {
    let layout = layout(graph);
    let (width, height) = (layout.width.max(300), layout.height.max(120));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"pods\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n<style>{}</style>\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0 8 4 0 8z\" class=\"arrow\"/></marker></defs>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
        escaped(&match graph.pods.len() {
            1 => "1 pod and its connections".to_owned(),
            many => format!("{} and their connections", counted(many, "pod")),
        }),
        crate::template::GRAPH_DRAWING_STYLE.trim_end(),
    );
    if graph.pods.is_empty() {
        text.push_str("<text class=\"dim\" x=\"24\" y=\"60\">no pods</text>\n");
    }
    let mut labels = BTreeSet::new();
    for edge in graph.edges() {
        text.push_str(&connection(graph, &layout, edge, &mut labels));
    }
    for (index, host) in graph.pods.iter().enumerate() {
        let (x, y) = layout.places[&Item::Pod(index)];
        text.push_str(&card(index, host, x, y, link));
    }
    for (index, address) in graph.outside.iter().enumerate() {
        if let Some((x, y)) = layout.places.get(&Item::Outside(index)) {
            let _infallible = writeln!(
                text,
                "<g class=\"outside\"><title>{}: no pod's address</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{OUTSIDE_HEIGHT}\" rx=\"15\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                escaped(address),
                x + WIDTH / 2,
                y + 20,
                escaped(&cut(address, 32)),
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

/// Cuts what is longer than a card is wide: it ends in dots, and its whole stands in a tooltip.
fn cut(text: &str, columns: usize) -> String {
    let text = field(text);
    if super::width(&text) <= columns {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        if super::width(&out) + 1 >= columns {
            break;
        }
        out.push(c);
    }
    out + "\u{2026}"
}

fn tone(host: &Drawn) -> &'static str {
    let severe = |severity: Severity| host.findings.iter().any(|one| one.severity == severity);
    match state_word(host) {
        _ if severe(Severity::Error) => "bad",
        "failed" | "degraded" => "bad",
        _ if severe(Severity::Warning) => "odd",
        "paused" | "pending" => "odd",
        "completed" => "done",
        _ => "good",
    }
}

fn card(index: usize, host: &Drawn, x: i32, y: i32, link: &str) -> String {
    let mut text = String::new();
    let tall = HEAD + i32::try_from(host.containers.len()).unwrap_or(0) * ROW + FOOT;
    let name = format!("{}/{}", host.namespace, host.name);
    let mut about = format!("{name}: {}", state_word(host));
    for one in &host.findings {
        let _infallible = write!(about, "; {}: {}", one.code, one.message);
    }
    let (open, close) = if link.is_empty() {
        (
            format!("<g class=\"pod {}\" data-pod=\"{index}\">", tone(host)),
            "</g>",
        )
    } else {
        (
            format!(
                "<a class=\"pod {}\" data-pod=\"{index}\" href=\"{link}{index}\" aria-label=\"{}\">",
                tone(host),
                escaped(&about)
            ),
            "</a>",
        )
    };
    let _infallible = write!(
        text,
        "{open}<title>{}</title><rect class=\"card\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{tall}\" rx=\"10\"/><circle class=\"light\" cx=\"{}\" cy=\"{}\" r=\"4.5\"/><text class=\"name\" x=\"{}\" y=\"{}\">{}</text><text class=\"dim\" x=\"{}\" y=\"{}\">{}</text><text class=\"dim mono\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        escaped(&about),
        x + 16,
        y + 18,
        x + 28,
        y + 22,
        escaped(&cut(&host.name, 26)),
        x + 28,
        y + 38,
        escaped(&cut(&host.namespace, 14)),
        x + WIDTH - 12,
        y + 38,
        escaped(&cut(&address(host), 20)),
    );
    for (at, part) in host.containers.iter().enumerate() {
        let row = y + HEAD + i32::try_from(at).unwrap_or(0) * ROW;
        text.push_str(&container(part, x, row));
    }
    let foot = y + tall - FOOT + 4;
    let (words, title) = match &host.pause {
        Some(pause) => (
            match pause.netns {
                _ if !pause.up => format!("{} is {}", pause.word, pause.state),
                Some(inode) => format!("{} holds net:[{inode}]", pause.word),
                None => format!("{} holds the network", pause.word),
            },
            format!(
                "{} {} ({})",
                pause.image,
                crate::pod::short(&pause.id),
                pause.state
            ),
        ),
        None => ("no pause container".to_owned(), "no sandbox".to_owned()),
    };
    let _infallible = write!(
        text,
        "<g class=\"pause\"><title>{}</title><rect x=\"{}\" y=\"{foot}\" width=\"{}\" height=\"22\" rx=\"6\"/><path d=\"M{} {}v8M{} {}v8\"/><text x=\"{}\" y=\"{}\">{}</text></g>",
        escaped(&title),
        x + 6,
        WIDTH - 12,
        x + 17,
        foot + 7,
        x + 21,
        foot + 7,
        x + 30,
        foot + 15,
        escaped(&words),
    );
    let (pills, _) = pills(host.ports.as_deref(), x + WIDTH - 12, foot + 3);
    text.push_str(&pills);
    let _infallible = writeln!(text, "{close}");
    text
}

fn container(part: &GraphContainer, x: i32, y: i32) -> String {
    let state = match (part.state, part.shares_net) {
        (_, Some(false)) => "bad",
        (State::Running, _) => "up",
        (State::Paused, _) => "odd",
        _ => "down",
    };
    let apart = if part.shares_net == Some(false) {
        ", in another network namespace than its sandbox"
    } else {
        ""
    };
    let (pills, left) = pills(part.ports.as_deref(), x + WIDTH - 12, y + 4);
    let room = usize::try_from((left - x - 34) / 7).unwrap_or(4).max(4);
    format!(
        "<g class=\"container {state}\"><title>{}</title><rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"26\" rx=\"6\"/><text x=\"{}\" y=\"{}\">{}</text>{pills}</g>",
        escaped(&format!(
            "{} ({}, {}){apart}: {}",
            part.name, part.kind, part.state, part.image
        )),
        x + 6,
        WIDTH - 12,
        x + 16,
        y + 17,
        escaped(&cut(&part.name, room)),
    )
}

/// Ports from the right, and where they end; what has no room is counted.
fn pills(ports: Option<&[Opening]>, right: i32, y: i32) -> (String, i32) {
    const SHOWN: usize = 3;
    let ports = ports.unwrap_or_default();
    let mut text = String::new();
    let mut left = right;
    let more = ports.len().saturating_sub(SHOWN);
    let labels = ports.iter().take(SHOWN).map(|port| {
        let class = if port.own { "port own" } else { "port" };
        (port_label(&port.proto, port.port), class)
    });
    let rest = (more > 0).then(|| (format!("+{more}"), "port own"));
    for (label, class) in labels.chain(rest).collect::<Vec<_>>().into_iter().rev() {
        let wide = i32::try_from(label.len()).unwrap_or(4) * 7 + 12;
        left -= wide + 4;
        let _infallible = write!(
            text,
            "<g class=\"{class}\"><rect x=\"{left}\" y=\"{y}\" width=\"{wide}\" height=\"18\" rx=\"9\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            left + wide / 2,
            y + 13,
            escaped(&label),
        );
    }
    (text, left)
}

/// The height at which a connection leaves or meets an item.
fn anchor(graph: &Graph, layout: &Layout, end: &End) -> Option<(i32, i32)> {
    let (x, y) = *layout.places.get(&item(end))?;
    Some(match end {
        End::Outside(_) => (x, y + OUTSIDE_HEIGHT / 2),
        End::Pod(index, container) => {
            let parts = &graph.pods[*index].containers;
            let at = parts
                .iter()
                .position(|part| Some(&part.name) == container.as_ref());
            let row = at.map_or(height(graph, Item::Pod(*index)) - FOOT + 15, |at| {
                HEAD + i32::try_from(at).unwrap_or(0) * ROW + 13
            });
            (x, y + row)
        }
    })
}

fn connection(
    graph: &Graph,
    layout: &Layout,
    edge: &Edge,
    labels: &mut BTreeSet<(i32, i32, String)>,
) -> String {
    let ends = anchor(graph, layout, &edge.from).zip(anchor(graph, layout, &edge.to));
    let Some(((fx, fy), (tx, ty))) = ends else {
        return String::new();
    };
    // to the right; back to the left; or down and up beside one column
    let (sx, ex, bend, back) = match tx.cmp(&fx) {
        Ordering::Greater => (fx + WIDTH, tx, ((tx - fx - WIDTH) / 2).max(40), -1),
        Ordering::Less => (fx, tx + WIDTH, -((fx - tx - WIDTH) / 2).max(40), 1),
        Ordering::Equal => (fx + WIDTH, tx + WIDTH, 34, 1),
    };
    let bend_back = if tx == fx { bend } else { -bend };
    let index = |end: &End| match end {
        End::Outside(index) => format!("o{index}"),
        End::Pod(index, _) => index.to_string(),
    };
    let label = edge_label(edge);
    let mut text = format!(
        "<g class=\"edge{}\" data-from=\"{}\" data-to=\"{}\"><title>{}</title><path class=\"line\" d=\"M{sx} {fy}C{} {fy} {} {ty} {ex} {ty}\" marker-end=\"url(#arrow)\"/>",
        if edge.local { " local" } else { "" },
        index(&edge.from),
        index(&edge.to),
        escaped(&format!("{} {} {label}", edge.count, edge.proto)),
        sx + bend,
        ex + bend_back,
    );
    // several arrows to one port have one label
    let label = format!(":{}", port_label(&edge.proto, edge.port));
    if tx != fx && labels.insert((ex, ty, label.clone())) {
        let nth = labels
            .range((ex, ty, String::new())..)
            .take_while(|one| one.0 == ex && one.1 == ty);
        let down = i32::try_from(nth.count().saturating_sub(1)).unwrap_or(0) * 11;
        let _infallible = write!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>",
            ex + back * 12,
            ty - 6 + down + if down > 0 { 8 } else { 0 },
            if back < 0 { "end" } else { "start" },
            escaped(&label),
        );
    }
    text.push_str("</g>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{ContainerFacts, PlainContainers, graph, pods};

    #[test]
    fn a_dead_sandbox_holds_no_network() {
        let drawn = |state: &str| {
            let sandbox = ContainerFacts {
                state: state.into(),
                ..ContainerFacts::of_kubelet("POD", "default/web/u", 0, "")
            };
            let app = ContainerFacts::of_kubelet("app", "default/web/u", 0, "POD");
            let pods = pods("node", &[sandbox, app], PlainContainers::Hide);
            svg(&graph::graph(&pods, &[0]))
        };
        assert!(drawn("running").contains("pause holds the network"));
        let dead = drawn("exited");
        assert!(
            dead.contains("pause is exited") && !dead.contains("holds"),
            "{dead}"
        );
    }
}
