//! containerd's content store: blobs by their digest.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::messages::{
    BlobRequest, ContentInfo, ContentInfoResponse, FieldMask, ListContentRequest,
    ListContentResponse, ReadContentRequest, ReadContentResponse, UpdateContentRequest,
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use crate::engine::grpc::{Empty, Grpc, found};
use crate::error::{Error, Result};

/// The largest piece of a blob in one message, in bytes; a server refuses much larger ones.
const LARGEST_PIECE: usize = 1 << 20;
/// The most blobs that are read of a list.
const MOST: usize = 200_000;
/// Pieces that wait for the node.
const WAITING: usize = 4;

/// Labels of a blob or a snapshot.
pub(super) type Labels = BTreeMap<String, String>;

/// The beginning of labels that keep other blobs: whatever has one keeps the blob with its digest.
const KEEPS: &str = "containerd.io/gc.ref.content";

/// True where these labels keep a blob from being thrown away.
pub(super) fn keep(labels: &Labels, digest: &str) -> bool {
    let kept = |(name, kept): (&String, &String)| name.starts_with(KEEPS) && kept == digest;
    labels.iter().any(kept)
}

/// A client of a node's content store.
#[derive(Clone, Debug)]
pub(super) struct Content {
    grpc: Grpc,
}

impl Content {
    pub(super) fn new(grpc: Grpc) -> Self {
        Self { grpc }
    }

    /// The record of a blob; `None` when it is not there.
    pub(super) async fn info(&self, digest: &str) -> Result<Option<ContentInfo>> {
        const PATH: &str = "/containerd.services.content.v1.Content/Info";
        let question = BlobRequest {
            digest: digest.to_owned(),
        };
        let answer: Option<ContentInfoResponse> = found(self.grpc.ask(PATH, question).await)?;
        Ok(answer.and_then(|answer| answer.info))
    }

    /// All blobs by digest, each with its labels.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(super) async fn all(&self) -> Result<HashMap<String, Labels>> {
        const PATH: &str = "/containerd.services.content.v1.Content/List";
        let question = ListContentRequest::default();
        let mut answers = self.grpc.follow(PATH, question).await?;
        let mut all = HashMap::new();
        while let Some(answer) = answers.next().await {
            let answer: ListContentResponse = answer?;
            let blobs = answer.info.into_iter();
            all.extend(blobs.map(|info| (info.digest, info.labels)));
            if all.len() > MOST {
                return Err(Error::failed("the node has more blobs than devnet reads")
                    .caused_by(format!("more than {MOST}")));
            }
        }
        Ok(all)
    }

    /// A blob's bytes as they come.
    ///
    /// # Errors
    /// Not found when it is not there; also amid the stream.
    pub(super) async fn stream(
        &self,
        digest: &str,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        self.read(digest, 0).await
    }

    /// The same of the first bytes alone; 0 means all.
    async fn read(
        &self,
        digest: &str,
        size: i64,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        const PATH: &str = "/containerd.services.content.v1.Content/Read";
        let question = ReadContentRequest {
            digest: digest.to_owned(),
            offset: 0,
            size,
        };
        let answers = self.grpc.follow(PATH, question).await?;
        Ok(answers.map(|answer| {
            let answer: ReadContentResponse = answer?;
            Ok(answer.data)
        }))
    }

    /// True where a blob that the store lists can be read: its file may be gone.
    pub(super) async fn is_readable(&self, digest: &str) -> bool {
        let pieces = self.read(digest, 1).await;
        match pieces {
            Ok(pieces) => matches!(Box::pin(pieces).next().await, Some(Ok(_))),
            Err(_unreadable) => false,
        }
    }

    /// Removes a blob that the store lists and has lost, so that it can be written again.
    pub(super) async fn heal(&self, digest: &str) -> Result<()> {
        if self.info(digest).await?.is_some() && !self.is_readable(digest).await {
            self.remove(digest).await?;
        }
        Ok(())
    }

    /// Removes a blob; it may be gone already.
    pub(super) async fn remove(&self, digest: &str) -> Result<()> {
        const PATH: &str = "/containerd.services.content.v1.Content/Delete";
        let order = BlobRequest {
            digest: digest.to_owned(),
        };
        let _gone: Option<Empty> = found(self.grpc.ask(PATH, order).await)?;
        Ok(())
    }

    /// A small document, such as a manifest; `None` when it is not there.
    ///
    /// # Errors
    /// When it is larger than `most` bytes.
    pub(super) async fn document(&self, digest: &str, most: usize) -> Result<Option<Bytes>> {
        let Some(info) = self.info(digest).await? else {
            return Ok(None);
        };
        let too_large =
            || Error::failed(format!("the document {digest} is larger than {most} bytes"));
        if usize::try_from(info.size).is_ok_and(|size| size > most) {
            return Err(too_large());
        }
        let mut pieces = Box::pin(self.stream(digest).await?);
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > most {
                return Err(too_large());
            }
        }
        Ok(Some(whole.freeze()))
    }

    /// Adds labels to a blob.
    pub(super) async fn label(&self, digest: &str, labels: Labels) -> Result<()> {
        const PATH: &str = "/containerd.services.content.v1.Content/Update";
        let paths = labels.keys().map(|name| format!("labels.{name}"));
        let update = UpdateContentRequest {
            update_mask: Some(FieldMask {
                paths: paths.collect(),
            }),
            info: Some(ContentInfo {
                digest: digest.to_owned(),
                labels,
                ..ContentInfo::default()
            }),
        };
        let _changed: ContentInfoResponse = self.grpc.ask(PATH, update).await?;
        Ok(())
    }

    /// Writes a small blob with its labels; one that is there gets them.
    ///
    /// # Errors
    /// As `BlobWriter::commit`.
    pub(super) async fn write(
        &self,
        reference: String,
        digest: &str,
        bytes: Bytes,
        labels: Labels,
    ) -> Result<()> {
        let mut writer = self.writer(reference, digest.to_owned());
        writer.write(bytes).await;
        let written = writer.commit(labels.clone()).await?;
        if written.was_there && !labels.is_empty() {
            self.label(digest, labels).await?;
        }
        Ok(())
    }

    /// Begins to write a blob under a name of its own; `expected` is its digest, or empty where that
    /// is not known.
    pub(super) fn writer(&self, reference: String, expected: String) -> BlobWriter {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let grpc = self.grpc.clone();
        let written =
            tokio::spawn(async move { answers(&grpc, ReceiverStream::new(waiting)).await });
        BlobWriter {
            pieces,
            written,
            offset: 0,
            reference,
            expected,
        }
    }
}

/// The end of a write by what the node answers.
async fn answers(
    grpc: &Grpc,
    pieces: ReceiverStream<WriteContentRequest>,
) -> Result<Option<String>> {
    const PATH: &str = "/containerd.services.content.v1.Content/Write";
    let refused = match grpc.exchange(PATH, pieces).await {
        Ok(mut answers) => loop {
            match answers.next().await {
                Some(Ok(answer)) => {
                    let answer: WriteContentResponse = answer;
                    if answer.action() == WriteAction::Commit {
                        return Ok(Some(answer.digest));
                    }
                }
                Some(Err(refusal)) => break refusal,
                None => return Err(Error::lost("the node ended a write amid it")),
            }
        },
        Err(refusal) => refusal,
    };
    if refused.is_already_there() {
        return Ok(None);
    }
    Err(refused.error)
}

/// A blob that is being written.
#[derive(Debug)]
pub(super) struct BlobWriter {
    pieces: mpsc::Sender<WriteContentRequest>,
    written: JoinHandle<Result<Option<String>>>,
    offset: i64,
    reference: String,
    expected: String,
}

/// A blob that was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) digest: String,
    pub(super) size: i64,
    /// The store had it before.
    pub(super) was_there: bool,
}

impl BlobWriter {
    /// Writes more of it. What the node refuses is told at the end.
    pub(super) async fn write(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(LARGEST_PIECE));
            let length = data.len();
            let piece = self.piece(WriteAction::Write, data);
            // a node that takes no more has it, or says why at the end
            let _refused = self.pieces.send(piece).await;
            self.offset += i64::try_from(length).unwrap_or(0);
        }
    }

    /// Ends the blob; the node compares its digest with the one that was expected.
    ///
    /// # Errors
    /// The node's refusal: another digest, no space, a lease that ran out.
    pub(super) async fn commit(self, labels: Labels) -> Result<Written> {
        let mut last = self.piece(WriteAction::Commit, Bytes::new());
        last.total = self.offset;
        last.labels = labels;
        let _refused = self.pieces.send(last).await;
        drop(self.pieces);
        let answer = self.written.await;
        let answer =
            answer.map_err(|error| Error::failed("a write ended early").caused_by(error))??;
        let was_there = answer.is_none();
        Ok(Written {
            digest: answer.unwrap_or(self.expected),
            size: self.offset,
            was_there,
        })
    }

    fn piece(&self, action: WriteAction, data: Bytes) -> WriteContentRequest {
        WriteContentRequest {
            action: action.into(),
            r#ref: self.reference.clone(),
            total: 0,
            expected: self.expected.clone(),
            offset: self.offset,
            data,
            labels: Labels::new(),
        }
    }
}
