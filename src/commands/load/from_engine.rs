//! `devnet load` of what an engine has: which of its images are meant, and under which name the nodes
//! get each.

use super::memory::Memory;
use super::nodes::{self, LoadNode};
use super::{Item, Load, source};
use crate::commands::deliver::{ImageSource, Name};
use crate::docker_env::endpoint::{Address, Endpoint, is_docker_desktop};
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::digest::Digest;
use crate::image::reference;
use crate::image::stored::StoredImage;
use crate::load::transfer::Transfer;
use crate::render::load::Row;

impl Load<'_> {
    /// The names of a repository's images.
    pub(super) async fn tags(&self, repository: &str) -> Result<Vec<Item>> {
        let names = nodes::all_names(self.source()?, Some(repository)).await?;
        if names.is_empty() {
            return Err(Error::not_found(format!(
                "the engine at {} has no tag of `{repository}`",
                self.from
            )));
        }
        Ok(names.into_iter().map(Item::Image).collect())
    }

    /// Brings an image of the engine.
    pub(super) async fn deliver_image(&self, name: &str, memory: &mut Memory) -> Result<Vec<Row>> {
        let source = self.source()?;
        let image = source::image(source, name, &self.from, self.args.asked(self.context)).await?;
        if let Some(wanted) = &self.platform {
            nodes::runs(source, &image, wanted).await?;
        }
        let wanted = [self.name_on_nodes(name, &image)?];
        let sizes = if self.args.dry_run {
            source.images.layer_sizes(&image).await
        } else {
            None
        };
        let sizes: Vec<Option<u64>> = match sizes {
            Some(sizes) => sizes.into_iter().map(Some).collect(),
            None => vec![None; image.layers.len()],
        };
        let image_source = ImageSource::Engine(Transfer {
            source,
            name: name.to_owned(),
            token: SignedToken::new(),
            shares_loopback: shares_loopback(&self.from),
            image,
            leftovers: std::sync::Mutex::default(),
        });
        let nodes: Vec<&LoadNode> = self.nodes.iter().collect();
        self.deliver_source(&image_source, &nodes, &wanted, &sizes, memory)
            .await
    }

    /// The nodes' name for an image of an engine: `--tag`, else the one that was typed.
    fn name_on_nodes(&self, name: &str, image: &StoredImage) -> Result<Name> {
        if let Some(tag) = &self.tag {
            return Ok(tag.clone());
        }
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_id = image
            .id
            .strip_prefix("sha256:")
            .is_some_and(|id| id.starts_with(hex));
        let is_name = image
            .tags
            .iter()
            .any(|tag| tag == name || tag.strip_suffix(":latest") == Some(name));
        if is_id && !is_name {
            return Err(Error::usage(format!(
                "`{name}` is an ID, and no name for the image on the nodes"
            ))
            .hint("give it one with `--tag NAME`"));
        }
        if let Some((repository, tag, digest)) = reference::split_digest(name) {
            let tag = tag.unwrap_or_else(|| self.tag_for(&repository, &digest, image));
            return Ok((repository, tag));
        }
        reference::split(name)
    }

    /// The tag of an image that was named by its digest, which is no name on the nodes: the one it
    /// has in the same repository here, else one made of the digest.
    fn tag_for(&self, repository: &str, digest: &Digest, image: &StoredImage) -> String {
        let here = image.tags.iter().find_map(|name| {
            let (of, tag) = reference::split(name).ok()?;
            (of == repository).then_some(tag)
        });
        let tag = here.unwrap_or_else(|| format!("sha256-{:.12}", digest.hex()));
        self.context.ui.note(&format!(
            "a digest is no name on the nodes: there it is `{repository}:{tag}`"
        ));
        tag
    }
}

/// True where an engine reaches this computer's 127.0.0.1: one on Linux itself does, one in a
/// virtual machine does not.
fn shares_loopback(from: &Endpoint) -> bool {
    match &from.address {
        Address::Unix(path) => cfg!(target_os = "linux") && !is_docker_desktop(path),
        Address::Container { .. }
        | Address::Tcp { .. }
        | Address::Npipe(_)
        | Address::Ssh { .. } => false,
    }
}
