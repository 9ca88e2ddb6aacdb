//! The flags of `devnet build` and the variables that docker knows: limits of steps, progress, metadata and
//! checks, and the dry run that tells of all flags.

use std::fs;

use crate::support::build::Build;

#[test]
fn a_dry_run_says_what_would_be_built_and_builds_nothing() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    let arguments = [
        "--dry-run",
        "-t",
        "dry:1",
        "--build-arg",
        "A=b",
        "--secret",
        "id=s,env=NOT_SET",
        "--ulimit",
        "nofile=5",
    ];
    let json = build.run(&arguments).ok();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["options"]["tags"][0], "dry:1");
    assert_eq!(plan["frontend_attributes"]["build-arg:A"], "b");
    assert_eq!(plan["frontend_attributes"]["ulimit"], "nofile=5:5");
    assert_eq!(plan["secrets"][0]["from"]["env"], "NOT_SET");
    build.docker(&["image", "inspect", "dry:1"]).fails(1);
}

#[test]
fn a_dry_run_tells_every_flag_that_was_given_and_touches_nothing() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\n"), ("other/x", "")]) else {
        return;
    };
    let home = build.sandbox.home().display().to_string();
    let json = build
        .run(&[
            "--dry-run",
            "--watch",
            "--iidfile",
            "id",
            "--metadata-file",
            "meta",
            "--target",
            "t",
            "--platform",
            "linux/amd64",
            "--ssh",
            "default=key",
            "--label",
            "l=1",
            "--annotation",
            "n=1",
            "--build-context",
            "o=context/other",
            "--network",
            "none",
            "--add-host",
            "h:1.2.3.4",
            "--shm-size",
            "1m",
            "--cgroup-parent",
            "/c",
            "--no-cache-filter",
            "s",
            "--pull",
            "--cache-from",
            "type=local,src=cache",
            "--cache-to",
            "type=inline",
            "-o",
            "out",
            "-o",
            "type=image",
            "--provenance=true",
            "--sbom=true",
        ])
        .ok();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (place, wanted) in [
        ("/nodes/0/engine", "tcp://127.0.0.2:2376"),
        ("/folders/named-o", &format!("{home}/context/other")),
        ("/folders/context", &format!("{home}/context")),
        ("/iidfile", "id"),
        ("/metadata_file", "meta"),
        ("/options/platforms/0", "linux/amd64"),
        ("/options/labels/l", "1"),
        ("/annotations/annotation.n", "1"),
        ("/ssh/0/paths/0", "key"),
        ("/frontend_attributes/target", "t"),
        ("/frontend_attributes/force-network-mode", "none"),
        ("/frontend_attributes/add-hosts", "h=1.2.3.4"),
        ("/frontend_attributes/shm-size", "1048576"),
        ("/frontend_attributes/cgroup-parent", "/c"),
        ("/frontend_attributes/no-cache", "s"),
        ("/frontend_attributes/image-resolve-mode", "pull"),
        ("/frontend_attributes/context:o", "local:named-o"),
        ("/frontend_attributes/attest:provenance", "mode=min"),
        ("/frontend_attributes/attest:sbom", ""),
        ("/cache_from/0/src", "cache"),
        ("/cache_to/0/type", "inline"),
        ("/outputs/0/dest", "out"),
        ("/outputs/1/type", "image"),
    ] {
        let found = plan.pointer(place).and_then(serde_json::Value::as_str);
        assert_eq!(found, Some(wanted), "{place} in {plan:#}");
    }
    assert_eq!(plan["watch"], true);
    let left: Vec<_> = fs::read_dir(build.sandbox.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| ["id", "meta", "out", "cache"].contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn variables_that_docker_knows_are_honoured() {
    let Some(mut build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")])
    else {
        return;
    };
    build.sandbox = build
        .sandbox
        .env("SOURCE_DATE_EPOCH", "1000000000")
        .env("BUILDKIT_PROGRESS", "rawjson");
    let output = build.run(&["-t", "dated:1"]);
    assert_eq!(output.code, 0, "{output}");
    for line in output.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    // engines up to 22 know no such thing
    if build.major() >= 23 {
        let created = build.docker(&["image", "inspect", "-f", "{{.Created}}", "dated:1"]);
        assert_eq!(created.ok().trim(), "2001-09-09T01:46:40Z");
    }
    // a flag is nearer than a variable
    let output = build.run(&["--progress", "plain"]);
    assert!(output.stderr.starts_with('#'), "{output}");
    build.sandbox = build.sandbox.env("BUILDKIT_PROGRESS", "loud");
    let stderr = build.run(&[]).fails(2);
    assert!(
        stderr.contains("`BUILDKIT_PROGRESS=loud` is no kind"),
        "{stderr}"
    );
    build.run(&["-q"]).ok();
    build.sandbox = build.sandbox.env("DOCKER_BUILDKIT", "maybe");
    let stderr = build.run(&["-q"]).fails(2);
    assert!(stderr.contains("neither 0 nor 1"), "{stderr}");
}

#[test]
fn steps_run_under_the_control_group_that_was_asked_for() {
    let dockerfile =
        "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"cat\", \"/proc/self/cgroup\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let build = build.with_busybox();
    let output = build.run(&[
        "--progress",
        "plain",
        "--network",
        "none",
        "--cgroup-parent",
        "/devnet-test",
    ]);
    assert_eq!(output.code, 0, "{output}");
    if build.major() < 23 {
        assert!(
            output.stderr.contains("knows no `--cgroup-parent`"),
            "{output}"
        );
        return;
    }
    assert!(output.stderr.contains("/devnet-test/"), "{output}");
}

#[test]
fn the_metadata_file_says_what_the_engine_made() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    let id = build
        .run(&["-q", "-t", "meta:1", "--metadata-file", "meta.json"])
        .ok();
    let text = fs::read_to_string(build.sandbox.home().join("meta.json")).unwrap();
    let meta: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(meta["containerimage.digest"], id.trim());
    // engines up to 20.10 say less
    assert!(
        build.major() < 23
            || meta["image.name"]
                .as_str()
                .is_some_and(|name| name.contains("meta:1")),
        "{text}"
    );
}

#[test]
fn json_progress_is_one_object_a_line_and_warnings_are_told() {
    let dockerfile = "FROM scratch\nENV a b\nCOPY a /\nMAINTAINER me\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile), ("a", "a")]) else {
        return;
    };
    let output = build.run(&["--progress", "rawjson"]);
    let lines: Vec<serde_json::Value> = output
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["vertexes"].as_array())
        .flatten()
        .filter_map(|vertex| vertex["name"].as_str())
        .collect();
    assert!(
        names.iter().any(|name| name.contains("COPY a /")),
        "{names:?}"
    );
    if build.major() >= 27 {
        let stderr = build.run(&[]).stderr;
        assert!(stderr.contains("warning: LegacyKeyValueFormat"), "{stderr}");
    }
}

#[test]
fn what_needs_the_other_image_store_is_refused_by_name_or_done() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    for flag in ["--provenance=true", "--annotation=a=b"] {
        let output = build.run(&["-q", "-t", "attested:1", flag]);
        if build.containerd_store() {
            output.ok();
        } else {
            let stderr = output.fails(1);
            assert!(
                stderr.contains("needs an engine with containerd's image store"),
                "{stderr}"
            );
        }
    }
    build
        .run(&["-q", "--provenance=false", "--sbom=false"])
        .ok();
}

#[test]
fn steps_get_their_hosts_and_limits() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \
        \"/bin/busybox cat /etc/hosts; ulimit -n; /bin/busybox df -k /dev/shm\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let build = build.with_busybox();
    let output = build.run(&[
        "--progress",
        "plain",
        "--network",
        "none",
        "--add-host",
        "a.test:1.2.3.4",
        "--ulimit",
        "nofile=77:88",
        "--shm-size",
        "5m",
    ]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("1.2.3.4\ta.test"), "{output}");
    if build.major() < 23 {
        assert!(output.stderr.contains("knows no `--ulimit`"), "{output}");
        return;
    }
    assert!(
        output.stderr.lines().any(|line| line.ends_with(" 77")),
        "{output}"
    );
    assert!(output.stderr.contains(" 5120 "), "{output}");
}

#[test]
fn a_check_tells_the_linters_findings_and_builds_nothing() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nENV a b\nCOPY a /\n"),
        ("a", ""),
    ]) else {
        return;
    };
    let output = build.run(&["--check", "-t", "checked:1"]);
    if build.major() < 27 {
        assert!(output.fails(1).contains("can't check Dockerfiles"));
        return;
    }
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stdout.contains("LegacyKeyValueFormat"), "{output}");
    assert!(output.stdout.contains("Dockerfile:2"), "{output}");
    build.write("Dockerfile", "FROM scratch\nENV a=b\nCOPY a /\n");
    let output = build.run(&["--check", "-t", "checked:1"]);
    assert!(output.stderr.contains("no warnings found"), "{output}");
    assert_eq!(output.ok(), "");
    build.write("Dockerfile", "FROM scratch\nCOPPY a /\n");
    let output = build.run(&["--check"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(format!("{output}").contains("COPPY"), "{output}");
    build.docker(&["image", "inspect", "checked:1"]).fails(1);
}
