//! `devnet logs`: what the containers of a pod wrote, merged in time order.

mod moment;
mod position;
mod reader;
mod source;

use self::reader::{Reader, Show};
use self::source::LogSource;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::log_range::LogRange;
use crate::error::{Error, Result};
use crate::pod::{self, Container, Pod, timestamp};
use crate::wording::{MANY, listed};

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
    /// The last run that ended
    #[arg(long)]
    previous: bool,
    /// From this time on: an age as 90s, 1.5h, 1h30m; a date or a time; or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The same, as kubectl has it: RFC 3339 alone
    #[arg(long, value_name = "TIME", hide = true, conflicts_with = "since", value_parser = moment::rfc3339)]
    since_time: Option<i64>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The last lines of each container; `all`, or -1, is every line
    #[arg(long, value_name = "N", value_parser = tail, allow_hyphen_values = true)]
    tail: Option<Tail>,
    /// Show each line's time
    #[arg(short, long)]
    timestamps: bool,
    /// Name the container before each line, also where there is one only
    #[arg(long)]
    prefix: bool,
    /// Warn of a log that can't be read, and do not fail
    #[arg(long)]
    ignore_errors: bool,
    /// All containers, as without the name of one
    #[arg(long, hide = true, conflicts_with_all = ["container", "positional"])]
    all_containers: bool,
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
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        conflicts_with = "positional",
        add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers)
    )]
    container: Option<String>,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pod: String,
    /// The container
    #[arg(value_name = "CONTAINER", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers))]
    positional: Option<String>,
}

/// The number of last lines that are wanted; `None` is all.
#[derive(Clone, Copy, Debug)]
struct Tail(Option<u64>);

fn tail(text: &str) -> std::result::Result<Tail, String> {
    let all = || matches!(text.parse::<i64>(), Ok(number) if number < 0);
    if text == "all" || all() {
        return Ok(Tail(None));
    }
    let number = text.parse().map(Some).map(Tail);
    number.map_err(|_| "neither a number nor `all`".to_owned())
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let now = jiff::Zoned::now();
    let range = LogRange {
        follow: args.follow && !args.previous,
        since: args
            .since
            .as_deref()
            .map(|text| moment::parse(text, &now))
            .transpose()?
            .or(args.since_time),
        until: args
            .until
            .as_deref()
            .map(|text| moment::parse(text, &now))
            .transpose()?,
        tail: args.tail.and_then(|tail| tail.0),
    };
    let (engine, pod) = one_pod::find(
        context,
        &args.pod,
        args.namespace.as_deref(),
        one_pod::Jobs::Own,
    )
    .await?;
    let wanted = args.container.as_deref().or(args.positional.as_deref());
    let present = chosen(&pod, wanted)?;
    let sources = if args.previous {
        ended(&pod, &present, &range)?
    } else {
        tell_of_those_that_never_started(context, &engine, &present, range.follow).await?;
        let one = |container: &&Container| {
            let start = args
                .since_restart
                .then(|| timestamp(container.started_at.as_deref()))
                .flatten();
            let since = start
                .map(|start| nanoseconds(start).saturating_sub(START_LAG))
                .max(range.since);
            let range = LogRange {
                since,
                ..range.clone()
            };
            LogSource::new(&pod, container, range)
        };
        present.iter().map(one).collect()
    };
    let show = Show {
        json: args.output == Format::Json,
        timestamps: args.timestamps,
        raw: args.raw,
        prefix: args.prefix,
        ignore_errors: args.ignore_errors,
    };
    Reader::new(context, engine, pod, show, sources)
        .read()
        .await
}

/// Warns of containers that have no log, since they never ran.
///
/// # Errors
/// When there is no other, and none is waited for.
async fn tell_of_those_that_never_started(
    context: &Context,
    engine: &Engine,
    containers: &[&Container],
    follow: bool,
) -> Result<()> {
    let mut errors = Vec::new();
    for container in containers.iter().filter(|one| one.started_at.is_none()) {
        errors.push(never_started(engine, container).await);
    }
    if errors.len() == containers.len() && !follow {
        return Err(errors.swap_remove(0));
    }
    for error in errors {
        context.ui.warn(&error.in_one_line());
    }
    Ok(())
}

/// The error for a container that has no log: it was made, and never ran.
async fn never_started(engine: &Engine, container: &Container) -> Error {
    let error = Error::failed(format!("container `{}` never started", container.name));
    let facts = engine.runtime.container(&container.id).await.ok().flatten();
    match facts
        .and_then(|facts| facts.error)
        .filter(|why| !why.is_empty())
    {
        Some(why) => error.caused_by(why),
        None => error.hint("`-f` waits until it does"),
    }
}

/// An engine notes a start when the first process already runs: what that wrote at once stands
/// before. Nanoseconds; a container takes longer to end and start again.
const START_LAG: i64 = 100_000_000;

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The containers that were asked for, in the pod's order.
fn chosen<'a>(pod: &'a Pod, wanted: Option<&str>) -> Result<Vec<&'a Container>> {
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
                    .hint(format!("it has: {}", listed(&names, MANY)))
            }
            None => Error::not_found(format!("pod `{}` has no container yet", pod.name)),
        });
    }
    Ok(present)
}

/// The last run that ended of each of these containers.
fn ended(pod: &Pod, present: &[&Container], range: &LogRange) -> Result<Vec<LogSource>> {
    let mut names: Vec<&str> = present.iter().map(|one| one.name.as_str()).collect();
    names.dedup();
    let sources: Vec<LogSource> = names
        .into_iter()
        .filter_map(|name| pod::last_ended(pod, name))
        .map(|run| {
            let from = run
                .from
                .map(|from| nanoseconds(from).saturating_sub(START_LAG));
            let until = run.until.map(nanoseconds);
            let range = LogRange {
                since: from.max(range.since),
                until: until.into_iter().chain(range.until).min(),
                ..range.clone()
            };
            LogSource::new(pod, run.container, range)
        })
        .collect();
    if sources.is_empty() {
        return Err(
            Error::not_found(format!("no run in pod `{}` has ended yet", pod.name))
                .hint("without --previous the present one is shown"),
        );
    }
    Ok(sources)
}
