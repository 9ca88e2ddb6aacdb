//! `devnet build`: one build, from the command line read and the engine connected to the image.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::build::bases::{self, Incomplete};
use crate::commands::build::cache;
use crate::commands::build::layout::Borrowed;
use crate::commands::build::node_image::NodeImage;
use crate::commands::build::output;
use crate::commands::build::podman;
use crate::commands::build::request::{self, BuildRequest};
use crate::commands::build::result::{self, Other};
use crate::commands::build::show::{self, Work};
use crate::commands::build::source::{self, BuildSource};
use crate::commands::invocation::Context;
use crate::commands::invocation::older_images::OlderImages;
use crate::context::folder::Gone;
use crate::engine::buildkit::auth::Logins;
use crate::engine::buildkit::content::Store;
use crate::engine::buildkit::node::NodeBuildKit;
use crate::engine::buildkit::ssh::Agent;
use crate::engine::buildkit::streams::Supply;
use crate::engine::buildkit::{Built, Failure, Provide, Solve};
use crate::engine::{Engine, ImageStore, Info};
use crate::error::{Error, Result};
use crate::host::registry_login;
use crate::image::build::Options;
use crate::image::build_flags;
use crate::image::credentials::DockerConfig;
use crate::image::docker_words::yes_or_no;
use crate::image::reference;
use crate::render::build::Progress;

/// The number of times that a context is sent anew because a file of it went meanwhile; after that
/// such files are empty, as docker sends them.
const ANEW: usize = 3;

/// Everything that a build needs, so that it can be done again.
pub(super) struct Job {
    pub(super) request: BuildRequest,
    pub(super) source: BuildSource,
    pub(super) shared_key: String,
    pub(super) progress: Progress,
    pub(super) config: Arc<DockerConfig>,
    /// The node that builds, and its engine.
    pub(super) node: String,
    pub(super) engine: Engine,
    /// The nodes that get the image.
    pub(super) others: Vec<Other>,
    /// The reason not to use BuildKit.
    pub(super) buildkit_is_off: Option<String>,
    pub(super) check: bool,
    pub(super) iidfile: Option<PathBuf>,
    pub(super) metadata_file: Option<PathBuf>,
}

/// The engine as the place of results.
#[derive(Clone, Copy)]
struct Destination<'a> {
    info: &'a Info,
    /// The image that a node's builder makes for pods.
    image: Option<&'a NodeImage<'a>>,
}

/// The secrets and ssh agents that steps may ask for by their IDs.
#[derive(Clone)]
pub(super) struct Provided {
    secrets: BTreeMap<String, Vec<u8>>,
    agents: BTreeMap<String, Agent>,
}

/// Reads the secrets and finds the agents.
pub(super) async fn provided(request: &BuildRequest, context: &Context) -> Result<Provided> {
    Ok(Provided {
        secrets: source::secrets(&request.secrets, context).await?,
        agents: source::agents(&request.ssh, context).await?,
    })
}

impl Job {
    /// Builds, and gives the image's ID where there is an image.
    pub(super) async fn build(
        &mut self,
        provided: Provided,
        context: &Context,
    ) -> Result<Option<String>> {
        if self.engine.builder.of_podman().is_some() {
            return Box::pin(self.by_podman(context)).await;
        }
        let request = &self.request;
        // one question less where the answer changes nothing
        let info = if self.engine.builder.of_node().is_none()
            && request.outputs.is_empty()
            && request.annotations.is_empty()
            && request.options.attestations.is_empty()
            && request.cache_to.is_empty()
            && self.source.layouts.is_empty()
        {
            Info::default()
        } else {
            self.engine.runtime.info().await?
        };
        let upload = self.source.upload.take();
        let mut options = request.options.clone();
        if let Some(buildkit) = self.engine.builder.of_node() {
            let on_node = self.on_node(buildkit, provided, upload, options, &info, context);
            return Box::pin(on_node).await;
        }
        let to = Destination {
            info: &info,
            image: None,
        };
        if info.store == ImageStore::Containerd {
            return Box::pin(self.solve(provided, upload, options, to, context)).await;
        }
        let borrowed = Borrowed::new(&self.source.layouts);
        let work = async {
            Box::pin(borrowed.deliver(&self.engine, &mut options, context)).await?;
            Box::pin(self.solve(provided, upload, options, to, context)).await
        };
        let take_back = borrowed.take_back(&self.engine, context);
        let id = Box::pin(context.or_undo(work, take_back)).await?;
        borrowed.take_back(&self.engine, context).await;
        Ok(id)
    }

    /// The same on a node with containerd: its bases are completed before, and its image has a name
    /// of ours until it is whole.
    async fn on_node(
        &self,
        buildkit: &NodeBuildKit,
        provided: Provided,
        upload: Option<Supply>,
        options: Options,
        info: &Info,
        context: &Context,
    ) -> Result<Option<String>> {
        buildkit.sweep().await?;
        let incomplete = match self.source.dockerfile_text() {
            Some(text) => bases::complete(&text, &options, &self.engine, context).await?,
            None => Incomplete::default(),
        };
        let image = NodeImage::new(buildkit);
        let named = (self.is_for_the_engine() && !self.check).then_some(&image);
        let to = Destination { info, image: named };
        let work = self.solve(provided, upload, options, to, context);
        let take_back = async {
            if let Some(image) = named {
                image.forget(&self.engine, context).await;
            }
        };
        let outcome = Box::pin(context.or_undo(work, take_back)).await;
        outcome.map_err(|error| incomplete.explain(error))
    }

    /// Solves, and again without what went meanwhile: editors' files come and go, and what is gone
    /// is no part of the context.
    async fn solve(
        &self,
        provided: Provided,
        upload: Option<Supply>,
        options: Options,
        to: Destination<'_>,
        context: &Context,
    ) -> Result<Option<String>> {
        let mut upload = upload;
        for _ in 0..ANEW {
            let again = upload.is_none();
            let work = self.solve_once(
                provided.clone(),
                upload.take(),
                options.clone(),
                to,
                false,
                context,
            );
            match Box::pin(work).await {
                Err(error) if again && Gone::caused(&error) => {
                    context.ui.note(&format!(
                        "{}: the context is sent anew, without it",
                        error.in_one_line()
                    ));
                }
                outcome => return outcome,
            }
        }
        Box::pin(self.solve_once(provided, upload, options, to, true, context)).await
    }

    async fn solve_once(
        &self,
        provided: Provided,
        mut upload: Option<Supply>,
        mut options: Options,
        to: Destination<'_>,
        gone_is_empty: bool,
        context: &Context,
    ) -> Result<Option<String>> {
        let Destination { info, image } = to;
        let engine = &self.engine;
        let request = &self.request;
        let caches = cache::find(
            &options.cache_from,
            &request.cache_to,
            engine,
            info,
            context,
        )?;
        options.cache_from.clone_from(&caches.from);
        let mut stores = caches.stores;
        stores.extend(self.source.layouts.iter().map(|layout| {
            let store = Store {
                root: layout.root.clone(),
                grows: false,
            };
            (format!("oci:{}", layout.store), store)
        }));
        let options = &options;
        let mut plan = output::plan(
            &request.outputs,
            options,
            &request.annotations,
            info,
            (image, request.push),
        )?;
        let before = plan.images_before(engine).await?;
        let mut built: Option<Built> = None;
        let rounds = plan.rounds(engine).await?;
        if rounds.len() > 1 && upload.is_some() {
            return Err(Error::failed(format!(
                "the engine at {} makes one output at a time, and the context on stdin can be read once",
                engine.node.address()
            ))
            .hint("give the context as a folder; Docker Engine 26 and newer make several outputs at once"));
        }
        for exporters in rounds {
            let mut attributes = options.attributes();
            if built.is_some() {
                // what was built anew a moment ago is taken as it is
                attributes.remove("no-cache");
            }
            let (exporters, results) = exporters.into_iter().unzip();
            let solve = Solve {
                attributes,
                shared_key: self.shared_key.clone(),
                exporters,
                cache_from: caches.from.clone(),
                cache_to: caches.to.clone(),
                entitlements: entitlements(options),
                provide: Provide {
                    folders: self.source.folders.clone(),
                    stores: stores.clone(),
                    upload: upload.take(),
                    secrets: provided.secrets.clone(),
                    agents: provided.agents.clone(),
                    logins: Some(logins(&self.config, context)),
                    results,
                    gone_is_empty,
                },
            };
            let dockerfile = self.source.dockerfile.as_deref();
            if self.check {
                show::check(engine, solve, dockerfile, context).await?;
                return Ok(None);
            }
            let work = Work::BuildKit(Box::new(solve));
            let now = if self.buildkit_is_off.is_some() {
                None
            } else {
                for_buildkit(options)?;
                show::run(engine, work, self.progress, dockerfile, context)
                    .await
                    .map_err(|error| plan.complaint().unwrap_or(error))?
            };
            let now = match now {
                Some(built) => {
                    say_unused(options, context);
                    built
                }
                None => self.classic(options, context).await?,
            };
            match &mut built {
                None => built = Some(now),
                Some(built) => built.response.extend(now.response),
            }
        }
        let built = built.unwrap_or_default();
        cache::keep(&caches.to, &built.response)?;
        let id = engine.builder.image_id(&built);
        if let Some(image) = image {
            image.settle(&options.tags).await?;
        }
        plan.finish(engine, id, &before, &options.tags, context)
            .await?;
        let id = self.told(&built, context).await?;
        // a containerd node's builder has pushed it itself
        if request.push && image.is_none() {
            self.push(context).await?;
        }
        Ok(id)
    }

    /// Writes what is to be known of the result, to files and to stdout; gives the image's ID where there
    /// is one.
    pub(super) async fn told(&self, built: &Built, context: &Context) -> Result<Option<String>> {
        let id = self.engine.builder.image_id(built);
        if let (Some(file), Some(id)) = (&self.iidfile, id) {
            result::write(file, id.to_owned()).await?;
        }
        if let Some(file) = &self.metadata_file {
            result::write(file, result::metadata(built)).await?;
        }
        let stdout_is_taken = self
            .request
            .outputs
            .iter()
            .any(|output| output.dest.as_deref() == Some(Path::new("-")));
        if let (Some(id), true) = (id, context.ui.quiet() && !stdout_is_taken) {
            let line = format!("{id}\n");
            context.ui.data(&line).map_err(Error::stdout)?;
        }
        Ok(id.map(ToOwned::to_owned))
    }

    /// The same by an engine's classic builder.
    async fn classic(&self, options: &Options, context: &Context) -> Result<Built> {
        let Self {
            request, engine, ..
        } = self;
        let dockerfile = self.source.dockerfile.as_deref();
        let classic = request::classic(&self.source, dockerfile);
        let off = self.buildkit_is_off.as_deref();
        let (pump, filename) = request::classic_or_why(classic, request, engine, off.is_some())?;
        let options = Options {
            filename,
            ..options.clone()
        };
        let none = format!("the engine at {} has no BuildKit", engine.node.address());
        context.ui.note(&format!(
            "{}: its classic builder is used, which is sent the whole context",
            off.unwrap_or(&none)
        ));
        let work = Work::Classic(&options, pump);
        show::run(engine, work, self.progress, dockerfile, context)
            .await?
            .ok_or_else(|| Error::failed("the engine built no image"))
    }

    async fn push(&self, context: &Context) -> Result<()> {
        for name in &self.request.options.tags {
            let registry = build_flags::registry(name).to_owned();
            let login = logins(&self.config, context)(registry).await;
            let (repository, tag) = reference::split(name)?;
            let what = format!("pushing `{name}`");
            self.engine
                .images
                .push((&repository, &tag), login, &what)
                .await?;
            context.ui.detail(&format!("pushed {name}"));
        }
        Ok(())
    }

    /// The engines that have the image afterwards, the one that builds first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Engine)> {
        let others = self
            .others
            .iter()
            .filter_map(|(name, engine)| Some((name.as_str(), engine.as_ref().ok()?)));
        std::iter::once((self.node.as_str(), &self.engine)).chain(others)
    }

    /// The images that the build's names stand for now, where it will give them to another.
    pub(super) async fn older_images(&self) -> Option<OlderImages> {
        let names = &self.request.options.tags;
        if self.check || names.is_empty() || !self.is_for_the_engine() {
            return None;
        }
        let mut older = OlderImages::default();
        older.remember(self.nodes(), names).await;
        Some(older)
    }

    /// True where the result stays in the engine.
    pub(super) fn is_for_the_engine(&self) -> bool {
        let outputs = &self.request.outputs;
        outputs.is_empty() || outputs.iter().any(output::is_for_the_engine)
    }

    /// Brings the image to the other nodes.
    pub(super) async fn hand_over(&self, id: &str, context: &Context) -> Result<()> {
        let names = &self.request.options.tags;
        result::hand_over(&self.engine, id, names, &self.others, context).await
    }
}

fn logins(config: &Arc<DockerConfig>, context: &Context) -> Logins {
    let environment: Arc<Vec<(OsString, OsString)>> = Arc::new(
        context
            .settings
            .environment
            .all()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    );
    let config = config.clone();
    Arc::new(move |host| {
        let (config, environment) = (config.clone(), environment.clone());
        Box::pin(async move { registry_login::login(&config, &host, &environment).await })
    })
}

/// The reason not to use the engine's BuildKit, where `DOCKER_BUILDKIT` gives one.
///
/// # Errors
/// BuildKit is off in the engine, and the variable does not decide; it says neither yes nor no.
pub(super) fn buildkit_is_off(engine: &Engine, context: &Context) -> Result<Option<String>> {
    let word = context.settings.environment.text("DOCKER_BUILDKIT")?;
    let Some(word) = word else {
        if !engine.builder.buildkit_is_off() {
            return Ok(None);
        }
        let off = format!("BuildKit is off at {}", engine.node.address());
        return Err(Error::failed(off)
            .hint(
                "turn it on: `\"features\": {\"buildkit\": true}` in the engine's \
                 /etc/docker/daemon.json, then `sudo systemctl reload docker` there",
            )
            .hint("`DOCKER_BUILDKIT=1` uses it for one build all the same"));
    };
    match yes_or_no(word) {
        Some(true) => Ok(None),
        Some(false) => Ok(Some(format!("`DOCKER_BUILDKIT={word}`"))),
        None => Err(Error::usage(format!(
            "`DOCKER_BUILDKIT={word}` is neither 0 nor 1"
        ))),
    }
}

/// Says what an old engine would silently leave out, and asks it what only it knows.
pub(super) async fn can_it(
    engine: &Engine,
    request: &mut BuildRequest,
    (buildkit_is_off, checks): (bool, bool),
    context: &Context,
) -> Result<()> {
    if engine.builder.of_podman().is_some() {
        return podman::refuse(request, checks);
    }
    let hosts = &mut request.options.hosts;
    if hosts.iter().any(|(_, address)| address == "host-gateway") {
        match engine.builder.host_gateway().await {
            Ok(gateway) => {
                for (_, address) in hosts {
                    if address == "host-gateway" {
                        address.clone_from(&gateway);
                    }
                }
            }
            // the classic builder knows the word itself
            Err(error) => match Failure::from(error) {
                failure if failure.no_buildkit => {}
                failure => return Err(failure.error),
            },
        }
    }
    let version = engine.node.version();
    let features = engine.builder.features().await?;
    let who = format!(
        "the engine at {} (version {version})",
        engine.node.address()
    );
    if !features.named_contexts && !request.options.contexts.is_empty() {
        return Err(Error::failed(format!("{who} knows no named contexts"))
            .hint("Docker Engine 23 and newer do"));
    }
    for (flag, given) in [
        ("--ulimit", !request.options.ulimits.is_empty()),
        ("--shm-size", request.options.shm_size.is_some()),
        ("--cgroup-parent", request.options.cgroup_parent.is_some()),
    ] {
        // the classic builder has always known them
        if given && !features.limits && !buildkit_is_off {
            context
                .ui
                .warn(&format!("{who} knows no `{flag}` and builds without it"));
        }
    }
    Ok(())
}

/// Refuses what BuildKit has no way to do.
fn for_buildkit(options: &Options) -> Result<()> {
    let network = options.network.as_deref().unwrap_or_default();
    if matches!(network, "" | "default" | "host" | "none") {
        return Ok(());
    }
    Err(
        Error::failed(format!("`--network {network}`: BuildKit has no such network"))
            .hint("default, host or none; `DOCKER_BUILDKIT=0` builds with the classic builder, which has others"),
    )
}

/// Says which limit had no meaning for BuildKit.
fn say_unused(options: &Options, context: &Context) {
    if let Some(flag) = options.limits.first() {
        context.ui.note(&format!(
            "BuildKit has no `{flag}`, which only the classic builder knows"
        ));
    }
}

fn entitlements(options: &Options) -> Vec<String> {
    let host = options.network.as_deref() == Some("host");
    let mut all = options.allowed.clone();
    all.extend(host.then(|| "network.host".to_owned()));
    all.sort();
    all.dedup();
    all
}
