//! The limit of every program that a test starts: one that hangs is killed, so that its test fails
//! instead of holding the run up for ever.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

/// Longer than any of them takes on a busy computer.
const LIMIT: Duration = Duration::from_mins(10);

/// Watches over the programs that this process starts, from now on.
pub(crate) fn watch() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            let mut seen = Seen::default();
            loop {
                std::thread::sleep(Duration::from_secs(5));
                for pid in seen.overdue(&children(), Instant::now()) {
                    end(&pid);
                }
            }
        });
    });
}

/// The time when each program was seen first, by its process's number and its start.
#[derive(Default)]
struct Seen(BTreeMap<(String, String), Instant>);

impl Seen {
    /// Numbers of those that have run for too long.
    fn overdue(&mut self, running: &[(String, String)], now: Instant) -> Vec<String> {
        self.0.retain(|program, _| running.contains(program));
        for program in running {
            self.0.entry(program.clone()).or_insert(now);
        }
        let late = |since: &Instant| now.duration_since(*since) > LIMIT;
        let late = self.0.iter().filter(|(_, since)| late(since));
        late.map(|((pid, _), _)| pid.clone()).collect()
    }
}

/// Number and start of each child of this process.
fn children() -> Vec<(String, String)> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
            // a name may hold blanks and brackets
            let (_, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_whitespace();
            let parent = fields.nth(1)?;
            let start = fields.nth(17)?;
            let pid = process.file_name().to_string_lossy().into_owned();
            (parent == own).then(|| (pid, start.to_owned()))
        })
        .collect()
}

fn end(pid: &str) {
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    #[expect(clippy::print_stderr, reason = "a kill must be loud")]
    {
        let command = command.replace('\0', " ");
        eprintln!("killed after {} s: {command}", LIMIT.as_secs());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where tests end programs"
    )]
    let mut kill = Command::new("kill");
    let _gone = kill.args(["-KILL", pid]).status();
}

#[test]
fn a_program_that_hangs_is_overdue_and_one_that_took_its_number_is_not() {
    let program = |pid: &str, start: &str| (pid.to_owned(), start.to_owned());
    let (hangs, short) = (program("7", "100"), program("8", "100"));
    let begun = Instant::now();
    let later = begun + LIMIT + Duration::from_secs(1);
    let mut seen = Seen::default();
    assert!(seen.overdue(&[hangs.clone(), short], begun).is_empty());
    assert!(
        seen.overdue(std::slice::from_ref(&hangs), begun + LIMIT)
            .is_empty()
    );
    let another = program("8", "200");
    assert_eq!(seen.overdue(&[hangs, another], later), ["7"]);
}

#[test]
fn a_program_that_a_test_starts_is_watched() {
    let sandbox = super::Sandbox::bare();
    let mut child = sandbox.command("sleep").arg("600").spawn().unwrap();
    let pid = child.id().to_string();
    assert!(children().iter().any(|(child, _)| *child == pid));
    end(&pid);
    assert!(!child.wait().unwrap().success());
}
