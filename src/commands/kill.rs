//! `devnet kill`: a signal to a container of a pod, or to its sandbox, and the wait for what comes
//! after it.

use std::time::Duration;

use serde::Serialize;

use crate::command_line;
use crate::commands::invocation::comeback::{self, Outcome, full_name, limit};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::write;
use crate::commands::invocation::{Context, one_pod, question};
use crate::error::{Error, Result};
use crate::pod::{self, Container, Killed, Pod, Sandbox, Signal, State};
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

/// The JSON.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    #[serde(flatten)]
    outcome: Outcome,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (engine, found) = one_pod::find(
        context,
        &args.pod,
        args.namespace.as_deref(),
        one_pod::Jobs::Seldom,
    )
    .await?;
    let name = args.container.as_deref();
    let mut lab = vec!["kill", found.name.as_str()];
    lab.extend(name.into_iter().flat_map(|name| ["-c", name]));
    comeback::possible(&found, name, &lab)?;
    let before = comeback::look(&engine, &found).await?.0.unwrap_or(found);
    let container = match name {
        Some(name) => Some(one_pod::container(context, &before, Some(name))?),
        None => None,
    };
    let id = first_process(&before, container)?;
    let stopped = without_a_process(&before, container, args.signal)?;
    if !args.yes && !agreed(context, &args, &before, container, stopped.as_deref()).await? {
        context.ui.say("nothing was killed");
        return Ok(());
    }
    // whoever was asked has read it
    if let (true, Some(how)) = (args.yes, &stopped) {
        context.ui.note(how);
    }
    let killed = [Killed {
        before: &before,
        container,
    }];
    let end = async {
        match stopped {
            Some(_) => engine.runtime.stop_sandbox(id).await,
            None => engine.runtime.signal(id, args.signal).await,
        }
    };
    let progress = comeback::after(&engine, &killed, args.timeout, end).await?;
    let ([killed], [progress]) = (&killed, progress.as_slice()) else {
        return Ok(());
    };
    let signal = args.signal.to_string();
    if args.printed.output == Format::Json {
        let document = Document {
            schema: 1,
            outcome: Outcome::of(killed, signal.clone(), progress),
        };
        write(context, &render::document::json(&document)?)?;
    } else if let Some(comeback) = comeback::comeback(progress) {
        let container = container.map(|one| one.name.as_str());
        let line = render::kill::line(&full_name(&before), container, comeback);
        context.ui.line(&line).map_err(Error::stdout)?;
    }
    comeback::outcome(&before, progress, args.timeout, &signal)
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

/// The words for how a sandbox without a process is ended, where that is meant.
///
/// # Errors
/// When a signal is named that nobody would get.
fn without_a_process(
    pod: &Pod,
    container: Option<&Container>,
    signal: Signal,
) -> Result<Option<String>> {
    let sandbox = pod.sandbox.as_ref().filter(|_| container.is_none());
    if !sandbox.is_some_and(Sandbox::is_held_by_a_file) {
        return Ok(None);
    }
    if signal != Signal::KILL {
        return Err(Error::failed(format!(
            "the sandbox of pod `{}` has no process to send {signal} to",
            pod.name
        ))
        .hint("without `-s` the runtime stops it; `-c NAME` sends a signal to a container"));
    }
    Ok(Some(format!(
        "the sandbox of pod `{}` has no process: the runtime stops it, and gives its containers their time to end, 30 s and more each",
        pod.name
    )))
}

/// Asks whether it may be killed; `stopped` says how where that is not by a signal.
async fn agreed(
    context: &Context,
    args: &Args,
    pod: &Pod,
    container: Option<&Container>,
    stopped: Option<&str>,
) -> Result<bool> {
    let signal = args.signal;
    let full = full_name(pod);
    let what = match container {
        Some(container) => format!("container `{}` of pod {full}", container.name),
        None => format!("the sandbox of pod {full}"),
    };
    let mut text = match stopped {
        Some(how) => format!("Stop {what} on node {}?\nAttention: {how}.", pod.node),
        None => format!("Send {signal} to {what} on node {}?", pod.node),
    };
    if container.is_none() && !pod.host_network {
        text.push_str("\nThe pod comes back with another IP.");
    }
    if pod.namespace == "kube-system" {
        text.push_str("\nIt is in kube-system: a part of the cluster itself.");
    }
    if let Some(doubt) = pod::doubt(pod, container) {
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
