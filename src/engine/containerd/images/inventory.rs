//! The inventory of a node's images, and the removal of those that nothing needs. containerd itself
//! refuses no removal: what is in use is asked again right before each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::content::{Labels, keep};
use super::messages::{Descriptor, SnapshotInfo, SnapshotKind};
use super::names::Named;
use super::{ClusterImages, Documents, IN_FLIGHT, given};
use crate::engine::cri::messages::Image;
use crate::error::{Error, Kind, Result};
use crate::image::digest::{ChainId, Digest, chain_ids};
use crate::image::inventory::{Held, Removed};
use crate::image::oci::DescriptorRef;
use crate::image::reference::{canonical, is_given};

/// The containers whose files stand on a layer, by its chain ID.
type Standing = HashMap<String, Vec<String>>;

impl ClusterImages {
    /// All images that a person would see.
    ///
    /// # Errors
    /// When the node does not answer. An image that vanishes meanwhile is left out.
    pub(in crate::engine) async fn inventory(&self) -> Result<Vec<Held>> {
        let content = self.content();
        let (images, blobs, standing, names) = futures_util::try_join!(
            self.containerd.node.cri.images(),
            content.all(),
            self.standing(),
            self.all_names()
        )?;
        let images = images.into_iter().map(|image| Image {
            pinned: names.keep(&image),
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
        let targets = described.iter().map(|(_, documents)| &documents.target);
        let targets: HashSet<&str> = targets.map(|target| target.digest.as_str()).collect();
        let held = described.iter().map(|(image, documents)| Held {
            names: names.as_given(image, &documents.target, &targets),
            ..held(image, documents, &blobs, &sizes, &standing)
        });
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
        let (seen, names) =
            futures_util::try_join!(self.containerd.node.cri.image(id), self.pinned_names())?;
        if seen.is_some_and(|image| names.keep(&image)) {
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

    /// The names of the node's images.
    async fn all_names(&self) -> Result<Names<'_>> {
        let names = self.names();
        self.with_sandboxes(names.all()).await
    }

    /// The names whose images the node keeps, which are few.
    async fn pinned_names(&self) -> Result<Names<'_>> {
        let names = self.names();
        self.with_sandboxes(names.pinned()).await
    }

    async fn with_sandboxes(
        &self,
        names: impl Future<Output = Result<BTreeMap<String, Named>>>,
    ) -> Result<Names<'_>> {
        let sandbox_image = self
            .sandbox_image
            .get_or_try_init(|| self.containerd.node.cri.sandbox_image());
        let (sandbox_image, all) = futures_util::try_join!(sandbox_image, names)?;
        Ok(Names {
            sandbox_image: sandbox_image.as_deref(),
            all,
        })
    }

    /// The containers of the node by the layer on which each stands.
    async fn standing(&self) -> Result<Standing> {
        let snapshots = self.snapshots().await?;
        let (records, snapshots) =
            futures_util::try_join!(self.containerd.records(), snapshots.all())?;
        let records = records
            .into_iter()
            .map(|record| (record.snapshot_key, record.id));
        Ok(standing(&records.collect(), &snapshots))
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

/// Names of a node's images as containerd has them.
struct Names<'a> {
    /// The one that every sandbox needs: not all versions pin it.
    sandbox_image: Option<&'a str>,
    all: BTreeMap<String, Named>,
}

impl Names<'_> {
    /// True of an image that the node keeps, used or not.
    fn keep(&self, image: &Image) -> bool {
        let names = || image.repo_tags.iter().chain(&image.repo_digests);
        // CRI tells those in full too that are not
        let is_among_its = |name: &str| names().any(|other| canonical(other) == canonical(name));
        let is_its = |name: &str| name == image.id || is_among_its(name);
        image.pinned
            || self.sandbox_image.is_some_and(is_among_its)
            || self
                .all
                .iter()
                .any(|(name, named)| named.pinned && is_its(name))
    }

    /// An image's names as they were given: CRI tells those in full too that are not, by which no pod
    /// finds it, or not at all. `targets` are the digests of all images: what names another of them is
    /// that one's, whatever CRI tells.
    fn as_given(&self, image: &Image, target: &Descriptor, targets: &HashSet<&str>) -> Vec<String> {
        let tags = given(image);
        let is_its = |(name, named): &(&String, &Named)| {
            let whole = canonical(name);
            let is_told = tags.iter().any(|tag| *tag == **name || *tag == whole);
            let is_name = is_given(name) && !name.starts_with("sha256:") && !name.contains('@');
            let is_own = named.digest == target.digest;
            let is_anothers = !is_own && targets.contains(named.digest.as_str());
            is_told && !is_anothers || is_name && is_own
        };
        let its = self.all.iter().filter(is_its).map(|(name, _)| name);
        let mut names: BTreeSet<String> = its.cloned().collect();
        // one that it got just now
        let new = tags.iter().filter(|tag| {
            let is_it = |name: &String| name == *tag || canonical(name) == **tag;
            !self.all.contains_key(*tag) && !names.iter().any(is_it)
        });
        let new: Vec<String> = new.cloned().collect();
        names.extend(new);
        if names.is_empty() {
            return image.repo_digests.clone();
        }
        names.into_iter().collect()
    }
}

/// The containers by the layer on which each stands: those with a record (`records`: from the key of its
/// snapshot to its ID), and those of a Docker engine, which has a record of what runs alone; the snapshot
/// of each has its ID for a name, and stands on one more of the engine's own.
fn standing(records: &HashMap<String, String>, snapshots: &[SnapshotInfo]) -> Standing {
    const MOST_BETWEEN: usize = 8;
    let parents: HashMap<&str, &str> = snapshots
        .iter()
        .map(|info| (info.name.as_str(), info.parent.as_str()))
        .collect();
    let mut standing = Standing::new();
    for info in snapshots {
        let is_own = info.kind() == SnapshotKind::Active && is_container_id(&info.name);
        let Some(id) = records.get(&info.name).or(is_own.then_some(&info.name)) else {
            continue;
        };
        let below = std::iter::successors(Some(info.parent.as_str()), |name| {
            parents.get(name).copied()
        });
        if let Some(layer) = below
            .take(MOST_BETWEEN)
            .find(|name| name.starts_with("sha256:"))
        {
            let on_it = standing.entry(layer.to_owned()).or_default();
            on_it.push(id.clone());
        }
    }
    standing
}

fn is_container_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
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
    Held {
        id: image.id.clone(),
        names: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_stands_on_the_first_layer_below_it_with_a_record_or_without() {
        let info = |name: &str, parent: &str, kind: SnapshotKind| SnapshotInfo {
            name: name.into(),
            parent: parent.into(),
            kind: kind.into(),
        };
        let stopped = "a".repeat(64);
        let init = format!("{stopped}-init");
        let all = [
            info("sha256:base", "", SnapshotKind::Committed),
            info("sha256:top", "sha256:base", SnapshotKind::Committed),
            info("pods", "sha256:top", SnapshotKind::Active),
            info("nobodys", "sha256:base", SnapshotKind::Active),
            info(&init, "sha256:top", SnapshotKind::Committed),
            info(&stopped, &init, SnapshotKind::Active),
            // nonsense must end
            info(&"b".repeat(64), "x", SnapshotKind::Active),
            info("x", "x", SnapshotKind::Committed),
        ];
        let records = HashMap::from([("pods".to_owned(), "web".to_owned())]);
        let standing = standing(&records, &all);
        assert_eq!(standing.len(), 1, "{standing:?}");
        assert_eq!(standing["sha256:top"], ["web".to_owned(), stopped]);
    }

    #[test]
    fn what_is_pinned_is_kept_under_whatever_spelling() {
        let pinned = |name: &str, pinned| {
            let named = Named {
                digest: "sha256:one".into(),
                pinned,
            };
            Names {
                sandbox_image: None,
                all: [(name.to_owned(), named)].into(),
            }
        };
        let image = Image {
            id: "sha256:config".into(),
            repo_tags: vec!["docker.io/library/app:dev".to_owned()],
            ..Image::default()
        };
        for name in ["app:dev", "docker.io/library/app:dev", "sha256:config"] {
            assert!(pinned(name, true).keep(&image), "{name}");
            assert!(!pinned(name, false).keep(&image), "{name}");
        }
        assert!(!pinned("other:dev", true).keep(&image));
    }

    #[test]
    fn a_name_is_the_image_s_that_it_stands_for_whatever_cri_tells() {
        const FULL: &str = "docker.io/library/app:dev";
        let named = |name: &str, digest: &str| {
            let named = Named {
                digest: digest.into(),
                pinned: false,
            };
            (name.to_owned(), named)
        };
        let names = Names {
            sandbox_image: None,
            all: [named("app:dev", "sha256:old"), named(FULL, "sha256:new")].into(),
        };
        // CRI tells the short name in full: both seem to have it
        let image = Image {
            repo_tags: vec![FULL.to_owned()],
            ..Image::default()
        };
        let of = |digest: &str, targets: &[&str]| {
            let target = Descriptor {
                digest: digest.into(),
                ..Descriptor::default()
            };
            names.as_given(&image, &target, &targets.iter().copied().collect())
        };
        let both = ["sha256:old", "sha256:new"];
        assert_eq!(of("sha256:old", &both), ["app:dev"]);
        assert_eq!(of("sha256:new", &both), [FULL]);
        // what names no image that is shown is believed
        assert_eq!(of("sha256:new", &["sha256:new"]), ["app:dev", FULL]);
    }
}
