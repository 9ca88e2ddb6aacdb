//! The probe's image in an engine, and whether other images are there.

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::TryStreamExt as _;

use crate::engine::docker::Docker;
use crate::engine::probe_answer::in_time;
use crate::error::{Error, Kind, Result};
use crate::probe::carried;
use crate::probe::image::{PROGRAM, ProbeImage};

impl Docker {
    /// Makes sure that the engine has the image with the probe, and gives its ID. Its label
    /// `dev.devnet.role` is how it is found and removed again.
    ///
    /// # Errors
    /// When this devnet carries no probe for the engine's architecture, or the engine refuses it.
    pub(crate) async fn probe_image(&self) -> Result<String> {
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let image = ProbeImage::new(&program, &architecture).map_err(|error| {
            Error::failed("the probe's image could not be made").caused_by(error)
        })?;
        if let Some(id) = self.verified(&image.reference, &image).await? {
            return Ok(id);
        }
        // containerd's store refuses the second of two at the same time
        let loaded = self.load_archive(image.archive.clone()).await;
        if let Some(id) = self.verified(&image.reference, &image).await? {
            return Ok(id);
        }
        loaded?;
        let reference = &image.reference;
        Err(Error::failed(format!(
            "the engine's image `{reference}` is not the one that devnet just loaded"
        ))
        .hint("remove that image and try again"))
    }

    /// True where the engine has an image of that name or ID.
    pub(crate) async fn has_image(&self, name: &str) -> Result<bool> {
        match self.api.inspect_image(name).await {
            Ok(_) => Ok(true),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(false),
            Err(error) => Err(self.failed(&format!("image `{name}`"), error)),
        }
    }

    /// Removes an image by name or ID, also one that a stopped container was made from. One that
    /// is gone already is no failure.
    pub(crate) async fn remove_image(&self, name: &str) -> Result<()> {
        self.delete_image(name, true).await
    }

    /// Removes an image unless a container was made from it: what that one inherited would be told
    /// by nobody any more.
    pub(crate) async fn remove_unused_image(&self, name: &str) -> Result<()> {
        self.delete_image(name, false).await
    }
}

impl Docker {
    /// The ID of the image under this name where it holds this devnet's program and runs nothing
    /// else: any archive can bring the name and the labels.
    pub(super) async fn verified(&self, name: &str, own: &ProbeImage) -> Result<Option<String>> {
        let found = match self.inspected_image(name).await {
            Ok(found) => found,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let layers = found.root_fs.and_then(|fs| fs.layers).unwrap_or_default();
        let entry = found.config.and_then(|config| config.entrypoint);
        let is_own = layers == [own.layer.0.as_str()] && entry.unwrap_or_default() == [PROGRAM];
        Ok(found.id.filter(|_| is_own))
    }

    pub(super) async fn load_archive(&self, archive: Vec<u8>) -> Result<()> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let said = self
            .api
            .import_image(options, bollard::body_full(archive.into()), None);
        let loaded = async {
            said.try_collect::<Vec<_>>()
                .await
                .map(drop)
                .map_err(|error| self.failed("loading the probe's image", error))
        };
        // it is small: an engine that is not done by then never will be, though it answers pings
        in_time(loaded).await
    }

    /// Lets the engine fetch an image from its registry.
    ///
    /// # Errors
    /// With the registry's or the engine's own words.
    pub(crate) async fn pull(&self, name: &str) -> Result<()> {
        // without a tag the engine would fetch every tag there is
        let bare = !name.contains('@') && !name.rsplit('/').next().unwrap_or(name).contains(':');
        let options = CreateImageOptionsBuilder::default()
            .from_image(name)
            .tag(if bare { "latest" } else { "" })
            .build();
        self.api
            .create_image(Some(options), None, None)
            .try_collect::<Vec<_>>()
            .await
            .map(drop)
            .map_err(|error| self.failed(&format!("pulling `{name}`"), error))
    }

    async fn delete_image(&self, name: &str, force: bool) -> Result<()> {
        let options = RemoveImageOptionsBuilder::default().force(force).build();
        match self.api.remove_image(name, Some(options), None).await {
            Ok(_)
            // gone already; or a pod that someone else just brought up runs from it, whose own
            // `lab down` removes it
            | Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404 | 409, ..
            }) => Ok(()),
            Err(error) => Err(self.failed(&format!("removing image `{name}`"), error)),
        }
    }
}
