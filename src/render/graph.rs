//! A graph of pods for Graphviz and for Mermaid.

use std::fmt::Write as _;

use crate::finding::Severity;
use crate::pod::graph::{Drawn, Edge, End, Graph, Opening};
use crate::visible::field;

/// Ports of one holder in one line, as `80 53/udp (9090)`; those in parentheses are the pod's alone.
pub(super) fn ports(ports: Option<&[Opening]>) -> String {
    let one = |port: &Opening| {
        let text = port_label(&port.proto, port.port);
        if port.own { format!("({text})") } else { text }
    };
    let all = ports.unwrap_or_default().iter().map(one);
    all.collect::<Vec<_>>().join(" ")
}

/// The words for a pod at whose sockets nobody could look.
pub(super) const UNKNOWN: &str = "connections unknown";

pub(super) fn port_label(proto: &str, port: u16) -> String {
    if proto == "tcp" {
        port.to_string()
    } else {
        format!("{port}/{proto}")
    }
}

/// The label of an edge.
pub(super) fn edge_label(edge: &Edge) -> String {
    let port = port_label(&edge.proto, edge.port);
    let count = if edge.count > 1 {
        format!(" x{}", edge.count)
    } else {
        String::new()
    };
    let local = if edge.local { "lo " } else { "" };
    format!("{local}:{port}{count}")
}

pub(super) fn state_word(host: &Drawn) -> &'static str {
    use crate::pod::PodState;
    match host.state {
        PodState::Completed => "completed",
        PodState::Degraded => "degraded",
        PodState::Failed => "failed",
        PodState::Paused => "paused",
        PodState::Pending => "pending",
        PodState::Running => "running",
    }
}

pub(super) fn address(host: &Drawn) -> String {
    match (host.ips.first(), host.host_network) {
        (Some(ip), true) => format!("{ip} (host)"),
        (Some(ip), false) => ip.clone(),
        (None, true) => "host".into(),
        (None, false) => String::new(),
    }
}

/// The node that an end of an edge is: a container, the pause where none is known.
fn node(graph: &Graph, end: &End) -> String {
    match end {
        End::Outside(index) => format!("o{index}"),
        End::Pod(index, container) => {
            let parts = &graph.pods[*index].containers;
            let part = parts
                .iter()
                .position(|part| Some(&part.name) == container.as_ref());
            match part {
                Some(part) => format!("p{index}c{part}"),
                None => format!("p{index}s"),
            }
        }
    }
}

fn lines(texts: &[String], escape: impl Fn(&str) -> String, line_break: &str) -> String {
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| escape(&field(text)))
        .collect::<Vec<_>>()
        .join(line_break)
}

fn pause_lines(host: &Drawn) -> Vec<String> {
    let mut all = match &host.pause {
        Some(pause) => vec![
            format!("{} {}", pause.word, crate::pod::short(&pause.id)),
            match pause.netns.filter(|_| pause.up) {
                Some(inode) => format!("holds net:[{inode}]"),
                None => pause.state.to_string(),
            },
        ],
        None => vec!["no sandbox".into()],
    };
    all.push(match host.ports.as_deref() {
        None => UNKNOWN.into(),
        known => ports(known),
    });
    all
}

fn head_lines(host: &Drawn) -> Vec<String> {
    let mut all = vec![format!("{}/{}", host.namespace, host.name), address(host)];
    all.extend(host.findings.iter().map(|one| format!("! {}", one.code)));
    all
}

/// For `dot -Tsvg` and the like.
pub(crate) fn dot(graph: &Graph) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let label = |texts: &[String]| lines(texts, escape, "\\n");
    let mut text = String::from(
        "digraph pods {\n  rankdir=LR; compound=true; fontname=\"sans-serif\";\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    for (index, host) in graph.pods.iter().enumerate() {
        let wrong = if host
            .findings
            .iter()
            .any(|one| one.severity == Severity::Error)
        {
            "; color=\"#c0392b\""
        } else {
            ""
        };
        let _infallible = write!(
            text,
            "  subgraph cluster_p{index} {{\n    label=\"{}\"; style=\"rounded,filled\"; fillcolor=\"#f4f6f8\"{wrong};\n    p{index}s [label=\"{}\", fillcolor=\"#dfe7ee\"];\n",
            label(&head_lines(host)),
            label(&pause_lines(host)),
        );
        for (at, part) in host.containers.iter().enumerate() {
            let style = if part.shares_net == Some(false) {
                ", color=\"#c0392b\""
            } else {
                ""
            };
            let texts = [
                part.name.clone(),
                part.state.to_string(),
                ports(part.ports.as_deref()),
            ];
            let _infallible = writeln!(
                text,
                "    p{index}c{at} [label=\"{}\"{style}];",
                label(&texts)
            );
        }
        text.push_str("  }\n");
    }
    for (index, address) in graph.outside.iter().enumerate() {
        let _infallible = writeln!(
            text,
            "  o{index} [label=\"{}\", shape=ellipse];",
            label(std::slice::from_ref(address))
        );
    }
    for edge in graph.edges() {
        let style = if edge.local { ", style=dashed" } else { "" };
        let _infallible = writeln!(
            text,
            "  {} -> {} [label=\"{}\"{style}];",
            node(graph, &edge.from),
            node(graph, &edge.to),
            label(&[edge_label(edge)]),
        );
    }
    text.push_str("}\n");
    text
}

/// For pages that draw Mermaid.
pub(crate) fn mermaid(graph: &Graph) -> String {
    // its own entities, so that no text ends a label or begins another line
    let escape = |text: &str| {
        text.chars()
            .map(|c| match c {
                c if c.is_alphanumeric() || " ./:-_()!".contains(c) => c.to_string(),
                c => format!("#{};", u32::from(c)),
            })
            .collect::<String>()
    };
    let label = |texts: &[String]| lines(texts, escape, "<br/>");
    let mut text = String::from("flowchart LR\n");
    for (index, host) in graph.pods.iter().enumerate() {
        let _infallible = writeln!(
            text,
            "  subgraph p{index}[\"{}\"]\n    p{index}s[[\"{}\"]]",
            label(&head_lines(host)),
            label(&pause_lines(host)),
        );
        for (at, part) in host.containers.iter().enumerate() {
            let texts = [
                part.name.clone(),
                part.state.to_string(),
                ports(part.ports.as_deref()),
            ];
            let _infallible = writeln!(text, "    p{index}c{at}[\"{}\"]", label(&texts));
        }
        text.push_str("  end\n");
    }
    for (index, address) in graph.outside.iter().enumerate() {
        let _infallible = writeln!(
            text,
            "  o{index}([\"{}\"])",
            label(std::slice::from_ref(address))
        );
    }
    for edge in graph.edges() {
        let arrow = if edge.local { "-.->" } else { "-->" };
        let _infallible = writeln!(
            text,
            "  {} {arrow}|\"{}\"| {}",
            node(graph, &edge.from),
            label(&[edge_label(edge)]),
            node(graph, &edge.to),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::PodState;
    use crate::pod::graph::GraphContainer;

    /// A pod whose texts would be markup in every form.
    fn hostile() -> Graph {
        let evil = "a\"]</text><script>alert(1)</script>\n-->&\\|\u{1b}[2J";
        let part = GraphContainer {
            id: "c".into(),
            name: evil.into(),
            image: evil.into(),
            kind: "app".into(),
            state: evil.into(),
            shares_net: Some(false),
            ports: Some(Vec::new()),
        };
        let host = Drawn {
            node: evil.into(),
            namespace: evil.into(),
            name: evil.into(),
            state: PodState::Running,
            ips: vec![evil.into()],
            host_network: false,
            pause: None,
            containers: vec![part],
            ports: Some(Vec::new()),
            findings: Vec::new(),
        };
        Graph {
            schema: 1,
            pods: vec![host],
            outside: vec![evil.into()],
            edges: Some(vec![Edge {
                from: End::Outside(0),
                to: End::Pod(0, Some(evil.into())),
                proto: evil.into(),
                port: 1,
                count: 2,
                local: false,
            }]),
        }
    }

    #[test]
    fn no_text_of_an_engine_becomes_markup() {
        let graph = hostile();
        let page = crate::render::graph_page::page(&graph, "n<i>", "");
        let drawing = crate::render::graph_svg::svg(&graph);
        for text in [&page, &drawing] {
            assert!(!text.contains("<script>alert"), "{text}");
            assert!(!text.contains("</text><script"), "{text}");
            assert!(!text.contains('\u{1b}'));
        }
        assert!(!page.contains("<i>"));
        for line in dot(&graph).lines() {
            let plain = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(plain.matches('"').count() % 2, 0, "{line}");
        }
        let mermaid = mermaid(&graph);
        assert!(
            !mermaid.contains("</text>") && !mermaid.contains("a\"]"),
            "{mermaid}"
        );
        assert_eq!(mermaid.lines().count(), 7, "{mermaid}");
    }
}
