//! Log lines of one or more containers: a prefix and a colour each, and their merging in time
//! order. Pure: bytes and times in, lines out.

use std::collections::BTreeMap;

/// One line (or a piece of one) of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// RFC 3339 with nanoseconds, as the engine writes it; such times sort as text.
    pub(crate) time: String,
    pub(crate) stderr: bool,
    /// Without the newline at its end.
    pub(crate) text: Vec<u8>,
}

/// Makes lines of the messages of one container: the engine writes a time before each message,
/// and splits long lines into several messages that end without a newline.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    stdout: Option<Line>,
    stderr: Option<Line>,
}

impl Assembler {
    /// Takes one message and gives the line that it completes.
    pub(crate) fn push(&mut self, stderr: bool, message: &[u8]) -> Option<Line> {
        let begun = if stderr {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        let (time, text) = split_time(message);
        let (text, whole) = match text.strip_suffix(b"\n") {
            Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
            None => (text, false),
        };
        let line = begun.get_or_insert_with(|| Line {
            time: time.to_owned(),
            stderr,
            text: Vec::new(),
        });
        line.text.extend_from_slice(text);
        if whole { begun.take() } else { None }
    }

    /// What stands at the end of a log without a newline.
    pub(crate) fn finish(self) -> impl Iterator<Item = Line> {
        self.stdout.into_iter().chain(self.stderr)
    }
}

/// Splits `2026-11-24T09:00:00.123456789Z text`.
fn split_time(message: &[u8]) -> (&str, &[u8]) {
    let space = message.iter().take(40).position(|byte| *byte == b' ');
    if let Some(space) = space
        && let Ok(time) = std::str::from_utf8(&message[..space])
        && time.len() >= 20
        && time.as_bytes()[10] == b'T'
    {
        return (time, &message[space + 1..]);
    }
    ("", message)
}

/// Merges the lines of several sources in time order. A line leaves when every source that can
/// still bring an older one has shown a newer, or when the caller says how far time has come.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    waiting: BTreeMap<(String, usize, u64), Line>,
    /// The newest time of each open source.
    open: BTreeMap<usize, String>,
    count: u64,
}

impl Merge {
    /// A source that may bring lines.
    pub(crate) fn open(&mut self, source: usize) {
        self.open.insert(source, String::new());
    }

    /// A source that brings no more.
    pub(crate) fn close(&mut self, source: usize) {
        self.open.remove(&source);
    }

    pub(crate) fn push(&mut self, source: usize, line: Line) {
        self.count += 1;
        if let Some(newest) = self.open.get_mut(&source)
            && *newest < line.time
        {
            newest.clone_from(&line.time);
        }
        self.waiting
            .insert((line.time.clone(), source, self.count), line);
    }

    /// The lines that no source can precede any more.
    pub(crate) fn ready(&mut self) -> Vec<(usize, Line)> {
        let limit = self.open.values().min().map(|newest| before(newest));
        self.take_while(|time| limit.as_ref().is_none_or(|limit| time <= limit.as_str()))
    }

    /// All lines that wait: the hold-back of a live stream is over.
    pub(crate) fn flush(&mut self) -> Vec<(usize, Line)> {
        self.take_while(|_| true)
    }

    fn take_while(&mut self, fits: impl Fn(&str) -> bool) -> Vec<(usize, Line)> {
        let mut lines = Vec::new();
        while let Some(entry) = self.waiting.first_entry() {
            if !fits(&entry.key().0) {
                break;
            }
            let source = entry.key().1;
            lines.push((source, entry.remove()));
        }
        lines
    }
}

/// An engine copies a container's stdout and stderr side by side: a line may stand in its log
/// behind a newer one, by this much.
const DISORDER: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);

/// The time up to which a source that has come to `newest` brings nothing more.
fn before(newest: &str) -> String {
    newest
        .parse::<jiff::Timestamp>()
        .and_then(|time| time.checked_sub(DISORDER))
        // as engines write times, so that they compare as text
        .map_or_else(|_| String::new(), |time| format!("{time:.9}"))
}

/// How a container's lines begin.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    text: String,
}

/// Colours that can be read on dark and on light.
const COLORS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];

impl Prefix {
    /// No prefix: the log of one container.
    pub(crate) fn none() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// The container's name, padded to `width`, in the colour of its place.
    pub(crate) fn named(name: &str, width: usize, place: usize, color: bool) -> Self {
        let code = COLORS[place % COLORS.len()];
        let text = if color {
            format!("\x1b[{code}m{name:<width$}\x1b[0m | ")
        } else {
            format!("{name:<width$} | ")
        };
        Self { text }
    }

    /// One line for a person or a file. `clean` makes control characters visible.
    pub(crate) fn line(&self, line: &Line, timestamps: bool, clean: bool) -> Vec<u8> {
        let mut out = self.text.clone().into_bytes();
        if timestamps {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        if clean {
            out.extend_from_slice(
                crate::ui::visible(&String::from_utf8_lossy(&line.text)).as_bytes(),
            );
        } else {
            out.extend_from_slice(&line.text);
        }
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time: &str, text: &str) -> Line {
        Line {
            time: time.into(),
            stderr: false,
            text: text.into(),
        }
    }

    #[test]
    fn a_long_line_in_several_messages_is_one_line_again() {
        let mut assembler = Assembler::default();
        assert_eq!(
            assembler.push(false, b"2026-11-24T09:00:00.000000001Z abc"),
            None
        );
        assert_eq!(
            assembler
                .push(true, b"2026-11-24T09:00:00.000000002Z oops\n")
                .unwrap()
                .text,
            b"oops"
        );
        let whole = assembler
            .push(false, b"2026-11-24T09:00:00.000000003Z def\n")
            .unwrap();
        assert_eq!(
            (whole.time.as_str(), whole.text.as_slice()),
            ("2026-11-24T09:00:00.000000001Z", &b"abcdef"[..])
        );
        assert_eq!(assembler.finish().count(), 0);
    }

    #[test]
    fn sources_are_merged_by_time_and_wait_for_the_slowest() {
        let at = |second: u32| format!("2026-11-24T09:00:{second:02}.000000001Z");
        let mut merge = Merge::default();
        merge.open(0);
        merge.open(1);
        merge.push(0, line(&at(2), "b"));
        merge.push(0, line(&at(4), "d"));
        assert!(
            merge.ready().is_empty(),
            "source 1 may still bring something older"
        );
        merge.push(1, line(&at(3), "c"));
        merge.push(1, line(&at(1), "a"));
        let texts: Vec<_> = merge
            .ready()
            .into_iter()
            .map(|(_, line)| line.text)
            .collect();
        assert_eq!(
            texts,
            [b"a", b"b"],
            "a line behind a newer one finds its place"
        );
        merge.close(1);
        assert_eq!(merge.ready().len(), 1);
        merge.close(0);
        assert_eq!(merge.ready().len(), 1);
    }

    #[test]
    fn an_escape_sequence_in_a_log_is_shown_on_a_terminal() {
        let text = Prefix::none().line(&line("", "a\x1b[2Jb"), false, true);
        assert_eq!(text, b"a\\u{1b}[2Jb\n");
    }
}
