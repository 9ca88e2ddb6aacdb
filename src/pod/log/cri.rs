//! A line of a log as a kubelet's runtime writes it: `TIME stdout|stderr P|F text`.

use bytes::Bytes;

use super::{LogMessage, nanoseconds};

/// Reads a line, without the newline at its end. `None` where it is no such line.
pub(crate) fn parse(line: &Bytes) -> Option<LogMessage> {
    let mut from = 0;
    let mut word = || {
        let rest = line.get(from..)?;
        let length = rest.iter().take(64).position(|byte| *byte == b' ')?;
        from += length + 1;
        rest.get(..length)
    };
    let (stamp, stream, tags) = (word()?, word()?, word()?);
    let stderr = match stream {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    // tags are divided by colons; the first says whether the line goes on
    let partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(LogMessage {
        time: nanoseconds(stamp),
        stamp: match stamp.strip_suffix(b"+00:00") {
            // conmon's way of writing it
            Some(time) => [time, b"Z"].concat().into(),
            None => line.slice(..stamp.len()),
        },
        stderr,
        text: line.slice(from..),
        partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_a_part_of_one_told_apart() {
        let read = |line: &'static str| parse(&Bytes::from(line));
        let message = read("1970-01-01T00:00:01.000000002Z stderr P a b ").unwrap();
        assert_eq!(message.time, 1_000_000_002);
        assert!(message.stderr && message.partial);
        assert_eq!(message.text, "a b ");
        let offset = read("1970-01-01T01:00:01.000000002+01:00 stdout F ").unwrap();
        assert_eq!(offset.time, 1_000_000_002);
        assert!(offset.text.is_empty() && !offset.partial);
        assert_eq!(offset.stamp, "1970-01-01T01:00:01.000000002+01:00");
        let of_conmon = read("1970-01-01T00:00:01.000000002+00:00 stdout F x").unwrap();
        assert_eq!(of_conmon.stamp, message.stamp);
        for wrong in [
            "",
            "x",
            "1970-01-01T00:00:01Z stdout",
            "a stdin F x",
            "a stdout Q x",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
