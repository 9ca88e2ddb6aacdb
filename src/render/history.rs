//! `devnet history` and `devnet watch`: what happened to a pod, in lines.

use std::fmt::Write as _;

use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::pod::{Event, EventKind, short};

/// A pod's history under its name.
pub(crate) fn card(title: &str, node: &str, events: &[Event], style: Style) -> String {
    let mut text = format!(
        "{}  {}\n",
        style.paint(&style.text(title), Tone::Head),
        style.paint(&style.text(node), Tone::Dim)
    );
    if events.is_empty() {
        text.push_str("  nothing is known\n");
        return text;
    }
    let rows: Vec<Vec<Cell>> = events
        .iter()
        .map(|event| {
            vec![
                Cell::new(moment(&event.time), Tone::Dim),
                Cell::plain(who(event, style)),
                what(event),
                Cell::plain(ip(event, style)),
                Cell::new(netns(event), Tone::Dim),
                Cell::new(style.text(short(&event.id)), Tone::Dim),
            ]
        })
        .collect();
    let table = lay_out(&["TIME", "WHO", "WHAT", "IP", "NETNS", "ID"], &rows, style);
    let mut lines = table.lines();
    if let Some(head) = lines.next() {
        text.push_str(head);
        text.push('\n');
    }
    for (line, event) in lines.zip(events) {
        text.push_str(line);
        text.push('\n');
        if let Some(verdict) = verdict(event, style) {
            let _infallible = writeln!(text, "{:21}{verdict}", "");
        }
    }
    text
}

/// One event as `watch` prints it.
pub(crate) fn line(event: &Event, style: Style) -> String {
    let pod = style.paint(
        &style.text(&format!("{}/{}", event.namespace, event.pod)),
        Tone::Head,
    );
    let what = what(event);
    let mut text = format!(
        "{}  {pod}  {} {}",
        style.paint(&moment(&event.time), Tone::Dim),
        who(event, style),
        style.paint(&what.text, what.tone),
    );
    if event.kind == EventKind::SandboxStarted {
        for more in [ip(event, style), netns(event)] {
            if !more.is_empty() {
                text.push_str("  ");
                text.push_str(&more);
            }
        }
    }
    text.push('\n');
    if let Some(verdict) = verdict(event, style) {
        let _infallible = writeln!(text, "{:21}{verdict}", "");
    }
    text
}

/// Seconds are enough for a person.
fn moment(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

fn who(event: &Event, style: Style) -> String {
    let name = event.container.as_deref().unwrap_or("sandbox");
    let attempt = event
        .attempt
        .map_or(String::new(), |attempt| format!(" #{attempt}"));
    style.text(&format!("{name}{attempt}"))
}

fn what(event: &Event) -> Cell {
    let code = event.exit_code;
    let oom = if event.oom_killed == Some(true) {
        ", out of memory"
    } else {
        ""
    };
    let exit = code.map_or(String::new(), |code| format!(" exit {code}"));
    match event.kind {
        EventKind::SandboxStarted | EventKind::ContainerStarted => Cell::new("started", Tone::Good),
        EventKind::ContainerFailed => Cell::new(format!("could not start{exit}"), Tone::Bad),
        EventKind::SandboxRemoved | EventKind::ContainerRemoved => Cell::new("removed", Tone::Dim),
        EventKind::SandboxEnded | EventKind::ContainerEnded => Cell::new(
            format!("ended{exit}{oom}"),
            if code == Some(0) {
                Tone::Plain
            } else {
                Tone::Bad
            },
        ),
    }
}

fn ip(event: &Event, style: Style) -> String {
    match event.kind {
        EventKind::SandboxStarted | EventKind::ContainerStarted => event
            .ip
            .as_deref()
            .map_or(String::new(), |ip| style.text(ip)),
        _ => String::new(),
    }
}

fn netns(event: &Event) -> String {
    match (event.kind, event.netns) {
        (EventKind::SandboxStarted | EventKind::ContainerStarted, Some(inode)) => {
            format!("net:[{inode}]")
        }
        _ => String::new(),
    }
}

/// The verdict on a restart. A container in a new sandbox repeats what its sandbox's line says.
fn verdict(event: &Event, style: Style) -> Option<String> {
    let restart = event.restart.as_ref()?;
    if event.kind == EventKind::ContainerStarted && !restart.same_sandbox {
        return None;
    }
    let tone = if restart.same_sandbox && restart.ip_kept == Some(true) {
        Tone::Good
    } else {
        Tone::Odd
    };
    let arrow = style.glyph("\u{21b3} ", "-> ");
    let text = restart.verdict.replace("->", style.glyph("\u{2192}", "->"));
    Some(style.paint(&format!("{arrow}{}", style.text(&text)), tone))
}
