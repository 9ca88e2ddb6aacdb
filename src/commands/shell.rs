//! `devnet shell`: a shell beside a container that has none, in its pod's network and among its
//! processes; gone with the shell.

use std::io::IsTerminal as _;

use crate::command_line;
use crate::commands::detach::Keys;
use crate::commands::exec_session::{self, before};
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::agent::AgentSession;
use crate::engine::job::{Job, JobNamespaces, Power, Program, ProgramImages};
use crate::error::{Error, Kind, Result};
use crate::pod::{Container, Pod};

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
    let (engine, pod) = one_pod::find(
        context,
        &args.pod,
        args.namespace.as_deref(),
        one_pod::Jobs::Own,
    )
    .await
    .map_err(before)?;
    let container = one_pod::container(context, &pod, args.container.as_deref()).map_err(before)?;
    if !container.state.is_up() {
        return Err(before(
            Error::failed(format!("container `{}` does not run", container.name)).hint(format!(
                "what it left: `{}`",
                command_line::with("devnet logs", [&pod.name, &container.name, "--previous"])
            )),
        ));
    }
    let tools = tools(&args, &engine).await.map_err(before)?;
    let session = engine.agent.session(tools.images.clone());
    let shell = Shell {
        context,
        session: &session,
        container,
        joins: JobNamespaces::Beside {
            network: network(&pod, container).to_owned(),
            processes: container.id.clone(),
        },
        power: tools.power,
    };
    let work = async {
        let job = shell.job(&args, &tools).await.map_err(before)?;
        shell.attend(job).await
    };
    context.or_undo(Box::pin(work), session.cleanup()).await?;
    session.finish().await
}

/// The container whose network the helper joins: the container's own, so that it sees what that one
/// sees also in a pod that is split.
fn network<'p>(pod: &'p Pod, container: &'p Container) -> &'p str {
    let sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up());
    match (sandbox, container.shares.net) {
        (Some(sandbox), Some(true)) => &sandbox.id,
        _ => &container.id,
    }
}

/// The tools of a shell.
struct Tools {
    /// The image that the person named; else they are devnet's own.
    image: Option<String>,
    images: ProgramImages,
    power: Power,
}

/// The tools that the person asked for. Another's program gets no power that was not lent it by
/// name.
async fn tools(args: &Args, engine: &Engine) -> Result<Tools> {
    let image = match args.image.as_deref() {
        None | Some("none") => {
            let facts = engine.runtime.containers().await?;
            return Ok(Tools {
                image: None,
                images: engine.agent.candidates(&facts),
                power: Power::Tools,
            });
        }
        Some(image) => image.to_owned(),
    };
    match engine.images.image(&image).await {
        Ok(_there) => {}
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(
                Error::not_found(format!("the node has no image `{image}`")).hint(format!(
                    "nothing is pulled: `{}` brings it",
                    command_line::with("devnet load", [&image])
                )),
            );
        }
        Err(error) => return Err(error),
    }
    Ok(Tools {
        images: ProgramImages::Only(image.clone()),
        image: Some(image),
        power: if args.lend_ptrace {
            Power::Lent
        } else {
            Power::None
        },
    })
}

/// A shell beside a container.
struct Shell<'a> {
    context: &'a Context,
    session: &'a AgentSession,
    container: &'a Container,
    joins: JobNamespaces,
    power: Power,
}

impl Shell<'_> {
    /// A job of the probe's beside the container.
    fn probe(&self, words: Vec<String>) -> Job {
        Job::probe(words, self.joins.clone(), self.power)
    }

    /// The container's root as it is seen from beside it.
    async fn root(&self) -> Result<String> {
        let words = vec!["first-of".to_owned(), self.container.id.clone()];
        let first = self.session.output(self.probe(words)).await?;
        Ok(format!("/proc/{}/root", first.trim()))
    }

    /// The program to run, and the container's root where that is seen.
    async fn program(&self, args: &Args, tools: &Tools) -> Result<(Program, Option<String>)> {
        let Some(image) = &tools.image else {
            let root = self.root().await?;
            let mut words = vec!["shell".to_owned(), root.clone()];
            words.extend(args.command.iter().cloned());
            return Ok((Program::Probe(words), Some(root)));
        };
        let command = if args.command.is_empty() {
            let beside = self.probe(Vec::new());
            let files_of = async |paths: &[&str]| self.session.files_of(&beside, paths).await;
            let shell = exec_session::best_shell(files_of).await?;
            shell.ok_or_else(|| {
                Error::failed(format!("image `{image}` brings no shell"))
                    .hint("another `--image`, or none for devnet's own tools")
            })?
        } else {
            args.command.clone()
        };
        let of = &self.container.name;
        if self.power == Power::None {
            self.context.ui.note(&format!(
                "tools of `{image}`, without power: the files of `{of}` are not seen (`--lend-ptrace` lends what that takes)"
            ));
            return Ok((Program::OfImage(command), None));
        }
        self.context.ui.note(&format!(
            "tools of `{image}`, lent the power to trace the processes of `{of}` and to read its files, under $ROOT"
        ));
        Ok((Program::OfImage(command), Some(self.root().await?)))
    }

    /// The shell, or the command, as a job.
    async fn job(&self, args: &Args, tools: &Tools) -> Result<Job> {
        let (program, root) = self.program(args, tools).await?;
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
        Ok(Job {
            program,
            joins: self.joins.clone(),
            power: self.power,
            input: args.stdin || is_shell,
            tty,
            env,
        })
    }

    /// Runs the shell or the command to its end.
    async fn attend(&self, job: Job) -> Result<()> {
        let stdin = job.input;
        let keys = job.tty.then(|| Keys::new(None));
        let started = self.session.spawn(job).await;
        exec_session::carry(self.context, started.map_err(before)?, stdin, keys).await
    }
}
