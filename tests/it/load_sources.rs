//! `devnet load` from archives, layouts and stdin: the same images arrive, and only what is
//! missing is sent.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::archive::{Files, Pack, base, digest, gzip, here, layer, named, piped, zstd};
use crate::support::{Output, Sandbox, docker, testbed};

fn load(sandbox: &Sandbox, more: &[&str]) -> Output {
    let mut arguments = vec!["load", "-o", "json"];
    arguments.extend_from_slice(more);
    sandbox.devnet(&arguments)
}

fn rows(output: Output) -> Vec<Value> {
    let text = output.ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn top(testbed: &Path, name: &str) -> String {
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        name,
        "/bin/busybox",
        "cat",
        "/top",
    ];
    docker(testbed, "node", &run).ok()
}

fn diff_ids(testbed: &Path, name: &str) -> Value {
    let layers = ["image", "inspect", "-f", "{{json .RootFS.Layers}}", name];
    serde_json::from_str(&docker(testbed, "node", &layers).ok()).unwrap()
}

fn has_containerd_store(testbed: &Path) -> bool {
    docker(testbed, "node", &["info", "-f", "{{json .DriverStatus}}"])
        .ok()
        .contains("io.containerd.snapshotter")
}

type Wrap = fn(&[u8]) -> Vec<u8>;

#[test]
fn every_kind_of_archive_brings_the_image_and_then_only_what_changed() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let folder = tempfile::tempdir().unwrap();
    let plain: Wrap = <[u8]>::to_vec;
    let wraps: [(&str, Wrap); 3] = [("plain", plain), ("gzip", gzip), ("zstd", zstd)];
    let mut seed = 0;
    for old in [true, false] {
        for pack in [Pack::Plain, Pack::Gzip, Pack::Zstd] {
            for (wrap_name, wrap) in wraps {
                if pack != Pack::Plain && wrap_name != "plain" {
                    continue;
                }
                seed += 1;
                let what = format!("old {old}, layers {pack:?}, archive {wrap_name}");
                let name = format!("sources-{seed}:v1");
                let base = base(seed, 400_000);
                let make = |text: &str| {
                    let layers = [base.clone(), layer(&[("top", text.as_bytes())])];
                    if old {
                        Files::docker(&name, &layers, pack)
                    } else {
                        Files::oci(&name, &layers, pack)
                    }
                };
                // the name says nothing about what is inside
                let file = folder.path().join(format!("{seed}.img"));
                std::fs::write(&file, wrap(&make("one").tar())).unwrap();
                let file = file.display().to_string();
                let first = load(&sandbox, &[&file]);
                if first.code != 0 && pack == Pack::Zstd && first.stderr.contains("archive/tar") {
                    // Docker 20.10 knows no zstd
                    continue;
                }
                let first = rows(first);
                assert_eq!(first[0]["image"], name, "{what}");
                assert_eq!(first[0]["layers_sent"], 2, "{what}: {first:?}");
                assert_eq!(top(&testbed, &name), "one", "{what}");

                std::fs::write(&file, wrap(&make("two").tar())).unwrap();
                let second = rows(load(&sandbox, &[&file]));
                assert_eq!(second[0]["layers_sent"], 1, "{what}: {second:?}");
                let sent = second[0]["bytes_sent"].as_u64().unwrap();
                assert!(sent < 20_000, "{what}: {second:?}");
                assert_eq!(top(&testbed, &name), "two", "{what}");
                let expected = json!([digest(&base), digest(&layer(&[("top", b"two")]))]);
                assert_eq!(diff_ids(&testbed, &name), expected, "{what}");

                let third = rows(load(&sandbox, &[&file]));
                assert_eq!(third[0]["bytes_sent"], 0, "{what}: {third:?}");
                let id = docker(
                    &testbed,
                    "node",
                    &["image", "inspect", "-f", "{{.Id}}", &name],
                );
                assert_eq!(third[0]["id"], id.ok().trim(), "{what}");
            }
        }
    }
    // other tests load meanwhile: only this image's names say something
    let names = ["image", "inspect", "-f", "{{.RepoTags}}", "sources-1:v1"];
    let names = docker(&testbed, "node", &names).ok();
    assert_eq!(names.trim(), "[sources-1:v1]");
}

#[test]
fn a_layout_folder_and_a_redirected_archive_are_read_too() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let layers = [base(100, 100_000), layer(&[("top", b"folder")])];
    Files::oci("sources-folder:v1", &layers, Pack::Gzip).folder(&sandbox.home().join("layout"));
    let out = load(&sandbox, &["layout"]);
    assert!(
        out.stderr
            .contains("`layout` is an archive or a layout here"),
        "{out}"
    );
    rows(out);
    assert_eq!(top(&testbed, "sources-folder:v1"), "folder");

    let file = sandbox.home().join("a.tar");
    let layers = [base(100, 100_000), layer(&[("top", b"redirected")])];
    std::fs::write(
        &file,
        Files::docker("unused:v1", &layers, Pack::Plain).tar(),
    )
    .unwrap();
    let mut command = sandbox.devnet_command(&["load", "-", "--tag", "sources-stdin:v1"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    Output::of(&mut command).ok();
    assert_eq!(top(&testbed, "sources-stdin:v1"), "redirected");
    docker(&testbed, "node", &["image", "inspect", "unused:v1"]).fails(1);
}

#[test]
fn a_folder_that_is_no_layout_does_not_hide_the_image_of_its_name() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    std::fs::create_dir(sandbox.home().join("no-such-image")).unwrap();
    let from = format!("unix://{}", testbed.join("host.sock").display());
    let said = sandbox
        .devnet(&["load", "--from-host", &from, "no-such-image"])
        .fails(4);
    assert!(
        said.contains("there is no file `no-such-image`")
            || said.contains("has no image `no-such-image`"),
        "{said}"
    );
    let said = sandbox
        .devnet(&["load", "--from-host", &from, "app.tar"])
        .fails(4);
    assert!(
        said.contains("no file `app.tar`") && said.contains("no image `app.tar`"),
        "{said}"
    );
    let said = sandbox.devnet(&["load", "./app.tar"]).fails(4);
    assert!(said.contains("there is no file `./app.tar`"), "{said}");
}

#[test]
fn the_nodes_platform_is_picked_out_of_an_index_with_attestations_and_keeps_its_digest() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let name = "sources-index:v1";
    let other = if here() == "amd64" { "arm64" } else { "amd64" };
    let mut files = Files::default();
    let own_layers = [base(200, 50_000), layer(&[("top", b"own")])];
    let own = files.image(&own_layers, Pack::Gzip, here());
    let foreign = files.image(
        &[base(201, 50_000), layer(&[("top", b"foreign")])],
        Pack::Gzip,
        other,
    );
    let mut attestation = files.image(&[layer(&[("statement", b"{}")])], Pack::Plain, "unknown");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": own["digest"],
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [foreign, own, attestation],
    });
    let index = files.blob(
        index.to_string().into_bytes(),
        "application/vnd.oci.image.index.v1+json",
    );
    let index_digest = index["digest"].clone();
    files.index(&[named(index, name)]);
    let file = sandbox.home().join("index.tar");
    std::fs::write(&file, files.tar()).unwrap();

    let sent = rows(load(&sandbox, &["./index.tar"]));
    assert_eq!(sent[0]["layers_sent"], 2, "{sent:?}");
    assert_eq!(top(&testbed, name), "own");
    if has_containerd_store(&testbed) {
        assert_eq!(sent[0]["id"], index_digest);
        let id = docker(
            &testbed,
            "node",
            &["image", "inspect", "-f", "{{.Id}}", name],
        )
        .ok();
        assert_eq!(id.trim(), index_digest, "what a registry would show");
    }
    let again = rows(load(&sandbox, &["./index.tar"]));
    assert_eq!(again[0]["bytes_sent"], 0, "{again:?}");

    let wanted = format!("linux/{other}");
    let foreign = [
        "./index.tar",
        "--platform",
        &wanted,
        "--tag",
        "sources-foreign:v1",
    ];
    rows(load(&sandbox, &foreign));
    if !has_containerd_store(&testbed) {
        let arch = [
            "image",
            "inspect",
            "-f",
            "{{.Architecture}}",
            "sources-foreign:v1",
        ];
        assert_eq!(docker(&testbed, "node", &arch).ok().trim(), other);
    }
    let said = load(&sandbox, &["./index.tar", "--platform", "linux/s390x"]).fails(4);
    assert!(
        said.contains("linux/s390x") && said.contains("linux/arm64"),
        "{said}"
    );
    load(&sandbox, &["./index.tar", "--platform", "nonsense"]).fails(2);
}

#[test]
fn of_several_images_all_are_asked_for_and_every_name_comes_along() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let mut files = Files::default();
    let one = files.image(&[layer(&[("top", b"1")])], Pack::Plain, here());
    let two = files.image(&[layer(&[("top", b"2")])], Pack::Plain, here());
    let descriptors = [
        named(one.clone(), "sources-one:v1"),
        named(two, "sources-two:v1"),
        named(one, "sources-one:v2"),
    ];
    files.index(&descriptors);
    std::fs::write(sandbox.home().join("all.tar"), files.tar()).unwrap();
    let said = load(&sandbox, &["./all.tar"]).fails(2);
    assert!(
        said.contains("holds 2 images")
            && said.contains("sources-two:v1")
            && said.contains("--all"),
        "{said}"
    );
    let sent = rows(load(&sandbox, &["--all", "./all.tar"]));
    assert_eq!(sent.len(), 2, "{sent:?}");
    let id = |name: &str| {
        docker(
            &testbed,
            "node",
            &["image", "inspect", "-f", "{{.Id}}", name],
        )
        .ok()
    };
    assert_eq!(id("sources-one:v1"), id("sources-one:v2"));
    assert_ne!(id("sources-one:v1"), id("sources-two:v1"));

    let nameless = Files::docker("x:v1", &[layer(&[("top", b"3")])], Pack::Plain);
    let mut nameless = nameless;
    let manifest = nameless.0.pop().unwrap();
    let mut value: Value = serde_json::from_slice(&manifest.1).unwrap();
    value[0]["RepoTags"] = Value::Null;
    nameless.add("manifest.json", value.to_string());
    std::fs::write(sandbox.home().join("nameless.tar"), nameless.tar()).unwrap();
    let said = load(&sandbox, &["./nameless.tar"]).fails(2);
    assert!(said.contains("--tag"), "{said}");
    rows(load(
        &sandbox,
        &["./nameless.tar", "--tag", "sources-named:v1"],
    ));
    docker(&testbed, "node", &["image", "inspect", "sources-named:v1"]).ok();
}

#[test]
fn a_dry_run_tells_every_layer_and_sends_nothing() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let base = base(300, 200_000);
    for (text, dry) in [("one", false), ("two", true)] {
        let layers = [base.clone(), layer(&[("top", text.as_bytes())])];
        let files = Files::docker("sources-dry:v1", &layers, Pack::Plain);
        std::fs::write(sandbox.home().join("dry.tar"), files.tar()).unwrap();
        if !dry {
            rows(load(&sandbox, &["./dry.tar"]));
            continue;
        }
        let plan = sandbox.devnet(&["load", "--dry-run", "./dry.tar"]).ok();
        let lines: Vec<&str> = plan.lines().collect();
        assert!(
            lines[0].starts_with("minikube  sources-dry:v1  lacks 1 of 2 layers, 2.0 kB of "),
            "{plan}"
        );
        assert!(lines[1].starts_with("  have  sha256:"), "{plan}");
        assert!(
            lines[2].starts_with(&format!("  send  {}", &digest(&layers[1])[..19]))
                && lines[2].ends_with("2.0 kB"),
            "{plan}"
        );
        let planned = rows(load(&sandbox, &["--dry-run", "./dry.tar"]));
        assert_eq!(planned[0]["layers_sent"], 1, "{planned:?}");
        assert_eq!(top(&testbed, "sources-dry:v1"), "one");
    }
}

#[test]
fn what_comes_through_a_pipe_is_checked_and_what_the_node_has_is_left_out() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let base = base(500, 300_000);
    let load = |bytes: Vec<u8>| {
        piped(
            &mut sandbox.devnet_command(&["load", "-", "-o", "json"]),
            bytes,
        )
    };
    let mut seed = 0;
    for old in [true, false] {
        for wrap in [<[u8]>::to_vec, gzip, zstd] as [Wrap; 3] {
            seed += 1;
            let name = format!("sources-pipe-{seed}:v1");
            for text in ["one", "two"] {
                let text = format!("{text} {seed}");
                let layers = [base.clone(), layer(&[("top", text.as_bytes())])];
                let files = if old {
                    Files::docker(&name, &layers, Pack::Plain)
                } else {
                    Files::oci(&name, &layers, Pack::Plain)
                };
                let sent = rows(load(wrap(&files.tar())));
                assert_eq!(sent[0]["image"], name);
                assert_eq!(top(&testbed, &name), text);
                let bytes = sent[0]["bytes_sent"].as_u64().unwrap();
                // an archive of docker's old kind does not tell what its layers are
                assert_eq!(bytes < 20_000, !old, "{sent:?}");
            }
        }
    }
    // what `docker save` writes
    docker(
        &testbed,
        "node",
        &["tag", "sources-pipe-1:v1", "sources-pipe-saved:v1"],
    )
    .ok();
    let saved = sandbox.home().join("saved.tar");
    let path = saved.display().to_string();
    docker(
        &testbed,
        "node",
        &["save", "-o", &path, "sources-pipe-saved:v1"],
    )
    .ok();
    docker(&testbed, "node", &["rmi", "sources-pipe-saved:v1"]).ok();
    rows(load(std::fs::read(saved).unwrap()));
    assert_eq!(top(&testbed, "sources-pipe-saved:v1"), "two 1");
}

#[test]
fn a_layer_that_a_node_has_on_another_base_can_not_come_through_a_pipe_and_can_from_a_file() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let moved = layer(&[("moved", &crate::support::archive::noise(9, 20_000))]);
    let file = sandbox.home().join("a.tar");
    for (name, below) in [("sources-moved:v1", 600), ("sources-moved:v2", 601)] {
        let layers = [base(below, 1000), moved.clone(), layer(&[("top", b"m")])];
        let bytes = Files::oci(name, &layers, Pack::Plain).tar();
        std::fs::write(&file, &bytes).unwrap();
        if name.ends_with("v2") && !has_containerd_store(&testbed) {
            let said = piped(&mut sandbox.devnet_command(&["load", "-"]), bytes).fails(1);
            assert!(
                said.contains("on another base only") && said.contains("write it to a file"),
                "{said}"
            );
            docker(&testbed, "node", &["image", "inspect", name]).fails(1);
        }
        sandbox.devnet(&["load", "./a.tar"]).ok();
        assert_eq!(top(&testbed, name), "m");
    }
}
