//! Lines put together from messages.

use bytes::{Bytes, BytesMut};

use super::{Line, LogMessage};

/// The longest piece of a line; longer lines leave in pieces.
const LONGEST: usize = 1 << 20;

/// Makes lines of the messages of one container: a runtime splits long lines into several.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// The lines of stdout and stderr that have begun.
    begun: [Option<(i64, Bytes, BytesMut)>; 2],
}

impl Assembler {
    /// Takes one message and gives the line that it completes.
    pub(crate) fn push(&mut self, message: LogMessage) -> Option<Line> {
        let LogMessage {
            time,
            stamp,
            stderr,
            text,
            partial,
        } = message;
        let end = !partial;
        let begun = &mut self.begun[usize::from(stderr)];
        let Some((time, first, mut so_far)) = begun.take() else {
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

    /// The line at the end of each stream that has no newline.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let rest = |(index, begun): (usize, &mut Option<_>)| {
            let (time, stamp, text): (i64, Bytes, BytesMut) = begun.take()?;
            Some(Line {
                time,
                stamp,
                stderr: index == 1,
                text: text.freeze(),
                end: true,
            })
        };
        self.begun.iter_mut().enumerate().filter_map(rest).collect()
    }
}

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;
