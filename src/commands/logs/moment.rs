//! A moment as a person says it: the forms of `docker logs --since` and `kubectl logs --since`,
//! `--since-time`. Pure: text and a clock in, nanoseconds out.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp, Zoned};

use super::nanoseconds;
use crate::error::{Error, Result};

/// Nanoseconds since 1970 of what `text` says: an age before `now` (`90s`, `1.5h`, `1h30m`,
/// `1500ms`, `2d`), RFC 3339, a date or a time of `now`'s zone, or seconds since 1970.
///
/// # Errors
/// A usage error that names the forms.
pub(super) fn parse(text: &str, now: &Zoned) -> Result<i64> {
    since_1970(text)
        .or_else(|| date(text, now.time_zone()))
        .or_else(|| age(text, now.timestamp()))
        .ok_or_else(|| {
            Error::usage(format!("`{text}` is neither a time nor an age")).hint(
                "as 90s, 1.5h or 1h30m; 2026-11-24T09:00:00Z; 2026-11-24 or 2026-11-24T09:00 of \
                 this computer's zone; or seconds since 1970",
            )
        })
}

/// Nanoseconds since 1970 of an RFC 3339 time, which has an offset.
pub(super) fn rfc3339(text: &str) -> std::result::Result<i64, String> {
    let time = text.parse::<Timestamp>().map(nanoseconds);
    time.map_err(|_| {
        "not RFC 3339, as 2026-11-24T09:00:00Z; `--since` takes other forms".to_owned()
    })
}

/// Seconds since 1970, with up to nine digits behind the point.
fn since_1970(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// A date, with a time or without, with an offset or of the person's own zone.
fn date(text: &str, zone: &TimeZone) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(nanoseconds(time));
    }
    // a date alone may have an offset too, and a time may be without its minutes
    let (rest, offset) = match text.strip_suffix('Z') {
        Some(rest) => (rest, Some("Z")),
        None => match text.char_indices().rev().nth(5) {
            Some((at, '+' | '-')) if at > 9 => match text.split_at_checked(at) {
                Some((rest, offset)) => (rest, Some(offset)),
                None => (text, None),
            },
            _ => (text, None),
        },
    };
    let whole = match rest.len() {
        10 => format!("{rest}T00:00:00"),
        13 => format!("{rest}:00:00"),
        16 => format!("{rest}:00"),
        _ => rest.to_owned(),
    };
    let time = match offset {
        Some(offset) => format!("{whole}{offset}").parse().ok()?,
        None => whole
            .parse::<DateTime>()
            .ok()?
            .to_zoned(zone.clone())
            .ok()?
            .timestamp(),
    };
    Some(nanoseconds(time))
}

/// An age, as Go writes a duration; a day has 24 hours.
fn age(text: &str, now: Timestamp) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let days = SpanRelativeTo::days_are_24_hours();
    let age = i64::try_from(span.to_duration(days).ok()?.as_nanos()).ok()?;
    nanoseconds(now).checked_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_and_kubectls_forms_are_understood() {
        let zone = TimeZone::posix("JST-9").unwrap();
        let now: Timestamp = "2026-11-28T04:10:39Z".parse().unwrap();
        let zoned = now.to_zoned(zone);
        let ago = |text: &str| {
            let at = parse(text, &zoned).unwrap();
            f64::from(i32::try_from((nanoseconds(now) - at) / 1_000_000).unwrap()) / 1000.0
        };
        let hour = 3600.0;
        for (text, seconds) in [
            // ages
            ("90s", 90.0),
            ("1h30m", 1.5 * hour),
            ("1.5h", 1.5 * hour),
            ("1500ms", 1.5),
            ("1m1.5s", 61.5),
            ("0s", 0.0),
            ("2d", 48.0 * hour),
            // since 1970
            ("1795839039", 0.0),
            ("1795839037.5", 1.5),
            // with an offset
            ("2026-11-28T04:10:38Z", 1.0),
            ("2026-11-28T04:10:37.5Z", 1.5),
            ("2026-11-28T05:10:38+01:00", 1.0),
            ("2026-11-28T04:10Z", 39.0),
            ("2026-11-28T04Z", 639.0),
            ("2026-11-28Z", 4.0 * hour + 639.0),
            ("2026-11-28+01:00", 5.0 * hour + 639.0),
            // of the person's zone, nine hours ahead
            ("2026-11-28T13:10:38", 1.0),
            ("2026-11-28T13:10:38.25", 0.75),
            ("2026-11-28T13:10", 39.0),
            ("2026-11-28T13", 639.0),
            ("2026-11-28", 13.0 * hour + 639.0),
        ] {
            assert!((ago(text) - seconds).abs() < 0.001, "{text}: {}", ago(text));
        }
        for wrong in [
            "",
            "m",
            "5x",
            "yesterday",
            "99999999999999999d",
            "2026-13-01",
            "2026-11-28T25:00:00",
            "99999999999999999999",
            "1.0000000001",
            "ä026-11-28é+01:00",
        ] {
            assert!(parse(wrong, &zoned).is_err(), "{wrong}");
        }
    }
}
