//! `devnet restart`: containers of a pod end as they are told to, and their next attempts run in the same
//! sandbox.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::commands::invocation::comeback::{self, Outcome, limit};
use crate::commands::invocation::every_node::{Reached, on_nodes};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::write;
use crate::commands::invocation::restarts::{Restart, agreed};
use crate::commands::invocation::target::Need;
use crate::commands::invocation::{Context, one_pod, snapshot};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{Pod, Renamed};
use crate::render;
use crate::wording::counted;

/// Restart the app containers of pods in the sandboxes they have: their IPs stay
///
/// Each is sent TERM, and KILL after the pod's grace period. With `--image` only those that run an older
/// image under that name: what was built or loaded since is what they run then. Asks first on a terminal;
/// elsewhere `--yes` must say so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet restart web                    its app containers, one sandbox, one IP
  devnet restart web api --yes -o json
  devnet restart --image app:dev        all pods that run an older app:dev")]
pub(crate) struct Args {
    /// Only containers whose image is not what this name stands for now on their node
    #[arg(
        long,
        value_name = "NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(crate::commands::complete::images)
    )]
    image: Option<String>,
    /// Wait no longer than this for what comes after, as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = limit)]
    timeout: Duration,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also pods whose images the kubelet pulls before it starts them again, or that name them by digest
    #[arg(long)]
    force: bool,
    /// The pods' namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    printed: Printed,
    /// The pods: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", required_unless_present = "image", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
}

/// The JSON.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    /// One for each container.
    containers: Vec<Outcome>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let planned = match &args.image {
        Some(image) => of_image(context, &args, image).await?,
        None => of_pods(context, &args).await?,
    };
    if let (Some(image), true) = (&args.image, planned.is_empty()) {
        context.ui.say(&format!("nothing runs an older `{image}`"));
        return Ok(());
    }
    let (mut failures, mut all) = (Vec::new(), Vec::new());
    for one in planned {
        match one.obstacle() {
            Some(obstacle) if !args.force => failures.push(obstacle),
            _ => all.push(one),
        }
    }
    // what is left alone is said before anything is ended
    let left_alone = failures.len();
    if !all.is_empty() {
        for error in failures.drain(..) {
            context.ui.error(&error);
        }
    }
    if !all.is_empty() && !args.yes && !agreed(context, &all).await? {
        context.ui.say("nothing was restarted");
        return Ok(());
    }
    let mut outcomes = Vec::new();
    for one in &all {
        let mut tell = |outcome, line: Option<String>| {
            outcomes.push(outcome);
            match line {
                Some(line) if args.printed.output == Format::Text => {
                    context.ui.line(&line).map_err(Error::stdout)
                }
                _ => Ok(()),
            }
        };
        match one.run(args.timeout, &mut tell).await {
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
    match last {
        Some(error) => Err(error.with_kind(Kind::Partly)),
        None if left_alone > 0 => {
            let message = format!("{} left alone", counted(left_alone, "pod"));
            Err(Error::new(Kind::Partly, message))
        }
        None => Ok(()),
    }
}

/// The app containers of the pods that are named.
async fn of_pods(context: &Context, args: &Args) -> Result<Vec<Restart>> {
    let mut all = Vec::new();
    let mut known = BTreeSet::new();
    for wanted in &args.pods {
        let (engine, found) = find(context, args, wanted).await?;
        if known.insert(found.uid.clone()) {
            all.push(Restart::of_pod(engine, found).await?);
        }
    }
    Ok(all)
}

async fn find(context: &Context, args: &Args, wanted: &str) -> Result<(Engine, Pod)> {
    let (engine, found) = one_pod::find(
        context,
        wanted,
        args.namespace.as_deref(),
        one_pod::Jobs::Seldom,
    )
    .await?;
    comeback::possible(&found, None, &["restart", &found.name])?;
    Ok((engine, found))
}

/// The containers that run an older image of that name, of the pods that are named or of all.
async fn of_image(context: &Context, args: &Args, name: &str) -> Result<Vec<Restart>> {
    let mut nodes: Vec<(Engine, Vec<Pod>)> = Vec::new();
    for wanted in &args.pods {
        let (engine, pod) = find(context, args, wanted).await?;
        let is_same = |other: &&mut (Engine, Vec<Pod>)| other.1[0].node == pod.node;
        match nodes.iter_mut().find(is_same) {
            Some((_, pods)) if pods.iter().any(|other| other.uid == pod.uid) => {}
            Some((_, pods)) => pods.push(pod),
            None => nodes.push((engine, vec![pod])),
        }
    }
    if args.pods.is_empty() {
        nodes = everywhere(context, args).await?;
    }
    let (mut all, mut missing) = (Vec::new(), None);
    for (engine, pods) in &nodes {
        let image = match engine.images.image(name).await {
            Ok(image) => image,
            Err(error) if error.kind() == Kind::NotFound => {
                missing = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let image = Renamed {
            name: name.to_owned(),
            before: lost_names(args, engine).await?,
            now: image.id,
        };
        all.extend(Restart::of_image(engine, pods, &image).await?);
    }
    match missing {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

/// The pods of all nodes.
async fn everywhere(context: &Context, args: &Args) -> Result<Vec<(Engine, Vec<Pod>)>> {
    let target = context.target(Need::Pods).await?;
    let looks = on_nodes(&target.nodes, async |node| {
        let engine = context.connect(node).await?;
        let facts = engine.runtime.containers().await?;
        let mut pods = snapshot::pods_of(context, &engine, &target, node, &facts).await;
        let namespace = args.namespace.as_ref();
        pods.retain(|pod| namespace.is_none_or(|namespace| pod.namespace == *namespace));
        Ok((engine, pods))
    });
    let reached = Reached::of(looks.await)?;
    for (_, error) in &reached.lost {
        context.ui.warn(&error.to_string());
    }
    Ok(reached.answered.into_iter().map(|(_, node)| node).collect())
}

/// The images of a node that have lost their names: where a pod is named whose container runs such a one,
/// that may have been this name. A kubelet with Docker keeps no name with a container.
async fn lost_names(args: &Args, engine: &Engine) -> Result<BTreeSet<String>> {
    if args.pods.is_empty() {
        return Ok(BTreeSet::new());
    }
    let all = engine.images.image_names().await?.into_iter();
    let nameless = all.filter(|(_, names)| names.is_empty());
    Ok(nameless.map(|(id, _)| id).collect())
}
