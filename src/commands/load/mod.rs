//! `devnet load`: images from this computer's engine, from archives and layouts to the cluster's
//! nodes, each of which gets only the layers that it lacks.

mod from_archive;
mod from_engine;
mod memory;
mod nodes;
mod piped;
mod source;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use self::memory::Memory;
use self::nodes::LoadNode;
use self::piped::Piped;
use self::source::{Asked, Meaning};
use crate::commands::deliver::{ImageSource, Lack, Name, name_it, needs};
use crate::commands::invocation::Context;
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::older_images::OlderImages;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes};
use crate::context::files::Files;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::{Engine, ImageStore};
use crate::error::{Error, Kind, Result};
use crate::image::archive_image::ArchiveImage;
use crate::image::platform::Platform;
use crate::image::reference;
use crate::image::stored::Keep;
use crate::regular_file::is_pipe;
use crate::render::document;
use crate::render::load::{self as render, LayerRow, Row};
use crate::wording::counted;

/// Bring images to the cluster's nodes, sending only the layers they lack
///
/// Images come from this computer's engine, from archives (docker's or OCI, as they are or packed
/// with gzip, zstd, bzip2 or xz), from OCI layout folders, or from an archive on stdin (`-`) or in a
/// named pipe. Every layer is checked on its way, and a node's name for the image moves only after all its layers are there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet load app:dev
  devnet load app:dev --dry-run          what would be sent, layer for layer
  devnet load app:dev --tag app:v2       under another name
  devnet load app.tar                    out of an archive that `docker save` wrote
  devnet load --all images.tar.gz        every image in it
  devnet load ./layout --platform linux/arm64
  docker save app:dev | devnet load -
  devnet load --from-host unix:///run/user/1000/docker.sock app:dev
  devnet load --from-node m02 app:dev    what another node has")]
pub(crate) struct Args {
    /// Images, archives, OCI layout folders, or `-` for an archive on stdin
    #[arg(
        value_name = "IMAGE|ARCHIVE|OCI-DIR|-",
        required_unless_present = "all",
        add = clap_complete::ArgValueCompleter::new(crate::commands::complete::sources)
    )]
    sources: Vec<String>,
    /// Every image of an archive, every tag of a repository; alone, every image of the host engine
    /// that has a name
    #[arg(long, conflicts_with = "tag")]
    all: bool,
    /// The engine to take images from; the default is this computer's
    #[arg(long, value_name = "URL")]
    from_host: Option<String>,
    /// The node of the profile to take images from, in place of this computer's engine
    #[arg(long, value_name = "NAME", conflicts_with = "from_host")]
    from_node: Option<String>,
    /// Of an image for several platforms this one; the default is what each node runs
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Bring also what a node with containerd throws away once it has unpacked it, and what is needed
    /// to push an image from there, export it, or build `FROM` it
    #[arg(long)]
    whole: bool,
    /// Have the pods that run an older image under that name run this one, in the sandboxes they have
    #[arg(long)]
    restart: bool,
    /// The name on the nodes
    #[arg(long, value_name = "NEW")]
    tag: Option<String>,
    /// Only this node of the profile
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    printed: Printed,
}

impl Args {
    /// The part of an image that nodes are to keep.
    fn keep(&self) -> Keep {
        if self.whole { Keep::Whole } else { Keep::ToRun }
    }

    /// The way in which the engine that images come from was named.
    fn asked<'a>(&'a self, context: &'a Context) -> Asked<'a> {
        match (&self.from_node, &self.from_host) {
            (Some(node), _) => Asked::Node {
                profile: context.settings.global.profile.as_deref(),
                node,
            },
            (None, Some(_)) => Asked::Host,
            (None, None) => Asked::Nothing,
        }
    }
}

/// The things that one run of the command has at hand.
struct Load<'a> {
    context: &'a Context,
    args: &'a Args,
    tag: Option<Name>,
    platform: Option<Platform>,
    from: Endpoint,
    /// The engine that images come from; `None` when none come from one.
    source: Option<Result<Engine>>,
    nodes: Vec<LoadNode>,
    /// The images that names stood for before they were given to others.
    older: Mutex<OlderImages>,
}

/// One thing to bring.
enum Item {
    Image(String),
    Archive(String, Arc<Files>, ArchiveImage),
    Piped(Piped),
    Unread(String, Error),
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    // `--all=false` takes the place of a source for whoever reads the command line
    if args.sources.is_empty() && !args.all {
        return Err(Error::usage("nothing to load was named")
            .hint("images, archives, OCI layout folders, `-`, or `--all`"));
    }
    // what is named twice is brought once
    let mut known = HashSet::new();
    let meanings = args
        .sources
        .iter()
        .map(|text| (text, source::meaning(text)))
        .filter(|(text, meaning)| match meaning {
            Ok(meaning) => known.insert(meaning.identity(text)),
            Err(_) => true,
        })
        .collect::<Vec<_>>();
    let tag = args.tag.as_deref().map(reference::split).transpose()?;
    if tag.is_some() && meanings.len() > 1 {
        return Err(Error::usage(
            "--tag names one image, and several were given",
        ));
    }
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let from_engine = meanings.is_empty()
        || meanings
            .iter()
            .any(|(_, meaning)| matches!(meaning, Ok(Meaning::Image)));
    let target = context
        .target_on(Need::Image, Nodes::named_or_all(args.node.as_deref()))
        .await?;
    let from = source_engine(&args, context).await?;
    let source = from_engine.then_some(&from);
    let (source, nodes) = nodes::connect(context, source, &target.nodes).await;
    let from = from.endpoint;
    let load = Load {
        context,
        args: &args,
        tag,
        platform,
        from,
        source,
        nodes,
        older: Mutex::default(),
    };
    let items = load.items(meanings).await?;
    let (memory_file, mut memory) = memory::read(&context.settings);
    let mut rows = Vec::new();
    for item in items {
        let name = item.name().to_owned();
        match load.deliver(item, &mut memory).await {
            Ok(of_item) => rows.extend(of_item),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            // one image that is not there does not keep the others back
            Err(error) => rows.extend(load.nodes.iter().map(|node| {
                let mut row = Row {
                    node: node.name.clone(),
                    image: name.clone(),
                    ..Row::default()
                };
                fail(&mut row, &error);
                row.never_begun = true;
                row
            })),
        }
    }
    if let Some(file) = &memory_file {
        memory::write(file, &memory);
    }
    let text = match args.printed.output {
        Format::Json => document::json(&rows)?,
        Format::Text if args.dry_run => render::plan(&rows),
        Format::Text => String::new(),
    };
    context.ui.data(&text).map_err(Error::stdout)?;
    if !args.dry_run {
        for line in render::lines(&rows) {
            context.ui.say(&line);
        }
    }
    let older = load.older.lock().await;
    let settled = older.settle(load.reached(), args.restart, context).await;
    outcome(&rows).and(settled)
}

/// The engine that images come from: this computer's, or the one that is named.
///
/// # Errors
/// When the one that is named is not known, or can't be.
async fn source_engine(args: &Args, context: &Context) -> Result<NodeTarget> {
    if let Some(node) = &args.from_node {
        let target = context.target_on(Need::Image, Nodes::Named(node)).await?;
        let mut nodes = target.nodes.into_iter();
        let absent = || Error::not_found(format!("the cluster has no node `{node}`"));
        return nodes.next().ok_or_else(absent);
    }
    Ok(NodeTarget {
        name: "host".into(),
        endpoint: match &args.from_host {
            Some(url) => Endpoint::plain(Address::parse(url)?),
            None => context.host_endpoint()?,
        },
        profile: None,
        login: None,
        away: None,
        devnets_engine: false,
    })
}

/// Done, failed everywhere, or partly.
fn outcome(rows: &[Row]) -> Result<()> {
    let failed: Vec<&Row> = rows.iter().filter(|row| row.error.is_some()).collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let why = first.error.clone().unwrap_or_default();
    let error = if failed.len() < rows.len() {
        let message = format!(
            "{} of {} failed",
            failed.len(),
            counted(rows.len(), "transfer")
        );
        Error::new(Kind::Partly, message).caused_by(why)
    } else {
        let kind = first.kind.unwrap_or(Kind::Failed);
        if first.never_begun {
            Error::new(kind, why)
        } else {
            let message = format!("`{}` did not reach `{}`", first.image, first.node);
            Error::new(kind, message).caused_by(why)
        }
    };
    Err(first
        .hints
        .iter()
        .fold(error, |error, hint| error.hint(hint.clone())))
}

impl Item {
    fn name(&self) -> &str {
        match self {
            Self::Piped(piped) => piped.name(),
            Self::Image(name) | Self::Archive(name, ..) | Self::Unread(name, _) => name,
        }
    }
}

impl Load<'_> {
    fn source(&self) -> Result<&Engine> {
        match &self.source {
            Some(Ok(engine)) => Ok(engine),
            Some(Err(error)) => Err(error.duplicate()),
            None => Err(Error::failed("no engine was connected to")),
        }
    }

    /// The nodes that answered.
    fn reached(&self) -> impl Iterator<Item = (&str, &Engine)> {
        self.nodes.iter().filter_map(|node| {
            let engine = node.engine.as_ref().ok()?;
            Some((node.name.as_str(), engine))
        })
    }

    /// Remembers what names stand for on the nodes, before they get another image.
    async fn remember(&self, names: &[Name]) {
        let names: Vec<String> = names
            .iter()
            .map(|(repository, tag)| format!("{repository}:{tag}"))
            .collect();
        self.older
            .lock()
            .await
            .remember(self.reached(), &names)
            .await;
    }

    /// Everything that is to be brought.
    async fn items(&self, meanings: Vec<(&String, Result<Meaning>)>) -> Result<Vec<Item>> {
        if meanings.is_empty() {
            let names = nodes::all_names(self.source()?, None).await?;
            return Ok(names.into_iter().map(Item::Image).collect());
        }
        let mut items = Vec::new();
        for (text, meaning) in meanings {
            let found = match meaning {
                Ok(Meaning::Image) if self.args.all => self.tags(text).await,
                Ok(Meaning::Image) => Ok(vec![Item::Image(text.clone())]),
                Ok(Meaning::Path(path)) if is_pipe(&path) => {
                    Ok(vec![Item::Piped(Piped::Path(text.clone(), path))])
                }
                Ok(Meaning::Path(path)) => {
                    self.context.say_meaning(text, &path);
                    let name = text.clone();
                    let read = source::apart(move || source::open(&path, &name)).await;
                    self.archive(text, read)
                }
                Ok(Meaning::Stdin) => match source::redirected() {
                    Some(file) => {
                        let read = source::apart(move || source::of_file(file, "stdin")).await;
                        self.archive("stdin", read)
                    }
                    None => Ok(vec![Item::Piped(Piped::Stdin)]),
                },
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => items.extend(found),
                Err(error) => items.push(Item::Unread(text.clone(), error)),
            }
        }
        // of a repository all were wanted, and one by its name too
        let mut names = HashSet::new();
        items.retain(|item| match item {
            Item::Image(name) => names.insert(reference::canonical(name)),
            _ => true,
        });
        Ok(items)
    }

    async fn deliver(&self, item: Item, memory: &mut Memory) -> Result<Vec<Row>> {
        match item {
            Item::Image(name) => self.deliver_image(&name, memory).await,
            Item::Archive(name, files, image) => {
                self.deliver_packed(&name, &files, image, memory).await
            }
            Item::Piped(piped) => self.deliver_piped(piped).await,
            Item::Unread(_, error) => Err(error),
        }
    }

    /// Brings one image to nodes.
    async fn deliver_source(
        &self,
        image_source: &ImageSource<'_>,
        nodes: &[&LoadNode],
        names: &[Name],
        sizes: &[Option<u64>],
        memory: &mut Memory,
    ) -> Result<Vec<Row>> {
        let begun = Instant::now();
        let image = image_source.image();
        let configuration = memory.configuration(&image.id).to_owned();
        let id = |node: &LoadNode| match image_source {
            ImageSource::Archive(archive_transfer) if node.store == ImageStore::Containerd => {
                archive_transfer.packed.target_id().unwrap_or(&image.id)
            }
            _ if node.store == ImageStore::Containerd => &image.id,
            _ => &configuration,
        };
        let row = |node: &&LoadNode| Row {
            node: node.name.clone(),
            image: names
                .first()
                .map(|(repository, tag)| format!("{repository}:{tag}"))
                .unwrap_or_default(),
            id: id(node).to_owned(),
            layers_total: image.layers.len(),
            bytes_total: image.size,
            same_engine: node.same_engine && matches!(image_source, ImageSource::Engine(_)),
            layers: LayerRow::all(&image.layers, sizes),
            ..Row::default()
        };
        let mut rows: Vec<Row> = nodes.iter().map(row).collect();
        let remember = async {
            if !self.args.dry_run {
                self.remember(names).await;
            }
        };
        let prepare = async {
            if let (ImageSource::Engine(transfer), false) = (image_source, self.args.dry_run) {
                transfer.prepare().await;
            }
        };
        let plans = join_all(nodes.iter().map(|node| async {
            let engine = node.engine.as_ref().map_err(Error::duplicate)?;
            needs(engine, image, id(node), self.args.keep()).await
        }));
        let ((), (), plans) = futures_util::join!(remember, prepare, plans);
        let mut lacking = Vec::new();
        for (index, plan) in plans.into_iter().enumerate() {
            match plan {
                Ok(Lack::Parts(need)) => {
                    let row = &mut rows[index];
                    row.layers_sent = need.missing.len();
                    for index in &need.missing {
                        row.layers[*index].have = false;
                    }
                    if self.args.dry_run {
                        let sizes = need.missing.iter().map(|index| sizes[*index].unwrap_or(0));
                        row.bytes_sent = sizes.sum();
                    }
                    lacking.push((index, need));
                }
                Ok(Lack::Nothing(there)) => {
                    rows[index].id.clone_from(&there.id);
                    if let (Ok(engine), false) = (&nodes[index].engine, self.args.dry_run)
                        && let Err(error) = name_it(engine, &there, names).await
                    {
                        fail(&mut rows[index], &error);
                    }
                }
                Err(error) => fail(&mut rows[index], &error),
            }
        }
        if self.args.dry_run {
            return Ok(rows);
        }
        let (indexes, lacking): (Vec<usize>, Vec<_>) = lacking.into_iter().unzip();
        let sent = self
            .context
            .deliver(image_source, &lacking, names, &mut memory.blobs)
            .await?;
        if let ImageSource::Engine(transfer) = image_source
            && let Some(configuration) = transfer.configuration()
        {
            memory.learn(&image.id, configuration);
        }
        for (index, sent) in indexes.into_iter().zip(sent) {
            let row = &mut rows[index];
            row.bytes_sent = sent.bytes;
            row.seconds = (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3;
            match sent.outcome {
                Ok(id) => row.id = id,
                Err(error) => fail(row, &error),
            }
        }
        Ok(rows)
    }
}

fn fail(row: &mut Row, error: &Error) {
    row.error = Some(error.in_one_line());
    row.hints = error.hints().to_vec();
    row.kind = Some(error.kind());
    row.layers_sent = 0;
}
