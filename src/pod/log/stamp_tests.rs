//! Tests of times.

use super::*;

fn at(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
    format!("{time:.9}")
}

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 1_790_000_000 * SECOND;

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
