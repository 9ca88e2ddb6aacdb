//! `devnet build` against a real engine, over TLS as minikube offers it.

use std::fs;

use crate::support::build::{Build, exists, sent};
use crate::support::proxy::Proxy;
use crate::support::{Output, until};

const SMALL: &str = "FROM scratch\nCOPY . /\nCMD [\"x\"]\n";

#[test]
fn an_image_is_built_over_tls_named_and_its_id_is_all_that_stdout_gets() {
    let Some(build) = Build::new(&[("Dockerfile", SMALL), ("a/b", "1")]) else {
        return;
    };
    let id = build
        .run(&["-q", "-t", "one:1", "-t", "two:2", "--label", "k=v"])
        .ok();
    for name in ["one:1", "two:2"] {
        let found = build.docker(&[
            "image",
            "inspect",
            "-f",
            "{{.Id}} {{.Config.Labels.k}}",
            name,
        ]);
        assert_eq!(found.ok().trim(), format!("{} v", id.trim()));
    }
    let loud = build.run(&["--iidfile", "id", "--progress", "plain", "--label", "k=v"]);
    assert!(loud.stderr.contains("COPY . /"), "{loud}");
    assert_eq!(loud.ok(), "");
    assert_eq!(
        fs::read_to_string(build.sandbox.home().join("id")).unwrap(),
        id.trim()
    );
}

#[test]
fn only_what_changed_crosses_the_wire_and_two_dockerfiles_do_not_disturb_each_other() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nCOPY big /\nCOPY src /src\n"),
        ("other", "FROM scratch\nCOPY src/one /\n"),
        ("src/one", "1"),
        ("src/two", "22"),
    ]) else {
        return;
    };
    build.write("big", &"x".repeat(3_000_000));
    let bytes = |arguments: &[&str]| {
        let output = build.run(arguments);
        assert_eq!(output.code, 0, "{output}");
        sent(&output.stderr).2
    };
    assert!(bytes(&["-v"]) > 3_000_000, "the first build sends all");
    let dockerfiles = fs::metadata(build.context().join("Dockerfile"))
        .unwrap()
        .len();
    assert!(bytes(&["-v"]) <= dockerfiles, "nothing changed");
    build.write("src/two", "333");
    assert!(bytes(&["-v"]) <= dockerfiles + 3, "three bytes changed");
    let state = build.sandbox.home().join("state");
    assert!(exists(&state), "the computer's own name is kept");
    bytes(&["-v", "-f", "context/other"]);
    assert!(
        bytes(&["-v"]) <= dockerfiles,
        "another Dockerfile was built in between"
    );
}

#[test]
fn the_wire_carries_what_changed_and_five_percent_more_at_most() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]) else {
        return;
    };
    for file in 0..8 {
        build.write(&format!("big{file}"), &format!("{file}").repeat(2_000_000));
    }
    for file in 0..100 {
        build.write(&format!("src/{file}"), "small");
    }
    let proxy = Proxy::new(build.sandbox.home(), build.testbed.join("node.sock"), &[]);
    let uploaded = || {
        Output::of(&mut build.command_at(&proxy.url(), &["-q"])).ok();
        proxy.uploaded()
    };
    assert!(uploaded() > 16_000_000, "the first build sends all");
    let nothing = uploaded();
    assert!(nothing < 60_000, "nothing changed: {nothing} bytes");
    build.write("big3", &"y".repeat(2_000_000));
    let one = uploaded();
    assert!(
        (2_000_000..=2_100_000).contains(&one),
        "two million bytes changed, {one} went"
    );
}

#[test]
fn ignore_files_are_honoured_and_the_dockerfiles_own_comes_first() {
    let Some(build) = Build::new(&[
        ("Dockerfile", SMALL),
        ("own.Dockerfile", SMALL),
        (
            ".dockerignore",
            "# no\n**/*.log\nDocker*\nown*\n.dockerignore\nsub\n!sub/keep\n",
        ),
        ("own.Dockerfile.dockerignore", "*\n!a.log\n"),
        ("a.log", ""),
        ("b", ""),
        ("sub/keep/x.log", ""),
        ("sub/keep/y", ""),
        ("sub/drop", ""),
    ]) else {
        return;
    };
    build.run(&["-q", "-t", "ignored:1"]).ok();
    // `!sub/keep` stands after `*.log` and takes all below it back
    assert_eq!(
        build.files("ignored:1"),
        ["b", "sub/", "sub/keep/", "sub/keep/x.log", "sub/keep/y"]
    );
    build
        .run(&["-q", "-t", "ignored:2", "-f", "context/own.Dockerfile"])
        .ok();
    assert_eq!(build.files("ignored:2"), ["a.log"]);
}

#[test]
fn a_build_that_fails_says_where_and_is_never_exit_0() {
    let dockerfile = "FROM scratch AS base\nCOPY bin /bin\nFROM base\n\
                      RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo before; exit 7\"]\nCMD x\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile), ("bin/x", "")]) else {
        return;
    };
    fs::copy("/bin/busybox", build.context().join("bin/busybox")).unwrap();
    let iid = build.sandbox.home().join("id");
    fs::write(&iid, "of an older build").unwrap();
    let stderr = build
        .run(&["-q", "--network", "none", "-t", "bad:1", "--iidfile", "id"])
        .fails(1);
    assert!(stderr.contains("Dockerfile:4"), "{stderr}");
    assert!(stderr.contains(">>> RUN"), "{stderr}");
    assert!(stderr.contains("before\n"), "{stderr}");
    assert!(stderr.contains("exit code: 7"), "{stderr}");
    assert!(
        !exists(&iid),
        "an old ID must not be taken for this build's"
    );
    build.docker(&["image", "inspect", "bad:1"]).fails(1);
    build
        .run(&[
            "-q",
            "--network",
            "none",
            "--target",
            "base",
            "-t",
            "good:1",
        ])
        .ok();
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPPY a b\n"), ("nofile", "")])
    else {
        return;
    };
    let stderr = build.run(&["-q"]).fails(1);
    assert!(stderr.contains("COPPY"), "{stderr}");
    let stderr = build.run(&["-f", "nowhere/Dockerfile"]).fails(1);
    assert!(
        stderr.contains("no Dockerfile at `nowhere/Dockerfile`"),
        "{stderr}"
    );
    fs::remove_dir_all(build.context()).unwrap();
    let stderr = build.run(&["-q"]).fails(1);
    assert!(stderr.contains("no build context at"), "{stderr}");
}

#[test]
fn an_interrupted_build_is_cancelled_in_the_engine() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\n\
                      RUN [\"/bin/busybox\", \"sleep\", \"77\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    fs::create_dir_all(build.context().join("bin")).unwrap();
    fs::copy("/bin/busybox", build.context().join("bin/busybox")).unwrap();
    let sleeps = || {
        fs::read_dir("/proc").unwrap().flatten().any(|process| {
            fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| line.starts_with(b"/bin/busybox\0sleep\x0077\0"))
        })
    };
    let mut child = build.command(&[
        "--network",
        "none",
        "--progress",
        "plain",
        "-o",
        "type=tar,dest=out.tar",
    ]);
    let mut child = child.stderr(std::process::Stdio::null()).spawn().unwrap();
    until("the step runs", sleeps);
    let pid = child.id().to_string();
    Output::of(build.sandbox.command("kill").args(["-INT", &pid])).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    until("the step ends", || !sleeps());
    let left: Vec<_> = fs::read_dir(build.sandbox.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("out.tar"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_long_step_and_thousands_of_files_are_no_trouble() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nCOPY many /many\n\
                      RUN [\"/bin/busybox\", \"sleep\", \"5\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let build = build.with_busybox();
    for number in 0..6000 {
        build.write(&format!("many/{}/{number}", number % 7), "x");
    }
    let output = build.run(&["-v", "--network", "none", "--progress", "plain"]);
    assert_eq!(output.code, 0, "{output}");
    let (files, entries, _bytes) = sent(&output.stderr);
    assert!(files >= 6001 && entries >= 6010, "{output}");
}
