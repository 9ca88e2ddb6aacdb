//! `devnet build`: images in OCI layouts as named contexts, for engines that read no layouts: they
//! are brought into the engine for as long as the build goes on.

use std::path::Path;
use std::sync::Arc;

use crate::commands::build::source::Layout;
use crate::commands::deliver::ImageSource;
use crate::commands::invocation::Context;
use crate::context::files::Files;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive_image::PlatformImage;
use crate::image::build::Options;
use crate::image::catalog;
use crate::image::platform::Platform;
use crate::image::reference;
use crate::image::stored::Keep;
use crate::image::stored::StoredImage;
use crate::load::archive_transfer::ArchiveTransfer;
use crate::load::delivery::Needs;
use crate::load::transfer::BlobCache;

const TAG: &str = "context";

/// Layouts that an engine has for the time being, by the repositories that they get there.
pub(super) struct Borrowed<'l>(Vec<(&'l Layout, String)>);

impl<'l> Borrowed<'l> {
    pub(super) fn new(layouts: &'l [Layout]) -> Self {
        let own = |layout| (layout, reference::transfer(SignedToken::new().as_str()));
        Self(layouts.iter().map(own).collect())
    }

    /// Brings them into the engine, and has the build look for them there.
    ///
    /// # Errors
    /// A layout's, or the engine's.
    pub(super) async fn deliver(
        &self,
        engine: &Engine,
        options: &mut Options,
        context: &Context,
    ) -> Result<()> {
        if !self.0.is_empty() && options.pull {
            return Err(Error::failed("`--pull` and an OCI layout don't go together here")
                .caused_by("without containerd's image store the engine gets the layout's image under a name of ours, which no registry knows"));
        }
        let platform = match options.platforms.first() {
            Some(platform) => Platform::parse(platform)?,
            None => engine.images.platform().await?,
        };
        for (layout, repository) in &self.0 {
            let image_source = ImageSource::Archive(archive_transfer(layout, &platform)?);
            let needs = [Needs::of(engine, image_source.image(), Keep::Whole).await?];
            let name = (repository.clone(), TAG.to_owned());
            let sent = context
                .deliver(&image_source, &needs, &[name], &mut BlobCache::default())
                .await?;
            for sent in sent {
                sent.outcome?;
            }
            let address = format!("docker-image://{repository}:{TAG}");
            options.contexts.insert(layout.name.clone(), address);
        }
        Ok(())
    }

    /// Takes them away again; layers that a build used stay in its cache.
    pub(super) async fn take_back(&self, engine: &Engine, context: &Context) {
        for (_, repository) in &self.0 {
            if let Err(error) = engine.images.untag(&format!("{repository}:{TAG}")).await {
                context
                    .ui
                    .warn(&format!("{error}; `devnet clean` removes it"));
            }
        }
    }
}

fn archive_transfer(layout: &Layout, platform: &Platform) -> Result<ArchiveTransfer> {
    let place = layout.root.display().to_string();
    let files = Files::open(Path::new(&layout.root), &place)?;
    let is_meant = |packed: &PlatformImage| {
        let small = [&packed.manifest, &packed.index];
        small
            .into_iter()
            .flatten()
            .any(|small| small.digest == layout.digest)
    };
    let images = catalog::read(&files)?;
    let image = images
        .iter()
        .find(|image| image.choices.iter().any(is_meant))
        .ok_or_else(|| {
            Error::failed(format!(
                "the index of the OCI layout `{place}` does not lead to {}",
                layout.digest.as_str()
            ))
        })?;
    let one = image.choices.iter().find(|packed| {
        packed
            .manifest
            .as_ref()
            .is_some_and(|small| small.digest == layout.digest)
    });
    let packed = match one {
        Some(one) => one,
        None => image.pick(platform, false)?,
    };
    Ok(ArchiveTransfer {
        image: StoredImage {
            id: packed.config_id().to_owned(),
            layers: packed
                .layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .collect(),
            size: packed.layers.iter().map(|layer| layer.size).sum(),
            tags: Vec::new(),
        },
        packed: packed.clone(),
        files: Arc::new(files),
        token: SignedToken::new(),
    })
}
