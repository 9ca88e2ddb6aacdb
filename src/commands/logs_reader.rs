//! Reading the logs of several containers at once: each from where it was left when its stream
//! broke, and, when following, on into whatever takes its place.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use crate::commands::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::docker_exec::Output as Piece;
use crate::engine::docker_logs::LogRange;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, Container, Lone, Pod, PodState, is_up};
use crate::render::logs::{Assembler, Line, Merge, Writer, nanoseconds, split_stamp};

/// How long a live line waits for an older one of a container that says nothing.
const HOLD_BACK: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(50);
/// How often a follower looks for the successor of a container that ended.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// How long a pod may be away while it is made anew, and an engine until it is given up.
const AWAY: Duration = Duration::from_secs(10);
/// The first pause before a broken stream is asked for again; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Messages that are taken of one source before the next one has its turn.
const TURN: usize = 256;

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Show {
    pub(crate) json: bool,
    pub(crate) timestamps: bool,
    pub(crate) raw: bool,
}

/// Where a source has come to in its log: the last message, by its time and stream, and how many
/// of that time there were. (Pieces of one line have one time.)
#[derive(Debug, Default)]
struct Position {
    /// Of stdout and stderr.
    last: [(Bytes, usize); 2],
    stderr: bool,
    /// How many messages of the last one's time are still to be passed over, after a break.
    passing: Option<usize>,
}

/// Messages stand in a log out of order by less than this (nanoseconds): beyond it, one that was
/// looked for is gone (the log was rotated).
const BEYOND: i64 = 2_000_000_000;

impl Position {
    /// Whether a message is new.
    fn is_new(&mut self, stderr: bool, stamp: &Bytes) -> bool {
        if let Some(left) = &mut self.passing {
            let target = &self.last[usize::from(self.stderr)].0;
            if stderr == self.stderr && stamp == target {
                *left -= 1;
                if *left == 0 {
                    self.passing = None;
                }
                return false;
            }
            if nanoseconds(stamp) <= nanoseconds(target) + BEYOND {
                return false;
            }
            self.passing = None;
        }
        let last = &mut self.last[usize::from(stderr)];
        if last.0 == *stamp {
            last.1 += 1;
        } else {
            *last = (stamp.clone(), 1);
        }
        self.stderr = stderr;
        true
    }

    /// The range in which the log goes on from here.
    fn resume(&mut self, range: &LogRange) -> LogRange {
        let (stamp, count) = &self.last[usize::from(self.stderr)];
        if *count == 0 {
            return range.clone();
        }
        self.passing = Some(*count);
        LogRange {
            since: Some(nanoseconds(stamp)),
            tail: None,
            ..range.clone()
        }
    }
}

enum State {
    Reading(BoxStream<'static, Result<Piece>>),
    /// Its stream broke and is asked for again.
    Pausing(std::pin::Pin<Box<tokio::time::Sleep>>),
    /// It has ended, and something may take its place.
    Waiting,
    Done,
}

/// One container whose log is read.
pub(crate) struct Source {
    id: String,
    name: String,
    kind: String,
    started_at: Option<String>,
    range: LogRange,
    assembler: Assembler,
    position: Position,
    state: State,
    failure: Option<Error>,
    heard: Instant,
    pause: Duration,
}

impl Source {
    pub(crate) fn new(container: &Container, range: LogRange) -> Self {
        Self {
            id: container.id.clone(),
            name: container.name.clone(),
            kind: container.kind.clone(),
            started_at: container.started_at.clone(),
            range,
            assembler: Assembler::default(),
            position: Position::default(),
            state: State::Done,
            failure: None,
            heard: Instant::now(),
            pause: PAUSE,
        }
    }

    fn ask(&mut self, engine: &Engine) {
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
enum News {
    Broken(Error),
    End,
    Again,
}

/// Reads until all is read, or for ever.
pub(crate) struct Reader<'a> {
    context: &'a Context,
    engine: Engine,
    pod: Pod,
    show: Show,
    sources: Vec<Source>,
    merge: Merge,
    writer: Writer,
    /// Since when the pod, or its engine, has been away.
    away: Option<Instant>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        context: &'a Context,
        engine: Engine,
        pod: Pod,
        show: Show,
        sources: Vec<Source>,
    ) -> Self {
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let ui = &context.ui;
        let clean = ui.stdout_is_terminal() && !show.raw;
        Self {
            merge: Merge::new(sources.len()),
            writer: Writer::new(&names, ui.color_stdout(), show.timestamps, clean),
            context,
            engine,
            pod,
            show,
            sources,
            away: None,
        }
    }

    pub(crate) async fn read(mut self) -> Result<()> {
        let follow = self.sources.iter().any(|source| source.range.follow);
        for place in 0..self.sources.len() {
            self.sources[place].ask(&self.engine);
            self.merge.open(place);
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let waiting = self
                .sources
                .iter()
                .any(|source| matches!(source.state, State::Waiting));
            let mut looks = false;
            let news = tokio::select! {
                news = next(&mut self.sources, &mut self.merge) => news,
                _ = tick.tick(), if follow => Vec::new(),
                _ = look.tick(), if waiting => {
                    looks = true;
                    Vec::new()
                }
            };
            for (place, news) in news {
                self.hear(place, news).await;
            }
            if looks {
                self.look_for_successors().await;
            }
            if follow {
                self.quiet_sources();
            }
            if !self.write()? {
                return Ok(());
            }
            if self
                .sources
                .iter()
                .all(|source| matches!(source.state, State::Done))
            {
                break;
            }
        }
        let failed = self.sources.into_iter().find_map(|source| source.failure);
        failed.map_or(Ok(()), |error| {
            Err(match error.kind() {
                Kind::Unreachable => error.with_kind(Kind::Failed),
                _ => error,
            })
        })
    }

    /// Those that are read and say nothing hold nobody back.
    fn quiet_sources(&mut self) {
        let alone = self.sources.len() == 1;
        for (place, source) in self.sources.iter().enumerate() {
            let quiet = source.heard.elapsed() >= HOLD_BACK && self.merge.wants(place);
            if matches!(source.state, State::Reading(_)) && (quiet || alone) {
                self.merge.silence(place);
            }
        }
    }

    async fn hear(&mut self, place: usize, news: News) {
        let source = &mut self.sources[place];
        match news {
            News::Again => source.ask(&self.engine),
            News::End => self.end(place),
            News::Broken(error) => match error.kind() {
                Kind::Unreachable => {
                    let pause = source.pause;
                    if pause > LONGEST_PAUSE {
                        source.failure = Some(error);
                        self.end(place);
                        self.sources[place].state = State::Done;
                        return;
                    }
                    source.failure = Some(error);
                    source.pause = pause * 2;
                    source.state = State::Pausing(Box::pin(tokio::time::sleep(pause)));
                }
                // removed, or on its way there, and maybe replaced
                _ if source.range.follow && is_gone(&error) => self.end(place),
                _ => {
                    let id = source.id.clone();
                    let driver = self.engine.container(&id).await.ok().flatten();
                    let driver = driver.and_then(|facts| facts.log_driver);
                    let source = &mut self.sources[place];
                    source.failure = Some(explain(error, &source.name, driver.as_deref()));
                    self.end(place);
                    self.sources[place].state = State::Done;
                }
            },
        }
    }

    /// A source has brought all it has.
    fn end(&mut self, place: usize) {
        let source = &mut self.sources[place];
        for line in source.assembler.finish() {
            self.merge.push(place, line);
        }
        self.merge.close(place);
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let over = source.range.until.is_some_and(|until| until <= now);
        source.state = if source.range.follow && !over {
            State::Waiting
        } else {
            State::Done
        };
    }

    /// Looks for the containers that take the place of those that ended.
    async fn look_for_successors(&mut self) {
        let wanted = format!("{}/{}", self.pod.namespace, self.pod.name);
        let found = match here(&self.engine, &self.pod).await {
            Some(pod) => Ok((self.engine.clone(), pod)),
            // another node may have it now
            None => one_pod::find(self.context, &wanted, None).await,
        };
        let (engine, pod) = match found {
            Ok(found) => found,
            Err(error) => {
                let since = *self.away.get_or_insert_with(Instant::now);
                if since.elapsed() < AWAY {
                    return;
                }
                let gone = error.kind() == Kind::NotFound;
                let mut error = Some(error);
                for source in self.waiting() {
                    source.state = State::Done;
                    if !gone {
                        // the first of them tells it
                        source.failure = source.failure.take().or_else(|| error.take());
                    }
                }
                return;
            }
        };
        self.away = None;
        self.engine = engine;
        for place in 0..self.sources.len() {
            if matches!(self.sources[place].state, State::Waiting) {
                self.succeed(place, &pod);
            }
        }
        let over = matches!(pod.state, PodState::Completed | PodState::Failed);
        let nobody_reads = !self
            .sources
            .iter()
            .any(|source| matches!(source.state, State::Reading(_) | State::Pausing(_)));
        if over && nobody_reads {
            for source in self.waiting() {
                source.state = State::Done;
            }
        }
    }

    fn waiting(&mut self) -> impl Iterator<Item = &mut Source> {
        self.sources
            .iter_mut()
            .filter(|source| matches!(source.state, State::Waiting))
    }

    /// Goes on with what took the place of a container, if something has.
    fn succeed(&mut self, place: usize, pod: &Pod) {
        let source = &mut self.sources[place];
        let of_name = |one: &&Container| one.name == source.name;
        let newer = pod.containers.iter().filter(of_name).find(|one| {
            one.started_at.is_some()
                && (one.id != source.id || one.started_at > source.started_at || is_up(&one.state))
        });
        let Some(next) = newer else {
            let same = pod.containers.iter().find(|one| one.id == source.id);
            // one that ended well before the others began is not started again
            if source.kind == "init?" && same.is_some_and(|one| one.exit_code == Some(0)) {
                source.state = State::Done;
            }
            return;
        };
        if next.id != source.id {
            // a log of its own, from its beginning
            source.position = Position::default();
            source.range.tail = None;
            source.id.clone_from(&next.id);
        }
        source.started_at.clone_from(&next.started_at);
        source.failure = None;
        source.ask(&self.engine);
        self.merge.open(place);
    }

    /// Writes what is ready; `false` when nobody reads any more.
    fn write(&mut self) -> Result<bool> {
        let mut text = Vec::new();
        let (writer, pod, sources) = (&mut self.writer, &self.pod, &self.sources);
        let json = self.show.json;
        self.merge.ready(|place, line| {
            if json {
                write_json(&mut text, pod, &sources[place].name, line);
            } else {
                writer.write(&mut text, place, line);
            }
        });
        if text.is_empty() {
            return Ok(true);
        }
        self.context.ui.stream_bytes(&text).map_err(Error::stdout)
    }
}

/// The pod as its engine has it now.
async fn here(engine: &Engine, pod: &Pod) -> Option<Pod> {
    let facts = engine.containers().await.ok()?;
    let mut pods = pod::pods(&pod.node, &facts, Lone::Leave);
    let same = |one: &Pod| one.namespace == pod.namespace && one.name == pod.name;
    let place = pods
        .iter()
        .position(|one| one.uid == pod.uid && same(one) && one.state != PodState::Completed)
        .or_else(|| pods.iter().rposition(same))?;
    Some(pods.swap_remove(place))
}

/// Moves what has come into the merge, and gives what else there is to hear. Waits if there is
/// nothing at all.
async fn next(sources: &mut [Source], merge: &mut Merge) -> Vec<(usize, News)> {
    std::future::poll_fn(|cx| {
        let mut news = Vec::new();
        let mut moved = false;
        for (place, source) in sources.iter_mut().enumerate() {
            for _ in 0..TURN {
                let arrived = match &mut source.state {
                    State::Reading(stream) if merge.wants(place) => stream.poll_next_unpin(cx),
                    State::Pausing(sleep) => {
                        if sleep.as_mut().poll(cx).is_ready() {
                            news.push((place, News::Again));
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

#[derive(serde::Serialize)]
struct Object<'a> {
    pod: &'a str,
    namespace: &'a str,
    container: &'a str,
    time: &'a str,
    stream: &'a str,
    text: &'a str,
    /// The line goes on in the next object of this container and stream.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

fn write_json(out: &mut Vec<u8>, pod: &Pod, container: &str, line: &Line) {
    let object = Object {
        pod: &pod.name,
        namespace: &pod.namespace,
        container,
        time: &String::from_utf8_lossy(&line.stamp),
        stream: if line.stderr { "stderr" } else { "stdout" },
        text: &String::from_utf8_lossy(&line.text),
        partial: !line.end,
    };
    // text and a flag can always be written
    let _infallible = serde_json::to_writer(&mut *out, &object);
    out.push(b'\n');
}

fn is_gone(error: &Error) -> bool {
    error.kind() == Kind::NotFound || error.to_string().contains("marked for removal")
}

/// A log driver that keeps nothing readable is a matter of configuration, not a failure to hide.
fn explain(error: Error, container: &str, driver: Option<&str>) -> Error {
    if error.to_string().contains("does not support reading") {
        let driver = driver.map_or(String::new(), |driver| format!(" `{driver}`"));
        return Error::failed(format!(
            "the logs of container `{container}` can't be read: its log driver{driver} keeps none here"
        ))
        .because(error)
        .hint("json-file, local and journald can be read");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_break_a_log_goes_on_behind_the_last_message() {
        let messages = |count: usize| -> Vec<(bool, Bytes)> {
            // two pieces of one line have one time, and stderr gets between them
            let all = ["1", "2", "2", "2", "3", "4"];
            all.iter()
                .enumerate()
                .map(|(place, second)| {
                    let stamp = format!("2026-11-24T09:00:0{second}.000000001Z");
                    (place == 2, Bytes::from(stamp))
                })
                .take(count)
                .collect()
        };
        for broken_after in 1..=6 {
            let mut position = Position::default();
            let mut new = 0;
            for (stderr, stamp) in messages(broken_after) {
                new += usize::from(position.is_new(stderr, &stamp));
            }
            let range = position.resume(&LogRange {
                tail: Some(5),
                ..LogRange::default()
            });
            assert_eq!(range.tail, None);
            for (stderr, stamp) in messages(6) {
                if range
                    .since
                    .is_some_and(|since| nanoseconds(&stamp) >= since)
                {
                    new += usize::from(position.is_new(stderr, &stamp));
                }
            }
            assert_eq!(new, 6, "broken after {broken_after}");
        }
    }

    #[test]
    fn a_log_that_was_rotated_meanwhile_goes_on_where_it_can() {
        let mut position = Position::default();
        let at = |second: u32| Bytes::from(format!("2026-11-24T09:00:{second:02}.000000001Z"));
        assert!(position.is_new(false, &at(1)));
        position.resume(&LogRange::default());
        assert!(position.is_new(false, &at(9)));
        assert!(position.is_new(false, &at(10)));
    }
}
