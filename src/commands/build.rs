//! `devnet build`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::Digest as _;

use crate::commands::Context;
use crate::commands::target::Need;
use crate::engine::Engine;
use crate::engine::buildkit::{Attributed, Built, Failure, Sent, Solve};
use crate::error::{Error, Result};
use crate::image::build::{self, Options};
use crate::image::dockerfile;
use crate::progress::{Event, Lines, Position, Source};
use crate::render::build::{Display, Progress, Size};

/// How often a live picture is painted.
const FRAME: Duration = Duration::from_millis(100);

/// Build an image in the cluster's engine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet build -t app:dev .                        build, and name the image
  devnet build -t app:dev -f docker/Dockerfile .   with a Dockerfile from elsewhere
  devnet build --target test --build-arg GO=1.24 . one stage, with an argument
  id=$(devnet build -q .)                          only the image ID on stdout

Only files that changed since the last build are sent. `.dockerignore` (or
`<Dockerfile>.dockerignore`) says what is never sent.")]
pub(crate) struct Args {
    /// The folder that is the build's context
    #[arg(value_name = "PATH", default_value = ".")]
    context_path: PathBuf,
    /// Name the image, as name:tag; may be given several times
    #[arg(short, long = "tag", value_name = "NAME")]
    tag: Vec<String>,
    /// The Dockerfile [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Set a build argument; without a value it is taken from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    build_arg: Vec<String>,
    /// Build up to this stage
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Build for this platform
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    platform: Vec<String>,
    /// Put a label on the image
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// The network of RUN steps: default, host or none
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Build every step anew
    #[arg(long)]
    no_cache: bool,
    /// Look for newer base images in their registry
    #[arg(long)]
    pull: bool,
    /// How to show progress: auto, plain, tty, quiet or rawjson
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    progress: Option<Progress>,
    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let progress = progress(&args, context)?;
    let source = Files::find(&args)?;
    let environment = |name: &str| {
        let value = context.settings.environment.os(name)?;
        value.to_str().map(ToOwned::to_owned)
    };
    let options = Options {
        filename: source.filename.clone(),
        tags: args.tag.clone(),
        build_args: build::build_args(&args.build_arg, &environment)?,
        labels: build::labels(&args.label)?,
        target: args.target.clone(),
        platforms: args.platform.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
        network: args.network.clone(),
        ..Options::default()
    };
    if let Some(file) = &args.iidfile {
        // an ID of an older build must not outlive a failure of this one
        remove(file)?;
    }
    let target = context.target(Need::Image).await?;
    let Some(node) = target.nodes.first() else {
        return Err(Error::not_found("no node to build on"));
    };
    let engine = context.connect(node).await?;
    let solve = Solve {
        attributes: options.attributes(),
        shared_key: source.shared_key(&node.name, options.target.as_deref()),
        folders: source.folders,
        exporter: Some(exporter(&options)),
        ..Solve::default()
    };
    let built = show(&engine, solve, progress, &source.dockerfile, context).await?;
    let id = built
        .image_id()
        .ok_or_else(|| Error::failed("the engine built no image"))?;
    if let Some(file) = &args.iidfile {
        std::fs::write(file, id).map_err(|error| {
            Error::failed(format!("`{}` can't be written", file.display())).because(error)
        })?;
    }
    if context.ui.quiet() {
        context
            .ui
            .data(&format!("{id}\n"))
            .map_err(|error| Error::failed("stdout can't be written").because(error))?;
    }
    Ok(())
}

/// Where the build's files are.
#[derive(Debug)]
struct Files {
    filename: String,
    dockerfile: PathBuf,
    context: PathBuf,
    folders: BTreeMap<String, PathBuf>,
}

impl Files {
    fn find(args: &Args) -> Result<Self> {
        let shown = args.context_path.display();
        let context = std::fs::canonicalize(&args.context_path).map_err(|error| {
            Error::failed(format!("no build context at `{shown}`")).because(error)
        })?;
        if !context.is_dir() {
            return Err(
                Error::failed(format!("the build context `{shown}` is no folder"))
                    .hint("give the folder, and the Dockerfile with `-f`"),
            );
        }
        let wanted = args
            .file
            .clone()
            .unwrap_or_else(|| context.join("Dockerfile"));
        let no_dockerfile = || Error::failed(format!("no Dockerfile at `{}`", wanted.display()));
        let (Some(name), Some(folder)) = (wanted.file_name(), wanted.parent()) else {
            return Err(no_dockerfile());
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let folder =
            std::fs::canonicalize(folder).map_err(|error| no_dockerfile().because(error))?;
        let dockerfile = folder.join(name);
        let facts = std::fs::metadata(&dockerfile).map_err(|error| {
            let said = no_dockerfile().because(error);
            if args.file.is_none() {
                return said.hint("`-f FILE` names another; `devnet new dockerfile` writes one");
            }
            said
        })?;
        if facts.is_dir() {
            return Err(no_dockerfile().because("this is a folder"));
        }
        let filename = name.to_str().ok_or_else(|| {
            Error::failed(format!(
                "the Dockerfile's name `{}` is not UTF-8",
                wanted.display()
            ))
        })?;
        Ok(Self {
            filename: filename.to_owned(),
            folders: [
                ("context".to_owned(), context.clone()),
                ("dockerfile".to_owned(), folder),
            ]
            .into(),
            dockerfile,
            context,
        })
    }

    /// The engine keeps one copy of a context under each key. With the Dockerfile and the stage
    /// in it, builds that need other files of the same folder do not throw away each other's.
    fn shared_key(&self, node: &str, stage: Option<&str>) -> String {
        let mut hash = sha2::Sha256::new();
        for part in [
            node.as_bytes(),
            self.context.as_os_str().as_encoded_bytes(),
            self.dockerfile.as_os_str().as_encoded_bytes(),
            stage.unwrap_or_default().as_bytes(),
        ] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        format!("devnet-{:x}", hash.finalize())
    }
}

fn exporter(options: &Options) -> Attributed {
    let mut attributes = BTreeMap::new();
    if !options.tags.is_empty() {
        attributes.insert("name".to_owned(), options.tags.join(","));
    }
    Attributed {
        kind: "moby".to_owned(),
        attributes,
    }
}

fn progress(args: &Args, context: &Context) -> Result<Progress> {
    use clap::ValueEnum as _;
    let asked = match (
        args.progress,
        context.settings.environment.text("BUILDKIT_PROGRESS")?,
    ) {
        (Some(progress), _) => progress,
        _ if context.ui.quiet() => Progress::Quiet,
        (None, Some(word)) => Progress::from_str(word, true).map_err(|_unknown| {
            Error::usage(format!("`BUILDKIT_PROGRESS={word}` is no kind of progress"))
                .hint("auto, plain, tty, quiet or rawjson")
        })?,
        (None, None) => Progress::Auto,
    };
    let terminal = context.ui.stderr_is_terminal();
    Ok(match asked {
        Progress::Auto if terminal => Progress::Tty,
        Progress::Auto => Progress::Plain,
        Progress::Tty if !terminal => {
            return Err(Error::usage("`--progress tty` needs a terminal on stderr"));
        }
        other => other,
    })
}

fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("`{}` can't be written", file.display())).because(error))
        }
        _ => Ok(()),
    }
}

/// Builds and shows it.
async fn show(
    engine: &Engine,
    solve: Solve,
    progress: Progress,
    dockerfile: &Path,
    context: &Context,
) -> Result<Built> {
    let ui = &context.ui;
    let mut display = Display::new(progress, ui.color_stderr());
    let (events, mut news) = tokio::sync::mpsc::unbounded_channel();
    let mut notes = Vec::new();
    let mut take = |display: &mut Display, event: Event| match event {
        Event::Build(update) => ui.talk_bytes(display.update(&update).as_bytes()),
        Event::Note(text) => notes.push(text),
        _ => {}
    };
    let size = || Size {
        columns: ui.columns(),
        rows: ui.rows(),
    };
    let outcome = {
        let building = engine.build(solve, &events);
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
    while let Ok(event) = news.try_recv() {
        take(&mut display, event);
    }
    ui.talk_bytes(display.last(size()).as_bytes());
    for note in notes {
        ui.warn(&crate::ui::visible(&note));
    }
    for warning in display.warnings() {
        ui.warn(&warning);
    }
    match outcome {
        Ok(built) => {
            ui.detail(&transferred(built.sent));
            Ok(built)
        }
        Err(Failure { error, mut places }) => {
            if places.is_empty() {
                places.extend(place(dockerfile, &error, &display.failed_steps()));
            }
            ui.talk_bytes(display.failure(&places).as_bytes());
            Err(error)
        }
    }
}

/// Where a build failed, found in the Dockerfile itself: engines up to 20.10 do not say.
fn place(file: &Path, error: &Error, steps: &[String]) -> Option<(Source, Vec<Lines>)> {
    let data = std::fs::read(file).ok()?;
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
    Some((Source { filename, data }, vec![range]))
}

fn transferred(sent: Sent) -> String {
    format!(
        "context: {} of {} entries sent, {} bytes",
        sent.files, sent.entries, sent.bytes
    )
}
