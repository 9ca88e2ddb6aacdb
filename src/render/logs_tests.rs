//! Tests of lines as they are written: whole again, and safe to look at.

use bytes::Bytes;

use super::*;
use crate::pod::log::samples::{DAY, at, line};
use crate::pod::log::{Assembler, LogMessage};

#[test]
fn a_line_without_end_leaves_in_pieces_and_is_whole_where_it_is_written() {
    let mut assembler = Assembler::default();
    let named = LineStyle {
        prefix: true,
        ..LineStyle::default()
    };
    let mut writer = Writer::new(&["one".into(), "two".into()], named);
    let mut out = Vec::new();
    let message = LogMessage {
        time: DAY,
        stamp: at(DAY).into(),
        stderr: false,
        text: Bytes::from("x".repeat(16 << 10)),
        partial: true,
    };
    let mut pieces = 0;
    for _ in 0..200 {
        if let Some(piece) = assembler.push(message.clone()) {
            assert!(!piece.end && piece.text.len() < (1 << 20) + (32 << 10));
            pieces += 1;
            writer.write(&mut out, 0, &piece);
        }
    }
    assert_eq!(pieces, 3);
    for rest in assembler.finish() {
        writer.write(&mut out, 0, &rest);
    }
    assert_eq!(out.len(), "one | ".len() + 200 * (16 << 10) + 1);
    // another source's line does not get into the middle of it
    let piece = Line {
        end: false,
        ..line(0, "begun")
    };
    out.clear();
    writer.write(&mut out, 0, &piece);
    writer.write(&mut out, 1, &line(0, "other"));
    writer.write(&mut out, 0, &line(0, "rest"));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "one | begun\ntwo | other\none | rest\n"
    );
}

#[test]
fn an_escape_sequence_in_a_log_is_shown_on_a_terminal() {
    let mut out = Vec::new();
    let clean = |clean| LineStyle {
        color: true,
        clean,
        ..LineStyle::default()
    };
    Writer::new(&["one".into()], clean(true)).write(&mut out, 0, &line(0, "a\x1b[2Jb\r"));
    assert_eq!(out, b"a\\u{1b}[2Jb\n");
    out.clear();
    Writer::new(&["one".into()], clean(false)).write(&mut out, 0, &line(0, "a\x1b[2Jb\r"));
    assert_eq!(out, b"a\x1b[2Jb\r\n");
}
