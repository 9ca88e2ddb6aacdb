//! A transfer's progress on a terminal: one line of bytes and rate that goes away at the end.

use std::time::{Duration, Instant};

use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::render::load::moving;

/// The time between two drawings of the line.
const DRAWN: Duration = Duration::from_millis(150);

/// Takes the line away, also when the work is dropped.
struct Line<'c>(&'c Context);

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.ui.talk_bytes(b"\r\x1b[K");
    }
}

impl Context {
    /// Does `work` and shows meanwhile what has gone to the nodes, out of `expected` bytes where
    /// that is known.
    pub(super) async fn shown<T>(
        &self,
        what: &str,
        nodes: &[&Engine],
        expected: Option<u64>,
        work: impl Future<Output = T>,
    ) -> T {
        if !self.ui.stderr_is_terminal() || self.ui.quiet() {
            return work.await;
        }
        let taken = || {
            nodes
                .iter()
                .map(|node| node.images.bytes_loaded())
                .sum::<u64>()
        };
        let (begun, before) = (Instant::now(), taken());
        let _line = Line(self);
        let draw = async {
            loop {
                tokio::time::sleep(DRAWN).await;
                let sent = taken() - before;
                let text = moving(what, sent, expected, begun.elapsed().as_secs_f64());
                let text: String = text.chars().take(self.ui.columns() - 1).collect();
                self.ui.talk_bytes(format!("\r{text}\x1b[K").as_bytes());
            }
        };
        tokio::select! {
            done = work => done,
            () = draw => unreachable!("it draws for ever"),
        }
    }
}
