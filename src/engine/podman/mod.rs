//! The images of a cri-o node. cri-o and podman share a store (containers/storage): podman brings images
//! and names them there, and cri-o's CRI says what a kubelet sees of them. podman does not know cri-o's
//! containers and deletes images under running pods, so it is never asked to remove anything: CRI is,
//! which refuses what is in use.

mod archive;
pub(crate) mod builder;
mod inventory;
mod session;
mod store;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};

use self::session::PodmanSession;
use crate::engine::cri::messages::Image;
use crate::engine::cri::node::CriNode;
use crate::error::{Error, Kind, Result};
use crate::image::digest::{ChainId, DiffId, chain_ids};
use crate::image::oci;
use crate::image::platform::Platform;
use crate::image::reference::{canonical, is_given, is_transfer};
use crate::image::stored::StoredImage;

/// The number of questions in flight at once.
const IN_FLIGHT: usize = 16;

/// The images of one cri-o node. Copies share its connection.
#[derive(Clone, Debug)]
pub(crate) struct PodmanImages {
    node: CriNode,
    /// The folders of loads that were not seen to end, by their transfers' names.
    running: Arc<Mutex<HashMap<String, String>>>,
}

/// An image as CRI describes it, with its configuration.
struct Described {
    image: Image,
    config: oci::Config,
}

impl PodmanImages {
    pub(in crate::engine) fn new(node: &CriNode) -> Self {
        Self {
            node: node.clone(),
            running: Arc::default(),
        }
    }

    /// One image by name or ID.
    ///
    /// # Errors
    /// Not found when the node does not have it.
    pub(in crate::engine) async fn image(&self, name: &str) -> Result<StoredImage> {
        let described = self.described(name).await?;
        Ok(StoredImage {
            id: digest(&described.image.id),
            layers: described.diff_ids(),
            size: described.image.size,
            tags: given(&described.image),
        })
    }

    /// The platform that an image is for.
    pub(in crate::engine) async fn image_platform(&self, name: &str) -> Result<Platform> {
        Ok(self.described(name).await?.config.platform())
    }

    /// The platform that the node runs.
    pub(in crate::engine) async fn platform(&self) -> Result<Platform> {
        Ok(Platform {
            os: "linux".into(),
            architecture: self.node.architecture().await?,
            variant: String::new(),
        })
    }

    /// The IDs and names of all images.
    pub(in crate::engine) async fn image_names(&self) -> Result<Vec<(String, Vec<String>)>> {
        let images = self.node.cri.images().await?.into_iter();
        Ok(images
            .map(|image| (digest(&image.id), given(&image)))
            .collect())
    }

    /// The chain IDs of those of an image's layers that are there, on whatever other layers: the store
    /// finds a layer by its diff ID alone.
    pub(in crate::engine) async fn present(&self, layers: &[DiffId]) -> Result<HashSet<ChainId>> {
        let there: HashSet<DiffId> = self.stacks().await?.into_iter().flatten().collect();
        let chain = chain_ids(layers).into_iter().zip(layers);
        Ok(chain
            .filter(|(_, layer)| there.contains(layer))
            .map(|(chain, _)| chain)
            .collect())
    }

    /// The layers of each image.
    pub(in crate::engine) async fn stacks(&self) -> Result<Vec<Vec<DiffId>>> {
        let all = self.all_described().await?;
        Ok(all.iter().map(Described::diff_ids).collect())
    }

    /// The sizes of an image's layers, the base first, where the store tells.
    pub(in crate::engine) async fn layer_sizes(&self, image: &StoredImage) -> Option<Vec<u64>> {
        let sizes = self.sizes().await?;
        image
            .layers
            .iter()
            .map(|layer| sizes.get(layer).copied())
            .collect()
    }

    /// Gives an image one more name, in full: cri-o finds no short ones.
    ///
    /// # Errors
    /// podman's words; when CRI does not see the name afterwards.
    pub(in crate::engine) async fn tag(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<()> {
        let name = canonical(&format!("{repository}:{tag}"));
        let id = self.described(image).await?.image.id;
        let session = PodmanSession::start(&self.node, &["tag", &id, &name]).await?;
        session.done(&format!("name the image `{name}`")).await?;
        match self.node.cri.image(&name).await? {
            Some(seen) if seen.id == id => Ok(()),
            _ => Err(
                Error::failed(format!("the node's CRI does not know `{name}`"))
                    .caused_by("podman gave the name to the image, and cri-o does not see that")
                    .hint("do both keep their images in one place? `podman info` and `crictl info` on the node tell"),
            ),
        }
    }

    /// Takes a name away from an image (and the image, if that was its last); it may be gone already.
    ///
    /// # Errors
    /// When the node does not answer, or the image is in use.
    pub(in crate::engine) async fn untag(&self, name: &str) -> Result<()> {
        let name = canonical(name);
        let running = self.running().remove(&name);
        if let Some(folder) = running {
            session::end(&self.node, &folder).await?;
        }
        // a name that is nobody's may begin like an ID
        if self.node.cri.image(&name).await?.is_none() {
            return Ok(());
        }
        self.node.cri.remove_image(&name).await
    }

    /// The names of transfers that stand there.
    pub(in crate::engine) async fn transfers(&self) -> Result<Vec<String>> {
        let images = self.node.cri.images().await?.into_iter();
        let names = images.flat_map(|image| image.repo_tags);
        Ok(names.filter(|name| is_transfer(name)).collect())
    }

    /// Loads an archive that holds an image, under the name of a transfer. Layers that the store has may
    /// be left out of it.
    ///
    /// # Errors
    /// The archive's own failure; podman's words on why it did not take it.
    pub(in crate::engine) async fn load<S>(&self, transfer: &str, archive: S) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let own = self.platform().await?;
        let session = PodmanSession::start(&self.node, &["load"]).await?;
        let begun = |folder: &str| {
            self.running()
                .insert(transfer.to_owned(), folder.to_owned());
        };
        let outcome = session.load(archive, &own, transfer, begun).await;
        // one that was lost may go on; whoever takes its name away ends it
        if !matches!(&outcome, Err(error) if error.kind() == Kind::Lost) {
            self.running().remove(transfer);
        }
        outcome
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The archive of an image, its layers as they are.
    pub(in crate::engine) fn save(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let (images, name) = (self.clone(), name.to_owned());
        let saved = async move {
            let id = images.described(&name).await?.image.id;
            let session = PodmanSession::start(&images.node, &["save", &id]).await?;
            Ok::<_, Error>(session.saved())
        };
        stream::once(saved).try_flatten().boxed()
    }

    /// An image with its configuration.
    ///
    /// # Errors
    /// Not found when the node does not have it.
    async fn described(&self, name: &str) -> Result<Described> {
        let absent = || Error::not_found(format!("the node has no image `{name}`"));
        let asked = match name.strip_prefix("sha256:") {
            // CRI knows an image by the digits alone
            Some(hex) => hex.to_owned(),
            None if is_id(name) => name.to_owned(),
            None => canonical(name),
        };
        let found = self.node.cri.described_image(&asked).await?;
        let (image, info) = found.ok_or_else(absent)?;
        let config = config_of(&info).ok_or_else(|| {
            Error::failed(format!("cri-o does not tell the layers of `{name}`"))
                .caused_by("the verbose part of its answer has no configuration of the image")
        })?;
        Ok(Described { image, config })
    }

    /// All images with their configurations. One that vanishes meanwhile is left out.
    async fn all_described(&self) -> Result<Vec<Described>> {
        let images = self.node.cri.images().await?;
        let described = stream::iter(images)
            .map(|image| async move {
                match self.described(&digest(&image.id)).await {
                    Ok(described) => Ok(Some(described)),
                    Err(error) if error.kind() == Kind::NotFound => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(IN_FLIGHT);
        let all: Vec<Option<Described>> = described.try_collect().await?;
        Ok(all.into_iter().flatten().collect())
    }
}

impl Described {
    fn diff_ids(&self) -> Vec<DiffId> {
        let ids = self.config.diff_ids().into_iter();
        ids.map(|id| DiffId(id.to_owned())).collect()
    }
}

/// The configuration in the verbose part of CRI's answer on an image.
fn config_of(info: &std::collections::BTreeMap<String, String>) -> Option<oci::Config> {
    let told: serde_json::Value = serde_json::from_str(info.get("info")?).ok()?;
    oci::Config::read(told.get("imageSpec")?.to_string().as_bytes()).ok()
}

/// The names that people gave an image.
fn given(image: &Image) -> Vec<String> {
    let names = image.repo_tags.iter().filter(|name| is_given(name));
    names.cloned().collect()
}

/// An image's ID as other runtimes write it.
fn digest(id: &str) -> String {
    if id.starts_with("sha256:") {
        id.to_owned()
    } else {
        format!("sha256:{id}")
    }
}

/// True where a text is an image's ID, or the beginning of one as it is usually shown.
fn is_id(text: &str) -> bool {
    text.len() >= 12 && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_image_stand_in_a_real_answer() {
        let text = include_str!("../../../tests/data/crio-node/crictl/inspecti_busybox.json");
        let answer: serde_json::Value = serde_json::from_str(text).unwrap();
        let info = [("info".to_owned(), answer["info"].to_string())].into();
        let config = config_of(&info).unwrap();
        assert_eq!(
            config.diff_ids(),
            ["sha256:95660365aeca47e38c4e3734173dfc8252d87c81469fa3ff1bdc2405b5e721d6"]
        );
        assert_eq!(config.platform().to_string(), "linux/amd64");
        assert!(config_of(&[("info".to_owned(), "{}".to_owned())].into()).is_none());
        assert!(config_of(&[].into()).is_none());
    }

    #[test]
    fn an_id_is_told_from_a_name() {
        assert!(is_id("9ed84fd554e1") && is_id(&"a".repeat(64)));
        for name in [
            "app",
            "abc",
            "deadbeef:1",
            "docker.io/library/deadbeefdead:v1",
        ] {
            assert!(!is_id(name), "{name}");
        }
        assert_eq!(digest("aa"), "sha256:aa");
        assert_eq!(digest("sha256:aa"), "sha256:aa");
    }
}
