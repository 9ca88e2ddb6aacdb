//! The answer of devnet's probe about a node, read from its output: bounded in size and in time.

use futures_util::stream::{Stream, StreamExt as _};

use crate::engine::exec::Output;
use crate::error::{Error, Result};

/// No node has that much to tell: a socket takes about 150 bytes, a process as much.
const ANSWER_LIMIT: usize = 8 << 20;
/// The program ends itself before; then the node is what hangs.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(55);

/// Does what a probe needs no longer than a probe lives for.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, work)
        .await
        .unwrap_or_else(|_elapsed| Err(Error::failed("the probe did not answer in time")))
}

/// The answer of the probe as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct ProbeAnswer {
    said: Vec<u8>,
    complaint: Vec<u8>,
}

impl ProbeAnswer {
    /// Reads one more piece; false at the end.
    async fn more(
        &mut self,
        output: &mut (impl Stream<Item = Result<Output>> + Unpin),
    ) -> Result<bool> {
        let Some(piece) = output.next().await else {
            return Ok(false);
        };
        match piece? {
            Output::Stdout(bytes) => self.said.extend_from_slice(&bytes),
            Output::Stderr(bytes) => self.complaint.extend_from_slice(&bytes),
        }
        if self.said.len() + self.complaint.len() > ANSWER_LIMIT {
            return Err(Error::failed("the probe's answer has no end"));
        }
        Ok(true)
    }

    /// Reads all that the probe says.
    ///
    /// # Errors
    /// The stream was lost, or has no end.
    pub(crate) async fn until_the_end(
        &mut self,
        output: &mut (impl Stream<Item = Result<Output>> + Unpin),
    ) -> Result<()> {
        while self.more(output).await? {}
        Ok(())
    }

    /// Reads until a line is whole.
    ///
    /// # Errors
    /// The probe ended before, with its own words on stderr.
    pub(crate) async fn until_a_line(
        &mut self,
        output: &mut (impl Stream<Item = Result<Output>> + Unpin),
    ) -> Result<()> {
        while !self.said.ends_with(b"\n") {
            if !self.more(output).await? {
                let how = if self.said.is_empty() {
                    "said nothing"
                } else {
                    "ended amid its answer"
                };
                let error = Error::failed(format!("the probe {how}"));
                return Err(unconfined(error.caused_by(self.complaint())));
            }
        }
        Ok(())
    }

    fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.complaint).trim().to_owned()
    }

    /// The answer.
    ///
    /// # Errors
    /// The probe said nothing, or bytes that are no text.
    pub(crate) fn text(self) -> Result<String> {
        if self.said.is_empty() {
            let error = Error::failed("the probe said nothing");
            return Err(unconfined(error.caused_by(self.complaint())));
        }
        String::from_utf8(self.said)
            .map_err(|error| Error::failed("the probe's answer is no text").caused_by(error))
    }
}

/// The same failure with what to do where its reason is that the profile is not in force.
pub(crate) fn unconfined(error: Error) -> Error {
    let about_seccomp = std::iter::once(error.to_string())
        .chain(error.causes())
        .any(|text| text.contains("seccomp"));
    if !about_seccomp {
        return error;
    }
    error.hint(
        "devnet lends capabilities only under its seccomp profile: the engine and its kernel must know \
         seccomp (`docker info` names it under Security Options)",
    )
}
