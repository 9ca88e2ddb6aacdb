//! The images of an OCI layout: its indexes read down to the manifests, and each of those to the
//! layers that it lists. A blob must be what its digest says.

use std::collections::HashSet;

use super::{MOST_MANIFESTS, Room, configuration, familiar, parsed, same_count};
use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::image::archive_image::{ArchiveImage, ArchiveLayer, PlatformImage, SmallBlob};
use crate::image::digest::Digest;
use crate::image::oci::{DescriptorRef, Index, Manifest, Target};
use crate::image::packing::Packing;

/// Indexes within indexes.
const DEEPEST: usize = 4;

/// The images that an `index.json` lists.
///
/// # Errors
/// When something about them is wrong, or none of an image's manifests is there.
pub(super) fn images(files: &Files, index: &[u8]) -> Result<Vec<ArchiveImage>> {
    let room = &Room::default();
    Oci { files, room }.images(index)
}

struct Oci<'f> {
    files: &'f Files,
    room: &'f Room,
}

impl Oci<'_> {
    fn images(&self, index: &[u8]) -> Result<Vec<ArchiveImage>> {
        let index = parsed(self.files, "`index.json`", index, Index::read)?;
        // descriptors of one digest are names of one image; those of one name its platforms
        let mut groups: Vec<(Vec<String>, Vec<DescriptorRef<'_>>)> = Vec::new();
        for descriptor in self.manifests(&index)? {
            if descriptor.is_attestation() {
                continue;
            }
            let name = descriptor.name().map(familiar);
            let digest = descriptor.digest();
            let same = groups.iter_mut().find(|(names, descriptors)| {
                let of_platform = descriptor.platform().is_some();
                descriptors.iter().any(|other| other.digest() == digest)
                    || of_platform
                        && names.first() == name.as_ref()
                        && descriptors.iter().all(|other| {
                            other.platform().is_some() && other.platform() != descriptor.platform()
                        })
            });
            match same {
                None => groups.push((name.into_iter().collect(), vec![descriptor])),
                Some((names, descriptors)) => {
                    names.extend(name.filter(|name| !names.contains(name)));
                    if !descriptors.iter().any(|other| other.digest() == digest) {
                        descriptors.push(descriptor);
                    }
                }
            }
        }
        groups
            .into_iter()
            .map(|(names, descriptors)| {
                let mut choices = Vec::new();
                let mut seen = HashSet::new();
                for descriptor in descriptors {
                    self.choices(descriptor, None, 0, (&mut choices, &mut seen))?;
                }
                if choices.is_empty() {
                    return Err(self
                        .files
                        .broken("none of the manifests that it lists is there".into()));
                }
                Ok(ArchiveImage { names, choices })
            })
            .collect()
    }

    fn manifests<'v>(&self, index: &'v Index) -> Result<impl Iterator<Item = DescriptorRef<'v>>> {
        let listed = index
            .manifests()
            .ok_or_else(|| self.files.broken("an index lists no manifests".into()))?;
        if listed.len() > MOST_MANIFESTS {
            return Err(self
                .files
                .broken(format!("an index lists {} manifests", listed.len())));
        }
        Ok(listed)
    }

    /// A blob that must be what its digest says; `None` when it is not there.
    fn blob(&self, descriptor: DescriptorRef<'_>) -> Result<Option<SmallBlob>> {
        let digest = self.digest(descriptor)?;
        let Some(bytes) = self.files.small(&digest.blob_path())? else {
            return Ok(None);
        };
        self.room.take(self.files, bytes.len())?;
        let found = SmallBlob::of(bytes);
        if found.digest != digest {
            return Err(self.files.broken(format!(
                "the content of {} is another: {}",
                digest.as_str(),
                found.digest.as_str()
            )));
        }
        Ok(Some(found))
    }

    fn digest(&self, descriptor: DescriptorRef<'_>) -> Result<Digest> {
        let digest = descriptor.digest();
        Digest::parse(digest).ok_or_else(|| {
            self.files
                .broken(format!("`{}` is no digest", digest.escape_debug()))
        })
    }

    fn choices(
        &self,
        descriptor: DescriptorRef<'_>,
        index: Option<&SmallBlob>,
        depth: usize,
        (choices, seen): (&mut Vec<PlatformImage>, &mut HashSet<Digest>),
    ) -> Result<()> {
        if !seen.insert(self.digest(descriptor)?) {
            return Ok(());
        }
        // an engine saves only the platforms that it has
        let Some(blob) = self.blob(descriptor)? else {
            return Ok(());
        };
        self.room.manifest(self.files)?;
        let target = parsed(self.files, blob.digest.as_str(), &blob.bytes, Target::read)?;
        let listed = match target {
            Target::Index(index) => index,
            Target::Manifest(manifest) => {
                let packed = self.packed(blob, &manifest, index)?;
                if choices.len() >= MOST_MANIFESTS {
                    return Err(self
                        .files
                        .broken(format!("an image has more than {MOST_MANIFESTS} platforms")));
                }
                choices.push(packed);
                return Ok(());
            }
        };
        if depth >= DEEPEST {
            return Err(self.files.broken("indexes within indexes".into()));
        }
        for child in self.manifests(&listed)? {
            if !child.is_attestation() {
                // of indexes within indexes the outermost is the image
                self.choices(
                    child,
                    Some(index.unwrap_or(&blob)),
                    depth + 1,
                    (choices, seen),
                )?;
            }
        }
        Ok(())
    }

    fn packed(
        &self,
        manifest: SmallBlob,
        listed: &Manifest,
        index: Option<&SmallBlob>,
    ) -> Result<PlatformImage> {
        if let Some(kind) = listed.foreign_type() {
            return Err(
                Error::failed(format!("`{}` holds no container image", self.files.name)).caused_by(
                    format!("its configuration is of type `{}`", kind.escape_debug()),
                ),
            );
        }
        let descriptor = listed.config();
        let config = self.blob(descriptor)?.ok_or_else(|| {
            self.files.broken(format!(
                "the configuration {} is missing",
                descriptor.digest()
            ))
        })?;
        let (platform, diff_ids) = configuration(self.files, &config)?;
        let listed: Vec<DescriptorRef<'_>> = listed.layers().into_iter().flatten().collect();
        same_count(self.files, listed.len(), diff_ids.len())?;
        let mut layers = Vec::new();
        for (descriptor, diff_id) in listed.into_iter().zip(diff_ids) {
            let blob = self.digest(descriptor)?;
            let size = descriptor.size();
            let found = self.files.find(&blob.blob_path())?;
            if let Some((path, _)) = &found {
                self.room.take(self.files, path.len())?;
            }
            if let Some((_, real)) = &found
                && *real != size
            {
                return Err(self.files.broken(format!(
                    "the layer {} has {real} bytes, its manifest says {size}",
                    blob.as_str()
                )));
            }
            layers.push(ArchiveLayer {
                diff_id,
                size,
                path: found.map(|(path, _)| path),
                url: descriptor.url().map(str::to_owned),
                blob: Some(blob),
                packing: Packing::Plain,
                sent: None,
            });
        }
        Ok(PlatformImage {
            platform,
            config,
            manifest: Some(manifest),
            index: index.cloned(),
            layers,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::image::catalog::read;

    /// A layout whose indexes nest `depth` deep and list each child `times` times.
    fn nested(folder: &std::path::Path, depth: usize, times: usize) -> Files {
        let blobs = folder.join("blobs").join("sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let blob = |value: &Value| {
            let bytes = value.to_string().into_bytes();
            let digest = Digest::of(&bytes);
            std::fs::write(folder.join(digest.blob_path()), bytes).unwrap();
            digest.as_str().to_owned()
        };
        let config = blob(&json!({"os": "linux", "rootfs": {"diff_ids": []}}));
        let kind = "application/vnd.oci.image.config.v1+json";
        let mut child = blob(&json!({
            "config": {"mediaType": kind, "digest": config}, "layers": [],
        }));
        let list = |child: &str, times| json!({"manifests": vec![json!({"digest": child}); times]});
        for _ in 0..depth {
            child = blob(&list(&child, times));
        }
        std::fs::write(folder.join("index.json"), list(&child, 1).to_string()).unwrap();
        Files::open(folder, "layout").unwrap()
    }

    #[test]
    fn a_manifest_that_is_listed_again_and_again_is_one_image() {
        let folder = tempfile::tempdir().unwrap();
        for depth in [1, 4] {
            let images = read(&nested(folder.path(), depth, 1000)).unwrap();
            assert_eq!(images.len(), 1);
            assert_eq!(images[0].choices.len(), 1);
        }
        let error = read(&nested(folder.path(), 5, 2)).unwrap_err();
        assert!(error.in_one_line().contains("within"), "{error}");
    }

    #[test]
    fn names_are_as_people_write_them() {
        assert_eq!(familiar("docker.io/library/app:dev"), "app:dev");
        assert_eq!(familiar("docker.io/me/app:dev"), "me/app:dev");
        assert_eq!(familiar("ghcr.io/me/app:dev"), "ghcr.io/me/app:dev");
    }
}
