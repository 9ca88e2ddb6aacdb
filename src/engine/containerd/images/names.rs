//! containerd's names of images, each of which stands for a manifest or an index.

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
        const PATH: &str = "/containerd.services.images.v1.Images/List";
        let escaped = first.replace('.', "\\.");
        let question = ListImagesRequest {
            filters: vec![format!("name~=\"^{}\"", escaped.replace('\\', "\\\\"))],
        };
        let answer: ListImagesResponse = self.grpc.ask(PATH, question).await?;
        let names = answer.images.into_iter().map(|image| image.name);
        Ok(names.filter(|name| name.starts_with(first)).collect())
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
