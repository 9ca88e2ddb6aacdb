//! Tests of lines put together.

use super::*;

fn at(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
    format!("{time:.9}")
}

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 1_790_000_000 * SECOND;

#[test]
fn a_long_line_in_several_messages_is_one_line_again() {
    let mut assembler = Assembler::default();
    let mut push = |stderr, text: &str| {
        assembler.push(
            stderr,
            &Bytes::copy_from_slice(format!("{} {text}", at(DAY)).as_bytes()),
        )
    };
    assert_eq!(push(false, "abc"), None);
    assert_eq!(&push(true, "oops\n").unwrap().text[..], b"oops");
    let whole = push(false, "def\n").unwrap();
    assert_eq!(
        (whole.time, &whole.text[..], whole.end),
        (DAY, &b"abcdef"[..], true)
    );
    assert_eq!(push(false, "no newline"), None);
    let rest = assembler.finish();
    assert_eq!((rest.len(), &rest[0].text[..]), (1, &b"no newline"[..]));
}
