//! A socket of a node that only root may open: a program there that root runs hands its bytes on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::node_program::{NodeProgram, Output};

/// The longest complaint of a relay's that is kept, in bytes.
const LONGEST: usize = 4 << 10;

/// The command line of a relay to a socket: with socat, which minikube's nodes have, else with
/// BuildKit's client, which hands on any socket.
pub(super) fn command(socket: &str) -> Vec<String> {
    const SCRIPT: &str = "if command -v socat >/dev/null 2>&1; then \
         exec socat -b 65536 - UNIX-CONNECT:\"$1\"; fi; \
         if command -v buildctl >/dev/null 2>&1; then \
         exec buildctl --addr unix://\"$1\" dial-stdio; fi; \
         echo 'neither socat nor buildctl is there' >&2; exit 127";
    ["sh", "-c", SCRIPT, "sh", socket]
        .map(str::to_owned)
        .to_vec()
}

/// A relay's complaints and its end, which come beside its stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaint(Arc<Mutex<Vec<u8>>>);

impl Complaint {
    fn add(&self, bytes: &[u8]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LONGEST.saturating_sub(all.len());
        all.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The relay's own words, without those around them that say nothing.
    pub(crate) fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&all).trim().to_owned()
    }
}

/// The stream to a socket through a relay.
pub(super) struct Relayed {
    program: NodeProgram,
    unread: Bytes,
    complaint: Complaint,
}

impl Relayed {
    pub(super) fn new(program: NodeProgram, complaint: Complaint) -> Self {
        Self {
            program,
            unread: Bytes::new(),
            complaint,
        }
    }
}

impl AsyncRead for Relayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.program.output.as_mut().poll_next(context)) {
                Some(Ok(Output::Stdout(bytes))) => self.unread = bytes,
                Some(Ok(Output::Stderr(bytes))) => self.complaint.add(&bytes),
                Some(Err(error)) => {
                    self.complaint.add(error.to_string().as_bytes());
                    return Poll::Ready(Err(error));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = buffer.remaining().min(self.unread.len());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match ready!(self.program.input.as_mut().poll_write(context, bytes)) {
            // a relay that has ended says why on its way out, which is still to be read
            Err(_ended) => Poll::Ready(Ok(bytes.len())),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.program.input.as_mut().poll_flush(context)) {
            Err(_ended) => Poll::Ready(Ok(())),
            flushed => Poll::Ready(flushed),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.program.input.as_mut().poll_shutdown(context)
    }
}
