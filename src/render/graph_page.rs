//! A graph of pods as one page that needs nothing else: the drawing, and each pod in words.

use std::fmt::Write as _;

use super::graph::{UNKNOWN, address, edge_label, port_label, state_word};
use super::graph_svg::{drawing, escaped};
use crate::pod::graph::{Drawn, End, Graph, Opening};
use crate::wording::counted;

/// The page. `where_from` names the nodes, `when` is their clocks' time.
pub(crate) fn page(graph: &Graph, where_from: &str, when: &str) -> String {
    let title = escaped(&format!("Pods of {where_from}"));
    let summary = summary(graph);
    let pods: String = (0..graph.pods.len())
        .map(|index| article(graph, index))
        .collect();
    let pods = if pods.is_empty() {
        "<p>No pods.</p>\n".to_owned()
    } else {
        pods
    };
    let at = if when.is_empty() {
        String::new()
    } else {
        format!(" at {}", escaped(when))
    };
    let made = format!("Seen{at} by devnet, as the kernel knows it.");
    crate::template::graph_page(&[
        ("title", &title),
        ("summary", &summary),
        ("drawing", &drawing(graph, "#pod-")),
        ("pods", &pods),
        ("made", &made),
    ])
}

fn summary(graph: &Graph) -> String {
    let containers = graph.pods.iter().map(|host| host.containers.len()).sum();
    let connections: usize = graph.edges().iter().map(|edge| edge.count).sum();
    let findings: usize = graph.pods.iter().map(|host| host.findings.len()).sum();
    let mut words = vec![
        counted(graph.pods.len(), "pod"),
        counted(containers, "container"),
    ];
    if graph.edges.is_some() {
        words.push(counted(connections, "connection") + " now");
    }
    if graph.is_blind() {
        words.push(match graph.edges {
            None => UNKNOWN.to_owned(),
            Some(_) => format!("{UNKNOWN} of some pods"),
        });
    }
    if findings > 0 {
        words.push(counted(findings, "finding"));
    }
    words.join(" \u{b7} ")
}

fn pills(ports: Option<&[Opening]>) -> String {
    let mut text = String::new();
    for port in ports.unwrap_or_default() {
        let class = if port.own { "pill own" } else { "pill" };
        let label = port_label(&port.proto, port.port);
        let _infallible = write!(text, " <span class=\"{class}\">{}</span>", escaped(&label));
    }
    text
}

fn tone(host: &Drawn) -> &'static str {
    match state_word(host) {
        "failed" | "degraded" => "bad",
        "paused" | "pending" => "odd",
        "completed" => "done",
        _ => "good",
    }
}

fn article(graph: &Graph, index: usize) -> String {
    let host = &graph.pods[index];
    let mut text = format!(
        "<article id=\"pod-{index}\" class=\"{}\">\n<span class=\"state\">{}</span><h2>{} <small>{}</small></h2>\n",
        tone(host),
        state_word(host),
        escaped(&host.name),
        escaped(&host.namespace),
    );
    for one in &host.findings {
        let _infallible = writeln!(
            text,
            "<p class=\"finding {}\"><b>{}</b> {}</p>",
            escaped(one.severity.word()),
            escaped(one.code),
            escaped(&one.message)
        );
    }
    let addresses = if host.ips.is_empty() {
        address(host)
    } else {
        host.ips.join(" ")
    };
    let _infallible = writeln!(
        text,
        "<dl><dt>address</dt><dd class=\"mono\">{}</dd><dt>node</dt><dd>{}</dd></dl>",
        escaped(if addresses.is_empty() {
            "none"
        } else {
            &addresses
        }),
        escaped(&host.node)
    );
    text.push_str("<ul class=\"containers\">\n");
    for part in &host.containers {
        let apart = if part.shares_net == Some(false) {
            " \u{b7} in another network namespace"
        } else {
            ""
        };
        let _infallible = writeln!(
            text,
            "<li><strong>{}</strong> {}{apart}{}<span class=\"image\">{}</span></li>",
            escaped(&part.name),
            escaped(part.state.word()),
            pills(part.ports.as_deref()),
            escaped(&part.image)
        );
    }
    text.push_str("</ul>\n");
    if host.ports.is_none() {
        let _infallible = writeln!(text, "<p>{UNKNOWN}</p>");
    }
    text.push_str(&talks(graph, index));
    let foot = match &host.pause {
        Some(pause) => {
            let holds = pause
                .netns
                .filter(|_| pause.up)
                .map_or_else(String::new, |inode| format!(" holds net:[{inode}]"));
            format!(
                "{} <code>{}</code> {}{holds} \u{b7} {}{}",
                pause.word,
                escaped(crate::pod::short(&pause.id)),
                escaped(pause.state.word()),
                escaped(&pause.image),
                pills(host.ports.as_deref())
            )
        }
        None => "no pause container holds its network".to_owned(),
    };
    let _infallible = writeln!(text, "<p class=\"pause\">{foot}</p>\n</article>");
    text
}

/// The two lists of its connections: those it asks and those that ask it.
fn talks(graph: &Graph, index: usize) -> String {
    let here = |end: &End| matches!(end, End::Pod(pod, _) if *pod == index);
    let name = |end: &End| match end {
        End::Outside(other) => format!("<code>{}</code>", escaped(&graph.outside[*other])),
        End::Pod(other, container) => {
            let container = container.as_ref().map_or_else(String::new, |name| {
                format!(" <small>{}</small>", escaped(name))
            });
            if *other == index {
                return container.trim_start().to_owned();
            }
            let pod = &graph.pods[*other];
            format!(
                "<a href=\"#pod-{other}\">{}</a>{container}",
                escaped(&pod.name)
            )
        }
    };
    let mut lines = String::new();
    for edge in graph.edges() {
        let (from, to) = (here(&edge.from), here(&edge.to));
        let label = escaped(&edge_label(edge));
        let line = match (from, to) {
            (true, true) => format!(
                "{} \u{2192} {} <code>{label}</code>",
                name(&edge.from),
                name(&edge.to)
            ),
            (true, false) => format!("\u{2192} {} <code>{label}</code>", name(&edge.to)),
            (false, true) => format!("\u{2190} {} <code>{label}</code>", name(&edge.from)),
            (false, false) => continue,
        };
        let _infallible = writeln!(lines, "<li>{line}</li>");
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("<ul class=\"talks\">\n{lines}</ul>\n")
}
