//! devnet's journal on this computer: what its runs saw of sandboxes and containers, one JSON
//! object a line. It is a memory, not a need: whatever can't be read or written is left out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::replace::{self, Readers};
use crate::pod::Run;
use crate::regular_file;

/// The version of a line; others are skipped.
const VERSION: u32 = 1;
/// The journal is kept in two files of this size at most: it is read by each run that adds to it.
const LIMIT: u64 = 512 << 10;
/// A file that someone else made larger is read from here to its end: the newest is what counts.
const MOST: u64 = 4 * LIMIT;

/// One line.
#[derive(Deserialize, Serialize)]
struct Entry {
    v: u32,
    /// The time at which it was written, by this computer's clock.
    at: String,
    #[serde(flatten)]
    run: Run,
}

/// The journal's folder.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in devnet's state folder.
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self {
            folder: state_folder.into(),
        }
    }

    fn current(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    fn older(&self) -> PathBuf {
        self.folder.join("journal.1.jsonl")
    }

    /// Everything that is still kept, oldest first.
    pub(crate) fn read(&self) -> Vec<Run> {
        [self.older(), self.current()]
            .iter()
            .filter_map(|path| tail(path).ok())
            .flat_map(|bytes| parse(&bytes))
            .collect()
    }

    /// Adds runs. All of them go out in one write to the file's end, so runs at one time do not
    /// mix their lines.
    ///
    /// # Errors
    /// When the folder or the file can't be written.
    pub(crate) fn append(&self, runs: &[Run]) -> io::Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        // whoever put a device or a pipe here wants none
        if replace::is_special(&self.current()) {
            return Ok(());
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(self.current())?;
        let length = file.metadata()?.len();
        let mut text = Vec::new();
        // a line that was cut off (a full disk, a crash) must not take the next one with it
        if length > 0 && !ends_a_line(&mut file)? {
            text.push(b'\n');
        }
        let at = jiff::Timestamp::now().to_string();
        for run in runs {
            let entry = Entry {
                v: VERSION,
                at: at.clone(),
                run: run.clone(),
            };
            serde_json::to_writer(&mut text, &entry)?;
            text.push(b'\n');
        }
        file.write_all(&text)?;
        if length + text.len() as u64 > LIMIT {
            self.turn_over()?;
        }
        Ok(())
    }

    /// Starts a new file; the one before stays until the next time.
    fn turn_over(&self) -> io::Result<()> {
        let lock = File::create(self.folder.join("journal.lock"))?;
        // whoever holds the lock does the same
        if lock.try_lock().is_err() {
            return Ok(());
        }
        // another run may have done it since this one looked
        if fs::metadata(self.current())?.len() <= LIMIT {
            return Ok(());
        }
        let keep = |path: &Path| path.is_symlink() || replace::is_special(path);
        if keep(&self.current()) || keep(&self.older()) {
            // links stay links, wherever they lead
            replace::replace(&self.older(), &tail(&self.current())?, Readers::Everybody)?;
            return OpenOptions::new()
                .write(true)
                .open(self.current())?
                .set_len(0);
        }
        fs::rename(self.current(), self.older())
    }
}

/// A file's bytes, the last ones where there are too many.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, length) = regular_file::open(path)?;
    if length > MOST {
        file.seek(SeekFrom::Start(length - MOST))?;
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The lines that can be read; a broken one costs only itself.
fn parse(bytes: &[u8]) -> Vec<Run> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
        .filter(|entry| entry.v == VERSION && !entry.run.id.is_empty())
        .map(|entry| entry.run)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> Run {
        Run {
            id: id.into(),
            pod: "web".into(),
            ..Run::default()
        }
    }

    fn ids(journal: &Journal) -> Vec<String> {
        journal.read().into_iter().map(|run| run.id).collect()
    }

    #[test]
    fn broken_lines_and_those_of_another_version_cost_only_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        journal.append(&[run("a")]).unwrap();
        let mut text = fs::read_to_string(journal.current()).unwrap();
        text.push_str("{\"v\":2,\"at\":\"\",\"id\":\"future\"}\nnonsense\n\u{0}\n{\"v\":1,\"at\":\"\",\"id\":\"cut o");
        fs::write(journal.current(), text).unwrap();
        journal.append(&[run("b")]).unwrap();
        assert_eq!(ids(&journal), ["a", "b"]);
    }

    #[test]
    fn many_writers_at_once_lose_nothing_and_mix_no_lines() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    for line in 0..50 {
                        journal.append(&[run(&format!("{writer}-{line}"))]).unwrap();
                    }
                });
            }
        });
        let mut seen = ids(&journal);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 400);
    }

    #[test]
    fn its_size_is_bounded_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let batch: Vec<Run> = (0..500).map(|n| run(&format!("{n:064}"))).collect();
        for _ in 0..60 {
            journal.append(&batch).unwrap();
        }
        journal.append(&[run("last")]).unwrap();
        let size: u64 = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size < 3 * LIMIT, "{size}");
        assert_eq!(ids(&journal).last().unwrap(), "last");
    }

    #[test]
    #[cfg(unix)]
    fn a_device_a_pipe_or_a_link_in_its_place_stays_and_holds_nobody() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        symlink("/dev/zero", journal.current()).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, journal.older(), mode).unwrap();
        journal.append(&[run("a")]).unwrap();
        assert!(journal.read().is_empty());
        fs::remove_file(journal.current()).unwrap();
        fs::remove_file(journal.older()).unwrap();
        let real = folder.path().join("elsewhere");
        symlink(&real, journal.current()).unwrap();
        let batch: Vec<Run> = (0..8000).map(|n| run(&format!("{n:064}"))).collect();
        for _ in 0..3 {
            journal.append(&batch).unwrap();
        }
        assert!(journal.current().is_symlink() && journal.older().is_file());
        assert_eq!(ids(&journal).last().unwrap(), &format!("{:064}", 7999));
    }

    #[test]
    fn of_one_that_is_huge_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        journal.append(&[run("old")]).unwrap();
        let file = OpenOptions::new().write(true).open(journal.current());
        // three gigabytes that take no room
        file.unwrap().set_len(3 << 30).unwrap();
        assert!(tail(&journal.current()).unwrap().len() as u64 <= MOST);
        journal.append(&[run("new")]).unwrap();
        assert_eq!(ids(&journal), ["new"]);
    }

    #[test]
    fn what_can_not_be_read_is_empty() {
        assert!(Journal::new(Path::new("/nowhere/at/all")).read().is_empty());
    }
}
