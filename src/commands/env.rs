//! `devnet env`: what points a shell at the cluster's engine, and what gives the shell back.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use crate::commands::target::{Need, NodeTarget};
use crate::commands::{Context, environment};
use crate::docker_env::endpoint::Address;
use crate::docker_env::plan::{self, Change};
use crate::docker_env::{DockerEnv, parse};
use crate::error::{Error, Kind, Result};
use crate::host::{calling_shell, process};
use crate::shell::Shell;

/// Print what points a shell at the cluster's engine
///
/// Nothing is started, restarted or changed by asking. `--unset` gives the shell back as it was,
/// whether or not a cluster still exists.
#[derive(Debug, clap::Args)]
#[command(after_help = "How each shell takes it:
  bash zsh sh dash ksh   eval $(devnet env)
  fish                   devnet env | source
  tcsh csh               eval \"`devnet env`\"
  elvish                 eval (devnet env | slurp)
  nu                     devnet env -o json | from json | load-env
  xonsh                  execx($(devnet env))
  powershell pwsh        devnet env | Invoke-Expression
  cmd                    @FOR /f \"tokens=*\" %i IN ('devnet env --shell cmd') DO @%i

Examples:
  eval $(devnet env)
  eval $(devnet -p other env --no-proxy)
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
    output: Option<Format>,
    /// Add the node to NO_PROXY
    #[arg(long)]
    no_proxy: bool,
    /// Point docker at the node's ssh login instead of its TLS port
    #[arg(long)]
    ssh_host: bool,
    /// Where the answer comes from: auto, files (minikube's own), minikube (runs it), or - (stdin)
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "auto",
        hide_possible_values = true
    )]
    from: From,
    /// Ask the engine itself, over TLS, before anything is printed
    #[arg(long)]
    check: bool,
    /// The node of a profile with several
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Dotenv,
    Github,
    Json,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    Auto,
    Files,
    Minikube,
    #[value(name = "-")]
    Stdin,
}

/// How long the one connection that tells a stopped node may take.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let shell = match (args.output, args.shell) {
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
    context
        .ui
        .data(&text)
        .map_err(|error| Error::failed("could not write to stdout").because(error))?;
    if context.ui.stdout_is_terminal()
        && let Some(how) = shell.and_then(|shell| shell.how_to_take_it(&call(&args, context)))
    {
        context.ui.hint(&format!("to take it: {how}"));
    }
    Ok(())
}

async fn text(args: &Args, context: &Context, shell: Option<Shell>) -> Result<String> {
    let current = context.current_variables()?;
    let changes = if args.unset {
        plan::unset(&current)?
    } else {
        let (env, no_proxy) = docker_env(args, context).await?;
        plan::set(&current, &env, no_proxy.as_deref())?
    };
    match (shell, args.output) {
        (Some(shell), _) => shell.script(&changes),
        (None, format) => formatted(format.unwrap_or(Format::Json), args.unset, &changes),
    }
}

/// Where the shell is to point, and the host that is to be reached without a proxy.
async fn docker_env(args: &Args, context: &Context) -> Result<(DockerEnv, Option<String>)> {
    let env = match args.from {
        From::Stdin => {
            let mut text = String::new();
            std::io::stdin()
                .take(1 << 20)
                .read_to_string(&mut text)
                .map_err(|error| Error::failed("stdin can't be read").because(error))?;
            parse::parse(&text)?
        }
        From::Minikube => from_minikube(args, context).await?,
        From::Auto | From::Files => match from_files(args, context).await {
            // a record that does not say is minikube's to explain; one that says no is an answer
            Err(error)
                if args.from == From::Auto
                    && error.kind() == Kind::Failed
                    && which::which("minikube").is_ok() =>
            {
                context.ui.note(&format!(
                    "minikube's files do not say ({error}): asking minikube"
                ));
                from_minikube(args, context).await?
            }
            other => other?,
        },
    };
    let host = match Address::parse(&env.host)? {
        Address::Tcp { host, .. } | Address::Ssh { host, .. } => host,
        Address::Npipe(_) | Address::Unix(_) => String::new(),
    };
    let no_proxy = (args.no_proxy && !host.is_empty()).then_some(host);
    Ok((env, no_proxy))
}

async fn from_files(args: &Args, context: &Context) -> Result<DockerEnv> {
    let mut target = context
        .target(Need::Environment)
        .await?
        .only(args.node.as_deref())?;
    if args.ssh_host {
        let profile = target.profile.clone().ok_or_else(|| {
            Error::usage("only a minikube profile has an ssh login that devnet knows")
                .hint("name one with `-p`")
        })?;
        target.nodes[0].endpoint.address =
            context.ssh_address(&profile, &target.nodes[0].name).await?;
        target.nodes[0].endpoint.cert_path = None;
    } else if args.check {
        context.connect(&target.nodes[0]).await?;
    } else {
        look(context, &target.nodes[0]).await?;
    }
    environment::of_target(&target)
}

/// One TCP connection tells a stopped node; no TLS, no request.
async fn look(context: &Context, node: &NodeTarget) -> Result<()> {
    let Address::Tcp { host, port } = &node.endpoint.address else {
        return Ok(());
    };
    match tokio::time::timeout(LOOK, tokio::net::TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => {
            let what = node.profile.as_ref().map_or_else(
                || format!("nothing answers at {}", node.endpoint),
                |profile| format!("minikube profile `{profile}` is not running"),
            );
            let failed = Error::unreachable(what)
                .because(format!("no answer from {}: {error}", node.endpoint));
            Err(match &node.profile {
                Some(profile) => {
                    failed.hint(format!("start it with `minikube start -p {profile}`"))
                }
                None => failed,
            })
        }
        Err(_elapsed) => {
            context.ui.warn(&format!(
                "no answer from {} within {} ms",
                node.endpoint,
                LOOK.as_millis()
            ));
            Ok(())
        }
    }
}

/// Runs `minikube docker-env` and reads what it says.
async fn from_minikube(args: &Args, context: &Context) -> Result<DockerEnv> {
    let program = which::which_in("minikube", context.settings.environment.os("PATH"), ".")
        .map_err(|error| {
            Error::failed("there is no `minikube` on PATH")
                .because(error)
                .hint("`--from files` needs none")
        })?;
    let profile = context.profile_name()?;
    let mut arguments = vec![
        "docker-env",
        "-p",
        &profile,
        "--shell",
        "none",
        "-o",
        "json",
    ];
    if args.ssh_host {
        arguments.push("--ssh-host");
    }
    let environment: Vec<_> = context
        .settings
        .environment
        .all()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let caught = process::catch(program.as_os_str(), &arguments, &environment).await?;
    if caught.code != 0 {
        let error = parse::of_exit_code(u8::try_from(caught.code).unwrap_or(1));
        let said = String::from_utf8_lossy(&caught.stderr).trim().to_owned();
        return Err(if said.is_empty() {
            error
        } else {
            error.hint(format!("minikube said: {said}"))
        });
    }
    parse::parse(&String::from_utf8_lossy(&caught.stdout))
}

/// The changes as data: variables that are set, or with `--unset` the names that go.
fn formatted(format: Format, unset: bool, changes: &[Change]) -> Result<String> {
    let failed = |error: serde_json::Error| Error::failed("could not write JSON").because(error);
    let values: BTreeMap<&str, &str> = changes
        .iter()
        .filter_map(|change| Some((change.name.as_str(), change.value.as_deref()?)))
        .filter(|(name, value)| !value.is_empty() && *name != plan::EXISTING)
        .collect();
    let names: Vec<&str> = changes
        .iter()
        .filter(|change| change.value.is_none())
        .map(|change| change.name.as_str())
        .collect();
    Ok(match format {
        Format::Json if unset => serde_json::to_string(&names).map_err(failed)? + "\n",
        Format::Json => serde_json::to_string(&values).map_err(failed)? + "\n",
        Format::Yaml if unset => crate::yaml::write(&names)?,
        Format::Yaml => crate::yaml::write(&values)?,
        Format::Dotenv if unset => names.iter().map(|name| format!("{name}=\n")).collect(),
        Format::Dotenv => values
            .iter()
            .map(|(name, value)| {
                serde_json::to_string(value)
                    .map(|value| format!("{name}={value}\n"))
                    .map_err(failed)
            })
            .collect::<Result<_>>()?,
        // GITHUB_ENV has no way to take a variable away; an empty one is the nearest
        Format::Github if unset => names.iter().map(|name| format!("{name}=\n")).collect(),
        Format::Github => values
            .iter()
            .map(|(name, value)| {
                if value.contains('\n') {
                    format!("{name}<<DEVNET_END\n{value}\nDEVNET_END\n")
                } else {
                    format!("{name}={value}\n")
                }
            })
            .collect(),
    })
}

/// The arguments that a person gave, for the hint how to take what was printed.
fn call(args: &Args, context: &Context) -> String {
    let mut words = Vec::new();
    if let Some(profile) = &context.settings.global.profile {
        words.push(format!("-p {profile}"));
    }
    words.push("env".into());
    for (flag, given) in [
        ("--unset", args.unset),
        ("--no-proxy", args.no_proxy),
        ("--ssh-host", args.ssh_host),
    ] {
        if given {
            words.push(flag.into());
        }
    }
    words.join(" ")
}
