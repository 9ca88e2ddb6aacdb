//! The outputs of a build: folders, archives, the engine, several of them at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Output;
use crate::support::build::{Build, exists};
use crate::support::registry::digest;

const TWO_LAYERS: &str = "FROM scratch\nCOPY a /d/a\nCOPY b /b\nCMD [\"x\"]\n";

fn build() -> Option<Build> {
    Build::new(&[("Dockerfile", TWO_LAYERS), ("a", "text"), ("b", "more")])
}

/// The files of an archive.
fn unpacked(build: &Build, archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir_in(build.sandbox.home()).unwrap();
    let mut tar = build.sandbox.command("tar");
    Output::of(tar.arg("-xf").arg(archive).arg("-C").arg(folder.path())).ok();
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder.path()).unwrap();
                files.insert(name.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn images(build: &Build) -> Vec<String> {
    let mut all: Vec<String> = build
        .docker(&[
            "images",
            "-a",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.Repository}}:{{.Tag}}",
        ])
        .ok()
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    all.sort();
    all
}

#[test]
fn a_result_goes_to_a_folder_a_tar_or_stdout() {
    let Some(build) = build() else { return };
    let home = build.sandbox.home().to_owned();
    assert_eq!(build.run(&["-o", "out/deep"]).ok(), "");
    assert_eq!(
        fs::read_to_string(home.join("out/deep/d/a")).unwrap(),
        "text"
    );
    build.run(&["-o", "type=tar,dest=out.tar"]).ok();
    let list = Output::of(build.sandbox.command("tar").args(["-tf", "out.tar"])).ok();
    assert_eq!(list, "b\nd/\nd/a\n");
    let mut command = build.command(&["-o", "-"]);
    assert!(command.output().unwrap().stdout.starts_with(b"b\0"));
}

#[test]
fn an_archive_holds_the_image_under_its_names_and_the_engine_keeps_nothing_of_it() {
    let Some(build) = build() else { return };
    let home = build.sandbox.home().to_owned();
    let label = format!("own={}", home.display());
    let before = images(&build);
    let run = |arguments: &[&str]| {
        let mut all = vec!["--label", &label, "-t", "archived:1", "-t", "archived/too"];
        all.extend(arguments);
        build.run(&all)
    };
    run(&["-o", "type=oci,dest=oci.tar"]).ok();
    run(&["-o", "type=docker,dest=docker.tar"]).ok();
    let ours = |image: &String| before.contains(image) || !image.contains("archived");
    assert!(images(&build).iter().all(ours), "{:?}", images(&build));
    let dangling = build.docker(&["images", "-q", "--filter", &format!("label={label}")]);
    assert_eq!(dangling.ok(), "", "only the archive has the image");
    let oci = unpacked(&build, &home.join("oci.tar"));
    for (path, content) in &oci {
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            assert_eq!(digest(content), format!("sha256:{hex}"));
        }
    }
    let json = |files: &BTreeMap<String, Vec<u8>>, path: &str| -> Value {
        serde_json::from_slice(&files[path]).unwrap()
    };
    assert_eq!(json(&oci, "oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = json(&oci, "index.json");
    let named: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            one["annotations"]["io.containerd.image.name"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(
        named,
        [
            "docker.io/library/archived:1",
            "docker.io/archived/too:latest"
        ]
    );
    let blob = |digest: &Value| {
        digest
            .as_str()
            .unwrap()
            .replace(':', "/")
            .replacen("", "blobs/", 1)
    };
    let mut manifest = json(&oci, &blob(&index["manifests"][0]["digest"]));
    if manifest["layers"].is_null() {
        // an engine that attests has an index between
        manifest = json(&oci, &blob(&manifest["manifests"][0]["digest"]));
    }
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        assert_eq!(layer["size"], oci[&blob(&layer["digest"])].len());
    }
    let config = json(&oci, &blob(&manifest["config"]["digest"]));
    assert_eq!(config["config"]["Labels"]["own"], home.to_str().unwrap());
    // docker takes it, with its names
    let docker = unpacked(&build, &home.join("docker.tar"));
    assert_eq!(
        json(&docker, "manifest.json")[0]["RepoTags"],
        serde_json::json!(["archived:1", "archived/too:latest"])
    );
    for name in ["archived:1", "archived/too:latest"] {
        build.docker(&["rmi", "-f", name]);
    }
    let archives: &[&str] = if build.containerd_store() {
        &["docker.tar", "oci.tar"]
    } else {
        // a graph driver's engine takes no archive without docker's manifest
        &["docker.tar"]
    };
    for archive in archives {
        build
            .docker(&["load", "-i", home.join(archive).to_str().unwrap()])
            .ok();
        assert_eq!(build.files("archived:1"), ["b", "d/", "d/a"]);
        build.docker(&["image", "inspect", "archived/too"]).ok();
        build.docker(&["rmi", "archived:1", "archived/too"]).ok();
    }
    // an image that was there before stays
    let id = run(&["-q"]).ok();
    run(&["-o", "type=docker,dest=docker.tar"]).ok();
    build.docker(&["image", "inspect", id.trim()]).ok();
    build.docker(&["rmi", "archived:1", "archived/too"]).ok();
}

#[test]
fn several_outputs_come_of_one_build() {
    let Some(build) = build() else { return };
    let home = build.sandbox.home().to_owned();
    let mut command = build.command(&[
        "-q",
        "--no-cache",
        "-t",
        "several:1",
        "-o",
        "out",
        "-o",
        "type=tar,dest=out.tar",
        "-o",
        "type=oci,dest=oci.tar",
        "-o",
        "type=docker,dest=-",
        "-o",
        "type=image",
        "--iidfile",
        "id",
    ]);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(fs::read_to_string(home.join("out/d/a")).unwrap(), "text");
    let list = Output::of(build.sandbox.command("tar").args(["-tf", "out.tar"])).ok();
    assert_eq!(list, "b\nd/\nd/a\n");
    assert!(unpacked(&build, &home.join("oci.tar")).contains_key("oci-layout"));
    // the ID would spoil the archive
    fs::write(home.join("stdout.tar"), &output.stdout).unwrap();
    assert!(unpacked(&build, &home.join("stdout.tar")).contains_key("manifest.json"));
    let id = build
        .docker(&["image", "inspect", "-f", "{{.Id}}", "several:1"])
        .ok();
    if !build.containerd_store() {
        assert_eq!(fs::read_to_string(home.join("id")).unwrap(), id.trim());
    }
    build.docker(&["rmi", "several:1"]).ok();
}

#[test]
fn a_context_on_stdin_has_as_many_outputs_as_the_engine_makes_at_once() {
    let Some(build) = build() else { return };
    let tar = build
        .sandbox
        .command("tar")
        .args(["-cf", "-", "-C", "context", "."])
        .output()
        .unwrap()
        .stdout;
    let output = build.with_input(&["-o", "out", "-o", "type=tar,dest=out.tar", "-"], &tar);
    if build.major() < 26 {
        assert!(output.fails(1).contains("can be read once"));
        return;
    }
    output.ok();
    let home = build.sandbox.home();
    assert_eq!(fs::read_to_string(home.join("out/d/a")).unwrap(), "text");
    assert!(exists(&home.join("out.tar")));
}

#[test]
fn a_place_that_can_not_be_written_is_told_before_the_build() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPPY a /\n"), ("a", "a")]) else {
        return;
    };
    let home = build.sandbox.home().to_owned();
    fs::create_dir(home.join("folder")).unwrap();
    fs::write(home.join("file"), "").unwrap();
    // the Dockerfile is wrong too: who gets to it has built
    for (output, code, why) in [
        ("type=tar,dest=folder", 1, "it is a folder"),
        ("type=oci,dest=nowhere/x.tar", 1, "`nowhere` does not exist"),
        ("type=docker,dest=file/x.tar", 1, "`file` is no folder"),
        ("file", 1, "`file` is no folder"),
        ("file/deep", 1, "`file` is no folder"),
        ("type=registry", 2, "no name to push to"),
        ("type=rar,dest=x", 2, "`type=rar` is not known"),
        (
            "type=oci,dest=x,tar=false",
            1,
            "only an archive can be written",
        ),
    ] {
        let stderr = build.run(&["-o", output]).fails(code);
        assert!(stderr.contains(why), "{output}: {stderr}");
        assert!(!stderr.contains("COPPY"), "{output}: {stderr}");
    }
    let stderr = build.run(&["-o", "x", "-o", "type=tar,dest=x"]).fails(2);
    assert!(stderr.contains("two outputs go to `x`"), "{stderr}");
    if !build.containerd_store() {
        let stderr = build
            .run(&["-o", "type=oci,dest=x.tar,compression=zstd"])
            .fails(1);
        assert!(
            stderr.contains("`--output type=oci,compression=zstd` needs"),
            "{stderr}"
        );
    }
    // a build that fails leaves nothing, and what was there stays
    fs::write(home.join("old.tar"), "old").unwrap();
    build
        .run(&["-o", "type=tar,dest=new.tar", "-o", "type=oci,dest=old.tar"])
        .fails(1);
    assert_eq!(fs::read_to_string(home.join("old.tar")).unwrap(), "old");
    let left: Vec<_> = fs::read_dir(&home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("devnet-part"))
        .collect();
    assert!(
        left.is_empty() && !exists(&home.join("new.tar")),
        "{left:?}"
    );
}
