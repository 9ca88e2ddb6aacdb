//! Other programs of the node, run for what they print: bounded in time and in size.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The bounds of a program's run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

/// The limits of programs that answer at once.
pub(crate) const SHORT: Limits = Limits {
    time: Duration::from_secs(10),
    bytes: 1 << 20,
};

/// A program of the node.
pub(crate) fn program(name: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program is alone in the node: there is no host module"
    )]
    Command::new(name)
}

/// Runs a program to its end, and gives what it printed.
///
/// # Errors
/// It is not there, fails (with its own words), is too slow, or says too much.
pub(crate) fn output(name: &str, words: &[&str], limits: Limits) -> Result<String, String> {
    let child = program(name)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{name}` on the node"),
        _ => format!("`{name}` does not start: {error}"),
    })?;
    let (sender, ended) = mpsc::channel();
    let readers: Vec<_> = [
        child
            .stdout
            .take()
            .map(|one| Box::new(one) as Box<dyn io::Read + Send>),
        child
            .stderr
            .take()
            .map(|one| Box::new(one) as Box<dyn io::Read + Send>),
    ]
    .into_iter()
    .flatten()
    .map(|stream| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = stream.take(limits.bytes + 1).read_to_end(&mut text);
            // one that waits no longer has killed the program
            let _gone = sender.send(read.is_ok() && text.len() as u64 <= limits.bytes);
            String::from_utf8_lossy(&text).into_owned()
        })
    })
    .collect();
    for _ in &readers {
        match ended.recv_timeout(limits.time) {
            Ok(true) => {}
            Ok(false) => return Err(killed(&mut child, name, "says more than is read")),
            Err(_) => return Err(killed(&mut child, name, "does not answer in time")),
        }
    }
    let code = child.wait().map_err(|error| format!("`{name}`: {error}"))?;
    let mut texts = readers
        .into_iter()
        .map(|one| one.join().unwrap_or_default());
    let (said, complaint) = (
        texts.next().unwrap_or_default(),
        texts.next().unwrap_or_default(),
    );
    if code.success() {
        Ok(said)
    } else {
        let why = complaint
            .trim()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        Err(format!("`{name} {}` failed: {why}", words.join(" ")))
    }
}

fn killed(child: &mut Child, name: &str, why: &str) -> String {
    let _ended_itself = child.kill();
    let _buried = child.wait();
    format!("`{name}` {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_bounded_in_time_and_size_and_its_failure_is_told() {
        let limits = Limits {
            time: Duration::from_millis(200),
            bytes: 10,
        };
        assert_eq!(output("echo", &["hello"], limits), Ok("hello\n".into()));
        let why = |words: &[&str]| output("sh", words, limits).unwrap_err();
        assert!(why(&["-c", "echo bad >&2; exit 3"]).ends_with("failed: bad"));
        assert!(why(&["-c", "sleep 100"]).contains("in time"));
        assert!(why(&["-c", "echo 0123456789; sleep 100"]).contains("more than is read"));
        let absent = output("no-such-program", &[], limits).unwrap_err();
        assert!(absent.contains("there is no"), "{absent}");
    }
}
