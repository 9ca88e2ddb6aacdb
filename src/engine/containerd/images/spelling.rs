//! Images by names that are not in full. Pods find none by them; other tools give such names all the same.

use super::ClusterImages;
use crate::error::{Kind, Result};
use crate::image::reference::canonical;
use crate::image::stored::StoredImage;

impl ClusterImages {
    /// One image by its ID, or by a name in whatever spelling it stands here: the one in full, by which
    /// pods find it, comes first.
    ///
    /// # Errors
    /// Not found when the node does not have it.
    pub(in crate::engine) async fn image_however_spelled(&self, name: &str) -> Result<StoredImage> {
        let absent = match self.image(name).await {
            Err(error) if error.kind() == Kind::NotFound => error,
            outcome => return outcome,
        };
        let names = self.names();
        let all = names.all().await?;
        let named = match spelled(all.keys().map(String::as_str), name) {
            Some(spelling) => names.get(spelling).await?,
            None => None,
        };
        match named.and_then(|named| named.target) {
            Some(target) => self.stored(target).await,
            None => Err(absent),
        }
    }
}

/// Of all names the one that says the same: as it was typed, where that is among several.
fn spelled<'n>(all: impl Iterator<Item = &'n str>, typed: &str) -> Option<&'n str> {
    let whole = canonical(typed);
    all.filter(|name| !name.starts_with("sha256:") && canonical(name) == whole)
        .max_by_key(|name| *name == typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_it_was_typed_and_else_in_another_spelling() {
        let all = ["app:dev", "docker.io/app:dev", "other:1", "sha256:dev"];
        let found = |typed| spelled(all.into_iter(), typed);
        assert_eq!(found("app:dev"), Some("app:dev"));
        assert_eq!(found("docker.io/app:dev"), Some("docker.io/app:dev"));
        assert!(found("docker.io/library/app:dev").is_some_and(|name| name.ends_with("app:dev")));
        assert_eq!(found("library/other:1"), Some("other:1"));
        for absent in ["app", "app:1", "sha256:dev"] {
            assert_eq!(found(absent), None, "{absent}");
        }
    }
}
