//! The inputs of a build besides a folder: a Dockerfile or an archive on stdin, a context from the web,
//! secrets, ssh keys, and a private registry, which is pushed to as well.

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
