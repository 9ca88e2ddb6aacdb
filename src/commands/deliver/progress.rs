//! A transfer's progress on a terminal: one line of bytes and rate that goes away at the end.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval_at};

use crate::commands::invocation::Context;
use crate::progress::{Event, Sender};
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
    /// Does `work` and shows meanwhile what nodes have taken by its events, out of `expected` bytes
    /// where that is known.
    pub(in crate::commands) async fn shown<T>(
        &self,
        what: &str,
        expected: Option<u64>,
        work: impl AsyncFnOnce(&Sender) -> T,
    ) -> T {
        let (events, mut news) = tokio::sync::mpsc::unbounded_channel();
        if !self.ui.draws() || self.ui.quiet() {
            // nobody reads them
            drop(news);
            return work(&events).await;
        }
        let (begun, mut sent) = (Instant::now(), 0);
        let _line = Line(self);
        let mut work = std::pin::pin!(work(&events));
        let mut frames = interval_at((begun + DRAWN).into(), DRAWN);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(event) = news.recv() => {
                    if let Event::Loaded(bytes) = event {
                        sent += bytes;
                    }
                }
                _ = frames.tick() => {
                    let text = moving(what, sent, expected, begun.elapsed().as_secs_f64());
                    let text: String = text.chars().take(self.ui.columns() - 1).collect();
                    self.ui.talk_bytes(format!("\r{text}\x1b[K").as_bytes());
                }
            }
        }
    }
}
