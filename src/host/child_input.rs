//! The input of a program that devnet started.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::process::ChildStdin;

/// The input of a program. It ends when it is shut down: the pipe itself would stay open until it is
/// dropped.
pub(super) struct ChildInput(Option<ChildStdin>);

impl ChildInput {
    pub(super) fn new(pipe: ChildStdin) -> Self {
        Self(Some(pipe))
    }

    /// The pipe, as long as it is open.
    fn open(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        let pipe = self.0.as_mut().map(Pin::new);
        pipe.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for ChildInput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Ok(pipe) = self.open() else {
            return Poll::Ready(Ok(()));
        };
        let flushed = ready!(pipe.poll_flush(context));
        self.0 = None;
        Poll::Ready(flushed)
    }
}
