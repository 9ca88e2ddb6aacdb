//! Several nodes that load at once from one reader: each has a lane, and one that stops reading
//! does not hold the others for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Notify, mpsc};

use crate::engine::Engine;
use crate::engine::transfer::{given_up, watched};
use crate::error::{Error, Result};

/// Pieces that wait for a node that is slower than the reader.
const WAITING: usize = 16;
/// How long a node may take nothing before it is given up.
const STALLED: Duration = Duration::from_secs(20);

/// The reader's end of one node's archive.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the node takes no more.
    sender: Option<mpsc::Sender<io::Result<Bytes>>>,
    pub(super) bytes: u64,
    stalled: Arc<Notify>,
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
        match tokio::time::timeout(STALLED, sender.send(bytes)).await {
            Ok(Ok(())) => return true,
            // a node that has failed tells so itself; the others go on
            Ok(Err(_)) => {}
            // its archive breaks off here, and its load is not waited for
            Err(_elapsed) => self.stalled.notify_one(),
        }
        self.sender = None;
        false
    }
}
