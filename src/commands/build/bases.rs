//! `devnet build`: the images that a Dockerfile builds upon, on a node with containerd. Such a node
//! throws the blobs of an image away once they are unpacked: pods run from it, and nothing can be
//! built upon it. What the host engine has is completed before the build.

use std::collections::BTreeMap;

use crate::command_line;
use crate::commands::deliver::{ImageSource, Lack, name_it, needs};
use crate::commands::invocation::Context;
use crate::commands::invocation::target::NodeTarget;
use crate::engine::{Engine, ImageStore};
use crate::error::{Error, Kind, Result};
use crate::host::owner::SignedToken;
use crate::image::build::Options;
use crate::image::dockerfile_bases::{Choice, bases};
use crate::image::reference::{self, familiar};
use crate::image::stored::{Keep, StoredImage};
use crate::load::transfer::{BlobCache, Transfer};

/// The bases that can't be completed, by their full names, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Incomplete(BTreeMap<String, String>);

/// Completes the bases of a Dockerfile on a node.
///
/// # Errors
/// When the node does not answer, or the person interrupts it.
pub(super) async fn complete(
    dockerfile: &str,
    options: &Options,
    engine: &Engine,
    context: &Context,
) -> Result<Incomplete> {
    let choice = Choice {
        target: options.target.as_deref(),
        build_args: &options.build_args,
        contexts: &options.contexts,
    };
    let mut incomplete = Incomplete::default();
    // a registry is asked anew for all of them, and knows other platforms' images
    if options.pull || !options.platforms.is_empty() {
        return Ok(incomplete);
    }
    let mut host = None;
    for name in bases(dockerfile, choice) {
        let there = match engine.images.image(&name).await {
            Ok(_) if engine.images.is_whole(&name).await? => continue,
            Ok(image) => Some(image),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => return Err(error),
        };
        if host.is_none() {
            host = Some(connect_host(context).await);
        }
        let outcome = match host.as_ref() {
            Some(Ok(host)) => bring(&name, there.as_ref(), host, engine, context).await,
            Some(Err(error)) => Err(error.duplicate()),
            None => continue,
        };
        match (outcome, there) {
            (Ok(()), _) => {}
            (Err(error), _) if error.kind() == Kind::Interrupted => return Err(error),
            (Err(error), there) => {
                let gone = match there {
                    Some(_) => "the node has thrown blobs of it away",
                    None => "the node does not have it",
                };
                let why = format!(
                    "{gone}, and from the host engine it does not come: {}",
                    error.in_one_line()
                );
                context.ui.detail(&format!("{name}: {why}"));
                incomplete.0.insert(name, why);
            }
        }
    }
    Ok(incomplete)
}

impl Incomplete {
    /// A build's failure, told as that of its base where it was one.
    pub(super) fn explain(&self, error: Error) -> Error {
        let said = error.causes().join(": ");
        let base = self.0.iter().find(|(name, _)| {
            let short = familiar(name);
            // BuildKit names what it resolves, or only the blobs that it looks for
            said.contains(name.as_str())
                || said.contains(&short)
                || self.0.len() == 1 && is_of_a_base(&said)
        });
        let Some((name, why)) = base else {
            return error;
        };
        let short = familiar(name);
        Error::failed(format!("`{short}` can't be built upon"))
            .caused_by(Error::failed(why.clone()).caused_by(error))
            .hint(format!(
                "`{}` brings it, once the host engine has it; online a registry does",
                command_line::with("devnet load --whole", [&short])
            ))
    }
}

/// True of what BuildKit says when content of a base is nowhere.
fn is_of_a_base(said: &str) -> bool {
    [
        "not found",
        "failed to resolve",
        "failed to do request",
        "no such host",
        "pull access denied",
    ]
    .iter()
    .any(|words| said.contains(words))
}

async fn connect_host(context: &Context) -> Result<Engine> {
    let host = NodeTarget {
        name: "host".into(),
        endpoint: context.host_endpoint()?,
        profile: None,
        login: None,
        away: None,
        devnets_engine: false,
    };
    context.connect(&host).await
}

/// Brings an image with all its blobs.
///
/// # Errors
/// Not found when the host engine does not have it; what either says against it.
async fn bring(
    name: &str,
    there: Option<&StoredImage>,
    host: &Engine,
    engine: &Engine,
    context: &Context,
) -> Result<()> {
    let short = familiar(name);
    let image = on_host(&short, there, host).await?;
    context.ui.note(&format!(
        "`{short}` comes from the host engine: {}",
        if there.is_some() {
            "the node has thrown blobs of it away"
        } else {
            "the node does not have it"
        }
    ));
    let names = [reference::split(name)?];
    let wanted = match needs(engine, &image, &image.id, Keep::Whole).await? {
        Lack::Nothing(there) => return name_it(engine, &there, &names).await,
        Lack::Parts(needs) => [needs],
    };
    let transfer = ImageSource::Engine(Transfer {
        source: host,
        image,
        name: short,
        token: SignedToken::new(),
        shares_loopback: false,
        leftovers: std::sync::Mutex::default(),
    });
    let sent = context
        .deliver(&transfer, &wanted, &names, &mut BlobCache::default())
        .await?;
    for sent in sent {
        sent.outcome?;
    }
    Ok(())
}

/// The host's image of that name, where it is the node's.
async fn on_host(name: &str, there: Option<&StoredImage>, host: &Engine) -> Result<StoredImage> {
    let Some(there) = there else {
        return host.images.image(name).await;
    };
    // an engine with containerd's store knows an image by another ID
    let by_id = host.runtime.info().await?.store == ImageStore::Graph;
    let found = match host.images.image(&there.id).await {
        Err(error) if error.kind() == Kind::NotFound => host.images.image(name).await?,
        found => found?,
    };
    if found.layers == there.layers && (found.id == there.id || !by_id) {
        return Ok(found);
    }
    Err(Error::not_found(format!("its `{name}` is another image")))
}
