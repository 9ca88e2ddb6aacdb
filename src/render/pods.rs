//! `devnet pods`: a tree in a table. A pod with one container folds to one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::remedy::worded;
use super::table::{Cell, lay_out};
use super::{Style, Tone, age};
use crate::finding::{Finding, Severity};
use crate::pod::short;
use crate::pod::{
    Container, ContainerKind, DeclaredContainer, KubeletWord, Node, Pod, PodState, Snapshot,
    Socket, State, is_init, timestamp,
};
use crate::wording::{SOME, counted, grouped, listed};

/// The amount to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Normal,
    Wide,
}

/// The whole view: a head for each node, its pods, then what was found.
pub(crate) fn tree(
    snapshot: &Snapshot,
    now: &dyn Fn(&str) -> Option<Timestamp>,
    wide: Width,
    style: Style,
) -> String {
    let mut text = String::new();
    for node in &snapshot.nodes {
        if !text.is_empty() {
            text.push('\n');
        }
        let pods: Vec<&Pod> = snapshot
            .pods
            .iter()
            .filter(|pod| pod.node == node.name)
            .collect();
        text.push_str(&head(node, &pods, snapshot, style));
        if pods.is_empty() {
            continue;
        }
        let mut heads = vec!["POD / CONTAINER", "IP", "STATE", "AGE", "RST", "LISTENS"];
        if wide == Width::Wide {
            heads.extend(["ID", "IMAGE"]);
        }
        let rows: Vec<Vec<Cell>> = pods
            .iter()
            .flat_map(|pod| rows_of(pod, now(&pod.node), wide, style))
            .collect();
        text.push('\n');
        text.push_str(&lay_out(&heads, &rows, style));
    }
    text.push_str(&findings(snapshot, style));
    text
}

fn head(node: &Node, pods: &[&Pod], snapshot: &Snapshot, style: Style) -> String {
    let dot = style.glyph(" · ", ", ");
    let containers: usize = pods.iter().map(|pod| pod.containers.len()).sum();
    let found = snapshot.findings.len() + pods.iter().map(|pod| pod.findings.len()).sum::<usize>();
    let mut parts = vec![
        format!(
            "{} {}",
            node.runtime,
            node.version.as_deref().unwrap_or("?")
        ),
        counted(pods.len(), "pod"),
        counted(containers, "container"),
    ];
    if found > 0 {
        parts.push(counted(found, "finding"));
    }
    format!(
        "{}  {}\n",
        style.paint(&style.text(&node.name), Tone::Head),
        parts
            .iter()
            .map(|part| style.text(part))
            .collect::<Vec<_>>()
            .join(dot)
    )
}

fn rows_of(pod: &Pod, now: Option<Timestamp>, wide: Width, style: Style) -> Vec<Vec<Cell>> {
    let absent = absent(pod);
    let fold = pod.containers.len() + absent.len() <= 1;
    let name = style.text(&format!("{}/{}", pod.namespace, pod.name));
    let listens = |container: Option<&str>| Cell::plain(listening(pod, container, style));
    let mut rows = vec![vec![
        Cell::new(name, Tone::Head),
        Cell::plain(addresses(pod, style)),
        pod_state(pod, style),
        Cell::number(age(pod_start(pod), now)),
        Cell::number(restarts(pod)),
        if fold { listens(None) } else { Cell::empty() },
    ]];
    if wide == Width::Wide {
        let sandbox = pod.sandbox.as_ref();
        let image = match pod.containers.as_slice() {
            [one] => one.image.as_str(),
            _ => sandbox.map(|s| s.image.as_str()).unwrap_or_default(),
        };
        rows[0].push(Cell::plain(
            sandbox
                .map(|s| style.text(short(&s.id)))
                .unwrap_or_default(),
        ));
        rows[0].push(Cell::new(style.text(image), Tone::Dim));
    }
    if fold {
        return rows;
    }
    let all = pod.containers.len() + absent.len();
    for (index, container) in pod.containers.iter().enumerate() {
        let branch = style.branch(index + 1 == all);
        let began = timestamp(container.started_at.as_deref());
        let ended = timestamp(container.finished_at.as_deref());
        let mut row = vec![
            Cell::plain(format!("{branch}{}", style.text(&container.name))),
            own_network(container, style),
            waiting_state(pod, container, style),
            Cell::number(age(ended.or(began), now)),
            Cell::number(
                container
                    .restarts
                    .map(|n| n.to_string())
                    .unwrap_or_default(),
            ),
            listens(Some(&container.name)),
        ];
        if wide == Width::Wide {
            row.push(Cell::plain(style.text(short(&container.id))));
            row.push(Cell::new(style.text(&container.image), Tone::Dim));
        }
        rows.push(row);
    }
    for (index, (declared, reason)) in absent.iter().enumerate() {
        let branch = style.branch(pod.containers.len() + index + 1 == all);
        rows.push(vec![
            Cell::plain(format!("{branch}{}", style.text(&declared.name))),
            Cell::empty(),
            Cell::new(format!("{} {reason}", style.glyph("◌", ".")), Tone::Odd),
        ]);
    }
    rows
}

/// The containers that a kubelet waits for and that are not there yet, with the reasons.
fn absent(pod: &Pod) -> Vec<(&DeclaredContainer, &str)> {
    let is_there = |name: &String| pod.containers.iter().any(|one| one.name == *name);
    let waiting = pod.kubelet.iter().flat_map(KubeletWord::waiting);
    waiting.filter(|(one, _)| !is_there(&one.name)).collect()
}

/// A container's state, and what its kubelet waits for before it starts it again.
pub(crate) fn waiting_state(pod: &Pod, container: &Container, style: Style) -> Cell {
    let mut cell = container_state(container, style);
    let word = pod.kubelet.as_ref();
    let declared = word.and_then(|word| word.container(&container.name));
    if let Some(declared) = declared
        && !container.state.is_up()
        && let Some(reason) = &declared.waiting
    {
        let _infallible = write!(cell.text, ", {reason}");
        if let Some(seconds) = declared.back_off {
            let _infallible = write!(cell.text, " {seconds}s");
        }
    }
    cell
}

fn addresses(pod: &Pod, style: Style) -> String {
    if pod.host_network {
        return "host".into();
    }
    let mut text = pod.ips.first().map(|ip| style.text(ip)).unwrap_or_default();
    if pod
        .findings
        .iter()
        .any(|finding| finding.code == "split-pod")
    {
        text.push_str(" ?");
    }
    text
}

fn pod_start(pod: &Pod) -> Option<Timestamp> {
    let sandbox = pod
        .sandbox
        .as_ref()
        .and_then(|s| timestamp(s.started_at.as_deref()));
    let containers = || {
        pod.containers
            .iter()
            .filter_map(|c| timestamp(c.started_at.as_deref()))
            .min()
    };
    sandbox.or_else(containers)
}

fn restarts(pod: &Pod) -> String {
    let known: Vec<u32> = pod.containers.iter().filter_map(|c| c.restarts).collect();
    if known.is_empty() {
        String::new()
    } else {
        known.into_iter().map(u64::from).sum::<u64>().to_string()
    }
}

/// `● 2/2`: containers that run, of those that should.
fn pod_state(pod: &Pod, style: Style) -> Cell {
    let all: Vec<&Container> = pod
        .containers
        .iter()
        .filter(|c| !is_init(&c.kind) && (c.state.is_up() || !c.kind.starts_with("ephemeral")))
        .collect();
    let up = all.iter().filter(|c| c.state.is_up()).count();
    let absent = absent(pod);
    let is_init = |one: &DeclaredContainer| one.kind == ContainerKind::Init;
    let awaited = absent.iter().filter(|(one, _)| !is_init(one)).count();
    let ratio = format!("{up}/{}", all.len() + awaited);
    let (glyph, tone, word) = match pod.state {
        PodState::Running => (style.glyph("●", "*"), Tone::Good, ""),
        PodState::Paused => (style.glyph("❄", "="), Tone::Odd, " paused"),
        PodState::Completed => (style.glyph("○", "o"), Tone::Dim, " completed"),
        PodState::Failed => (style.glyph("✗", "x"), Tone::Bad, " failed"),
        PodState::Pending => (style.glyph("◌", "."), Tone::Odd, " pending"),
        PodState::Degraded if up == all.len() => (style.glyph("⚠", "!"), Tone::Bad, ""),
        PodState::Degraded => (style.glyph("✗", "x"), Tone::Bad, ""),
    };
    let mut text = format!("{glyph} {ratio}{word}");
    if let ([], [(_, reason)]) = (pod.containers.as_slice(), absent.as_slice()) {
        let _infallible = write!(text, ", {reason}");
    }
    if pod.kubelet.as_ref().is_some_and(|word| word.terminating) {
        text.push_str(" terminating");
    }
    Cell::new(text, tone)
}

/// A container's state in a word or two.
pub(crate) fn container_state(container: &Container, style: Style) -> Cell {
    let failed = |text: String| Cell::new(format!("{} {text}", style.glyph("✗", "x")), Tone::Bad);
    match (container.state, container.exit_code) {
        (State::Running, _) => Cell::new(format!("{} up", style.glyph("●", "*")), Tone::Good),
        (State::Paused, _) => Cell::new(format!("{} paused", style.glyph("❄", "=")), Tone::Odd),
        (State::Exited, Some(0)) if is_init(&container.kind) => {
            Cell::new(format!("{} init done", style.glyph("○", "o")), Tone::Dim)
        }
        (State::Exited, Some(0)) => Cell::new(format!("{} done", style.glyph("○", "o")), Tone::Dim),
        (_, Some(_)) if container.oom_killed == Some(true) => failed("out of memory".into()),
        (State::Created, Some(_)) => failed("can't start".into()),
        (_, Some(code)) => failed(format!("exit {code}")),
        (state, None) => Cell::new(
            format!("{} {}", style.glyph("◌", "."), style.text(state.word())),
            Tone::Odd,
        ),
    }
}

/// Said only where the kernel disagrees with the configuration.
fn own_network(container: &Container, style: Style) -> Cell {
    if container.shares.net == Some(false) && container.sandbox_id.is_some() {
        return Cell::new(format!("{} own netns", style.glyph("≠", "!=")), Tone::Bad);
    }
    Cell::empty()
}

/// The number of ports that a line bears.
const SHOWN: usize = 12;

/// The ports that a container (or the whole pod) listens on: `80`, `53/udp`, `9090 lo`.
fn listening(pod: &Pod, container: Option<&str>, style: Style) -> String {
    let Some(sockets) = &pod.sockets else {
        return String::new();
    };
    let mut ports: BTreeMap<(u16, &str), bool> = BTreeMap::new();
    for socket in sockets
        .iter()
        .filter(|socket| socket.is_listening() && !socket.is_engines_dns)
    {
        let owned = container.is_none_or(|name| {
            socket
                .owners
                .iter()
                .any(|owner| owner.container.as_deref() == Some(name))
        });
        if owned {
            let everywhere = ports.entry((socket.port, &socket.proto)).or_default();
            *everywhere |= !is_loopback(socket);
        }
    }
    let mut texts: Vec<String> = ports
        .iter()
        .map(|((port, proto), everywhere)| {
            let proto = if *proto == "tcp" {
                String::new()
            } else {
                format!("/{proto}")
            };
            let scope = if *everywhere { "" } else { " lo" };
            format!("{port}{proto}{scope}")
        })
        .collect();
    if texts.len() > SHOWN + 1 {
        let more = texts.len() - SHOWN;
        texts.truncate(SHOWN);
        texts.push(format!("and {more} more"));
    }
    texts.extend(lost_ports(pod, container, style));
    texts.join(" ")
}

/// Ports that a container wanted and another holds.
fn lost_ports(pod: &Pod, container: Option<&str>, style: Style) -> Option<String> {
    let lost = pod.findings.iter().find(|finding| {
        finding.code == "port-conflict"
            && container.is_none_or(|name| {
                pod.containers
                    .iter()
                    .any(|c| c.name == name && finding.subjects.last() == Some(&c.id))
            })
    })?;
    let port = lost.message.split_whitespace().next()?;
    Some(format!("{} {}", style.glyph("✗", "x"), style.text(port)))
}

fn is_loopback(socket: &Socket) -> bool {
    socket
        .address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The findings, worst first, each with its fix.
pub(crate) fn findings(snapshot: &Snapshot, style: Style) -> String {
    let of_pods = snapshot.pods.iter().flat_map(|pod| {
        pod.findings
            .iter()
            .map(move |finding| (Some(format!("{}/{}", pod.namespace, pod.name)), finding))
    });
    let of_none = snapshot.findings.iter().map(|finding| (None, finding));
    let mut all: Vec<(Option<String>, &Finding)> = of_pods.chain(of_none).collect();
    all.sort_by_key(|(_, finding)| finding.severity);
    let mut text = String::new();
    // what is equal but for the pod is said once
    let groups = grouped(all, |(_, finding)| {
        (finding.code, finding.severity, finding.message.as_str())
    });
    for group in groups {
        let Some((_, finding)) = group.first() else {
            continue;
        };
        if text.is_empty() {
            text.push('\n');
        }
        let (glyph, tone) = match finding.severity {
            Severity::Error => (style.glyph("✗", "x"), Tone::Bad),
            Severity::Warning => (style.glyph("⚠", "!"), Tone::Odd),
            Severity::Info => (style.glyph("ℹ", "i"), Tone::Dim),
        };
        let titles: Vec<String> = group
            .iter()
            .filter_map(|(title, _)| title.as_ref())
            .map(|title| style.text(title))
            .collect();
        let title = match titles.len() {
            0 => String::new(),
            1 => titles.concat() + "  ",
            several => format!(
                "{} ({})  ",
                counted(several, "pod"),
                style.sentence(&listed(&titles, SOME))
            ),
        };
        let message = style.sentence(&finding.message);
        text.push_str(&wrapped(
            &format!("{} {title}{message}", style.paint(glyph, tone)),
            0,
            style,
        ));
        let mut hints: Vec<String> = group
            .iter()
            .map(|(_, finding)| worded(&finding.remedy, snapshot.runtime()))
            .collect();
        hints.dedup();
        if let Some(hint) = hints.first() {
            let others = match hints.len() {
                1 => "",
                _ => " (and so for the others)",
            };
            let fix = format!("fix: {}{others}", style.text(hint));
            text.push_str(&wrapped(&fix, 2, style));
        }
    }
    text
}

/// Text broken at blanks and indented; lines after the first two columns more.
pub(crate) fn wrapped(text: &str, indent: usize, style: Style) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(indent);
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && super::width(&line) + 1 + super::width(word) > style.columns {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent + 2);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
    out
}
