//! `devnet build`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::Context;
use crate::commands::build_result::{self, Export, Part};
use crate::commands::build_show::{self, Work};
use crate::commands::build_source::{self, Source};
use crate::commands::target::{Need, NodeTarget};
use crate::engine::buildkit::{Provide, Solve};
use crate::engine::buildkit_auth::Logins;
use crate::engine::buildkit_files::Folder;
use crate::engine::buildkit_streams::Pump;
use crate::engine::{Engine, Info};
use crate::error::{Error, Result};
use crate::host::registry_login;
use crate::image::build::{self, Options};
use crate::image::build_flags::{self, Attributed, Output, Secret, Ssh};
use crate::image::credentials::DockerConfig;
use crate::image::{context_tar, ignore};
use crate::render::build::Progress;

/// Build an image in the cluster's engine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet build -t app:dev .                        build, and name the image
  devnet build -t app:dev -f docker/Dockerfile .   with a Dockerfile from elsewhere
  devnet build --target test --build-arg GO=1.24 . one stage, with an argument
  devnet build --secret id=npm,src=.npmrc .        a file that RUN --mount=type=secret may see
  devnet build -o out .                            the result's files into a folder
  id=$(devnet build -q .)                          only the image ID on stdout

Only files that changed since the last build are sent. `.dockerignore` (or
`<Dockerfile>.dockerignore`) says what is never sent.")]
pub(crate) struct Args {
    /// The build's context: a folder, a Git or tar URL, or `-` for a tar or Dockerfile on stdin
    #[arg(value_name = "PATH|URL|-", default_value = ".")]
    place: PathBuf,
    /// Name the image, as name:tag; may be given several times
    #[arg(short, long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// The Dockerfile, `-` for stdin [default: PATH/Dockerfile]
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
    /// Let steps see a secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long, value_name = "SPEC")]
    secret: Vec<String>,
    /// Let steps use an ssh agent or key: default, or ID=SOCKET|KEYFILE
    #[arg(long, value_name = "SPEC")]
    ssh: Vec<String>,
    /// Put a label on the image
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Put an annotation on the image's manifest (containerd's image store only)
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// A named context: NAME=FOLDER, NAME=docker-image://IMAGE or NAME=URL
    #[arg(long, value_name = "NAME=PLACE")]
    build_context: Vec<String>,
    /// The network of RUN steps: default, host or none
    #[arg(long, value_name = "NAME", value_parser = ["default", "host", "none"], hide_possible_values = true)]
    network: Option<String>,
    /// Add a line to /etc/hosts of RUN steps
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
    /// The size of /dev/shm in RUN steps, as 64m
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// A limit of RUN steps, as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Build every step anew
    #[arg(long)]
    no_cache: bool,
    /// Build these stages anew
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Look for newer base images in their registry
    #[arg(long)]
    pull: bool,
    /// Take steps from the cache of an image in a registry
    #[arg(long, value_name = "IMAGE|SPEC")]
    cache_from: Vec<String>,
    /// Put the cache somewhere: type=inline, or type=registry,ref=IMAGE
    #[arg(long, value_name = "SPEC")]
    cache_to: Vec<String>,
    /// Where the result goes: a folder, - for a tar, or type=local|tar|docker|oci|image,dest=FILE
    #[arg(short, long, value_name = "DEST|SPEC")]
    output: Vec<String>,
    /// Push the result to its registry
    #[arg(long)]
    push: bool,
    /// Attach how the image was made: true, false or mode=min|max (containerd's image store only)
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// Attach a list of what is in the image (containerd's image store only)
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// Build on this node of the profile, and leave the others alone
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    /// Accepted: the result is in the engine anyway
    #[arg(long)]
    load: bool,
    /// How to show progress: auto, plain, tty, quiet or rawjson
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    progress: Option<Progress>,
    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what the engine says of the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Check the Dockerfile, and build nothing
    #[arg(long)]
    check: bool,
    /// Print the resolved build as JSON, and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// The command line, read.
struct Wanted {
    options: Options,
    secrets: Vec<Secret>,
    ssh: Vec<Ssh>,
    output: Option<Output>,
    annotations: BTreeMap<String, String>,
    cache_from: Vec<Attributed>,
    cache_to: Vec<Attributed>,
    push: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let progress = build_show::progress(args.progress, context)?;
    let config = Arc::new(docker_config(context));
    let mut wanted = wanted(&args, &config, context)?;
    let mut source = Source::find(&args.place, args.file.as_deref(), &mut wanted.options).await?;
    source.named(&args.build_context, &mut wanted.options)?;
    let target = context
        .target(Need::Image)
        .await?
        .only(args.node.as_deref())?;
    let Some((node, others)) = target.nodes.split_first() else {
        return Err(Error::not_found("no node to build on"));
    };
    let computer = build_source::computer(context);
    let shared_key = source.shared_key(&computer, &node.name, wanted.options.target.as_deref());
    if args.dry_run {
        return dry_run(&wanted, &source, &target.nodes, &shared_key, context);
    }
    let secrets = build_source::secrets(&wanted.secrets, context)?;
    let agents = build_source::agents(&wanted.ssh, context).await?;
    for file in args.iidfile.iter().chain(&args.metadata_file) {
        build_result::remove(file)?;
    }
    let engine = context.connect(node).await?;
    // an image that leaves the engine is for nobody else's engine
    let others = if wanted.output.is_none() { others } else { &[] };
    let others = build_result::connect(others, &engine, context).await?;
    can_it(&engine, &wanted, context)?;
    if wanted
        .options
        .hosts
        .iter()
        .any(|(_, address)| address == "host-gateway")
    {
        let gateway = engine.host_gateway().await?;
        for (_, address) in &mut wanted.options.hosts {
            if address == "host-gateway" {
                address.clone_from(&gateway);
            }
        }
    }
    // one question less where the answer changes nothing
    let info = if wanted.output.is_some()
        || !wanted.annotations.is_empty()
        || !wanted.options.attestations.is_empty()
    {
        engine.info().await?
    } else {
        Info::default()
    };
    let Export {
        exporter,
        sink,
        part,
        save_to,
    } = build_result::export(
        wanted.output.as_ref(),
        &wanted.options,
        &wanted.annotations,
        &info,
        context,
    )?;
    let dockerfile = source.dockerfile.take();
    let classic = classic(&source, dockerfile.as_deref());
    let solve = Solve {
        attributes: wanted.options.attributes(),
        shared_key,
        exporter,
        cache_from: std::mem::take(&mut wanted.cache_from),
        cache_to: wanted.cache_to.clone(),
        entitlements: entitlements(&wanted.options),
        provide: Provide {
            folders: source.folders,
            upload: source.upload,
            secrets,
            agents,
            logins: Some(logins(&config, context)),
            result: sink,
        },
    };
    if args.check {
        return build_show::check(&engine, solve, dockerfile.as_deref(), context).await;
    }
    let work = Work::BuildKit(Box::new(solve));
    let built = build_show::run(&engine, work, progress, dockerfile.as_deref(), context).await?;
    let built = if let Some(built) = built {
        built
    } else {
        let (pump, filename) = classic_or_why(classic, &wanted, &engine)?;
        wanted.options.filename = filename;
        let work = Work::Classic(&wanted.options, pump);
        context.ui.note(&format!(
            "the engine at {} has no BuildKit: its classic builder is used, which is sent the whole context",
            engine.address()
        ));
        build_show::run(&engine, work, progress, dockerfile.as_deref(), context)
            .await?
            .ok_or_else(|| Error::failed("the engine built no image"))?
    };
    let id = built.image_id();
    if let (Some(file), Some(id)) = (&save_to, id) {
        let (sink, part) = build_result::write_to(file, context)?;
        engine.save_image(id, &wanted.options.tags, sink).await?;
        part.map_or(Ok(()), Part::finish)?;
    }
    part.map_or(Ok(()), Part::finish)?;
    if let (Some(file), Some(id)) = (&args.iidfile, id) {
        build_result::write(file, id)?;
    }
    if let Some(file) = &args.metadata_file {
        build_result::write(file, &build_result::metadata(&built))?;
    }
    if let (Some(id), true) = (id, context.ui.quiet()) {
        context
            .ui
            .data(&format!("{id}\n"))
            .map_err(|error| Error::failed("stdout can't be written").because(error))?;
    }
    if wanted.push {
        for name in &wanted.options.tags {
            let login = logins(&config, context)(build_flags::registry(name).to_owned()).await;
            engine.push_image(name, login).await?;
            context.ui.detail(&format!("pushed {name}"));
        }
    }
    match id {
        Some(id) => {
            build_result::hand_over(&engine, id, &wanted.options.tags, others, context).await
        }
        None => Ok(()),
    }
}

/// The context as the classic builder takes it, and the Dockerfile's name in it; the reason where
/// that is not possible.
fn classic(source: &Source, dockerfile: Option<&Path>) -> Result<(Pump, String)> {
    let needs_buildkit = |what: &str| Error::failed(format!("{what} needs BuildKit"));
    let root = match source.folders.get("context") {
        Some(Folder::Path(root)) => Some(root.clone()),
        Some(Folder::Memory(_)) => None,
        None => return Err(needs_buildkit("a context that is no folder")),
    };
    let text = match (dockerfile, source.folders.get("dockerfile")) {
        (Some(file), _) => std::fs::read(file).map_err(|error| {
            Error::failed(format!("`{}` can't be read", file.display())).because(error)
        })?,
        (None, Some(Folder::Memory(files))) => files.values().next().cloned().unwrap_or_default(),
        (None, _) => return Err(needs_buildkit("a Dockerfile that is no file")),
    };
    let own = dockerfile.map(|file| {
        let mut name = file.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let common = root.as_ref().map(|root| root.join(".dockerignore"));
    let read = |file: &PathBuf| std::fs::read_to_string(file).ok();
    let ignored = own.iter().chain(&common).find_map(read);
    let exclude = ignored.map(|text| ignore::lines(&text)).unwrap_or_default();
    let matcher = ignore::Matcher::new(&exclude)
        .map_err(|error| Error::failed("the build context can't be filtered").because(error))?;
    let within = root
        .as_deref()
        .and_then(|root| dockerfile?.strip_prefix(root).ok()?.to_str())
        .map(|path| path.replace('\\', "/"))
        .filter(|path| !matcher.matches(path, None).0);
    let apart = within.is_none().then(|| context_tar::Apart {
        text,
        visible_ignore: common
            .as_ref()
            .filter(|_| !matcher.matches(".dockerignore", None).0)
            .and_then(read),
    });
    let name = within.unwrap_or_else(|| context_tar::DOCKERFILE.to_owned());
    let pump = Box::new(move |to: &mut dyn std::io::Write| {
        context_tar::write(root.as_deref(), &exclude, apart.as_ref(), to)
    });
    Ok((pump, name))
}

/// Refuses what the classic builder would silently leave out.
fn classic_or_why(
    classic: Result<(Pump, String)>,
    wanted: &Wanted,
    engine: &Engine,
) -> Result<(Pump, String)> {
    let options = &wanted.options;
    let flags = [
        ("--secret", !wanted.secrets.is_empty()),
        ("--ssh", !wanted.ssh.is_empty()),
        ("--output", wanted.output.is_some()),
        ("--build-context", !options.contexts.is_empty()),
        ("--cache-to", !wanted.cache_to.is_empty()),
        ("--no-cache-filter", !options.no_cache_filter.is_empty()),
        ("--ulimit", !options.ulimits.is_empty()),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
        return Err(Error::failed(format!(
            "`{flag}` needs BuildKit, which the engine at {} does not have",
            engine.address()
        )));
    }
    classic
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

fn wanted(args: &Args, config: &DockerConfig, context: &Context) -> Result<Wanted> {
    let environment = |name: &str| {
        let value = context.settings.environment.os(name)?;
        value.to_str().map(ToOwned::to_owned)
    };
    let mut build_args = config.proxy_args();
    // reproducible builds say their time in the environment
    if let Some(epoch) = environment("SOURCE_DATE_EPOCH").filter(|epoch| !epoch.is_empty()) {
        build_args.insert("SOURCE_DATE_EPOCH".into(), epoch);
    }
    build_args.extend(build::build_args(&args.build_arg, &environment)?);
    let each = |texts: &[String], read: &dyn Fn(&str) -> Result<Attributed>| {
        texts
            .iter()
            .map(|text| read(text))
            .collect::<Result<Vec<_>>>()
    };
    let output = match args.output.as_slice() {
        [] => None,
        [one] => Some(build_flags::output(one)?),
        _ => {
            return Err(Error::usage("the engine makes one output at a time")
                .hint("build again for the other: all steps are cached then"));
        }
    };
    let wants_push = |output: &Output| {
        output.what.kind == "registry"
            || output
                .what
                .attributes
                .get("push")
                .is_some_and(|push| push == "true")
    };
    let push = args.push || output.as_ref().is_some_and(wants_push);
    let mut tags = args.tags.clone();
    if let Some(names) = output
        .as_ref()
        .and_then(|output| output.what.attributes.get("name"))
    {
        tags.extend(names.split(',').map(ToOwned::to_owned));
    }
    for tag in &tags {
        build_flags::image_name(tag)?;
    }
    if push && tags.is_empty() {
        return Err(Error::usage("there is no name to push to").hint("give one with `-t`"));
    }
    let attestations = [("provenance", &args.provenance), ("sbom", &args.sbom)]
        .into_iter()
        .filter_map(|(kind, how)| Some((kind, how.as_deref()?)))
        .filter(|(_, how)| *how != "false")
        .map(|(kind, how)| {
            let how = match (kind, how) {
                ("provenance", "true") => "mode=min",
                (_, "true") => "",
                (_, how) => how,
            };
            (kind.to_owned(), how.to_owned())
        })
        .collect();
    Ok(Wanted {
        push,
        options: Options {
            tags,
            attestations,
            build_args,
            labels: build::labels(&args.label)?,
            target: args.target.clone(),
            platforms: args.platform.clone(),
            no_cache: args.no_cache,
            no_cache_filter: args.no_cache_filter.clone(),
            pull: args.pull,
            network: args.network.clone(),
            hosts: args
                .add_host
                .iter()
                .map(|text| build_flags::host(text))
                .collect::<Result<_>>()?,
            shm_size: args
                .shm_size
                .as_deref()
                .map(|text| build_flags::bytes("--shm-size", text))
                .transpose()?,
            ulimits: args
                .ulimit
                .iter()
                .map(|text| build_flags::ulimit(text))
                .collect::<Result<_>>()?,
            ..Options::default()
        },
        secrets: args
            .secret
            .iter()
            .map(|text| build_flags::secret(text))
            .collect::<Result<_>>()?,
        ssh: args.ssh.iter().map(|text| build_flags::ssh(text)).collect(),
        output,
        annotations: args
            .annotation
            .iter()
            .map(|text| build_flags::annotation(text))
            .collect::<Result<_>>()?,
        cache_from: each(&args.cache_from, &|text| {
            build_flags::cache("--cache-from", text)
        })?,
        cache_to: each(&args.cache_to, &|text| {
            build_flags::cache("--cache-to", text)
        })?,
    })
}

/// Says what an old engine would silently leave out.
fn can_it(engine: &Engine, wanted: &Wanted, context: &Context) -> Result<()> {
    let version = engine.about().version.clone().unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major >= 23) {
        return Ok(());
    }
    let who = format!("the engine at {} (version {version})", engine.address());
    if !wanted.options.contexts.is_empty() {
        return Err(Error::failed(format!("{who} knows no named contexts"))
            .hint("Docker Engine 23 and newer do"));
    }
    for (flag, given) in [
        ("--ulimit", !wanted.options.ulimits.is_empty()),
        ("--shm-size", wanted.options.shm_size.is_some()),
    ] {
        if given {
            context
                .ui
                .warn(&format!("{who} knows no `{flag}` and builds without it"));
        }
    }
    Ok(())
}

fn entitlements(options: &Options) -> Vec<String> {
    let host = options.network.as_deref() == Some("host");
    host.then(|| "network.host".to_owned())
        .into_iter()
        .collect()
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
    let Ok(text) = std::fs::read_to_string(&file) else {
        return DockerConfig::default();
    };
    DockerConfig::parse(&text).unwrap_or_else(|error| {
        let causes = error.causes().join(": ");
        context
            .ui
            .warn(&format!("`{}` is left aside: {causes}", file.display()));
        DockerConfig::default()
    })
}

fn dry_run(
    wanted: &Wanted,
    source: &Source,
    nodes: &[NodeTarget],
    shared_key: &str,
    context: &Context,
) -> Result<()> {
    let nodes: Vec<serde_json::Value> = nodes
        .iter()
        .map(|node| serde_json::json!({"name": node.name, "engine": node.endpoint.to_string()}))
        .collect();
    let plan = serde_json::json!({
        "nodes": nodes,
        "context": source.context,
        "dockerfile": source.dockerfile,
        "shared_key": shared_key,
        "options": wanted.options,
        "frontend_attributes": wanted.options.attributes(),
        "output": wanted.output,
        "push": wanted.push,
        "annotations": wanted.annotations,
        "secrets": wanted.secrets,
        "ssh": wanted.ssh,
        "cache_from": wanted.cache_from,
        "cache_to": wanted.cache_to,
    });
    context
        .ui
        .data(&format!("{plan:#}\n"))
        .map_err(|error| Error::failed("stdout can't be written").because(error))
}
