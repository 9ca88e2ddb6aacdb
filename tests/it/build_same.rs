//! devnet and docker build the same image from the same context: one engine, one cache, so equal
//! layers mean that the engine was told the same of every file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::Output;
use crate::support::build::Build;

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
    // not every file system has user attributes
    let _unsupported = build
        .sandbox
        .command("setfattr")
        .args(["-n", "user.devnet", "-v", "x"])
        .arg(at("a/x"))
        .status();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    same(&build, "every kind", &[]);
}

#[test]
fn every_ignore_file_means_to_devnet_what_it_means_to_docker() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nCOPY . /\nCMD [\"x\"]\n"),
        ("README.md", ""),
        ("README-secret.md", ""),
        ("a.txt", ""),
        ("b.go", ""),
        ("docs/README.md", ""),
        ("docs/api/a.md", ""),
        ("docs/api/b.txt", ""),
        ("node_modules/x/index.js", ""),
        ("src/node_modules/y", ""),
        ("src/main.go", ""),
        ("src/main_test.go", ""),
        ("temp/a", ""),
        ("temp1/b", ""),
        ("tempa/c/d", ""),
        ("deep/temp/x", ""),
        ("we(i)rd+$.txt", ""),
        ("[x]", ""),
        ("back\\slash", ""),
        (".git/HEAD", ""),
        (".env", ""),
        ("ünï", ""),
    ]) else {
        return;
    };
    let table = [
        "",
        "# comment\n",
        " # no comment, a name\n",
        "*/temp*\n",
        "*/*/temp*\n",
        "temp?\n",
        "*.md\n!README.md\n",
        "*.md\n!README*.md\nREADME-secret.md\n",
        "*.md\nREADME-secret.md\n!README*.md\n",
        "**/*.go\n",
        "**/*_test.go\n",
        "**/node_modules\n",
        "**/node_modules/**\n",
        "node_modules/\n",
        "/node_modules\n",
        "./src\n",
        "src/../docs\n",
        "  src  \n\n\n  docs\n",
        "*\n!src\n",
        "*\n!src/main.go\n",
        "*\n!docs/api/*.md\n",
        "**\n!**/*.md\n",
        "docs\n!docs/api\ndocs/api/b.txt\n",
        "docs/*\n!docs/api\n",
        "docs/**\n!docs/README.md\n",
        "**/api/**\n",
        "doc**\n",
        "**d\n",
        "tem[p]?\n",
        "temp[^1]\n",
        "temp[0-9]\n",
        "\\[x\\]\n",
        "we(i)rd+$.txt\n",
        "we(i)rd*\n",
        ".*\n",
        ".git\n.env\n",
        "!*.md\n",
        "ünï\n",
        "?nï\n",
        "back\\\\slash\n",
        "**\\slash\n",
        "Dockerfile\n.dockerignore\n",
        ".\n!src\n",
        "a.txt\r\nb.go\r\n",
        "\u{feff}a.txt\n",
        "a.txt/**\n",
        "src/**/main.go\n",
        "s*c/m?in.go\n",
        "*/\n",
        "/\n",
        "..\n",
        "../context/src\n",
        "TEMP\n",
    ];
    let old = build.major() < 23;
    for text in table {
        // docker 20.10's own matcher read these differently from every later one
        if old && (text.contains(['!', '$', '(']) || text.contains("**")) {
            continue;
        }
        build.write(".dockerignore", text);
        if same(&build, &format!("{text:?}"), &[]).is_none() {
            return;
        }
    }
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
