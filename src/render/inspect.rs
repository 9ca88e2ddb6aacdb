//! `devnet inspect`: a card for one pod.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::listeners::{listeners, on_host};
use super::pods::{container_state, findings};
use super::table::{Cell, lay_out};
use super::{Style, Tone, age};
use crate::pod::{
    Container, DeclaredContainer, KubeletWord, Pod, PortMapping, Resolver, Sandbox, Shares,
    Snapshot, how_it_ended, short, timestamp,
};

/// The things that a card needs beside the pod.
pub(crate) struct About<'a> {
    pub(crate) now: &'a dyn Fn(&str) -> Option<Timestamp>,
    /// By a pod's UID.
    pub(crate) resolvers: &'a [(String, Resolver)],
    /// All pods: some of them may be talking with this one.
    pub(crate) everyone: &'a [Pod],
}

/// A card for each pod, then what was found.
pub(crate) fn cards(snapshot: &Snapshot, about: &About<'_>, style: Style) -> String {
    let cards: Vec<String> = snapshot
        .pods
        .iter()
        .map(|pod| card(pod, about, style))
        .collect();
    cards.join("\n") + &findings(snapshot, style)
}

fn card(pod: &Pod, about: &About<'_>, style: Style) -> String {
    let now = (about.now)(&pod.node);
    let mut text = String::new();
    let title = style.text(&format!("{}/{}", pod.namespace, pod.name));
    let dot = style.glyph(" · ", ", ");
    let state = serde_json::to_string(&pod.state).unwrap_or_default();
    let age = age(
        pod.sandbox
            .as_ref()
            .and_then(|s| timestamp(s.started_at.as_deref())),
        now,
    );
    line(
        &mut text,
        &format!(
            "{}  {} {age}{dot}{}{dot}uid {}",
            style.paint(&title, Tone::Head),
            state.trim_matches('"'),
            style.text(&pod.node),
            style.text(short(&pod.uid)),
        ),
    );
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&fact_line(name, value, style));
        }
    };
    let ips: Vec<String> = pod.ips.iter().map(|ip| style.text(ip)).collect();
    fact(
        "ip",
        &match (pod.host_network, ips.is_empty()) {
            (true, true) => "the node's".into(),
            (true, false) => format!("{} (the node's)", ips.join("  ")),
            (false, true) if pod.has_no_address() => {
                "none: its network namespace has no address".into()
            }
            (false, true) => "unknown".into(),
            (false, false) => ips.join("  "),
        },
    );
    fact("ports", &host_ports(pod, style));
    if let Some(word) = &pod.kubelet {
        fact("kubelet", &kubelet_line(word));
        fact("waits", &waiting_line(word, style));
    }
    let resolver = about.resolvers.iter().find(|(uid, _)| *uid == pod.uid);
    fact(
        "dns",
        &resolver.map_or(String::new(), |(_, resolver)| {
            resolver_line(resolver, style)
        }),
    );
    let labels: Vec<String> = pod
        .labels
        .iter()
        .map(|(name, value)| style.text(&format!("{name}={value}")))
        .collect();
    fact("labels", &labels.join(" "));
    match &pod.sandbox {
        None => fact("sandbox", "none"),
        Some(sandbox) => {
            fact("sandbox", &sandbox_line(sandbox, style));
            fact("netns", &netns_line(sandbox, style));
        }
    }
    fact("shares", &shares_line(pod, style));
    text.push('\n');
    text.push_str(&containers(pod, now, style));
    if let Some(sockets) = &pod.sockets {
        text.push_str(&listeners(pod, sockets, style));
        text.push_str(&super::traffic::lines(pod, about.everyone, style));
    }
    text.push_str(&history(pod, style));
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The line on a pod as its kubelet sees it: `phase Running, restart policy Always, terminating`.
fn kubelet_line(word: &KubeletWord) -> String {
    let phase = word.phase.as_ref().map(|phase| format!("phase {phase}"));
    let policy = word.restart_policy.as_ref();
    let policy = policy.map(|policy| format!("restart policy {policy}"));
    let terminating = word.terminating.then(|| "terminating".to_owned());
    let parts: Vec<String> = [phase, policy, terminating].into_iter().flatten().collect();
    parts.join(", ")
}

/// The line on what keeps containers from running: `app: CrashLoopBackOff (40 s)`.
fn waiting_line(word: &KubeletWord, style: Style) -> String {
    let one = |(container, reason): (&DeclaredContainer, &str)| {
        let seconds = container.back_off;
        let seconds = seconds.map_or(String::new(), |seconds| format!(" ({seconds} s)"));
        format!("{}: {reason}{seconds}", style.text(&container.name))
    };
    word.waiting().map(one).collect::<Vec<_>>().join(", ")
}

/// A line of the card's head; what is too long goes on under its value.
fn fact_line(name: &str, value: &str, style: Style) -> String {
    let mut text = String::new();
    let head = style.paint(&format!("{name:<10}"), Tone::Dim);
    for (index, part) in broken(value, style.columns.saturating_sub(12).max(20))
        .into_iter()
        .enumerate()
    {
        let head = if index == 0 {
            head.as_str()
        } else {
            "          "
        };
        line(&mut text, &format!("  {head}{part}"));
    }
    text
}

/// A text in lines that are at most so wide, broken at blanks.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always one");
        if !last.is_empty() && super::width(last) + 1 + super::width(word) > columns {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() || word.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
        .into_iter()
        .map(|line| line.trim().to_owned())
        .collect()
}

fn resolver_line(resolver: &Resolver, style: Style) -> String {
    let mut parts = vec![resolver.servers.join(" ")];
    if !resolver.search.is_empty() {
        parts.push(format!("search {}", resolver.search.join(" ")));
    }
    parts.push(resolver.options.join(" "));
    parts.retain(|part| !part.is_empty());
    style.text(&parts.join("  "))
}

fn sandbox_line(sandbox: &Sandbox, style: Style) -> String {
    let mut line = style.text(short(&sandbox.id));
    if let Some(attempt) = sandbox.attempt {
        let _infallible = write!(line, "  attempt {attempt}");
    }
    let _infallible = write!(line, "  {}", sandbox.state);
    if let Some(network) = &sandbox.network {
        let _infallible = write!(line, "  network {}", style.text(network));
    }
    line
}

fn netns_line(sandbox: &Sandbox, style: Style) -> String {
    let inode = sandbox.netns.inode.map(|inode| inode.to_string());
    let path = sandbox.netns.path.as_ref().map(|path| style.text(path));
    let held = sandbox
        .is_held_by_a_file()
        .then(|| "the sandbox holds it, here without a process".to_owned());
    let parts = inode.into_iter().chain(path).chain(held);
    parts.collect::<Vec<_>>().join("  ")
}

/// The ports of the node that are passed on to the pod: `127.0.0.1:18080 -> 80/tcp (web)`.
fn host_ports(pod: &Pod, style: Style) -> String {
    let arrow = style.glyph("\u{2192}", "->");
    let one = |port: &PortMapping| {
        let of = port
            .container
            .as_ref()
            .map_or(String::new(), |name| format!(" ({name})"));
        style.text(&format!(
            "{} {arrow} {}/{}{of}",
            on_host(port),
            port.port,
            port.proto
        ))
    };
    let all: Vec<String> = pod.host_ports.iter().map(one).collect();
    all.join("  ")
}

type Pick = fn(&Shares) -> Option<bool>;

/// The line on what all running containers share with the sandbox, and each has for itself.
fn shares_line(pod: &Pod, style: Style) -> String {
    let all: Vec<Shares> = pod
        .containers
        .iter()
        .filter(|container| container.state.is_up() && container.sandbox_id.is_some())
        .map(|container| container.shares)
        .collect();
    if all.is_empty() || all.iter().any(|shares| shares.net.is_none()) {
        return String::new();
    }
    let (mut shared, mut own, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    let kinds: [(&str, Pick); 4] = [
        ("net", |shares| shares.net),
        ("ipc", |shares| shares.ipc),
        ("uts", |shares| shares.uts),
        ("pid", |shares| shares.pid),
    ];
    for (name, pick) in kinds {
        let yes = all
            .iter()
            .filter(|shares| pick(shares) == Some(true))
            .count();
        let no = all
            .iter()
            .filter(|shares| pick(shares) == Some(false))
            .count();
        match (yes, no) {
            (0, 0) => {}
            (_, 0) => shared.push(name),
            (0, _) => own.push(name),
            _ => mixed.push(name),
        }
    }
    let dash = style.glyph("–", "-");
    let mut line = shared.join(" ");
    if !own.is_empty() {
        let _infallible = write!(line, "  (own: {})", own.join(" "));
    }
    if !mixed.is_empty() {
        let _infallible = write!(line, "  (some: {})", mixed.join(" "));
    }
    let _infallible = write!(line, " {dash} proven by inode");
    line.trim_start().to_owned()
}

fn containers(pod: &Pod, now: Option<Timestamp>, style: Style) -> String {
    let mut rows = Vec::new();
    if let Some(sandbox) = pod
        .sandbox
        .as_ref()
        .filter(|sandbox| pod.containers.iter().all(|c| c.id != sandbox.id))
    {
        rows.push(vec![
            Cell::new(
                if sandbox.is_held_by_a_file() {
                    "sandbox"
                } else {
                    "pause"
                },
                Tone::Dim,
            ),
            Cell::new(style.text(short(&sandbox.id)), Tone::Dim),
            Cell::number(number(sandbox.pid)),
            Cell::new(style.text(sandbox.state.word()), Tone::Dim),
            Cell::number(age(timestamp(sandbox.started_at.as_deref()), now)),
            Cell::empty(),
            Cell::empty(),
            Cell::new(style.text(&sandbox.image), Tone::Dim),
        ]);
    }
    for container in &pod.containers {
        // most are, and a guess at it helps nobody
        let kind = if container.kind.starts_with("app") {
            String::new()
        } else {
            format!(" ({})", container.kind)
        };
        let ended = timestamp(container.finished_at.as_deref());
        let began = timestamp(container.started_at.as_deref());
        rows.push(vec![
            Cell::plain(style.text(&format!("{}{kind}", container.name))),
            Cell::plain(style.text(short(&container.id))),
            Cell::number(number(container.pid)),
            container_state(container, style),
            Cell::number(age(ended.or(began), now)),
            Cell::number(number(container.restarts)),
            Cell::plain(last_end(pod, container, now)),
            Cell::new(style.text(&container.image), Tone::Dim),
        ]);
    }
    if style.columns < 80 {
        // a narrow terminal has no room for images
        for row in &mut rows {
            row.truncate(7);
        }
    }
    lay_out(
        &[
            "CONTAINER",
            "ID",
            "PID",
            "STATE",
            "SINCE",
            "RST",
            "LAST END",
            "IMAGE",
        ],
        &rows,
        style,
    )
}

/// The end of the run before this one.
fn last_end(pod: &Pod, container: &Container, now: Option<Timestamp>) -> String {
    let before = pod
        .containers_before
        .iter()
        .find(|before| before.name == container.name);
    let Some(before) = before else {
        return String::new();
    };
    let ago = age(timestamp(before.finished_at.as_deref()), now);
    match before.exit_code {
        Some(code) if ago.is_empty() => format!("exit {code}"),
        Some(code) => format!("exit {code} ({ago} ago)"),
        None => String::new(),
    }
}

fn number(value: Option<u32>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The runs that are known, oldest first.
fn history(pod: &Pod, style: Style) -> String {
    let mut events: Vec<(&str, String)> = Vec::new();
    for sandbox in &pod.sandboxes_before {
        if let Some(at) = &sandbox.started_at {
            let ip = sandbox
                .ip
                .as_ref()
                .map_or(String::new(), |ip| format!("  {ip}"));
            events.push((at, format!("sandbox{}{ip}", attempt(sandbox.attempt))));
        }
        if let Some(at) = &sandbox.finished_at {
            events.push((at, format!("sandbox{} ended", attempt(sandbox.attempt))));
        }
    }
    if let Some(sandbox) = &pod.sandbox
        && let Some(at) = &sandbox.started_at
    {
        let ip = pod
            .ips
            .first()
            .map_or(String::new(), |ip| format!("  {ip}"));
        events.push((at, format!("sandbox{}{ip}", attempt(sandbox.attempt))));
    }
    for container in pod.containers.iter().chain(&pod.containers_before) {
        let name = format!("{}{}", container.name, attempt(container.attempt));
        let began = container.started_at.as_ref();
        if let Some(at) = began {
            events.push((at, format!("{name} started")));
        }
        if let Some(at) = &container.finished_at {
            // a run that was over at once did not end before it began, whatever its engine's clock said
            let at = match began {
                Some(began) if timestamp(Some(began)) > timestamp(Some(at)) => began,
                _ => at,
            };
            events.push((at, format!("{name} {}", how_it_ended(container))));
        }
    }
    events.sort_by_key(|(at, _)| timestamp(Some(at)));
    if events.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style.paint("HISTORY", Tone::Dim));
    for (at, what) in events {
        // seconds are enough for a person: 2026-01-01T00:00:00
        let at = at.get(..19).unwrap_or(at).replace('T', " ");
        line(&mut text, &format!("  {at}  {}", style.text(&what)));
    }
    text
}

fn attempt(attempt: Option<u32>) -> String {
    attempt.map_or(String::new(), |attempt| format!(" #{attempt}"))
}
