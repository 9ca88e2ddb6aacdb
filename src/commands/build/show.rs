//! `devnet build`: runs a build and shows it.

use std::path::Path;
use std::time::Duration;

use crate::commands::invocation::Context;
use crate::context::folder::Gone;
use crate::engine::Engine;
use crate::engine::buildkit::streams::Pump;
use crate::engine::buildkit::{Built, Failure, Sent, Solve};
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::dockerfile;
use crate::progress::{Event, Lines, Position, SourceFile};
use crate::regular_file;
use crate::render::build::{Display, Progress, Size};

/// The time between two paintings of a live picture.
const FRAME: Duration = Duration::from_millis(100);

/// Decides how the build is shown: the flag, `-q`, `BUILDKIT_PROGRESS`, the config file, the
/// terminal.
pub(super) fn progress(flag: Option<Progress>, context: &Context) -> Result<Progress> {
    use clap::ValueEnum as _;
    let said = context.settings.progress()?;
    let asked = match (flag, said) {
        (Some(progress), _) => progress,
        _ if context.ui.quiet() => Progress::Quiet,
        (None, Some((word, by))) => Progress::from_str(&word, true).map_err(|_unknown| {
            Error::usage(format!("`{by}={word}` is no kind of progress"))
                .hint("auto, plain, tty, quiet or rawjson")
        })?,
        (None, None) => Progress::Auto,
    };
    let terminal = context.ui.stderr_is_terminal();
    Ok(match asked {
        Progress::Auto if context.ui.draws() => Progress::Tty,
        Progress::Auto => Progress::Plain,
        Progress::Tty if !terminal => {
            return Err(Error::usage("`--progress tty` needs a terminal on stderr"));
        }
        other => other,
    })
}

/// The way to build.
pub(super) enum Work<'a> {
    BuildKit(Box<Solve>),
    Classic(&'a Options, Pump),
}

/// Builds and shows it; `None` when the engine has no BuildKit. `dockerfile` is looked into when the engine does not say where it failed.
pub(super) async fn run(
    engine: &Engine,
    work: Work<'_>,
    progress: Progress,
    dockerfile: Option<&Path>,
    context: &Context,
) -> Result<Option<Built>> {
    let ui = &context.ui;
    let mut display = Display::new(progress, ui.color_stderr(), ui.keeps_colors());
    let (events, mut news) = tokio::sync::mpsc::unbounded_channel();
    let mut notes = Vec::new();
    let mut take = |display: &mut Display, event: Event| match event {
        Event::Build(update) => ui.talk_bytes(display.update(&update).as_bytes()),
        Event::Note(text) => notes.push(text),
        // a build brings its image to other nodes when it has ended
        Event::Loaded(_) => {}
    };
    let size = || Size {
        columns: ui.columns(),
        rows: ui.rows(),
    };
    let outcome = {
        let building = async {
            match work {
                Work::BuildKit(solve) => engine.builder.build(*solve, &events).await,
                Work::Classic(options, pump) => {
                    engine.builder.build_classic(options, pump, &events).await
                }
            }
        };
        tokio::pin!(building);
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                outcome = &mut building => break outcome,
                Some(event) = news.recv() => take(&mut display, event),
                _ = frames.tick(), if display.is_live() => {
                    ui.talk_bytes(display.paint(size()).as_bytes());
                }
            }
        }
    };
    if let Err(Failure {
        no_buildkit: true, ..
    }) = outcome
    {
        return Ok(None);
    }
    while let Ok(event) = news.try_recv() {
        take(&mut display, event);
    }
    ui.talk_bytes(display.last(size()).as_bytes());
    for note in notes {
        ui.warn(&crate::visible::visible(&note));
    }
    for warning in display.warnings() {
        ui.warn(&warning);
    }
    match outcome {
        Ok(built) => {
            ui.detail(&transferred(built.sent));
            Ok(Some(built))
        }
        Err(Failure {
            error, mut places, ..
        }) => {
            if places.is_empty() {
                places.extend(
                    dockerfile.and_then(|file| place(file, &error, &display.failed_steps())),
                );
            }
            // whoever asked builds again
            if !Gone::caused(&error) {
                ui.talk_bytes(display.failure(&places).as_bytes());
            }
            Err(error)
        }
    }
}

/// Has the Dockerfile checked: what is found goes to stdout.
///
/// # Errors
/// When something was found.
pub(super) async fn check(
    engine: &Engine,
    solve: Solve,
    dockerfile: Option<&Path>,
    context: &Context,
) -> Result<()> {
    let version = engine.node.version();
    if !engine.builder.features().await?.checks {
        return Err(Error::failed(format!(
            "the engine at {} (version {version}) can't check Dockerfiles",
            engine.node.address()
        ))
        .hint("Docker Engine 27 and newer can"));
    }
    let (events, _nobody) = tokio::sync::mpsc::unbounded_channel();
    let outcome = engine.builder.check_dockerfile(solve, &events).await;
    let Failure {
        error, mut places, ..
    } = match outcome {
        Ok(checked) => {
            context
                .ui
                .data(&crate::visible::visible(&checked.text))
                .map_err(Error::stdout)?;
            if checked.clean {
                context.ui.say("check complete, no warnings found");
                return Ok(());
            }
            let found = Error::failed("the check found something to mend");
            match checked.broken {
                None => return Err(found),
                Some(why) => Failure::from(found.caused_by(why)),
            }
        }
        Err(failure) => failure,
    };
    if places.is_empty() {
        places.extend(dockerfile.and_then(|file| place(file, &error, &[])));
    }
    let display = Display::new(Progress::Quiet, context.ui.color_stderr(), false);
    context.ui.talk_bytes(display.failure(&places).as_bytes());
    Err(error)
}

/// The place at which a build failed, found in the Dockerfile itself: engines up to 20.10 do not
/// say.
fn place(file: &Path, error: &Error, steps: &[String]) -> Option<(SourceFile, Vec<Lines>)> {
    let data = regular_file::bytes(file, dockerfile::LARGEST).ok()?;
    let text = String::from_utf8_lossy(&data);
    let lines = dockerfile::line_in_message(&error.causes().join(": ")).or_else(|| {
        steps
            .iter()
            .find_map(|step| dockerfile::locate(&text, step))
    })?;
    let position = |line| Position { line, character: 0 };
    let filename = file.file_name()?.to_string_lossy().into_owned();
    let range = Lines {
        start: position(lines.0),
        end: position(lines.1),
    };
    Some((SourceFile { filename, data }, vec![range]))
}

fn transferred(sent: Sent) -> String {
    format!(
        "context: {} of {} entries sent, {} bytes",
        sent.files, sent.entries, sent.bytes
    )
}
