//! `devnet restart`: every app container of a pod ends as it is told to, and its next attempt runs in
//! the same sandbox.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Serialize;

use crate::commands::invocation::comeback::{self, Outcome, full_name, limit};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::write;
use crate::commands::invocation::{Context, one_pod, question};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, Container, ContainerFacts, Killed, Pod, Pull, State};
use crate::render;
use crate::wording::{MANY, counted, listed};

/// Restart the app containers of pods in the sandboxes they have: their IPs stay
///
/// Each is sent TERM, and KILL after the pod's grace period. Asks first on a terminal; elsewhere
/// `--yes` must say so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet restart web                    its app containers, one sandbox, one IP
  devnet restart web api --yes -o json")]
pub(crate) struct Args {
    /// Wait no longer than this for what comes after, as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = limit)]
    timeout: Duration,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also pods whose images the kubelet pulls before it starts them again
    #[arg(long)]
    force: bool,
    /// The pods' namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    printed: Printed,
    /// The pods: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", required = true, add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
}

/// The JSON.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    /// One for each container.
    containers: Vec<Outcome>,
}

/// A pod that is to be restarted, as it is before.
struct Planned {
    engine: Engine,
    pod: Pod,
    /// The IDs of its app containers that run, with the seconds that each has to end.
    graces: Vec<(String, i64)>,
}

impl Planned {
    fn containers(&self) -> impl Iterator<Item = &Container> {
        let is_meant = |one: &&Container| self.graces.iter().any(|(id, _)| *id == one.id);
        self.pod.containers.iter().filter(is_meant)
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut failures = Vec::new();
    let mut all = Vec::new();
    let mut known = BTreeSet::new();
    for wanted in &args.pods {
        let planned = plan(context, &args, wanted).await?;
        if !known.insert(planned.pod.uid.clone()) {
            continue;
        }
        match pulled(&planned) {
            Some(container) if !args.force => failures.push(left_alone(&planned.pod, container)),
            _ => all.push(planned),
        }
    }
    if !all.is_empty() && !args.yes && !agreed(context, &all).await? {
        context.ui.say("nothing was restarted");
        return Ok(());
    }
    let mut outcomes = Vec::new();
    for planned in &all {
        match restart(context, &args, planned, &mut outcomes).await {
            Ok(()) => {}
            // the others have their turn all the same
            Err(error) if error.kind() != Kind::Interrupted => failures.push(error),
            Err(error) => return Err(error),
        }
    }
    if args.printed.output == Format::Json {
        let document = Document {
            schema: 1,
            containers: outcomes,
        };
        write(context, &render::document::json(&document)?)?;
    }
    let last = failures.pop();
    for error in &failures {
        context.ui.error(error);
    }
    last.map_or(Ok(()), |error| Err(error.with_kind(Kind::Partly)))
}

/// Finds a pod and those of its containers that are to end.
async fn plan(context: &Context, args: &Args, wanted: &str) -> Result<Planned> {
    let (engine, found) = one_pod::find(context, wanted, args.namespace.as_deref()).await?;
    comeback::possible(&found, None, &["restart", &found.name])?;
    let (now, facts) = comeback::look(&engine, &found).await?;
    let pod = now.unwrap_or(found);
    let sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up());
    let is_meant = |one: &&Container| {
        one.state == State::Running
            && one.kind.starts_with("app")
            && sandbox.is_some_and(|sandbox| one.sandbox_id.as_ref() == Some(&sandbox.id))
    };
    let graces: Vec<(String, i64)> = pod
        .containers
        .iter()
        .filter(is_meant)
        .map(|one| (one.id.clone(), grace(&facts, &one.id)))
        .collect();
    if graces.is_empty() {
        let message = format!("no app container of pod `{}` runs in its sandbox", pod.name);
        return Err(Error::failed(message).hint("`devnet pods` shows what there is of it"));
    }
    Ok(Planned {
        engine,
        pod,
        graces,
    })
}

/// The seconds that a container has to end: the kubelet's note, else what Kubernetes gives by default.
fn grace(facts: &[ContainerFacts], id: &str) -> i64 {
    const DEFAULT: i64 = 30;
    const LONGEST: i64 = 24 * 60 * 60;
    let of = facts.iter().find(|one| one.id == id);
    let note = of.and_then(|one| {
        one.annotations
            .get("io.kubernetes.pod.terminationGracePeriod")
    });
    let seconds = note.and_then(|text| text.parse().ok());
    seconds.unwrap_or(DEFAULT).clamp(0, LONGEST)
}

/// A container whose image the kubelet pulls before it starts the next attempt.
fn pulled(planned: &Planned) -> Option<&Container> {
    let is_pulled = |one: &&Container| pod::pull_at_restart(&planned.pod, one) == Pull::Always;
    planned.containers().find(is_pulled)
}

fn left_alone(pod: &Pod, container: &Container) -> Error {
    let message = format!(
        "pod `{}` was left alone: the kubelet pulls the image of its container `{}` before it starts it again",
        pod.name, container.name
    );
    Error::new(Kind::Partly, message)
        .hint("`--force` restarts it anyway; it stays down where the image can't be pulled")
}

/// Asks whether they may be restarted.
async fn agreed(context: &Context, all: &[Planned]) -> Result<bool> {
    let count: usize = all.iter().map(|one| one.graces.len()).sum();
    let names: Vec<String> = all.iter().map(|one| full_name(&one.pod)).collect();
    let what = format!(
        "{} of {}",
        counted(count, "container"),
        listed(&names, MANY)
    );
    let mut text = format!("Restart {what}?");
    for planned in all {
        let (name, pod) = (full_name(&planned.pod), &planned.pod);
        if pod.namespace == "kube-system" {
            let _infallible = write!(
                text,
                "\n{name} is in kube-system: a part of the cluster itself."
            );
        }
        if let Some(doubt) = pod::doubt(pod) {
            let _infallible = write!(text, "\nAttention, {name}: {doubt}.");
        }
        let perhaps = |one: &Container| pod::pull_at_restart(pod, one) == Pull::Perhaps;
        if planned.containers().any(perhaps) {
            let _infallible = write!(text, "\nThe kubelet may pull images of {name} anew.");
        }
    }
    let nobody = || {
        Error::usage(format!("nobody can be asked whether to restart {what}"))
            .hint("`--yes` restarts without asking")
    };
    question::agreed(context, &text, nobody).await
}

/// Restarts one pod, and says what came of it.
async fn restart(
    context: &Context,
    args: &Args,
    planned: &Planned,
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
    let killed: Vec<Killed<'_>> = planned
        .containers()
        .map(|container| Killed {
            before: &planned.pod,
            container: Some(container),
        })
        .collect();
    let runtime = &planned.engine.runtime;
    let end = async {
        let stops = planned.graces.iter();
        let stops = stops.map(|(id, grace)| runtime.stop(id, *grace));
        try_join_all(stops).await.map(drop)
    };
    let progress = comeback::after(&planned.engine, &killed, args.timeout, end).await?;
    let mut failure = Ok(());
    for (killed, progress) in killed.iter().zip(&progress) {
        outcomes.push(Outcome::of(killed, "SIGTERM".to_owned(), progress));
        if args.printed.output == Format::Text
            && let Some(comeback) = comeback::comeback(progress)
        {
            let container = killed.container.map(|one| one.name.as_str());
            let line = render::kill::line(&full_name(&planned.pod), container, comeback);
            context.ui.line(&line).map_err(Error::stdout)?;
        }
        let one = comeback::outcome(&planned.pod, progress, args.timeout, "SIGTERM");
        failure = failure.and(one);
    }
    failure
}
