//! Tests of the archive that a podman loads: what it is made of, and what of it comes.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use super::*;

const NAME: &str = "127.0.0.1:9/devnet-transfer/word:transfer";

fn own() -> Platform {
    Platform::parse("linux/amd64").unwrap()
}

/// An archive as devnet sends one: `(path, content)`.
fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, content) in files {
        bytes.extend(archive::small_file(path, content));
    }
    bytes.extend(archive::end());
    bytes
}

/// The archive that podman gets of it, in steps of so many bytes.
fn sent(bytes: &[u8], step: usize) -> Result<Vec<u8>> {
    let (mut layout, mut all) = (LayoutArchive::default(), Vec::new());
    let mut give = |piece: Bytes| all.extend(piece);
    for part in bytes.chunks(step) {
        layout.take(Bytes::copy_from_slice(part), &mut give)?;
    }
    layout.finish(&own(), NAME, &mut give)?;
    Ok(all)
}

/// The files of an archive; a link has the file that it leads to.
fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let content = if let Some(to) = entry.link_name().unwrap() {
            all[&to.display().to_string()].clone()
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            content
        };
        assert!(all.insert(path, content).is_none(), "each file comes once");
    }
    all
}

/// The layers that the manifest lists, and the name.
fn described(files: &BTreeMap<String, Vec<u8>>) -> (Vec<Value>, String) {
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let target = &index["manifests"][0];
    let blob = |digest: &Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        &files[&format!("{BLOBS}{hex}")]
    };
    let manifest: Value = serde_json::from_slice(blob(&target["digest"])).unwrap();
    blob(&manifest["config"]["digest"]);
    let names = target["annotations"].as_object().unwrap();
    assert!(names.values().all(|name| name == NAME), "{target:#}");
    let layers = manifest["layers"].as_array().unwrap().clone();
    (layers, names.len().to_string())
}

fn sha(bytes: &[u8]) -> String {
    Digest::of(bytes).as_str().to_owned()
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha(layer)).collect();
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs})
        .to_string()
        .into_bytes()
}

fn path(bytes: &[u8]) -> String {
    Digest::of(bytes).blob_path()
}

const BASE: &[u8] = b"base layer, which the node has";
const TOP: &[u8] = b"top layer, which it lacks";

#[test]
fn a_layer_that_did_not_come_is_listed_by_its_diff_id_whatever_its_blob_was() {
    let config = config(&[BASE, TOP]);
    let packed = b"\x1f\x8b base, packed".as_slice();
    let blobs = [
        oci::Descriptor::layer("+gzip", &sha(packed), packed.len() as u64),
        oci::Descriptor::layer("", &sha(TOP), TOP.len() as u64),
    ];
    let manifest = oci::manifest(
        &oci::Descriptor::config(&sha(&config), config.len()),
        &blobs,
    );
    let index = oci::index_of_one(&manifest, ("127.0.0.1:9/devnet-transfer/word", "transfer"));
    let bytes = archive_of(&[
        (&path(TOP), TOP),
        (&path(&config), &config),
        ("oci-layout", oci::LAYOUT),
        (&path(&manifest), &manifest),
        ("index.json", &index),
    ]);
    let whole = sent(&bytes, usize::MAX).unwrap();
    let files = files(&whole);
    let (layers, _) = described(&files);
    assert_eq!(layers[0]["digest"], sha(BASE));
    assert_eq!(
        layers[0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar"
    );
    assert_eq!(layers[1]["digest"], sha(TOP));
    assert_eq!(files[&path(TOP)], TOP);
    assert!(!files.contains_key(&path(BASE)));
    for step in [1, 7, 511, 512, 513] {
        assert_eq!(sent(&bytes, step).unwrap(), whole, "in steps of {step}");
    }
}

#[test]
fn an_image_that_comes_whole_keeps_its_manifest() {
    let config = config(&[BASE]);
    let packed = b"\x1f\x8b base, packed".as_slice();
    let blobs = [oci::Descriptor::layer(
        "+gzip",
        &sha(packed),
        packed.len() as u64,
    )];
    let manifest = oci::manifest(
        &oci::Descriptor::config(&sha(&config), config.len()),
        &blobs,
    );
    let index = oci::index_of_one(&manifest, ("a", "b"));
    let bytes = archive_of(&[
        (&path(packed), packed),
        (&path(&config), &config),
        (&path(&manifest), &manifest),
        ("index.json", &index),
    ]);
    let files = files(&sent(&bytes, 100).unwrap());
    assert_eq!(files[&path(&manifest)], manifest);
    assert_eq!(files[&path(packed)], packed);
}

#[test]
fn layers_of_dockers_old_archives_get_the_names_of_their_digests() {
    let config = config(&[BASE, TOP]);
    let list = oci::archive_manifest(
        "config.json",
        Some(&["app:dev".to_owned()]),
        &["one/layer.tar".to_owned(), "two/layer.tar".to_owned()],
    );
    let bytes = archive_of(&[
        ("one/layer.tar", BASE),
        ("two/layer.tar", TOP),
        ("config.json", &config),
        ("manifest.json", &list),
    ]);
    let files = files(&sent(&bytes, 512).unwrap());
    let (layers, _) = described(&files);
    for (layer, content) in layers.iter().zip([BASE, TOP]) {
        assert_eq!(layer["digest"], sha(content));
        assert_eq!(files[&path(content)], content);
    }
}

#[test]
fn a_layer_that_looks_like_a_document_is_sent_too() {
    let odd = b"{ this is a layer that begins as JSON does".as_slice();
    let config = config(&[odd]);
    let list = oci::archive_manifest("config.json", None, &[path(odd)]);
    let bytes = archive_of(&[
        (&path(odd), odd),
        ("config.json", &config),
        ("manifest.json", &list),
    ]);
    let files = files(&sent(&bytes, 512).unwrap());
    assert_eq!(files[&path(odd)], odd);
}

#[test]
fn what_breaks_off_ends_without_an_index() {
    let config = config(&[BASE]);
    let list = oci::archive_manifest("config.json", None, &[path(BASE)]);
    let bytes = archive_of(&[
        (&path(BASE), BASE),
        ("config.json", &config),
        ("manifest.json", &list),
    ]);
    let error = sent(&bytes[..600], 100).unwrap_err();
    assert_eq!(error.to_string(), "what was sent to the node is broken");
    assert!(
        sent(
            b"no archive at all, and longer than a block is: "
                .repeat(20)
                .as_slice(),
            64
        )
        .is_err()
    );
    let two = oci::index(&[]);
    assert!(sent(&archive_of(&[("index.json", &two)]), 512).is_err());
}
