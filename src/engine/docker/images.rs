//! An engine's images: lists, names, and archives in and out.

use std::collections::{BTreeSet, HashMap, HashSet};

use bollard::auth::DockerCredentials;
use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::{
    ImportImageOptions, ListImagesOptions, PushImageOptions, RemoveImageOptions, TagImageOptions,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};

use crate::engine::buildkit::streams::{self, Sink};
use crate::engine::docker::Docker;
use crate::engine::docker::inventory::real;
use crate::engine::docker::lists;
use crate::error::{Error, Kind, Result};
use crate::image::credentials::Login;
use crate::image::digest::{ChainId, DiffId, chain_ids};
use crate::image::platform::Platform;
use crate::image::stored::StoredImage;

/// The number of questions in flight at once.
const IN_FLIGHT: usize = 16;
/// The most that a layer's size is taken for, 1 PiB: sums of what an engine tells stay numbers.
const LARGEST_LAYER: u64 = 1 << 50;

impl Docker {
    /// The images that a person would see: all, or those with a label.
    pub(super) async fn listed_images(&self, label: Option<&str>) -> Result<Vec<ImageSummary>> {
        // without a label no options go along: podman refuses some that say nothing
        let options = label.map(|label| ListImagesOptions {
            filters: Some(HashMap::from([(
                "label".to_owned(),
                vec![label.to_owned()],
            )])),
            ..ListImagesOptions::default()
        });
        lists::complete(|| self.api.list_images(options.clone()))
            .await
            .map_err(|error| self.failed("listing images", error))
    }

    /// All that the engine says of one image.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(super) async fn inspected_image(&self, name: &str) -> Result<ImageInspect> {
        self.api
            .inspect_image(name)
            .await
            .map_err(|error| self.failed(&format!("image `{name}`"), error))
    }
}

impl Docker {
    /// True where the archives that it writes name layers by their digest, as engines from 25 on
    /// do.
    pub(in crate::engine) fn archives_name_layers_by_digest(&self) -> bool {
        self.greeting().major().is_none_or(|major| major >= 25)
    }

    /// One image by name or ID.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(in crate::engine) async fn image(&self, name: &str) -> Result<StoredImage> {
        let found = self.inspected_image(name).await?;
        Ok(StoredImage {
            id: found.id.unwrap_or_default(),
            layers: found
                .root_fs
                .and_then(|fs| fs.layers)
                .unwrap_or_default()
                .into_iter()
                .map(DiffId)
                .collect(),
            size: found
                .size
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or(0),
            tags: found.repo_tags.unwrap_or_default(),
        })
    }

    /// The platform that an image is for.
    pub(in crate::engine) async fn image_platform(&self, name: &str) -> Result<Platform> {
        let found = self.inspected_image(name).await?;
        Ok(Platform {
            os: found.os.unwrap_or_default(),
            architecture: found.architecture.unwrap_or_default(),
            variant: found.variant.unwrap_or_default(),
        })
    }

    /// The platform that the engine runs.
    ///
    /// # Errors
    /// When it does not answer.
    pub(in crate::engine) async fn platform(&self) -> Result<Platform> {
        let about = self.about().await?;
        Ok(Platform {
            os: about.os.clone().unwrap_or_else(|| "linux".into()),
            architecture: about.arch.clone().unwrap_or_else(|| "amd64".into()),
            variant: String::new(),
        })
    }

    /// The IDs and names of all images.
    pub(in crate::engine) async fn image_names(&self) -> Result<Vec<(String, Vec<String>)>> {
        let listed = self.listed_images(None).await?;
        Ok(listed
            .into_iter()
            .map(|image| (image.id, real(&image.repo_tags)))
            .collect())
    }

    /// The chain IDs of all layers that belong to an image of this engine.
    pub(in crate::engine) async fn present_layers(&self) -> Result<HashSet<ChainId>> {
        let stacks = self.stacks().await?;
        Ok(stacks.iter().flat_map(|layers| chain_ids(layers)).collect())
    }

    /// The layers of each image.
    pub(in crate::engine) async fn stacks(&self) -> Result<Vec<Vec<DiffId>>> {
        let ids: BTreeSet<String> = self
            .image_names()
            .await?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let mut answers = stream::iter(ids)
            .map(|id| async move { self.image(&id).await })
            .buffer_unordered(IN_FLIGHT);
        let mut stacks = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(image) => stacks.push(image.layers),
                // removed in between
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stacks)
    }

    /// The sizes of an image's layers, the base first, as its history tells them: about right, and
    /// `None` when history and layers do not match.
    pub(in crate::engine) async fn layer_sizes(&self, image: &StoredImage) -> Option<Vec<u64>> {
        let history = self.api.image_history(&image.id).await.ok()?;
        let sizes: Vec<u64> = history
            .iter()
            .rev()
            .map(|entry| u64::try_from(entry.size).unwrap_or(0).min(LARGEST_LAYER))
            .collect();
        if sizes.len() == image.layers.len() {
            return Some(sizes);
        }
        // entries that made no layer have no size; an empty layer can't be told from them
        let sized: Vec<u64> = sizes.into_iter().filter(|size| *size > 0).collect();
        (sized.len() == image.layers.len()).then_some(sized)
    }

    /// Gives an image one more name.
    pub(in crate::engine) async fn tag(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<()> {
        let options = TagImageOptions {
            repo: Some(repository.into()),
            tag: Some(tag.into()),
        };
        self.api
            .tag_image(image, Some(options))
            .await
            .map_err(|error| self.failed(&format!("naming `{repository}:{tag}`"), error))
    }

    /// Takes a name away from an image (and the image, if that was its last); it may be gone already.
    pub(in crate::engine) async fn untag(&self, name: &str) -> Result<()> {
        let options = RemoveImageOptions {
            force: false,
            noprune: false,
            platforms: None,
        };
        match self.api.remove_image(name, Some(options), None).await {
            Ok(_removed) => Ok(()),
            Err(error) => {
                let error = self.failed(&format!("removing the name `{name}`"), error);
                if error.kind() == Kind::NotFound {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    /// The archive that `docker save` writes, as it comes.
    pub(in crate::engine) fn save(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let what = format!("reading image `{name}`");
        let docker = self.clone();
        docker
            .api
            .export_image(name)
            .map(move |piece| piece.map_err(|error| docker.failed(&what, error)))
    }

    /// Streams an image's archive, without its names, into `sink`.
    ///
    /// # Errors
    /// The engine has no such image or was lost; the sink failed.
    pub(in crate::engine) async fn save_into(&self, id: &str, sink: Sink) -> Result<()> {
        streams::save_into(self.save(id), sink).await
    }

    /// Loads an archive. What the engine says while it works is read to its end: containerd's
    /// store tells a layer that could not be unpacked only there.
    ///
    /// # Errors
    /// What the engine says against it.
    pub(in crate::engine) async fn load<S>(&self, archive: S) -> Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let mut said = self
            .api
            .import_image_stream(ImportImageOptions::default(), archive, None)
            .boxed();
        let mut complaint = None;
        while let Some(line) = said.next().await {
            let line = line.map_err(|error| self.failed("loading", error))?;
            if let Some(text) = line.stream.filter(|text| text.contains("rror unpacking")) {
                complaint = Some(text);
            }
        }
        match complaint {
            None => Ok(()),
            Some(text) => Err(Error::failed("the engine could not unpack the image")
                .caused_by(text.trim().to_owned())),
        }
    }

    /// Pushes a name to the registry that it begins with.
    ///
    /// # Errors
    /// What the engine or the registry said.
    pub(in crate::engine) async fn push(
        &self,
        (repository, tag): (&str, &str),
        login: Option<Login>,
        what: &str,
    ) -> Result<()> {
        let options = PushImageOptions {
            tag: Some(tag.into()),
            platform: None,
        };
        self.api
            .push_image(repository, Some(options), login.map(credentials))
            .try_for_each(|_line| async { Ok(()) })
            .await
            .map_err(|error| self.failed(what, error))
    }
}

/// A login as the engine's client takes it.
fn credentials(login: Login) -> DockerCredentials {
    let is_token = login.user.is_empty();
    DockerCredentials {
        identitytoken: is_token.then(|| login.secret.clone()),
        password: (!is_token).then_some(login.secret),
        username: Some(login.user),
        ..DockerCredentials::default()
    }
}
