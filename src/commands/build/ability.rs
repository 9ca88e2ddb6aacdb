//! `devnet build`: what an engine can't do of what is asked, refused or said before it builds.

use crate::commands::build::podman;
use crate::commands::build::request::BuildRequest;
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::engine::buildkit::Failure;
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::docker_words::yes_or_no;

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
pub(super) fn for_buildkit(options: &Options) -> Result<()> {
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
pub(super) fn say_unused(options: &Options, context: &Context) {
    if let Some(flag) = options.limits.first() {
        context.ui.note(&format!(
            "BuildKit has no `{flag}`, which only the classic builder knows"
        ));
    }
}
