//! Images in folders as named contexts, and caches in folders and registries.

use std::fs;

use serde_json::Value;

use crate::support::build::{Build, exists};
use crate::support::engines::Engine;
use crate::support::registry::Registry;
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Output, docker, missing};

/// A layout in `layout`, with a base image under the tag `v1`.
pub(crate) fn with_layout(build: &Build) {
    let home = build.sandbox.home();
    let dockerfile = "FROM scratch\nCOPY f /from-base\nENV FROM=layout\n";
    build.write("base.Dockerfile", dockerfile);
    // another test's image of the same content would have the same ID, and go with that test
    build.write("f", &home.display().to_string());
    build
        .run(&[
            "-f",
            "context/base.Dockerfile",
            "-t",
            "base:v1",
            "-o",
            "type=oci,dest=base.tar",
        ])
        .ok();
    fs::create_dir(home.join("layout")).unwrap();
    Output::of(
        build
            .sandbox
            .command("tar")
            .args(["-xf", "base.tar", "-C", "layout"]),
    )
    .ok();
}

pub(crate) fn transfers(build: &Build) -> String {
    let all = ["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"];
    let all = build.docker(&all).ok();
    all.lines()
        .filter(|name| name.contains("devnet-transfer"))
        .collect()
}

#[test]
fn an_image_in_an_oci_layout_is_a_base_by_its_tag_or_digest_and_leaves_nothing() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM base\nCOPY a /a\nCMD [\"x\"]\n"),
        ("a", "a"),
    ]) else {
        return;
    };
    with_layout(&build);
    let named = |place: &str| format!("base=oci-layout://{place}");
    if build.major() < 23 {
        let stderr = build
            .run(&["--build-context", &named("layout:v1")])
            .fails(1);
        assert!(stderr.contains("knows no named contexts"), "{stderr}");
        return;
    }
    let home = build.sandbox.home().to_owned();
    let index: Value =
        serde_json::from_slice(&fs::read(home.join("layout/index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let absolute = home.join("layout").display().to_string();
    for (number, place) in ["layout", "layout:v1", &format!("{absolute}@{digest}")]
        .iter()
        .enumerate()
    {
        let tag = format!("layered:{number}");
        let label = format!("number={number}");
        let arguments = [
            "-q",
            "-t",
            &tag,
            "--label",
            &label,
            "--build-context",
            &named(place),
        ];
        build.run(&arguments).ok();
        assert_eq!(build.files(&tag), ["a", "from-base"], "{place}");
        let env = build
            .docker(&["image", "inspect", "-f", "{{.Config.Env}}", &tag])
            .ok();
        assert!(env.contains("FROM=layout"), "{env}");
    }
    assert_eq!(transfers(&build), "");
    // what is wrong with a layout is told before the build
    for (place, why) in [
        ("nowhere", "no OCI layout at `nowhere`"),
        ("context", "`context` is no OCI layout"),
        ("layout:v2", "has no `v2`"),
        ("layout@sha256:12", "is no digest"),
    ] {
        let output = build.run(&["--build-context", &named(place)]);
        assert!(output.stderr.contains(why), "{place}: {output}");
        assert!(matches!(output.code, 1 | 2), "{output}");
    }
    // a build that fails leaves nothing either
    build.write("Dockerfile", "FROM base\nCOPY nope /\n");
    build
        .run(&["-q", "--build-context", &named("layout")])
        .fails(1);
    assert_eq!(transfers(&build), "");
    // a layer that is not what its name says is no layer
    let config: Value = {
        let path = home
            .join("layout")
            .join("blobs")
            .join(digest.replace(':', "/"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    if let Some(layer) = config["layers"][0]["digest"].as_str() {
        let path = home.join("layout/blobs").join(layer.replace(':', "/"));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        build.write("Dockerfile", "FROM base\nCOPY a /other\nCMD [\"x\"]\n");
        // an engine that has the layer already does not look at it again
        let host = format!("unix://{}", build.testbed.join("host.sock").display());
        let arguments = ["-q", "-t", "spoilt:1", "--build-context", &named("layout")];
        Output::of(&mut build.command_at(&host, &arguments)).fails(1);
        docker(&build.testbed, "host", &["image", "inspect", "spoilt:1"]).fails(1);
    }
}

#[test]
fn what_another_terminal_s_build_brings_is_left_by_clean() {
    let files = [
        ("Dockerfile", "FROM base\nCOPY a /a\nCMD [\"x\"]\n"),
        ("a", "a"),
    ];
    let Some(build) = Build::new(&files) else {
        return;
    };
    with_layout(&build);
    // newer ones read layouts themselves, older ones take none
    let Some(engine) = Engine::of_version(&build.testbed, "layout-clean", Some("26")) else {
        missing("engine 26 (`make engines`)");
        return;
    };
    let socket = build.testbed.join("layout-clean.sock");
    let hold = Some(Hold::Request("POST", "/tag"));
    let proxy = Rewriting::holding(build.sandbox.home(), socket, hold, |_, _| {});
    let build = build.on("layout-clean");
    let arguments = [
        "-q",
        "-t",
        "held:1",
        "--build-context",
        "base=oci-layout://layout",
    ];
    let mut command = build.command_at(&proxy.url(), &arguments);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    proxy.until_held();
    let brought = transfers(&build);
    assert!(!brought.is_empty());
    let cleaned = build.sandbox.devnet(&["-H", &engine.url(), "clean"]);
    assert!(
        cleaned.stderr.contains("stays: another devnet uses it"),
        "{cleaned}"
    );
    assert_eq!(transfers(&build), brought);
    cleaned.ok();
    proxy.release();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(build.files("held:1"), ["a", "from-base"]);
    assert_eq!(transfers(&build), "");
}

#[test]
fn a_cache_in_a_folder_serves_another_engine() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /a\nCMD [\"x\"]\n")])
    else {
        return;
    };
    let home = build.sandbox.home().to_owned();
    build.write("a", &format!("{}", home.display()));
    let to = ["-q", "--cache-to", "type=local,dest=cache,mode=max"];
    let stderr = build.run(&["--cache-to", "type=local"]).fails(2);
    assert!(stderr.contains("has no `dest=`"), "{stderr}");
    if !build.containerd_store() {
        let stderr = build.run(&to).fails(1);
        assert!(
            stderr.contains("can't put a cache into `type=local`"),
            "{stderr}"
        );
        assert!(!exists(&home.join("cache")), "nothing is made for nothing");
        return;
    }
    let from = |extra: &[&str]| {
        let host = format!("unix://{}", build.testbed.join("host.sock").display());
        let mut all = vec![
            "--progress",
            "plain",
            "--cache-from",
            "type=local,src=cache",
        ];
        all.extend(extra);
        Output::of(&mut build.command_at(&host, &all))
    };
    build.run(&to).ok();
    // a second time adds to the folder, and the other tag stays
    build
        .run(&["-q", "--cache-to", "type=local,dest=cache,tag=other"])
        .ok();
    let index: Value =
        serde_json::from_slice(&fs::read(home.join("cache/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let parts = Output::of(
        build
            .sandbox
            .command("find")
            .args(["cache", "-name", "*.devnet-part"]),
    );
    assert_eq!(parts.ok(), "");
    let output = from(&[]);
    assert!(output.stderr.contains("CACHED"), "{output}");
    assert_eq!(output.code, 0);
    let stderr = build
        .run(&["--cache-from", "type=local,src=nowhere"])
        .stderr;
    assert!(stderr.contains("there is no cache yet"), "{stderr}");
}

#[test]
fn a_cache_in_a_registry_serves_another_engine() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /a\nCMD [\"x\"]\n")])
    else {
        return;
    };
    let registry = Registry::open();
    build.write("a", &format!("{}", build.sandbox.home().display()));
    let name = format!("{}/team/cached:1", registry.address);
    build
        .run(&["-q", "-t", &name, "--cache-to", "type=inline", "--push"])
        .ok();
    let host = format!("unix://{}", build.testbed.join("host.sock").display());
    let arguments = ["--progress", "plain", "--cache-from", &name];
    let output = Output::of(&mut build.command_at(&host, &arguments));
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("CACHED"), "{output}");
    build.docker(&["rmi", &name]).ok();
}
