//! The part that `load` and `build` share: an image is brought to nodes under a name of ours; once
//! it is whole there it gets its own names, and ours goes again.

mod progress;

use std::time::Duration;

use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Kind, Result};
use crate::image::stored::{Keep, StoredImage};
use crate::load::archive_transfer::ArchiveTransfer;
use crate::load::delivery::{Delivery, Needs, Sent};
use crate::load::transfer::{BlobCache, Transfer};
use crate::progress::Sender;

/// A repository and a tag.
pub(crate) type Name = (String, String);

/// An image on its way, wherever it comes from.
pub(crate) enum ImageSource<'a> {
    Engine(Transfer<'a>),
    Archive(ArchiveTransfer),
}

/// The time that a node that was given up may take to forget.
const LOST: Duration = Duration::from_secs(3);

impl ImageSource<'_> {
    pub(crate) fn image(&self) -> &StoredImage {
        match self {
            Self::Engine(transfer) => &transfer.image,
            Self::Archive(archive_transfer) => &archive_transfer.image,
        }
    }

    /// About how many bytes all nodes together will get, where that is known before.
    fn expected(&self, nodes: &[Needs<'_>]) -> Option<u64> {
        let Self::Archive(archive_transfer) = self else {
            return None;
        };
        let layers = &archive_transfer.packed.layers;
        let missing = nodes.iter().flat_map(|node| &node.missing);
        Some(missing.map(|index| layers[*index].size).sum())
    }

    /// The name under which nodes get the image at first.
    fn transfer_name(&self) -> String {
        match self {
            Self::Engine(transfer) => transfer.transfer_name(),
            Self::Archive(archive_transfer) => archive_transfer.transfer_name(),
        }
    }

    /// True where the image may come another way even if everything was sent.
    fn has_another_way(&self) -> bool {
        match self {
            Self::Engine(transfer) => transfer.store_is_distrusted(),
            Self::Archive(_) => false,
        }
    }

    async fn run(&self, to: Delivery<'_>, blobs: &mut BlobCache) -> Vec<Sent> {
        match self {
            Self::Engine(transfer) => transfer.run(to, blobs).await,
            Self::Archive(archive_transfer) => archive_transfer.run(to).await,
        }
    }
}

/// The things that a node needs to have an image.
pub(crate) enum Lack<'e> {
    /// It has all of it, perhaps under another ID and without the name.
    Nothing(StoredImage),
    Parts(Needs<'e>),
}

/// The parts that a node lacks of an image that its source knows by `id`.
///
/// # Errors
/// When the node does not answer.
pub(crate) async fn needs<'e>(
    engine: &'e Engine,
    image: &StoredImage,
    id: &str,
    keep: Keep,
) -> Result<Lack<'e>> {
    let known = engine.images.known(id).await?;
    match known.filter(|there| there.layers == image.layers) {
        Some(there) if keep == Keep::ToRun || engine.images.is_whole(&there.id).await? => {
            Ok(Lack::Nothing(there))
        }
        _ => Needs::of(engine, image, keep).await.map(Lack::Parts),
    }
}

/// Gives an image that is there those of the names that it has not got.
///
/// # Errors
/// When the node does not answer, or refuses one.
pub(crate) async fn name_it(engine: &Engine, there: &StoredImage, names: &[Name]) -> Result<()> {
    for (repository, tag) in names {
        let name = format!("{repository}:{tag}");
        if !engine.images.is_named(there, &name).await? {
            engine.images.tag(&there.id, repository, tag).await?;
        }
    }
    Ok(())
}

impl Context {
    /// Brings an image to nodes and names it there. One outcome for each, in order.
    ///
    /// # Errors
    /// Interrupted; everything of ours has been taken away by then.
    pub(crate) async fn deliver(
        &self,
        image_source: &ImageSource<'_>,
        nodes: &[Needs<'_>],
        names: &[Name],
        blobs: &mut BlobCache,
    ) -> Result<Vec<Sent>> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let ours = image_source.transfer_name();
        let engines: Vec<&Engine> = nodes.iter().map(|node| node.engine).collect();
        let take_back = async {
            self.tidy_source(image_source).await;
            self.forget(&engines, &ours).await;
        };
        let what = names
            .first()
            .map_or_else(|| ours.clone(), |(name, tag)| format!("{name}:{tag}"));
        let work = async {
            let to = (nodes, names);
            let mut sent = self.send(image_source, &what, to, blobs).await;
            self.retry(image_source, &what, to, &mut sent, blobs).await;
            Ok(sent)
        };
        let sent = Box::pin(self.or_undo(work, take_back)).await?;
        self.tidy_source(image_source).await;
        let (mut lost, mut answering) = (Vec::new(), Vec::new());
        for (engine, sent) in engines.iter().zip(&sent) {
            match &sent.outcome {
                Err(error) if error.kind() == Kind::Lost => lost.push(*engine),
                _ => answering.push(*engine),
            }
        }
        futures_util::join!(
            self.forget(&answering, &ours),
            self.forget_soon(&lost, &ours)
        );
        Ok(sent)
    }

    /// Sends an image, and shows meanwhile how far it is.
    async fn send(
        &self,
        image_source: &ImageSource<'_>,
        what: &str,
        (nodes, names): (&[Needs<'_>], &[Name]),
        blobs: &mut BlobCache,
    ) -> Vec<Sent> {
        let sending = async |events: &Sender| {
            let to = Delivery {
                nodes,
                names,
                events,
            };
            image_source.run(to, blobs).await
        };
        self.shown(what, image_source.expected(nodes), sending)
            .await
    }

    /// Takes away what still stands in the source, or says that it does.
    async fn tidy_source(&self, image_source: &ImageSource<'_>) {
        if let ImageSource::Engine(transfer) = image_source
            && let Err(error) = transfer.tidy_source().await
        {
            self.ui
                .warn(&format!("{error}; `devnet -p lab clean` removes it"));
        }
    }

    /// A node may have removed layers in between, or take no archive that lacks some: once, and
    /// said aloud, everything is sent.
    async fn retry(
        &self,
        image_source: &ImageSource<'_>,
        what: &str,
        (nodes, names): (&[Needs<'_>], &[Name]),
        sent: &mut [Sent],
        blobs: &mut BlobCache,
    ) {
        let failed: Vec<usize> = (0..nodes.len())
            .filter(|index| {
                let outcome = &sent[*index].outcome;
                outcome
                    .as_ref()
                    .is_err_and(|error| error.kind() != Kind::Lost)
                    && (nodes[*index].missing.len() < image_source.image().layers.len()
                        || image_source.has_another_way())
            })
            .collect();
        if failed.is_empty() {
            return;
        }
        for index in &failed {
            if let Err(error) = &sent[*index].outcome {
                self.ui.note(&format!(
                    "{error}: sending the whole image to {}",
                    nodes[*index].engine.node.address()
                ));
            }
        }
        let whole: Vec<Needs<'_>> = failed
            .iter()
            .map(|index| nodes[*index].all(image_source.image()))
            .collect();
        for (index, again) in failed
            .into_iter()
            .zip(self.send(image_source, what, (&whole, names), blobs).await)
        {
            sent[index] = Sent {
                bytes: sent[index].bytes + again.bytes,
                outcome: again.outcome,
            };
        }
    }

    /// The same of nodes that were given up: they are asked, and not waited for.
    async fn forget_soon(&self, nodes: &[&Engine], name: &str) {
        let untags = nodes.iter().map(|engine| async move {
            let untag = tokio::time::timeout(LOST, engine.images.untag(name));
            if !matches!(untag.await, Ok(Ok(()))) {
                self.ui.warn(&format!(
                    "`{name}` may still stand on {}; `devnet clean` removes it",
                    engine.node.address()
                ));
            }
        });
        futures_util::future::join_all(untags).await;
    }

    /// Takes a transfer's name away from every node; one that is lost does not keep the others
    /// from it.
    pub(crate) async fn forget(&self, nodes: &[&Engine], name: &str) {
        let untags = nodes.iter().map(|engine| async move {
            if let Err(error) = engine.images.untag(name).await {
                self.ui.warn(&format!("{error}; `devnet clean` removes it"));
            }
        });
        futures_util::future::join_all(untags).await;
    }
}
