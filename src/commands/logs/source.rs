//! One container whose log is read: its stream, where it has come to, and what comes of it.

use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use super::nanoseconds;
use super::position::Position;
use crate::engine::Engine;
use crate::engine::docker::exec::Output as Piece;
use crate::engine::docker::logs::LogRange;
use crate::error::{Error, Result};
use crate::pod::{Container, Pod, is_up, timestamp};
use crate::render::logs::{Assembler, Line, Merge, split_stamp};

/// The first pause before a broken stream is asked for again; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Messages that are taken of one source before the next one has its turn.
const TURN: usize = 256;

pub(super) enum State {
    /// Asked for as soon as the first line may be among what it brings.
    Unasked,
    Reading(BoxStream<'static, Result<Piece>>),
    /// Its stream broke and is asked for again.
    Pausing(std::pin::Pin<Box<tokio::time::Sleep>>),
    /// It has ended, and something may take its place.
    Waiting,
    Done,
}

/// One container whose log is read.
pub(super) struct Source {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// Of its pod.
    pub(super) uid: String,
    pub(super) attempt: Option<u32>,
    pub(super) started_at: Option<String>,
    pub(super) range: LogRange,
    /// Nothing in its log is older; nanoseconds since 1970.
    pub(super) begins: i64,
    pub(super) assembler: Assembler,
    pub(super) position: Position,
    pub(super) state: State,
    pub(super) failure: Option<Error>,
    pub(super) heard: Instant,
    pub(super) pause: Duration,
}

impl Source {
    pub(super) fn new(pod: &Pod, container: &Container, range: LogRange) -> Self {
        let created = timestamp(container.created_at.as_deref()).map_or(0, nanoseconds);
        let begins = match range.tail {
            None => range.since.map_or(created, |since| since.max(created)),
            // of the last lines any may be the first: they are asked for at once
            Some(_) => 0,
        };
        Self {
            begins,
            id: container.id.clone(),
            name: container.name.clone(),
            kind: container.kind.clone(),
            uid: pod.uid.clone(),
            attempt: container.attempt,
            started_at: container.started_at.clone(),
            assembler: Assembler::default(),
            position: Position::default(),
            state: match (&container.started_at, range.follow) {
                (None, true) => State::Waiting,
                _ => State::Unasked,
            },
            range,
            failure: None,
            heard: Instant::now(),
            pause: PAUSE,
        }
    }

    /// Whether a container of its name takes its place: an older attempt, which is all there is when
    /// the newest is removed, does not.
    pub(super) fn is_followed_by(&self, pod: &Pod, one: &Container) -> bool {
        let later = one.started_at > self.started_at;
        one.name == self.name
            && one.started_at.is_some()
            && if one.id == self.id {
                later || is_up(&one.state)
            } else {
                later || one.attempt > self.attempt || pod.uid != self.uid
            }
    }

    /// Opens its stream, at its beginning or where it was left.
    pub(super) fn ask(&mut self, engine: &Engine) {
        let range = self.position.resume(&self.range);
        self.state = State::Reading(engine.logs(&self.id, &range));
        self.heard = Instant::now();
    }

    /// Takes a message and gives the line that it completes, if it is asked for.
    fn take(&mut self, piece: &Piece) -> Option<Line> {
        let (stderr, message) = match piece {
            Piece::Stderr(bytes) => (true, bytes),
            Piece::Stdout(bytes) => (false, bytes),
        };
        self.heard = Instant::now();
        self.pause = PAUSE;
        self.failure = None;
        let (stamp, _) = split_stamp(message);
        if !self.position.is_new(stderr, &stamp) {
            return None;
        }
        let line = self.assembler.push(stderr, message)?;
        // engines take whole seconds
        (self.range.since.is_none_or(|since| line.time >= since)
            && self.range.until.is_none_or(|until| line.time <= until))
        .then_some(line)
    }
}

/// What comes of a source beside lines.
pub(super) enum News {
    Broken(Error),
    End,
    /// It is time to ask for it.
    Due,
}

/// Moves what has come into the merge, and gives what else there is to hear. Waits if there is
/// nothing at all.
pub(super) async fn next(sources: &mut [Source], merge: &mut Merge) -> Vec<(usize, News)> {
    std::future::poll_fn(|cx| {
        let mut news = Vec::new();
        let mut moved = false;
        for (place, source) in sources.iter_mut().enumerate() {
            for _ in 0..TURN {
                let arrived = match &mut source.state {
                    State::Reading(stream) if merge.wants(place) => stream.poll_next_unpin(cx),
                    State::Unasked if merge.wants(place) => {
                        news.push((place, News::Due));
                        break;
                    }
                    State::Pausing(sleep) => {
                        if sleep.as_mut().poll(cx).is_ready() {
                            news.push((place, News::Due));
                        }
                        break;
                    }
                    _ => break,
                };
                match arrived {
                    Poll::Ready(Some(Ok(piece))) => {
                        moved = true;
                        if let Some(line) = source.take(&piece) {
                            merge.push(place, line);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        news.push((place, News::Broken(error)));
                        break;
                    }
                    Poll::Ready(None) => {
                        news.push((place, News::End));
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        if moved || !news.is_empty() {
            Poll::Ready(news)
        } else {
            Poll::Pending
        }
    })
    .await
}
