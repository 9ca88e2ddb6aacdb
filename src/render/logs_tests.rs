//! Tests of lines: whole again, in order, and safe to look at.

use super::*;

fn at(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
    format!("{time:.9}")
}

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 1_790_000_000 * SECOND;

fn line(second: i64, text: &str) -> Line {
    let time = DAY + second * SECOND;
    Line {
        time,
        stamp: at(time).into(),
        stderr: false,
        text: Bytes::copy_from_slice(text.as_bytes()),
        end: true,
    }
}

fn taken(merge: &mut Merge) -> String {
    let mut all = Vec::new();
    merge.ready(|_, line| all.extend_from_slice(&line.text));
    String::from_utf8(all).unwrap()
}

#[test]
fn a_time_is_read_as_the_library_reads_it() {
    for time in [
        0,
        1,
        DAY + 123_456_789,
        951_782_400 * SECOND,
        951_868_799 * SECOND + 1,
        4_102_444_800 * SECOND,
    ] {
        assert_eq!(nanoseconds(at(time).as_bytes()), time, "{}", at(time));
    }
    assert_eq!(nanoseconds(b"1970-01-01T01:00:00.000000001+01:00"), 1);
    assert_eq!(nanoseconds(b"nonsense"), 0);
    // beyond what is counted, and no digits at all
    assert_eq!(nanoseconds(b"9999-12-31T23:59:59.999999999Z"), i64::MAX);
    assert!(
        nanoseconds(b"\xff\xff\xff\xff-\xff\xff-\xff\xff \xff\xff:\xff\xff:\xff\xff.999999999Z")
            > 0
    );
}

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

#[test]
fn a_line_without_end_leaves_in_pieces_and_is_whole_where_it_is_written() {
    let mut assembler = Assembler::default();
    let named = Look {
        prefix: true,
        ..Look::default()
    };
    let mut writer = Writer::new(&["one".into(), "two".into()], named);
    let mut out = Vec::new();
    let message = Bytes::from(format!("{} {}", at(DAY), "x".repeat(16 << 10)));
    let mut pieces = 0;
    for _ in 0..200 {
        if let Some(piece) = assembler.push(false, &message) {
            assert!(!piece.end && piece.text.len() < LONGEST + (32 << 10));
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
fn sources_are_merged_by_time_and_wait_for_the_slowest() {
    let mut merge = Merge::new(2);
    merge.open(0, 0);
    merge.open(1, 0);
    merge.push(0, line(2, "b"));
    merge.push(0, line(4, "d"));
    assert_eq!(
        taken(&mut merge),
        "",
        "source 1 may still bring something older"
    );
    merge.push(1, line(1, "a"));
    merge.push(1, line(3, "c"));
    assert_eq!(taken(&mut merge), "ab");
    merge.close(1);
    assert_eq!(taken(&mut merge), "c");
    merge.silence(0);
    assert_eq!(taken(&mut merge), "d");
}

#[test]
fn a_line_of_stderr_behind_a_newer_one_of_stdout_finds_its_place() {
    let mut merge = Merge::new(1);
    merge.open(0, 0);
    merge.push(0, line(2, "b"));
    let mut late = line(2, "a");
    late.time -= 1;
    late.stderr = true;
    merge.push(0, late);
    merge.push(0, line(4, "c"));
    assert_eq!(taken(&mut merge), "ab");
}

#[test]
fn what_is_held_is_bounded_and_the_order_stays() {
    let mut merge = Merge::new(2);
    merge.open(0, 0);
    merge.open(1, 0);
    merge.push(1, line(0, "first"));
    merge.push(1, line(1, "b"));
    merge.push(0, line(1, "a"));
    assert_eq!(taken(&mut merge), "first");
    let text = "x".repeat(1 << 20);
    let mut count = 2;
    while merge.wants(0) {
        merge.push(0, line(count, &text));
        count += 1;
    }
    assert!(10 < count && count < 20);
    merge.ready(|_, _| panic!("source 1 may bring something as old"));
    assert!(merge.wants(1), "so it is read on");
    merge.close(1);
    let mut seen = Vec::new();
    merge.ready(|_, line| seen.push(line.time));
    assert!(seen.is_sorted() && seen.len() >= usize::try_from(count).unwrap() - 1);
    assert!(merge.wants(0));
}

#[test]
fn when_no_more_can_be_held_the_older_half_leaves_and_the_rest_stays_in_order() {
    let mut merge = Merge::new(1);
    merge.open(0, 0);
    let after = |milliseconds: i64, stderr: bool, text: &str| Line {
        time: DAY + milliseconds * 1_000_000,
        stderr,
        ..line(0, text)
    };
    merge.push(0, after(0, false, "a"));
    merge.push(0, after(0, true, "b"));
    assert_eq!(taken(&mut merge), "ab");
    let text = "x".repeat(1 << 20);
    let mut count = 0;
    while merge.wants(0) {
        count += 1;
        merge.push(0, after(count, false, &text));
    }
    let mut left = 0;
    merge.ready(|_, _| left += 1);
    assert!((count / 2..count - 5).contains(&left), "{left} of {count}");
    merge.push(0, after(count - 3, true, "late"));
    merge.close(0);
    let mut times = Vec::new();
    merge.ready(|_, line| times.push(line.time));
    assert!(times.is_sorted() && times.len() > 5);
}

#[test]
fn until_the_first_line_has_left_only_what_it_waits_for_is_read() {
    let mut merge = Merge::new(3);
    (0..3).for_each(|source| merge.open(source, 0));
    let wanted = |merge: &Merge| (0..3).filter(|one| merge.wants(*one)).collect::<Vec<_>>();
    assert_eq!(wanted(&merge), [0, 1, 2]);
    merge.push(0, line(5, "c"));
    merge.push(1, line(4, "b"));
    assert_eq!(wanted(&merge), [1, 2], "source 0 holds nothing back");
    merge.push(2, line(2, "a"));
    assert_eq!(wanted(&merge), [2]);
    assert_eq!(taken(&mut merge), "");
    merge.push(2, line(3, "rest"));
    assert!(wanted(&merge).is_empty());
    assert_eq!(taken(&mut merge), "a");
    assert_eq!(wanted(&merge), [0, 1, 2]);
}

#[test]
fn a_source_that_begins_later_is_not_read_before_a_line_is_that_old() {
    let mut merge = Merge::new(3);
    merge.open(0, line(2, "").time);
    merge.open(1, line(4, "").time);
    merge.open(2, line(9, "").time);
    let wanted = |merge: &Merge| (0..3).filter(|one| merge.wants(*one)).collect::<Vec<_>>();
    assert_eq!(wanted(&merge), [0]);
    merge.push(0, line(5, "b"));
    assert_eq!(wanted(&merge), [0, 1], "either may bring something older");
    assert_eq!(taken(&mut merge), "");
    merge.push(1, line(4, "a"));
    assert!(wanted(&merge).is_empty(), "nothing can be older");
    assert_eq!(taken(&mut merge), "a");
    assert_eq!(wanted(&merge), [0, 1, 2]);
    let mut merge = Merge::new(2);
    merge.open(0, line(2, "").time);
    merge.open(1, line(4, "").time);
    merge.close(0);
    assert!(merge.wants(1), "0 brought nothing");
    let mut merge = Merge::new(3);
    for (source, from) in [(0, 2), (1, 4), (2, 9)] {
        merge.open(source, line(from, "").time);
    }
    merge.hurry();
    assert_eq!(wanted(&merge), [0, 1, 2]);
    merge.push(2, line(3, "its clock was set back"));
    assert_eq!(taken(&mut merge), "", "1 and 2 have said nothing yet");
    merge.close(0);
    assert_eq!(taken(&mut merge), "its clock was set back");
}

#[test]
fn a_container_that_has_written_to_both_streams_is_waited_for_longer() {
    let mut merge = Merge::new(1);
    merge.open(0, 0);
    let after = |milliseconds: i64, stderr: bool| Line {
        time: DAY + milliseconds * 1_000_000,
        stderr,
        ..line(0, "x")
    };
    merge.push(0, after(0, false));
    merge.push(0, after(30, false));
    assert_eq!(taken(&mut merge), "x");
    merge.push(0, after(40, true));
    assert_eq!(taken(&mut merge), "x", "stderr has come as far as 40");
    merge.push(0, after(100, false));
    assert_eq!(taken(&mut merge), "x", "nothing is older than 40");
    merge.push(0, after(500, false));
    assert_eq!(taken(&mut merge), "");
    merge.push(0, after(600, false));
    assert_eq!(taken(&mut merge), "x");
}

#[test]
fn an_escape_sequence_in_a_log_is_shown_on_a_terminal() {
    let mut out = Vec::new();
    let clean = |clean| Look {
        color: true,
        clean,
        ..Look::default()
    };
    Writer::new(&["one".into()], clean(true)).write(&mut out, 0, &line(0, "a\x1b[2Jb\r"));
    assert_eq!(out, b"a\\u{1b}[2Jb\n");
    out.clear();
    Writer::new(&["one".into()], clean(false)).write(&mut out, 0, &line(0, "a\x1b[2Jb\r"));
    assert_eq!(out, b"a\x1b[2Jb\r\n");
}
