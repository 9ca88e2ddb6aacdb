//! `devnet env`: what points a shell at the cluster's engine, and what gives the shell back.

use std::ffi::OsString;
use std::io::Read as _;

use clap::ValueEnum as _;

use crate::commands::invocation::ask_minikube::from_minikube;
use crate::commands::invocation::environment::ShellRequest;
use crate::commands::invocation::node_engine::Start;
use crate::commands::invocation::{Context, environment};
use crate::docker_env::plan;
use crate::docker_env::{DockerEnv, parse};
use crate::error::{Error, Kind, Result};
use crate::host::calling_shell;
use crate::settings::{Environment, Settings};
use crate::shell::{Format, Shell};
use crate::ui::Ui;

/// Print what points a shell at the cluster's engine
///
/// On nodes with containerd the engine is one that devnet starts there (see `devnet engine`); else
/// nothing is started, restarted or changed by asking. `--unset` gives the shell back as it was,
/// whether or not a cluster still exists.
#[derive(Debug, clap::Args)]
#[command(after_help = "How each shell takes it:
  bash zsh sh dash ksh   eval $(devnet env)
  fish                   devnet env | source
  tcsh csh               eval \"`devnet env`\"
  elvish                 eval (devnet env | slurp)
  nu                     devnet env -o json | from json | load-env   (also with --unset)
  xonsh                  execx($(devnet env))
  powershell pwsh        devnet env | Invoke-Expression
  cmd                    @FOR /f \"tokens=*\" %i IN ('devnet env --shell cmd') DO @%i

With --unset, -o json and -o yaml are an object too: each variable with the value that it gets
back, or null for one that goes. dotenv and github can only make such a one empty.

Examples:
  eval $(devnet env)
  eval $(devnet -p other env --no-proxy)
  eval $(devnet env --no-start)
  eval $(devnet env --unset)
  minikube docker-env --shell none | devnet env --from - --shell fish")]
pub(crate) struct Args {
    /// The shell to write for; the default is the one that called devnet
    #[arg(long, value_name = "SHELL", conflicts_with = "output")]
    shell: Option<Shell>,
    /// Give the shell back as it was
    #[arg(short, long)]
    unset: bool,
    /// Write json, yaml, dotenv or github instead of a shell's lines
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    output: Option<Form>,
    #[command(flatten)]
    wanted: ShellRequest,
    #[arg(
        help = "Where the answer comes from: auto, files (minikube's own), minikube (runs it), or - (stdin)",
        long,
        value_name = "SOURCE",
        default_value = "auto",
        hide_possible_values = true
    )]
    from: From,
    /// Ask the engine itself, over TLS, before anything is printed
    #[arg(long)]
    check: bool,
    /// Start no Docker engine on a containerd node
    #[arg(long)]
    no_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    Auto,
    Files,
    Minikube,
    #[value(name = "-")]
    Stdin,
}

/// The form in which the environment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A shell's lines, as without a form; minikube's word.
    Text,
    Data(Format),
}

impl Form {
    fn data(self) -> Option<Format> {
        match self {
            Self::Text => None,
            Self::Data(format) => Some(format),
        }
    }
}

impl clap::ValueEnum for Form {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Data(Format::Dotenv),
            Self::Data(Format::Github),
            Self::Data(Format::Json),
            Self::Data(Format::Yaml),
            Self::Text,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::Text => Some(clap::builder::PossibleValue::new("text").hide(true)),
            Self::Data(format) => format.to_possible_value(),
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let shell = match (args.output.and_then(Form::data), args.shell) {
        (Some(_), _) => None,
        (None, Some(shell)) => Some(shell),
        (None, None) => {
            Some(calling_shell::find(&context.settings.environment).unwrap_or(Shell::Sh))
        }
    };
    let outcome = text(&args, context, shell).await;
    if outcome.is_err()
        && let Some(shell) = shell
    {
        // what is evaluated must fail too, or the next `docker build` goes to the wrong engine
        let _closed = context.ui.data(shell.failure());
    }
    let text = outcome?;
    context.ui.data(&text).map_err(Error::stdout)?;
    if shell == Some(Shell::Cmd) && !text.is_ascii() {
        context
            .ui
            .hint("cmd takes other letters than ASCII's only after `chcp 65001`");
    }
    if context.ui.stdout_is_terminal()
        && let Some(how) = shell.and_then(|shell| shell.how_to_take_it(&call(&args, context)))
    {
        context.ui.hint(&format!("to take it: {how}"));
    }
    Ok(())
}

/// A command line that can't be taken must make `eval` fail too.
pub(crate) fn fail_evaluation(arguments: &[OsString]) {
    let value_of = |flags: [&str; 2]| {
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.iter().enumerate().find_map(|(at, word)| {
            flags.iter().find_map(|flag| {
                if word == flag {
                    return words.get(at + 1).map(ToString::to_string);
                }
                let rest = word.strip_prefix(flag)?;
                let short = !flag.starts_with("--") && !rest.is_empty();
                rest.strip_prefix('=')
                    .or(short.then_some(rest))
                    .map(str::to_owned)
            })
        })
    };
    let data = value_of(["-o", "--output"]).and_then(|name| Format::from_str(&name, false).ok());
    let named =
        value_of(["--shell", "--shell"]).and_then(|name| Shell::from_str(&name, false).ok());
    let environment = Environment::of_process();
    let shell = match (named, data) {
        (Some(shell), _) => shell,
        // nobody evaluates data
        (None, Some(_)) => return,
        (None, None) => calling_shell::find(&environment).unwrap_or(Shell::Sh),
    };
    let ui = Ui::new(
        &Settings::new(crate::settings::flags::GlobalFlags::default(), environment)
            .terminal_options(),
    );
    if !ui.stdout_is_terminal() {
        let _closed = ui.data(shell.failure());
    }
}

async fn text(args: &Args, context: &Context, shell: Option<Shell>) -> Result<String> {
    let current = context.current_variables()?;
    let changes = if args.unset {
        plan::unset(&current)?
    } else {
        let (env, no_proxy) = docker_env(args, context).await?;
        plan::set(&current, &env, no_proxy.as_deref())?
    };
    match (shell, args.output.and_then(Form::data)) {
        (Some(shell), _) => shell.script(&changes),
        (None, Some(format)) if args.unset => format.unset(&changes),
        (None, format) => format.unwrap_or(Format::Json).set(&changes),
    }
}

/// The engine that the shell is to point at, and the host that is to be reached without a proxy.
async fn docker_env(args: &Args, context: &Context) -> Result<(DockerEnv, Option<String>)> {
    let env = match args.from {
        From::Stdin => {
            /// No form of `docker-env` is longer.
            const LARGEST: u64 = 1 << 20;
            let mut text = String::new();
            let unreadable = || Error::failed("stdin can't be read");
            std::io::stdin()
                .take(LARGEST + 1)
                .read_to_string(&mut text)
                .map_err(|error| unreadable().caused_by(error))?;
            if text.len() as u64 > LARGEST {
                return Err(unreadable().caused_by("it is larger than 1 MB"));
            }
            parse::parse(&text)?
        }
        From::Minikube => {
            let profile = context.profile_name()?;
            if let Some(runtime) = context.other_runtime(&profile) {
                context.ui.note(&format!(
                    "on a node with {runtime} minikube starts nerdctld, changes the node's .bashrc, and starts an ssh-agent here"
                ));
            }
            from_minikube(&context.profile_name()?, args.wanted.ssh_host, context).await?
        }
        From::Auto | From::Files => match from_files(args, context).await {
            // a record that does not say is minikube's to explain; one that says no is an answer
            Err(error)
                if args.from == From::Auto
                    && error.kind() == Kind::Failed
                    // there it would change the node
                    && context.other_runtime(&context.profile_name()?).is_none()
                    && context.minikube_program().is_ok() =>
            {
                context.ui.note(&format!(
                    "minikube's files do not say ({error}): asking minikube"
                ));
                from_minikube(&context.profile_name()?, args.wanted.ssh_host, context).await?
            }
            other => other?,
        },
    };
    let host = environment::host_in_lists(&env.host);
    Ok((env, host.filter(|_| args.wanted.no_proxy)))
}

async fn from_files(args: &Args, context: &Context) -> Result<DockerEnv> {
    let shell_target = context.shell_target(&args.wanted).await?;
    if !args.check || shell_target.engine.devnets_engine || shell_target.is_podman() {
        context
            .ready(&shell_target, Start::unless(args.no_start))
            .await?;
    }
    if args.check {
        context.connect(&shell_target.target.nodes[0]).await?;
    }
    environment::of_target(&shell_target.target)
}

/// The arguments that a person gave, for the hint how to take what was printed.
fn call(args: &Args, context: &Context) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(profile) = &context.settings.global.profile {
        words.extend(["-p".to_owned(), profile.clone()]);
    }
    words.push("env".into());
    for (flag, given) in [
        ("--unset", args.unset),
        ("--no-proxy", args.wanted.no_proxy),
        ("--ssh-host", args.wanted.ssh_host),
        ("--no-start", args.no_start),
    ] {
        if given {
            words.push(flag.into());
        }
    }
    words
}
