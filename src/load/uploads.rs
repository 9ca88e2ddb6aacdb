//! Several nodes that load at once from one reader: each has an upload, and a node that stops
//! reading does not hold the others for ever.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::{Notify, mpsc};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::digest::DiffId;
use crate::image::stored::{Incoming, Keep};
use crate::load::delivery::Sent;
use crate::progress::Sender;

/// The time after which a node that takes nothing is asked whether it is still there, and one that
/// works without an answer is given up, so that it does not hold the others.
const STALLED: Duration = Duration::from_secs(20);
/// The pause between two questions to a node that works.
const ASKED: Duration = Duration::from_secs(5);
/// The time that its answer may take then.
const ANSWERS: Duration = Duration::from_secs(15);
/// The number of times that a node that takes nothing is asked whether it is still there; a slow
/// disk is no reason to give it up, but the others can't wait for ever.
const ASKED_AT_MOST: usize = 9;

/// The nodes that one archive goes to: it is read once, and each loads its part of it meanwhile.
pub(super) struct FanOut<'a> {
    pub(super) nodes: Vec<(&'a Engine, Keep)>,
    /// The transfer's name, which the archive gives its image.
    pub(super) name: &'a str,
    /// The image's layers, the base first, where they are known before the archive is read.
    pub(super) layers: Option<&'a [DiffId]>,
    /// The number of pieces that wait for a node that is slower than the reader.
    pub(super) waiting: usize,
    pub(super) events: &'a Sender,
}

impl FanOut<'_> {
    /// Lets `produce` hand each node its part, in the nodes' order, and does `settle` for each that
    /// has loaded it, whatever the others do. `after` is done once everything is read, while nodes
    /// are still busy. An archive whose reader fails breaks off on every node.
    pub(super) async fn run<T, R>(
        self,
        produce: impl AsyncFnOnce(&mut [NodeUpload]) -> Result<T>,
        after: impl Future<Output = ()>,
        settle: impl AsyncFn(&Engine) -> Result<R>,
    ) -> (Result<T>, Vec<Sent<R>>) {
        let settle = &settle;
        let uploads = self.nodes.iter().map(|(node, keep)| {
            let incoming = Incoming {
                keep: *keep,
                layers: self.layers,
            };
            let (upload, load) = upload((node, incoming), self.name, self.waiting, self.events);
            let settled = async move {
                load.await?;
                settle(node).await
            };
            (upload, settled)
        });
        let (mut uploads, loads): (Vec<NodeUpload>, Vec<_>) = uploads.unzip();
        let read = async {
            let outcome = produce(&mut uploads).await;
            if let Err(error) = &outcome {
                for upload in &mut uploads {
                    upload.break_off(error).await;
                }
            }
            let bytes: Vec<u64> = uploads.iter().map(|upload| upload.bytes).collect();
            // their archives end here
            drop(uploads);
            after.await;
            (outcome, bytes)
        };
        let ((read, bytes), outcomes) = futures_util::join!(read, join_all(loads));
        let sent = outcomes
            .into_iter()
            .zip(bytes)
            .map(|(outcome, bytes)| Sent { bytes, outcome })
            .collect();
        (read, sent)
    }
}

/// The reader's end of one node's archive.
#[derive(Debug)]
pub(super) struct NodeUpload {
    /// `None` once the node takes no more.
    sender: Option<mpsc::Sender<io::Result<Bytes>>>,
    bytes: u64,
    stalled: Arc<Notify>,
    /// Its load has ended: an engine that has refused may leave the rest of an archive unread.
    over: Arc<Notify>,
    engine: Engine,
}

/// An upload, and the load at its other end.
fn upload<'a>(
    (engine, incoming): (&'a Engine, Incoming<'a>),
    name: &'a str,
    waiting: usize,
    events: &'a Sender,
) -> (NodeUpload, impl Future<Output = Result<()>> + use<'a>) {
    let (sender, mut receiver) = mpsc::channel(waiting);
    let body = stream::poll_fn(move |context| receiver.poll_recv(context));
    let stalled = Arc::new(Notify::new());
    let upload = NodeUpload {
        sender: Some(sender),
        bytes: 0,
        stalled: stalled.clone(),
        over: Arc::default(),
        engine: engine.clone(),
    };
    let over = upload.over.clone();
    let load = async move {
        let outcome = tokio::select! {
            loaded = watched(engine, engine.images.load(name, incoming, body, events)) => loaded,
            () = stalled.notified() => Err(given_up(engine)),
        };
        over.notify_one();
        outcome
    };
    (upload, load)
}

impl NodeUpload {
    pub(super) fn is_open(&self) -> bool {
        self.sender.is_some()
    }

    pub(super) async fn send(&mut self, bytes: Bytes) {
        let count = bytes.len() as u64;
        if self.hand_on(Ok(bytes)).await {
            self.bytes += count;
        }
    }

    /// Ends the archive with an error. Such a body is no archive that ends early: the node keeps
    /// nothing of it.
    pub(super) async fn break_off(&mut self, why: &Error) {
        self.hand_on(Err(io::Error::other(why.to_string()))).await;
        self.sender = None;
    }

    /// Hands a piece to the node, which may take its time as long as it answers. Gives false when it
    /// takes no more: one that has failed tells so itself, and the others go on.
    async fn hand_on(&mut self, piece: io::Result<Bytes>) -> bool {
        let Some(sender) = self.sender.clone() else {
            return false;
        };
        let room = tokio::select! {
            biased;
            room = self.room(&sender) => room,
            () = self.over.notified() => None,
        };
        let Some(room) = room else {
            self.sender = None;
            return false;
        };
        room.send(piece);
        true
    }

    /// The room for one more piece. `None` when the node has failed or does not answer.
    async fn room<'s, T>(&self, sender: &'s mpsc::Sender<T>) -> Option<mpsc::Permit<'s, T>> {
        let mut room = Box::pin(sender.reserve());
        for _ in 0..ASKED_AT_MOST {
            if let Ok(room) = tokio::time::timeout(STALLED, &mut room).await {
                return room.ok();
            }
            let round_trip = self.engine.runtime.round_trip();
            if !matches!(tokio::time::timeout(ANSWERS, round_trip).await, Ok(Ok(_))) {
                break;
            }
        }
        // its archive breaks off here, and its load is not waited for
        self.stalled.notify_one();
        None
    }
}

/// Waits for a node's work as long as the node answers: a small archive fits into the buffers of
/// a node that has stopped, and its answer never comes.
pub(super) async fn watched(engine: &Engine, work: impl Future<Output = Result<()>>) -> Result<()> {
    let silent = async {
        let mut heard = Instant::now();
        while heard.elapsed() < STALLED {
            tokio::time::sleep(ASKED).await;
            if let Ok(Ok(_)) = tokio::time::timeout(ANSWERS, engine.runtime.round_trip()).await {
                heard = Instant::now();
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = silent => Err(given_up(engine)),
    }
}

fn given_up(engine: &Engine) -> Error {
    Error::lost(format!("{} stopped answering", engine.node.address()))
        .caused_by(format!("nothing came from it for {} s", STALLED.as_secs()))
}
