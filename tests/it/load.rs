//! `devnet load`: only the missing layers, and no name on anything that is not whole.

use std::path::Path;

use crate::support::{Output, Sandbox, docker, testbed};

/// An image with a large base and a small top on one of the testbed's engines.
pub(crate) fn image(testbed: &Path, engine: &str, name: &str, base: &str, top: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut noise = 1_u32;
    let bytes: Vec<u8> = base
        .bytes()
        .cycle()
        .take(3_000_000)
        .map(|byte| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            byte ^ u8::try_from(noise >> 24).unwrap()
        })
        .collect();
    std::fs::write(folder.path().join("base"), bytes).unwrap();
    std::fs::write(folder.path().join("top"), top).unwrap();
    std::fs::write(
        folder.path().join("Dockerfile"),
        "FROM devnet-test/busybox\nCOPY base /\nCOPY top /\n",
    )
    .unwrap();
    crate::support::busybox_image(testbed, engine);
    let sandbox = Sandbox::bare();
    let host = format!(
        "unix://{}",
        testbed.join(format!("{engine}.sock")).display()
    );
    let out = sandbox
        .devnet(&[
            "-q",
            "-H",
            &host,
            "build",
            "-t",
            name,
            &folder.path().display().to_string(),
        ])
        .ok();
    out.trim().to_owned()
}

/// The digest of the configuration of an engine's image, which is its ID wherever it is not kept as
/// containerd's store does it.
pub(crate) fn configuration(testbed: &Path, engine: &str, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.tar").display().to_string();
    docker(testbed, engine, &["save", "-o", &file, name]).ok();
    let sandbox = Sandbox::bare();
    let mut tar = sandbox.command("tar");
    tar.args(["-xOf", &file, "manifest.json"]);
    let images: serde_json::Value = serde_json::from_str(&Output::of(&mut tar).ok()).unwrap();
    let path = images[0]["Config"].as_str().unwrap();
    let hex = path.trim_start_matches("blobs/sha256/");
    format!("sha256:{}", hex.trim_end_matches(".json"))
}

fn load(testbed: &Path, sandbox: &Sandbox, more: &[&str]) -> Output {
    let from = format!("unix://{}", testbed.join("host.sock").display());
    let mut arguments = vec!["load", "--from-host", &from];
    arguments.extend_from_slice(more);
    sandbox.devnet(&arguments)
}

fn rows(text: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn layers(testbed: &Path, engine: &str, name: &str) -> String {
    docker(
        testbed,
        engine,
        &["image", "inspect", "-f", "{{json .RootFS.Layers}}", name],
    )
    .ok()
}

#[test]
fn what_is_named_twice_is_brought_once_and_its_node_counts_once() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-twice:1", "twice", "one");
    let full = "docker.io/library/load-twice:1";
    let archive = sandbox.home().join("twice.tar").display().to_string();
    docker(&testbed, "host", &["save", "-o", &archive, "load-twice:1"]).ok();
    let link = sandbox.home().join("link.tar").display().to_string();
    std::os::unix::fs::symlink(&archive, &link).unwrap();
    for sources in [
        [archive.as_str(), &archive],
        [&archive, &link],
        ["load-twice:1", "load-twice:1"],
        ["load-twice:1", full],
    ] {
        docker(&testbed, "node", &["rmi", "load-twice:1"]);
        let brought = rows(
            &load(
                &testbed,
                &sandbox,
                &[&sources[..], &["-o", "json"]].concat(),
            )
            .ok(),
        );
        assert_eq!(brought.len(), 1, "{sources:?}: {brought:?}");
        let said = load(&testbed, &sandbox, &sources).stderr;
        assert!(said.contains("already on minikube, nothing sent"), "{said}");
        // one source is no several, to which one name could not be given
        let renamed = [&sources[..], &["--tag", "load-twice:new"]].concat();
        load(&testbed, &sandbox, &renamed).ok();
    }
}

#[test]
fn a_changed_top_layer_is_all_that_is_sent_and_what_arrives_runs() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-delta:v1", "delta", "one");
    let first = rows(&load(&testbed, &sandbox, &["load-delta:v1", "-o", "json"]).ok());
    assert_eq!(first[0]["node"], "minikube");
    assert!(
        first[0]["bytes_sent"].as_u64().unwrap() > 3_000_000,
        "{first:?}"
    );

    image(&testbed, "host", "load-delta:v1", "delta", "two");
    let second = rows(&load(&testbed, &sandbox, &["load-delta:v1", "-o", "json"]).ok());
    assert_eq!(second[0]["layers_sent"], 1, "{second:?}");
    assert!(
        second[0]["bytes_sent"].as_u64().unwrap() < 40_000,
        "{second:?}"
    );

    let keys: Vec<_> = second[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "node",
            "image",
            "id",
            "layers_total",
            "layers_sent",
            "bytes_total",
            "bytes_sent",
            "seconds"
        ]
    );
    assert_eq!(
        layers(&testbed, "node", "load-delta:v1"),
        layers(&testbed, "host", "load-delta:v1")
    );
    let ran = docker(
        &testbed,
        "node",
        &[
            "run",
            "--rm",
            "--network",
            "none",
            "load-delta:v1",
            "/bin/busybox",
            "cat",
            "/top",
        ],
    );
    assert_eq!(ran.ok(), "two");

    let third = load(&testbed, &sandbox, &["load-delta:v1"]);
    assert!(
        third.stderr.contains("already on minikube, nothing sent"),
        "{third}"
    );
    for engine in ["host", "node"] {
        // other tests load meanwhile: only this image's names say something
        let names = ["image", "inspect", "-f", "{{.RepoTags}}", "load-delta:v1"];
        let names = docker(&testbed, engine, &names).ok();
        assert_eq!(names.trim(), "[load-delta:v1]", "{engine}");
    }
}

#[test]
fn another_name_and_a_dry_run() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-name:v1", "name", "one");
    let plan = load(
        &testbed,
        &sandbox,
        &["load-name:v1", "--dry-run", "--tag", "load-other:v2"],
    )
    .ok();
    assert!(plan.contains("minikube  load-other:v2  lacks "), "{plan}");
    docker(&testbed, "node", &["image", "inspect", "load-other:v2"]).fails(1);
    load(
        &testbed,
        &sandbox,
        &["load-name:v1", "--tag", "load-other:v2"],
    )
    .ok();
    docker(&testbed, "node", &["image", "inspect", "load-other:v2"]).ok();
    docker(&testbed, "node", &["image", "inspect", "load-name:v1"]).fails(1);
}

#[test]
fn a_node_that_is_away_does_not_hold_the_others() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-partly:v1", "partly", "one");
    let out = load(
        &testbed,
        &sandbox,
        &["-p", "half", "load-partly:v1", "-o", "json"],
    );
    assert_eq!(out.code, 5, "{out}");
    let rows = rows(&out.stdout);
    assert!(rows[0].get("error").is_none(), "{out}");
    assert!(
        rows[1]["error"].as_str().unwrap().contains("half-m02"),
        "{out}"
    );
    docker(&testbed, "node", &["image", "inspect", "load-partly:v1"]).ok();
}

#[test]
fn what_is_not_there_is_exit_4_and_one_engine_is_nothing_to_do() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let said = load(&testbed, &sandbox, &["no-such-image:v1"]).fails(4);
    assert!(
        said.contains("has no image `no-such-image:v1`") && said.contains("hint: "),
        "{said}"
    );
    image(&testbed, "node", "load-same:v1", "same", "one");
    let from = format!("unix://{}", testbed.join("node.sock").display());
    let out = sandbox.devnet(&["load", "--from-host", &from, "load-same:v1"]);
    assert!(
        out.code == 0 && out.stderr.contains("nothing to do"),
        "{out}"
    );
    load(&testbed, &sandbox, &["load-same:v1", "--tag", "Not A Name"]).fails(2);
    load(&testbed, &sandbox, &["-p", "stopped", "load-same:v1"]).fails(4);
}

#[test]
fn an_image_without_a_name_is_still_there_afterwards_and_needs_one_on_the_nodes() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let id = image(&testbed, "host", "load-nameless:v1", "nameless", "one");
    // another image takes its name
    image(&testbed, "host", "load-nameless:v1", "nameless", "two");
    if docker(&testbed, "host", &["image", "inspect", &id]).code != 0 {
        // containerd's store keeps no image that has lost its name: then there is nothing to load
        load(&testbed, &sandbox, &[&id]).fails(4);
        return;
    }
    let said = load(&testbed, &sandbox, &[&id]).fails(2);
    assert!(said.contains("--tag"), "{said}");
    load(&testbed, &sandbox, &[&id, "--tag", "load-named:v1"]).ok();
    docker(&testbed, "node", &["image", "inspect", "load-named:v1"]).ok();
    docker(&testbed, "host", &["image", "inspect", &id]).ok();
}

#[test]
fn one_image_that_is_not_there_does_not_keep_the_others_back() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-first:v1", "first", "one");
    image(&testbed, "host", "load-last:v1", "last", "one");
    let out = load(
        &testbed,
        &sandbox,
        &["load-first:v1", "no-such:v1", "load-last:v1", "-o", "json"],
    );
    assert_eq!(out.code, 5, "{out}");
    let rows = rows(&out.stdout);
    let failed: Vec<bool> = rows.iter().map(|row| row.get("error").is_some()).collect();
    assert_eq!(failed, [false, true, false], "{out}");
}

#[test]
fn a_terminal_shows_what_a_node_has_taken_while_it_takes_it_and_nothing_else_does() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    image(&testbed, "host", "load-watched:1", "watched", "one");
    let archive = sandbox.home().join("watched.tar");
    let path = archive.display().to_string();
    docker(&testbed, "host", &["save", "-o", &path, "load-watched:1"]).ok();
    // more than a megabyte of the large layer is among the first bytes, wherever it stands
    let first = std::fs::metadata(&archive).unwrap().len() - 300_000;
    let person = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/support/load_watched.py"
    );
    let mut watched = sandbox.command("python3");
    watched.args([person, &path, &first.to_string(), " MB, "]);
    watched.args([env!("CARGO_BIN_EXE_devnet"), "load", "-"]);
    let screen = Output::of(&mut watched).ok();
    let [before, after, code] = screen.lines().collect::<Vec<_>>()[..] else {
        panic!("{screen}")
    };
    assert!(before.contains(r"\rstdin: "), "{screen}");
    // the line goes away before the last one is said, and stands nowhere after it
    let (_, last) = after.rsplit_once(r"\r\x1b[K").expect(&screen);
    assert!(last.contains("load-watched:1"), "{screen}");
    assert_eq!(code, "0", "{screen}");

    docker(&testbed, "node", &["rmi", "load-watched:1"]).ok();
    let said = load(&testbed, &sandbox, &["load-watched:1"]);
    assert!(said.stderr.contains("load-watched:1"), "{said}");
    assert!(!said.stderr.contains(['\r', '\u{1b}']), "{said}");
    said.ok();
}
