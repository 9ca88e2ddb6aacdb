//! Image layouts on this computer as content stores that the engine reads from and writes into:
//! containerd's content service, as far as BuildKit asks for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::context::oci_layout::{self, Ingest};
use crate::engine::buildkit::session::token;
use crate::image::digest::Digest;
use crate::regular_file;

/// The header that names the store of a question.
const STORE: &str = "buildkit-attachable-store-id";
/// The bytes of one piece; larger pieces gain nothing.
const CHUNK: usize = 256 << 10;
/// Pieces that wait for the other side.
const WAITING: usize = 4;

/// The methods that are served.
pub(crate) const METHODS: [&str; 4] = [
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Update",
    "/containerd.services.content.v1.Content/Write",
];

/// A layout that the engine may use.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) root: PathBuf,
    /// True where the engine may add to it.
    pub(crate) grows: bool,
}

/// Layouts, by the name under which the engine asks.
#[derive(Clone)]
pub(crate) struct Content(Arc<BTreeMap<String, Store>>);

// messages of containerd's `services/content/v1/content.proto`; what is left out of them is never
// looked at, by either side

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

/// A question and an answer at once: both hold one `Info`.
#[derive(Clone, PartialEq, prost::Message)]
struct InfoMessage {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Action {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(enumeration = "Action", tag = "1")]
    action: i32,
    #[prost(string, tag = "4")]
    expected: String,
    #[prost(int64, tag = "3")]
    total: i64,
    #[prost(int64, tag = "5")]
    offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteResponse {
    #[prost(enumeration = "Action", tag = "1")]
    action: i32,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(int64, tag = "5")]
    total: i64,
    #[prost(string, tag = "6")]
    digest: String,
}

type Pieces<T> = ReceiverStream<Result<T, Status>>;

impl Content {
    pub(crate) fn new(stores: BTreeMap<String, Store>) -> Self {
        Self(Arc::new(stores))
    }

    fn store(&self, metadata: &MetadataMap) -> Result<&Store, Status> {
        let name = metadata
            .get(STORE)
            .and_then(|name| name.to_str().ok())
            .ok_or_else(|| Status::invalid_argument("the question names no store"))?;
        self.0
            .get(name)
            .ok_or_else(|| Status::not_found(format!("no store `{name}`")))
    }

    /// A blob's file and its length.
    fn open(&self, metadata: &MetadataMap, digest: &str) -> Result<(File, u64), Status> {
        let store = self.store(metadata)?;
        let missing = || Status::not_found(format!("content {digest}: not found"));
        let path = oci_layout::blob(&store.root, &Digest::parse(digest).ok_or_else(missing)?);
        regular_file::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => Status::aborted(format!("content {digest}: {error}")),
        })
    }

    fn info(&self, metadata: &MetadataMap, digest: &str) -> Result<InfoMessage, Status> {
        let (_file, length) = self.open(metadata, digest)?;
        Ok(InfoMessage {
            info: Some(Info {
                digest: digest.to_owned(),
                size: i64::try_from(length).unwrap_or(i64::MAX),
            }),
        })
    }

    fn read(&self, request: &Request<ReadRequest>) -> Result<Pieces<ReadResponse>, Status> {
        let wanted = request.get_ref();
        let (mut file, length) = self.open(request.metadata(), &wanted.digest)?;
        let offset = u64::try_from(wanted.offset).unwrap_or(u64::MAX);
        if offset > length {
            return Err(Status::out_of_range("the content ends before that"));
        }
        // no size means all of it
        let left = match u64::try_from(wanted.size) {
            Ok(size @ 1..) => size.min(length - offset),
            _ => length - offset,
        };
        let (to, pieces) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || {
            let outcome = file.seek(io::SeekFrom::Start(offset)).and_then(|_at| {
                let mut at = offset;
                let mut file = file.take(left);
                loop {
                    let mut data = vec![0; CHUNK];
                    let read = file.read(&mut data)?;
                    data.truncate(read);
                    let piece = ReadResponse {
                        offset: i64::try_from(at).unwrap_or(i64::MAX),
                        data,
                    };
                    at += read as u64;
                    if read == 0 || to.blocking_send(Ok(piece)).is_err() {
                        return Ok(());
                    }
                }
            });
            if let Err(error) = outcome {
                let _left = to.blocking_send(Err(Status::aborted(error.to_string())));
            }
        });
        Ok(ReceiverStream::new(pieces))
    }

    fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Pieces<WriteResponse>, Status> {
        let store = self.store(request.metadata())?.clone();
        if !store.grows {
            return Err(Status::permission_denied("nothing is written here"));
        }
        let mut asked = request.into_inner();
        let (to, answers) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut writing = Writing::default();
            while let Some(Ok(request)) = asked.next().await {
                let at = (store.root.clone(), writing);
                let step = tokio::task::spawn_blocking(move || {
                    let (root, mut writing) = at;
                    let answer = writing.take(&root, &request);
                    (writing, answer)
                });
                let Ok((after, answer)) = step.await else {
                    return;
                };
                writing = after;
                let failed = answer.is_err();
                if to.send(answer).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(answers))
    }
}

/// One blob that the engine writes.
#[derive(Default)]
struct Writing {
    ingest: Option<Ingest>,
    expected: Option<Digest>,
    total: i64,
}

impl Writing {
    fn take(
        &mut self,
        root: &std::path::Path,
        request: &WriteRequest,
    ) -> Result<WriteResponse, Status> {
        let failed = |error: io::Error| Status::aborted(format!("`{}`: {error}", root.display()));
        if let Some(expected) = Digest::parse(&request.expected) {
            if oci_layout::blob(root, &expected).is_file() {
                return Err(Status::already_exists(format!(
                    "content {}: already exists",
                    request.expected
                )));
            }
            self.expected = Some(expected);
        }
        self.total = self.total.max(request.total);
        let mut ingest = match self.ingest.take() {
            Some(ingest) => ingest,
            None => Ingest::new(root, &token()).map_err(failed)?,
        };
        let at = i64::try_from(ingest.written()).unwrap_or(i64::MAX);
        let action = Action::try_from(request.action)
            .map_err(|_unknown| Status::unimplemented("no such way to write"))?;
        if action == Action::Write && request.offset != at {
            return Err(Status::out_of_range(format!(
                "{} bytes were written, and the next are said to be at {}",
                at, request.offset
            )));
        }
        ingest.write(&request.data).map_err(failed)?;
        let mut answer = WriteResponse {
            action: request.action,
            offset: i64::try_from(ingest.written()).unwrap_or(i64::MAX),
            total: self.total,
            digest: String::new(),
        };
        if action == Action::Commit {
            if request.total > 0 && request.total != answer.offset {
                return Err(Status::failed_precondition("its size is another"));
            }
            let digest = ingest.commit(self.expected.as_ref()).map_err(failed)?;
            digest.as_str().clone_into(&mut answer.digest);
        } else {
            self.ingest = Some(ingest);
        }
        Ok(answer)
    }
}

impl tonic::server::NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

type CallFuture =
    Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<tonic::body::Body>> for Content {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> CallFuture {
        let this = self.clone();
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        match method {
            "Info" => Box::pin(async move {
                let answer = move |request: Request<InfoRequest>| {
                    let info = this.info(request.metadata(), &request.get_ref().digest);
                    std::future::ready(info.map(Response::new))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                Ok(grpc.unary(tower::service_fn(answer), request).await)
            }),
            // labels, which a layout has no place for
            "Update" => Box::pin(async move {
                let answer = move |request: Request<InfoMessage>| {
                    let wanted = request.get_ref().info.clone().unwrap_or_default();
                    let info = this.info(request.metadata(), &wanted.digest);
                    std::future::ready(info.map(Response::new))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                Ok(grpc.unary(tower::service_fn(answer), request).await)
            }),
            "Read" => Box::pin(async move {
                let answer = move |request: Request<ReadRequest>| {
                    std::future::ready(this.read(&request).map(boxed))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                Ok(grpc
                    .server_streaming(tower::service_fn(answer), request)
                    .await)
            }),
            "Write" => Box::pin(async move {
                let answer = move |request: Request<Streaming<WriteRequest>>| {
                    std::future::ready(this.write(request).map(boxed))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
                    .max_decoding_message_size(crate::engine::buildkit::LONGEST_MESSAGE);
                Ok(grpc.streaming(tower::service_fn(answer), request).await)
            }),
            _ => Box::pin(async {
                Ok(Status::unimplemented("no such question is answered").into_http())
            }),
        }
    }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn boxed<T: Send + 'static>(pieces: Pieces<T>) -> Response<Boxed<T>> {
    Response::new(Box::pin(pieces))
}
