//! Where a reader has come to in a container's log, so that it goes on from there when its stream
//! breaks. Pure: times in, a range out.

use bytes::Bytes;

use crate::engine::log_range::LogRange;
use crate::pod::log::nanoseconds;

/// Where a source has come to in its log: the last message, by its time and stream, and how many
/// of that time there were. (Pieces of one line have one time.)
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Of stdout and stderr.
    last: [(Bytes, usize); 2],
    stderr: bool,
    /// How many messages of the last one's time are still to be passed over, after a break.
    passing: Option<usize>,
}

/// Messages stand in a log out of order by less than this (nanoseconds): beyond it, one that was
/// looked for is gone (the log was rotated).
const BEYOND: i64 = 2_000_000_000;

impl Position {
    /// Whether a message is new.
    pub(super) fn is_new(&mut self, stderr: bool, stamp: &Bytes) -> bool {
        if let Some(left) = &mut self.passing {
            let target = &self.last[usize::from(self.stderr)].0;
            if stderr == self.stderr && stamp == target {
                *left -= 1;
                if *left == 0 {
                    self.passing = None;
                }
                return false;
            }
            if nanoseconds(stamp) <= nanoseconds(target).saturating_add(BEYOND) {
                return false;
            }
            self.passing = None;
        }
        let last = &mut self.last[usize::from(stderr)];
        if last.0 == *stamp {
            last.1 += 1;
        } else {
            *last = (stamp.clone(), 1);
        }
        self.stderr = stderr;
        true
    }

    /// The range in which the log goes on from here.
    pub(super) fn resume(&mut self, range: &LogRange) -> LogRange {
        let (stamp, count) = &self.last[usize::from(self.stderr)];
        if *count == 0 {
            return range.clone();
        }
        self.passing = Some(*count);
        LogRange {
            // what the log has behind it may be older, by a little
            since: Some(nanoseconds(stamp).saturating_sub(BEYOND)),
            tail: None,
            ..range.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_break_a_log_goes_on_behind_the_last_message() {
        let messages = |count: usize| -> Vec<(bool, Bytes)> {
            // two pieces of one line have one time, and stderr gets between them
            let all = ["1", "2", "2", "2", "3", "4"];
            all.iter()
                .enumerate()
                .map(|(place, second)| {
                    let stamp = format!("2026-11-24T09:00:0{second}.000000001Z");
                    (place == 2, Bytes::from(stamp))
                })
                .take(count)
                .collect()
        };
        for broken_after in 1..=6 {
            let mut position = Position::default();
            let mut new = 0;
            for (stderr, stamp) in messages(broken_after) {
                new += usize::from(position.is_new(stderr, &stamp));
            }
            let range = position.resume(&LogRange {
                tail: Some(5),
                ..LogRange::default()
            });
            assert_eq!(range.tail, None);
            for (stderr, stamp) in messages(6) {
                if range
                    .since
                    .is_some_and(|since| nanoseconds(&stamp) >= since)
                {
                    new += usize::from(position.is_new(stderr, &stamp));
                }
            }
            assert_eq!(new, 6, "broken after {broken_after}");
        }
    }

    #[test]
    fn a_log_that_was_rotated_meanwhile_goes_on_where_it_can() {
        let mut position = Position::default();
        let at = |second: u32| Bytes::from(format!("2026-11-24T09:00:{second:02}.000000001Z"));
        assert!(position.is_new(false, &at(1)));
        position.resume(&LogRange::default());
        assert!(position.is_new(false, &at(9)));
        assert!(position.is_new(false, &at(10)));
    }

    #[test]
    fn a_stamp_may_be_any_time() {
        for stamp in [
            "9999-12-31T23:59:59.999999999Z",
            "0000-01-01T00:00:00.000000000Z",
        ] {
            let mut position = Position::default();
            assert!(position.is_new(false, &Bytes::from(stamp)));
            let range = position.resume(&LogRange::default());
            assert!(range.since.is_some());
            assert!(!position.is_new(false, &Bytes::from(stamp)));
        }
    }
}
