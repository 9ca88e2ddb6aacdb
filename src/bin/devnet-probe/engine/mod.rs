//! The Docker engine that devnet runs on a node's own containerd: started, stopped, looked at. Each job
//! prints a line of JSON, which devnet reads.

mod clean;
mod keep;
mod network;
pub(crate) mod output;
pub(crate) mod place;
mod process;
mod registries;
mod report;
mod start;
mod system;
pub(crate) mod unix_http;

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::time::Duration;

use self::process::{Process, until_gone};

/// The time that an engine has to end its containers and itself.
const ENDS_WITHIN: Duration = Duration::from_secs(35);
/// The time that it has once it was killed.
const DIES_WITHIN: Duration = Duration::from_secs(10);

/// Does what the words say: `start LABEL ADDRESS`, `stop [rm-data]`, `status`; `keep` and `clean-up` are
/// the processes that stay, `ended` is for systemd when it has ended both.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["start", label, address] => {
            let lock = Lock::take()?;
            let line = start::start(label, address).unwrap_or_else(|failure| failure);
            drop(lock);
            println!("{line}");
            Ok(())
        }
        ["stop", rest @ ..] => {
            let lock = Lock::take()?;
            let line = stop(rest == ["rm-data"]);
            drop(lock);
            println!("{line}");
            Ok(())
        }
        ["status"] => {
            sweep();
            println!("{}", report::state());
            Ok(())
        }
        ["keep"] => keep::keep(),
        ["clean-up"] => {
            keep::clean_up_after_keeper();
            Ok(())
        }
        ["ended"] => {
            // who starts or stops one cleans up too
            if let Some(lock) = Lock::free()?
                && Process::named_by(place::GUARD).is_none()
            {
                clean::all();
                drop(lock);
            }
            Ok(())
        }
        _ => Err("start LABEL ADDRESS | stop [rm-data] | status".to_owned()),
    }
}

/// Ends the engine, if it runs, and takes away all that it made but for the data.
fn stop(with_data: bool) -> String {
    if let Some(keeper) = Process::named_by(place::GUARD) {
        keeper.signal(system::SIGTERM);
        if !until_gone(place::STATE, ENDS_WITHIN) {
            keeper.signal(system::SIGKILL);
            until_gone(place::STATE, DIES_WITHIN);
        }
        process::until(DIES_WITHIN, || !keeper.lives());
    }
    // also what one that was killed has left
    clean::all();
    if with_data {
        let _not_there = fs::remove_dir_all(place::DATA);
        clean::parents();
    }
    report::state()
}

/// Takes the guard's socket away where the guard is dead: every engine of the node that looks for
/// plugins waits for it.
fn sweep() {
    if Process::named_by(place::GUARD).is_none() {
        let _not_there = fs::remove_file(place::PLUGIN_SOCKET);
    }
}

/// The right to start or stop the engine. It goes when this is dropped.
struct Lock(File);

impl Lock {
    /// Waits until nobody has it.
    fn take() -> Result<Self, String> {
        loop {
            let file = Self::file()?;
            file.lock().map_err(|error| Self::failed(&error))?;
            if let Some(lock) = Self::current(file)? {
                return Ok(lock);
            }
        }
    }

    /// The right, where nobody has it.
    fn free() -> Result<Option<Self>, String> {
        let file = Self::file()?;
        match file.try_lock() {
            Ok(()) => Self::current(file),
            Err(_another_has_it) => Ok(None),
        }
    }

    fn failed(error: &std::io::Error) -> String {
        format!("{}: {error}", place::LOCK)
    }

    fn file() -> Result<File, String> {
        loop {
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(place::RUN)
                .map_err(|error| Self::failed(&error))?;
            match File::options().create(true).append(true).open(place::LOCK) {
                // its folder went with another's
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                file => return file.map_err(|error| Self::failed(&error)),
            }
        }
    }

    /// The lock of a file that is still the one there: the one before may have taken it with it.
    fn current(file: File) -> Result<Option<Self>, String> {
        let own = file.metadata().map_err(|error| Self::failed(&error))?.ino();
        let is_there = fs::metadata(place::LOCK).is_ok_and(|there| there.ino() == own);
        Ok(is_there.then_some(Self(file)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _gone = fs::remove_file(place::LOCK);
        let _free = self.0.unlock();
        clean::parents();
    }
}
