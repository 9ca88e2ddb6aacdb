//! devnet and docker build the same image from the same context: one engine, one cache, so equal
//! layers mean that the engine was told the same of every file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::build::Build;
use crate::support::{Output, missing};

/// Builds with both, docker first, and compares. `None` where docker can't build.
#[track_caller]
fn same(build: &Build, what: &str, arguments: &[&str]) -> Option<()> {
    let context = build.context();
    let (theirs_name, ours_name) = names(build);
    let mut docker = vec!["-q", "-t", &theirs_name];
    docker.extend(arguments);
    docker.push(context.to_str().unwrap());
    let theirs = build.docker_build(&docker)?;
    let mut devnet = vec!["--progress", "plain", "-t", &ours_name];
    devnet.extend(arguments);
    let ours = build.run(&devnet);
    assert_eq!((theirs.code, ours.code), (0, 0), "{what}: {theirs}\n{ours}");
    assert!(
        ours.stderr.contains("CACHED"),
        "{what}: not docker's layers: {ours}"
    );
    assert_eq!(
        build.layers(&theirs_name),
        build.layers(&ours_name),
        "{what}"
    );
    Some(())
}

/// Image names of this test alone: others run beside it.
fn names(build: &Build) -> (String, String) {
    let home = build.sandbox.home().file_name().unwrap().to_str().unwrap();
    let home = home.trim_start_matches('.').to_lowercase();
    (format!("same-{home}:docker"), format!("same-{home}:devnet"))
}

#[test]
fn a_context_with_every_kind_of_file_gives_dockers_layers() {
    let dockerfile = "FROM scratch AS a\nCOPY . /all\nFROM scratch\n\
                      COPY link/inner odd* /some/\nCOPY --from=a /all/dir /dir\nCMD [\"x\"]\n";
    let Some(build) = Build::new(&[
        ("Dockerfile", dockerfile),
        ("empty", ""),
        ("dir/inner", "in"),
        ("dir/z-hard", "hard"),
        ("odd name with  blanks", "1"),
        ("odd-ünïcödé-名", "2"),
        ("odd*[star]?", "3"),
        ("odd\nline", "4"),
        ("odd'quote\"", "5"),
        ("-dash", "6"),
        ("a-b/x", "order"),
        ("a/x", "order"),
        ("a.b", "order"),
    ]) else {
        return;
    };
    let at = |name: &str| build.context().join(name);
    symlink("dir", at("link")).unwrap();
    symlink("nowhere/at/all", at("dangling")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    fs::hard_link(at("dir/z-hard"), at("a-hard")).unwrap();
    fs::hard_link(at("dir/z-hard"), at("dir/hard")).unwrap();
    fs::create_dir(at("nothing-in-it")).unwrap();
    Output::of(build.sandbox.command("mkfifo").arg(at("fifo"))).ok();
    for (name, mode) in [
        ("empty", 0o4711),
        ("dir/inner", 0o000),
        ("dir", 0o1777),
        ("a", 0o2750),
    ] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let set = "import os, sys; os.setxattr(sys.argv[1], 'user.devnet', b'x')";
    let mut python = build.sandbox.command("python3");
    let set = Output::of(python.args(["-c", set]).arg(at("a/x")));
    if set.code != 0 {
        missing("a file system with user attributes for temporary files");
    }
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    same(&build, "every kind", &[]);
}

#[test]
fn every_ignore_file_means_to_devnet_what_it_means_to_docker() {
    let recorded: Value =
        serde_json::from_str(include_str!("../data/dockerignore/docker-28.json")).unwrap();
    let dockerfile = "FROM scratch\nCOPY . /\nCMD [\"x\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let names = |of: &Value| -> BTreeSet<String> {
        let of = of.as_array().unwrap();
        of.iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let mut files = names(&recorded["files"]);
    for name in &files {
        build.write(name, "");
    }
    files.extend(["Dockerfile".to_owned(), ".dockerignore".to_owned()]);
    // docker 20.10's own matcher read some of these otherwise than every later one
    let is_new = build.major() >= 23;
    for (place, row) in recorded["rows"].as_array().unwrap().iter().enumerate() {
        let text = row["ignore"].as_str().unwrap();
        build.write(".dockerignore", text);
        if let Some(error) = row["error"].as_str() {
            let said = build.run(&[]).fails(1);
            assert!(said.contains("pattern"), "{text:?}: {error}: {said}");
            continue;
        }
        let out = format!("out-{place}");
        let output = build.run(&["-o", &format!("type=local,dest={out}")]);
        assert_eq!(output.code, 0, "{text:?}: {output}");
        let left = files_below(&build.sandbox.home().join(&out));
        let expected: BTreeSet<String> = files
            .difference(&names(&row["left_out"]))
            .cloned()
            .collect();
        assert_eq!(left, expected, "{text:?}");
        // and the engine of today agrees, to the byte
        if is_new && place % 8 == 0 {
            let _no_docker = same(&build, &format!("{text:?}"), &[]);
        }
    }
}

/// The regular files below a folder.
fn files_below(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let path = path.strip_prefix(root).unwrap();
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn arguments_labels_targets_and_named_contexts_give_dockers_image() {
    let dockerfile = "ARG BASE=scratch\nFROM scratch AS one\nARG WHAT\nCOPY $WHAT /x\n\
                      FROM one\nARG MORE=1\nENV MORE=$MORE\nLABEL in=file\nCOPY other /\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile), ("a", "a"), ("other", "o")]) else {
        return;
    };
    let arguments = [
        "--build-arg",
        "WHAT=a",
        "--build-arg",
        "MORE=2",
        "--label",
        "k=v w",
    ];
    let Some(()) = same(&build, "arguments", &arguments) else {
        return;
    };
    let (theirs_name, ours_name) = names(&build);
    let config = |image: &str| {
        build
            .docker(&[
                "image",
                "inspect",
                "-f",
                "{{json .Config.Env}} {{json .Config.Labels}}",
                image,
            ])
            .ok()
    };
    assert_eq!(config(&theirs_name), config(&ours_name));
    same(
        &build,
        "target",
        &["--build-arg", "WHAT=a", "--target", "one"],
    );
    let more = build.sandbox.home().join("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("m"), "m").unwrap();
    build.write(
        "Dockerfile",
        "FROM scratch\nCOPY --from=extra m /\nCOPY a /\n",
    );
    let arguments = ["--build-context", "extra=more"];
    if build.major() < 23 {
        let stderr = build.run(&arguments).fails(1);
        assert!(stderr.contains("knows no named contexts"), "{stderr}");
        return;
    }
    same(&build, "named context", &arguments);
}
