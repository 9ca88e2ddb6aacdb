//! Images that the node's own builder has made. It gives them a name of ours as soon as they are there
//! at all; they get their own once they are known to be whole.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::names::KNOWN_TO_CRI;
use super::receive::other_platform;
use super::{ASKED, ClusterImages, Documents};
use crate::error::{Error, Kind, Result};
use crate::host::owner::signer_is_gone;
use crate::image::digest::DiffId;
use crate::image::reference::{TRANSFERS, canonical, is_transfer, split, transfer_token};

/// The beginning of the names by which CRI knows images' IDs.
const ID: &str = "sha256:";
/// The time in which CRI takes up a name, if it does.
const TAKEN_UP: Duration = Duration::from_millis(500);

impl ClusterImages {
    /// Gives an image that was built under a name of ours its own names, where it is whole, and takes
    /// ours away.
    ///
    /// # Errors
    /// When a layer of it is not there; when CRI does not take it.
    pub(in crate::engine) async fn name_built(&self, ours: &str, names: &[String]) -> Result<()> {
        let named = self.names().get(ours).await?.and_then(|named| named.target);
        let target = named.ok_or_else(|| broken("the builder gave it no name"))?;
        let documents = self.documents(target).await?;
        let (platform, own) = (documents.config.platform(), self.platform().await?);
        if platform.serves(&own).is_none() {
            return Err(other_platform(&platform, &own));
        }
        if let Some(layer) = self.lacking(&documents).await? {
            return Err(broken(format!("the node lacks its layer {}", layer.0)));
        }
        let id = &documents.config_digest;
        for name in names {
            let (repository, tag) = split(name)?;
            let name = canonical(&format!("{repository}:{tag}"));
            self.give_name(&name, documents.target.clone(), id).await?;
        }
        if names.is_empty() {
            // from then on it is known by its ID, without which it would go with our name
            self.heard(ours, id).await?;
        }
        self.names().remove(ours).await
    }

    /// Takes a name of ours away, and with it the ID that CRI has given to its image, where that is not
    /// whole, so nobody can start it, or was not there before the build and has no other name: nobody asked
    /// for it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn forget_built(&self, ours: &str) -> Result<()> {
        let Some(named) = self.names().get(ours).await? else {
            return Ok(());
        };
        let documents = match self.documents(named.target.unwrap_or_default()).await {
            Ok(documents) => documents,
            // CRI knows nothing of what has no configuration
            Err(error) if error.kind() == Kind::NotFound => return self.names().remove(ours).await,
            Err(error) => return Err(error),
        };
        let is_broken = self.lacking(&documents).await?.is_some();
        self.labelled(ours).await;
        self.names().remove(ours).await?;
        let id = &documents.config_digest;
        let of_it = self.names().of(&documents.target.digest).await?;
        let has_id = of_it.iter().any(|named| named.name == *id);
        let is_new = self
            .ids_before()
            .as_ref()
            .is_some_and(|ids| !ids.contains(id));
        if has_id && (is_broken || (is_new && of_it.len() == 1)) {
            self.names().remove(id).await?;
        }
        Ok(())
    }

    /// Notes the IDs that CRI knows before a build: what it makes has another.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn note_ids(&self) -> Result<()> {
        let ids = self.names().beginning_with(ID).await?;
        *self.ids_before() = Some(ids.into_iter().collect());
        Ok(())
    }

    fn ids_before(&self) -> MutexGuard<'_, Option<BTreeSet<String>>> {
        let ids = self.ids_before.lock();
        ids.unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of builds that stand on the node.
    pub(in crate::engine) async fn builds(&self) -> Result<Vec<String>> {
        let names = self
            .names()
            .beginning_with(&format!("127.0.0.1:9/{TRANSFERS}/"))
            .await?;
        Ok(names.into_iter().filter(|name| is_transfer(name)).collect())
    }

    /// Takes away the names of builds whose devnet has ended without doing so.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn sweep_builds(&self) -> Result<()> {
        for name in self.builds().await? {
            if transfer_token(&name).and_then(signer_is_gone) == Some(true) {
                self.forget_built(&name).await?;
            }
        }
        Ok(())
    }

    /// The first layer of an image that is neither unpacked nor there to be unpacked.
    async fn lacking(&self, documents: &Documents) -> Result<Option<DiffId>> {
        let layers = documents.diff_ids();
        let unpacked = self.unpacked(&layers).await?;
        let content = self.content();
        let blobs = documents.manifest.layers().into_iter().flatten();
        for (layer, blob) in layers.into_iter().zip(blobs).skip(unpacked) {
            if content.info(blob.digest()).await?.is_none() {
                return Ok(Some(layer));
            }
        }
        Ok(None)
    }

    /// Waits until CRI has done with a name, or at least for a moment.
    async fn labelled(&self, name: &str) {
        let labelled = async {
            loop {
                match self.names().get(name).await {
                    Ok(Some(named)) if !named.labels.contains_key(KNOWN_TO_CRI) => {}
                    _ => return,
                }
                tokio::time::sleep(ASKED).await;
            }
        };
        let _not_heard_of = tokio::time::timeout(TAKEN_UP, labelled).await;
    }
}

fn broken(why: impl Into<String>) -> Error {
    Error::failed("the image that was built is not whole on the node, and got no name")
        .caused_by(why.into())
        .hint("something has cleaned up there meanwhile, as a Docker engine does when it starts: build again")
}
