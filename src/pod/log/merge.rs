//! Lines of several containers, merged in time order.

use std::collections::VecDeque;

use super::Line;

/// An engine copies a container's stdout and stderr side by side: a line of the one may stand in
/// its log behind a newer one of the other, by this much (nanoseconds).
const DISORDER: i64 = 500_000_000;
/// The same for a container that has written to one of them only so far: then all that can still
/// come before is the very first line of the other, and an engine that has just begun to copy is
/// not that late.
const DISORDER_OF_ONE: i64 = 25_000_000;

/// The lines that are held of one source.
#[derive(Debug, Default)]
struct Held {
    /// The lines of stdout and stderr; each comes in the order of its times.
    lines: [VecDeque<Line>; 2],
    /// The newest time that each has brought.
    last: [i64; 2],
    /// The time from which it brings lines.
    from: i64,
    bytes: usize,
    open: bool,
    silent: bool,
}

impl Held {
    /// Up to this time it brings nothing more.
    fn bound(&self, most: usize) -> i64 {
        let newest = self.last[0].max(self.last[1]);
        if self.silent {
            i64::MAX
        } else {
            // what has said nothing is at 0
            let oldest = self.last[0].min(self.last[1]);
            let disorder = if oldest == 0 {
                DISORDER_OF_ONE
            } else {
                DISORDER
            };
            let usual = (newest - disorder).max(oldest);
            // no more can be held: rather a line out of order than a machine out of memory
            let full = self.bytes >= most;
            usual
                .max(self.from)
                .max(if full { self.middle() } else { 0 })
        }
    }

    /// The time up to which about half of it leaves, and at least one line.
    fn middle(&self) -> i64 {
        let middles = self
            .lines
            .iter()
            .filter_map(|lines| lines.get(lines.len() / 2));
        middles.map(|line| line.time).min().unwrap_or(0)
    }
}

/// Merges the lines of several sources in time order. A line leaves when no source can bring an
/// older one any more.
#[derive(Debug)]
pub(crate) struct Merge {
    held: Vec<Held>,
    /// The bytes that are held of each.
    most: usize,
    /// True where all are read: a line has left, or that takes too long.
    eager: bool,
}

/// The bytes that are held of all sources together, about.
const MOST: usize = 24 << 20;
/// The bytes that a line takes beside its text.
const OF_A_LINE: usize = 120;

impl Merge {
    pub(crate) fn new(sources: usize) -> Self {
        Self {
            held: (0..sources).map(|_| Held::default()).collect(),
            most: (MOST / sources.max(1)).max(256 << 10),
            eager: false,
        }
    }

    /// A source that may bring lines of this time and later (nanoseconds since 1970).
    pub(crate) fn open(&mut self, source: usize, from: i64) {
        self.held[source].open = true;
        self.held[source].from = from;
    }

    /// A source that brings no more.
    pub(crate) fn close(&mut self, source: usize) {
        self.held[source].open = false;
    }

    /// Reads all that it may from now on.
    pub(crate) fn hurry(&mut self) {
        self.eager = true;
    }

    /// True where only the sources are read that the first line waits for.
    pub(crate) fn is_patient(&self) -> bool {
        !self.eager
    }

    /// A source that has said nothing for a while is not waited for; until it says something.
    pub(crate) fn silence(&mut self, source: usize) {
        self.held[source].silent = true;
    }

    /// True where more of a source may be read: else it waits for the others. Until the first line
    /// has left, or somebody hurries, only the sources are read that this line waits for: a person
    /// looks at an empty screen.
    pub(crate) fn wants(&self, source: usize) -> bool {
        let held = &self.held[source];
        let late = || {
            let bound = |held: &Held| held.bound(self.most);
            let open = self.held.iter().filter(|held| held.open);
            match self.oldest() {
                Some((first, ..)) => bound(held) < first,
                // whose log may begin first of all
                None => open
                    .map(bound)
                    .min()
                    .is_none_or(|least| bound(held) <= least),
            }
        };
        held.bytes < self.most && (self.eager || late())
    }

    pub(crate) fn push(&mut self, source: usize, line: Line) {
        let held = &mut self.held[source];
        let stream = usize::from(line.stderr);
        // a clock that was set back
        held.from = held.from.min(line.time);
        held.last[stream] = held.last[stream].max(line.time);
        held.bytes += line.text.len() + OF_A_LINE;
        held.silent = false;
        held.lines[stream].push_back(line);
    }

    /// Gives out the lines that no source can precede any more.
    pub(crate) fn ready(&mut self, mut out: impl FnMut(usize, &Line)) {
        let open = self.held.iter().filter(|held| held.open);
        let limit = open.map(|held| held.bound(self.most)).min();
        let limit = limit.unwrap_or(i64::MAX);
        while let Some((time, source, stream)) = self.oldest() {
            if time > limit {
                break;
            }
            let held = &mut self.held[source];
            if let Some(line) = held.lines[stream].pop_front() {
                held.bytes -= line.text.len() + OF_A_LINE;
                self.eager = true;
                out(source, &line);
            }
        }
    }

    fn oldest(&self) -> Option<(i64, usize, usize)> {
        let heads = self.held.iter().enumerate().flat_map(|(source, held)| {
            let head =
                move |stream: usize| Some((held.lines[stream].front()?.time, source, stream));
            [head(0), head(1)]
        });
        heads.flatten().min()
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
