//! Several nodes that load at once from one reader: each has a lane, and one that stops reading
//! does not hold the others for ever.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Notify, mpsc};

use crate::engine::Engine;
use crate::engine::transfer::{ANSWERS, STALLED, given_up, watched};
use crate::error::{Error, Result};

/// Pieces that wait for a node that is slower than the reader.
const WAITING: usize = 16;
/// How often a node that takes nothing is asked whether it is still there; a slow disk is no reason
/// to give it up, but the others can't wait for ever.
const PATIENCE: usize = 9;

/// The reader's end of one node's archive.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the node takes no more.
    sender: Option<mpsc::Sender<io::Result<Bytes>>>,
    pub(super) bytes: u64,
    stalled: Arc<Notify>,
    engine: Engine,
}

/// A lane, and the load at its other end.
pub(super) fn lane(engine: &Engine) -> (Lane, impl Future<Output = Result<()>>) {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let body = stream::poll_fn(move |context| receiver.poll_recv(context));
    let stalled = Arc::new(Notify::new());
    let lane = Lane {
        sender: Some(sender),
        bytes: 0,
        stalled: stalled.clone(),
        engine: engine.clone(),
    };
    let load = async move {
        tokio::select! {
            loaded = watched(engine, engine.load(body)) => loaded,
            () = stalled.notified() => Err(given_up(engine)),
        }
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
        if hand_on(sender, bytes, &self.engine, &self.stalled).await {
            return true;
        }
        self.sender = None;
        false
    }
}

/// Hands a piece to a node, which may take its time as long as it answers. Whether it took it: one
/// that has failed tells so itself, and the others go on.
pub(super) async fn hand_on<T>(
    sender: &mpsc::Sender<T>,
    piece: T,
    engine: &Engine,
    stalled: &Notify,
) -> bool {
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
        let answer = tokio::time::timeout(ANSWERS, engine.round_trip()).await;
        if !matches!(answer, Ok(Ok(_))) {
            break;
        }
    }
    // its archive breaks off here, and its load is not waited for
    stalled.notify_one();
    false
}
