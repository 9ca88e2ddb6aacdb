//! A reader's position in a container's log, from which it goes on when its stream breaks. Pure:
//! times in, a range out.

use crate::engine::log_range::LogRange;

/// The position that a source has come to in its log: the last message, by its time and stream, and
/// how many of that time there were. (Pieces of one line have one time.)
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Of stdout and stderr.
    last: [(i64, usize); 2],
    stderr: bool,
    /// The number of messages of the last one's time that are still to be passed over, after a
    /// break.
    passing: Option<usize>,
}

/// Messages stand in a log out of order by less than this (nanoseconds): beyond it, one that was
/// looked for is gone (the log was rotated).
const BEYOND: i64 = 2_000_000_000;

impl Position {
    /// Notes a message; true where it is new.
    pub(super) fn is_new(&mut self, stderr: bool, time: i64) -> bool {
        if let Some(left) = &mut self.passing {
            let target = self.last[usize::from(self.stderr)].0;
            if stderr == self.stderr && time == target {
                *left -= 1;
                if *left == 0 {
                    self.passing = None;
                }
                return false;
            }
            if time <= target.saturating_add(BEYOND) {
                return false;
            }
            self.passing = None;
        }
        let last = &mut self.last[usize::from(stderr)];
        if last.0 == time {
            last.1 += 1;
        } else {
            *last = (time, 1);
        }
        self.stderr = stderr;
        true
    }

    /// The range in which the log goes on from here.
    pub(super) fn resume(&mut self, range: &LogRange) -> LogRange {
        let (time, count) = self.last[usize::from(self.stderr)];
        if count == 0 {
            return range.clone();
        }
        self.passing = Some(count);
        LogRange {
            // what the log has behind it may be older, by a little
            since: Some(time.saturating_sub(BEYOND)),
            tail: None,
            ..range.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment, in nanoseconds since 1970.
    fn at(second: i64) -> i64 {
        (1_800_000_000 + second) * 1_000_000_000 + 1
    }

    #[test]
    fn after_a_break_a_log_goes_on_behind_the_last_message() {
        let messages = |count: usize| -> Vec<(bool, i64)> {
            // two pieces of one line have one time, and stderr gets between them
            let all = [1, 2, 2, 2, 3, 4];
            all.iter()
                .enumerate()
                .map(|(place, second)| (place == 2, at(*second)))
                .take(count)
                .collect()
        };
        for broken_after in 1..=6 {
            let mut position = Position::default();
            let mut new = 0;
            for (stderr, time) in messages(broken_after) {
                new += usize::from(position.is_new(stderr, time));
            }
            let range = position.resume(&LogRange {
                tail: Some(5),
                ..LogRange::default()
            });
            assert_eq!(range.tail, None);
            for (stderr, time) in messages(6) {
                if range.since.is_some_and(|since| time >= since) {
                    new += usize::from(position.is_new(stderr, time));
                }
            }
            assert_eq!(new, 6, "broken after {broken_after}");
        }
    }

    #[test]
    fn a_log_that_was_rotated_meanwhile_goes_on_where_it_can() {
        let mut position = Position::default();
        assert!(position.is_new(false, at(1)));
        position.resume(&LogRange::default());
        assert!(position.is_new(false, at(9)));
        assert!(position.is_new(false, at(10)));
    }

    #[test]
    fn a_message_may_be_of_any_time() {
        for time in [i64::MAX, i64::MIN] {
            let mut position = Position::default();
            assert!(position.is_new(false, time));
            let range = position.resume(&LogRange::default());
            assert!(range.since.is_some());
            assert!(!position.is_new(false, time));
        }
    }
}
