//! `devnet build`: what came of a result on its way here. An engine that says the build is done has
//! not said that anything was written.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::commands::build::result::cannot_write;
use crate::engine::buildkit::streams::Sink;
use crate::error::{Error, Result};

/// An engine waits for the end of what it sends before it says that the build is done: this much
/// more is generous.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// The end of a sink.
enum Ending {
    Written,
    /// The stream broke off: the build says why.
    Cut(io::Error),
    /// The place could not be written.
    Refused(io::Error),
}

/// The outcome of a sink, which comes later.
pub(super) struct Receipt {
    place: PathBuf,
    ending: oneshot::Receiver<Ending>,
}

impl Receipt {
    /// The receipt of a sink, and the sink that gives it.
    pub(super) fn of(place: &Path, sink: Sink) -> (Self, Sink) {
        let (tell, ending) = oneshot::channel();
        let sink = move |stream: &mut dyn Read| {
            let mut watched = Watched {
                stream,
                is_cut: false,
            };
            let outcome = sink(&mut watched);
            let is_cut = watched.is_cut;
            let told = match &outcome {
                Ok(()) => Ending::Written,
                Err(error) if is_cut => Ending::Cut(copy(error)),
                Err(error) => Ending::Refused(copy(error)),
            };
            let _nobody_asks = tell.send(told);
            outcome
        };
        let place = place.to_owned();
        (Self { place, ending }, Box::new(sink))
    }

    /// The error of a place that could not be written, where that is known by now.
    pub(super) fn complaint(&mut self) -> Option<Error> {
        match self.ending.try_recv() {
            Ok(Ending::Refused(error)) => Some(cannot_write(&self.place).caused_by(error)),
            _ => None,
        }
    }

    /// Waits for the sink's end.
    ///
    /// # Errors
    /// When not all was written, whatever the engine said.
    pub(super) async fn check(self) -> Result<()> {
        let Ok(ending) = tokio::time::timeout(LAST_WORDS, self.ending).await else {
            return Err(cannot_write(&self.place)
                .caused_by("the engine says that the build is done, and the result does not end"));
        };
        match ending {
            Ok(Ending::Written) => Ok(()),
            Ok(Ending::Refused(error) | Ending::Cut(error)) => {
                Err(cannot_write(&self.place).caused_by(error))
            }
            Err(_never_taken) => Err(cannot_write(&self.place)
                .caused_by("the engine says that the build is done, and sent no result")),
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// A stream, and whether it broke off.
struct Watched<'s> {
    stream: &'s mut dyn Read,
    is_cut: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.stream.read(buffer);
        self.is_cut |= outcome
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(sink: Sink, stream: Option<&mut dyn Read>) -> String {
        let (receipt, sink) = Receipt::of(Path::new("out"), sink);
        match stream {
            Some(stream) => {
                let _told = sink(stream);
            }
            None => drop(sink),
        }
        receipt
            .check()
            .await
            .map_or_else(|error| error.in_one_line(), |()| "written".into())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_not_written_is_told_whatever_the_engine_says() {
        let copy = || -> Sink { Box::new(|from| io::copy(from, &mut io::sink()).map(|_| ())) };
        assert_eq!(check(copy(), Some(&mut &b"x"[..])).await, "written");
        assert!(check(copy(), None).await.contains("sent no result"));
        let full: Sink = Box::new(|_| Err(io::ErrorKind::StorageFull.into()));
        let said = check(full, Some(&mut &b"x"[..])).await;
        assert!(
            said.starts_with("`out` can't be written: no storage space"),
            "{said}"
        );
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_stream_that_is_cut_is_no_fault_of_the_place() {
        struct Cut;
        impl Read for Cut {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let copy: Sink = Box::new(|from| io::copy(from, &mut io::sink()).map(|_| ()));
        let (mut receipt, sink) = Receipt::of(Path::new("out"), copy);
        assert!(sink(&mut Cut).is_err());
        assert!(receipt.complaint().is_none());
    }
}
