//! `devnet shell`: a shell beside a container that has none, in its pod's network and among its
//! processes; gone with the shell.

use std::io::IsTerminal as _;

use tokio::time::timeout;

use crate::commands::attended::{self, before};
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::docker::carrier::{Source, UNDO_PATIENCE};
use crate::engine::docker::exec::Exec;
use crate::engine::docker::helper::Helper;
use crate::error::{Error, Result};
use crate::image::tools;
use crate::pod::{Container, Pod, is_up};

/// Open a shell beside a container, with tools that it lacks
///
/// A helper container joins the pod's network and the container's processes; the container's files
/// are under $ROOT. The tools are those of an image that the node has already, else a few of
/// devnet's own, to which the container's files are the root. Nothing is pulled, nothing of the
/// container is changed, nothing stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet shell web                        the best tools that the node has
  devnet shell web -c server --image busybox
  devnet shell web -- sh -c 'ls -l $ROOT/etc'
  devnet shell web --image none -- ss     devnet's own few tools")]
pub(crate) struct Args {
    /// Pass stdin to the command (a shell always has it)
    #[arg(short = 'i', long = "stdin")]
    stdin: bool,
    /// Give the command a terminal (a shell has one where stdin is one)
    #[arg(short = 't', long)]
    tty: bool,
    /// The image with the tools, which must be there; `none` for devnet's own
    #[arg(long, value_name = "IMAGE", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::images))]
    image: Option<String>,
    /// The pod's namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// The container
    #[arg(short, long, value_name = "NAME", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers))]
    container: Option<String>,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pod: String,
    /// A command of the helper's and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// How many images are tried before devnet's own tools have to do.
const TRIED: usize = 3;

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (engine, pod) = one_pod::find(context, &args.pod, args.namespace.as_deref())
        .await
        .map_err(before)?;
    let container = one_pod::container(context, &pod, args.container.as_deref()).map_err(before)?;
    if !is_up(&container.state) {
        return Err(before(
            Error::failed(format!("container `{}` does not run", container.name)).hint(format!(
                "what it left: `devnet logs {} {} --previous`",
                pod.name, container.name
            )),
        ));
    }
    let beside = Beside {
        context,
        engine: &engine,
        network: network(&pod, container),
        container,
        run: format!("{:x}", jiff::Timestamp::now().as_nanosecond()),
    };
    let clean = async {
        // an engine that is lost has told its reason already
        let _lost = timeout(UNDO_PATIENCE, engine.forget_run(&beside.run)).await;
    };
    let (helper, shell, source) = context
        .or_undo(Box::pin(beside.raise(&args)), clean)
        .await
        .map_err(before)?;
    let outcome = {
        let clean = async {
            let _lost = timeout(UNDO_PATIENCE, engine.forget_run(&beside.run)).await;
            let _lost = timeout(UNDO_PATIENCE, engine.forget_source(&source)).await;
        };
        let work = Box::pin(beside.attend(&args, &helper, shell));
        context.or_undo(work, clean).await
    };
    if outcome.is_ok() {
        engine.remove(&helper.id).await?;
        engine.forget_source(&source).await?;
    }
    outcome
}

/// The container whose network the helper joins: the container's own, so that it sees what that one
/// sees also in a pod that is split.
fn network<'p>(pod: &'p Pod, container: &'p Container) -> &'p str {
    let sandbox = pod.sandbox.as_ref().filter(|one| is_up(&one.state));
    match (sandbox, container.shares.net) {
        (Some(sandbox), Some(true)) => &sandbox.id,
        _ => &container.id,
    }
}

/// A helper's place: beside this container.
struct Beside<'a> {
    context: &'a Context,
    engine: &'a Engine,
    network: &'a str,
    container: &'a Container,
    run: String,
}

impl Beside<'_> {
    /// Makes the helper, not started, and says which shell it has: none means devnet's own tools.
    async fn raise(&self, args: &Args) -> Result<(Helper, Option<Vec<String>>, Source)> {
        let candidates = match args.image.as_deref() {
            Some("none") => Vec::new(),
            Some(image) => {
                if !self.engine.has_image(image).await? {
                    return Err(
                        Error::not_found(format!("the node has no image `{image}`")).hint(format!(
                            "nothing is pulled: `devnet load {image}` brings it"
                        )),
                    );
                }
                vec![(image.to_owned(), image.to_owned())]
            }
            None => {
                let architecture = self.engine.architecture().await?;
                let images = self.engine.tool_images().await?;
                let mut best = tools::best(&images, &architecture);
                best.truncate(TRIED);
                best.into_iter()
                    .map(|image| {
                        let name = image.names.first().unwrap_or(&image.id).clone();
                        (image.id, name)
                    })
                    .collect()
            }
        };
        for (image, name) in candidates {
            let source = Source::Borrowed(image);
            let helper = self.make(&source, false).await?;
            let shell = attended::best_shell(self.engine, &helper.id).await;
            if shell.is_some() || (args.image.is_some() && !args.command.is_empty()) {
                self.context.ui.note(&format!(
                    "tools of `{name}`, files of `{}` under $ROOT",
                    self.container.name
                ));
                return Ok((helper, Some(shell.unwrap_or_default()), source));
            }
            self.engine.remove(&helper.id).await?;
            if args.image.is_some() {
                return Err(Error::failed(format!("image `{name}` brings no shell"))
                    .hint("another `--image`, or `--image none` for devnet's own tools"));
            }
        }
        let facts = self.engine.containers().await?;
        let source = self.engine.probe_source(&facts).await?;
        match self.make(&source, true).await {
            Ok(helper) => Ok((helper, None, source)),
            Err(error) => {
                self.engine.forget_source(&source).await?;
                Err(error)
            }
        }
    }

    async fn make(&self, source: &Source, own_tools: bool) -> Result<Helper> {
        let (network, target) = (self.network, &self.container.id);
        self.engine
            .make_helper(source, network, target, own_tools, &self.run)
            .await
    }

    /// Starts the helper and, in it, the shell or the command.
    async fn attend(&self, args: &Args, helper: &Helper, shell: Option<Vec<String>>) -> Result<()> {
        let engine = self.engine;
        let _alive = engine.start_helper(helper).await.map_err(before)?;
        let find = [helper.program.as_str(), "first-of", &self.container.id];
        let first = engine.said_by(&helper.id, &find).await.map_err(before)?;
        let root = format!("/proc/{}/root", first.trim());
        let is_shell = args.command.is_empty();
        let terminal = std::io::stdin().is_terminal();
        let tty = terminal && (args.tty || is_shell);
        if args.tty && !terminal {
            self.context
                .ui
                .warn("no terminal for the command: stdin is none");
        }
        let command = match shell {
            Some(shell) if is_shell => shell,
            Some(_) => args.command.clone(),
            None => [&helper.program, "shell", &root]
                .map(str::to_owned)
                .into_iter()
                .chain(args.command.iter().cloned())
                .collect(),
        };
        let mut env = vec![format!("ROOT={root}")];
        let term = self.context.settings.environment.text("TERM");
        if tty && let Some(term) = term.ok().flatten() {
            env.push(format!("TERM={term}"));
        }
        let exec = Exec {
            command,
            stdin: args.stdin || is_shell,
            tty,
            env,
            ..Exec::default()
        };
        attended::command(self.context, engine, &helper.id, exec).await
    }
}
