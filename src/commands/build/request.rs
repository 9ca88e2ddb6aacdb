//! `devnet build`: the command line, read; and the same for the classic builder.

use std::collections::BTreeMap;
use std::path::Path;

use crate::commands::build::Args;
use crate::commands::build::source::BuildSource;
use crate::commands::invocation::Context;
use crate::context::{folder_tar, scope};
use crate::docker_env::endpoint::Address;
use crate::engine::Engine;
use crate::engine::buildkit::files::Folder;
use crate::engine::buildkit::streams::Pump;
use crate::error::{Error, Result};
use crate::image::build::{self, Options};
use crate::image::build_flags::{self, Attributed, Output, Secret, Ssh};
use crate::image::credentials::DockerConfig;
use crate::image::docker_words;
use crate::image::dockerfile;
use crate::image::ignore;
use crate::image::platform::Platform;
use crate::regular_file;
use crate::settings::Environment;

/// The command line, read.
pub(super) struct BuildRequest {
    pub(super) options: Options,
    pub(super) secrets: Vec<Secret>,
    pub(super) ssh: Vec<Ssh>,
    pub(super) outputs: Vec<Output>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) cache_to: Vec<Attributed>,
    pub(super) push: bool,
}

impl BuildRequest {
    /// Lets the engine use this shell's ssh agent for a Git repository that needs it, where nothing
    /// else was said.
    pub(super) fn lend_agent(&mut self, environment: &Environment) {
        let options = &self.options;
        let over_ssh = options
            .remote_context
            .iter()
            .chain(options.contexts.values())
            .any(|place| build_flags::is_git_over_ssh(place));
        if over_ssh && self.ssh.is_empty() && environment.has("SSH_AUTH_SOCK") {
            self.ssh.push(build_flags::ssh("default"));
        }
    }

    /// Adds the proxies of docker's configuration as build arguments. What the command line names
    /// is its own, also when it gives no value.
    pub(super) fn proxies(&mut self, given: &[String], config: &DockerConfig, engine: &Address) {
        let named = |name: &str| {
            let own = |text: &&str| text.split('=').next() == Some(name);
            given.iter().map(String::as_str).any(|text| own(&text))
        };
        for (name, value) in config.proxy_args(engine) {
            if !named(&name) {
                self.options.build_args.entry(name).or_insert(value);
            }
        }
    }
}

/// The platforms to build for: the flag, else the variable.
fn platforms(given: &[String], context: &Context) -> Result<Vec<String>> {
    const VARIABLE: &str = "DOCKER_DEFAULT_PLATFORM";
    let read = |text: &str| {
        // a version of Windows in it is the engine's to read
        if text.contains('(') {
            return Ok(text.to_owned());
        }
        Platform::parse(text).map(|platform| platform.to_string())
    };
    if !given.is_empty() {
        return given.iter().map(|text| read(text)).collect();
    }
    match context.settings.environment.text(VARIABLE)? {
        None => Ok(Vec::new()),
        Some(text) => text
            .split(',')
            .map(|text| {
                read(text.trim()).map_err(|error| {
                    Error::usage(format!("`{VARIABLE}` names no platform")).caused_by(error)
                })
            })
            .collect(),
    }
}

/// Reads what is to be attached to the image: `--provenance`, `--sbom`, `--attest`.
fn attestations(args: &Args) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in &args.attest {
        let (kind, how) = build_flags::attest(text)?;
        found.insert(kind, how);
    }
    for (kind, how) in [("provenance", &args.provenance), ("sbom", &args.sbom)] {
        if let Some(how) = how {
            found.insert(kind.to_owned(), build_flags::attestation(kind, how)?);
        }
    }
    Ok(found
        .into_iter()
        .filter_map(|(kind, how)| Some((kind, how?)))
        .collect())
}

pub(super) fn read(args: &Args, context: &Context) -> Result<BuildRequest> {
    let environment = |name: &str| {
        let value = context.settings.environment.os(name)?;
        value.to_str().map(ToOwned::to_owned)
    };
    let mut build_args = BTreeMap::new();
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
    let outputs = args
        .output
        .iter()
        .map(|text| build_flags::output(text))
        .collect::<Result<Vec<_>>>()?;
    let wants_push = |output: &Output| {
        output.what.kind == "registry"
            || output
                .what
                .attributes
                .get("push")
                .is_some_and(|push| docker_words::yes_or_no(push) == Some(true))
    };
    let push = args.push || outputs.iter().any(wants_push);
    let mut tags = args.tags.clone();
    for names in outputs
        .iter()
        .filter_map(|output| output.what.attributes.get("name"))
    {
        tags.extend(names.split(',').map(ToOwned::to_owned));
    }
    for tag in &tags {
        build_flags::image_name(tag)?;
    }
    if push && tags.is_empty() {
        return Err(Error::usage("there is no name to push to").hint("give one with `-t`"));
    }
    let attestations = attestations(args)?;
    let limits = args.classic.limits()?;
    args.classic.say_ignored(context);
    Ok(BuildRequest {
        push,
        options: Options {
            tags,
            attestations,
            build_args,
            labels: build::labels(&args.label)?,
            target: args.target.clone(),
            platforms: platforms(&args.platform, context)?,
            allowed: args.allow.clone(),
            limits,
            no_cache: args.no_cache,
            no_cache_filter: args.no_cache_filter.clone(),
            pull: args.pull,
            network: args.network.clone(),
            hosts: args
                .add_host
                .iter()
                .map(|text| build_flags::host(text))
                .collect::<Result<_>>()?,
            cgroup_parent: args.cgroup_parent.clone(),
            shm_size: args
                .shm_size
                .as_deref()
                .map(|text| docker_words::bytes("--shm-size", text))
                .transpose()?,
            ulimits: args
                .ulimit
                .iter()
                .map(|text| build_flags::ulimit(text))
                .collect::<Result<_>>()?,
            cache_from: each(&args.cache_from, &|text| {
                build_flags::cache("--cache-from", text)
            })?,
            ..Options::default()
        },
        secrets: args
            .secret
            .iter()
            .map(|text| build_flags::secret(text))
            .collect::<Result<_>>()?,
        ssh: args.ssh.iter().map(|text| build_flags::ssh(text)).collect(),
        outputs,
        annotations: args
            .annotation
            .iter()
            .map(|text| build_flags::annotation(text))
            .collect::<Result<_>>()?,
        cache_to: each(&args.cache_to, &|text| {
            build_flags::cache("--cache-to", text)
        })?,
    })
}

/// The context as the classic builder takes it, and the Dockerfile's name in it; the reason where
/// that is not possible.
pub(super) fn classic(source: &BuildSource, dockerfile: Option<&Path>) -> Result<(Pump, String)> {
    let needs_buildkit = |what: &str| Error::failed(format!("{what} needs BuildKit"));
    let root = match source.folders.get("context") {
        Some(Folder::Path(root)) => Some(root.clone()),
        Some(Folder::Memory(_)) => None,
        None => return Err(needs_buildkit("a context that is no folder")),
    };
    let text = match (dockerfile, source.folders.get("dockerfile")) {
        (Some(file), _) => regular_file::bytes(file, dockerfile::LARGEST).map_err(|error| {
            Error::failed(format!("`{}` can't be read", file.display())).caused_by(error)
        })?,
        (None, Some(Folder::Memory(files))) => files.values().next().cloned().unwrap_or_default(),
        (None, _) => return Err(needs_buildkit("a Dockerfile that is no file")),
    };
    let common = root.as_ref().map(|root| root.join(".dockerignore"));
    let exclude = scope::excluded(root.as_deref(), dockerfile)?;
    let matcher = ignore::Matcher::new(&exclude)
        .map_err(|error| Error::failed("the build context can't be filtered").caused_by(error))?;
    let within = root
        .as_deref()
        .and_then(|root| dockerfile?.strip_prefix(root).ok()?.to_str())
        .map(|path| path.replace('\\', "/"))
        .filter(|path| !matcher.matches(path, None).0);
    let visible = common
        .as_ref()
        .filter(|_| within.is_none() && !matcher.matches(".dockerignore", None).0);
    let visible_ignore = match visible {
        Some(file) => scope::ignore_text(file)?,
        None => None,
    };
    let apart = within.is_none().then_some(folder_tar::Apart {
        text,
        visible_ignore,
    });
    let name = within.unwrap_or_else(|| folder_tar::DOCKERFILE.to_owned());
    let pump = Box::new(move |to: &mut dyn std::io::Write| {
        folder_tar::write(root.as_deref(), &exclude, apart.as_ref(), to)
    });
    Ok((pump, name))
}

/// Refuses what the classic builder would silently leave out.
pub(super) fn classic_or_why(
    classic: Result<(Pump, String)>,
    request: &BuildRequest,
    engine: &Engine,
    off: bool,
) -> Result<(Pump, String)> {
    let options = &request.options;
    let flags = [
        ("--secret", !request.secrets.is_empty()),
        ("--ssh", !request.ssh.is_empty()),
        ("--output", !request.outputs.is_empty()),
        ("--build-context", !options.contexts.is_empty()),
        ("--cache-to", !request.cache_to.is_empty()),
        ("--no-cache-filter", !options.no_cache_filter.is_empty()),
        ("--allow", !options.allowed.is_empty()),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
        let address = engine.node.address();
        return Err(if off {
            Error::failed(format!(
                "`{flag}` needs BuildKit, which is off at {address}"
            ))
            .hint("`DOCKER_BUILDKIT=1` uses it all the same")
        } else {
            Error::failed(format!(
                "`{flag}` needs BuildKit, which the engine at {address} does not have"
            ))
        });
    }
    classic
}
