//! The images of an archive or layout: their names, platforms, configurations and layers.
//! Everything that is small is read here and checked against the digest that names it.

mod layout;

use std::cell::Cell;

use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::image::archive_image::{ArchiveImage, ArchiveLayer, PlatformImage, SmallBlob};
use crate::image::digest::{DiffId, Digest};
use crate::image::oci::{ArchiveImageRef, ArchiveManifest, Config};
use crate::image::packing::Packing;
use crate::image::platform::Platform;
use crate::image::reference::familiar;
use crate::image::walk::{EXPORTED, LISTS};
use crate::weight;

/// No image store stacks nearly as many.
const MOST_LAYERS: usize = 500;
/// Images in one archive, or platforms of one image.
const MOST_MANIFESTS: usize = 1000;
/// Indexes and manifests of all images together.
const MOST_READ: usize = 10 * MOST_MANIFESTS;
/// The most bytes that may be read of all of an archive's images together.
const ROOM: usize = 12 << 20;
/// The values of one file, once they are read. A thousand manifests in a list take 4 MB.
const VALUES: u64 = 5 << 20;

/// The images of an archive.
///
/// # Errors
/// When it has none, or something about them is wrong.
pub(crate) fn read(files: &Files) -> Result<Vec<ArchiveImage>> {
    let [index, manifest] = LISTS;
    let images = if let Some(index) = files.small(index)? {
        layout::images(files, &index)?
    } else if let Some(manifest) = files.small(manifest)? {
        docker(files, &manifest)?
    } else {
        return Err(
            Error::failed(format!("`{}` is no image archive", files.name))
                .caused_by("it has neither an `index.json` nor a `manifest.json`")
                .hint(EXPORTED),
        );
    };
    if images.is_empty() {
        return Err(Error::failed(format!(
            "`{}` has no image in it",
            files.name
        )));
    }
    Ok(images)
}

/// A document's content, as `read` reads it; `what` names it.
fn parsed<T>(
    files: &Files,
    what: &str,
    bytes: &[u8],
    read: fn(&[u8]) -> serde_json::Result<T>,
) -> Result<T> {
    if weight::of_values(bytes) > VALUES {
        return Err(files.broken(format!("{what} has more values than devnet reads")));
    }
    read(bytes).map_err(|error| files.broken(format!("{what}: {error}")))
}

/// The room that was taken so far: files that many images share are held once for each of them.
#[derive(Default)]
struct Room {
    bytes: Cell<usize>,
    manifests: Cell<usize>,
}

impl Room {
    fn take(&self, files: &Files, bytes: usize) -> Result<()> {
        self.bytes.set(self.bytes.get() + bytes);
        if self.bytes.get() > ROOM {
            return Err(files.broken("what it says of its images takes more than 12 MB".into()));
        }
        Ok(())
    }

    /// One more index or manifest is read.
    fn manifest(&self, files: &Files) -> Result<()> {
        self.manifests.set(self.manifests.get() + 1);
        if self.manifests.get() > MOST_READ {
            return Err(files.broken(format!("it lists more than {MOST_READ} manifests")));
        }
        Ok(())
    }
}

/// An archive of docker's old kind.
fn docker(files: &Files, manifest: &[u8]) -> Result<Vec<ArchiveImage>> {
    let manifest = parsed(files, "`manifest.json`", manifest, ArchiveManifest::read)?;
    let listed = manifest
        .images()
        .ok_or_else(|| files.broken("`manifest.json` is no list".into()))?;
    if listed.len() > MOST_MANIFESTS {
        return Err(files.broken(format!("`manifest.json` lists {} images", listed.len())));
    }
    let room = Room::default();
    listed
        .map(|image| {
            let names = image.repo_tags().into_iter().map(familiar).collect();
            Ok(ArchiveImage {
                names,
                choices: vec![docker_image(files, image, &room)?],
            })
        })
        .collect()
}

fn docker_image(files: &Files, image: ArchiveImageRef<'_>, room: &Room) -> Result<PlatformImage> {
    let path = image.config();
    let config = files.small(path)?.ok_or_else(|| {
        files.broken(format!(
            "the configuration `{}` is missing",
            path.escape_debug()
        ))
    })?;
    room.take(files, config.len())?;
    let config = SmallBlob::of(config);
    let named = path.rsplit('/').next().unwrap_or(path);
    let named = named.strip_suffix(".json").unwrap_or(named);
    if let Some(named) = Digest::parse(&format!("sha256:{named}"))
        && named != config.digest
    {
        return Err(files.broken(format!(
            "the content of {} is another: {}",
            named.as_str(),
            config.digest.as_str()
        )));
    }
    let (platform, diff_ids) = configuration(files, &config)?;
    let paths = image.layers();
    same_count(files, paths.len(), diff_ids.len())?;
    let mut layers: Vec<ArchiveLayer> = Vec::new();
    for (path, diff_id) in paths.into_iter().zip(diff_ids) {
        let found = files.find(path)?;
        if let Some((path, _)) = &found {
            room.take(files, path.len())?;
        }
        let at = found.as_ref().map(|(path, _)| path);
        if at.is_some()
            && layers
                .iter()
                .any(|layer| layer.path.as_ref() == at && layer.diff_id != diff_id)
        {
            return Err(files.broken(format!(
                "`{}` stands for two different layers",
                path.escape_debug()
            )));
        }
        let packing = match &found {
            Some((path, _)) => files.packing(path)?,
            None => Packing::Plain,
        };
        layers.push(ArchiveLayer {
            blob: Digest::parse(&diff_id.0).filter(|_| packing == Packing::Plain),
            url: image.url_of(&diff_id.0).map(str::to_owned),
            diff_id,
            packing,
            sent: None,
            size: found.as_ref().map_or(0, |(_, size)| *size),
            path: found.map(|(path, _)| path),
        });
    }
    Ok(PlatformImage {
        platform,
        config,
        manifest: None,
        index: None,
        layers,
    })
}

fn configuration(files: &Files, config: &SmallBlob) -> Result<(Platform, Vec<DiffId>)> {
    let config = parsed(files, "the configuration", &config.bytes, Config::read)?;
    let diff_ids: Vec<DiffId> = config
        .diff_ids()
        .iter()
        .map(|diff_id| {
            let digest = Digest::parse(diff_id).ok_or_else(|| {
                files.broken(format!("`{}` is no diff ID", diff_id.escape_debug()))
            })?;
            Ok(DiffId(digest.as_str().to_owned()))
        })
        .collect::<Result<_>>()?;
    Ok((config.platform(), diff_ids))
}

fn same_count(files: &Files, layers: usize, diff_ids: usize) -> Result<()> {
    if layers != diff_ids {
        return Err(files.broken(format!(
            "its manifest lists {layers} layers, its configuration {diff_ids}"
        )));
    }
    if layers > MOST_LAYERS {
        return Err(
            Error::failed(format!("the image in `{}` has {layers} layers", files.name))
                .caused_by("no engine stacks more than some 127"),
        );
    }
    Ok(())
}
