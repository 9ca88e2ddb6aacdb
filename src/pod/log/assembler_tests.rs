//! Tests of lines put together.

use super::*;

#[test]
fn a_long_line_in_several_messages_is_one_line_again() {
    let mut assembler = Assembler::default();
    let mut push = |stderr, text: &'static str| {
        let whole = text.strip_suffix('\n');
        assembler.push(LogMessage {
            time: 7,
            stamp: Bytes::new(),
            stderr,
            text: Bytes::from_static(whole.unwrap_or(text).as_bytes()),
            partial: whole.is_none(),
        })
    };
    assert_eq!(push(false, "abc"), None);
    assert_eq!(&push(true, "oops\n").unwrap().text[..], b"oops");
    let whole = push(false, "def\n").unwrap();
    assert_eq!(
        (whole.time, &whole.text[..], whole.end),
        (7, &b"abcdef"[..], true)
    );
    assert_eq!(push(false, "no newline"), None);
    let rest = assembler.finish();
    assert_eq!((rest.len(), &rest[0].text[..]), (1, &b"no newline"[..]));
}
