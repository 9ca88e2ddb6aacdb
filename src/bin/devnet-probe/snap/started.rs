//! The time at which a process began, as exactly as the kernel keeps it. The `btime` of `/proc/stat` is in
//! whole seconds, which is too little to tell who began before the node and who after it.
#![expect(
    unsafe_code,
    reason = "the clock by which the kernel counts a process's start has no safe call in std"
)]

use std::ffi::{c_int, c_long};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As the kernel numbers it: the time since boot, also that in which the computer slept.
const BOOTTIME: c_int = 7;
/// Ticks in a second, as procfs counts for programs (`USER_HZ` of every architecture we have).
const TICKS: u64 = 100;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

/// In milliseconds since 1970, of a start in clock ticks after boot (field 22 of a process's `stat`);
/// `None` where the kernel does not tell the time. Exact to a tick, which is 10 ms.
pub(crate) fn in_milliseconds(start: u64) -> Option<i64> {
    began(start, since_boot()?, SystemTime::now())
}

fn began(start: u64, since_boot: Duration, now: SystemTime) -> Option<i64> {
    let start = Duration::from_millis(start.checked_mul(1000 / TICKS)?);
    let began = now.checked_sub(since_boot.checked_sub(start)?)?;
    let since_1970 = began.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_1970.as_millis()).ok()
}

fn since_boot() -> Option<Duration> {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the kernel writes one `Timespec` into it, and keeps no pointer.
    let done = unsafe { clock_gettime(BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanoseconds = u32::try_from(time.nanoseconds).ok()?;
    (done == 0).then(|| Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_told_to_a_tick_and_no_second_is_lost_by_rounding() {
        let now = UNIX_EPOCH + Duration::from_millis(1_796_000_000_970);
        let told = |start| began(start, Duration::from_millis(60_980), now);
        assert_eq!(told(0), Some(1_795_999_939_990));
        assert_eq!(told(99), Some(1_795_999_940_980));
        assert_eq!(told(6_098), Some(1_796_000_000_970));
        // a clock that is not the kernel's
        assert_eq!(told(6_099), None);
        assert_eq!(told(u64::MAX), None);
    }

    #[test]
    fn the_kernel_tells_the_time_since_boot() {
        assert!(since_boot().unwrap() > Duration::ZERO);
    }
}
