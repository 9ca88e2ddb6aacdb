//! Tests of lines in order.

use super::*;
use crate::pod::log::samples::{DAY, line};

fn taken(merge: &mut Merge) -> String {
    let mut all = Vec::new();
    merge.ready(|_, line| all.extend_from_slice(&line.text));
    String::from_utf8(all).unwrap()
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
