//! Kubernetes' quantities: `500m`, `0.5`, `64Mi`, `1e3` (apimachinery `pkg/api/resource`).

/// Reads a quantity as thousandths, rounded up as Kubernetes does.
pub(super) fn milli(text: &str) -> Option<i64> {
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text.strip_suffix(suffix)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.len() > 9 || whole.len() > 18 {
        return None;
    }
    // in billionths, so that nothing is lost before the suffix is applied
    let digits: i128 = format!("{whole}{part:0<9}").parse().ok()?;
    let (times, by): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            match exponent.parse::<i32>().ok()? {
                up @ 0..=15 => (10_i128.pow(up.unsigned_abs()), 1),
                down @ -9..0 => (1, 10_i128.pow(down.unsigned_abs())),
                _ => return None,
            }
        }
    };
    let billionths = digits.checked_mul(times)?;
    let per_thousandth = by.checked_mul(1_000_000)?;
    let up = i128::from(billionths % per_thousandth != 0);
    i64::try_from(billionths / per_thousandth + up).ok()
}

/// Reads a quantity as a whole number, rounded up: bytes.
pub(super) fn whole(text: &str) -> Option<i64> {
    let milli = milli(text)?;
    Some(milli / 1000 + i64::from(milli % 1000 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, want) in [
            ("500m", 500),
            ("0.5", 500),
            ("2", 2000),
            (".1", 100),
            ("1e3", 1_000_000),
            ("0.0001", 1),
        ] {
            assert_eq!(milli(text), Some(want), "{text}");
        }
        for (text, want) in [
            ("64Mi", 64 << 20),
            ("1Gi", 1 << 30),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("1.5Ki", 1536),
            ("1m", 1),
        ] {
            assert_eq!(whole(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            "m",
            "-1",
            "1 Gi",
            "1GB",
            "1e99",
            "NaN",
            "9999999999999999999",
        ] {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
