//! The program: reads the command line, runs the command beside what it is told meanwhile, and gives
//! the exit code.

use std::convert::Infallible;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::error::{Error, Result};
use crate::{cli, commands, dispatch, notices, settings, ui};

/// Runs devnet as from a command line and gives its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if commands::complete::answered(&arguments, cli::Cli::command) {
        return ExitCode::SUCCESS;
    }
    let cli = match cli::Cli::of_a_prompt(&arguments) {
        Some(cli) => cli,
        None => match cli::Cli::read(&arguments) {
            Ok(cli) => cli,
            Err(error) => {
                commands::version::answer(&arguments, &error);
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
        },
    };
    let mut settings =
        settings::Settings::new(cli.global.clone(), settings::Environment::of_process());
    let (notices, noticed) = tokio::sync::mpsc::unbounded_channel();
    settings.notices = notices::Notices::new(notices);
    let ui = ui::Ui::new(&settings.terminal_options());
    let context = commands::invocation::Context::new(settings, ui);
    let outcome = block_on(&context, cli.command, noticed);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn block_on(
    context: &commands::invocation::Context,
    command: cli::Command,
    mut noticed: tokio::sync::mpsc::UnboundedReceiver<String>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("could not start the async runtime").caused_by(error))?;
    let outcome = runtime.block_on(async {
        // a file that may not grow is then an error as a full disk is, and what was begun is removed
        #[cfg(unix)]
        let _no_death = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ));
        let tell = async {
            while let Some(text) = noticed.recv().await {
                context.ui.note_each(&text);
            }
            std::future::pending::<Infallible>().await
        };
        let command = async {
            tokio::select! {
                // a command that ends at once has nothing to be told
                biased;
                outcome = dispatch::run(command, context) => outcome,
                never = tell => match never {},
            }
        };
        let mut command = std::pin::pin!(command);
        tokio::select! {
            // a command that ends at once waits for no signal
            biased;
            outcome = &mut command => outcome,
            () = interrupted() => {
                // commands clean up behind themselves when they are dropped here, or, where that
                // takes questions to an engine, when told; who interrupts again waits no longer
                if context.interruption.tell() {
                    tokio::select! {
                        _ = &mut command => {}
                        () = interrupted() => {}
                    }
                }
                Err(Error::interrupted())
            }
        }
    });
    // a blocking read of a terminal or a pipe must not hold the exit
    runtime.shutdown_background();
    outcome
}

/// Resolves at the first Ctrl-C or SIGTERM; on Windows also at Ctrl-Break, and when the console is closed.
async fn interrupted() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    #[cfg(windows)]
    {
        use tokio::signal::windows::{ctrl_break, ctrl_close};
        if let (Ok(mut stopped), Ok(mut closed)) = (ctrl_break(), ctrl_close()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = stopped.recv() => {}
                _ = closed.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
