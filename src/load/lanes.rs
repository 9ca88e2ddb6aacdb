//! Several nodes that load at once from one reader: each has a lane, and one that stops reading
//! does not hold the others for ever.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Notify, mpsc};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::progress::Sender;

/// The time for which a node may take nothing before it is asked whether it is still there, or not
/// answer while it works before it is given up, so that it does not hold the others.
const STALLED: Duration = Duration::from_secs(20);
/// The pause between two questions whether a node that works is still there.
const ASKED: Duration = Duration::from_secs(5);
/// The time that its answer may take then.
const ANSWERS: Duration = Duration::from_secs(15);
/// The number of times that a node which takes nothing is asked whether it is still there; a slow
/// disk is no reason to give it up, but the others can't wait for ever.
const PATIENCE: usize = 9;

/// The reader's end of one node's archive.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the node takes no more.
    sender: Option<mpsc::Sender<io::Result<Bytes>>>,
    pub(super) bytes: u64,
    stalled: Arc<Notify>,
    /// Its load has ended: an engine that has refused may leave the rest of an archive unread.
    over: Arc<Notify>,
    engine: Engine,
}

/// A lane, and the load at its other end. So many pieces wait for a node that is slower than the
/// reader.
pub(super) fn lane(
    engine: &Engine,
    waiting: usize,
    events: &Sender,
) -> (Lane, impl Future<Output = Result<()>>) {
    let (sender, mut receiver) = mpsc::channel(waiting);
    let body = stream::poll_fn(move |context| receiver.poll_recv(context));
    let stalled = Arc::new(Notify::new());
    let lane = Lane {
        sender: Some(sender),
        bytes: 0,
        stalled: stalled.clone(),
        over: Arc::default(),
        engine: engine.clone(),
    };
    let over = lane.over.clone();
    let load = async move {
        let outcome = tokio::select! {
            loaded = watched(engine, engine.images.load(body, events)) => loaded,
            () = stalled.notified() => Err(given_up(engine)),
        };
        over.notify_one();
        outcome
    };
    (lane, load)
}

impl Lane {
    pub(super) fn is_open(&self) -> bool {
        self.sender.is_some()
    }

    pub(super) async fn send(&mut self, bytes: Bytes) {
        let count = bytes.len() as u64;
        if self.hand_on(Ok(bytes)).await {
            self.bytes += count;
        }
    }

    /// A body that ends in an error is no archive that ends early: the node keeps nothing of it.
    pub(super) async fn break_off(&mut self, why: &Error) {
        self.hand_on(Err(io::Error::other(why.to_string()))).await;
        self.sender = None;
    }

    async fn hand_on(&mut self, bytes: io::Result<Bytes>) -> bool {
        let Some(sender) = &self.sender else {
            return false;
        };
        let handed = tokio::select! {
            biased;
            handed = hand_on(sender, bytes, &self.engine, &self.stalled) => handed,
            () = self.over.notified() => false,
        };
        if handed {
            return true;
        }
        self.sender = None;
        false
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
        .because(format!("nothing came from it for {} s", STALLED.as_secs()))
}

/// Hands a piece to a node, which may take its time as long as it answers. Whether it took it: one
/// that has failed tells so itself, and the others go on.
async fn hand_on<T>(sender: &mpsc::Sender<T>, piece: T, engine: &Engine, stalled: &Notify) -> bool {
    let mut room = Box::pin(sender.reserve());
    for _ in 0..PATIENCE {
        match tokio::time::timeout(STALLED, &mut room).await {
            Ok(Ok(room)) => {
                room.send(piece);
                return true;
            }
            Ok(Err(_)) => return false,
            Err(_elapsed) => {}
        }
        let answer = tokio::time::timeout(ANSWERS, engine.runtime.round_trip()).await;
        if !matches!(answer, Ok(Ok(_))) {
            break;
        }
    }
    // its archive breaks off here, and its load is not waited for
    stalled.notify_one();
    false
}
