//! The state of a build's steps as far as it is known, whatever way it is shown.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::progress::{Task, Update, Warning};

/// Lines of a step's output that are kept to be shown when it fails.
const KEPT_LINES: usize = 50;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// In order of appearance, from 1.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) started: Option<jiff::Timestamp>,
    pub(super) completed: Option<jiff::Timestamp>,
    /// By our own clock, for a step that still runs: the engine's clock may be another.
    pub(super) seen: Instant,
    pub(super) cached: bool,
    pub(super) error: String,
    pub(super) tasks: Vec<Task>,
    /// Seconds since the step's start, and the line.
    pub(super) lines: VecDeque<(f64, String)>,
    /// Output whose line has not ended yet.
    unfinished: Vec<u8>,
}

impl Step {
    pub(super) fn is_running(&self) -> bool {
        self.started.is_some() && self.completed.is_none()
    }

    /// The time that it took, or takes.
    pub(super) fn took(&self, now: Instant) -> Duration {
        match (self.started, self.completed) {
            (Some(started), Some(completed)) => {
                Duration::try_from(completed.duration_since(started)).unwrap_or_default()
            }
            (Some(_), None) => now.saturating_duration_since(self.seen),
            (None, _) => Duration::ZERO,
        }
    }
}

/// All steps, and what was warned of.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) steps: Vec<Step>,
    by_digest: HashMap<String, usize>,
    pub(super) warnings: Vec<Warning>,
}

/// A change that an update made; they come in order.
#[derive(Debug)]
pub(super) enum Change {
    Started(usize),
    Line(usize, f64, String),
    /// A task of a step has ended.
    Task(usize, usize),
    Ended(usize),
}

impl Graph {
    pub(super) fn apply(&mut self, update: &Update, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut ended = Vec::new();
        for vertex in &update.vertexes {
            let index = self.step(&vertex.digest, &vertex.name, now);
            let step = &mut self.steps[index];
            if vertex.started.is_some() && step.started.is_none() {
                step.seen = now;
                changes.push(Change::Started(index));
            }
            // a step that was cancelled and is run again has a new start and no end
            step.started = vertex.started.or(step.started);
            let had_ended = step.completed.is_some();
            step.completed = vertex.completed;
            step.cached |= vertex.cached;
            vertex.error.clone_into(&mut step.error);
            if vertex.completed.is_some() && !had_ended {
                ended.push(Change::Ended(index));
            }
        }
        for task in &update.statuses {
            let Some(&index) = self.by_digest.get(&task.vertex) else {
                continue;
            };
            let tasks = &mut self.steps[index].tasks;
            let known = tasks.iter().position(|known| known.id == task.id);
            let at = known.unwrap_or(tasks.len());
            let had_ended = known.is_some_and(|at| tasks[at].completed.is_some());
            match known {
                Some(at) => tasks[at] = task.clone(),
                None => tasks.push(task.clone()),
            }
            if task.completed.is_some() && !had_ended {
                changes.push(Change::Task(index, at));
            }
        }
        for log in &update.logs {
            let Some(&index) = self.by_digest.get(&log.vertex) else {
                continue;
            };
            let step = &mut self.steps[index];
            let at = match (step.started, log.timestamp) {
                (Some(started), Some(at)) => at.duration_since(started).as_secs_f64().max(0.0),
                _ => 0.0,
            };
            step.unfinished.extend_from_slice(&log.data);
            while let Some(end) = step.unfinished.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = step.unfinished.drain(..=end).collect();
                changes.push(step.line(index, at, &line));
            }
        }
        for change in &ended {
            if let Change::Ended(index) = change {
                let step = &mut self.steps[*index];
                if !step.unfinished.is_empty() {
                    let line = std::mem::take(&mut step.unfinished);
                    let at = step.took(now).as_secs_f64();
                    changes.push(step.line(*index, at, &line));
                }
            }
        }
        changes.append(&mut ended);
        self.warnings.extend(update.warnings.iter().cloned());
        changes
    }

    fn step(&mut self, digest: &str, name: &str, now: Instant) -> usize {
        if let Some(&index) = self.by_digest.get(digest) {
            return index;
        }
        let index = self.steps.len();
        self.by_digest.insert(digest.to_owned(), index);
        self.steps.push(Step {
            number: index + 1,
            name: name.to_owned(),
            started: None,
            completed: None,
            seen: now,
            cached: false,
            error: String::new(),
            tasks: Vec::new(),
            lines: VecDeque::new(),
            unfinished: Vec::new(),
        });
        index
    }
}

impl Step {
    fn line(&mut self, index: usize, at: f64, bytes: &[u8]) -> Change {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((at, text.clone()));
        Change::Line(index, at, text)
    }
}

/// Bytes as `1.5MB`, in the way of the docker tools.
pub(super) fn bytes(count: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = count.max(0) as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if amount < 1000.0 {
            return if unit == "B" {
                format!("{amount:.0}{unit}")
            } else {
                format!("{amount:.2}{unit}")
            };
        }
        amount /= 1000.0;
    }
    format!("{amount:.2}TB")
}

/// A task as `transferring context: 1.5MB / 3MB`.
pub(super) fn task(task: &Task) -> String {
    let name = &task.id;
    match (task.current, task.total) {
        (0, 0) => name.clone(),
        (current, total) if current == total => format!("{name} {}", bytes(current)),
        (current, 0) => format!("{name} {}", bytes(current)),
        (current, total) => format!("{name} {} / {}", bytes(current), bytes(total)),
    }
}
