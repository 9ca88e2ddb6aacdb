//! containerd's names of images, each of which stands for a manifest or an index.

use std::collections::BTreeMap;

use super::content::Labels;
use super::messages::{
    DeleteImageRequest, Descriptor, FieldMask, GetImageRequest, ImageMessage, ListImagesRequest,
    ListImagesResponse, NamedImage,
};
use crate::engine::grpc::{Empty, Grpc, found};
use crate::error::Result;

/// The label of names that CRI knows. When it hears of one without, it gives the image a name by its
/// ID, with which the image stays when this name goes to another, and then the label.
pub(super) const KNOWN_TO_CRI: &str = "io.cri-containerd.image";
/// The label of names whose images the node keeps, and its value: not every version's CRI tells of it.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// The manifest or index that a name stands for.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) digest: String,
    /// True where the node keeps it, used or not.
    pub(super) pinned: bool,
}

/// A client of a node's image names.
#[derive(Clone, Debug)]
pub(super) struct ImageNames {
    grpc: Grpc,
}

impl ImageNames {
    pub(super) fn new(grpc: Grpc) -> Self {
        Self { grpc }
    }

    /// The record of a whole name; `None` when there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<NamedImage>> {
        const PATH: &str = "/containerd.services.images.v1.Images/Get";
        let question = GetImageRequest {
            name: name.to_owned(),
        };
        let answer: Option<ImageMessage> = found(self.grpc.ask(PATH, question).await)?;
        Ok(answer.and_then(|answer| answer.image))
    }

    /// The names that begin so.
    pub(super) async fn beginning_with(&self, first: &str) -> Result<Vec<String>> {
        let escaped = first.replace('.', "\\.");
        let filter = format!("name~=\"^{}\"", escaped.replace('\\', "\\\\"));
        let names = self.that(vec![filter]).await?.into_iter();
        let names = names.map(|image| image.name);
        Ok(names.filter(|name| name.starts_with(first)).collect())
    }

    /// All names.
    pub(super) async fn all(&self) -> Result<BTreeMap<String, Named>> {
        Ok(by_name(self.that(Vec::new()).await?))
    }

    /// The names whose images the node keeps, used or not.
    pub(super) async fn pinned(&self) -> Result<BTreeMap<String, Named>> {
        let filter = format!("labels.\"{}\"=={}", PINNED.0, PINNED.1);
        Ok(by_name(self.that(vec![filter]).await?))
    }

    /// The names that stand for a manifest or an index.
    pub(super) async fn of(&self, digest: &str) -> Result<Vec<NamedImage>> {
        self.that(vec![format!("target.digest==\"{digest}\"")])
            .await
    }

    /// The records of names to which one of these filters applies; all where there is none.
    async fn that(&self, filters: Vec<String>) -> Result<Vec<NamedImage>> {
        const PATH: &str = "/containerd.services.images.v1.Images/List";
        let question = ListImagesRequest { filters };
        let answer: ListImagesResponse = self.grpc.ask(PATH, question).await?;
        Ok(answer.images)
    }

    /// Gives a name to a manifest, whatever it stood for before.
    pub(super) async fn put(&self, name: &str, target: Descriptor) -> Result<()> {
        const CREATE: &str = "/containerd.services.images.v1.Images/Create";
        const UPDATE: &str = "/containerd.services.images.v1.Images/Update";
        let image = NamedImage {
            name: name.to_owned(),
            labels: Labels::new(),
            target: Some(target),
            created_at: None,
        };
        let created = ImageMessage {
            image: Some(image.clone()),
        };
        match self.grpc.ask::<_, ImageMessage>(CREATE, created).await {
            Ok(_made) => return Ok(()),
            Err(refusal) if refusal.is_already_there() => {}
            Err(refusal) => return Err(refusal.error),
        }
        let update = super::messages::UpdateImageRequest {
            image: Some(image),
            update_mask: Some(FieldMask {
                paths: vec!["target".to_owned(), format!("labels.{}", KNOWN_TO_CRI)],
            }),
        };
        let _changed: ImageMessage = self.grpc.ask(UPDATE, update).await?;
        Ok(())
    }

    /// Takes a name away; it may be gone already.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        const PATH: &str = "/containerd.services.images.v1.Images/Delete";
        let order = DeleteImageRequest {
            name: name.to_owned(),
            sync: true,
        };
        let _gone: Option<Empty> = found(self.grpc.ask(PATH, order).await)?;
        Ok(())
    }
}

fn by_name(images: Vec<NamedImage>) -> BTreeMap<String, Named> {
    let named = |image: NamedImage| {
        let label = image.labels.get(PINNED.0);
        let named = Named {
            pinned: label.is_some_and(|value| value == PINNED.1),
            digest: image.target.unwrap_or_default().digest,
        };
        (image.name, named)
    };
    images.into_iter().map(named).collect()
}
