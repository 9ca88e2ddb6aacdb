//! The words that docker's flags and variables share: yes and no, and sizes.

use crate::error::{Error, Result};

/// Reads yes or no in any of the words that docker takes for them.
pub(crate) fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads the value of a flag that is on or off.
///
/// # Errors
/// What is expected, for any other word.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    yes_or_no(text).ok_or_else(|| "true or false is expected".to_owned())
}

/// Reads a size: bytes, or with `b`, `k`, `m`, `g` (and `kb`, `mib`, …), powers of 1024. It may have
/// a fraction, as `1.5g`.
pub(crate) fn bytes(flag: &str, text: &str) -> Result<u64> {
    let malformed =
        || Error::usage(format!("`{flag} {text}` is no size")).hint("as `64m`, `1g` or `1.5g`");
    let lower = text.to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower.get(digits.len()..).unwrap_or_default();
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(malformed()),
    };
    // one blank may stand before the unit
    let number = digits.strip_suffix(' ').unwrap_or(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 15 {
        return Err(malformed());
    }
    let parse = |text: &str| text.parse::<u128>().map_err(|_too_long| malformed());
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    let part = (parse(fraction)? << shift) / scale;
    parse(whole)?
        .checked_mul(1 << shift)
        .and_then(|bytes| u64::try_from(bytes + part).ok())
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_have_six_words_each_and_no_others() {
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(yes_or_no(word), Some(true), "{word}");
        }
        for word in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(yes_or_no(word), Some(false), "{word}");
        }
        for word in ["", "yes", "no", "on", "tRUE", "2", " 1"] {
            assert_eq!(yes_or_no(word), None, "{word}");
        }
    }

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, size) in [
            ("64m", 64 << 20),
            ("1GiB", 1 << 30),
            ("12b", 12),
            ("1.5g", 3 << 29),
            ("0.5 kB", 512),
            ("1.25M", 1_310_720),
            ("32", 32),
            ("1p", 1 << 50),
        ] {
            assert_eq!(bytes("--shm-size", text).unwrap(), size, "{text}");
        }
        for text in [
            "x", "", "m", "1.m", ".5m", "-1", "1i", "1e3", "1x", "9999p", "1.2.3m", "1  m", "１m",
        ] {
            assert!(bytes("--shm-size", text).is_err(), "{text}");
        }
    }
}
