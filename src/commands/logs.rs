//! `devnet logs`: what the containers of a pod wrote, merged in time order.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{LocalBoxStream, SelectAll};

use crate::commands::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::docker_exec::Output as Piece;
use crate::engine::docker_logs::LogRange;
use crate::error::{Error, Result};
use crate::pod::{Container, Pod, PodState};
use crate::render::logs::{Assembler, Line, Merge, Prefix};

/// Show the logs of a pod's containers
///
/// Without a container, those of all of them, merged in time order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet logs web
  devnet logs web app --tail 20
  devnet logs web -f --since 5m
  devnet logs web -c app --previous")]
pub(crate) struct Args {
    /// Go on as lines come, across restarts of the containers
    #[arg(short, long)]
    follow: bool,
    /// The attempt before the present one
    #[arg(long)]
    previous: bool,
    /// From this time on: RFC 3339, or an age as 90s, 5m, 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The last lines of each container
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Show each line's time
    #[arg(long)]
    timestamps: bool,
    /// From the present start of each container on
    #[arg(long)]
    since_restart: bool,
    /// Pass control characters on to the terminal as they are
    #[arg(long)]
    raw: bool,
    /// text, or json: one object a line
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Format,
    /// The pod's namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// The container
    #[arg(
        short = 'c',
        long = "container",
        value_name = "NAME",
        conflicts_with = "positional"
    )]
    container: Option<String>,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD")]
    pod: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    positional: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Text,
}

/// How long a live line waits for an older one of another container.
const HOLD_BACK: Duration = Duration::from_millis(200);
/// How often a follower looks for the successor of a container that ended.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// One container whose log is read.
struct Source {
    id: String,
    name: String,
    assembler: Assembler,
    range: LogRange,
    started_at: Option<String>,
}

/// What comes of a source.
enum News {
    Piece(Result<Piece>),
    /// Its log has ended.
    End,
    /// The container that took its place; `None` when none will.
    Successor(Option<Box<(Engine, Container)>>),
}

type Arrival = (usize, News);

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (engine, pod) = one_pod::find(context, &args.pod, args.namespace.as_deref()).await?;
    let wanted = args.container.as_deref().or(args.positional.as_deref());
    let now = jiff::Timestamp::now();
    let range = LogRange {
        follow: args.follow && !args.previous,
        since: args
            .since
            .as_deref()
            .map(|text| point_in_time(text, now))
            .transpose()?,
        until: args
            .until
            .as_deref()
            .map(|text| point_in_time(text, now))
            .transpose()?,
        tail: args.tail,
    };
    let containers = chosen(&pod, wanted, args.previous)?;
    let sources = containers
        .into_iter()
        .map(|container| Source {
            id: container.id.clone(),
            name: container.name.clone(),
            assembler: Assembler::default(),
            started_at: container.started_at.clone(),
            range: if args.since_restart {
                let start = container
                    .started_at
                    .as_deref()
                    .and_then(|time| time.parse::<jiff::Timestamp>().ok());
                LogRange {
                    since: start.map(jiff::Timestamp::as_second).or(range.since),
                    ..range.clone()
                }
            } else {
                range.clone()
            },
        })
        .collect();
    Reader {
        context,
        args: &args,
        engine,
        pod,
        sources,
        merge: Merge::default(),
    }
    .read()
    .await
}

/// The containers that were asked for, in the pod's order.
fn chosen<'a>(pod: &'a Pod, wanted: Option<&str>, previous: bool) -> Result<Vec<&'a Container>> {
    let present: Vec<&Container> = match wanted {
        None => pod.containers.iter().collect(),
        Some(wanted) => one_pod::named(&pod.containers, wanted)
            .into_iter()
            .collect(),
    };
    if present.is_empty() {
        let names: Vec<_> = pod
            .containers
            .iter()
            .map(|container| container.name.clone())
            .collect();
        return Err(match wanted {
            Some(wanted) => {
                Error::not_found(format!("pod `{}` has no container `{wanted}`", pod.name))
                    .hint(format!("it has: {}", names.join(", ")))
            }
            None => Error::not_found(format!("pod `{}` has no container yet", pod.name)),
        });
    }
    if !previous {
        return Ok(present);
    }
    let before: Vec<&Container> = present
        .iter()
        .filter_map(|container| {
            pod.containers_before
                .iter()
                .filter(|before| before.name == container.name)
                .max_by_key(|before| before.attempt)
        })
        .collect();
    if before.is_empty() {
        return Err(
            Error::not_found(format!("no earlier attempt in pod `{}` is kept", pod.name))
                .hint("without --previous the present one is shown"),
        );
    }
    Ok(before)
}

struct Reader<'a> {
    context: &'a Context,
    args: &'a Args,
    engine: Engine,
    pod: Pod,
    sources: Vec<Source>,
    merge: Merge,
}

impl<'a> Reader<'a> {
    async fn read(mut self) -> Result<()> {
        let mut streams: SelectAll<LocalBoxStream<'a, Arrival>> = SelectAll::new();
        for place in 0..self.sources.len() {
            streams.push(self.stream(place));
        }
        let mut failure = None;
        let mut hold_back = tokio::time::interval(HOLD_BACK);
        hold_back.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let arrival = tokio::select! {
                arrival = streams.next() => arrival,
                // a live line waits no longer for what a silent container may still bring
                _ = hold_back.tick(), if self.args.follow => {
                    let lines = self.merge.flush();
                    if self.show(lines)? {
                        continue;
                    }
                    return Ok(());
                }
            };
            let Some((place, news)) = arrival else {
                let lines = self.merge.flush();
                self.show(lines)?;
                return failure.map_or(Ok(()), Err);
            };
            match news {
                News::Piece(Ok(piece)) => {
                    let (stderr, bytes) = match &piece {
                        Piece::Stderr(bytes) => (true, bytes),
                        Piece::Stdout(bytes) => (false, bytes),
                    };
                    if let Some(line) = self.sources[place].assembler.push(stderr, bytes) {
                        self.merge.push(place, line);
                    }
                }
                News::Piece(Err(error)) => {
                    failure = Some(explain(error, &self.sources[place].name));
                }
                News::End => {
                    for line in std::mem::take(&mut self.sources[place].assembler).finish() {
                        self.merge.push(place, line);
                    }
                    self.merge.close(place);
                    if self.sources[place].range.follow && self.args.until.is_none() {
                        streams.push(self.successor(place));
                    }
                }
                News::Successor(Some(next)) => {
                    let (engine, container) = *next;
                    self.engine = engine;
                    let source = &mut self.sources[place];
                    source.id = container.id;
                    source.started_at = container.started_at;
                    source.range = LogRange {
                        follow: true,
                        ..LogRange::default()
                    };
                    failure = None;
                    streams.push(self.stream(place));
                }
                News::Successor(None) => {}
            }
            let lines = self.merge.ready();
            if !self.show(lines)? {
                return Ok(());
            }
        }
    }

    /// The log of one source.
    fn stream(&mut self, place: usize) -> LocalBoxStream<'a, Arrival> {
        self.merge.open(place);
        let source = &self.sources[place];
        let pieces = self.engine.logs(&source.id, &source.range);
        pieces
            .map(move |piece| (place, News::Piece(piece)))
            .chain(futures_util::stream::once(
                async move { (place, News::End) },
            ))
            .boxed_local()
    }

    /// Looks for the container that takes the place of one that ended.
    fn successor(&self, place: usize) -> LocalBoxStream<'a, Arrival> {
        let context = self.context;
        let pod = format!("{}/{}", self.pod.namespace, self.pod.name);
        let source = &self.sources[place];
        let ended = (
            source.name.clone(),
            source.id.clone(),
            source.started_at.clone(),
        );
        futures_util::stream::once(async move {
            (
                place,
                News::Successor(wait_for_successor(context, &pod, ended).await),
            )
        })
        .boxed_local()
    }

    /// `false` when nobody reads any more.
    fn show(&self, lines: Vec<(usize, Line)>) -> Result<bool> {
        let ui = &self.context.ui;
        let width = self
            .sources
            .iter()
            .map(|source| source.name.len())
            .max()
            .unwrap_or(0);
        let clean = ui.stdout_is_terminal() && !self.args.raw;
        let mut text = Vec::new();
        for (place, line) in lines {
            let name = &crate::ui::visible(&self.sources[place].name);
            if self.args.output == Format::Json {
                let object = serde_json::json!({
                    "pod": self.pod.name, "namespace": self.pod.namespace, "container": name,
                    "time": line.time, "stream": if line.stderr { "stderr" } else { "stdout" },
                    "text": String::from_utf8_lossy(&line.text),
                });
                text.extend_from_slice(format!("{object}\n").as_bytes());
                continue;
            }
            let prefix = if self.sources.len() > 1 {
                Prefix::named(name, width, place, ui.color_stdout())
            } else {
                Prefix::none()
            };
            text.extend_from_slice(&prefix.line(&line, self.args.timestamps, clean));
        }
        ui.stream_bytes(&text)
            .map_err(|error| Error::failed("could not write to stdout").because(error))
    }
}

/// As often as a pod may be away while it is made anew.
const AWAY: u32 = 10;

/// Looks until the pod has a newer container of that name; `None` when the pod has ended or is gone.
async fn wait_for_successor(
    context: &Context,
    pod: &str,
    (name, id, started_at): (String, String, Option<String>),
) -> Option<Box<(Engine, Container)>> {
    let mut away = 0;
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let Ok((engine, pod)) = one_pod::find(context, pod, None).await else {
            away += 1;
            if away > AWAY {
                return None;
            }
            continue;
        };
        away = 0;
        let newer = pod.containers.iter().find(|container| {
            container.name == name
                && container.started_at.is_some()
                && (container.id != id || container.started_at > started_at)
        });
        if let Some(container) = newer {
            return Some(Box::new((engine, container.clone())));
        }
        // one that ended well is not started again
        let done = pod
            .containers
            .iter()
            .any(|container| container.id == id && container.exit_code == Some(0));
        if done || matches!(pod.state, PodState::Completed | PodState::Failed) {
            return None;
        }
    }
}

/// A log driver that keeps nothing readable is a matter of configuration, not a failure to hide.
fn explain(error: Error, container: &str) -> Error {
    if error.to_string().contains("does not support reading") {
        return Error::failed(format!("the logs of container `{container}` can't be read: its log driver keeps none here"))
            .because(error)
            .hint("`docker inspect -f '{{.HostConfig.LogConfig.Type}}' ID` names the driver; json-file and local can be read");
    }
    error
}

/// A time as RFC 3339, or as an age: `90s`, `5m`, `2h`, `1d`.
fn point_in_time(text: &str, now: jiff::Timestamp) -> Result<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_second());
    }
    let mut seconds = 0_i64;
    let mut number = String::new();
    let wrong = || {
        Error::usage(format!("`{text}` is neither a time nor an age"))
            .hint("as 2026-11-24T09:00:00Z, 90s, 5m, 2h or 1h30m")
    };
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count: i64 = number.parse().map_err(|_| wrong())?;
        seconds = count
            .checked_mul(unit)
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(wrong)?;
        number.clear();
    }
    if !number.is_empty() || text.is_empty() {
        return Err(wrong());
    }
    Ok(now.as_second() - seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_understood() {
        let now: jiff::Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let at = |text| point_in_time(text, now).map(|at| now.as_second() - at);
        assert_eq!(at("1h30m").unwrap(), 5400);
        assert_eq!(at("2026-11-24T08:59:00Z").unwrap(), 60);
        for wrong in ["", "5", "m", "5x", "yesterday", "99999999999999999d"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
