//! One file per command, and what they share: the context of a run and who it talks to.
//!
//! A command resolves what is meant, gathers facts, decides (in the domain), acts, renders.
//! Commands do not call commands.

use crate::cli::Command;
use crate::commands::invocation::Context;
use crate::error::Result;

pub(crate) mod attended;
pub(crate) mod bring;
mod bring_progress;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
mod detach;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod exec;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod invocation;
pub(crate) mod lab;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod new;
pub(crate) mod pods;
pub(crate) mod ports;
pub(crate) mod prove;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod version;
pub(crate) mod watch;

/// Runs one command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    // a config file that says nonsense is told at once, except where that would be in the way: a
    // shell must be given back, and the doctor makes it a finding
    let can_do_without = matches!(
        command,
        Command::Completions(_)
            | Command::Doctor(_)
            | Command::Env(_)
            | Command::Hook(_)
            | Command::Man(_)
    );
    if !can_do_without {
        context.settings.config_file()?;
    }
    match command {
        Command::Build(args) => Box::pin(build::run(args, context)).await,
        Command::Check(args) => Box::pin(check::run(args, context)).await,
        Command::Clean(args) => clean::run(args, context).await,
        Command::Completions(args) => completions::run(&args, context),
        Command::Config(args) => config::run(&args, context),
        Command::Context(args) => context::run(args, context).await,
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
        Command::Env(args) => env::run(args, context).await,
        Command::Exec(args) => exec::run(args, context).await,
        Command::History(args) => history::run(args, context).await,
        Command::Graph(args) => graph::run(args, context).await,
        Command::Hook(args) => hook::run(&args, context).await,
        Command::Inspect(args) => inspect::run(args, context).await,
        Command::Lab(args) => lab::run(args, context).await,
        Command::Images(args) => images::run(args, context).await,
        Command::Load(args) => load::run(args, context).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Man(args) => man::run(&args, context),
        Command::New(args) => new::run(&args, context),
        Command::Off(args) => switch::off(&args, context),
        Command::Pods(args) => pods::run(args, context).await,
        Command::Ports(args) => ports::run(args, context).await,
        Command::Prove(args) => Box::pin(prove::run(args, context)).await,
        Command::Run(args) => run::run(args, context).await,
        Command::Shell(args) => Box::pin(shell::run(args, context)).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Use(args) => switch::use_it(args, context).await,
    }
}
