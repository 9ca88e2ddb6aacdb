//! `devnet load` to nodes with containerd: layouts, images for several platforms, several images at once,
//! and another snapshotter than overlayfs.

use serde_json::Value;

use crate::containerd_load::{load, row, runs};
use crate::load::{configuration, image};
use crate::support::archive::{Files, Pack, base, here, layer, named};
use crate::support::containerd_node::{ContainerdNode, cluster, containerd_node};
use crate::support::{docker, testbed, until};

/// The digest of the configuration in a layout's or an archive's only image.
fn id(files: &Files) -> String {
    let is_config = |(_, bytes): &&(String, Vec<u8>)| {
        serde_json::from_slice::<Value>(bytes).is_ok_and(|json| json.get("rootfs").is_some())
    };
    let (_, config) = files.0.iter().find(is_config).unwrap();
    crate::support::archive::digest(config)
}

#[test]
fn a_layout_folder_arrives_however_its_layers_are_packed() {
    let Some(node) = containerd_node() else {
        return;
    };
    let sandbox = node.sandbox();
    for (seed, pack) in [(7001, Pack::Plain), (7002, Pack::Gzip), (7003, Pack::Zstd)] {
        let name = format!("ctr-layout:{seed}");
        let top = format!("packed {seed}");
        let layers = [base(seed, 50_000), layer(&[("top", top.as_bytes())])];
        let files = Files::oci(&name, &layers, pack);
        let folder = files.folder(&sandbox.home().join(format!("layout-{seed}")));
        let source = folder.display().to_string();
        let loaded = row(&sandbox.devnet(&["load", &source, "-o", "json"]).ok());
        assert_eq!(
            (&loaded["id"], &loaded["layers_sent"]),
            (&id(&files).into(), &2.into()),
            "{loaded}"
        );
        let full = format!("docker.io/library/{name}");
        let pod = format!("ctr-layout-{seed}");
        assert_eq!(runs(node, &pod, &full, "/top"), top);
        let again = row(&sandbox.devnet(&["load", &source, "-o", "json"]).ok());
        assert_eq!(
            (&again["layers_sent"], &again["bytes_sent"]),
            (&0.into(), &0.into()),
            "{again}"
        );
    }
}

#[test]
fn of_several_platforms_a_node_gets_its_own_and_no_other_is_named_there() {
    let Some(node) = containerd_node() else {
        return;
    };
    let sandbox = node.sandbox();
    let other = if here() == "arm64" { "amd64" } else { "arm64" };
    let layers = |of: &str| [base(7010, 40_000), layer(&[("top", of.as_bytes())])];
    let mut files = Files::default();
    let both = [here(), other].map(|platform| {
        let image = files.image(&layers(platform), Pack::Gzip, platform);
        named(image, "ctr-platforms:1")
    });
    files.index(&both);
    let folder = files.folder(&sandbox.home().join("platforms"));
    let source = folder.display().to_string();
    sandbox.devnet(&["load", &source]).ok();
    let name = "docker.io/library/ctr-platforms:1";
    assert_eq!(runs(node, "ctr-platforms", name, "/top"), here());

    let names = || node.ctr(&["images", "list", "-q"]).ok();
    let foreign = format!("linux/{other}");
    let refused = |source: &str, more: &[&str]| {
        let arguments = [&["load", source, "--tag", "ctr-foreign:1"], more].concat();
        let said = sandbox.devnet(&arguments).fails(1);
        assert!(
            said.contains(&format!("the image is for {foreign}"))
                && said.contains(&format!("the node runs linux/{}", here())),
            "{said}"
        );
        assert!(!names().contains("ctr-foreign"), "{}", names());
    };
    refused(&source, &["--platform", &foreign]);
    // one that is for it alone, and out of a pipe
    let mut alone = Files::default();
    let image = alone.image(&layers(other), Pack::Plain, other);
    alone.index(&[named(image, "ctr-foreign:1")]);
    let file = sandbox.home().join("foreign.tar");
    std::fs::write(&file, alone.tar()).unwrap();
    refused(&file.display().to_string(), &[]);
}

#[test]
fn all_images_of_an_archive_and_all_tags_of_a_repository_arrive() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    let tags = ["ctr-all:1", "ctr-all:2"];
    for (tag, top) in tags.iter().zip(["first", "second"]) {
        image(&testbed, "host", tag, "ctr-all", top);
    }
    let ids = tags.map(|tag| configuration(&testbed, "host", tag));
    let loaded = load(&testbed, node, "host", &["--all", "ctr-all", "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&loaded.ok()).unwrap();
    let of = |rows: &[Value]| {
        let ids = rows
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(of(&rows), ids, "{rows:?}");
    let sandbox = node.sandbox();
    let file = sandbox.home().join("both.tar").display().to_string();
    docker(&testbed, "host", &["save", "-o", &file, tags[0], tags[1]]).ok();
    sandbox.devnet(&["images", "rm", tags[0], tags[1]]).ok();
    let loaded = sandbox.devnet(&["load", "--all", &file, "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&loaded.ok()).unwrap();
    let mut found = of(&rows);
    found.sort();
    let mut ids = ids.to_vec();
    ids.sort();
    assert_eq!(found, ids, "{rows:?}");
    let name = "docker.io/library/ctr-all:2";
    assert_eq!(runs(node, "ctr-all", name, "/top"), "second");
}

#[test]
fn an_image_stands_on_the_snapshotter_that_pods_use() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::with_snapshotter(&testbed, "ctr-native", "native");
    let name = "docker.io/library/ctr-native:1";
    for top in ["one", "two"] {
        image(&testbed, "host", "ctr-native:1", "ctr-native", top);
        load(&testbed, &node, "host", &["ctr-native:1"]).ok();
        node.collect();
        assert_eq!(runs(&node, &format!("ctr-native-{top}"), name, "/top"), top);
    }
    let layers = node
        .ctr(&["snapshots", "--snapshotter", "native", "list"])
        .ok();
    assert!(layers.lines().count() > 3, "{layers}");
    let sandbox = node.sandbox();
    let all: Vec<Value> =
        serde_json::from_str(&sandbox.devnet(&["images", "-o", "json"]).ok()).unwrap();
    let size = |image: &Value| {
        image["names"]
            .to_string()
            .contains("ctr-native")
            .then(|| image["size"].as_u64())
    };
    let size = all.iter().find_map(size).flatten();
    assert!(size.is_some_and(|size| size > 3_000_000), "{all:?}");
}

#[test]
fn an_image_is_found_by_every_spelling_of_its_name_that_a_pod_may_use() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    image(&testbed, "host", "ctr-spelled:v1", "ctr-spelled", "spelled");
    let id = configuration(&testbed, "host", "ctr-spelled:v1");
    for given in [
        "ctr-spelled:1",
        "docker.io/ctr-spelled:2",
        "index.docker.io/ctr-spelled:3",
        "index.docker.io/library/ctr-spelled:4",
        "docker.io/team/ctr-spelled",
        "localhost/ctr-spelled:5",
        "127.0.0.1:5000/team/ctr-spelled:6",
        "registry.test/team/ctr-spelled",
    ] {
        load(&testbed, node, "host", &["ctr-spelled:v1", "--tag", given]).ok();
        // CRI reads a name as the kubelet does
        let found = node.cri().image(given).unwrap();
        assert_eq!(found.as_ref(), Some(&id), "{given}");
    }
    let last = "index.docker.io/library/ctr-spelled:4";
    assert_eq!(runs(node, "ctr-spelled", last, "/top"), "spelled");
}

#[test]
fn a_name_that_no_pod_finds_is_told_and_the_one_that_they_ask_for_is_given() {
    let Some(testbed) = testbed() else { return };
    let node = &ContainerdNode::start(&testbed, "ctr-bare");
    image(&testbed, "host", "ctr-bare:v1", "ctr-bare", "bare");
    load(&testbed, node, "host", &["ctr-bare:v1"]).ok();
    let full = "docker.io/library/ctr-bare:v1";
    let doctor = || {
        let said = node.sandbox().devnet(&["doctor", "-o", "json"]).stdout;
        let document: Value = serde_json::from_str(&said).unwrap();
        let all = document["findings"].as_array().unwrap().clone();
        all.into_iter()
            .find(|one| one["code"] == "name-not-in-full")
    };
    assert_eq!(doctor(), None);
    // as other tools name what they bring
    name_bare(node, full, "ctr-bare:v1");
    // it stands beside the other
    assert_eq!(doctor(), None);
    node.sandbox().devnet(&["images", "rm", full]).ok();
    assert_eq!(node.cri().image(full).unwrap(), None);
    let told = doctor().unwrap().to_string();
    let fix = format!("sudo ctr -n k8s.io images tag ctr-bare:v1 {full}");
    assert!(told.contains(&fix), "{told}");
    node.ctr(&["images", "tag", "ctr-bare:v1", full]).ok();
    until("CRI knows the name", || {
        node.cri().image(full).unwrap().is_some()
    });
    assert_eq!(runs(node, "ctr-bare", full, "/top"), "bare");
    assert_eq!(doctor(), None);
}

/// Gives the image of a name another as some tools do, which is not in full.
fn name_bare(node: &ContainerdNode, full: &str, bare: &str) {
    node.ctr(&["images", "tag", full, bare]).ok();
    until("CRI knows the name", || {
        node.ctr(&["images", "ls", &format!("name=={bare}")])
            .ok()
            .contains("io.cri-containerd.image=managed")
    });
}

/// Takes a name away, so that an image has only one that is not in full.
fn leave_bare(node: &ContainerdNode, full: &str) {
    node.sandbox().devnet(&["images", "rm", full]).ok();
    assert_eq!(node.cri().image(full).unwrap(), None);
}

#[test]
fn an_image_that_is_there_under_a_bare_name_alone_gets_the_full_one() {
    let Some(testbed) = testbed() else { return };
    let node = &ContainerdNode::start(&testbed, "ctr-short");
    image(&testbed, "host", "ctr-short:v1", "ctr-short", "short");
    let load = |more: &[&str]| {
        let all = [&["ctr-short:v1", "-o", "json"], more].concat();
        row(&load(&testbed, node, "host", &all).ok())
    };
    let (full, other) = (
        "docker.io/library/ctr-short:v1",
        "docker.io/library/ctr-short:other",
    );
    let id = load(&["--tag", other])["id"].clone();
    let gets_it = |told: &str| {
        let again = load(&[]);
        assert_eq!(
            (&again["layers_sent"], &again["id"]),
            (&0.into(), &id),
            "{told}: {again}"
        );
        let known = node.cri().image(full).unwrap();
        assert_eq!(known.as_deref(), id.as_str(), "{told}");
    };
    // CRI tells it in full, and finds nothing by that
    name_bare(node, other, "ctr-short:v1");
    leave_bare(node, other);
    assert_eq!(node.cri().image(full).unwrap(), None);
    gets_it("a name that was given");
    // and tells of none where the one in full has gone
    leave_bare(node, full);
    gets_it("a name that was left");
    assert_eq!(runs(node, "ctr-short", full, "/top"), "short");
}

#[test]
fn a_node_gives_an_image_that_it_has_under_a_bare_name_alone() {
    let Some(testbed) = testbed() else { return };
    let first = ContainerdNode::start(&testbed, "ctr-given");
    let second = ContainerdNode::start(&testbed, "ctr-given-2");
    let both = cluster(&[&first, &second]);
    image(&testbed, "host", "ctr-given:v1", "ctr-given", "bare");
    let full = "docker.io/library/ctr-given:v1";
    let loaded = load(
        &testbed,
        &first,
        "host",
        &["ctr-given:v1", "--whole", "-o", "json"],
    );
    let id = row(&loaded.ok())["id"].clone();
    name_bare(&first, full, "ctr-given:v1");
    leave_bare(&first, full);
    let from_first = |name: &str, tag: &str| {
        let load = ["load", "--from-node", "several", "-n", "m02", name];
        both.devnet(&[&load[..], &["--tag", tag, "-o", "json"]].concat())
    };
    for (number, spelt) in ["ctr-given:v1", full, "docker.io/ctr-given:v1"]
        .iter()
        .enumerate()
    {
        let tag = format!("ctr-given:{number}");
        let sent = row(&from_first(spelt, &tag).ok());
        assert_eq!(sent["id"], id, "{spelt}: {sent}");
    }
    // without another name it gets its own, in full
    both.devnet(&[
        "load",
        "--from-node",
        "several",
        "-n",
        "m02",
        "ctr-given:v1",
    ])
    .ok();
    let known = second.cri().image(full).unwrap();
    assert_eq!(known.as_deref(), id.as_str());
    assert_eq!(runs(&second, "ctr-given", full, "/top"), "bare");

    // the name in full is that of another image then, and comes first
    image(&testbed, "host", "ctr-given:v1", "ctr-given", "full");
    let other = configuration(&testbed, "host", "ctr-given:v1");
    load(&testbed, &first, "host", &["ctr-given:v1", "--whole"]).ok();
    let sent = row(&from_first("ctr-given:v1", "ctr-given:both").ok());
    assert_eq!(sent["id"], other.as_str(), "{sent}");

    let said = from_first("ctr-nowhere:v1", "ctr-given:none").fails(4);
    assert!(said.contains("`devnet images -n several`"), "{said}");
}
