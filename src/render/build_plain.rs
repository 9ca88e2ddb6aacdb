//! A build as lines that never change once written.
//!
//! One step is told at a time: what others say meanwhile waits until it has ended, or has been
//! silent for a while.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::build_graph::{self, Change, Graph};
use crate::ui::log_text;

/// The time that a step that says nothing keeps the floor while others wait.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The step that has the floor, and when it last said something.
    speaker: Option<(usize, Instant)>,
    /// The step whose name stands above the last line.
    named: Option<usize>,
    /// The lines that the steps have to say.
    waiting: BTreeMap<usize, Vec<String>>,
    /// Steps that have ended, unless the next news says that they go on, as the context's does.
    ending: Vec<usize>,
    ended: Vec<usize>,
}

impl Plain {
    pub(super) fn lines(
        &mut self,
        graph: &Graph,
        changes: &[Change],
        now: Instant,
        color: bool,
    ) -> String {
        let mut touched = Vec::new();
        for change in changes {
            let (index, line) = match change {
                Change::Started(index) => (*index, None),
                Change::Line(index, at, line) => {
                    (*index, Some(format!("{at:.3} {}", log_text(line, color))))
                }
                Change::Task(index, task) => {
                    let task = build_graph::task(&graph.steps[*index].tasks[*task]);
                    (*index, Some(format!("{} done", log_text(&task, false))))
                }
                Change::Ended(index) => {
                    self.ending.push(*index);
                    (*index, None)
                }
            };
            touched.push(index);
            self.waiting.entry(index).or_default().extend(line);
        }
        let all = std::mem::take(&mut self.ending);
        let (later, over): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|index| touched.contains(index));
        self.ending = later;
        for index in over {
            self.end(graph, index);
        }
        self.speak(graph, now)
    }

    /// Everything that still waits; the build is over.
    pub(super) fn rest(&mut self, graph: &Graph, now: Instant) -> String {
        for index in std::mem::take(&mut self.ending) {
            self.end(graph, index);
        }
        let mut text = self.speak(graph, now);
        while let Some((&index, _)) = self.waiting.first_key_value() {
            self.tell(graph, index, &mut text);
        }
        text
    }

    fn end(&mut self, graph: &Graph, index: usize) {
        let step = &graph.steps[index];
        if step.completed.is_none() || self.ended.contains(&index) {
            return;
        }
        self.ended.push(index);
        let line = if !step.error.is_empty() {
            format!("ERROR: {}", log_text(&step.error, false))
        } else if step.cached {
            "CACHED".to_owned()
        } else {
            format!("DONE {:.1}s", step.took(Instant::now()).as_secs_f64())
        };
        self.waiting.entry(index).or_default().push(line);
    }

    fn speak(&mut self, graph: &Graph, now: Instant) -> String {
        let mut text = String::new();
        loop {
            let Some((index, since)) = self.speaker else {
                let Some((&next, _)) = self.waiting.first_key_value() else {
                    return text;
                };
                self.speaker = Some((next, now));
                continue;
            };
            let spoke = self.waiting.contains_key(&index);
            if spoke {
                self.tell(graph, index, &mut text);
                self.speaker = Some((index, now));
            }
            let over = self.ended.contains(&index);
            let silent = !spoke && now.saturating_duration_since(since) > SILENCE;
            if over || (silent && !self.waiting.is_empty()) {
                self.speaker = None;
            } else {
                return text;
            }
        }
    }

    fn tell(&mut self, graph: &Graph, index: usize, text: &mut String) {
        let step = &graph.steps[index];
        if self.named != Some(index) {
            let gap = if self.named.is_some() { "\n" } else { "" };
            let _fits = writeln!(
                text,
                "{gap}#{} {}",
                step.number,
                log_text(&step.name, false)
            );
            self.named = Some(index);
        }
        for line in self.waiting.remove(&index).unwrap_or_default() {
            let _fits = writeln!(text, "#{} {line}", step.number);
        }
    }
}
