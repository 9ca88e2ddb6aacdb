//! `devnet load` of archives that are broken or hostile: a clear error, its exit code, nothing
//! named on the node, and every image that was there is still there.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::archive::{
    Files, Pack, base, blob_path, config, digest, gzip, here, layer, named, noise, zstd,
};
use crate::support::{Output, Sandbox, docker, testbed};

/// A bad source: its description, the bytes, the exit code, and the words of the error.
struct Case(&'static str, Vec<u8>, i32, &'static [&'static str]);

const NAME: &str = "sources-bad:v1";

fn layers() -> Vec<Vec<u8>> {
    vec![
        layer(&[("noise", &noise(7, 60_000))]),
        layer(&[("top", b"bad")]),
    ]
}

fn oci(change: impl FnOnce(&mut Files, &mut Value)) -> Vec<u8> {
    let mut files = Files::default();
    let mut descriptor = files.image(&layers(), Pack::Plain, here());
    change(&mut files, &mut descriptor);
    files.index(&[named(descriptor, NAME)]);
    files.tar()
}

/// An archive of docker's old kind whose `manifest.json` is changed.
fn old(change: impl FnOnce(&mut Files, &mut Value)) -> Vec<u8> {
    let mut files = Files::docker(NAME, &layers(), Pack::Plain);
    let (path, bytes) = files.0.pop().unwrap();
    let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut files, &mut manifest[0]);
    files.add(&path, manifest.to_string());
    files.tar()
}

/// The same, with a link in the place of the first layer.
fn linked(kind: tar::EntryType, to: &str) -> Vec<u8> {
    let rest = old(|files, _| {
        files.0.remove(0);
    });
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_entry_type(kind);
    tar.append_link(&mut header, "0/layer.tar", to).unwrap();
    let mut bytes = tar.get_ref().clone();
    bytes.extend(rest);
    bytes
}

/// A manifest that is changed after it was made: its digest is right.
fn manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    oci(|files, descriptor| {
        let path = blob_path(descriptor["digest"].as_str().unwrap());
        let place = files
            .0
            .iter()
            .position(|(other, _)| *other == path)
            .unwrap();
        let mut value: Value = serde_json::from_slice(&files.0.remove(place).1).unwrap();
        change(&mut value);
        *descriptor = files.blob(
            value.to_string().into_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        );
    })
}

fn cases() -> Vec<Case> {
    let good = oci(|_, _| ());
    let half = good.len() / 2;
    let mut flipped = good.clone();
    // within the first layer's noise
    let place = good.windows(6).position(|part| part == b"noise\0").unwrap() + 2000;
    flipped[place] ^= 1;
    let mut header = good.clone();
    header[3] ^= 1;
    let gz = gzip(&good);
    let zst = zstd(&good);
    let many: Vec<Vec<u8>> = vec![layer(&[("x", b"x")]); 2_000];
    vec![
        Case("an empty file", vec![], 1, &["no image archive", "empty"]),
        Case(
            "text",
            b"not an archive\n".to_vec(),
            1,
            &["no image archive"],
        ),
        Case("noise", noise(3, 4096), 1, &["no image archive"]),
        Case("zeros", vec![0; 10_240], 1, &["no image archive"]),
        Case("a broken header", header, 1, &["no image archive"]),
        Case("cut in half", good[..half].to_vec(), 1, &["breaks off"]),
        Case(
            "cut after a header",
            good[..512].to_vec(),
            1,
            &["breaks off"],
        ),
        Case(
            "gzip cut in half",
            gz[..gz.len() / 2].to_vec(),
            1,
            &["broken"],
        ),
        Case(
            "zstd cut in half",
            zst[..zst.len() / 2].to_vec(),
            1,
            &["broken"],
        ),
        Case(
            "xz",
            b"\xfd7zXZ\0\0\0rest of it".to_vec(),
            1,
            &["is broken", "XZ stream header"],
        ),
        Case(
            "a flipped bit",
            flipped,
            1,
            &["content of the layer", "another"],
        ),
        Case(
            "a layer that is not its diff ID",
            old(|files, _| files.0[0].1 = layer(&[("other", b"")])),
            1,
            &["content of the layer", "another"],
        ),
        Case(
            "a packed layer that is not its diff ID",
            old(|files, _| files.0[0].1 = gzip(&layer(&[("other", b"")]))),
            1,
            &["content of the layer", "another"],
        ),
        Case(
            "a container's files",
            layer(&[("etc/passwd", b"root")]),
            1,
            &[
                "neither an `index.json` nor a `manifest.json`",
                "docker export",
            ],
        ),
        Case(
            "no configuration",
            old(|files, manifest| {
                let path = manifest["Config"].as_str().unwrap().to_owned();
                files.0.retain(|(other, _)| *other != path);
            }),
            1,
            &["the configuration", "is missing"],
        ),
        Case(
            "no configuration in a layout",
            oci(|files, _| {
                let config = digest(config(&layers(), here()).to_string().as_bytes());
                files.0.retain(|(path, _)| *path != blob_path(&config));
            }),
            1,
            &["the configuration sha256:", "is missing"],
        ),
        Case(
            "another configuration",
            old(|files, manifest| {
                let path = manifest["Config"].as_str().unwrap().to_owned();
                files.add(&path, config(&layers()[..1], here()).to_string());
            }),
            1,
            &["is another"],
        ),
        Case(
            "a layer too few",
            old(|_, manifest| {
                manifest["Layers"].as_array_mut().unwrap().pop();
            }),
            1,
            &["lists 1 layers, its configuration 2"],
        ),
        Case(
            "a layer that is not there",
            old(|files, _| {
                files.0.remove(0);
            }),
            1,
            &["neither the archive nor the node has it"],
        ),
        Case(
            "a foreign layer",
            manifest(|value| {
                let foreign = digest(b"elsewhere");
                value["layers"][0] = json!({
                    "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                    "digest": foreign, "size": 9, "urls": ["https://example.invalid/layer"],
                });
            }),
            1,
            &["foreign layer", "https://example.invalid/layer"],
        ),
        Case(
            "a path that climbs out",
            old(|_, manifest| manifest["Layers"][0] = json!("../../../etc/passwd")),
            1,
            &["`../../../etc/passwd` leads out of it"],
        ),
        Case(
            "an absolute path",
            old(|_, manifest| manifest["Layers"][0] = json!("/etc/passwd")),
            1,
            &["`/etc/passwd` leads out of it"],
        ),
        Case(
            "a configuration outside",
            old(|_, manifest| manifest["Config"] = json!("/etc/passwd")),
            1,
            &["`/etc/passwd` leads out of it"],
        ),
        Case(
            "a symbolic link to a file of this computer",
            linked(tar::EntryType::Symlink, "/etc/passwd"),
            1,
            &["leads out of it"],
        ),
        Case(
            "a symbolic link that climbs out",
            linked(tar::EntryType::Symlink, "../../etc/passwd"),
            1,
            &["leads out of it"],
        ),
        Case(
            "a hard link that climbs out",
            linked(tar::EntryType::Link, "../etc/passwd"),
            1,
            &["leads out of it"],
        ),
        Case(
            "a link to itself",
            linked(tar::EntryType::Symlink, "layer.tar"),
            1,
            &["goes round"],
        ),
        Case(
            "one file for two layers",
            old(|_, manifest| manifest["Layers"][1] = json!("0/layer.tar")),
            1,
            &["two different layers"],
        ),
        Case(
            "2,000 layers",
            Files::oci(NAME, &many, Pack::Plain).tar(),
            1,
            &["has 2000 layers"],
        ),
        Case(
            "a manifest of 9 MB",
            old(|_, manifest| manifest["Fill"] = json!("x".repeat(9 << 20))),
            1,
            &["`manifest.json` has", "are allowed"],
        ),
        Case(
            "a configuration of 9 MB",
            old(|files, manifest| {
                let mut config = config(&layers(), here());
                config["fill"] = json!("x".repeat(9 << 20));
                files.add("large", config.to_string());
                manifest["Config"] = json!("large");
            }),
            1,
            &["`large` has", "are allowed"],
        ),
        Case(
            "a digest that is a path",
            oci(|_, descriptor| descriptor["digest"] = json!("sha256:../../../etc/passwd")),
            1,
            &["is no digest"],
        ),
        Case(
            "a manifest that is not there",
            oci(|_, descriptor| descriptor["digest"] = json!(digest(b"none"))),
            1,
            &["none of the manifests"],
        ),
        Case(
            "a chart",
            manifest(|value| {
                value["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
            }),
            1,
            &["holds no container image", "helm"],
        ),
        Case(
            "a name that is none",
            old(|_, manifest| manifest["RepoTags"] = json!(["../\u{1b}[31m:v1"])),
            1,
            &["is no name for an image"],
        ),
        Case(
            "no JSON",
            old(|files, _| files.add("index.json", "{]")),
            1,
            &["`index.json`"],
        ),
        Case(
            "no image at all",
            Files(vec![("manifest.json".into(), b"[]".to_vec())]).tar(),
            1,
            &["has no image in it"],
        ),
    ]
}

fn all_images(testbed: &Path) -> String {
    docker(
        testbed,
        "node",
        &[
            "images",
            "-a",
            "--no-trunc",
            "--format",
            "{{.Repository}}:{{.Tag}} {{.ID}}",
        ],
    )
    .ok()
}

fn piped(sandbox: &Sandbox, bytes: Vec<u8>) -> Output {
    crate::support::archive::piped(&mut sandbox.devnet_command(&["load", "-"]), bytes)
}

#[test]
fn what_is_broken_or_hostile_is_refused_and_nothing_is_named() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    // other tests load meanwhile: what this one compares is its own
    let kept = "sources-kept:v1";
    let file = sandbox.home().join("it.tar");
    let good = [base(400, 1000), layer(&[("top", b"kept")])];
    std::fs::write(&file, Files::oci(kept, &good, Pack::Plain).tar()).unwrap();
    let file = file.display().to_string();
    sandbox.devnet(&["load", &file]).ok();
    let of_kept = |all: &str| {
        all.lines()
            .filter(|line| line.starts_with("sources-kept"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = of_kept(&all_images(&testbed));
    assert_eq!(before.len(), 1);
    let mut wrong = Vec::new();
    for Case(what, bytes, code, words) in cases() {
        std::fs::write(&file, &bytes).unwrap();
        for (way, out) in [
            ("file", sandbox.devnet(&["load", &file])),
            ("pipe", piped(&sandbox, bytes)),
        ] {
            let said = words.iter().all(|word| out.stderr.contains(word));
            if out.code != code || !said || out.stderr.contains('\u{1b}') {
                wrong.push(format!("{what}, {way}: exit {code}, {words:?}: {out}"));
            }
            let after = all_images(&testbed);
            assert!(!after.contains("sources-bad"), "{what}, {way}: {after}");
            assert_eq!(of_kept(&after), before, "{what}, {way}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        kept,
        "/bin/busybox",
        "cat",
        "/top",
    ];
    assert_eq!(docker(&testbed, "node", &run).ok(), "kept");
}

#[test]
fn a_folder_that_is_no_layout_or_has_a_pipe_for_a_layer_is_refused() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let folder = sandbox.home().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let said = sandbox.devnet(&["load", "./folder"]).fails(1);
    assert!(said.contains("no OCI image layout"), "{said}");
    let files = Files::oci(NAME, &layers(), Pack::Plain);
    files.folder(&folder);
    let blob = folder.join(blob_path(&digest(&layers()[0])));
    std::fs::remove_file(&blob).unwrap();
    let mut mkfifo = sandbox.command("mkfifo");
    Output::of(mkfifo.arg(&blob)).ok();
    let said = sandbox.devnet(&["load", "./folder"]).fails(1);
    assert!(said.contains("is no file"), "{said}");
    let said = sandbox.devnet(&["load", "/dev/null"]).fails(1);
    assert!(said.contains("neither a file nor a folder"), "{said}");
}
