//! Sending folders to BuildKit: the engine compares what we say of each file with the copy it
//! kept, and asks for the content of those that differ.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::context::folder::{self, Entry, Filter};
use crate::engine::buildkit::Sent;
use crate::error::Error;
use crate::image::archive_reader::fill;
use crate::progress::{Event, Sender};
use crate::regular_file;

/// The bytes of one piece: larger ones gain nothing, smaller ones cost a third of the speed.
const CHUNK: usize = 256 << 10;
/// Files that are read at the same time.
const READERS: usize = 4;
/// Pieces that wait for the wire: this times `CHUNK` bounds the memory that a build needs.
const WAITING: usize = 16;
/// Facts that travel from the walk to the wire at once.
const BATCH: usize = 128;

/// A folder that the engine may read.
#[derive(Clone, Debug)]
pub(crate) enum Folder {
    Path(PathBuf),
    /// Files that exist nowhere else, as a Dockerfile from stdin.
    Memory(BTreeMap<String, Vec<u8>>),
}

impl Folder {
    fn walk(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        match self {
            Self::Path(root) => folder::walk(root, filter, each),
            Self::Memory(files) => {
                let now = jiff::Timestamp::now().as_nanosecond();
                for (name, bytes) in files {
                    let entry = Entry {
                        path: name.clone(),
                        mode: 0o644,
                        size: bytes.len() as u64,
                        // another text of the same length must not pass for this one
                        modified: i64::try_from(now).unwrap_or(0),
                        ..Entry::default()
                    };
                    if each(entry).is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// A file's content, its length and its name for a person.
    fn open(&self, path: &str) -> io::Result<(Box<dyn io::Read + '_>, u64)> {
        match self {
            Self::Path(root) => {
                let (file, length) = regular_file::open_below(root, path)?;
                Ok((Box::new(file), length))
            }
            Self::Memory(files) => {
                let bytes = files.get(path).ok_or(io::ErrorKind::NotFound)?;
                Ok((Box::new(bytes.as_slice()), bytes.len() as u64))
            }
        }
    }
}

/// The folders that the engine may read.
#[derive(Clone)]
pub(crate) struct Folders {
    by_name: Arc<BTreeMap<String, Folder>>,
    counts: Arc<Counts>,
    complaint: Arc<Mutex<Option<Error>>>,
    gone_is_empty: bool,
    events: Sender,
}

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
}

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
type Pieces = mpsc::Sender<Result<Packet, Status>>;
/// Paths of the files whose content may still be asked for, by their place in the walk.
type Offered = Arc<Mutex<HashMap<u32, String>>>;

impl Folders {
    pub(crate) fn new(
        folders: BTreeMap<String, Folder>,
        gone_is_empty: bool,
        events: Sender,
    ) -> Self {
        Self {
            gone_is_empty,
            by_name: Arc::new(folders),
            counts: Arc::default(),
            complaint: Arc::default(),
            events,
        }
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent {
            entries: self.counts.entries.load(Ordering::Relaxed),
            files: self.counts.files.load(Ordering::Relaxed),
            bytes: self.counts.bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes the first reason why a folder could not be sent.
    pub(crate) fn complaint(&self) -> Option<Error> {
        locked(&self.complaint).take()
    }

    /// Keeps the reason for the person, and gives the engine its text.
    fn complain(&self, error: Error) -> Packet {
        let text = match error.causes().first() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        locked(&self.complaint).get_or_insert(error);
        packet(PacketType::PacketErr, 0, text.into_bytes())
    }

    /// Says what is in the folder, then that this was all.
    fn tell(
        &self,
        folder: &Folder,
        filter: &Filter,
        offered: &Offered,
        to: &mpsc::Sender<Vec<Packet>>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut id = 0_u32;
        let outcome = folder.walk(filter, &mut |entry| {
            if entry.has_content() {
                locked(offered).insert(id, entry.path.clone());
            }
            id += 1;
            self.counts.entries.fetch_add(1, Ordering::Relaxed);
            batch.push(fact(Some(entry)));
            if batch.len() < BATCH {
                return ControlFlow::Continue(());
            }
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            match to.blocking_send(full) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_the_engine_has_left) => ControlFlow::Break(()),
            }
        });
        batch.push(match outcome {
            Ok(()) => fact(None),
            Err(error) => self.complain(error),
        });
        let _the_engine_may_have_left = to.blocking_send(batch);
    }

    /// Answers what the engine asks until it has enough.
    async fn serve(
        &self,
        folder: Folder,
        mut asked: Streaming<Packet>,
        offered: Offered,
        pieces: Pieces,
    ) {
        // questions are taken off the wire at once: h2 closes a connection on which too many wait
        let (queue, waiting) = std::sync::mpsc::channel::<(u32, String)>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..READERS {
            let (this, folder) = (self.clone(), folder.clone());
            let (pieces, waiting) = (pieces.clone(), waiting.clone());
            tokio::task::spawn_blocking(move || {
                loop {
                    let next = locked(&waiting).recv();
                    let Ok((id, path)) = next else { return };
                    this.send_file(&folder, &path, id, &pieces);
                }
            });
        }
        while let Ok(Some(message)) = asked.message().await {
            match PacketType::try_from(message.r#type) {
                Ok(PacketType::PacketReq) => {
                    let path: Option<String> = locked(&offered).remove(&message.id);
                    let Some(path) = path else {
                        let status = Status::invalid_argument("no such file was offered");
                        let _left = pieces.send(Err(status)).await;
                        return;
                    };
                    if queue.send((message.id, path)).is_err() {
                        return;
                    }
                }
                Ok(PacketType::PacketFin) => {
                    let fin = packet(PacketType::PacketFin, 0, Vec::new());
                    let _left = pieces.send(Ok(fin)).await;
                    return;
                }
                // the engine's own trouble: the outcome of the solve tells it
                _ => return,
            }
        }
    }

    fn send_file(&self, folder: &Folder, path: &str, id: u32, pieces: &Pieces) {
        let piece = match self.send_content(folder, path, id, pieces) {
            Ok(true) => packet(PacketType::PacketData, id, Vec::new()),
            Ok(false) => return,
            Err(error) if self.gone_is_empty && folder::is_gone(&error) => {
                let _nobody_reads = self.events.send(Event::Note(format!(
                    "`{path}` was gone when it was to be sent, and is an empty file now: build again without it"
                )));
                packet(PacketType::PacketData, id, Vec::new())
            }
            Err(error) => {
                let failed = Error::failed(format!("`{path}` in the build context can't be read"));
                self.complain(if folder::is_gone(&error) {
                    failed.caused_by(folder::Gone)
                } else {
                    failed.caused_by(error)
                })
            }
        };
        let _the_engine_may_have_left = pieces.blocking_send(Ok(piece));
    }

    /// False when nobody listens any more.
    fn send_content(
        &self,
        folder: &Folder,
        path: &str,
        id: u32,
        pieces: &Pieces,
    ) -> io::Result<bool> {
        let (mut file, length) = folder.open(path)?;
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        let mut total = 0;
        loop {
            let left = usize::try_from(length.saturating_sub(total)).unwrap_or(CHUNK);
            // one more byte shows at once whether the file has ended
            let mut data = vec![0; CHUNK.min(left + 1)];
            let filled = fill(&mut file, &mut data)?;
            let ended = filled < data.len();
            if filled > 0 {
                data.truncate(filled);
                total += filled as u64;
                self.counts
                    .bytes
                    .fetch_add(filled as u64, Ordering::Relaxed);
                if pieces
                    .blocking_send(Ok(packet(PacketType::PacketData, id, data)))
                    .is_err()
                {
                    return Ok(false);
                }
            }
            if ended {
                break;
            }
        }
        if total != length {
            let _nobody_reads = self.events.send(Event::Note(format!(
                "`{path}` changed while it was sent: build again for a consistent image"
            )));
        }
        Ok(true)
    }
}

#[tonic::async_trait]
impl FileSync for Folders {
    type DiffCopyStream = Packets;
    type TarStreamStream = Packets;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Packets>, Status> {
        let name = values(request.metadata(), "dir-name")
            .pop()
            .unwrap_or_default();
        let filter = Filter {
            include: values(request.metadata(), "include-patterns"),
            exclude: values(request.metadata(), "exclude-patterns"),
            follow: values(request.metadata(), "followpaths"),
        };
        let folder = self
            .by_name
            .get(&name)
            .cloned()
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))?;
        let offered = Offered::default();
        let (facts, told) = mpsc::channel(4);
        let (pieces, sent) = mpsc::channel(WAITING);
        let (this, walked, offers) = (self.clone(), folder.clone(), offered.clone());
        tokio::task::spawn_blocking(move || this.tell(&walked, &filter, &offers, &facts));
        let this = self.clone();
        tokio::spawn(async move {
            this.serve(folder, request.into_inner(), offered, pieces)
                .await;
        });
        let told = ReceiverStream::new(told).flat_map(|batch| stream::iter(batch).map(Ok));
        let all = stream::select(told, ReceiverStream::new(sent));
        Ok(Response::new(Box::pin(all)))
    }

    async fn tar_stream(
        &self,
        _request: Request<Streaming<Packet>>,
    ) -> Result<Response<Packets>, Status> {
        Err(Status::unimplemented("DiffCopy is served"))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn packet(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet {
        r#type: kind as i32,
        id,
        data,
        stat: None,
    }
}

/// The packet with the facts of one entry; `None` ends the list.
fn fact(entry: Option<Entry>) -> Packet {
    Packet {
        stat: entry.map(|entry| Stat {
            path: entry.path,
            mode: entry.mode,
            // whoever builds owns nothing in an image
            uid: 0,
            gid: 0,
            size: i64::try_from(entry.size).unwrap_or(i64::MAX),
            mod_time: entry.modified,
            linkname: entry.link,
            devmajor: i64::from(entry.device.0),
            devminor: i64::from(entry.device.1),
            xattrs: entry.xattrs.into_iter().collect(),
        }),
        ..packet(PacketType::PacketStat, 0, Vec::new())
    }
}

/// All values of one name in a request's head. Engines that mark them as encoded have escaped
/// what a header can't carry; older ones send it raw.
fn values(head: &MetadataMap, name: &str) -> Vec<String> {
    let encoded = head.contains_key(format!("{name}-encoded"));
    head.get_all(name)
        .iter()
        .map(|value| {
            let bytes = value.as_encoded_bytes();
            let bytes = if encoded {
                unescaped(bytes)
            } else {
                bytes.to_vec()
            };
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect()
}

/// Undoes URL query escaping.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            (b'+', _, _) => {
                plain.push(b' ');
                at += 1;
            }
            (other, _, _) => {
                plain.push(*other);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_values_are_unescaped_and_others_left_alone() {
        let mut head = MetadataMap::new();
        head.append("followpaths", "a+b%2F%C3%A4%zz".parse().unwrap());
        assert_eq!(values(&head, "followpaths"), ["a+b%2F%C3%A4%zz"]);
        head.append("followpaths-encoded", "1".parse().unwrap());
        assert_eq!(values(&head, "followpaths"), ["a b/ä%zz"]);
    }
}
