//! Images that a Dockerfile builds upon, on a node that has thrown their blobs away.

use std::path::Path;

use crate::containerd_build_flags::registry_of;
use crate::containerd_load::load;
use crate::load::image;
use crate::support::archive::layer;
use crate::support::containerd_node::ContainerdNode;
use crate::support::node_build::NodeBuild;
use crate::support::registry;
use crate::support::{Output, docker, testbed};

/// An image on a node that lacks its blobs: what was built is unpacked, and its layers are removed.
/// The same image is written to an archive before.
fn discarded(build: &NodeBuild<'_>, name: &str, archive: &str) {
    let archive = format!("type=docker,dest={archive}");
    let outputs = ["-o", "type=image", "-o", &archive];
    build.run(&[&["-t", name][..], &outputs].concat()).ok();
    let full = format!("docker.io/library/{name}");
    // what the builder keeps for itself would bring them back
    build.node.buildkitd(&["stop"]);
    let script = format!("ctr -n k8s.io images ls name=={full} | awk 'NR == 2 {{ print $3 }}'");
    let manifest = build.node.run(&["sh", "-c", &script]).ok();
    let text = build.node.ctr(&["content", "get", manifest.trim()]).ok();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        build.node.ctr(&["content", "rm", digest]).ok();
    }
    build.node.buildkitd(&["start"]);
}

#[test]
fn a_base_whose_blobs_are_gone_comes_from_the_host_engine_or_is_named() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrbase") else {
        return;
    };
    let base = NodeBuild::new(
        &node,
        &[
            ("Dockerfile", "FROM scratch\nCOPY bin /bin\nCOPY base /\n"),
            ("base", "of the base"),
        ],
    )
    .with_busybox();
    // nowhere but on the node, which has thrown its blobs away
    let archive = base.sandbox.home().join("base.tar").display().to_string();
    discarded(&base, "ctr-gone:1", &archive);
    let top = NodeBuild::new(
        &node,
        &[
            ("Dockerfile", "FROM ctr-gone:1\nCOPY top /\n"),
            ("top", "of the top"),
        ],
    );
    let lonely = |build: &NodeBuild<'_>, arguments: &[&str]| {
        Output::of(
            build
                .command(&[&["-p", "ctrbase"], arguments].concat())
                .env("DOCKER_HOST", "unix:///no/such.sock"),
        )
    };
    let known = top.ids();
    let said = lonely(&top, &["-t", "ctr-top:1"]).fails(1);
    assert!(
        said.contains("`ctr-gone:1` can't be built upon")
            && said.contains("thrown blobs of it away")
            && said.contains("`devnet load --whole ctr-gone:1`"),
        "{said}"
    );
    top.nothing_is_left("ctr-top");
    // CRI had given what was exported an ID by then
    assert_eq!(top.ids(), known);
    // the same image on the host engine
    let host = format!("unix://{}", testbed.join("host.sock").display());
    docker(&testbed, "host", &["load", "-i", &archive]).ok();
    let with_host = |build: &NodeBuild<'_>, arguments: &[&str]| {
        Output::of(
            build
                .command(&[&["-p", "ctrbase"], arguments].concat())
                .env("DOCKER_HOST", &host),
        )
    };
    let out = with_host(&top, &["-t", "ctr-top:1"]);
    assert_eq!(out.code, 0, "{out}");
    assert!(
        out.stderr
            .contains("`ctr-gone:1` comes from the host engine"),
        "{out}"
    );
    let name = "docker.io/library/ctr-top:1";
    assert_eq!(top.in_a_pod("ctr-top-1", name, "/base"), "of the base");
    assert_eq!(top.in_a_pod("ctr-top-2", name, "/top"), "of the top");
    // from then on the node has all of it
    let again = lonely(&top, &["-t", "ctr-top:2", "--no-cache"]);
    assert_eq!(again.code, 0, "{again}");
    assert!(
        !again.stderr.contains("comes from the host engine"),
        "{again}"
    );
    // one that only the host engine knows
    docker(&testbed, "host", &["tag", "ctr-gone:1", "ctr-hosts:1"]).ok();
    top.write("Dockerfile", "FROM ctr-hosts:1\nCOPY top /\n");
    let out = with_host(&top, &["-t", "ctr-top:3"]);
    assert_eq!(out.code, 0, "{out}");
    assert_eq!(
        top.in_a_pod("ctr-top-3", "docker.io/library/ctr-top:3", "/base"),
        "of the base"
    );
    docker(&testbed, "host", &["rmi", "ctr-gone:1", "ctr-hosts:1"]).ok();
}

#[test]
fn a_base_that_was_loaded_by_layers_is_completed_or_named() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrbase-2") else {
        return;
    };
    let host = format!("unix://{}", testbed.join("host.sock").display());
    image(
        &testbed,
        "host",
        "ctr-delta-base:1",
        "ctr-delta-base",
        "first",
    );
    load(&testbed, &node, "host", &["ctr-delta-base:1"]).ok();
    // the last layer alone is new, and the node keeps no blob of either
    image(
        &testbed,
        "host",
        "ctr-delta-base:1",
        "ctr-delta-base",
        "second",
    );
    load(&testbed, &node, "host", &["ctr-delta-base:1"]).ok();
    node.collect();
    let top = NodeBuild::new(
        &node,
        &[
            ("Dockerfile", "FROM ctr-delta-base:1\nCOPY more /\n"),
            ("more", "of the top"),
        ],
    );
    let with_host = |host: &str, arguments: &[&str]| {
        let arguments = [&["-p", "ctrbase-2"], arguments].concat();
        Output::of(top.command(&arguments).env("DOCKER_HOST", host))
    };
    let said = with_host("unix:///no/such.sock", &["-t", "ctr-delta-top:1"]).fails(1);
    assert!(
        said.contains("`ctr-delta-base:1` can't be built upon") && said.contains("--whole"),
        "{said}"
    );
    top.nothing_is_left("ctr-delta-top");
    let out = with_host(&host, &["-t", "ctr-delta-top:1"]);
    assert_eq!(out.code, 0, "{out}");
    assert!(
        out.stderr
            .contains("`ctr-delta-base:1` comes from the host engine"),
        "{out}"
    );
    let name = "docker.io/library/ctr-delta-top:1";
    assert_eq!(top.in_a_pod("ctr-delta-top-1", name, "/top"), "second");
    assert_eq!(top.in_a_pod("ctr-delta-top-2", name, "/more"), "of the top");
}

#[test]
fn a_base_that_was_pulled_is_asked_of_its_registry_again_or_named() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrbase-3") else {
        return;
    };
    let (registry, address) = registry_of(&node);
    let layer = layer(&[("base", b"of the registry")]);
    registry.put_image("team/pulled", "1", &layer);
    let name = format!("{address}/team/pulled:1");
    node.cri().pull(&name).unwrap();
    // as minikube's nodes do with all that they pull
    node.collect();
    let blob = registry::digest(&layer);
    assert_ne!(
        node.ctr(&["content", "get", &blob]).code,
        0,
        "the node keeps blobs"
    );
    let dockerfile = format!("FROM {name}\nCOPY bin /bin\n");
    let top = NodeBuild::new(&node, &[("Dockerfile", &dockerfile)]).with_busybox();
    let build = |tag: &str| {
        let mut command = top.command(&["-p", "ctrbase-3", "-t", tag]);
        Output::of(command.env("DOCKER_HOST", "unix:///no/such.sock"))
    };
    // the registry has the blob still
    build("ctr-pulled:1").ok();
    let full = "docker.io/library/ctr-pulled:1";
    assert_eq!(
        top.in_a_pod("ctr-pulled-1", full, "/base"),
        "of the registry"
    );

    // and when it is away, that is told at once
    node.ctr(&["images", "rm", "--sync", full]).ok();
    node.buildkitd(&["stop"]);
    node.collect();
    node.buildkitd(&["start"]);
    if node.ctr(&["content", "get", &blob]).code == 0 {
        node.ctr(&["content", "rm", &blob]).ok();
    }
    node.run(&[
        "pkill",
        "-f",
        &format!("[T]CP-LISTEN:{}", registry.address.port()),
    ])
    .ok();
    let said = build("ctr-pulled:2").fails(1);
    assert!(
        said.contains(&format!("`{name}` can't be built upon"))
            && said.contains("thrown blobs of it away")
            && said.contains(&format!("`devnet load --whole {name}`")),
        "{said}"
    );
    top.nothing_is_left("ctr-pulled:2");
    assert!(node.cri().image(&name).unwrap().is_some());
}
