//! Which images stand in an archive or layout: their names, platforms, configurations and layers.
//! Everything that is small is read here and checked against the digest that names it.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::image::archive;
use crate::image::digest::{DiffId, Digest};
use crate::image::files::Files;
use crate::image::packing::Packing;
use crate::image::platform::Platform;

/// No image store stacks nearly as many.
const MOST_LAYERS: usize = 500;
/// Images in one archive, or platforms of one image.
const MOST_MANIFESTS: usize = 1000;
/// Indexes and manifests of all images together.
const MOST_READ: usize = 10 * MOST_MANIFESTS;
/// What all that is read of an archive's images may take together.
const ROOM: usize = 64 << 20;
/// Indexes within indexes.
const DEEPEST: usize = 4;

/// One image of an archive; for several platforms, perhaps.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) names: Vec<String>,
    pub(crate) choices: Vec<Packed>,
}

/// An image for one platform, as it lies in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) platform: Platform,
    pub(crate) config: Small,
    /// As a registry would show it; an archive of docker's old kind has none.
    pub(crate) manifest: Option<Small>,
    /// The index that lists it, where it is one of several.
    pub(crate) index: Option<Small>,
    pub(crate) layers: Vec<PackedLayer>,
}

/// A small file with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Small {
    pub(crate) digest: Digest,
    /// Shared: every platform of an image has its index.
    pub(crate) bytes: Arc<[u8]>,
}

impl Small {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            bytes: bytes.into(),
        }
    }
}

/// A layer in an archive.
#[derive(Clone, Debug)]
pub(crate) struct PackedLayer {
    pub(crate) diff_id: DiffId,
    /// Of the file as it is; not known of a packed layer in an archive of docker's old kind.
    pub(crate) blob: Option<Digest>,
    pub(crate) size: u64,
    /// `None`: the archive has not got it.
    pub(crate) path: Option<String>,
    /// How it is packed, where no manifest says so.
    pub(crate) packing: Packing,
    /// The name under which it was sent before it was known what it is.
    pub(crate) sent: Option<String>,
    /// Where a foreign layer could be had.
    pub(crate) url: Option<String>,
}

impl PackedLayer {
    /// Where it stands in the archives that nodes get.
    pub(crate) fn sent_as(&self) -> String {
        match (&self.sent, &self.blob) {
            (Some(sent), _) => sent.clone(),
            (None, Some(blob)) => blob.blob_path(),
            (None, None) => format!("layers/{}.tar", self.diff_id.hex()),
        }
    }
}

impl Offer {
    /// The platform that a node runs, or the one that was asked for. An image for one platform
    /// alone is taken as it is, unless another was asked for.
    ///
    /// # Errors
    /// Not found, with those that there are.
    pub(crate) fn pick(&self, wanted: &Platform, asked: bool) -> Result<&Packed> {
        if let ([only], false) = (self.choices.as_slice(), asked) {
            return Ok(only);
        }
        self.choices
            .iter()
            .filter_map(|choice| Some((choice.platform.serves(wanted)?, choice)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, choice)| choice)
            .ok_or_else(|| {
                let there: Vec<String> = self
                    .choices
                    .iter()
                    .map(|choice| choice.platform.to_string())
                    .collect();
                Error::not_found(format!("the image is not there for {wanted}"))
                    .because(format!("it is for {}", there.join(", ")))
            })
    }
}

/// The images of an archive.
///
/// # Errors
/// When it has none, or something about them is wrong.
pub(crate) fn read(files: &Files) -> Result<Vec<Offer>> {
    let offers = if let Some(index) = files.small("index.json")? {
        Oci {
            files,
            room: &Room::default(),
        }
        .offers(&index)?
    } else if let Some(manifest) = files.small("manifest.json")? {
        docker(files, &manifest)?
    } else {
        return Err(
            Error::failed(format!("`{}` is no image archive", files.name))
                .because("it has neither an `index.json` nor a `manifest.json`")
                .hint("`docker export` writes a container's files, `docker save` an image"),
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
            return Err(files.broken("what it says of its images takes more than 64 MB".into()));
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

/// An OCI layout.
struct Oci<'f> {
    files: &'f Files,
    room: &'f Room,
}

impl Oci<'_> {
    fn offers(&self, index: &[u8]) -> Result<Vec<Offer>> {
        let index = parse(self.files, "`index.json`", index)?;
        // descriptors of one digest are names of one image; those of one name its platforms
        let mut groups: Vec<(Vec<String>, Vec<&Value>)> = Vec::new();
        for descriptor in self.manifests(&index)? {
            if is_attestation(descriptor) {
                continue;
            }
            let name = name_of(descriptor);
            let digest = text(descriptor, "/digest");
            let same = groups.iter_mut().find(|(names, descriptors)| {
                let of_platform = descriptor.get("platform").is_some();
                descriptors
                    .iter()
                    .any(|other| text(other, "/digest") == digest)
                    || of_platform
                        && names.first() == name.as_ref()
                        && descriptors.iter().all(|other| {
                            other.get("platform").is_some()
                                && other.get("platform") != descriptor.get("platform")
                        })
            });
            match same {
                None => groups.push((name.into_iter().collect(), vec![descriptor])),
                Some((names, descriptors)) => {
                    names.extend(name.filter(|name| !names.contains(name)));
                    if !descriptors
                        .iter()
                        .any(|other| text(other, "/digest") == digest)
                    {
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
                Ok(Offer { names, choices })
            })
            .collect()
    }

    fn manifests<'v>(&self, index: &'v Value) -> Result<&'v [Value]> {
        let listed = index
            .get("manifests")
            .and_then(Value::as_array)
            .ok_or_else(|| self.files.broken("an index lists no manifests".into()))?;
        if listed.len() > MOST_MANIFESTS {
            return Err(self
                .files
                .broken(format!("an index lists {} manifests", listed.len())));
        }
        Ok(listed)
    }

    /// A blob that must be what its digest says; `None` when it is not there.
    fn blob(&self, descriptor: &Value) -> Result<Option<Small>> {
        let digest = self.digest(descriptor)?;
        let Some(bytes) = self.files.small(&digest.blob_path())? else {
            return Ok(None);
        };
        self.room.take(self.files, bytes.len())?;
        let found = Small::of(bytes);
        if found.digest != digest {
            return Err(self.files.broken(format!(
                "the content of {} is another: {}",
                digest.as_str(),
                found.digest.as_str()
            )));
        }
        Ok(Some(found))
    }

    fn digest(&self, descriptor: &Value) -> Result<Digest> {
        let digest = text(descriptor, "/digest");
        Digest::parse(digest).ok_or_else(|| {
            self.files
                .broken(format!("`{}` is no digest", digest.escape_debug()))
        })
    }

    fn choices(
        &self,
        descriptor: &Value,
        index: Option<&Small>,
        depth: usize,
        (choices, seen): (&mut Vec<Packed>, &mut HashSet<Digest>),
    ) -> Result<()> {
        if !seen.insert(self.digest(descriptor)?) {
            return Ok(());
        }
        // an engine saves only the platforms that it has
        let Some(blob) = self.blob(descriptor)? else {
            return Ok(());
        };
        self.room.manifest(self.files)?;
        let value = parse(self.files, blob.digest.as_str(), &blob.bytes)?;
        if value.get("manifests").is_none() {
            let packed = self.packed(blob, &value, index)?;
            if choices.len() >= MOST_MANIFESTS {
                return Err(self
                    .files
                    .broken(format!("an image has more than {MOST_MANIFESTS} platforms")));
            }
            choices.push(packed);
            return Ok(());
        }
        if depth >= DEEPEST {
            return Err(self.files.broken("indexes within indexes".into()));
        }
        for child in self.manifests(&value)? {
            if !is_attestation(child) {
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

    fn packed(&self, manifest: Small, value: &Value, index: Option<&Small>) -> Result<Packed> {
        let kind = text(value, "/config/mediaType");
        if !matches!(
            kind,
            "application/vnd.oci.image.config.v1+json"
                | "application/vnd.docker.container.image.v1+json"
        ) {
            return Err(
                Error::failed(format!("`{}` holds no container image", self.files.name)).because(
                    format!("its configuration is of type `{}`", kind.escape_debug()),
                ),
            );
        }
        let descriptor = value.get("config").unwrap_or(&Value::Null);
        let config = self.blob(descriptor)?.ok_or_else(|| {
            self.files.broken(format!(
                "the configuration {} is missing",
                text(descriptor, "/digest")
            ))
        })?;
        let (platform, diff_ids) = configuration(self.files, &config)?;
        let listed = value
            .get("layers")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        same_count(self.files, listed.len(), diff_ids.len())?;
        let mut layers = Vec::new();
        for (descriptor, diff_id) in listed.iter().zip(diff_ids) {
            let blob = self.digest(descriptor)?;
            let size = descriptor.get("size").and_then(Value::as_u64).unwrap_or(0);
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
            layers.push(PackedLayer {
                diff_id,
                size,
                path: found.map(|(path, _)| path),
                url: descriptor
                    .pointer("/urls/0")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                blob: Some(blob),
                packing: Packing::Plain,
                sent: None,
            });
        }
        Ok(Packed {
            platform,
            config,
            manifest: Some(manifest),
            index: index.cloned(),
            layers,
        })
    }
}

/// Provenance and the like stand in an index beside the images that they speak of.
fn is_attestation(descriptor: &Value) -> bool {
    descriptor
        .pointer("/annotations/vnd.docker.reference.type")
        .is_some()
        || text(descriptor, "/platform/os") == "unknown"
}

fn name_of(descriptor: &Value) -> Option<String> {
    let annotation = |key: &str| {
        descriptor
            .get("annotations")?
            .get(key)?
            .as_str()
            .filter(|name| !name.is_empty())
    };
    let name = annotation("io.containerd.image.name").or_else(|| {
        // alone, this may be no more than a tag
        annotation("org.opencontainers.image.ref.name").filter(|name| name.contains(['/', ':']))
    })?;
    Some(familiar(name))
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

impl Packed {
    /// What a node without containerd's store calls it.
    pub(crate) fn config_id(&self) -> &str {
        self.config.digest.as_str()
    }

    /// What containerd's store calls it, once that is known.
    pub(crate) fn target_id(&self) -> Option<&str> {
        let target = self.index.as_ref().or(self.manifest.as_ref())?;
        Some(target.digest.as_str())
    }

    /// Makes the manifest of an image that has none, once the digests of all its layers are known.
    pub(crate) fn make_manifest(&mut self) -> Option<()> {
        if self.manifest.is_some() {
            return Some(());
        }
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let blob = layer.blob.as_ref()?;
                let packed = match layer.packing {
                    Packing::Plain => "",
                    Packing::Gzip => "+gzip",
                    Packing::Zstd => "+zstd",
                    Packing::Foreign(_) => return None,
                };
                Some(json!({
                    "mediaType": format!("application/vnd.oci.image.layer.v1.tar{packed}"),
                    "digest": blob.as_str(),
                    "size": layer.size,
                }))
            })
            .collect::<Option<Vec<_>>>()?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.config.digest.as_str(),
                "size": self.config.bytes.len(),
            },
            "layers": layers,
        });
        self.manifest = Some(Small::of(manifest.to_string().into_bytes()));
        Some(())
    }

    /// What an archive for a node ends with, after the layers: all that says how it is put together,
    /// so that no engine can make anything of one that breaks off.
    pub(crate) fn ending(&self, name: (&str, &str)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let small = |small: &Small| archive::small_file(&small.digest.blob_path(), &small.bytes);
        bytes.extend(small(&self.config));
        if let Some(manifest) = &self.manifest {
            bytes.extend(archive::small_file("oci-layout", archive::OCI_LAYOUT));
            bytes.extend(small(manifest));
            let target = self.index.as_ref().unwrap_or(manifest);
            if let Some(index) = &self.index {
                bytes.extend(small(index));
            }
            bytes.extend(archive::small_file(
                "index.json",
                &archive::index_json(&target.bytes, name),
            ));
        }
        let layers: Vec<String> = self.layers.iter().map(PackedLayer::sent_as).collect();
        bytes.extend(archive::small_file(
            "manifest.json",
            &archive::manifest_json(&self.config.digest.blob_path(), &layers, name),
        ));
        bytes.extend(archive::end());
        bytes
    }

    /// Where the layers in `places` stand; each file once.
    ///
    /// # Errors
    /// When one is not in the archive.
    pub(crate) fn paths(&self, places: &[usize]) -> Result<Vec<(usize, &str)>> {
        let mut paths: Vec<(usize, &str)> = Vec::new();
        for place in places {
            let layer = &self.layers[*place];
            let Some(path) = &layer.path else {
                let error = Error::new(
                    Kind::Failed,
                    format!("the layer {} is missing", layer.diff_id.0),
                );
                return Err(match &layer.url {
                    Some(url) => error.because(format!(
                        "it is a foreign layer, to be had from {} only",
                        url.escape_debug()
                    )),
                    None => error.because("neither the archive nor the node has it"),
                });
            };
            if !paths.iter().any(|(_, other)| other == path) {
                paths.push((*place, path));
            }
        }
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layout whose indexes nest `depth` deep and list each child `times` times.
    fn nested(folder: &std::path::Path, depth: usize, times: usize) -> Files {
        let blobs = folder.join("blobs/sha256");
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
            let offers = read(&nested(folder.path(), depth, 1000)).unwrap();
            assert_eq!(offers.len(), 1);
            assert_eq!(offers[0].choices.len(), 1);
        }
        let error = read(&nested(folder.path(), 5, 2)).unwrap_err();
        assert!(error.in_one_line().contains("within"), "{error}");
    }

    #[test]
    fn names_are_as_people_write_them() {
        assert_eq!(familiar("docker.io/library/app:dev"), "app:dev");
        assert_eq!(familiar("docker.io/me/app:dev"), "me/app:dev");
        assert_eq!(familiar("ghcr.io/me/app:dev"), "ghcr.io/me/app:dev");
        let named = |key: &str, name: &str| name_of(&json!({"annotations": {key: name}}));
        assert_eq!(named("org.opencontainers.image.ref.name", "latest"), None);
        assert_eq!(
            named("org.opencontainers.image.ref.name", "app:v1").as_deref(),
            Some("app:v1")
        );
        assert_eq!(
            named("io.containerd.image.name", "docker.io/library/app:v1").as_deref(),
            Some("app:v1")
        );
    }
}
