//! `devnet load`: images from this computer's engine to the cluster's nodes, each of which gets
//! only the layers that it lacks.

use std::time::Instant;

use crate::commands::Context;
use crate::commands::target::{Need, NodeTarget};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::engine::buildkit::token;
use crate::engine::docker_images::Image;
use crate::engine::transfer::{KnownBlobs, Needs, Sent, Transfer};
use crate::error::{Error, Kind, Result};
use crate::image::reference;
use crate::render::load::{self as render, Row};

/// Bring images to the cluster's nodes, sending only the layers they lack
///
/// Images come from this computer's engine. A node's name for the image moves only after all its
/// layers are there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet load app:dev
  devnet load app:dev --dry-run          what would be sent
  devnet load app:dev --tag app:v2       under another name
  devnet load --from-host unix:///run/user/1000/docker.sock app:dev")]
pub(crate) struct Args {
    /// The images
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
    /// Every image of the host engine that has a name
    #[arg(long, conflicts_with_all = ["images", "tag"])]
    all: bool,
    /// The engine to take images from; the default is this computer's
    #[arg(long, value_name = "URL")]
    from_host: Option<String>,
    /// The name on the nodes
    #[arg(long, value_name = "NEW")]
    tag: Option<String>,
    /// Only this node of the profile
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// text or json
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Json,
    Text,
}

/// A node of the target, connected or not.
struct Node {
    name: String,
    engine: Result<Engine>,
    same_engine: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let from = match &args.from_host {
        Some(url) => Endpoint::plain(Address::parse(url)?),
        None => context.host_endpoint()?,
    };
    if let Some(tag) = &args.tag {
        reference::split(tag)?;
        if args.images.len() > 1 {
            return Err(Error::usage(
                "--tag names one image, and several were given",
            ));
        }
    }
    let target = context
        .target(Need::Image)
        .await?
        .only(args.node.as_deref())?;
    let source = context
        .connect(&NodeTarget {
            name: "host".into(),
            endpoint: from.clone(),
            profile: None,
        })
        .await?;
    let names = if args.all {
        all_names(&source).await?
    } else {
        args.images.clone()
    };
    let (nodes, ()) = futures_util::join!(
        connect(context, &source, &target.nodes),
        source.sweep_readers()
    );
    let blobs_file = context
        .settings
        .cache_folder()
        .ok()
        .map(|folder| folder.join("blobs.json"));
    let mut blobs = blobs_file.as_deref().map(read_blobs).unwrap_or_default();
    let mut rows = Vec::new();
    for name in &names {
        let brought = async {
            let image = source
                .image(name)
                .await
                .map_err(|error| explain(error, name, &from, args.from_host.is_some()))?;
            let wanted = name_on_nodes(&args, name, &image)?;
            bring(
                context,
                &args,
                (&source, &from),
                image,
                name,
                &wanted,
                &nodes,
                &mut blobs,
            )
            .await
        };
        match brought.await {
            Ok(of_image) => rows.extend(of_image),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            // one image that is not there does not keep the others back
            Err(error) => rows.extend(nodes.iter().map(|node| {
                let mut row = Row {
                    node: node.name.clone(),
                    image: name.clone(),
                    ..Row::default()
                };
                fail(&mut row, &error);
                row
            })),
        }
    }
    if let Some(file) = &blobs_file {
        write_blobs(file, &blobs);
    }
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&rows)
            .map(|text| text + "\n")
            .map_err(|error| Error::failed("could not write JSON").because(error))?,
        Output::Text if args.dry_run => render::plan(&rows),
        Output::Text => String::new(),
    };
    context.ui.data(&text).map_err(Error::stdout)?;
    if !args.dry_run {
        for line in render::lines(&rows) {
            context.ui.say(&line);
        }
    }
    outcome(&rows)
}

/// Done, failed everywhere, or partly.
fn outcome(rows: &[Row]) -> Result<()> {
    let failed: Vec<&Row> = rows.iter().filter(|row| row.error.is_some()).collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let kind = if failed.len() < rows.len() {
        Kind::Partly
    } else {
        first.kind.unwrap_or(Kind::Failed)
    };
    let what = if failed.len() < rows.len() {
        format!("{} of {} transfers failed", failed.len(), rows.len())
    } else {
        format!("`{}` did not reach `{}`", first.image, first.node)
    };
    let error = Error::new(kind, what).because(first.error.clone().unwrap_or_default());
    Err(first
        .hints
        .iter()
        .fold(error, |error, hint| error.hint(hint.clone())))
}

/// The name that the nodes are to have: `--tag`, else the one that was typed.
fn name_on_nodes(args: &Args, name: &str, image: &Image) -> Result<(String, String)> {
    if let Some(tag) = &args.tag {
        return reference::split(tag);
    }
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let is_id = image
        .id
        .strip_prefix("sha256:")
        .is_some_and(|id| id.starts_with(hex));
    let is_name = image
        .tags
        .iter()
        .any(|tag| tag == name || tag.strip_suffix(":latest") == Some(name));
    if is_id && !is_name {
        return Err(Error::usage(format!(
            "`{name}` is an ID, and no name for the image on the nodes"
        ))
        .hint("give it one with `--tag NAME`"));
    }
    reference::split(name)
}

async fn all_names(source: &Engine) -> Result<Vec<String>> {
    let mut names: Vec<String> = source
        .image_names()
        .await?
        .into_iter()
        .flat_map(|(_, tags)| tags)
        .collect();
    names.retain(|name| !name.contains("<none>") && !name.contains("/devnet-transfer/"));
    names.sort();
    Ok(names)
}

async fn connect(context: &Context, source: &Engine, targets: &[NodeTarget]) -> Vec<Node> {
    let own = identity(source).await;
    let connects = targets.iter().map(|node| {
        let own = own.clone();
        async move {
            let engine = context.connect(node).await;
            let id = match &engine {
                Ok(engine) => identity(engine).await,
                Err(_) => None,
            };
            Node {
                name: node.name.clone(),
                engine,
                same_engine: id.is_some() && id == own,
            }
        }
    });
    futures_util::future::join_all(connects).await
}

/// What two addresses of one engine have in common. Old engines of one machine share their ID
/// (it comes from a key in /etc/docker), so the folder in which they keep their data counts too.
async fn identity(engine: &Engine) -> Option<(String, String)> {
    let info = engine.info().await.ok()?;
    Some((info.id?, info.root_dir?))
}

/// Brings one image to every node.
#[expect(
    clippy::too_many_arguments,
    reason = "one call, and each is another thing"
)]
async fn bring(
    context: &Context,
    args: &Args,
    (source, from): (&Engine, &Endpoint),
    image: Image,
    name: &str,
    wanted: &(String, String),
    nodes: &[Node],
    blobs: &mut KnownBlobs,
) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let row = |node: &Node| Row {
        node: node.name.clone(),
        image: format!("{}:{}", wanted.0, wanted.1),
        id: image.id.clone(),
        layers_total: image.layers.len(),
        bytes_total: image.size,
        same_engine: node.same_engine,
        ..Row::default()
    };
    let mut rows: Vec<Row> = nodes.iter().map(row).collect();
    let plans = futures_util::future::join_all(
        nodes
            .iter()
            .map(|node| plan(node, &image, wanted, args.dry_run)),
    )
    .await;
    let mut needs = Vec::new();
    for (place, plan) in plans.into_iter().enumerate() {
        match plan {
            Ok(Some(need)) => {
                rows[place].layers_sent = need.missing.len();
                needs.push((place, need));
            }
            Ok(None) => {}
            Err(error) => fail(&mut rows[place], &error),
        }
    }
    if args.dry_run || needs.is_empty() {
        return Ok(rows);
    }
    let transfer = Transfer {
        source,
        name: name.to_owned(),
        token: token(),
        shares_loopback: shares_loopback(from),
        image: image.clone(),
        source_name: std::sync::Mutex::default(),
    };
    let (places, needs): (Vec<usize>, Vec<Needs<'_>>) = needs.into_iter().unzip();
    let transfer_name = transfer.transfer_name();
    let take_back = async {
        if let Err(error) = transfer.tidy_source().await {
            context
                .ui
                .warn(&format!("{error}; `devnet -p lab clean` removes it"));
        }
        context.forget_transfer(&needs, &transfer_name).await;
    };
    let work = async {
        let mut sent = transfer.run(&needs, blobs).await;
        retry(context, &transfer, &needs, &mut sent, blobs).await;
        for (need, sent) in needs.iter().zip(&mut sent) {
            if sent.outcome.is_ok() {
                sent.outcome = need.engine.tag(&transfer_name, &wanted.0, &wanted.1).await;
            }
        }
        Ok(sent)
    };
    let sent = context.or_undo(work, take_back).await?;
    context.forget_transfer(&needs, &transfer_name).await;
    for (place, sent) in places.into_iter().zip(sent) {
        let row = &mut rows[place];
        row.bytes_sent = sent.bytes;
        row.seconds = (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        if let Err(error) = sent.outcome {
            fail(row, &error);
        }
    }
    Ok(rows)
}

/// What a node lacks; `None` when it has this very image under the wanted name, or is the source.
async fn plan<'a>(
    node: &'a Node,
    image: &Image,
    wanted: &(String, String),
    dry_run: bool,
) -> Result<Option<Needs<'a>>> {
    let engine = node.engine.as_ref().map_err(Error::again)?;
    let (repository, tag) = wanted;
    let there = match engine.image(&image.id).await {
        Ok(there) => there.id == image.id && there.layers == image.layers,
        Err(error) if error.kind() == Kind::NotFound => false,
        Err(error) => return Err(error),
    };
    if there {
        if dry_run {
            return Ok(None);
        }
        engine.tag(&image.id, repository, tag).await?;
        return Ok(None);
    }
    Needs::of(engine, image).await.map(Some)
}

/// A node may have removed layers in between, or take no archive that lacks some: once, and said
/// aloud, everything is sent.
async fn retry(
    context: &Context,
    transfer: &Transfer<'_>,
    needs: &[Needs<'_>],
    sent: &mut [Sent],
    blobs: &mut KnownBlobs,
) {
    let failed: Vec<usize> = (0..needs.len())
        .filter(|place| {
            sent[*place]
                .outcome
                .as_ref()
                .is_err_and(|error| error.kind() != Kind::Unreachable)
        })
        .filter(|place| {
            needs[*place].missing.len() < transfer.image.layers.len()
                || transfer.store_is_distrusted()
        })
        .collect();
    if failed.is_empty() {
        return;
    }
    for place in &failed {
        if let Err(error) = &sent[*place].outcome {
            context.ui.note(&format!(
                "{error}: sending the whole image to {}",
                needs[*place].engine.address()
            ));
        }
    }
    let whole: Vec<Needs<'_>> = failed
        .iter()
        .map(|place| Needs::all(needs[*place].engine, &transfer.image))
        .collect();
    for (place, again) in failed.into_iter().zip(transfer.run(&whole, blobs).await) {
        sent[place] = Sent {
            bytes: sent[place].bytes + again.bytes,
            outcome: again.outcome,
        };
    }
}

fn fail(row: &mut Row, error: &Error) {
    row.error = Some(error.in_one_line());
    row.hints = error.hints().to_vec();
    row.kind = Some(error.kind());
    row.layers_sent = 0;
}

/// Whether an engine reaches this computer's 127.0.0.1: one on Linux itself does, one in a virtual
/// machine does not.
fn shares_loopback(from: &Endpoint) -> bool {
    match &from.address {
        Address::Unix(path) => {
            cfg!(target_os = "linux") && !path.to_string_lossy().contains("/.docker/desktop/")
        }
        Address::Tcp { .. } | Address::Npipe(_) | Address::Ssh { .. } => false,
    }
}

fn explain(error: Error, name: &str, from: &Endpoint, named: bool) -> Error {
    if error.kind() != Kind::NotFound {
        return error;
    }
    let error = Error::not_found(format!("the engine at {from} has no image `{name}`"));
    if named {
        error.hint(format!("`docker -H {from} images` lists what it has"))
    } else {
        error.hint("`docker images` lists what it has; `--from-host URL` names another engine")
    }
}

/// As many blobs as are worth remembering.
const REMEMBERED: usize = 5000;

fn read_blobs(file: &std::path::Path) -> KnownBlobs {
    std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Losing this file costs time at the next load, nothing else.
fn write_blobs(file: &std::path::Path, blobs: &KnownBlobs) {
    if blobs.is_empty() || blobs.len() > REMEMBERED {
        let _none = std::fs::remove_file(file);
        return;
    }
    let Ok(text) = serde_json::to_vec(blobs) else {
        return;
    };
    let Some(folder) = file.parent() else { return };
    let new = folder.join(format!("blobs.{}.new", std::process::id()));
    let _full = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&new, text))
        .and_then(|()| std::fs::rename(&new, file));
}
