//! The podman of a node, run by root there for one load, save or name. A program of devnet's keeps what it
//! spools, and ends it when nobody is there any more (`templates/podman-session.sh`).

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::archive::LayoutArchive;
use crate::engine::cri::node::CriNode;
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::wire::node::refusal_of_root;
use crate::wire::node_program::{NodeProgram, Output};

const SESSION: &str = include_str!("../../../templates/podman-session.sh");
/// The most bytes of podman's words that are kept: the last ones tell what failed.
const LONGEST: usize = 16 << 10;
/// The time without any work after which podman is given up, as a multiple of the longest silence amid an
/// answer: a disk may be slow.
const SILENCES: u32 = 3;
/// The mark of a second in which podman did something, in a load.
const WORKED: u8 = b'.';
/// The same, and that of one in which it waited, among the words of what is not sent anything.
const MARKS: [u8; 2] = [1, 2];

/// A podman that runs, for one thing.
pub(super) struct PodmanSession {
    program: NodeProgram,
    patience: Duration,
    address: String,
}

/// The words of podman and of what runs it, of which only the last are kept.
#[derive(Default)]
struct Words(Vec<u8>);

impl PodmanSession {
    /// Starts podman as the node's root.
    ///
    /// # Errors
    /// Unreachable: no login.
    pub(super) async fn start(node: &CriNode, words: &[&str]) -> Result<Self> {
        let start = ["sh", "-c", SESSION, "podman-session"];
        let all: Vec<String> = start
            .iter()
            .chain(words)
            .map(|word| (*word).to_owned())
            .collect();
        Ok(Self {
            program: node.access.start_as_root(&all, None).await?,
            patience: node.patience * SILENCES,
            address: node.address().to_owned(),
        })
    }

    /// Sends an archive, as podman takes it, and waits until its image is there under `name`. Its folder on
    /// the node is told to `begun`.
    ///
    /// # Errors
    /// The archive's own failure; podman's words on why it did not take it.
    pub(super) async fn load<S>(
        self,
        archive: S,
        own: &Platform,
        name: &str,
        begun: impl Fn(&str) + Send,
    ) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let Self {
            mut program,
            patience,
            address,
        } = self;
        let mut input = Some(std::mem::replace(
            &mut program.input,
            Box::pin(tokio::io::sink()),
        ));
        let mut sending = Box::pin(send(archive, input.take(), own, name));
        let mut words = Words::default();
        let mut folder = FirstLine::default();
        // set once everything was sent
        let mut worked: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                piece = program.output.next() => match piece {
                    None => break,
                    Some(Err(error)) => return Err(lost(&address).caused_by(error)),
                    Some(Ok(Output::Stderr(bytes))) => words.add(&bytes),
                    Some(Ok(Output::Stdout(bytes))) => {
                        let marks = folder.take(&bytes, &begun);
                        match &mut worked {
                            Some(last) if marks.contains(&WORKED) => *last = Instant::now(),
                            Some(last) if last.elapsed() > patience => {
                                let nothing = format!(
                                    "it has the whole archive, and did nothing for {} s",
                                    patience.as_secs()
                                );
                                return Err(stuck(&address, nothing));
                            }
                            _ => {}
                        }
                    }
                },
                sent = &mut sending, if worked.is_none() => {
                    // what podman says to an archive that breaks off is no news
                    sent?;
                    worked = Some(Instant::now());
                }
            }
        }
        words.outcome(program.ending.code(), "load the image", &address)
    }

    /// The archive of an image, as it comes.
    pub(super) fn saved(self) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let state = Some((self, Words::default()));
        futures_util::stream::unfold(state, |state| async move {
            let (mut session, mut words) = state?;
            match session.piece(&mut words, "save the image").await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((session, words)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Waits until podman has done `what` and ends.
    ///
    /// # Errors
    /// podman's words on why it did not; when it does nothing for long.
    pub(super) async fn done(mut self, what: &str) -> Result<()> {
        let mut words = Words::default();
        while self.piece(&mut words, what).await?.is_some() {}
        Ok(())
    }

    /// The next piece of what podman writes; `None` once it has done `what`.
    async fn piece(&mut self, words: &mut Words, what: &str) -> Result<Option<Bytes>> {
        let Self {
            program,
            patience,
            address,
        } = self;
        let patience = *patience;
        let mut worked = Instant::now();
        loop {
            // a mark comes each second while the node is there
            let piece = tokio::time::timeout(patience, program.output.next());
            let bytes = match piece.await {
                Ok(Some(Ok(Output::Stdout(bytes)))) => return Ok(Some(bytes)),
                Ok(Some(Ok(Output::Stderr(bytes)))) => bytes,
                Ok(Some(Err(error))) => return Err(lost(address).caused_by(error)),
                Ok(None) => {
                    return words
                        .outcome(program.ending.code(), what, address)
                        .map(|()| None);
                }
                Err(_elapsed) => {
                    let silence = format!("it said nothing for {} s", patience.as_secs());
                    return Err(lost(address).caused_by(silence));
                }
            };
            if bytes.contains(&MARKS[0]) {
                worked = Instant::now();
            }
            words.add(&bytes);
            if worked.elapsed() > patience {
                let nothing = format!("it did nothing for {} s", patience.as_secs());
                return Err(stuck(address, nothing));
            }
        }
    }
}

/// Sends an archive to its end. A program that reads no more tells why itself.
async fn send<S>(
    archive: S,
    input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    own: &Platform,
    name: &str,
) -> Result<()>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let Some(mut input) = input else {
        return Ok(());
    };
    let mut layout = LayoutArchive::default();
    let mut archive = Box::pin(archive);
    let mut pieces = Vec::new();
    let mut reads = true;
    while let Some(bytes) = archive.next().await {
        let bytes = bytes.map_err(|error| {
            Error::failed("what was sent to the node is broken").caused_by(error)
        })?;
        layout.take(bytes, &mut |piece| pieces.push(piece))?;
        for piece in pieces.drain(..) {
            reads = reads && input.write_all(&piece).await.is_ok();
        }
    }
    layout.finish(own, name, &mut |piece| pieces.push(piece))?;
    for piece in pieces {
        reads = reads && input.write_all(&piece).await.is_ok();
    }
    let _reads_no_more = input.shutdown().await;
    Ok(())
}

/// The line that a session begins with.
#[derive(Default)]
struct FirstLine {
    begun: Vec<u8>,
    is_whole: bool,
}

impl FirstLine {
    /// Takes what the session prints; gives what stands after the line, which is told once it is whole.
    fn take<'b>(&mut self, bytes: &'b [u8], tell: &impl Fn(&str)) -> &'b [u8] {
        if self.is_whole {
            return bytes;
        }
        let (line, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        self.is_whole = line.len() < bytes.len() || self.begun.len() > LONGEST;
        self.begun.extend_from_slice(line);
        if self.is_whole {
            tell(&String::from_utf8_lossy(&self.begun));
        }
        rest
    }
}

/// Ends the podman of a session whose folder this is, and waits until the folder is gone with it: what
/// it brought can't come any more then.
///
/// # Errors
/// Unreachable: no login.
pub(super) async fn end(node: &CriNode, folder: &str) -> Result<()> {
    const SCRIPT: &str = "kill -KILL \"$(cat \"$1/pid\")\" 2>/dev/null; \
         n=0; while [ -d \"$1\" ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done";
    let words = ["sh", "-c", SCRIPT, "sh", folder].map(str::to_owned);
    let program = node.access.start_as_root(&words, None).await?;
    program
        .read_to_end(LONGEST, node.patience * SILENCES)
        .await
        .map(drop)
        .map_err(|error| lost(node.address()).caused_by(error))
}

impl Words {
    fn add(&mut self, bytes: &[u8]) {
        self.0
            .extend(bytes.iter().filter(|byte| !MARKS.contains(byte)));
        let over = self.0.len().saturating_sub(LONGEST);
        self.0.drain(..over);
    }

    /// Done, or the error of a podman that was to do `what`.
    fn outcome(&self, code: Option<i32>, what: &str, address: &str) -> Result<()> {
        match code {
            Some(0) => Ok(()),
            None => Err(lost(address)),
            Some(_) => Err(failed(&String::from_utf8_lossy(&self.0), what, address)),
        }
    }
}

fn lost(address: &str) -> Error {
    Error::lost(format!("{address} was lost"))
}

fn stuck(address: &str, nothing: String) -> Error {
    // as a node that was lost: the same again would end the same
    Error::lost(format!("podman on {address} got stuck"))
        .caused_by(nothing)
        .hint("another program may hold its store: `sudo lslocks` on the node says which")
}

/// The error of a podman that ended otherwise than well.
fn failed(said: &str, what: &str, address: &str) -> Error {
    // sudo, and the shell behind it, say it each in their own way
    let is_absent = [
        "podman is not there",
        "podman: command not found",
        "podman: not found",
    ];
    if is_absent.iter().any(|words| said.contains(words)) {
        return Error::unreachable(format!("there is no podman on {address}"))
            .caused_by("on a node with cri-o podman loads and builds images")
            .hint("minikube's own nodes have it; pods, logs and the like work without it");
    }
    let error = Error::failed(format!("podman on {address} did not {what}"));
    if let Some(hint) = refusal_of_root(said) {
        return error.caused_by(said.trim().to_owned()).hint(hint);
    }
    let reason = reason(said);
    let is_full = reason.contains("no space left on device");
    let error = error.caused_by(reason);
    if is_full {
        return error.hint("`df /var/tmp /var/lib/containers` on the node says what is full");
    }
    error
}

/// The line of podman's words that says what failed: of the forms that it tried an archive for, the one
/// that was sent; else its error without what leads to it.
fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_archive = lines().find_map(|line| line.strip_prefix("* oci-archive: "));
    let error = || lines().rev().find_map(|line| line.strip_prefix("Error: "));
    let last = || lines().next_back();
    let reason = of_archive.or_else(error).or_else(last);
    reason.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_found_in_podmans_words() {
        let said = "time=\"2026\" level=warning msg=\"cgroups-v1\"\n\
            Error: payload does not match any of the supported image formats:\n\
            \x20* oci: initializing source oci:/var/tmp/x:: open index.json: not a directory\n\
            \x20* oci-archive: reading blob sha256:aa: open /var/tmp/oci1/blobs/sha256/aa: no such file or directory\n\
            \x20* docker-archive: no manifest\n";
        assert!(reason(said).starts_with("reading blob sha256:aa"));
        let full = "Error: copying file write /var/tmp/podman1: no space left on device\n";
        let error = failed(full, "load the image", "dev");
        assert_eq!(error.to_string(), "podman on dev did not load the image");
        assert!(error.causes()[0].starts_with("copying file"));
        assert!(error.hints()[0].contains("df /var/tmp"));
        assert_eq!(failed("", "tag", "dev").causes()[0], "it said nothing");
    }

    #[test]
    fn a_node_without_podman_and_one_without_root_are_told_apart() {
        let error = failed("devnet: podman is not there\n", "load", "dev");
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.to_string().contains("no podman"));
        let error = failed("sudo: podman: command not found\n", "tag", "dev");
        assert_eq!(error.kind().exit_code(), 3);
        let error = failed("sudo: a password is required\n", "load", "dev");
        assert!(error.hints()[0].contains("without a password"));
    }

    #[test]
    fn a_session_begins_with_its_folder_and_marks_follow() {
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |folder: &str| told.borrow_mut().push(folder.to_owned());
        let mut first = FirstLine::default();
        assert_eq!(first.take(b"/var/tmp/dev", &tell), b"");
        assert_eq!(first.take(b"net/podman-1-2\n.-", &tell), b".-");
        assert_eq!(first.take(b"..", &tell), b"..");
        assert_eq!(*told.borrow(), ["/var/tmp/devnet/podman-1-2"]);
    }

    #[test]
    fn of_long_words_the_last_are_kept() {
        let mut words = Words::default();
        for _ in 0..LONGEST {
            words.add(b"xy");
        }
        words.add(b"\x01Error: \x02end");
        assert_eq!(words.0.len(), LONGEST);
        assert!(words.0.ends_with(b"Error: end"));
    }
}
