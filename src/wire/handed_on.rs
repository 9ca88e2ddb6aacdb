//! An answer that is handed on: its head, and its body as devnet lets it through. bollard takes
//! nothing but what a connection brought, so it gets one whose other end is this.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use hyper::body::Incoming;

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The answer with this head and this body.
///
/// # Errors
/// None that an engine could cause.
pub(crate) async fn handed_on(
    head: http::response::Parts,
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> hyper::Result<http::Response<Incoming>> {
    // its body ends where the connection does
    let line = format!("HTTP/1.1 {} -\r\n\r\n", head.status.as_str());
    let end = Io {
        piece: line.into(),
        body: Box::pin(body),
        asked: false,
        waiting: None,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(end).await?;
    tokio::spawn(async move {
        // its failure reaches the body
        let _ended = connection.await;
    });
    let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    let mut answer = sender.send_request(request).await?;
    *answer.headers_mut() = head.headers;
    *answer.extensions_mut() = head.extensions;
    Ok(answer)
}

/// The other end of such a connection: it reads nothing.
struct Io {
    piece: Bytes,
    body: Pieces,
    /// An answer before its question would be none.
    asked: bool,
    waiting: Option<Waker>,
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.asked {
            this.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        while this.piece.is_empty() {
            match this.body.as_mut().poll_next(context) {
                Poll::Ready(Some(piece)) => this.piece = piece?,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let count = this.piece.len().min(buffer.remaining());
        buffer.put_slice(&this.piece[..count]);
        this.piece.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn an_answer_is_handed_on_with_its_head_and_to_its_end_or_its_failure() {
        let work = async {
            let head = || {
                let answer = http::Response::builder().status(404).header("a", "b");
                answer.body(()).unwrap().into_parts().0
            };
            let body = stream::iter((0..1000).map(|_| Ok(Bytes::from(vec![b'x'; 1000]))));
            let answer = handed_on(head(), body).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["a"]),
                (404, &"b".parse().unwrap())
            );
            assert_eq!(
                answer.into_body().collect().await.unwrap().to_bytes().len(),
                1_000_000
            );
            let body = stream::iter([Ok(Bytes::from("x")), Err(io::Error::other("cut"))]);
            let answer = handed_on(head(), body).await.unwrap();
            assert!(answer.into_body().collect().await.is_err());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(work);
    }
}
