//! `devnet kill`: a signal to a container of a pod, or to its sandbox, and the wait for what comes
//! after it.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::command_line;
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::write;
use crate::commands::invocation::{Context, one_pod, question};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{
    self, Comeback, Container, Kept, Killed, Origin, PlainContainers, Pod, Progress, Signal,
    Standing, State,
};
use crate::render;

/// Kill a container of a pod, or its sandbox, and say what was kept when it is back
///
/// With a container its first process gets the signal: what comes after runs in the same sandbox, with
/// the same IP. Without one the pause process does: the pod comes back in a new sandbox, with another
/// IP. Asks first on a terminal; elsewhere `--yes` must say so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet kill web -c server             a container: the IP stays
  devnet kill web                       the sandbox: the IP changes
  devnet kill web -c server -s TERM --timeout 2m --yes -o json")]
pub(crate) struct Args {
    /// The container; without it, the pod's sandbox
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers)
    )]
    container: Option<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: Signal,
    /// Wait no longer than this for what comes after, as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = limit)]
    timeout: Duration,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The pod's namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    printed: Printed,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pod: String,
}

/// Nobody waits longer for a pod.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads the limit of a wait: a duration, or seconds.
fn limit(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(jiff::SignedDuration::from_secs);
    let span = seconds.or_else(|_| text.parse::<jiff::SignedDuration>());
    let limit = span.ok().and_then(|span| Duration::try_from(span).ok());
    limit
        .filter(|limit| !limit.is_zero() && *limit <= LONGEST)
        .ok_or_else(|| "no time to wait, which is at most 24h: as 90s or 2m".to_owned())
}

/// The outcome; the JSON.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    schema: u32,
    node: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    /// `None` is the sandbox.
    container: Option<&'a str>,
    signal: String,
    back: bool,
    waits_for: Option<&'a str>,
    kept: Option<Kept>,
    before: Standing,
    after: Option<&'a Standing>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (engine, found) = one_pod::find(context, &args.pod, args.namespace.as_deref()).await?;
    possible(&found, args.container.as_deref())?;
    let before = look(&engine, &found).await?.unwrap_or(found);
    let container = match args.container.as_deref() {
        Some(name) => Some(one_pod::container(context, &before, Some(name))?),
        None => None,
    };
    let id = first_process(&before, container)?;
    if !args.yes && !agreed(context, &args, &before, container).await? {
        context.ui.say("nothing was killed");
        return Ok(());
    }
    let killed = Killed {
        before: &before,
        container,
    };
    let mut last = Progress::Waits(String::new());
    // what happens from now on is heard of
    let mut changes = engine.runtime.changes(None).fuse();
    engine.runtime.signal(id, args.signal).await?;
    let wait = async {
        loop {
            last = match look(&engine, &before).await {
                Ok(now) => killed.progress(now.as_ref()),
                // what was killed may be a part of the node's own work
                Err(error) => Progress::Waits(format!("the node: {}", error.in_one_line())),
            };
            if matches!(last, Progress::Back(_) | Progress::Over(_)) {
                break;
            }
            tokio::time::sleep(GAP).await;
            tokio::select! {
                Some(Ok(_)) = changes.next() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    };
    // what is waited for at the end of the time is told
    let _in_time = tokio::time::timeout(args.timeout, wait).await;
    tell(context, &args, &killed, &last)
}

/// The time between two looks at least.
const GAP: Duration = Duration::from_millis(50);
/// The time after which is looked again where no change was heard of.
const AGAIN: Duration = Duration::from_millis(500);

/// Looks at that pod; `None` where its node has nothing of it.
async fn look(engine: &Engine, wanted: &Pod) -> Result<Option<Pod>> {
    let facts = engine.runtime.containers().await?;
    let mut pods = pod::pods(&wanted.node, &facts, PlainContainers::Hide);
    pods.retain(|pod| pod.uid == wanted.uid && pod.origin == wanted.origin);
    engine.runtime.ips_from_hosts_files(&mut pods, &facts).await;
    Ok(pods.pop())
}

/// Refuses pods that nobody would bring back.
fn possible(pod: &Pod, container: Option<&str>) -> Result<()> {
    let name = &pod.name;
    match pod.origin {
        Origin::Kubernetes => Ok(()),
        Origin::Lab => {
            let mut words = vec![name.as_str()];
            words.extend(
                container
                    .into_iter()
                    .flat_map(|container| ["-c", container]),
            );
            let lab = command_line::with("devnet lab kill", words);
            Err(Error::usage(format!("pod `{name}` is the lab's"))
                .hint(format!("`{lab}` kills there, and makes anew")))
        }
        Origin::Docker => Err(Error::new(
            Kind::Partly,
            format!("nothing restarts `{name}` once it is killed, so it was not"),
        )
        .because(
            "these are plain containers, and Docker starts none again that was killed through it",
        )
        .hint(format!(
            "`{}` ends and starts it",
            command_line::with("docker restart", [container.unwrap_or(name)])
        ))),
    }
}

/// The ID of the container, or the sandbox, whose process gets the signal.
fn first_process<'a>(pod: &'a Pod, container: Option<&'a Container>) -> Result<&'a str> {
    let (what, id, state) = match (container, &pod.sandbox) {
        (Some(one), _) => (format!("container `{}`", one.name), &one.id, one.state),
        (None, Some(one)) => (
            format!("the sandbox of pod `{}`", pod.name),
            &one.id,
            one.state,
        ),
        (None, None) => {
            return Err(
                Error::failed(format!("the sandbox of pod `{}` is gone", pod.name))
                    .hint("`-c NAME` kills one of its containers"),
            );
        }
    };
    match state {
        State::Paused => Err(Error::failed(format!("{what} is paused"))
            .hint("a frozen process is sent no signal: let it go on first")),
        state if state.is_up() => Ok(id),
        state => Err(
            Error::failed(format!("{what} is not running ({state})")).hint(format!(
                "`{}` may tell why",
                command_line::with("devnet history", [&pod.name])
            )),
        ),
    }
}

/// Asks whether it may be killed.
async fn agreed(
    context: &Context,
    args: &Args,
    pod: &Pod,
    container: Option<&Container>,
) -> Result<bool> {
    let signal = args.signal;
    let full = full_name(pod);
    let what = match container {
        Some(container) => format!("container `{}` of pod {full}", container.name),
        None => format!("the sandbox of pod {full}"),
    };
    let mut text = format!("Send {signal} to {what} on node {}?", pod.node);
    if container.is_none() && !pod.host_network {
        text.push_str("\nThe pod comes back with another IP.");
    }
    if pod.namespace == "kube-system" {
        text.push_str("\nIt is in kube-system: a part of the cluster itself.");
    }
    if let Some(doubt) = pod::doubt(pod) {
        text.push_str("\nAttention: ");
        text.push_str(doubt);
        text.push('.');
    }
    let nobody = || {
        Error::usage(format!(
            "nobody can be asked whether {what} is to be killed"
        ))
        .hint("`--yes` kills without asking")
    };
    question::agreed(context, &text, nobody).await
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// Says what became of it.
///
/// # Errors
/// Partly, where it is not back.
fn tell(context: &Context, args: &Args, killed: &Killed<'_>, last: &Progress) -> Result<()> {
    let pod = killed.before;
    let container = killed.container.map(|one| one.name.as_str());
    let comeback: Option<&Comeback> = match last {
        Progress::Back(comeback) => Some(comeback),
        _ => None,
    };
    match (args.printed.output, comeback) {
        (Format::Json, _) => {
            let waits_for = match last {
                Progress::Survives(what) | Progress::Waits(what) => Some(what.as_str()),
                Progress::Over(_) | Progress::Back(_) => None,
            };
            let outcome = Outcome {
                schema: 1,
                node: &pod.node,
                namespace: &pod.namespace,
                name: &pod.name,
                uid: &pod.uid,
                container,
                signal: args.signal.to_string(),
                back: comeback.is_some(),
                waits_for,
                kept: comeback.map(Comeback::kept),
                before: Standing::of(pod),
                after: comeback.map(|comeback| &comeback.after),
            };
            write(context, &render::document::json(&outcome)?)?;
        }
        (Format::Text, Some(comeback)) => {
            let line = render::kill::line(&full_name(pod), container, comeback);
            context.ui.line(&line).map_err(Error::stdout)?;
        }
        (Format::Text, None) => {}
    }
    let seconds = args.timeout.as_secs_f64();
    let (message, hint) = match last {
        Progress::Back(_) => return Ok(()),
        Progress::Over(why) => (
            format!("nothing brings pod `{}` back: {why}", pod.name),
            "whoever made the pod makes it anew".to_owned(),
        ),
        Progress::Survives(what) => (
            format!("after {seconds} s {what} is still waited for"),
            format!(
                "{} was sent, and its program may do with it what it likes; `-s KILL` ends any",
                args.signal
            ),
        ),
        Progress::Waits(what) => (
            format!("after {seconds} s {what} is still waited for"),
            format!(
                "the kubelet waits longer before each new attempt, 5 minutes at most; `{}` tells when it comes",
                command_line::with("devnet watch", ["-n", &pod.namespace])
            ),
        ),
    };
    Err(Error::new(Kind::Partly, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_duration_or_seconds_and_never_nothing() {
        let seconds = |text| limit(text).map(|limit| limit.as_secs_f64());
        assert_eq!(seconds("60s"), Ok(60.0));
        assert_eq!(seconds("1m30s"), Ok(90.0));
        assert_eq!(seconds("5"), Ok(5.0));
        for text in ["", "0", "0s", "-1", "25h", "soon", "99999999999999999999"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
