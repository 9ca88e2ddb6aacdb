//! `devnet build`: the request to an engine's builder, what it asks of this computer, and what is done
//! with its results.

use std::ffi::OsString;
use std::sync::Arc;

use crate::commands::build::ability::{for_buildkit, say_unused};
use crate::commands::build::cache;
use crate::commands::build::job::{Job, Provided};
use crate::commands::build::node_image::NodeImage;
use crate::commands::build::output;
use crate::commands::build::request;
use crate::commands::build::show::{self, Work};
use crate::commands::invocation::Context;
use crate::context::folder::Gone;
use crate::engine::Info;
use crate::engine::buildkit::auth::Logins;
use crate::engine::buildkit::content::Store;
use crate::engine::buildkit::streams::Supply;
use crate::engine::buildkit::{Built, Provide, Solve};
use crate::error::{Error, Result};
use crate::host::registry_login;
use crate::image::build::Options;
use crate::image::build_flags;
use crate::image::credentials::DockerConfig;
use crate::image::reference;

/// The number of times that a context is sent anew because a file of it went meanwhile; after that
/// such files are empty, as docker sends them.
const ANEW: usize = 3;

/// The engine as the place of results.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) info: &'a Info,
    /// The image that a node's builder makes for pods.
    pub(super) image: Option<&'a NodeImage<'a>>,
}

impl Job {
    /// Solves, and once more where the engine lost a layer while it stored the result: whatever removes
    /// an image at that moment may take one along.
    pub(super) async fn solve(
        &self,
        provided: Provided,
        upload: Option<Supply>,
        options: Options,
        to: Destination<'_>,
        context: &Context,
    ) -> Result<Option<String>> {
        let outputs = &self.request.outputs;
        let stays_here = outputs.iter().all(output::is_for_the_engine)
            && !self.request.push
            && self.request.cache_to.is_empty();
        let can_be_repeated = upload.is_none() && stays_here;
        let first = self.solve_settled(provided.clone(), upload, options.clone(), to, context);
        match Box::pin(first).await {
            Err(error) if can_be_repeated && lost_a_layer(&error) => {
                context.ui.note(&format!(
                    "{}: an image may have been removed meanwhile; building once more",
                    error.in_one_line()
                ));
                Box::pin(self.solve_settled(provided, None, options, to, context)).await
            }
            outcome => outcome,
        }
    }

    /// Solves, and again without what went meanwhile: editors' files come and go, and what is gone
    /// is no part of the context.
    async fn solve_settled(
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
}

/// True for the words of a BuildKit whose containerd misses a layer that the build itself stood upon.
fn lost_a_layer(error: &Error) -> bool {
    let said = error.causes().join(": ");
    said.contains("parent snapshot ") && said.contains(" does not exist")
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

fn entitlements(options: &Options) -> Vec<String> {
    let host = options.network.as_deref() == Some("host");
    let mut all = options.allowed.clone();
    all.extend(host.then(|| "network.host".to_owned()));
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_was_lost_is_told_from_a_file_that_is_not_there() {
        let lost = |said: &str| lost_a_layer(&Error::failed("the build failed").caused_by(said));
        assert!(lost(
            "failed to prepare extraction snapshot \"extract-1 sha256:ab\": \
             parent snapshot sha256:cd does not exist: not found"
        ));
        // as a base whose blobs the node has thrown away: it is no more there the next time
        assert!(!lost("failed to copy: content digest sha256:ab: not found"));
        assert!(!lost("\"/absent\": not found"));
        assert!(!lost("docker.io/library/absent:1: not found"));
        assert!(!lost("process \"/bin/sh\" did not complete: exit code: 1"));
    }
}
