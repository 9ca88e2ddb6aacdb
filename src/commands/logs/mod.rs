//! `devnet logs`: what the containers of a pod wrote, merged in time order.

mod position;
mod reader;
mod source;

use self::reader::{Reader, Show};
use self::source::Source;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::{Context, one_pod};
use crate::engine::docker::logs::LogRange;
use crate::error::{Error, Result};
use crate::pod::{self, Container, Pod, timestamp};

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
    let present = chosen(&pod, wanted)?;
    let sources = if args.previous {
        ended(&pod, &present, &range)?
    } else {
        let one = |container: &&Container| {
            let start = args
                .since_restart
                .then(|| timestamp(container.started_at.as_deref()))
                .flatten();
            let since = start
                .map(|start| nanoseconds(start) - START_LAG)
                .max(range.since);
            let range = LogRange {
                since,
                ..range.clone()
            };
            Source::new(&pod, container, range)
        };
        present.iter().map(one).collect()
    };
    let show = Show {
        json: args.output == Format::Json,
        timestamps: args.timestamps,
        raw: args.raw,
    };
    Reader::new(context, engine, pod, show, sources)
        .read()
        .await
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
                    .hint(format!("it has: {}", names.join(", ")))
            }
            None => Error::not_found(format!("pod `{}` has no container yet", pod.name)),
        });
    }
    Ok(present)
}

/// The last run that ended of each of these containers.
fn ended(pod: &Pod, present: &[&Container], range: &LogRange) -> Result<Vec<Source>> {
    let mut names: Vec<&str> = present.iter().map(|one| one.name.as_str()).collect();
    names.dedup();
    let sources: Vec<Source> = names
        .into_iter()
        .filter_map(|name| pod::last_ended(pod, name))
        .map(|run| {
            let from = run.from.map(|from| nanoseconds(from) - START_LAG);
            let until = run.until.map(nanoseconds);
            let range = LogRange {
                since: from.max(range.since),
                until: until.into_iter().chain(range.until).min(),
                ..range.clone()
            };
            Source::new(pod, run.container, range)
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

/// A time as RFC 3339, or as an age: `90s`, `5m`, `2h`, `1d`.
fn point_in_time(text: &str, now: jiff::Timestamp) -> Result<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(nanoseconds(time));
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
    Ok(nanoseconds(now).saturating_sub(seconds.saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_understood() {
        let now: jiff::Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let at = |text| point_in_time(text, now).map(|at| (nanoseconds(now) - at) / 1_000_000_000);
        assert_eq!(at("1h30m").unwrap(), 5400);
        assert_eq!(at("2026-11-24T08:59:00Z").unwrap(), 60);
        for wrong in ["", "5", "m", "5x", "yesterday", "99999999999999999d"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
