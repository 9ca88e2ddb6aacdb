//! A build as a picture on a terminal that is painted again and again.

use std::fmt::Write as _;
use std::time::Instant;

use unicode_width::UnicodeWidthChar as _;

use super::build_graph::{self, Graph, Step};
use crate::ui::log_text;

/// Lines of output under a step that runs.
const SHOWN_LINES: usize = 6;

/// The picture that stands on the terminal.
#[derive(Debug)]
pub(super) struct Tty {
    painted: usize,
    begun: Instant,
}

/// The terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Tty {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            painted: 0,
            begun: now,
        }
    }

    /// Text that takes the old picture away and paints the new one. The last picture has every
    /// step, however high it gets.
    pub(super) fn paint(
        &mut self,
        graph: &Graph,
        now: Instant,
        size: Size,
        color: bool,
        last: bool,
    ) -> String {
        let mut lines = vec![self.head(graph, now, last)];
        for step in graph.steps.iter().filter(|step| step.started.is_some()) {
            lines.extend(step_lines(step, now, last));
        }
        let room = size.rows.saturating_sub(1).max(2);
        if !last && lines.len() > room {
            // the newest matter; the head stays
            lines.drain(1..=lines.len() - room);
        }
        let mut text = String::new();
        if self.painted > 0 {
            let _fits = write!(text, "\x1b[{}A", self.painted);
        }
        for (line, style) in &lines {
            let line = fit(line, size.columns);
            let _fits = match style {
                Some(code) if color => writeln!(text, "\r\x1b[{code}m{line}\x1b[0m\x1b[K"),
                _ => writeln!(text, "\r{line}\x1b[K"),
            };
        }
        // what was higher before is cleared below
        text.push_str("\x1b[J");
        self.painted = lines.len();
        text
    }

    fn head(&self, graph: &Graph, now: Instant, last: bool) -> (Line, Option<&'static str>) {
        let started = graph.steps.iter().filter(|step| step.started.is_some());
        let ended = started
            .clone()
            .filter(|step| step.completed.is_some())
            .count();
        let done = if last { " FINISHED" } else { "" };
        let line = Line {
            left: format!(
                "[+] Building {:.1}s ({ended}/{}){done}",
                now.saturating_duration_since(self.begun).as_secs_f64(),
                graph.steps.len()
            ),
            right: String::new(),
        };
        (line, last.then_some("34"))
    }
}

#[derive(Debug)]
struct Line {
    left: String,
    right: String,
}

fn step_lines(step: &Step, now: Instant, last: bool) -> Vec<(Line, Option<&'static str>)> {
    let (word, style) = if !step.error.is_empty() {
        let word = if step.error.ends_with("context canceled") {
            "CANCELED "
        } else {
            "ERROR "
        };
        (word, Some("31"))
    } else if step.cached {
        ("CACHED ", Some("34"))
    } else if step.completed.is_some() {
        ("", Some("34"))
    } else {
        ("", None)
    };
    let seconds = format!("{:.1}s", step.took(now).as_secs_f64());
    let mut lines = vec![(
        Line {
            left: format!(" => {word}{}", log_text(&step.name, false)),
            right: seconds,
        },
        style,
    )];
    let small = |text: String| {
        let right = String::new();
        (
            Line {
                left: format!(" => => {text}"),
                right,
            },
            style,
        )
    };
    if step.is_running() || (last && !step.cached) {
        lines.extend(
            step.tasks
                .iter()
                .map(|task| small(log_text(&build_graph::task(task), false))),
        );
    }
    if step.is_running() && !last {
        let skip = step.lines.len().saturating_sub(SHOWN_LINES);
        lines.extend(
            step.lines
                .iter()
                .skip(skip)
                .map(|(_, line)| small(format!("# {}", log_text(line, false)))),
        );
    }
    lines
}

/// Cuts or fills a line to the terminal's width, so that it never wraps.
fn fit(line: &Line, columns: usize) -> String {
    let room = columns.saturating_sub(line.right.len() + 1);
    let mut width = 0;
    let mut text = String::new();
    for c in line.left.chars() {
        let c = if c == '\t' { ' ' } else { c };
        let wide = c.width().unwrap_or(0);
        if width + wide > room {
            break;
        }
        width += wide;
        text.push(c);
    }
    if !line.right.is_empty() {
        text.extend(std::iter::repeat_n(' ', room - width + 1));
        text.push_str(&line.right);
    }
    text
}
