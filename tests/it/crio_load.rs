//! `devnet load` to nodes with cri-o: a real podman brings images, and what stands for cri-o's CRI is asked
//! for what is there.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::load::{configuration, image};
use crate::support::archive::{Files, Pack, layer, noise, piped};
use crate::support::crio_node::{CrioNode, cluster};
use crate::support::{Output, docker, testbed};

/// The node that these tests share: each has images of its own there.
pub(crate) fn crio_node() -> Option<&'static CrioNode> {
    static SHARED: OnceLock<Option<CrioNode>> = OnceLock::new();
    let testbed = testbed()?;
    SHARED
        .get_or_init(|| CrioNode::start(&testbed, "crio-images"))
        .as_ref()
}

/// A layer that no other test has.
pub(crate) fn own_layer(seed: u32, size: usize) -> Vec<u8> {
    layer(&[(&format!("file-{seed}"), &noise(seed, size))])
}

/// Writes an archive and gives its path.
pub(crate) fn written(folder: &Path, name: &str, files: &Files) -> String {
    let path = folder.join(name);
    std::fs::write(&path, files.tar()).unwrap();
    path.display().to_string()
}

/// The only row of a load's JSON.
pub(crate) fn row(text: &str) -> Value {
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(rows.len(), 1, "{text}");
    rows.into_iter().next().unwrap()
}

/// Loads an archive, and compares what CRI and podman then say of it with what devnet said.
pub(crate) fn loaded(node: &CrioNode, source: &str, name: &str) -> Value {
    let said = row(&node.devnet(&["load", source, "-o", "json"]).ok());
    same_everywhere(node, name, &said);
    said
}

fn same_everywhere(node: &CrioNode, name: &str, said: &Value) {
    let full = format!("docker.io/library/{name}");
    let (id, layers) = node.images.image(name).expect("CRI knows it by its name");
    assert_eq!(said["id"], id.as_str(), "{said:#}");
    assert_eq!(said["layers_total"], layers.len(), "{said:#}");
    let format = "{{.Id}} {{.RepoTags}} {{len .RootFS.Layers}}";
    let told = node.podman(&["image", "inspect", "--format", format, &full]);
    let hex = id.strip_prefix("sha256:").unwrap();
    assert_eq!(
        told.ok().trim(),
        format!("{hex} [{full}] {}", layers.len()),
        "a whole name, and no other"
    );
}

/// Nothing that podman spooled stays, and nothing else of a load.
pub(crate) fn nothing_left(node: &CrioNode) {
    node.until_nothing_is_left();
    let names = node.podman(&["images", "--format", "{{.Repository}}"]).ok();
    assert!(!names.contains("devnet-transfer"), "{names}");
}

#[test]
fn a_changed_layer_is_all_that_crosses_and_the_name_is_whole() {
    let Some(testbed) = testbed() else { return };
    // one that has no layer of another test's yet
    let Some(node) = CrioNode::start(&testbed, "crio-delta") else {
        return;
    };
    let node = &node;
    let from = format!("unix://{}", testbed.join("host.sock").display());
    let load = || {
        let words = ["load", "--from-host", &from, "crio-delta:v1", "-o", "json"];
        row(&node.devnet(&words).ok())
    };
    // its ID wherever images are not kept as containerd's store does it
    let made = |top: &str| {
        image(&testbed, "host", "crio-delta:v1", "crio-delta", top);
        configuration(&testbed, "host", "crio-delta:v1")
    };
    let id = made("one");
    let first = load();
    assert_eq!(first["id"], id.as_str());
    assert_eq!(first["layers_sent"], first["layers_total"], "{first}");
    same_everywhere(node, "crio-delta:v1", &first);
    let id = made("two");
    let second = load();
    assert_eq!(
        (&second["id"], &second["layers_sent"]),
        (&id.into(), &1.into())
    );
    assert!(second["bytes_sent"].as_u64().unwrap() < 20_000, "{second}");
    same_everywhere(node, "crio-delta:v1", &second);
    let third = load();
    assert_eq!(
        (&third["layers_sent"], &third["bytes_sent"]),
        (&0.into(), &0.into())
    );
    // a name more, and nothing is sent for it
    let tagged = node.devnet(&[
        "load",
        "--from-host",
        &from,
        "crio-delta:v1",
        "--tag",
        "crio-more:v2",
    ]);
    tagged.ok();
    assert_eq!(
        node.images.image("crio-more:v2"),
        node.images.image("crio-delta:v1")
    );
}

/// Loads onto a base that came plain, packed, or not at all, however the archive is made; in any order.
fn loads_onto_any_base(node: &CrioNode, seed: u32) {
    let folder = tempfile::tempdir().unwrap();
    let base = own_layer(seed, 400_000);
    let middle = own_layer(seed + 1, 100_000);
    let archive = |name: &str, layers: &[Vec<u8>], pack| {
        written(
            folder.path(),
            name,
            &Files::oci(&format!("{name}:v1"), layers, pack),
        )
    };
    for (place, pack) in [Pack::Plain, Pack::Gzip].into_iter().enumerate() {
        let number = u32::try_from(place).unwrap() * 100 + seed;
        let (base, middle) = if place == 0 {
            (base.clone(), middle.clone())
        } else {
            (own_layer(number, 400_000), own_layer(number + 1, 100_000))
        };
        let name = format!("crio-base-{number}");
        let files = Files::oci(&format!("{name}:v1"), &[base.clone(), middle.clone()], pack);
        // by podman itself, as a registry's image would have come
        let at = node.path("/var/cache/base.tar");
        std::fs::write(&at, files.tar()).unwrap();
        node.podman(&["load", "-q", "-i", "/var/cache/base.tar"])
            .ok();
        std::fs::remove_file(at).unwrap();
        for (kind, packed) in [
            ("plain", Pack::Plain),
            ("gzip", Pack::Gzip),
            ("zstd", Pack::Zstd),
        ] {
            let top = own_layer(number + 10 + packed as u32, 5_000);
            let layers = [base.clone(), middle.clone(), top];
            let name = format!("crio-{kind}-{number}");
            let path = archive(&name, &layers, packed);
            let said = loaded(node, &path, &format!("{name}:v1"));
            assert_eq!(said["layers_sent"], 1, "{kind} on {pack:?}: {said:#}");
            assert!(said["bytes_sent"].as_u64().unwrap() < 20_000, "{said:#}");
        }
        // other layers below them, and nothing is sent
        let name = format!("crio-turned-{number}");
        let path = archive(&name, &[middle.clone(), base.clone()], Pack::Plain);
        let said = loaded(node, &path, &format!("{name}:v1"));
        assert_eq!(said["layers_sent"], 0, "{said:#}");
        // docker's own kind through a pipe: what it names is known at its end alone
        let name = format!("crio-piped-{number}");
        let layers = [base, middle, own_layer(number + 20, 5_000)];
        let files = Files::docker(&format!("{name}:v1"), &layers, Pack::Plain);
        let sandbox = node.sandbox();
        let mut command = sandbox.devnet_command(&["load", "-", "-o", "json"]);
        let said = row(&piped(&mut command, files.tar()).ok());
        assert_eq!(said["layers_sent"], 1, "{said:#}");
        same_everywhere(node, &format!("{name}:v1"), &said);
    }
    // nothing of it there
    let layers = [own_layer(seed + 60, 100_000), own_layer(seed + 61, 5_000)];
    let name = format!("crio-absent-{seed}");
    let said = loaded(
        node,
        &archive(&name, &layers, Pack::Gzip),
        &format!("{name}:v1"),
    );
    assert_eq!(said["layers_sent"], 2, "{said:#}");
}

#[test]
fn a_layer_is_known_by_its_content_however_it_came_and_whatever_is_below_it() {
    let Some(node) = crio_node() else { return };
    loads_onto_any_base(node, 41_000);
}

#[test]
fn newer_podmans_take_the_same_archives() {
    let Some(testbed) = testbed() else { return };
    for (version, name, seed) in [("5.4", "crio-54", 42_000), ("5.8", "crio-58", 43_000)] {
        let Some(node) = CrioNode::of_version(&testbed, name, version) else {
            crate::support::missing(&format!("podman {version} (make engines)"));
            continue;
        };
        let told = node
            .podman(&["version", "--format", "{{.Client.Version}}"])
            .ok();
        let minor = |text: &str| -> Vec<u32> {
            let parts = text.trim().split('.').take(2);
            parts.map(|part| part.parse().unwrap()).collect()
        };
        // the newest suite goes on
        assert!(minor(&told) >= minor(version), "{told}");
        loads_onto_any_base(&node, seed);
        nothing_left(&node);
    }
}

#[test]
fn one_archive_reaches_several_nodes_and_one_node_serves_another() {
    let Some(testbed) = testbed() else { return };
    let Some(first) = CrioNode::start(&testbed, "crio-one") else {
        return;
    };
    let Some(second) = CrioNode::start(&testbed, "crio-two") else {
        return;
    };
    let sandbox = cluster(&[&first, &second]);
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (own_layer(44_000, 200_000), own_layer(44_001, 5_000));
    let path = |name: &str, layers: &[Vec<u8>]| {
        let files = Files::oci(&format!("{name}:v1"), layers, Pack::Plain);
        written(folder.path(), name, &files)
    };
    // one has the base
    let only = sandbox.devnet(&[
        "load",
        &path("crio-half", std::slice::from_ref(&base)),
        "-n",
        "m02",
    ]);
    only.ok();
    let both = sandbox.devnet(&[
        "load",
        &path("crio-both", &[base.clone(), top]),
        "-o",
        "json",
    ]);
    let rows: Vec<Value> = serde_json::from_str(&both.ok()).unwrap();
    let sent: Vec<&Value> = rows.iter().map(|row| &row["layers_sent"]).collect();
    assert_eq!(sent, [2, 1], "{rows:#?}");
    for (node, row) in [&first, &second].into_iter().zip(&rows) {
        same_everywhere(node, "crio-both:v1", row);
        nothing_left(node);
    }
    // out of the node's own store to the other
    let words = [
        "load",
        "--from-node",
        "m02",
        "-n",
        "crio-one",
        "crio-half:v1",
        "-o",
        "json",
    ];
    let said = row(&sandbox.devnet(&words).ok());
    assert_eq!(said["layers_sent"], 0, "its base is there: {said:#}");
    same_everywhere(&first, "crio-half:v1", &said);
    nothing_left(&second);
}

#[test]
fn a_repository_keeps_its_registry_and_nothing_is_ever_of_localhost() {
    let (Some(testbed), Some(node)) = (testbed(), crio_node()) else {
        return;
    };
    // a repository of its own host keeps it, a short name is Docker Hub's
    docker(
        &testbed,
        "host",
        &[
            "tag",
            &image(&testbed, "host", "crio-names:v1", "crio-names", "n"),
            "registry.test/team/crio-names:v1",
        ],
    )
    .ok();
    let from = format!("unix://{}", testbed.join("host.sock").display());
    node.devnet(&[
        "load",
        "--from-host",
        &from,
        "registry.test/team/crio-names:v1",
    ])
    .ok();
    assert!(
        node.images
            .image("registry.test/team/crio-names:v1")
            .is_some()
    );
    assert!(node.images.image("crio-names:v1").is_none());
    let names: Output = node.podman(&["images", "--format", "{{.Repository}}"]);
    assert!(!names.ok().contains("localhost/"));
}
