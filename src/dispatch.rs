//! From the command line that was read to the verb that it means.

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::commands::invocation::Context;
use crate::commands::{
    build, check, clean, completions, config, context, doctor, engine, env, exec, graph, history,
    hook, images, inspect, kill, lab, load, logs, man, new, pods, ports, prove, restart, run,
    shell, status, switch, watch,
};
use crate::error::Result;

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
        Command::Clean(args) => Box::pin(clean::run(args, context)).await,
        Command::Completions(args) => completions::run(&args, Cli::command(), context),
        Command::Config(args) => config::run(&args, context),
        Command::Context(args) => context::run(args, context).await,
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
        Command::Engine(args) => Box::pin(engine::run(args, context)).await,
        Command::Env(args) => env::run(args, context).await,
        Command::Exec(args) => exec::run(args, context).await,
        Command::History(args) => history::run(args, context).await,
        Command::Graph(args) => graph::run(args, context).await,
        Command::Hook(args) => hook::run(&args, context).await,
        Command::Inspect(args) => inspect::run(args, context).await,
        Command::Lab(args) => lab::run(args, context).await,
        Command::Images(args) => images::run(args, context).await,
        Command::Kill(args) => Box::pin(kill::run(args, context)).await,
        Command::Load(args) => Box::pin(load::run(args, context)).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Man(args) => man::run(&args, Cli::command(), context),
        Command::New(args) => new::run(&args, context),
        Command::Off(args) => switch::off(&args, context),
        Command::Pods(args) => pods::run(args, context).await,
        Command::Ports(args) => ports::run(args, context).await,
        Command::Prove(args) => Box::pin(prove::run(args, context)).await,
        Command::Restart(args) => Box::pin(restart::run(args, context)).await,
        Command::Run(args) => run::run(args, context).await,
        Command::Shell(args) => Box::pin(shell::run(args, context)).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Use(args) => switch::use_it(args, context).await,
    }
}
