//! Processes of the node, by their number and the moment of their begin: a number alone is given to
//! another some day.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time between looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// A process of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    began: String,
}

impl Process {
    /// The process that has this number now.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name may hold blanks and brackets
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let began = fields.nth(18)?.to_owned();
        Some(Self { pid, began })
    }

    /// One that a file names, as `written`; `None` also when it has ended.
    pub(super) fn named_by(file: &str) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, began) = text.trim().split_once(' ')?;
        let process = Self::of(pid.parse().ok()?)?;
        (process.began == began).then_some(process)
    }

    pub(super) fn written(&self) -> String {
        format!("{} {}\n", self.pid, self.began)
    }

    pub(super) fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    pub(super) fn signal(&self, signal: i32) {
        if self.lives() {
            super::system::kill(self.pid, signal);
        }
    }

    /// The memory that it has, in bytes.
    pub(super) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(0_u64) * 1024
    }
}

/// The processes with a name, as the kernel has it.
pub(super) fn of_name(name: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_it = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|its| its.trim_end() == name)
    };
    pids.filter(has_it).collect()
}

/// Waits until it is so; false when it is not in time.
pub(super) fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Waits until a path is gone.
pub(super) fn until_gone(path: &str, limit: Duration) -> bool {
    until(limit, || !Path::new(path).exists())
}
