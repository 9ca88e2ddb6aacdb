//! Which images stand in an archive or layout: their names, platforms, configurations and layers.
//! Everything that is small is read here and checked against the digest that names it.

mod oci;

use std::cell::Cell;

use serde_json::Value;

use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::image::packed::{Offer, Packed, PackedLayer, Small};
use crate::image::packing::Packing;
use crate::image::platform::Platform;
use crate::image::walk::{EXPORTED, LISTS};
use crate::weight;

/// No image store stacks nearly as many.
const MOST_LAYERS: usize = 500;
/// Images in one archive, or platforms of one image.
const MOST_MANIFESTS: usize = 1000;
/// Indexes and manifests of all images together.
const MOST_READ: usize = 10 * MOST_MANIFESTS;
/// What all that is read of an archive's images may take together.
const ROOM: usize = 12 << 20;
/// The values of one file, once they are read. A thousand manifests in a list take 4 MB.
const VALUES: u64 = 5 << 20;

/// The images of an archive.
///
/// # Errors
/// When it has none, or something about them is wrong.
pub(crate) fn read(files: &Files) -> Result<Vec<Offer>> {
    let [index, manifest] = LISTS;
    let offers = if let Some(index) = files.small(index)? {
        oci::offers(files, &index)?
    } else if let Some(manifest) = files.small(manifest)? {
        docker(files, &manifest)?
    } else {
        return Err(
            Error::failed(format!("`{}` is no image archive", files.name))
                .because("it has neither an `index.json` nor a `manifest.json`")
                .hint(EXPORTED),
        );
    };
    if offers.is_empty() {
        return Err(Error::failed(format!(
            "`{}` has no image in it",
            files.name
        )));
    }
    Ok(offers)
}

fn parse(files: &Files, what: &str, bytes: &[u8]) -> Result<Value> {
    if weight::of_values(bytes) > VALUES {
        return Err(files.broken(format!("{what} has more values than devnet reads")));
    }
    serde_json::from_slice(bytes).map_err(|error| files.broken(format!("{what}: {error}")))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What was taken so far: files that many images share are held once for each of them.
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

/// As people write it.
fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// An archive of docker's old kind.
fn docker(files: &Files, manifest: &[u8]) -> Result<Vec<Offer>> {
    let listed = parse(files, "`manifest.json`", manifest)?;
    let listed = listed
        .as_array()
        .ok_or_else(|| files.broken("`manifest.json` is no list".into()))?;
    if listed.len() > MOST_MANIFESTS {
        return Err(files.broken(format!("`manifest.json` lists {} images", listed.len())));
    }
    let room = Room::default();
    listed
        .iter()
        .map(|image| {
            let names = strings(image, "RepoTags")
                .into_iter()
                .map(familiar)
                .collect();
            Ok(Offer {
                names,
                choices: vec![docker_image(files, image, &room)?],
            })
        })
        .collect()
}

fn strings<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let listed = value.get(key).and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn docker_image(files: &Files, image: &Value, room: &Room) -> Result<Packed> {
    let path = text(image, "/Config");
    let config = files.small(path)?.ok_or_else(|| {
        files.broken(format!(
            "the configuration `{}` is missing",
            path.escape_debug()
        ))
    })?;
    room.take(files, config.len())?;
    let config = Small::of(config);
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
    let paths = strings(image, "Layers");
    same_count(files, paths.len(), diff_ids.len())?;
    let mut layers: Vec<PackedLayer> = Vec::new();
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
        layers.push(PackedLayer {
            blob: Digest::parse(&diff_id.0).filter(|_| packing == Packing::Plain),
            url: image
                .get("LayerSources")
                .and_then(|sources| sources.get(&diff_id.0)?.pointer("/urls/0")?.as_str())
                .map(str::to_owned),
            diff_id,
            packing,
            sent: None,
            size: found.as_ref().map_or(0, |(_, size)| *size),
            path: found.map(|(path, _)| path),
        });
    }
    Ok(Packed {
        platform,
        config,
        manifest: None,
        index: None,
        layers,
    })
}

fn configuration(files: &Files, config: &Small) -> Result<(Platform, Vec<DiffId>)> {
    let value = parse(files, "the configuration", &config.bytes)?;
    let listed = strings(value.get("rootfs").unwrap_or(&Value::Null), "diff_ids");
    let diff_ids: Vec<DiffId> = listed
        .iter()
        .map(|diff_id| {
            let digest = Digest::parse(diff_id).ok_or_else(|| {
                files.broken(format!("`{}` is no diff ID", diff_id.escape_debug()))
            })?;
            Ok(DiffId(digest.as_str().to_owned()))
        })
        .collect::<Result<_>>()?;
    let platform = Platform {
        os: text(&value, "/os").to_owned(),
        architecture: text(&value, "/architecture").to_owned(),
        variant: text(&value, "/variant").to_owned(),
    };
    Ok((platform, diff_ids))
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
                .because("no engine stacks more than some 127"),
        );
    }
    Ok(())
}
