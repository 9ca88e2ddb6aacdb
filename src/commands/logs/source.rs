//! One container whose log is read: its stream, where it has come to, and what comes of it.

use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use super::nanoseconds;
use super::position::Position;
use crate::engine::Engine;
use crate::engine::log_range::LogRange;
use crate::error::{Error, Result};
use crate::pod::log::{Assembler, Line, LogMessage, Merge};
use crate::pod::{Container, Pod, timestamp};

/// The first pause before a broken stream is asked for again; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Messages that are taken of one source before the next one has its turn.
const TURN: usize = 256;

pub(super) enum State {
    /// Asked for as soon as the first line may be among what it brings.
    Unasked,
    Reading(BoxStream<'static, Result<LogMessage>>),
    /// Its stream broke and is asked for again.
    Pausing(std::pin::Pin<Box<tokio::time::Sleep>>),
    /// Its stream ended or broke: there may be more of it, or something may take its place.
    Waiting,
    Done,
}

/// One container whose log is read.
pub(super) struct LogSource {
    pub(super) id: String,
    pub(super) name: String,
    /// Of its pod.
    pub(super) uid: String,
    pub(super) started_at: Option<String>,
    pub(super) range: LogRange,
    /// Nothing in its log is older; nanoseconds since 1970.
    pub(super) begins: i64,
    pub(super) assembler: Assembler,
    pub(super) position: Position,
    pub(super) state: State,
    /// True where its container had ended when its stream was asked for.
    pub(super) asked_after_its_end: bool,
    /// True where all that it wrote was read, its container having ended.
    pub(super) complete: bool,
    pub(super) failure: Option<Error>,
    pub(super) heard: Instant,
    pub(super) pause: Duration,
}

impl LogSource {
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
            uid: pod.uid.clone(),
            started_at: container.started_at.clone(),
            assembler: Assembler::default(),
            position: Position::default(),
            state: match (&container.started_at, range.follow) {
                (None, true) => State::Waiting,
                _ => State::Unasked,
            },
            range,
            asked_after_its_end: !container.state.is_up(),
            complete: container.started_at.is_none(),
            failure: None,
            heard: Instant::now(),
            pause: PAUSE,
        }
    }

    /// Its own container, if there is more to read of it: it runs, or has run again, or ended
    /// before it was read to its end.
    pub(super) fn goes_on<'p>(&self, pod: &'p Pod) -> Option<&'p Container> {
        let mut all = pod.containers.iter().chain(&pod.containers_before);
        let same = all.find(|one| one.id == self.id)?;
        let more = same.state.is_up() || same.started_at > self.started_at || !self.complete;
        (more && same.started_at.is_some()).then_some(same)
    }

    /// The container that took its place: the first that was started after it, so that none is
    /// passed over. An older attempt, which is all there is when the newest is removed, does not.
    pub(super) fn successor<'p>(&self, pod: &'p Pod) -> Option<&'p Container> {
        let later = |one: &&Container| {
            one.name == self.name
                && one.id != self.id
                && one.started_at.is_some()
                && (one.started_at > self.started_at || pod.uid != self.uid)
        };
        let all = pod.containers.iter().chain(&pod.containers_before);
        all.filter(later)
            .min_by(|a, b| a.started_at.cmp(&b.started_at))
    }

    /// Takes on the log of its container's successor, from its beginning.
    pub(super) fn succeed(&mut self, pod: &Pod, next: &Container) {
        self.position = Position::default();
        self.range.tail = None;
        self.id.clone_from(&next.id);
        self.uid.clone_from(&pod.uid);
    }

    /// Opens its stream, at its beginning or where it was left.
    pub(super) fn ask(&mut self, engine: &Engine) {
        let range = self.position.resume(&self.range);
        self.state = State::Reading(engine.runtime.logs(&self.id, &range));
        self.heard = Instant::now();
    }

    /// The same for a container that was just looked at.
    pub(super) fn ask_again(&mut self, engine: &Engine, container: &Container) {
        self.started_at.clone_from(&container.started_at);
        self.asked_after_its_end = !container.state.is_up();
        self.complete = false;
        self.failure = None;
        self.pause = PAUSE;
        self.ask(engine);
    }

    /// Takes a message and gives the line that it completes, if it is asked for.
    fn take(&mut self, message: LogMessage) -> Option<Line> {
        self.heard = Instant::now();
        self.pause = PAUSE;
        self.failure = None;
        if !self.position.is_new(message.stderr, message.time) {
            return None;
        }
        let line = self.assembler.push(message)?;
        // engines take whole seconds
        (self.range.since.is_none_or(|since| line.time >= since)
            && self.range.until.is_none_or(|until| line.time <= until))
        .then_some(line)
    }
}

/// The news of a source beside lines.
pub(super) enum News {
    Broken(Error),
    End,
    /// It is time to ask for it.
    Due,
}

/// Moves what has come into the merge, and gives what else there is to hear. Waits if there is
/// nothing at all.
pub(super) async fn next(sources: &mut [LogSource], merge: &mut Merge) -> Vec<(usize, News)> {
    std::future::poll_fn(|cx| {
        let mut news = Vec::new();
        let mut moved = false;
        for (index, source) in sources.iter_mut().enumerate() {
            for _ in 0..TURN {
                let arrived = match &mut source.state {
                    State::Reading(stream) if merge.wants(index) => stream.poll_next_unpin(cx),
                    State::Unasked if merge.wants(index) => {
                        news.push((index, News::Due));
                        break;
                    }
                    State::Pausing(sleep) => {
                        if sleep.as_mut().poll(cx).is_ready() {
                            news.push((index, News::Due));
                        }
                        break;
                    }
                    _ => break,
                };
                match arrived {
                    Poll::Ready(Some(Ok(message))) => {
                        moved = true;
                        if let Some(line) = source.take(message) {
                            merge.push(index, line);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        news.push((index, News::Broken(error)));
                        break;
                    }
                    Poll::Ready(None) => {
                        news.push((index, News::End));
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
