//! Images by names that are not in full. Pods find none by them; other tools give such names all the same.

use std::collections::BTreeMap;

use super::ClusterImages;
use crate::error::{Error, Kind, Result};
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
        let mut targets = BTreeMap::new();
        for spelling in spelled(all.keys().map(String::as_str), name) {
            if let Some(target) = names.get(spelling).await?.and_then(|named| named.target) {
                targets.insert(target.digest.clone(), (spelling, target));
            }
        }
        let mut found = targets.into_values();
        match (found.next(), found.next()) {
            (None, _) => Err(absent),
            (Some((_, target)), None) => self.stored(target).await,
            (Some((one, _)), Some((other, _))) => Err(Error::failed(format!(
                "`{name}` may be `{one}` or `{other}` there, which are two images"
            ))
            .hint("name one of them as it stands there")),
        }
    }
}

/// Of all names those that say the same: the one as it was typed, where that is among them.
fn spelled<'n>(all: impl Iterator<Item = &'n str>, typed: &str) -> Vec<&'n str> {
    let whole = canonical(typed);
    let same: Vec<&str> = all
        .filter(|name| !name.starts_with("sha256:") && canonical(name) == whole)
        .collect();
    match same.iter().find(|name| **name == typed) {
        Some(name) => vec![*name],
        None => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_it_was_typed_and_else_in_another_spelling() {
        let all = ["app:dev", "docker.io/app:dev", "other:1", "sha256:dev"];
        let found = |typed| spelled(all.into_iter(), typed);
        assert_eq!(found("app:dev"), ["app:dev"]);
        assert_eq!(found("docker.io/app:dev"), ["docker.io/app:dev"]);
        // they may be two images
        assert_eq!(
            found("docker.io/library/app:dev"),
            ["app:dev", "docker.io/app:dev"]
        );
        assert_eq!(found("library/other:1"), ["other:1"]);
        for absent in ["app", "app:1", "sha256:dev"] {
            assert_eq!(found(absent), [""; 0], "{absent}");
        }
    }
}
