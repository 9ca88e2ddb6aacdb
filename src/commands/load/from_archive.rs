//! `devnet load` of what stands in an archive or a layout: which of its images are wanted, under which
//! names, and the platform that each node gets.

use std::sync::Arc;

use super::memory::Memory;
use super::nodes::LoadNode;
use super::{Item, Load, fail};
use crate::commands::deliver::{ImageSource, Name};
use crate::context::files::Files;
use crate::engine::ImageStore;
use crate::error::{Error, Kind, Result};
use crate::host::owner::SignedToken;
use crate::image::archive_image::{ArchiveImage, PlatformImage};
use crate::image::digest::DiffId;
use crate::image::reference;
use crate::image::stored::StoredImage;
use crate::load::archive_transfer::ArchiveTransfer;
use crate::render::load::Row;
use crate::wording::{MANY, listed};

impl Load<'_> {
    /// The images of an archive that are wanted.
    pub(super) fn archive(
        &self,
        text: &str,
        read: Result<(Arc<Files>, Vec<ArchiveImage>)>,
    ) -> Result<Vec<Item>> {
        let (files, images) = read?;
        if images.len() > 1 && !self.args.all {
            let names: Vec<String> = images
                .iter()
                .map(|image| match image.names.first() {
                    Some(name) => name.clone(),
                    None => "one without a name".into(),
                })
                .collect();
            return Err(
                Error::usage(format!("`{text}` holds {} images", images.len()))
                    .caused_by(listed(&names, MANY))
                    .hint("`--all` brings all of them"),
            );
        }
        Ok(images
            .into_iter()
            .map(|image| {
                let name = image.names.first().cloned();
                Item::Archive(name.unwrap_or_else(|| text.into()), files.clone(), image)
            })
            .collect())
    }

    /// The nodes' names for an image of an archive: `--tag`, else those that it has there.
    pub(super) fn names(&self, archive: &str, image: &ArchiveImage) -> Result<Vec<Name>> {
        if let Some(tag) = &self.tag {
            return Ok(vec![tag.clone()]);
        }
        if image.names.is_empty() {
            return Err(
                Error::usage(format!("the image in `{archive}` has no name"))
                    .hint("give it one with `--tag NAME`"),
            );
        }
        image
            .names
            .iter()
            .map(|name| reference::split(name))
            .collect::<Result<_>>()
            .map_err(|error| error.with_kind(Kind::Failed))
    }

    /// Brings an image out of an archive: to each node the platform that it runs.
    pub(super) async fn deliver_packed(
        &self,
        name: &str,
        files: &Arc<Files>,
        image: ArchiveImage,
        memory: &mut Memory,
    ) -> Result<Vec<Row>> {
        let names = self.names(&files.name, &image)?;
        let mut groups: Vec<(&PlatformImage, Vec<&LoadNode>)> = Vec::new();
        let mut rows = Vec::new();
        for node in &self.nodes {
            let picked = match (&self.platform, &node.engine) {
                (Some(wanted), _) => image.pick(wanted, true),
                (None, Ok(_)) => image.pick(&node.platform, false),
                // its row will say why it can't be reached
                (None, Err(_)) => image.choices.first().ok_or_else(Error::interrupted),
            };
            match picked {
                Ok(packed) => {
                    match groups
                        .iter_mut()
                        .find(|(other, _)| other.config.digest == packed.config.digest)
                    {
                        Some((_, nodes)) => nodes.push(node),
                        None => groups.push((packed, vec![node])),
                    }
                }
                Err(error) => {
                    let mut row = Row {
                        node: node.name.clone(),
                        image: name.to_owned(),
                        ..Row::default()
                    };
                    fail(&mut row, &error);
                    rows.push(row);
                }
            }
        }
        for (packed, nodes) in groups {
            let layers: Vec<DiffId> = packed
                .layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .collect();
            let mut archive_transfer = ArchiveTransfer {
                files: files.clone(),
                image: StoredImage {
                    id: packed.config_id().to_owned(),
                    layers,
                    size: packed.layers.iter().map(|layer| layer.size).sum(),
                    tags: Vec::new(),
                },
                packed: packed.clone(),
                token: SignedToken::new(),
            };
            if nodes.iter().any(|node| !node.runs(&packed.platform)) {
                // under an index, such a node would look for its own platform
                archive_transfer.packed.index = None;
            }
            if nodes
                .iter()
                .any(|node| node.store == ImageStore::Containerd)
            {
                archive_transfer.identify().await?;
            }
            let sizes: Vec<Option<u64>> =
                packed.layers.iter().map(|layer| Some(layer.size)).collect();
            let image_source = ImageSource::Archive(archive_transfer);
            rows.extend(
                self.deliver_source(&image_source, &nodes, &names, &sizes, memory)
                    .await?,
            );
        }
        rows.sort_by_key(|row| self.nodes.iter().position(|node| node.name == row.node));
        Ok(rows)
    }
}
