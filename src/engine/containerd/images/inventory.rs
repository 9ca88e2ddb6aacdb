//! The inventory of a node's images, and the removal of those that nothing needs. containerd itself
//! refuses no removal: what is in use is asked again right before each.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::content::{Labels, keep};
use super::{ClusterImages, Documents, IN_FLIGHT, given};
use crate::engine::cri::messages::Image;
use crate::error::{Error, Kind, Result};
use crate::image::digest::{ChainId, Digest, chain_ids};
use crate::image::inventory::{Held, Removed};
use crate::image::oci::DescriptorRef;
use crate::image::reference::canonical;

/// The containers whose files stand on a layer, by its chain ID.
type Standing = HashMap<String, Vec<String>>;

impl ClusterImages {
    /// All images that a person would see.
    ///
    /// # Errors
    /// When the node does not answer. An image that vanishes meanwhile is left out.
    pub(in crate::engine) async fn inventory(&self) -> Result<Vec<Held>> {
        let content = self.content();
        let (images, blobs, standing, sandbox_image) = futures_util::try_join!(
            self.containerd.node.cri.images(),
            content.all(),
            self.standing(),
            self.sandbox_image()
        )?;
        let images = images.into_iter().map(|image| Image {
            pinned: is_kept(&image, sandbox_image),
            ..image
        });
        let described = stream::iter(images).map(|image| async move {
            let documents = async { self.documents(self.target(&image.id).await?).await };
            match documents.await {
                Ok(documents) => Ok(Some((image, documents))),
                Err(error) if error.kind() == Kind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        let described: Vec<Option<(Image, Documents)>> =
            described.buffered(IN_FLIGHT).try_collect().await?;
        let described: Vec<(Image, Documents)> = described.into_iter().flatten().collect();
        let sizes = self.sizes(&described).await?;
        let held = described
            .iter()
            .map(|(image, documents)| held(image, documents, &blobs, &sizes, &standing));
        Ok(held.collect())
    }

    /// The containers that stand on an image, whatever made them and whether or not they run.
    ///
    /// # Errors
    /// When the node does not answer, or the image is not there.
    pub(in crate::engine) async fn containers_on(&self, name: &str) -> Result<Vec<String>> {
        let target = self.target(name).await?;
        let (documents, standing) =
            futures_util::try_join!(self.documents(target), self.standing())?;
        Ok(on_top(&documents, &standing))
    }

    /// Removes an image that has no name, if that is still so and nothing stands on it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn remove_nameless(&self, id: &str) -> Result<Removed> {
        match self.containerd.node.cri.image(id).await? {
            None => return Ok(Removed::Gone(Vec::new())),
            Some(image) if image.pinned || !given(&image).is_empty() => return Ok(Removed::Kept),
            Some(_nameless) => {}
        }
        self.remove_unused(id).await
    }

    /// Removes an image with all its names, if nothing stands on it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn remove_unused(&self, id: &str) -> Result<Removed> {
        let (seen, sandbox_image) =
            futures_util::try_join!(self.containerd.node.cri.image(id), self.sandbox_image())?;
        if seen.is_some_and(|image| is_kept(&image, sandbox_image)) {
            return Ok(Removed::Kept);
        }
        match self.containers_on(id).await {
            Ok(containers) if !containers.is_empty() => return Ok(Removed::Kept),
            Ok(_unused) => {}
            Err(error) if error.kind() == Kind::NotFound => return Ok(Removed::Gone(Vec::new())),
            Err(error) => return Err(error),
        }
        self.containerd.node.cri.remove_image(id).await?;
        Ok(Removed::Gone(Vec::new()))
    }

    /// The name of the image that every sandbox needs: not all versions pin it.
    async fn sandbox_image(&self) -> Result<Option<&str>> {
        let named = self
            .sandbox_image
            .get_or_try_init(|| self.containerd.node.cri.sandbox_image());
        Ok(named.await?.as_deref())
    }

    /// The containers of the node by the layer on which each stands.
    async fn standing(&self) -> Result<Standing> {
        let snapshots = self.snapshots().await?;
        let (records, snapshots) =
            futures_util::try_join!(self.containerd.records(), snapshots.all())?;
        let parents: BTreeMap<String, String> = snapshots
            .into_iter()
            .map(|info| (info.name, info.parent))
            .collect();
        let mut standing = Standing::new();
        for record in records {
            if let Some(parent) = parents.get(&record.snapshot_key) {
                standing.entry(parent.clone()).or_default().push(record.id);
            }
        }
        Ok(standing)
    }

    /// The bytes that each layer of these images takes unpacked.
    async fn sizes(&self, images: &[(Image, Documents)]) -> Result<HashMap<ChainId, u64>> {
        let snapshots = &self.snapshots().await?;
        let chains = images
            .iter()
            .flat_map(|(_, documents)| chain_ids(&documents.diff_ids()));
        let chains: HashSet<ChainId> = chains.collect();
        let sizes = stream::iter(chains).map(|chain| async move {
            let size = snapshots.usage(&chain).await?;
            Ok::<_, Error>((chain, size))
        });
        let sizes: Vec<(ChainId, Option<u64>)> =
            sizes.buffer_unordered(IN_FLIGHT).try_collect().await?;
        let known = sizes
            .into_iter()
            .filter_map(|(chain, size)| Some((chain, size?)));
        Ok(known.collect())
    }
}

/// True of an image that the node keeps, used or not.
fn is_kept(image: &Image, sandbox_image: Option<&str>) -> bool {
    let names = || image.repo_tags.iter().chain(&image.repo_digests);
    let is_of_sandboxes = |name: &str| names().any(|other| canonical(other) == canonical(name));
    image.pinned || sandbox_image.is_some_and(is_of_sandboxes)
}

fn on_top(documents: &Documents, standing: &Standing) -> Vec<String> {
    let chain = chain_ids(&documents.diff_ids());
    let top = chain.last().and_then(|top| standing.get(top.as_str()));
    top.cloned().unwrap_or_default()
}

fn held(
    image: &Image,
    documents: &Documents,
    blobs: &HashMap<String, Labels>,
    sizes: &HashMap<ChainId, u64>,
    standing: &Standing,
) -> Held {
    let chain = chain_ids(&documents.diff_ids());
    let layers: Option<Vec<(ChainId, u64)>> = chain
        .into_iter()
        .map(|id| sizes.get(&id).map(|size| (id.clone(), *size)))
        .collect();
    let mut listed = documents.manifest.layers().into_iter().flatten();
    let keeper = blobs.get(Digest::of(&documents.manifest_bytes).as_str());
    // one that nothing keeps may go at any moment
    let stays = |digest: &str| {
        blobs.contains_key(digest) && keeper.is_some_and(|labels| keep(labels, digest))
    };
    let tags = given(image);
    Held {
        id: image.id.clone(),
        names: if tags.is_empty() {
            image.repo_digests.clone()
        } else {
            tags
        },
        created: crate::pod::timestamp(documents.config.created())
            .map_or(0, jiff::Timestamp::as_second),
        size: layers.as_ref().map_or(image.size, |layers| {
            layers.iter().map(|(_, size)| size).sum()
        }),
        layers,
        under: on_top(documents, standing),
        pinned: image.pinned,
        run_only: listed.any(|layer: DescriptorRef<'_>| !stays(layer.digest())),
    }
}
