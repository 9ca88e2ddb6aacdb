//! `devnet shell`: a shell beside a container that has none, in its pod's network and among its
//! processes; gone with the shell.

use std::io::IsTerminal as _;

use tokio::time::timeout;

use crate::command_line;
use crate::commands::attended::{self, before};
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::docker::carrier::{Source, UNDO_PATIENCE};
use crate::engine::docker::confinement::Power;
use crate::engine::docker::helper::{Beside, Helper};
use crate::engine::docker::probe_images::ProbeImages;
use crate::engine::exec::Exec;
use crate::error::{Error, Result};
use crate::pod::{Container, Pod, is_up};

/// Open a shell beside a container, with tools that it lacks
///
/// A helper container joins the pod's network and the container's processes. Its tools are a few of
/// devnet's own, to which the container's files are the root, or those of an image that `--image`
/// names. That image's programs get no capability: they see the pod's network and processes, and
/// not its files. `--lend-ptrace` lends them what it takes to trace the container's processes and
/// to read its files, under $ROOT. Nothing is pulled, nothing of the container is changed, nothing
/// stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet shell web                        devnet's own few tools
  devnet shell web -- ss
  devnet shell web -c server --image busybox
  devnet shell web --image busybox --lend-ptrace -- sh -c 'ls -l $ROOT/etc'")]
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
    /// Lend the image's programs, whatever they are, `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH`
    #[arg(long, requires = "image")]
    lend_ptrace: bool,
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

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.lend_ptrace && args.image.as_deref() == Some("none") {
        return Err(
            Error::usage("`--lend-ptrace` lends power to an image's programs")
                .hint("devnet's own tools have it: leave `--lend-ptrace` out"),
        );
    }
    let (engine, pod) = one_pod::find(context, &args.pod, args.namespace.as_deref())
        .await
        .map_err(before)?;
    let container = one_pod::container(context, &pod, args.container.as_deref()).map_err(before)?;
    if !is_up(&container.state) {
        return Err(before(
            Error::failed(format!("container `{}` does not run", container.name)).hint(format!(
                "what it left: `{}`",
                command_line::with("devnet logs", [&pod.name, &container.name, "--previous"])
            )),
        ));
    }
    let run = format!("{:x}", jiff::Timestamp::now().as_nanosecond());
    let session = Session {
        context,
        engine: &engine,
        container,
        beside: Beside {
            network: network(&pod, container),
            target: &container.id,
            run: &run,
        },
    };
    let tools = session.tools(&args).await.map_err(before)?;
    let clean = async {
        // an engine that is lost has told its reason already
        let _lost = timeout(UNDO_PATIENCE, engine.agent.forget_run(&run)).await;
        if let Tools::Own(images) = &tools {
            let _lost = timeout(UNDO_PATIENCE, images.forget()).await;
        }
    };
    let helper = context
        .or_undo(Box::pin(session.start(&tools)), clean)
        .await
        .map_err(before)?;
    let outcome = {
        let clean = async {
            let _lost = timeout(UNDO_PATIENCE, engine.agent.forget_run(&run)).await;
            if let Tools::Own(images) = &tools {
                let _lost = timeout(UNDO_PATIENCE, images.forget()).await;
            }
        };
        let work = Box::pin(session.attend(&args, &helper, &tools));
        context.or_undo(work, clean).await
    };
    if outcome.is_ok() {
        engine.docker()?.remove(&helper.id).await?;
        if let Tools::Own(images) = &tools {
            images.forget().await?;
        }
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

/// The tools of a helper.
enum Tools {
    /// devnet's own program, from one of these images.
    Own(Box<ProbeImages>),
    /// An image that the person named.
    Of(String, Power),
}

/// A shell beside a container.
struct Session<'a> {
    context: &'a Context,
    engine: &'a Engine,
    container: &'a Container,
    beside: Beside<'a>,
}

impl Session<'_> {
    /// What the person asked for. Another's program gets no power that was not lent it by name.
    async fn tools(&self, args: &Args) -> Result<Tools> {
        match args.image.as_deref() {
            None | Some("none") => {
                let facts = self.engine.runtime.containers().await?;
                Ok(Tools::Own(Box::new(
                    self.engine.agent.probe_images(&facts).await?,
                )))
            }
            Some(image) if !self.engine.docker()?.has_image(image).await? => Err(Error::not_found(
                format!("the node has no image `{image}`"),
            )
            .hint(format!(
                "nothing is pulled: `{}` brings it",
                command_line::with("devnet load", [image])
            ))),
            Some(image) if args.lend_ptrace => Ok(Tools::Of(image.to_owned(), Power::Lent)),
            Some(image) => Ok(Tools::Of(image.to_owned(), Power::None)),
        }
    }

    async fn start(&self, tools: &Tools) -> Result<Helper> {
        match tools {
            Tools::Own(images) => {
                let start = async |source: &Source| {
                    self.engine
                        .agent
                        .start_helper(source, self.beside, Power::Tools)
                        .await
                };
                images.first_that_starts(start).await
            }
            Tools::Of(image, power) => {
                let source = Source::Borrowed(image.clone());
                self.engine
                    .agent
                    .start_helper(&source, self.beside, *power)
                    .await
            }
        }
    }

    /// The container's root as the helper sees it.
    async fn root(&self, helper: &Helper) -> Result<String> {
        let mut find = helper.program.clone();
        find.extend(["first-of".to_owned(), self.container.id.clone()]);
        let first = self.engine.runtime.said_by(&helper.id, find).await?;
        Ok(format!("/proc/{}/root", first.trim()))
    }

    /// The command to run in the helper, and the container's root where it is seen there.
    async fn command(
        &self,
        args: &Args,
        helper: &Helper,
        tools: &Tools,
    ) -> Result<(Vec<String>, Option<String>)> {
        let (image, power) = match tools {
            Tools::Own(_) => {
                let root = self.root(helper).await?;
                let mut command = helper.program.clone();
                command.extend(["shell".to_owned(), root.clone()]);
                command.extend(args.command.iter().cloned());
                return Ok((command, Some(root)));
            }
            Tools::Of(image, power) => (image, *power),
        };
        let command = if args.command.is_empty() {
            let shell = attended::best_shell(self.engine, &helper.id).await;
            shell.ok_or_else(|| {
                Error::failed(format!("image `{image}` brings no shell"))
                    .hint("another `--image`, or none for devnet's own tools")
            })?
        } else {
            args.command.clone()
        };
        let of = &self.container.name;
        if power == Power::None {
            self.context.ui.note(&format!(
                "tools of `{image}`, without power: the files of `{of}` are not seen (`--lend-ptrace` lends what that takes)"
            ));
            return Ok((command, None));
        }
        self.context.ui.note(&format!(
            "tools of `{image}`, lent the power to trace the processes of `{of}` and to read its files, under $ROOT"
        ));
        Ok((helper.confined(command), Some(self.root(helper).await?)))
    }

    /// Runs the shell or the command in the helper, to its end.
    async fn attend(&self, args: &Args, helper: &Helper, tools: &Tools) -> Result<()> {
        let (command, root) = self.command(args, helper, tools).await.map_err(before)?;
        let is_shell = args.command.is_empty();
        let terminal = std::io::stdin().is_terminal();
        let tty = terminal && (args.tty || is_shell);
        if args.tty && !terminal {
            self.context
                .ui
                .warn("no terminal for the command: stdin is none");
        }
        let mut env: Vec<String> = root.iter().map(|root| format!("ROOT={root}")).collect();
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
        attended::command(self.context, self.engine, &helper.id, exec).await
    }
}
