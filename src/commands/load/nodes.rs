//! The engines of a load: where it goes, and what the one that images come from has.

use crate::commands::Context;
use crate::commands::target::NodeTarget;
use crate::engine::docker_images::Image;
use crate::engine::{Engine, Info};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::image::reference;

/// A node of the target, connected or not.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) engine: Result<Engine>,
    /// It is the engine that images come from.
    pub(super) same_engine: bool,
    pub(super) containerd_store: bool,
}

impl Node {
    /// Whether it runs images for this platform; one that can't be asked is given the benefit.
    pub(super) fn runs(&self, image: &Platform) -> bool {
        match &self.engine {
            Ok(engine) => image.serves(&platform(engine)).is_some(),
            Err(_) => true,
        }
    }
}

pub(super) async fn connect(
    context: &Context,
    source: Option<&Result<Engine>>,
    targets: &[NodeTarget],
) -> Vec<Node> {
    // an engine that says all about itself takes its time: all of them at once
    let own = async {
        match source {
            Some(Ok(source)) => source.info().await.ok().and_then(identity),
            _ => None,
        }
    };
    let connects = futures_util::future::join_all(targets.iter().map(|node| async {
        let engine = context.connect(node).await;
        let info = match &engine {
            Ok(engine) => engine.info().await.unwrap_or_default(),
            Err(_) => Info::default(),
        };
        (node.name.clone(), engine, info)
    }));
    let (own, connected) = futures_util::join!(own, connects);
    connected
        .into_iter()
        .map(|(name, engine, info)| Node {
            name,
            engine,
            containerd_store: info.containerd_store,
            same_engine: own.is_some() && identity(info) == own,
        })
        .collect()
}

/// What two addresses of one engine have in common. Old engines of one machine share their ID
/// (it comes from a key in /etc/docker), so the folder in which they keep their data counts too.
fn identity(info: Info) -> Option<(String, String)> {
    Some((info.id?, info.root_dir?))
}

/// The platform that a node runs.
pub(super) fn platform(engine: &Engine) -> Platform {
    let about = engine.about();
    Platform {
        os: about.os.clone().unwrap_or_else(|| "linux".into()),
        architecture: about.arch.clone().unwrap_or_else(|| "amd64".into()),
        variant: String::new(),
    }
}

/// The names of an engine's images: all, or those of one repository.
pub(super) async fn all_names(source: &Engine, repository: Option<&str>) -> Result<Vec<String>> {
    let mut names: Vec<String> = source
        .image_names()
        .await?
        .into_iter()
        .flat_map(|(_, tags)| tags)
        .collect();
    names.retain(|name| {
        let of = name.rsplit_once(':').map(|(of, _)| of);
        reference::is_given(name) && repository.is_none_or(|wanted| of == Some(wanted))
    });
    names.sort();
    Ok(names)
}

/// Whether an engine's image is for a platform: an engine has one alone.
///
/// # Errors
/// Not found when it is for another.
pub(super) async fn runs(source: &Engine, image: &Image, wanted: &Platform) -> Result<()> {
    let own = source.image_platform(&image.id).await?;
    if own.serves(wanted).is_some() {
        return Ok(());
    }
    Err(
        Error::not_found(format!("the image is not there for {wanted}"))
            .because(format!("the engine has it for {own}")),
    )
}
