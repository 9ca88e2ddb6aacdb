//! A build as lines that never change once written.

use std::fmt::Write as _;
use std::time::Instant;

use super::build_graph::{self, Change, Graph};
use crate::ui::log_text;

/// Which step wrote last.
#[derive(Debug, Default)]
pub(super) struct Plain {
    last: Option<usize>,
}

impl Plain {
    pub(super) fn lines(&mut self, graph: &Graph, changes: &[Change], color: bool) -> String {
        let mut text = String::new();
        for change in changes {
            let (index, line) = match change {
                Change::Started(index) => (*index, None),
                Change::Line(index, at, line) => {
                    (*index, Some(format!("{at:.3} {}", log_text(line, color))))
                }
                Change::Task(index, place) => {
                    let task = &graph.steps[*index].tasks[*place];
                    (*index, Some(format!("{} done", log_text(&build_graph::task(task), false))))
                }
                Change::Ended(index) => {
                    let step = &graph.steps[*index];
                    let line = if !step.error.is_empty() {
                        format!("ERROR: {}", log_text(&step.error, false))
                    } else if step.cached {
                        "CACHED".to_owned()
                    } else {
                        format!("DONE {:.1}s", step.took(Instant::now()).as_secs_f64())
                    };
                    (*index, Some(line))
                }
            };
            let step = &graph.steps[index];
            if self.last != Some(index) {
                let gap = if self.last.is_some() { "\n" } else { "" };
                let _fits = writeln!(text, "{gap}#{} {}", step.number, log_text(&step.name, false));
                self.last = Some(index);
            }
            if let Some(line) = line {
                let _fits = writeln!(text, "#{} {line}", step.number);
            }
        }
        text
    }
}
