//! Reading the logs of several containers at once: each from where it was left when its stream
//! broke, and, when following, on into whatever takes its place.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::source::{LONGEST_PAUSE, LogSource, News, State, next};
use crate::commands::invocation::Context;
use crate::commands::invocation::one_pod::{self, Here, Now};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::log::Merge;
use crate::pod::{self, LogStore, Outlook, Pod};
use crate::render::logs::{LineStyle, Writer};
use crate::render::logs_json;

/// The time that a live line waits for an older one of a container that says nothing.
const HOLD_BACK: Duration = Duration::from_millis(200);
/// The time in which only those are read that may have the first line, so that the engine has
/// nothing else to do.
const FIRST_LINE_TIMEOUT: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(50);
/// The time after which a follower looks for the successor of a container that ended, at first and
/// later.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
const LOOK_LATER: Duration = Duration::from_secs(2);
/// The time that a pod may be away, or seem to be over, while it is made anew.
const AWAY: Duration = Duration::from_secs(10);
/// The time after which a silent engine is asked if it is still there, and that it has to answer.
const STILL_THERE: Duration = Duration::from_secs(15);

/// The way lines are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) json: bool,
    pub(super) timestamps: bool,
    pub(super) raw: bool,
    /// Names the container also where there is one only.
    pub(super) prefix: bool,
    pub(super) ignore_errors: bool,
}

/// Reads until all is read, or for ever.
pub(super) struct Reader<'a> {
    context: &'a Context,
    engine: Engine,
    pod: Pod,
    show: Show,
    sources: Vec<LogSource>,
    merge: Merge,
    writer: Writer,
    /// Since when the pod has been gone, or over.
    over: Option<Instant>,
    /// Since when the engine has been lost.
    lost: Option<Instant>,
    /// The time of the last change that makes a look worth while, and below it that of the last
    /// look.
    changed: Instant,
    looked: Option<Instant>,
    /// The time at which the engine was last known to be there.
    there: Instant,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        context: &'a Context,
        engine: Engine,
        pod: Pod,
        show: Show,
        sources: Vec<LogSource>,
    ) -> Self {
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let ui = &context.ui;
        let style = LineStyle {
            prefix: show.prefix || names.len() > 1,
            color: ui.color_stdout(),
            timestamps: show.timestamps,
            clean: ui.stdout_is_terminal() && !show.raw,
        };
        Self {
            merge: Merge::new(sources.len()),
            writer: Writer::new(&names, style),
            context,
            engine,
            pod,
            show,
            sources,
            over: None,
            lost: None,
            changed: Instant::now(),
            looked: None,
            there: Instant::now(),
        }
    }

    pub(super) async fn read(mut self) -> Result<()> {
        let follow = self.sources.iter().any(|source| source.range.follow);
        for (index, source) in self.sources.iter().enumerate() {
            if !matches!(source.state, State::Waiting) {
                self.merge.open(index, source.begins);
            }
        }
        let mut patience = pin!(tokio::time::sleep(FIRST_LINE_TIMEOUT));
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
                () = still_there(self.there), if follow => {
                    self.is_still_there().await;
                    Vec::new()
                }
                () = &mut patience, if self.merge.is_patient() => {
                    self.merge.hurry();
                    Vec::new()
                }
                _ = tick.tick(), if follow => Vec::new(),
                _ = look.tick(), if waiting => {
                    looks = true;
                    Vec::new()
                }
            };
            for (index, news) in news {
                self.hear(index, news).await;
            }
            if looks && self.is_time_to_look() {
                self.look().await;
                self.looked = Some(Instant::now());
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
        let mut failed: Vec<Error> = Vec::new();
        failed.extend(self.sources.into_iter().filter_map(|one| one.failure));
        if self.show.ignore_errors {
            for error in failed.drain(..) {
                self.context.ui.warn(&error.in_one_line());
            }
        }
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// Those that are read and say nothing hold nobody back.
    fn quiet_sources(&mut self) {
        let alone = self.sources.len() == 1;
        for (index, source) in self.sources.iter().enumerate() {
            let quiet = source.heard.elapsed() >= HOLD_BACK && self.merge.wants(index);
            if matches!(source.state, State::Reading(_)) && (quiet || alone) {
                self.merge.silence(index);
            }
        }
    }

    async fn hear(&mut self, index: usize, news: News) {
        let source = &mut self.sources[index];
        self.changed = Instant::now();
        let error = match news {
            News::Due => return source.ask(&self.engine),
            News::End => {
                source.complete = source.asked_after_its_end;
                return self.end(index);
            }
            News::Broken(error) => error,
        };
        let follow = source.range.follow;
        if error.kind() == Kind::Lost && source.pause <= LONGEST_PAUSE {
            let pause = source.pause;
            source.failure = Some(error);
            source.pause = pause * 2;
            source.state = State::Pausing(Box::pin(tokio::time::sleep(pause)));
        } else if follow && is_gone(&error) {
            // removed, or on its way there, and maybe replaced
            source.complete = true;
            self.end(index);
        } else if follow && !is_unreadable(&error) {
            if error.kind() == Kind::Lost {
                self.lose(&error);
            } else {
                // as from an engine that is on its way down, or up
                self.context.ui.note(&error.in_one_line());
            }
            self.end(index);
        } else {
            let id = source.id.clone();
            let driver = match error.kind() {
                Kind::Lost => None,
                _ => self.engine.runtime.container(&id).await.ok().flatten(),
            };
            let driver = driver.and_then(|facts| facts.log);
            let driver = driver.and_then(|store| match store {
                LogStore::Driver(name) => Some(name),
                LogStore::Files(_) => None,
            });
            let source = &mut self.sources[index];
            source.failure = Some(explain(error, &source.name, driver.as_deref()));
            self.finish(index);
        }
    }

    /// A stream has ended; what it brought last may go on in the next one.
    fn end(&mut self, index: usize) {
        let source = &mut self.sources[index];
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let over = source.range.until.is_some_and(|until| until <= now);
        if source.range.follow && !over {
            source.state = State::Waiting;
            self.merge.close(index);
        } else {
            self.finish(index);
        }
    }

    /// A source that brings no more.
    fn finish(&mut self, index: usize) {
        self.flush(index);
        self.merge.close(index);
        self.sources[index].state = State::Done;
    }

    /// Takes the end of a log without a newline as a line too.
    fn flush(&mut self, index: usize) {
        for line in self.sources[index].assembler.finish() {
            self.merge.push(index, line);
        }
    }

    fn is_time_to_look(&self) -> bool {
        let every = if self.lost.is_some() || self.changed.elapsed() > AWAY {
            LOOK_LATER
        } else {
            LOOK_AGAIN
        };
        self.looked.is_none_or(|looked| looked.elapsed() >= every)
    }

    /// Looks at the pod as it is now: what is there of those that ended, what took their place, and
    /// whether anything still can.
    async fn look(&mut self) {
        let now = one_pod::again(self.context, &self.engine, &self.pod).await;
        let Here { engine, pod, facts } = match now {
            Now::Here(here) => *here,
            Now::Nowhere => {
                self.find();
                return self.is_over("is gone");
            }
            Now::Lost(error) => return self.lose(&error),
        };
        self.find();
        self.engine = engine;
        for index in 0..self.sources.len() {
            if matches!(self.sources[index].state, State::Waiting) {
                self.go_on(index, &pod);
            }
        }
        let mut outlook = pod::outlook(&pod, &facts, None);
        if outlook == Outlook::Unknown {
            let now = self.engine.runtime.clock().await;
            outlook = pod::outlook(&pod, &facts, now);
        }
        self.pod = pod;
        let reads = |one: &LogSource| matches!(one.state, State::Reading(_) | State::Pausing(_));
        if self.sources.iter().any(reads) {
            self.over = None;
            return;
        }
        match outlook {
            Outlook::Alive => self.over = None,
            Outlook::Unknown => {
                self.over = None;
                self.context.ui.note(&format!(
                    "pod `{}/{}` has ended: waiting until it is started again (Ctrl-C ends this)",
                    self.pod.namespace, self.pod.name
                ));
            }
            Outlook::Over(why) => self.is_over(&format!("has ended: {why}")),
            Outlook::Gone => self.is_over("is gone"),
        }
    }

    /// Goes on with a source that ended: with the rest of its log, or with what took its place.
    fn go_on(&mut self, index: usize, pod: &Pod) {
        let source = &mut self.sources[index];
        if let Some(same) = source.goes_on(pod) {
            source.ask_again(&self.engine, same);
        } else if let Some(next) = source.successor(pod) {
            source.succeed(pod, next);
            source.ask_again(&self.engine, next);
            self.flush(index);
        } else {
            return self.flush(index);
        }
        self.merge.open(index, 0);
    }

    /// The pod is over: it ends here, once it has been so for a while.
    fn is_over(&mut self, how: &str) {
        let since = *self.over.get_or_insert_with(Instant::now);
        if since.elapsed() < AWAY {
            self.changed = Instant::now();
            return;
        }
        let Pod {
            namespace, name, ..
        } = &self.pod;
        let said = format!("pod `{namespace}/{name}` {how}");
        let mut ended = false;
        for index in 0..self.sources.len() {
            if matches!(self.sources[index].state, State::Waiting) {
                self.sources[index].failure = None;
                self.finish(index);
                ended = true;
            }
        }
        if ended {
            self.context.ui.say(&said);
        }
    }

    /// The engine does not answer: it is waited for.
    fn lose(&mut self, error: &Error) {
        if self.lost.is_none() {
            self.context.ui.say(&format!(
                "node `{}` is lost, looking for it again: {}",
                self.pod.node,
                error.in_one_line()
            ));
        }
        self.lost.get_or_insert_with(Instant::now);
        self.over = None;
    }

    /// The engine answers.
    fn find(&mut self) {
        if self.lost.take().is_some() {
            self.context
                .ui
                .say(&format!("node `{}` is there again", self.pod.node));
            self.changed = Instant::now();
        }
        self.there = Instant::now();
    }

    /// Asks an engine from which nothing has come for a while: a connection may be dead without
    /// anyone having said so.
    async fn is_still_there(&mut self) {
        self.there = Instant::now();
        let heard = |one: &LogSource| one.heard.elapsed() < STILL_THERE;
        let reads = |one: &LogSource| matches!(one.state, State::Reading(_));
        if !self.sources.iter().any(reads) || self.sources.iter().any(heard) {
            return;
        }
        let why = match tokio::time::timeout(STILL_THERE, self.engine.runtime.round_trip()).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error,
            Err(_elapsed) => Error::failed("it does not answer"),
        };
        self.lose(&why);
        for index in 0..self.sources.len() {
            if reads(&self.sources[index]) {
                self.end(index);
            }
        }
    }

    /// Writes what is ready; `false` when nobody reads any more.
    fn write(&mut self) -> Result<bool> {
        let mut text = Vec::new();
        let (writer, pod, sources) = (&mut self.writer, &self.pod, &self.sources);
        let json = self.show.json;
        self.merge.ready(|index, line| {
            if json {
                logs_json::write(&mut text, pod, &sources[index].name, line);
            } else {
                writer.write(&mut text, index, line);
            }
        });
        if text.is_empty() {
            return Ok(true);
        }
        self.context.ui.stream_bytes(&text).map_err(Error::stdout)
    }
}

/// Until an engine that was there at this time is asked again.
async fn still_there(since: Instant) {
    tokio::time::sleep_until(since + STILL_THERE).await;
}

fn is_gone(error: &Error) -> bool {
    error.kind() == Kind::NotFound || error.to_string().contains("marked for removal")
}

fn is_unreadable(error: &Error) -> bool {
    error.to_string().contains("does not support reading")
}

/// A log driver that keeps nothing readable is a matter of configuration, not a failure to hide.
fn explain(error: Error, container: &str, driver: Option<&str>) -> Error {
    if is_unreadable(&error) {
        let driver = driver.map_or(String::new(), |driver| format!(" `{driver}`"));
        return Error::failed(format!(
            "the logs of container `{container}` can't be read: its log driver{driver} keeps none here"
        ))
        .caused_by(error)
        .hint("json-file, local and journald can be read");
    }
    error
}
