//! Reading the logs of several containers at once: each from where it was left when its stream
//! broke, and, when following, on into whatever takes its place.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::source::{LONGEST_PAUSE, News, Source, State, next};
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, Lone, Pod, PodState};
use crate::render::logs::{Look, Merge, Writer};
use crate::render::logs_json;

/// How long a live line waits for an older one of a container that says nothing.
const HOLD_BACK: Duration = Duration::from_millis(200);
/// How long only those are read that may have the first line, so that the engine has nothing else
/// to do.
const PATIENCE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(50);
/// How often a follower looks for the successor of a container that ended.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// How long a pod may be away while it is made anew, and an engine until it is given up.
const AWAY: Duration = Duration::from_secs(10);

/// How lines are shown.
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
    sources: Vec<Source>,
    merge: Merge,
    writer: Writer,
    /// Since when the pod, or its engine, has been away.
    away: Option<Instant>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        context: &'a Context,
        engine: Engine,
        pod: Pod,
        show: Show,
        sources: Vec<Source>,
    ) -> Self {
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let ui = &context.ui;
        let look = Look {
            prefix: show.prefix || names.len() > 1,
            color: ui.color_stdout(),
            timestamps: show.timestamps,
            clean: ui.stdout_is_terminal() && !show.raw,
        };
        Self {
            merge: Merge::new(sources.len()),
            writer: Writer::new(&names, look),
            context,
            engine,
            pod,
            show,
            sources,
            away: None,
        }
    }

    pub(super) async fn read(mut self) -> Result<()> {
        let follow = self.sources.iter().any(|source| source.range.follow);
        for (place, source) in self.sources.iter().enumerate() {
            if !matches!(source.state, State::Waiting) {
                self.merge.open(place, source.begins);
            }
        }
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
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
        let mut failed: Vec<Error> = Vec::new();
        failed.extend(self.sources.into_iter().filter_map(|one| one.failure));
        if self.show.ignore_errors {
            for error in failed.drain(..) {
                self.context.ui.warn(&error.in_one_line());
            }
        }
        failed.into_iter().next().map_or(Ok(()), |error| {
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
            News::Due => source.ask(&self.engine),
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
        let mut containers = pod.containers.iter();
        let Some(next) = containers.find(|one| source.is_followed_by(pod, one)) else {
            let same = pod.containers.iter().find(|one| one.id == source.id);
            // one that ended well before the others began is not started again
            if pod::is_init(&source.kind) && same.is_some_and(|one| one.exit_code == Some(0)) {
                source.state = State::Done;
            }
            return;
        };
        if next.id != source.id {
            // a log of its own, from its beginning
            source.position = super::position::Position::default();
            source.range.tail = None;
            source.id.clone_from(&next.id);
            source.uid.clone_from(&pod.uid);
            source.attempt = next.attempt;
        }
        source.started_at.clone_from(&next.started_at);
        source.failure = None;
        source.ask(&self.engine);
        self.merge.open(place, 0);
    }

    /// Writes what is ready; `false` when nobody reads any more.
    fn write(&mut self) -> Result<bool> {
        let mut text = Vec::new();
        let (writer, pod, sources) = (&mut self.writer, &self.pod, &self.sources);
        let json = self.show.json;
        self.merge.ready(|place, line| {
            if json {
                logs_json::write(&mut text, pod, &sources[place].name, line);
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
