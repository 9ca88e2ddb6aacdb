//! An engine's images with their sizes and names, and removing one that nobody needs.

use bollard::models::ImageSummary;
use bollard::query_parameters::RemoveImageOptions;
use futures_util::{StreamExt as _, stream};

use crate::engine::docker::Docker;
use crate::error::{Kind, Result};
use crate::image::digest::chain_ids;
use crate::image::inventory::{Held, Removed};
use crate::image::stored::StoredImage;

/// The number of questions in flight at once.
const IN_FLIGHT: usize = 16;

impl Docker {
    /// All images that a person would see.
    ///
    /// # Errors
    /// When the engine does not answer. An image that vanishes meanwhile is left out.
    pub(in crate::engine) async fn inventory(&self) -> Result<Vec<Held>> {
        let listed = self.listed_images(None).await?;
        let mut answers = stream::iter(listed)
            .map(|summary| async move {
                let image = self.image(&summary.id).await?;
                let sizes = self.layer_sizes(&image).await;
                Ok((summary, image, sizes))
            })
            .buffered(IN_FLIGHT);
        let mut held: Vec<Held> = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((summary, image, sizes)) => {
                    // containerd's store lists an image once for each of its names
                    let names = names(&summary);
                    if let Some(same) = held.iter_mut().find(|other| other.id == summary.id) {
                        same.names.extend(names);
                    } else {
                        held.push(one(&summary, &image, names, sizes));
                    }
                }
                Err(error) if crate::error::Error::kind(&error) == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// Removes an image that has no name, if that is still so. Never by force.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(in crate::engine) async fn remove_nameless(&self, id: &str) -> Result<Removed> {
        match self.image(id).await {
            // an ID with one name left would lose that name
            Ok(image) if !image.tags.is_empty() => return Ok(Removed::Kept),
            Ok(_) => {}
            Err(error) if error.kind() == Kind::NotFound => return Ok(Removed::Gone(Vec::new())),
            Err(error) => return Err(error),
        }
        self.remove_unforced(id).await
    }

    /// Removes an image with all its names, if no container uses it. Never by force.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(in crate::engine) async fn remove_unused(
        &self,
        id: &str,
        names: &[String],
    ) -> Result<Removed> {
        let mut removed = Vec::new();
        for name in names {
            match self.remove_unforced(name).await? {
                Removed::Gone(layers) => removed.extend(layers),
                Removed::Kept => return Ok(Removed::Kept),
            }
        }
        if names.is_empty() {
            return self.remove_unforced(id).await;
        }
        Ok(Removed::Gone(removed))
    }

    async fn remove_unforced(&self, name: &str) -> Result<Removed> {
        let options = RemoveImageOptions {
            force: false,
            noprune: false,
            platforms: None,
        };
        match self.api.remove_image(name, Some(options), None).await {
            Ok(removed) => Ok(Removed::Gone(
                removed
                    .into_iter()
                    .filter_map(|item| item.deleted)
                    .collect(),
            )),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 409, ..
            }) => Ok(Removed::Kept),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(Removed::Gone(Vec::new())),
            Err(error) => Err(self.failed(&format!("removing image `{name}`"), error)),
        }
    }
}

fn one(
    summary: &ImageSummary,
    image: &StoredImage,
    names: Vec<String>,
    sizes: Option<Vec<u64>>,
) -> Held {
    Held {
        id: summary.id.clone(),
        names,
        created: summary.created,
        size: image.size,
        layers: sizes.map(|sizes| chain_ids(&image.layers).into_iter().zip(sizes).collect()),
        ..Held::default()
    }
}

/// Tags; where there are none, the digests by which it was pulled, which are names as well.
fn names(summary: &ImageSummary) -> Vec<String> {
    let tags = real(&summary.repo_tags);
    if tags.is_empty() {
        real(&summary.repo_digests)
    } else {
        tags
    }
}

/// Those of an image's names that are not the engine's own for one that has lost its name.
pub(super) fn real(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| !name.starts_with("<none>") && !name.starts_with("moby-dangling@"))
        .cloned()
        .collect()
}
