//! The time at the beginning of a log's message.

use bytes::Bytes;

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

#[cfg(test)]
#[path = "stamp_tests.rs"]
mod tests;
