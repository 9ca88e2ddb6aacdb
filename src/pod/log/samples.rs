//! Lines of logs for tests.

use bytes::Bytes;

use super::Line;

/// A time as a stamp has it.
pub(crate) fn at(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
    format!("{time:.9}")
}

const SECOND: i64 = 1_000_000_000;
/// A day, in nanoseconds since 1970.
pub(crate) const DAY: i64 = 1_790_000_000 * SECOND;

/// A whole line of some second of that day.
pub(crate) fn line(second: i64, text: &str) -> Line {
    let time = DAY + second * SECOND;
    Line {
        time,
        stamp: at(time).into(),
        stderr: false,
        text: Bytes::copy_from_slice(text.as_bytes()),
        end: true,
    }
}
