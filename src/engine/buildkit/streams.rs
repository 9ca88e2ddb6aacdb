//! Plain byte streams of a build: a context that comes as a tar, a result that goes to a file.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use bollard_buildkit_proto::moby::filesync::v1 as filesync;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bollard_buildkit_proto::moby::upload::v1 as upload_v1;
use bollard_buildkit_proto::moby::upload::v1::upload_server::Upload;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Piece by piece; as large as a file's pieces are.
const CHUNK: usize = 256 << 10;
/// Pieces that wait for the other side.
const WAITING: usize = 4;

/// A stream that the engine may read once, in whole.
pub(crate) type Supply = Box<dyn Read + Send>;
/// Takes a stream that the engine sends.
pub(crate) type Sink = Box<dyn FnOnce(&mut dyn Read) -> io::Result<()> + Send>;

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The address under which the engine asks for the uploaded context.
pub(crate) const UPLOADED: &str = "http://buildkit-session/context";

/// A context that comes as one stream.
pub(crate) struct Uploader(pub(crate) Mutex<Option<Supply>>);

#[tonic::async_trait]
impl Upload for Uploader {
    type PullStream = Replies<upload_v1::BytesMessage>;

    async fn pull(
        &self,
        _request: Request<Streaming<upload_v1::BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let supply = taken(&self.0)
            .ok_or_else(|| Status::not_found("the uploaded context can be read once"))?;
        let (to, replies) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || pump(supply, &to));
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}

fn pump(mut supply: Supply, to: &mpsc::Sender<Result<upload_v1::BytesMessage, Status>>) {
    loop {
        let mut data = vec![0; CHUNK];
        let message = match supply.read(&mut data) {
            Ok(0) => return,
            Ok(read) => {
                data.truncate(read);
                Ok(upload_v1::BytesMessage { data })
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(Status::aborted(format!("the context: {error}"))),
        };
        if to.blocking_send(message).is_err() {
            return;
        }
    }
}

/// The header that names a result's exporter; engines that know one at a time do not send it.
const EXPORTER: &str = "buildkit-attachable-exporter-id";

/// Takes the results of a build.
pub(crate) struct Receiver(pub(crate) Mutex<Vec<Option<Sink>>>);

impl Receiver {
    fn take(&self, exporter: Option<usize>) -> Option<Sink> {
        let mut sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match exporter {
            Some(place) => sinks.get_mut(place)?.take(),
            None => sinks.iter_mut().find_map(Option::take),
        }
    }
}

#[tonic::async_trait]
impl FileSend for Receiver {
    type DiffCopyStream = Replies<filesync::BytesMessage>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<filesync::BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let exporter = match request.metadata().get(EXPORTER) {
            None => None,
            Some(text) => {
                let place = text.to_str().ok().and_then(|text| text.parse().ok());
                Some(place.ok_or_else(|| Status::invalid_argument("no such exporter"))?)
            }
        };
        let sink = self
            .take(exporter)
            .ok_or_else(|| Status::failed_precondition("no result is expected"))?;
        let mut from = request.into_inner();
        let (pieces, reader) = mpsc::channel(WAITING);
        // the reply ends when all is written: until then the engine does not call the build done
        let (replies, reply) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let piece = match from.message().await {
                    Ok(Some(message)) if message.data.is_empty() => continue,
                    Ok(Some(message)) => Ok(message.data),
                    // an end that is not said is a connection that was cut
                    Ok(None) => Ok(Vec::new()),
                    Err(status) => Err(io::Error::other(status.message().to_owned())),
                };
                let last = piece.as_ref().map_or(true, Vec::is_empty);
                if pieces.send(piece).await.is_err() || last {
                    return;
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            let mut reader = Pieces::new(reader);
            let outcome = sink(&mut reader)
                .and_then(|()| io::copy(&mut reader, &mut io::sink()).map(|_rest| ()));
            if let Err(error) = outcome {
                let status = Status::aborted(format!("the result can't be written: {error}"));
                let _left = replies.blocking_send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(reply))))
    }
}

/// Writes a stream for the engine, on a thread of its own.
pub(crate) type Pump = Box<dyn FnOnce(&mut dyn io::Write) -> crate::error::Result<()> + Send>;

/// The stream of a pump's bytes, and the task that ends with the pump's outcome.
pub(crate) fn pumped(
    pump: Pump,
) -> (
    ReceiverStream<io::Result<Vec<u8>>>,
    tokio::task::JoinHandle<crate::error::Result<()>>,
) {
    let (to, from) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        let cut = to.clone();
        let mut writer = io::BufWriter::with_capacity(CHUNK, Writer(to));
        let outcome = pump(&mut writer);
        if outcome.is_err() {
            // a stream that just ended would look whole
            let _left = cut.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        outcome
    });
    (ReceiverStream::new(from), writing)
}

struct Writer(mpsc::Sender<io::Result<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(bytes.to_vec()))
            .map_err(|_left| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The side of a transfer that broke.
pub(crate) enum Broken<E> {
    From(E),
    To(io::Error),
}

/// Streams an archive into a sink.
///
/// # Errors
/// The archive could not be read to its end; the sink failed.
pub(in crate::engine) async fn save_into(
    archive: impl Stream<Item = crate::error::Result<bytes::Bytes>>,
    sink: Sink,
) -> crate::error::Result<()> {
    let pieces = archive.map(|piece| piece.map(|bytes| bytes.to_vec()));
    into_sink(pieces, sink).await.map_err(|error| match error {
        Broken::From(error) => error,
        Broken::To(error) => {
            crate::error::Error::failed("the archive can't be written").caused_by(error)
        }
    })
}

/// Hands a stream of pieces to a sink, which reads it on a thread of its own.
pub(crate) async fn into_sink<E>(
    stream: impl Stream<Item = Result<Vec<u8>, E>>,
    sink: Sink,
) -> Result<(), Broken<E>> {
    let (pieces, from) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || sink(&mut Pieces::new(from)));
    tokio::pin!(stream);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                if pieces.send(Ok(piece)).await.is_err() {
                    // the sink says why it has ended
                    break;
                }
            }
            Err(error) => {
                let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                let _ended = pieces.send(Err(cut)).await;
                let _told_by_the_stream = writing.await;
                return Err(Broken::From(error));
            }
        }
    }
    let _the_sink_may_have_ended = pieces.send(Ok(Vec::new())).await;
    writing
        .await
        .map_err(io::Error::from)
        .and_then(|outcome| outcome)
        .map_err(Broken::To)
}

fn taken<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Messages as something that a blocking reader reads; an empty one is the end.
struct Pieces {
    from: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Pieces {
    fn new(from: mpsc::Receiver<io::Result<Vec<u8>>>) -> Self {
        Self {
            from,
            piece: Vec::new(),
            at: 0,
            ended: false,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.piece = match self.from.blocking_recv() {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(piece) => piece?,
            };
            self.ended = self.piece.is_empty();
            self.at = 0;
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_cut_is_not_taken_for_a_whole_one() {
        let read = |pieces: &[&str]| {
            let (to, from) = mpsc::channel(8);
            for piece in pieces {
                to.try_send(Ok(piece.as_bytes().to_vec())).unwrap();
            }
            drop(to);
            let mut text = String::new();
            Pieces::new(from)
                .read_to_string(&mut text)
                .map(|_length| text)
        };
        assert_eq!(read(&["a", "bc", ""]).unwrap(), "abc");
        assert_eq!(
            read(&["a", "bc"]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
