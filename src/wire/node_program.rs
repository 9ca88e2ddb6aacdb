//! A program that runs on a node's own ground (no container), with its streams.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};

use crate::error::Result;

/// A piece of what a program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stderr(Bytes),
    /// With a terminal, all there is.
    Stdout(Bytes),
}

/// The kind and size of a terminal that a program is to have.
#[derive(Clone, Debug)]
pub(crate) struct TerminalSize {
    /// Its name among terminals, as `xterm-256color`.
    pub(crate) kind: String,
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// A program that runs. It loses its input, and so ends, when this is dropped.
pub(crate) struct NodeProgram {
    /// Its output, until it ends or is lost.
    pub(crate) output: Pin<Box<dyn Stream<Item = io::Result<Output>> + Send>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(crate) ending: Ending,
    /// The handle to its terminal, which is of no use to a program without one.
    pub(crate) terminal: Option<Arc<dyn Terminal>>,
}

/// The handle to the terminal of a program.
pub(crate) trait Terminal: Send + Sync {
    /// Tells it its size.
    ///
    /// # Errors
    /// When the program can't be reached any more.
    fn resize(&self, columns: u16, rows: u16) -> BoxFuture<'_, Result<()>>;
}

/// The starter of programs on a node that is reached by other means than devnet's own.
pub(crate) trait ProgramStarter: Send + Sync {
    /// Starts one as root, with a terminal where one is described.
    ///
    /// # Errors
    /// Unreachable, where nothing can be run there.
    fn start<'a>(
        &'a self,
        words: &'a [String],
        terminal: Option<&'a TerminalSize>,
    ) -> BoxFuture<'a, Result<NodeProgram>>;
}

/// The exit code of a program, known once its output is at its end; 128 + the signal's number when
/// a signal ended it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<OnceLock<i32>>);

impl Ending {
    pub(crate) fn set(&self, code: i32) {
        // the first word holds
        let _told_before = self.0.set(code);
    }

    /// The exit code; `None` where the program was lost.
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.get().copied()
    }
}

/// All that a program wrote.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl NodeProgram {
    /// Reads what the program writes to its end, no more than `most` bytes and no longer than `longest`.
    ///
    /// # Errors
    /// When it was lost, writes more, or does not end in that time.
    pub(crate) async fn read_to_end(mut self, most: usize, longest: Duration) -> io::Result<Said> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let end = Instant::now() + longest;
        let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "it does not end");
        while let Some(piece) = timeout_at(end, self.output.next()).await.map_err(late)? {
            match piece? {
                Output::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                Output::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            }
            if stdout.len() + stderr.len() > most {
                return Err(io::Error::other("it has more to say than devnet reads"));
            }
        }
        Ok(Said { stdout, stderr })
    }
}
