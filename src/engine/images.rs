//! The images of a node: listing, asking what is present, bringing, naming, removing.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::engine::buildkit::streams::{self, Sink};
use crate::engine::containerd::images::ClusterImages;
use crate::engine::docker::Docker;
use crate::engine::layer_store::LayerStore;
use crate::engine::podman::PodmanImages;
use crate::error::{Error, Kind, Result};
use crate::image::credentials::Login;
use crate::image::digest::{ChainId, DiffId};
use crate::image::inventory::{Held, Removed};
use crate::image::platform::Platform;
use crate::image::reference::{canonical, is_transfer};
use crate::image::stored::{Incoming, Keep, StoredImage, Wanted};
use crate::progress::{Event, Sender};

/// The image store of a node.
#[derive(Clone, Debug)]
pub(crate) enum Images {
    Docker(Box<Docker>),
    Containerd(Box<ClusterImages>),
    /// Those of a cri-o node, which its podman brings.
    Podman(Box<PodmanImages>),
}

impl Images {
    /// True when the archives that it writes name layers by their digest.
    pub(crate) fn archives_name_layers_by_digest(&self) -> bool {
        match self {
            Self::Docker(docker) => docker.archives_name_layers_by_digest(),
            Self::Containerd(_) | Self::Podman(_) => true,
        }
    }

    /// All images that a person would see.
    ///
    /// # Errors
    /// When the engine does not answer. An image that vanishes meanwhile is left out.
    pub(crate) async fn inventory(&self) -> Result<Vec<Held>> {
        match self {
            Self::Docker(docker) => docker.inventory().await,
            Self::Containerd(images) => images.inventory().await,
            Self::Podman(images) => Box::pin(images.inventory()).await,
        }
    }

    /// Removes an image that has no name, if that is still so. Never by force.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn remove_nameless(&self, id: &str) -> Result<Removed> {
        match self {
            Self::Docker(docker) => docker.remove_nameless(id).await,
            Self::Containerd(images) => images.remove_nameless(id).await,
            Self::Podman(images) => Box::pin(images.remove_nameless(id)).await,
        }
    }

    /// Removes an image with all its names, if no container uses it, running or not.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn remove_unused(&self, id: &str, names: &[String]) -> Result<Removed> {
        match self {
            Self::Docker(docker) => docker.remove_unused(id, names).await,
            Self::Containerd(images) => images.remove_unused(id).await,
            Self::Podman(images) => Box::pin(images.remove_unused(id)).await,
        }
    }

    /// One image by name or ID.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(crate) async fn image(&self, name: &str) -> Result<StoredImage> {
        match self {
            Self::Docker(docker) => docker.image(name).await,
            Self::Containerd(images) => images.image(name).await,
            Self::Podman(images) => Box::pin(images.image(name)).await,
        }
    }

    /// One image by its ID, or by its name in whatever spelling it stands there.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(crate) async fn image_however_spelled(&self, name: &str) -> Result<StoredImage> {
        match self {
            Self::Containerd(images) => images.image_however_spelled(name).await,
            // these know one spelling alone
            Self::Docker(_) | Self::Podman(_) => self.image(name).await,
        }
    }

    /// True where pods find an image by a name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn is_named(&self, image: &StoredImage, name: &str) -> Result<bool> {
        let whole = canonical(name);
        let is_told = image.tags.iter().any(|name| canonical(name) == whole);
        match self {
            Self::Docker(_) | Self::Podman(_) => Ok(is_told),
            Self::Containerd(images) => Ok(is_told && images.is_name(&whole).await?),
        }
    }

    /// The ID of what a name stands for.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(crate) async fn id(&self, name: &str) -> Result<String> {
        match self {
            Self::Docker(docker) => Ok(docker.image(name).await?.id),
            Self::Containerd(images) => images.id(name).await,
            Self::Podman(images) => Ok(Box::pin(images.image(name)).await?.id),
        }
    }

    /// The image that has this digest for its ID somewhere: the node may know it by another.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn known(&self, id: &str) -> Result<Option<StoredImage>> {
        let found = match self {
            Self::Docker(docker) => docker.image(id).await,
            Self::Containerd(images) => return images.known(id).await,
            Self::Podman(images) => Box::pin(images.image(id)).await,
        };
        match found {
            Ok(found) => Ok(Some(found).filter(|found| found.id == id)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The platform that an image is for.
    pub(crate) async fn image_platform(&self, name: &str) -> Result<Platform> {
        match self {
            Self::Docker(docker) => docker.image_platform(name).await,
            Self::Containerd(images) => images.image_platform(name).await,
            Self::Podman(images) => Box::pin(images.image_platform(name)).await,
        }
    }

    /// The platform that the engine runs.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn platform(&self) -> Result<Platform> {
        match self {
            Self::Docker(docker) => docker.platform().await,
            Self::Containerd(images) => images.platform().await,
            Self::Podman(images) => Box::pin(images.platform()).await,
        }
    }

    /// The IDs and names of all images.
    pub(crate) async fn image_names(&self) -> Result<Vec<(String, Vec<String>)>> {
        match self {
            Self::Docker(docker) => docker.image_names().await,
            Self::Containerd(images) => images.image_names().await,
            Self::Podman(images) => Box::pin(images.image_names()).await,
        }
    }

    /// The chain IDs of those of an image's layers that are there, and perhaps of others.
    pub(crate) async fn present_layers(
        &self,
        layers: &[DiffId],
        keep: Keep,
    ) -> Result<HashSet<ChainId>> {
        match (self, keep) {
            (Self::Docker(docker), _) => docker.present_layers().await,
            (Self::Containerd(images), Keep::ToRun) => images.present(layers).await,
            // out of an unpacked layer its blob can't be made again
            (Self::Containerd(_), Keep::Whole) => Ok(HashSet::new()),
            // its store keeps layers as they were
            (Self::Podman(images), _) => Box::pin(images.present(layers)).await,
        }
    }

    /// True where nothing of an image was thrown away: it can be sent on, exported and built upon.
    ///
    /// # Errors
    /// Not found when the engine does not have it.
    pub(crate) async fn is_whole(&self, name: &str) -> Result<bool> {
        match self {
            Self::Docker(_) | Self::Podman(_) => Ok(true),
            Self::Containerd(images) => images.is_whole(name).await,
        }
    }

    /// True where a layer that is there serves an image whatever layers are below it.
    pub(crate) fn layers_stand_alone(&self) -> bool {
        match self {
            Self::Docker(_) | Self::Containerd(_) => false,
            Self::Podman(_) => true,
        }
    }

    /// The layers of each image that need not be sent for another one.
    pub(crate) async fn stacks(&self, keep: Keep) -> Result<Vec<Vec<DiffId>>> {
        match (self, keep) {
            (Self::Docker(docker), _) => docker.stacks().await,
            (Self::Containerd(images), Keep::ToRun) => images.stacks().await,
            (Self::Containerd(_), Keep::Whole) => Ok(Vec::new()),
            (Self::Podman(images), _) => Box::pin(images.stacks()).await,
        }
    }

    /// The sizes of an image's layers, the base first, as its history tells them: about right, and
    /// `None` when history and layers do not match.
    pub(crate) async fn layer_sizes(&self, image: &StoredImage) -> Option<Vec<u64>> {
        match self {
            Self::Docker(docker) => docker.layer_sizes(image).await,
            Self::Containerd(images) => images.layer_sizes(image).await,
            Self::Podman(images) => Box::pin(images.layer_sizes(image)).await,
        }
    }

    /// The blobs of an image's layers with their sizes, the base first, where the store keeps layers
    /// as they were packed.
    pub(crate) async fn layer_blobs(&self, image: &StoredImage) -> Option<Vec<(String, u64)>> {
        match self {
            Self::Docker(_) | Self::Podman(_) => None,
            Self::Containerd(images) => images.layer_blobs(image).await,
        }
    }

    /// Gives an image one more name.
    pub(crate) async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.tag(image, repository, tag).await,
            Self::Containerd(images) => images.tag(image, repository, tag).await,
            Self::Podman(images) => Box::pin(images.tag(image, repository, tag)).await,
        }
    }

    /// Takes a name away from an image (and the image, if that was its last); it may be gone already.
    pub(crate) async fn untag(&self, name: &str) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.untag(name).await,
            Self::Containerd(images) => images.untag(name).await,
            Self::Podman(images) => Box::pin(images.untag(name)).await,
        }
    }

    /// The names of transfers that stand there, or whose images wait for their names.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn transfers(&self) -> Result<Vec<String>> {
        match self {
            Self::Docker(docker) => {
                let images = docker.image_names().await?.into_iter();
                let names = images.flat_map(|(_, names)| names);
                Ok(names.filter(|name| is_transfer(name)).collect())
            }
            Self::Containerd(images) => images.transfers().await,
            Self::Podman(images) => Box::pin(images.transfers()).await,
        }
    }

    /// The archive that `docker save` writes, as it comes. Layers that are not wanted may be left out.
    pub(crate) fn save(
        &self,
        name: &str,
        wanted: Wanted,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        match self {
            Self::Docker(docker) => docker.save(name).left_stream().left_stream(),
            Self::Containerd(images) => images.save(name, wanted).right_stream().left_stream(),
            Self::Podman(images) => images.save(name).right_stream(),
        }
    }

    /// Streams an image's archive, without its names, into `sink`.
    ///
    /// # Errors
    /// The engine has no such image or was lost; the sink failed.
    pub(crate) async fn save_into(&self, id: &str, sink: Sink) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.save_into(id, sink).await,
            Self::Containerd(images) => {
                streams::save_into(images.save(id, Wanted::All), sink).await
            }
            Self::Podman(images) => Box::pin(streams::save_into(images.save(id), sink)).await,
        }
    }

    /// Loads an archive that holds an image under `name`, the name of a transfer, and tells how much
    /// of it the engine has taken. What the engine says against it is read to its end.
    ///
    /// # Errors
    /// What the engine says against it.
    pub(crate) async fn load<S>(
        &self,
        name: &str,
        incoming: Incoming<'_>,
        archive: S,
        events: &Sender,
    ) -> Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let archive = taken(archive, events);
        match self {
            Self::Docker(docker) => docker.load(archive).await,
            Self::Containerd(images) => Box::pin(images.load(name, incoming, archive)).await,
            Self::Podman(images) => Box::pin(images.load(name, archive)).await,
        }
    }

    /// Pushes a name (repository and tag) to the registry that it begins with; `what` says in an
    /// error what was tried.
    ///
    /// # Errors
    /// What the engine or the registry said.
    pub(crate) async fn push(
        &self,
        name: (&str, &str),
        login: Option<Login>,
        what: &str,
    ) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.push(name, login, what).await,
            Self::Containerd(_) => Err(Error::failed(what.to_owned())
                .caused_by("images can't be pushed from a node with containerd")
                .hint("`devnet build --push` builds and pushes in one")),
            Self::Podman(_) => Err(Error::failed(what.to_owned())
                .caused_by("images can't be pushed from a node with cri-o")
                .hint("push them from the engine that they came from")),
        }
    }

    /// The place of an image's layers; `None` when its engine does not keep them as overlay2 does.
    pub(crate) async fn layer_store(&self, image: &str) -> Result<Option<LayerStore>> {
        match self {
            Self::Docker(docker) => docker.layer_store(image).await,
            Self::Containerd(_) | Self::Podman(_) => Ok(None),
        }
    }
}

/// An archive that tells of each piece as it is taken.
fn taken<S>(archive: S, events: &Sender) -> impl Stream<Item = S::Item> + Send + 'static
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let events = events.clone();
    archive.inspect(move |piece| {
        if let Ok(piece) = piece {
            let _nobody_reads = events.send(Event::Loaded(piece.len() as u64));
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn archive() -> impl Stream<Item = std::io::Result<Bytes>> {
        let broken = std::io::Error::other("the source was lost");
        stream::iter([
            Ok(Bytes::from_static(b"head")),
            Ok(Bytes::from_static(b"contents")),
            Err(broken),
        ])
    }

    #[tokio::test]
    async fn a_load_tells_of_what_is_taken_and_of_no_more() {
        let (events, mut news) = unbounded_channel();
        let mut pieces = Box::pin(taken(archive(), &events));
        assert!(news.try_recv().is_err(), "nothing was taken yet");
        assert_eq!(pieces.next().await.unwrap().unwrap(), "head");
        assert_eq!(news.try_recv(), Ok(Event::Loaded(4)));
        assert!(news.try_recv().is_err(), "the rest was not taken yet");
        assert_eq!(pieces.next().await.unwrap().unwrap(), "contents");
        assert!(pieces.next().await.unwrap().is_err());
        assert_eq!(news.try_recv(), Ok(Event::Loaded(8)));
        assert!(news.try_recv().is_err(), "an error is no piece");
    }

    #[tokio::test]
    async fn a_load_goes_on_when_nobody_reads_its_events() {
        let (events, news) = unbounded_channel();
        drop(news);
        assert_eq!(taken(archive(), &events).count().await, 3);
    }
}
