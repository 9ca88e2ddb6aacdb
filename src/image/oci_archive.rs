//! The archive that BuildKit's `oci` and `docker` exporters write, made from the stream of `docker
//! save` out of a graph driver's store: blobs by their digests, one manifest, an index. One pass,
//! nothing is kept but the configuration.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::image::archive;
use crate::image::digest::{DiffId, Digest};
use crate::image::tar_guard::TarGuard;
use crate::image::{oci, reference};

/// A configuration is small; whoever sends a larger one is no engine.
const LARGEST_CONFIG: u64 = 8 << 20;

/// The kind of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    Oci,
    /// The same with docker's own `manifest.json`, so that every `docker load` takes it.
    Docker,
}

/// The image that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: ArchiveFormat,
    /// The digest of its configuration, as a graph driver's store calls the image.
    pub(crate) id: String,
    pub(crate) layers: Vec<DiffId>,
    pub(crate) names: Vec<String>,
    /// The place of each layer in the engine's stream, for engines up to 24, which name none by its
    /// digest.
    pub(crate) places: HashMap<String, usize>,
}

/// Reads from a saved image where each layer stands: its `manifest.json` comes last, so this takes
/// the whole stream.
pub(crate) fn places(saved: &mut dyn Read) -> io::Result<HashMap<String, usize>> {
    let mut archive = tar::Archive::new(TarGuard::new(saved));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path_bytes().as_ref() != b"manifest.json" {
            continue;
        }
        let mut text = Vec::new();
        entry.by_ref().take(LARGEST_CONFIG).read_to_end(&mut text)?;
        let manifest = oci::ArchiveManifest::read(&text)?;
        let first = manifest.images().and_then(|mut images| images.next());
        let layers = first.map_or(Some(Vec::new()), oci::ArchiveImageRef::every_layer);
        return layers
            .map(|layers| {
                let numbered = layers.into_iter().enumerate();
                numbered
                    .map(|(index, path)| (path.to_owned(), index))
                    .collect()
            })
            .ok_or_else(|| io::Error::other("the engine's archive names no layers"));
    }
    Err(io::Error::other(
        "the engine's archive has no manifest.json",
    ))
}

/// Writes the archive.
///
/// # Errors
/// A failure of either side; a layer whose content has another digest, or that does not come at
/// all.
pub(crate) fn write(saved: &mut dyn Read, to: &mut dyn Write, wanted: &Wanted) -> io::Result<()> {
    if wanted
        .places
        .values()
        .any(|place| *place >= wanted.layers.len())
    {
        return Err(io::Error::other(
            "the engine's archive has a layer too many",
        ));
    }
    let config_hex = wanted.id.strip_prefix("sha256:").unwrap_or(&wanted.id);
    let mut config = None;
    let mut sizes: HashMap<DiffId, u64> = HashMap::new();
    let mut from = tar::Archive::new(TarGuard::new(saved));
    for entry in from.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        let blob = path.strip_prefix("blobs/sha256/");
        if blob.or_else(|| path.strip_suffix(".json")) == Some(config_hex) {
            if size > LARGEST_CONFIG {
                return Err(io::Error::other("the image's configuration is too large"));
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            is_what(&Digest::of(&text), &wanted.id)?;
            config = Some(text);
            continue;
        }
        let layer = match blob {
            Some(hex) => wanted.layers.iter().find(|layer| layer.hex() == hex),
            None => wanted.places.get(&path).map(|place| &wanted.layers[*place]),
        };
        // a layer that comes twice is a link to the first
        if let Some(layer) = layer
            && entry.header().entry_type().is_file()
            && !sizes.contains_key(layer)
        {
            sizes.insert(layer.clone(), size);
            copy(&mut entry, size, layer, to)?;
        }
    }
    let config =
        config.ok_or_else(|| io::Error::other("the engine's archive has no configuration"))?;
    finish(to, wanted, &config, &sizes)
}

/// Copies one layer and checks its digest.
fn copy(from: &mut dyn Read, size: u64, digest: &DiffId, to: &mut dyn Write) -> io::Result<()> {
    let path = format!("blobs/sha256/{}", digest.hex());
    let (header, padding) = archive::file_header(&path, size)
        .ok_or_else(|| io::Error::other("a layer has no name for an archive"))?;
    to.write_all(&header)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
    is_what(&Digest::from_hash(&hash.finalize()), &digest.0)?;
    to.write_all(&vec![0; padding])
}

fn is_what(is: &Digest, said: &str) -> io::Result<()> {
    if is.as_str() == said {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the engine sent something else under the digest {said}"
    )))
}

fn finish(
    to: &mut dyn Write,
    wanted: &Wanted,
    config: &[u8],
    sizes: &HashMap<DiffId, u64>,
) -> io::Result<()> {
    let layers = wanted
        .layers
        .iter()
        .map(|layer| {
            let size = sizes.get(layer)?;
            Some(oci::Descriptor::layer("", &layer.0, *size))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| io::Error::other("the engine's archive lacks a layer"))?;
    let manifest = oci::manifest(&oci::Descriptor::config(&wanted.id, config.len()), &layers);
    let digest = Digest::of(&manifest);
    let target = oci::Descriptor::target(&manifest).for_platform(&oci::Config::read(config)?);
    let manifests: Vec<oci::Descriptor> = if wanted.names.is_empty() {
        vec![target]
    } else {
        let named = |name: &String| {
            let full = reference::canonical(name);
            let tag = full.rsplit(':').next().unwrap_or("latest").to_owned();
            target.clone().named(full, &tag)
        };
        wanted.names.iter().map(named).collect()
    };
    let index = oci::index(&manifests);
    let blob = |hex: &str| format!("blobs/sha256/{hex}");
    let config_path = blob(wanted.id.strip_prefix("sha256:").unwrap_or(&wanted.id));
    let manifest_path = digest.blob_path();
    to.write_all(&archive::small_file(&config_path, config))?;
    to.write_all(&archive::small_file(&manifest_path, &manifest))?;
    to.write_all(&archive::small_file("index.json", &index))?;
    if wanted.kind == ArchiveFormat::Docker {
        let paths: Vec<String> = wanted
            .layers
            .iter()
            .map(|layer| blob(layer.hex()))
            .collect();
        let tags: Vec<String> = wanted.names.iter().map(|name| tagged(name)).collect();
        let tags = (!tags.is_empty()).then_some(tags.as_slice());
        let text = oci::archive_manifest(&config_path, tags, &paths);
        to.write_all(&archive::small_file("manifest.json", &text))?;
    }
    to.write_all(&archive::small_file("oci-layout", oci::LAYOUT))?;
    to.write_all(&archive::end())
}

/// The name with its tag, as docker keeps it.
fn tagged(name: &str) -> String {
    reference::split(name).map_or_else(
        |_no_name| name.to_owned(),
        |(repository, tag)| format!("{repository}:{tag}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","rootfs":{}}"#;

    fn wanted(kind: ArchiveFormat) -> Wanted {
        let layer = |bytes: &[u8]| DiffId(Digest::of(bytes).as_str().to_owned());
        Wanted {
            kind,
            id: Digest::of(CONFIG).as_str().to_owned(),
            // the first layer comes a second time on top
            layers: vec![layer(b"one"), layer(b"two"), layer(b"one")],
            names: vec!["app".into(), "reg.example/app:1".into()],
            places: HashMap::new(),
        }
    }

    fn saved(files: &[(String, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, content) in files {
            bytes.extend(archive::small_file(path, content));
        }
        bytes.extend(archive::end());
        bytes
    }

    /// As engines from 25 on write it.
    fn by_digest(wanted: &Wanted) -> Vec<(String, &'static [u8])> {
        let blob = |digest: &str| digest.replace("sha256:", "blobs/sha256/");
        vec![
            (blob(&wanted.layers[0].0), b"one"),
            (blob(&wanted.id), CONFIG),
            (blob(&wanted.layers[1].0), b"two"),
            ("index.json".into(), b"theirs"),
            ("repositories".into(), b"{}"),
        ]
    }

    fn files(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
        tar::Archive::new(tar)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = Vec::new();
                entry.read_to_end(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect()
    }

    fn written(saved: &[u8], wanted: &Wanted) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut to = Vec::new();
        write(&mut &*saved, &mut to, wanted).map(|()| files(&to))
    }

    #[test]
    fn every_blob_is_what_its_name_says_and_the_index_leads_to_all_of_them() {
        let wanted = wanted(ArchiveFormat::Oci);
        let files = written(&saved(&by_digest(&wanted)), &wanted).unwrap();
        let get = |path: &str| -> Value {
            let (_, text) = files.iter().find(|(name, _)| name == path).unwrap();
            serde_json::from_slice(text).unwrap()
        };
        for (path, text) in &files {
            if let Some(hex) = path.strip_prefix("blobs/") {
                assert_eq!(hex.replace('/', ":"), Digest::of(text).as_str());
            }
        }
        assert!(!files.iter().any(|(name, _)| name == "manifest.json"));
        let index = get("index.json");
        let names: Vec<&str> = (0..2)
            .map(|at| {
                let name = &index["manifests"][at]["annotations"]["io.containerd.image.name"];
                name.as_str().unwrap()
            })
            .collect();
        assert_eq!(names, ["docker.io/library/app:latest", "reg.example/app:1"]);
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let manifest = get(&digest.replace("sha256:", "blobs/sha256/"));
        let sizes: Vec<u64> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["size"].as_u64().unwrap())
            .collect();
        assert_eq!(sizes, [3, 3, 3]);
        assert_eq!(index["manifests"][0]["platform"]["architecture"], "amd64");
    }

    #[test]
    fn an_old_engines_archive_gives_the_same() {
        let mut wanted = wanted(ArchiveFormat::Docker);
        let new = written(&saved(&by_digest(&wanted)), &wanted).unwrap();
        let id = wanted.id.replace("sha256:", "");
        let old: Vec<(String, &[u8])> = vec![
            ("aa/json".into(), b"{}"),
            ("aa/layer.tar".into(), b"one"),
            ("bb/layer.tar".into(), b"two"),
            (format!("{id}.json"), CONFIG),
            (
                "manifest.json".into(),
                br#"[{"Layers":["aa/layer.tar","bb/layer.tar","cc/layer.tar"]}]"#,
            ),
        ];
        let mut bytes = saved(&old);
        // the repeated layer is a link
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_path("cc/layer.tar").unwrap();
        link.set_link_name("../aa/layer.tar").unwrap();
        link.set_size(0);
        link.set_cksum();
        bytes.splice(0..0, link.as_bytes().iter().copied());
        wanted.places = places(&mut &*bytes).unwrap();
        let old = written(&bytes, &wanted).unwrap();
        let sorted = |mut files: Vec<(String, Vec<u8>)>| {
            files.sort();
            files
        };
        assert_eq!(sorted(old), sorted(new));
    }

    #[test]
    fn a_layer_that_is_missing_or_another_is_no_image() {
        let wanted = wanted(ArchiveFormat::Docker);
        let mut files = by_digest(&wanted);
        files[0].1 = b"on!";
        let error = written(&saved(&files), &wanted).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
        files.remove(0);
        let error = written(&saved(&files), &wanted).unwrap_err();
        assert!(error.to_string().contains("lacks a layer"), "{error}");
    }

    #[test]
    fn a_name_without_an_end_is_not_read() {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = || header.as_bytes().as_slice().chain(io::repeat(b'x'));
        let wanted = wanted(ArchiveFormat::Oci);
        let errors = [
            places(&mut endless()).unwrap_err(),
            write(&mut endless(), &mut Vec::new(), &wanted).unwrap_err(),
        ];
        for error in errors {
            let said = error.to_string();
            assert!(said.contains("the engine's archive is broken"), "{said}");
        }
    }
}
