//! The inputs and outputs of a build besides a folder and an image.

use std::fs;
use std::io::{Read as _, Write as _};

use crate::support::build::Build;
use crate::support::registry::Registry;
use crate::support::{Output, missing, until};

#[test]
fn a_dockerfile_on_stdin_builds_with_a_folder_or_with_nothing() {
    let Some(build) = Build::new(&[("a", "a")]) else {
        return;
    };
    let context = build.context();
    let with = ["-q", "-t", "in:1", "-f", "-", context.to_str().unwrap()];
    build
        .with_input(&with, b"FROM scratch\nCOPY a /from-folder\nCMD [\"x\"]\n")
        .ok();
    assert_eq!(build.files("in:1"), ["from-folder"]);
    // the same length: the engine must not take it for the one before
    build
        .with_input(&with, b"FROM scratch\nCOPY a /fr0m-f0lder\nCMD [\"x\"]\n")
        .ok();
    assert_eq!(build.files("in:1"), ["fr0m-f0lder"]);
    build
        .with_input(&["-q", "-t", "in:2", "-"], b"FROM in:1\nLABEL a=b\n")
        .ok();
    assert_eq!(build.files("in:2"), ["fr0m-f0lder"]);
    let stderr = build
        .with_input(&["-q", "-"], b"FROM scratch\nCOPY a /\n")
        .fails(1);
    assert!(stderr.contains("not found"), "{stderr}");
    build
        .with_input(&["-f", "-", "-"], b"FROM scratch\n")
        .fails(2);
}

#[test]
fn a_tar_on_stdin_is_a_context_packed_or_not() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nCOPY a /one\nCMD [\"x\"]\n"),
        ("sub/Dockerfile", "FROM scratch\nCOPY a /two\nCMD [\"x\"]\n"),
        ("a", "a"),
    ]) else {
        return;
    };
    let tar = |flags: &str| {
        let mut command = build.sandbox.command("tar");
        command
            .arg(flags)
            .arg("-")
            .arg("-C")
            .arg(build.context())
            .arg(".");
        command.output().unwrap().stdout
    };
    build
        .with_input(&["-q", "-t", "tar:1", "-"], &tar("-cf"))
        .ok();
    assert_eq!(build.files("tar:1"), ["one"]);
    build
        .with_input(
            &["-q", "-t", "tar:2", "-f", "sub/Dockerfile", "-"],
            &tar("-czf"),
        )
        .ok();
    assert_eq!(build.files("tar:2"), ["two"]);
}

#[test]
fn a_context_from_the_web_is_fetched_by_the_engine() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nCOPY a /web\nCMD [\"x\"]\n"),
        ("a", "a"),
    ]) else {
        return;
    };
    let mut command = build.sandbox.command("tar");
    command
        .args(["-czf", "-", "-C"])
        .arg(build.context())
        .arg(".");
    let tar = command.output().unwrap().stdout;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/context.tar.gz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _length = stream.read(&mut head).unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                tar.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
            if !head.starts_with(b"HEAD") {
                stream.write_all(&tar).unwrap();
            }
        }
    });
    build.with_input(&["-q", "-t", "web:1", &url], b"").ok();
    assert_eq!(build.files("web:1"), ["web"]);
}

#[test]
fn secrets_reach_the_steps_that_mount_them_and_no_layer() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n\
        RUN --mount=type=secret,id=f --mount=type=secret,id=e --mount=type=secret,id=none \
        test \"$(/bin/busybox cat /run/secrets/f)\" = from-\"\"file && \
        test \"$(/bin/busybox cat /run/secrets/e)\" = from-env && test ! -e /run/secrets/none\nCMD [\"x\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let mut build = build.with_busybox();
    fs::write(build.sandbox.home().join("hush"), "from-file").unwrap();
    let arguments = [
        "-q",
        "--network",
        "none",
        "-t",
        "secret:1",
        "--secret",
        "id=f,src=hush",
        "--secret",
        "id=e,env=HUSH",
    ];
    let stderr = build.run(&arguments).fails(1);
    assert!(
        stderr.contains("the variable `HUSH` is not set"),
        "{stderr}"
    );
    build.sandbox = build.sandbox.env("HUSH", "from-env");
    build.run(&arguments).ok();
    let tar = build.sandbox.home().join("saved.tar");
    build
        .docker(&["save", "-o", tar.to_str().unwrap(), "secret:1"])
        .ok();
    let saved = fs::read(tar).unwrap();
    assert!(
        !saved.windows(9).any(|bytes| bytes == b"from-file"),
        "the secret is in the image"
    );
    let stderr = build.run(&["-q", "--secret", "id=f,src=gone"]).fails(1);
    assert!(stderr.contains("the secret `f`"), "{stderr}");
}

#[test]
fn what_is_dev_null_is_an_empty_file() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nCOPY a /\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n\
        RUN --mount=type=secret,id=n test ! -s /run/secrets/n\nCMD [\"x\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile), ("a", "a")]) else {
        return;
    };
    let build = build.with_busybox();
    for ignores in ["Dockerfile.dockerignore", ".dockerignore"] {
        let link = build.context().join(ignores);
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let secret = ["--secret", "id=n,src=/dev/null"];
        let flags = ["-q", "--network", "none", "-t", "null:1"];
        build.run(&[&flags[..], &secret].concat()).ok();
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn a_step_can_use_an_ssh_key_without_seeing_it() {
    let Some(build) = Build::new(&[]) else {
        return;
    };
    let build = build.with_busybox();
    let Ok(linked) = build
        .sandbox
        .command("ldd")
        .arg("/usr/bin/ssh-add")
        .output()
    else {
        missing("ldd");
        return;
    };
    if !linked.status.success() {
        missing("ssh-add (openssh-client)");
        return;
    }
    // ssh-add and what it is linked with, for the step
    let text = String::from_utf8(linked.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/usr/bin/ssh-add"]) {
        let to = build
            .context()
            .join("root")
            .join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    build.write("root/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
    build.write(
        "Dockerfile",
        "FROM scratch\nCOPY root /\nRUN --mount=type=ssh,required=true [\"/usr/bin/ssh-add\", \"-l\"]\n",
    );
    let key = build.sandbox.home().join("key");
    let mut keygen = build.sandbox.command("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key);
    Output::of(&mut keygen).ok();
    let print = Output::of(build.sandbox.command("ssh-keygen").arg("-lf").arg(&key)).ok();
    let print = print.split_whitespace().nth(1).unwrap();
    let run = |ssh: &str| {
        build.run(&[
            "--no-cache",
            "--progress",
            "plain",
            "--network",
            "none",
            "--ssh",
            ssh,
        ])
    };
    let output = run(&format!("default={}", key.display()));
    assert!(output.stderr.contains(print), "{output}");
    // the same through an agent's socket
    let socket = build.sandbox.home().join("agent.sock");
    let mut agent = build.sandbox.command("ssh-agent");
    let mut agent = agent
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // the file is there a moment before somebody listens
    until("the agent listens", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let mut add = build.sandbox.command("ssh-add");
    Output::of(add.env("SSH_AUTH_SOCK", &socket).arg(&key)).ok();
    let output = run(&format!("default={}", socket.display()));
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(output.stderr.contains(print), "{output}");
    let stderr = run("default").fails(1);
    assert!(stderr.contains("no ssh agent runs"), "{stderr}");
}

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

/// A base image's layer: a tar with one file.
fn layer(build: &Build) -> Vec<u8> {
    let folder = build.sandbox.home().join("base");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("from-base"), "b").unwrap();
    let mut tar = build.sandbox.command("tar");
    tar.args(["-cf", "-", "-C"]).arg(folder).arg("from-base");
    tar.output().unwrap().stdout
}

#[test]
fn a_private_registry_is_pulled_from_and_pushed_to_with_the_persons_login() {
    use base64::Engine as _;
    let Some(mut build) = Build::new(&[("a", "a")]) else {
        return;
    };
    let registry = Registry::new("me:pa:ss");
    registry.put_image("base", "1", &layer(&build));
    let address = registry.address;
    build.write(
        "Dockerfile",
        &format!("FROM {address}/base:1\nCOPY a /\nCMD [\"x\"]\n"),
    );
    let name = format!("{address}/team/app:1");
    let stderr = build.run(&["-q", "-t", &name]).fails(1);
    assert!(
        stderr.contains("401") || stderr.contains("uthoriz"),
        "{stderr}"
    );
    let config = build.sandbox.home().join("docker");
    fs::create_dir(&config).unwrap();
    let auth = base64::engine::general_purpose::STANDARD.encode("me:pa:ss");
    let text = serde_json::json!({"auths": {address.to_string(): {"auth": auth}}}).to_string();
    fs::write(config.join("config.json"), text).unwrap();
    build.sandbox = build.sandbox.env("DOCKER_CONFIG", config.to_str().unwrap());
    build.run(&["-q", "--pull", "-t", &name, "--push"]).ok();
    assert_eq!(build.files(&name), ["a", "from-base"]);
    assert!(registry.has("team/app/manifests/1"), "it was not pushed");
    // the same by a credential helper
    let bin = build.sandbox.home().join("bin");
    fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-devnettest");
    let script = format!(
        "#!/bin/sh\ntest \"$1\" = get && test \"$(cat)\" = {address} && echo '{{\"Username\":\"me\",\"Secret\":\"pa:ss\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(
        config.join("config.json"),
        "{\"credsStore\": \"devnettest\"}",
    )
    .unwrap();
    build.sandbox = build
        .sandbox
        .env("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    let again = format!("{address}/team/app:2");
    build
        .run(&["-q", "--pull", "--no-cache", "-t", &again, "--push"])
        .ok();
    assert!(registry.has("team/app/manifests/2"), "it was not pushed");
    build.docker(&["rmi", "-f", &name, &again]).ok();
    let stderr = build.run(&["--push"]).fails(2);
    assert!(stderr.contains("no name to push to"), "{stderr}");
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
