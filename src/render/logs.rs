//! Log lines of one or more containers: put together from messages, merged in time order, and
//! written with a prefix and a colour each. Pure: bytes and times in, bytes out.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

/// One line (or a piece of a very long one) of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    /// The time as the engine wrote it.
    pub(crate) stamp: Bytes,
    pub(crate) stderr: bool,
    /// Without the newline at its end.
    pub(crate) text: Bytes,
    /// Whether the line ends here; a piece that it does not end goes on in the next one.
    pub(crate) end: bool,
}

/// Longer lines leave in pieces.
const LONGEST: usize = 1 << 20;

/// Makes lines of the messages of one container: the engine writes a time before each message,
/// and splits long lines into several messages that end without a newline.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// Of stdout and stderr: a line that has begun.
    begun: [Option<(i64, Bytes, BytesMut)>; 2],
}

impl Assembler {
    /// Takes one message and gives the line that it completes.
    pub(crate) fn push(&mut self, stderr: bool, message: &Bytes) -> Option<Line> {
        let (stamp, text) = split_stamp(message);
        let end = text.last() == Some(&b'\n');
        let text = text.slice(..text.len() - usize::from(end));
        let begun = &mut self.begun[usize::from(stderr)];
        let Some((time, first, mut so_far)) = begun.take() else {
            let time = nanoseconds(&stamp);
            if end {
                return Some(Line {
                    time,
                    stamp,
                    stderr,
                    text,
                    end,
                });
            }
            *begun = Some((time, stamp, BytesMut::from(&text[..])));
            return None;
        };
        so_far.extend_from_slice(&text);
        if end || so_far.len() >= LONGEST {
            return Some(Line {
                time,
                stamp: first,
                stderr,
                text: so_far.freeze(),
                end,
            });
        }
        *begun = Some((time, first, so_far));
        None
    }

    /// What stands at the end of a log without a newline.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let rest = |(place, begun): (usize, &mut Option<_>)| {
            let (time, stamp, text): (i64, Bytes, BytesMut) = begun.take()?;
            Some(Line {
                time,
                stamp,
                stderr: place == 1,
                text: text.freeze(),
                end: true,
            })
        };
        self.begun.iter_mut().enumerate().filter_map(rest).collect()
    }
}

/// Splits `2026-11-24T09:00:00.123456789Z text`.
pub(crate) fn split_stamp(message: &Bytes) -> (Bytes, Bytes) {
    let space = message.iter().take(40).position(|byte| *byte == b' ');
    match space {
        Some(space) if space >= 20 && message[10] == b'T' => {
            (message.slice(..space), message.slice(space + 1..))
        }
        _ => (Bytes::new(), message.clone()),
    }
}

/// Reads an engine's time. Its usual form (UTC, nine digits) is read by hand: there is one on
/// every line.
pub(crate) fn nanoseconds(stamp: &[u8]) -> i64 {
    if stamp.len() == 30 && stamp[29] == b'Z' && stamp[19] == b'.' {
        let number = |from: usize, to: usize| {
            stamp[from..to].iter().fold(0_i64, |all, digit| {
                all * 10 + i64::from(digit.wrapping_sub(b'0'))
            })
        };
        // days since 1970, by the rule of the Gregorian calendar with years that begin in March
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let year = if month <= 2 { year - 1 } else { year };
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
        let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
        return seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(number(20, 29));
    }
    std::str::from_utf8(stamp)
        .ok()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        .unwrap_or(0)
}

/// An engine copies a container's stdout and stderr side by side: a line of the one may stand in
/// its log behind a newer one of the other, by this much (nanoseconds).
const DISORDER: i64 = 500_000_000;
/// The same for a container that has written to one of them only so far: then all that can still
/// come before is the very first line of the other, and an engine that has just begun to copy is
/// not that late.
const DISORDER_OF_ONE: i64 = 25_000_000;

/// What is held of one source.
#[derive(Debug, Default)]
struct Held {
    /// Of stdout and stderr; each comes in the order of its times.
    lines: [VecDeque<Line>; 2],
    /// The newest time that each has brought.
    last: [i64; 2],
    /// It brings nothing older.
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
    /// Whether all are read: a line has left, or that takes too long.
    eager: bool,
}

/// The bytes that are held of all sources together, about.
const MOST: usize = 24 << 20;
/// What a line takes beside its text.
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

    /// Whether only what the first line waits for is read.
    pub(crate) fn is_patient(&self) -> bool {
        !self.eager
    }

    /// A source that has said nothing for a while is not waited for; until it says something.
    pub(crate) fn silence(&mut self, source: usize) {
        self.held[source].silent = true;
    }

    /// Whether more of a source may be read: else it waits for the others. Until the first line
    /// has left, or somebody hurries, only what that one waits for is read: a person looks at an
    /// empty screen.
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

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Begins each line with its source's name.
    pub(crate) prefix: bool,
    pub(crate) color: bool,
    pub(crate) timestamps: bool,
    /// Makes control characters visible.
    pub(crate) clean: bool,
}

/// Writes lines one below the other.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// How each source's lines begin.
    prefixes: Vec<Vec<u8>>,
    look: Look,
    /// The source and stream of a line that goes on.
    unfinished: Option<(usize, bool)>,
}

/// How many columns of a terminal a line's prefix may take.
const WIDEST_PREFIX: usize = 40;

/// The sources' names as they stand before lines; for a person long ones are cut in their middle,
/// where they are still different then.
fn prefixes(names: &[String], for_a_person: bool) -> Vec<String> {
    let whole: Vec<String> = names
        .iter()
        .map(|name| crate::visible::field(name))
        .collect();
    let cut: Vec<String> = whole
        .iter()
        .map(|name| super::shortened(name, WIDEST_PREFIX, ".."))
        .collect();
    let different = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    if for_a_person && different(&cut) == different(&whole) {
        cut
    } else {
        whole
    }
}

/// Colours that can be read on dark and on light.
const COLORS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];

impl Writer {
    /// A writer for sources of these names.
    pub(crate) fn new(names: &[String], look: Look) -> Self {
        let shown = prefixes(names, look.clean);
        let widest = shown.iter().map(|name| super::width(name)).max();
        let prefix = |(place, name): (usize, &String)| {
            let filling = " ".repeat(widest.unwrap_or(0) - super::width(name));
            let code = COLORS[place % COLORS.len()];
            if !look.prefix {
                String::new()
            } else if look.color {
                format!("\x1b[{code}m{name}{filling}\x1b[0m | ")
            } else {
                format!("{name}{filling} | ")
            }
        };
        Self {
            prefixes: shown
                .iter()
                .enumerate()
                .map(|named| prefix(named).into_bytes())
                .collect(),
            look,
            unfinished: None,
        }
    }

    /// Writes one line, or a piece of one.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, source: usize, line: &Line) {
        let goes_on = self.unfinished == Some((source, line.stderr));
        if !goes_on {
            if self.unfinished.is_some() {
                out.push(b'\n');
            }
            out.extend_from_slice(&self.prefixes[source]);
            if self.look.timestamps {
                out.extend_from_slice(&line.stamp);
                out.push(b' ');
            }
        }
        if self.look.clean {
            let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
            out.extend_from_slice(
                crate::visible::of_a_program(&String::from_utf8_lossy(text)).as_bytes(),
            );
        } else {
            out.extend_from_slice(&line.text);
        }
        if line.end {
            out.push(b'\n');
        }
        self.unfinished = (!line.end).then_some((source, line.stderr));
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
