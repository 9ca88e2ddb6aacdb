//! `devnet build`.

mod ability;
mod bases;
mod cache;
mod classic;
mod job;
mod layout;
mod node_image;
mod output;
mod part;
mod podman;
mod receipt;
mod request;
mod restart;
mod result;
mod show;
mod solve;
mod source;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::build::job::Job;
use crate::commands::build::request::BuildRequest;
use crate::commands::build::source::BuildSource;
use crate::commands::invocation::Context;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes};
use crate::docker_env::endpoint::without_password;
use crate::engine::buildkit::files::Folder;
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::credentials::DockerConfig;
use crate::render::build::Progress;
use crate::text_file;

/// Build an image in the cluster's engine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet build -t app:dev .                        build, and name the image
  devnet build -t app:dev -f docker/Dockerfile .   with a Dockerfile from elsewhere
  devnet build --target test --build-arg GO=1.24 . one stage, with an argument
  devnet build --secret id=npm,src=.npmrc .        a file that RUN --mount=type=secret may see
  devnet build -o out .                            the result's files into a folder
  devnet build -t app:dev --restart .              and pods that run an older app:dev start it
  devnet build -t app:dev --watch .                again at each change, and into the running pods
  id=$(devnet build -q .)                          only the image ID on stdout

Only files that changed since the last build are sent. `.dockerignore` (or
`<Dockerfile>.dockerignore`) says what is never sent.")]
pub(crate) struct Args {
    /// The build's context: a folder, a Git or tar URL, or `-` for a tar or Dockerfile on stdin
    #[arg(value_name = "PATH|URL|-", default_value = ".")]
    pub(super) place: PathBuf,
    /// Name the image, as name:tag; may be given several times
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(super) tags: Vec<String>,
    /// The Dockerfile, `-` for stdin [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Set a build argument; without a value it is taken from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(super) build_arg: Vec<String>,
    /// Build up to this stage
    #[arg(long, value_name = "STAGE")]
    pub(super) target: Option<String>,
    /// Build for this platform, as linux/arm64, arm64 or local [default: `DOCKER_DEFAULT_PLATFORM`, else the node's]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(super) platform: Vec<String>,
    /// Let steps see a secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long, value_name = "SPEC")]
    pub(super) secret: Vec<String>,
    /// Let steps use an ssh agent or key: default, or ID=SOCKET|KEYFILE
    #[arg(long, value_name = "SPEC")]
    pub(super) ssh: Vec<String>,
    /// Put a label on the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) label: Vec<String>,
    /// Put an annotation on the image's manifest (containerd's image store only)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) annotation: Vec<String>,
    /// A named context: NAME=FOLDER, NAME=docker-image://IMAGE, NAME=oci-layout://FOLDER or NAME=URL
    #[arg(long, value_name = "NAME=PLACE")]
    pub(super) build_context: Vec<String>,
    /// The network of RUN steps: default, host or none
    #[arg(long, value_name = "NAME")]
    pub(super) network: Option<String>,
    /// Add a line to /etc/hosts of RUN steps
    #[arg(long, value_name = "HOST:IP")]
    pub(super) add_host: Vec<String>,
    /// The size of /dev/shm in RUN steps, as 64m
    #[arg(long, value_name = "SIZE")]
    pub(super) shm_size: Option<String>,
    /// A limit of RUN steps, as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(super) ulimit: Vec<String>,
    /// The control group that RUN steps run under
    #[arg(long, value_name = "CGROUP")]
    pub(super) cgroup_parent: Option<String>,
    /// Build every step anew
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Build these stages anew
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(super) no_cache_filter: Vec<String>,
    /// Look for newer base images in their registry
    #[arg(long)]
    pub(super) pull: bool,
    /// Take steps from a cache: an image in a registry, or type=local,src=FOLDER
    #[arg(long, value_name = "IMAGE|SPEC")]
    pub(super) cache_from: Vec<String>,
    /// Put the cache somewhere: type=inline, type=registry,ref=IMAGE or type=local,dest=FOLDER
    #[arg(long, value_name = "SPEC")]
    pub(super) cache_to: Vec<String>,
    #[arg(
        help = "Where the result goes: a folder, - for a tar, or type=local|tar|docker|oci|image,dest=FILE; may be given several times",
        short,
        long,
        value_name = "DEST|SPEC"
    )]
    pub(super) output: Vec<String>,
    /// Push the result to its registry
    #[arg(long)]
    pub(super) push: bool,
    /// Attach how the image was made: true, false or mode=min|max (containerd's image store only)
    #[arg(long, value_name = "HOW")]
    pub(super) provenance: Option<String>,
    /// Attach a list of what is in the image (containerd's image store only)
    #[arg(long, value_name = "HOW")]
    pub(super) sbom: Option<String>,
    /// Attach something, as type=provenance,mode=max or type=sbom (containerd's image store only)
    #[arg(long, value_name = "SPEC")]
    pub(super) attest: Vec<String>,
    /// Let steps ask for more: network.host, or what else the engine allows
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(super) allow: Vec<String>,
    /// Build on this node of the profile, and leave the others alone
    #[arg(short, long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// Accepted: the result is in the engine anyway
    #[arg(long)]
    pub(super) load: bool,
    #[arg(
        help = "How to show progress: auto, plain, tty, quiet or rawjson",
        long,
        value_name = "HOW",
        hide_possible_values = true
    )]
    pub(super) progress: Option<Progress>,
    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    pub(super) iidfile: Option<PathBuf>,
    /// Write what the engine says of the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Check the Dockerfile, and build nothing
    #[arg(long)]
    pub(super) check: bool,
    /// Build again whenever a file changes, and have pods that run the image start the new one
    #[arg(long, conflicts_with = "check")]
    pub(super) watch: bool,
    /// Have pods that run an older image of these names start the new one in the sandbox they have
    #[arg(long, conflicts_with = "check")]
    pub(super) restart: bool,
    /// Print the resolved build as JSON, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// build, or check as --check
    #[arg(long, hide = true, value_name = "HOW", value_parser = ["build", "check"], conflicts_with = "watch")]
    pub(super) call: Option<String>,
    #[command(flatten)]
    pub(super) classic: classic::Flags,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let progress = show::progress(args.progress, context)?;
    let config = Arc::new(docker_config(context));
    let mut request = request::read(&args, context)?;
    let mut source =
        BuildSource::find(&args.place, args.file.as_deref(), &mut request.options).await?;
    source.named(&args.build_context, &mut request.options)?;
    request.lend_agent(&context.settings.environment);
    let watched = if args.watch {
        watch::scopes(&source)?
    } else {
        Vec::new()
    };
    let target = context
        .target_on(Need::Image, Nodes::named_or_all(args.node.as_deref()))
        .await?;
    let Some((node, others)) = target.nodes.split_first() else {
        return Err(Error::not_found("no node to build on"));
    };
    request.proxies(&args.build_arg, &config, &node.endpoint.address);
    let computer = source::computer(context);
    let shared_key = source.shared_key(&computer, &node.name, request.options.target.as_deref());
    if args.dry_run {
        return dry_run(
            &args,
            &request,
            &source,
            &target.nodes,
            &shared_key,
            context,
        );
    }
    let provided = job::provided(&request, context).await?;
    output::check(&request.outputs, context)?;
    for file in args.iidfile.iter().chain(&args.metadata_file) {
        result::remove(file)?;
    }
    let engine = context.connect(node).await?;
    // an image that leaves the engine is for nobody else's engine
    let stays = request.outputs.is_empty() || request.outputs.iter().any(output::is_for_the_engine);
    let others = if stays { others } else { &[] };
    let others = result::connect(others, &engine, context).await?;
    let buildkit_is_off = ability::buildkit_is_off(&engine, context)?;
    let how = (buildkit_is_off.is_some(), args.checks());
    ability::can_it(&engine, &mut request, how, context).await?;
    let mut job = Job {
        request,
        source,
        shared_key,
        progress,
        config,
        node: node.name.clone(),
        engine,
        others,
        buildkit_is_off,
        check: args.checks(),
        iidfile: args.iidfile,
        metadata_file: args.metadata_file,
    };
    if args.watch {
        return Box::pin(watch::run(&mut job, provided, watched, context)).await;
    }
    let older = job.older_images().await;
    let Some(id) = job.build(provided, context).await? else {
        return Ok(());
    };
    job.hand_over(&id, context).await?;
    match older {
        Some(older) => older.settle(job.nodes(), args.restart, context).await,
        None => Ok(()),
    }
}

impl Args {
    fn checks(&self) -> bool {
        self.check || self.call.as_deref() == Some("check")
    }
}

/// Docker's own configuration; a broken one is no reason not to build.
fn docker_config(context: &Context) -> DockerConfig {
    let environment = &context.settings.environment;
    let Some(folder) = environment
        .path("DOCKER_CONFIG")
        .or_else(|| Some(context.settings.home().ok()?.join(".docker")))
    else {
        return DockerConfig::default();
    };
    let file = folder.join("config.json");
    let left_aside = |why: String| {
        context
            .ui
            .warn(&format!("`{}` is left aside: {why}", file.display()));
        DockerConfig::default()
    };
    match text_file::read(&file) {
        Ok(text) => {
            DockerConfig::parse(&text).unwrap_or_else(|error| left_aside(error.causes().join(": ")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => DockerConfig::default(),
        Err(error) => left_aside(error.to_string()),
    }
}

fn dry_run(
    args: &Args,
    request: &BuildRequest,
    source: &BuildSource,
    nodes: &[NodeTarget],
    shared_key: &str,
    context: &Context,
) -> Result<()> {
    let nodes: Vec<serde_json::Value> = nodes
        .iter()
        .map(|node| serde_json::json!({"name": node.name, "engine": node.at()}))
        .collect();
    let folders: BTreeMap<&str, &Path> = source
        .folders
        .iter()
        .filter_map(|(name, folder)| match folder {
            Folder::Path(path) => Some((name.as_str(), path.as_path())),
            Folder::Memory(_) => None,
        })
        .collect();
    let layouts: BTreeMap<&str, serde_json::Value> = source
        .layouts
        .iter()
        .map(|layout| {
            let layout_json =
                serde_json::json!({"folder": layout.root, "digest": layout.digest.as_str()});
            (layout.name.as_str(), layout_json)
        })
        .collect();
    let options = shown(&request.options, &args.build_arg);
    let plan = serde_json::json!({
        "nodes": nodes,
        "context": without_password(&source.context),
        "dockerfile": source.dockerfile,
        "folders": folders,
        "oci_layouts": layouts,
        "check": args.checks(),
        "watch": args.watch,
        "iidfile": args.iidfile,
        "metadata_file": args.metadata_file,
        "shared_key": shared_key,
        "options": options,
        "frontend_attributes": options.attributes(),
        "outputs": request.outputs,
        "push": request.push,
        "annotations": request.annotations,
        "secrets": request.secrets,
        "ssh": request.ssh,
        "cache_from": request.options.cache_from,
        "cache_to": request.cache_to,
    });
    context
        .ui
        .data(&crate::render::document::json(&plan)?)
        .map_err(Error::stdout)
}

/// The options as anyone may read them: values of docker's configuration and of the environment
/// may be secrets, and an address may hold a password.
fn shown(options: &Options, given: &[String]) -> Options {
    let mut shown = options.clone();
    for (name, value) in &mut shown.build_args {
        let typed = given
            .iter()
            .rev()
            .map(|text| text.split_once('=').ok_or(text.as_str()))
            .find(|arg| arg.map_or_else(|name| name, |(name, _)| name) == name)
            .is_some_and(|arg| arg.is_ok());
        *value = if typed || name == "SOURCE_DATE_EPOCH" {
            without_password(value)
        } else {
            "***".to_owned()
        };
    }
    for place in shown.contexts.values_mut().chain(&mut shown.remote_context) {
        *place = without_password(place);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_keeps_what_may_be_secret_to_itself() {
        let all = [
            ("HTTP_PROXY", "http://me:secret@proxy"),
            ("PASSWORD", "secret"),
            ("URL", "https://me:secret@host/x"),
            ("A", "b"),
            ("SOURCE_DATE_EPOCH", "1"),
        ];
        let git = "https://me:secret@host/x.git#main";
        let options = Options {
            build_args: all
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            contexts: [("git".to_owned(), git.to_owned())].into(),
            remote_context: Some(git.to_owned()),
            ..Options::default()
        };
        let given = ["PASSWORD", "URL=https://me:secret@host/x", "A", "A=b"];
        let attributes = shown(&options, &given.map(str::to_owned)).attributes();
        let value = |name: &str| attributes[name].as_str();
        assert_eq!(value("build-arg:HTTP_PROXY"), "***");
        assert_eq!(value("build-arg:PASSWORD"), "***");
        assert_eq!(value("build-arg:URL"), "https://me:***@host/x");
        assert_eq!(value("build-arg:A"), "b");
        assert_eq!(value("build-arg:SOURCE_DATE_EPOCH"), "1");
        assert_eq!(value("context:git"), "https://me:***@host/x.git#main");
        assert_eq!(value("context"), "https://me:***@host/x.git#main");
    }
}
