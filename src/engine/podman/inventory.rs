//! The inventory of a cri-o node's images, and the removal of those that nothing needs: by CRI, which
//! refuses what is in use.

use std::collections::{HashMap, HashSet};

use super::{Described, PodmanImages, digest, given};
use crate::engine::cri::messages::{Container, Image};
use crate::error::{Error, Result};
use crate::image::digest::{DiffId, chain_ids};
use crate::image::inventory::{Held, Removed};

impl PodmanImages {
    /// All images that a person would see: the steps of a build that others stand on are none.
    ///
    /// # Errors
    /// When the node does not answer. An image that vanishes meanwhile is left out.
    pub(in crate::engine) async fn inventory(&self) -> Result<Vec<Held>> {
        let (all, containers, sizes) = futures_util::join!(
            self.all_described(),
            self.node.cri.containers(),
            self.sizes()
        );
        let (all, containers) = (all?, containers?);
        let tagged: HashSet<&str> = all
            .iter()
            .flat_map(|described| &described.image.repo_tags)
            .filter_map(|name| Some(name.rsplit_once(':')?.0))
            .collect();
        let stacks: Vec<Vec<DiffId>> = all.iter().map(Described::diff_ids).collect();
        let shown = all.iter().zip(&stacks).filter(|(described, layers)| {
            let others = all.iter().zip(&stacks);
            let is_below = |(other, stack): (&Described, &Vec<DiffId>)| {
                other.image.id != described.image.id
                    && !is_step(&other.image)
                    && stack.starts_with(layers)
            };
            !is_step(&described.image) || !others.into_iter().any(is_below)
        });
        let held = shown.map(|(described, layers)| {
            held(described, layers, &containers, &tagged, sizes.as_ref())
        });
        Ok(held.collect())
    }

    /// Removes an image that has no name, if that is still so.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn remove_nameless(&self, id: &str) -> Result<Removed> {
        match self.node.cri.image(hex(id)).await? {
            None => Ok(Removed::Gone(Vec::new())),
            Some(image) if image.pinned || !given(&image).is_empty() => Ok(Removed::Kept),
            Some(_nameless) => self.remove_unused(id).await,
        }
    }

    /// Removes an image with all its names, if no container stands on it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn remove_unused(&self, id: &str) -> Result<Removed> {
        match self.node.cri.remove_image(hex(id)).await {
            Ok(()) => Ok(Removed::Gone(Vec::new())),
            Err(error) if is_in_use(&error) => Ok(Removed::Kept),
            Err(error) => Err(error),
        }
    }
}

/// True where cri-o refused to remove an image for its containers.
fn is_in_use(error: &Error) -> bool {
    error.in_one_line().contains("in use by a container")
}

/// True where an image is a step of podman's builds, which it names `<64 digits>-tmp` on its way.
fn is_step(image: &Image) -> bool {
    let is_temporary = |name: &String| {
        let repository = name.split('@').next().unwrap_or(name);
        let last = repository.rsplit('/').next().unwrap_or(repository);
        let word = last.split(':').next().unwrap_or(last);
        word.strip_suffix("-tmp").is_some_and(|digits| {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    image.repo_tags.iter().all(is_temporary) && image.repo_digests.iter().any(is_temporary)
}

fn hex(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// True where a container runs an image.
fn runs(container: &Container, image: &Image) -> bool {
    [&container.image_id, &container.image_ref]
        .into_iter()
        .any(|said| hex(said) == image.id || image.repo_digests.contains(said))
}

/// The names by which an image is known. One that lost its tags keeps digests of the repositories that
/// they were in: where such a repository has another image now, the digest is of the past.
fn names(image: &Image, tagged: &HashSet<&str>) -> Vec<String> {
    let tags = given(image);
    if !tags.is_empty() || is_step(image) {
        return tags;
    }
    let digests = image.repo_digests.iter().filter(|name| {
        let repository = name.split('@').next().unwrap_or(name);
        !tagged.contains(repository) && crate::image::reference::is_given(name)
    });
    digests.cloned().collect()
}

fn held(
    described: &Described,
    layers: &[DiffId],
    containers: &[Container],
    tagged: &HashSet<&str>,
    sizes: Option<&HashMap<DiffId, u64>>,
) -> Held {
    let Described { image, config } = described;
    let chain = chain_ids(layers).into_iter().zip(layers);
    let layers = sizes.and_then(|sizes| {
        chain
            .map(|(chain, layer)| Some((chain, *sizes.get(layer)?)))
            .collect::<Option<Vec<_>>>()
    });
    let users = containers.iter().filter(|container| runs(container, image));
    Held {
        id: digest(&image.id),
        names: names(image, tagged),
        created: crate::pod::timestamp(config.created()).map_or(0, jiff::Timestamp::as_second),
        size: image.size,
        layers,
        under: users.map(|container| container.id.clone()).collect(),
        pinned: image.pinned,
        run_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tags: &[&str], digests: &[&str]) -> Image {
        Image {
            id: "aa".into(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: digests.iter().map(|name| (*name).to_owned()).collect(),
            ..Image::default()
        }
    }

    #[test]
    fn steps_of_builds_are_known_by_their_names() {
        let step = format!("docker.io/library/{}-tmp@sha256:00", "0".repeat(64));
        assert!(is_step(&image(&[], &[&step])));
        assert!(!is_step(&image(&["docker.io/library/app:1"], &[&step])));
        for name in [
            "docker.io/library/app@sha256:00",
            "docker.io/library/x-tmp@sha256:00",
        ] {
            assert!(!is_step(&image(&[], &[name])), "{name}");
        }
        assert!(!is_step(&image(&[], &[])));
    }

    #[test]
    fn a_digest_of_a_repository_that_has_a_newer_image_is_no_name() {
        let tagged = HashSet::from(["docker.io/library/app"]);
        let old = image(&[], &["docker.io/library/app@sha256:00"]);
        assert!(names(&old, &tagged).is_empty());
        let pulled = image(&[], &["registry.k8s.io/pause@sha256:00"]);
        assert_eq!(names(&pulled, &tagged), ["registry.k8s.io/pause@sha256:00"]);
        let named = image(
            &["docker.io/library/app:1"],
            &["docker.io/library/app@sha256:00"],
        );
        assert_eq!(names(&named, &tagged), ["docker.io/library/app:1"]);
    }

    #[test]
    fn a_container_names_its_image_by_id_or_digest() {
        let image = image(&[], &["docker.io/library/app@sha256:00"]);
        let of = |image_id: &str, image_ref: &str| Container {
            image_id: image_id.into(),
            image_ref: image_ref.into(),
            ..Container::default()
        };
        assert!(runs(&of("aa", ""), &image));
        assert!(runs(&of("", "sha256:aa"), &image));
        assert!(runs(&of("", "docker.io/library/app@sha256:00"), &image));
        assert!(!runs(&of("bb", "docker.io/library/app@sha256:11"), &image));
    }
}
