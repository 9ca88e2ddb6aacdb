//! `devnet engine`: the Docker engine that devnet runs on a containerd node.

use std::fmt::Write as _;

use clap::Subcommand;
use serde::Serialize;

use crate::command_line;
use crate::commands::invocation::every_node::{Reached, all_or_partly, on_nodes};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::write;
use crate::commands::invocation::profiles::Named;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::commands::invocation::{Context, question};
use crate::engine::node_docker::{self, DockerState};
use crate::error::{Error, Result};
use crate::render::document;
use crate::render::load::bytes;
use crate::runtime_kind::RuntimeKind;
use crate::visible::field;
use crate::wording::{MANY, counted, listed};

/// Start, stop or look at the Docker engine that devnet runs on a containerd node
///
/// It is the node's own dockerd on the node's own containerd: every docker client works with it, and
/// what it builds is the cluster's at once. A guard refuses what would take images that pods run. `devnet
/// env`, `devnet use` and `devnet run` start it by themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet engine start                then: eval $(devnet env)
  devnet engine status -o json
  devnet engine stop                 its data stays; --rm-data takes that too")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start it; one that runs is left alone
    Start(StartArgs),
    /// Stop it, and leave the node's network and files as they were
    Stop(StopArgs),
    /// Show whether it runs, where it listens and what it takes
    Status(NodeArgs),
}

#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// The node of a profile with several
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Debug, clap::Args)]
struct StartArgs {
    #[command(flatten)]
    on: NodeArgs,
    /// A prompt asked, and is told later what came of it
    #[arg(long, hide = true)]
    for_a_prompt: bool,
}

#[derive(Debug, clap::Args)]
struct StopArgs {
    #[command(flatten)]
    on: NodeArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Remove its data too: what it cached of builds, its volumes and networks
    #[arg(long)]
    rm_data: bool,
}

/// The JSON.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    engines: Vec<EngineReport>,
}

#[derive(Debug, Serialize)]
struct EngineReport {
    node: String,
    running: bool,
    guard: bool,
    version: Option<String>,
    pid: Option<u32>,
    /// The address at which docker's clients reach it.
    address: Option<String>,
    /// The memory of the engine and its guard, in bytes.
    rss: Option<u64>,
    data_bytes: u64,
    containers: Vec<String>,
    /// Settings of the node's containerd that it does not have.
    notes: Vec<String>,
    /// The reason why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    match args.verb {
        Verb::Start(args) => start(context, &args).await,
        Verb::Stop(args) => stop(context, &args).await,
        Verb::Status(args) => status(context, &args).await,
    }
}

async fn start(context: &Context, args: &StartArgs) -> Result<()> {
    let which = Nodes::named_or_first(args.on.node.as_deref());
    let target = nodes(context, which).await?;
    let node = &target.nodes[0];
    let started = context.start_engine(node).await;
    if args.for_a_prompt {
        context.told_to_prompts(node, started.as_ref().err())?;
    }
    show(context, &args.on, vec![report(node, started?)])
}

async fn stop(context: &Context, args: &StopArgs) -> Result<()> {
    let target = nodes(context, Nodes::named_or_all(args.on.node.as_deref())).await?;
    let connected = on_nodes(&target.nodes, async |node| {
        let engine = context.containerd_of(node).await?;
        let state = node_docker::state(&engine).await?;
        Ok((engine, state))
    });
    let reached = Reached::of(connected.await)?;
    let ended: Vec<String> = reached
        .answered
        .iter()
        .flat_map(|(_, (_, state))| state.containers.iter().cloned())
        .collect();
    if !args.yes && !agreed(context, &ended, args.rm_data).await? {
        context.ui.say("nothing was stopped");
        return Ok(());
    }
    let mut reports = Vec::new();
    for (node, (engine, before)) in &reached.answered {
        let state = node_docker::stop(engine, args.rm_data).await?;
        if state.data_bytes > 0 && before.running {
            context.ui.say(&format!(
                "{}: {} of data stay in {} (`--rm-data` removes them)",
                node.name,
                bytes(state.data_bytes),
                node_docker::DATA
            ));
        }
        reports.push(report(node, state));
    }
    show(context, &args.on, reports)?;
    all_or_partly(reached.lost.into_iter().map(|(_, error)| error))
}

/// Asks where something would be lost: containers that run, or the data.
async fn agreed(context: &Context, ended: &[String], with_data: bool) -> Result<bool> {
    if ended.is_empty() && !with_data {
        return Ok(true);
    }
    let mut question = "stop the Docker engine".to_owned();
    if !ended.is_empty() {
        let _infallible = write!(
            question,
            ", and with it {} that ran through it ({})",
            counted(ended.len(), "container"),
            listed(ended, MANY)
        );
    }
    if with_data {
        question.push_str(", and remove its data");
    }
    question.push('?');
    question::agreed(context, &question, || {
        Error::usage(question.clone()).hint("nobody can be asked here: `--yes` says it")
    })
    .await
}

async fn status(context: &Context, args: &NodeArgs) -> Result<()> {
    let target = nodes(context, Nodes::named_or_all(args.node.as_deref())).await?;
    let asked = on_nodes(&target.nodes, async |node| {
        let engine = context.containerd_of(node).await?;
        node_docker::state(&engine).await
    });
    let reached = Reached::of(asked.await)?;
    let mut reports: Vec<EngineReport> = reached
        .answered
        .into_iter()
        .map(|(node, state)| report(node, state))
        .collect();
    for (node, error) in &reached.lost {
        let mut unknown = report(node, DockerState::default());
        unknown.error = Some(error.in_one_line());
        reports.push(unknown);
    }
    show(context, args, reports)?;
    all_or_partly(reached.lost.into_iter().map(|(_, error)| error))
}

/// The nodes of the profile that is meant, by the way on which docker's clients reach them.
///
/// # Errors
/// Unreachable where the nodes have a Docker engine of their own, or none can be there.
async fn nodes(context: &Context, which: Nodes<'_>) -> Result<Target> {
    let named: Named = context.named_profile()?;
    let target = context
        .profile_target(&named, which, Need::Environment)
        .await?;
    if target.nodes.iter().all(|node| node.devnets_engine) {
        return Ok(target);
    }
    let env = command_line::with("devnet -p", [&named.profile, "env"]);
    let runtime = RuntimeKind::Docker;
    Err(Error::unreachable(format!(
        "minikube profile `{}` runs {runtime}: its nodes have a Docker engine of their own",
        named.profile
    ))
    .hint(format!("`eval $({env})` points a shell at it")))
}

fn report(node: &NodeTarget, state: DockerState) -> EngineReport {
    EngineReport {
        node: node.name.clone(),
        running: state.running,
        guard: state.guard,
        address: node.at().filter(|_| state.running),
        version: state.version,
        pid: state.pid,
        rss: state
            .rss
            .map(|rss| rss + state.guard_rss.unwrap_or_default()),
        data_bytes: state.data_bytes,
        containers: state.containers,
        notes: state.notes,
        error: None,
    }
}

fn show(context: &Context, args: &NodeArgs, engines: Vec<EngineReport>) -> Result<()> {
    let text = || {
        let mut text = String::new();
        for engine in &engines {
            text.push_str(&engine.to_text());
        }
        text
    };
    match args.printed.output {
        Format::Text => context.ui.data(&text()).map_err(Error::stdout),
        Format::Json => write(context, &document::json(&Document { schema: 1, engines })?),
    }
}

impl EngineReport {
    fn to_text(&self) -> String {
        let node = field(&self.node);
        let mut text = match (&self.error, self.running) {
            (Some(error), _) => format!("{node}  unknown: {}\n", field(error)),
            (None, false) => format!("{node}  not running\n"),
            (None, true) => {
                let version = self.version.as_deref().unwrap_or("unknown");
                let at = self.address.as_deref().unwrap_or("(nowhere)");
                format!("{node}  Docker {} at {}\n", field(version), field(at))
            }
        };
        let mut line = |name: &str, value: &str| {
            let _infallible = writeln!(text, "  {name:<12} {}", field(value));
        };
        if self.running {
            line("guard", if self.guard { "runs" } else { "DEAD" });
            if let Some(rss) = self.rss {
                line("memory", &bytes(rss));
            }
        }
        if self.data_bytes > 0 {
            line("data", &bytes(self.data_bytes));
        }
        if !self.containers.is_empty() {
            line("runs", &listed(&self.containers, MANY));
        }
        for note in &self.notes {
            line("without", note);
        }
        text
    }
}
