//! The faults around a build: an engine without BuildKit, one that is lost, a node that is not
//! there, a file that can't be read.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::build_watch::{KubeletPod, Watching};
use crate::support::build::{Build, exists};
use crate::support::proxy::Proxy;
use crate::support::tripwire::Tripwire;
use crate::support::{Output, docker, until};

#[test]
fn an_engine_without_buildkit_builds_with_its_classic_builder_and_says_so() {
    let Some(build) = Build::new(&[
        (
            "Dockerfile",
            "FROM scratch AS one\nARG W\nCOPY . /all\nLABEL w=$W\nFROM one\nCMD [\"x\"]\n",
        ),
        (
            "Dockerfile.dockerignore",
            "drop\n*.dockerignore\nDockerfile\n",
        ),
        ("keep/a", "a"),
        ("drop", "d"),
    ]) else {
        return;
    };
    symlink("keep/a", build.context().join("link")).unwrap();
    fs::hard_link(build.context().join("keep/a"), build.context().join("hard")).unwrap();
    let engine = build.testbed.join("node.sock");
    let proxy = Proxy::new(build.sandbox.home(), engine, &["/session", "/grpc"]);
    let run = |arguments: &[&str]| Output::of(&mut build.command_at(&proxy.url(), arguments));
    let output = run(&[
        "-t",
        "classic:1",
        "-t",
        "classic:2",
        "--build-arg",
        "W=x",
        "--progress",
        "plain",
    ]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("has no BuildKit"), "{output}");
    assert!(output.stderr.contains("COPY . /all"), "{output}");
    assert_eq!(
        build.files("classic:2"),
        ["all/", "all/hard", "all/keep/", "all/keep/a", "all/link"]
    );
    // a Dockerfile that is in the context is there
    fs::remove_file(build.context().join("Dockerfile.dockerignore")).unwrap();
    run(&["-t", "classic:4"]).ok();
    assert!(
        build
            .files("classic:4")
            .contains(&"all/Dockerfile".to_owned())
    );
    let id = run(&["-q", "-t", "classic:1", "--build-arg", "W=x"]).ok();
    let inspected = build.docker(&[
        "image",
        "inspect",
        "-f",
        "{{.Id}} {{.Config.Labels.w}}",
        "classic:1",
    ]);
    assert_eq!(inspected.ok().trim(), format!("{} x", id.trim()));
    let stderr = run(&["--secret", "id=a,src=context/drop"]).fails(1);
    assert!(stderr.contains("`--secret` needs BuildKit"), "{stderr}");
    build.write("Dockerfile", "FROM scratch\nCOPY nope /\n");
    let stderr = run(&["-q", "-t", "classic:3"]).fails(1);
    assert!(stderr.contains("nope"), "{stderr}");
    build.docker(&["image", "inspect", "classic:3"]).fails(1);
}

#[test]
fn an_engine_that_is_lost_half_way_is_a_failed_build() {
    let Some(build) = Build::new(&[(
        "Dockerfile",
        "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"sleep\", \"66\"]\n",
    )]) else {
        return;
    };
    let build = build.with_busybox();
    let proxy = Proxy::new(build.sandbox.home(), build.testbed.join("node.sock"), &[]);
    let mut command = build.command_at(
        &proxy.url(),
        &[
            "--network",
            "none",
            "--progress",
            "plain",
            "--iidfile",
            "id",
        ],
    );
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let runs = || {
        fs::read_dir("/proc").unwrap().flatten().any(|process| {
            fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| line.starts_with(b"/bin/busybox\0sleep\x0066\0"))
        })
    };
    until("the step runs", runs);
    proxy.cut();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("was lost during the build"), "{stderr}");
    assert!(!exists(&build.sandbox.home().join("id")));
}

#[test]
fn an_engine_that_is_gone_after_its_first_answer_was_lost_half_way() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]) else {
        return;
    };
    let socket = build.sandbox.home().join("tripwire.sock");
    let wire = Tripwire::new(
        build.sandbox.home(),
        build.testbed.join("node.sock"),
        &["GET /_ping", "HEAD /_ping"],
        0,
        move || fs::remove_file(socket).unwrap(),
    );
    let output = Output::of(&mut build.command_at(&wire.url(), &["--progress", "plain"]));
    let stderr = output.fails(1);
    assert!(stderr.contains("tripwire.sock"), "{stderr}");
}

#[test]
fn a_file_or_name_that_can_not_be_sent_fails_the_build_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), ("a", "a")]) else {
        return;
    };
    let odd = build
        .context()
        .join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    fs::write(&odd, "").unwrap();
    let stderr = build.run(&["-q", "-t", "unsent:1"]).fails(1);
    assert!(stderr.contains("not UTF-8"), "{stderr}");
    fs::remove_file(odd).unwrap();
    // root reads everything, except what the kernel itself refuses to read
    if exists("/proc/self/mem".as_ref()) {
        build.write(".dockerignore", "");
        let target = build.context().join("unreadable");
        fs::write(&target, "").unwrap();
        let mounted = build
            .sandbox
            .command("mount")
            .args(["--bind", "/proc/self/mem"])
            .arg(&target)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            let output = build.run(&["-q", "-t", "unsent:1"]);
            Output::of(build.sandbox.command("umount").arg(&target)).ok();
            assert!(
                output
                    .fails(1)
                    .contains("`unreadable` in the build context can't be read")
            );
        }
    }
    build.docker(&["image", "inspect", "unsent:1"]).fails(1);
}

/// A node that says of itself what a test wants, over TLS as minikube's nodes speak, and knows
/// nothing else.
struct FakeNode {
    ended: Arc<AtomicBool>,
    address: &'static str,
    serving: Option<std::thread::JoinHandle<()>>,
}

impl FakeNode {
    fn new(testbed: &Path, address: &'static str, arch: &'static str) -> Self {
        use rustls_pki_types::pem::PemObject as _;
        let folder = testbed.join("minikube/.minikube/machines");
        let certificates =
            rustls_pki_types::CertificateDer::pem_file_iter(folder.join("server.pem"))
                .unwrap()
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
        let key =
            rustls_pki_types::PrivateKeyDer::from_pem_file(folder.join("server-key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(address).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let session = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let body = serde_json::json!({
                    "Version": "28.0.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24",
                    "Os": "linux", "Arch": arch,
                })
                .to_string();
                let status = if String::from_utf8_lossy(&head).contains("/version ") {
                    "200 OK"
                } else {
                    "500 Internal Server Error"
                };
                let _left = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.conn.send_close_notify();
                let _left = stream.flush();
            }
        });
        Self {
            ended,
            address,
            serving: Some(serving),
        }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // the last connection is the one that ends the waiting
        let _woken = TcpStream::connect(self.address);
        let _ended = self.serving.take().map(std::thread::JoinHandle::join);
    }
}

/// A further engine of the testbed, ended with the test.
struct OwnEngine<'b>(&'b Build, &'static str);

impl<'b> OwnEngine<'b> {
    fn new(build: &'b Build, name: &'static str, config: &str) -> Self {
        testbed_engine(build, &["start", name], config);
        Self(build, name)
    }
}

impl Drop for OwnEngine<'_> {
    fn drop(&mut self) {
        testbed_engine(self.0, &["stop", self.1], "");
    }
}

fn testbed_engine(build: &Build, arguments: &[&str], config: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/engine.sh");
    let mut command = build.sandbox.command(script);
    #[expect(
        clippy::disallowed_methods,
        reason = "the testbed says which engine this is"
    )]
    let of_the_testbed = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("DEVNET_TESTBED"));
    command
        .envs(of_the_testbed)
        .env("DEVNET_TESTBED_CONFIG", config);
    Output::of(command.args(arguments)).ok();
}

#[test]
fn an_engine_whose_buildkit_is_turned_off_says_how_it_is_turned_on() {
    let Some(mut build) = Build::new(&[
        (
            "Dockerfile",
            "FROM scratch AS one\nARG V\nLABEL v=$V\nCOPY . /\nFROM one\nCMD [\"x\"]\n",
        ),
        (".dockerignore", "drop\n"),
        ("keep", "k"),
        ("drop", "d"),
    ]) else {
        return;
    };
    if build.major() < 23 {
        // these ask no client for BuildKit, and mean nothing by it
        let output = build.run(&["--progress", "plain"]);
        assert!(!output.stderr.contains("classic builder"), "{output}");
        build.sandbox = build.sandbox.env("DOCKER_BUILDKIT", "0");
        let output = build.run(&["--progress", "plain"]);
        assert!(
            output
                .stderr
                .contains("note: `DOCKER_BUILDKIT=0`: its classic builder"),
            "{output}"
        );
        return;
    }
    let features = serde_json::json!({"features": {
        "buildkit": false, "containerd-snapshotter": build.containerd_store(),
    }});
    let engine = OwnEngine::new(&build, "classic", &features.to_string());
    let url = format!("unix://{}", build.testbed.join("classic.sock").display());
    let run = |arguments: &[&str]| Output::of(&mut build.command_at(&url, arguments));
    let with = |word: &str, arguments: &[&str]| {
        let mut command = build.command_at(&url, arguments);
        Output::of(command.env("DOCKER_BUILDKIT", word))
    };
    let arguments = [
        "-t",
        "off:1",
        "--build-arg",
        "V=7",
        "--label",
        "own=1",
        "--target",
        "one",
        "--progress",
        "plain",
    ];
    let stderr = run(&arguments).fails(1);
    for said in [
        "error: BuildKit is off at unix://",
        "hint: turn it on: `\"features\": {\"buildkit\": true}`",
        "hint: `DOCKER_BUILDKIT=1` uses it",
    ] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    docker(&build.testbed, "classic", &["image", "inspect", "off:1"]).fails(1);
    // who asks for the classic builder gets it, as from docker
    let output = with("0", &arguments);
    assert_eq!(output.code, 0, "{output}");
    assert!(
        output
            .stderr
            .contains("note: `DOCKER_BUILDKIT=0`: its classic builder"),
        "{output}"
    );
    let inspect = |name: &str| {
        let format = "{{.Config.Labels.v}} {{.Config.Labels.own}} {{json .Config.Cmd}}";
        docker(
            &build.testbed,
            "classic",
            &["image", "inspect", "-f", format, name],
        )
        .ok()
    };
    assert_eq!(inspect("off:1").trim(), "7 1 null");
    let stderr = with("0", &["--secret", "id=a,src=context/keep"]).fails(1);
    assert!(
        stderr.contains("`--secret` needs BuildKit, which is off at"),
        "{stderr}"
    );
    let arguments = ["-t", "off:2", "--build-arg", "V=8", "--progress", "plain"];
    let output = with("1", &arguments);
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.stderr.contains("classic builder"), "{output}");
    assert!(inspect("off:2").starts_with("8 "), "{output}");
    // what the hint says, done
    let folder = build.testbed.join("classic");
    let on = features.to_string();
    let on = on.replace("\"buildkit\":false", "\"buildkit\":true");
    fs::write(folder.join("daemon.json"), on).unwrap();
    let pid = fs::read_to_string(folder.join("pid")).unwrap();
    let mut reload = build.sandbox.command("kill");
    Output::of(reload.args(["-HUP", pid.trim()])).ok();
    let arguments = ["-t", "on:1", "--build-arg", "V=9", "--progress", "plain"];
    until("it is on", || run(&arguments).code == 0);
    assert!(inspect("on:1").starts_with("9 "));
    drop(engine);
}

#[test]
fn every_node_of_a_profile_gets_the_image_and_one_that_is_away_makes_it_partly_done() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    let home = build
        .testbed
        .join("minikube/.minikube")
        .display()
        .to_string();
    let sandbox = crate::support::Sandbox::bare().env("MINIKUBE_HOME", &home);
    // the same profile, but nobody listens at its second node's address
    let away = build.sandbox.home().join(".minikube");
    Output::of(build.sandbox.command("cp").args(["-r", &home]).arg(&away)).ok();
    for file in [
        "profiles/multi/config.json",
        "machines/multi-m02/config.json",
    ] {
        let file = away.join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("127.0.0.3"), "{text}");
        fs::write(file, text.replace("127.0.0.3", "127.0.0.9")).unwrap();
    }
    let lonely = crate::support::Sandbox::bare().env("MINIKUBE_HOME", &away.display().to_string());
    let mut command = lonely.devnet_command(&["-p", "multi", "build", "-q", "-t", "spread:2"]);
    let stderr = Output::of(command.arg(build.context())).fails(5);
    assert!(
        stderr.contains("not every node has it: multi-m02"),
        "{stderr}"
    );
    docker(&build.testbed, "node", &["image", "inspect", "spread:2"]).ok();
    let run = |arguments: &[&str]| {
        let mut command = sandbox.devnet_command(&["-p", "multi", "build"]);
        Output::of(command.args(arguments).arg(build.context()))
    };
    // a node with another kind of processor can't run what is built here
    {
        let _arm = FakeNode::new(&build.testbed, "127.0.0.3:2376", "arm64");
        let stderr = run(&["-q", "-t", "spread:4"]).fails(1);
        assert!(
            stderr.contains("node `multi-m02` is arm64, the one that builds is"),
            "{stderr}"
        );
        assert!(
            stderr.contains("`--node NAME` builds on one node alone"),
            "{stderr}"
        );
        docker(&build.testbed, "node", &["image", "inspect", "spread:4"]).fails(1);
        run(&["-q", "-t", "spread:4", "--node", "multi"]).ok();
    }
    let engine = |verb: &str| testbed_engine(&build, &[verb, "node2"], "");
    let id = |node: &str| {
        docker(
            &build.testbed,
            node,
            &["image", "inspect", "-f", "{{.Id}}", "spread:1"],
        )
    };
    engine("start");
    let built = run(&["-q", "-t", "spread:1"]).ok();
    assert_eq!(id("node").ok(), built);
    assert_eq!(id("node2").ok(), built);
    let again = run(&["-v", "-t", "spread:1"]);
    assert!(again.stderr.contains("the image was there"), "{again}");
    docker(&build.testbed, "node2", &["rmi", "spread:1"]).ok();
    run(&["-q", "-t", "spread:1", "--node", "multi"]).ok();
    id("node2").fails(1);
    // a watch has the pods of every node start the new image
    let sleeper = "FROM scratch\nCOPY bin /bin\nCOPY a /\nENTRYPOINT [\"/bin/busybox\", \"sleep\", \"3600\"]\n";
    build.write("Dockerfile", sleeper);
    fs::create_dir(build.context().join("bin")).unwrap();
    fs::copy("/bin/busybox", build.context().join("bin/busybox")).unwrap();
    run(&["-q", "-t", "spread:3"]).ok();
    let pods = ["node", "node2"]
        .map(|engine| KubeletPod::new((&build, engine), &format!("on-{engine}"), "spread:3", None));
    let mut command = sandbox.devnet_command(&["-p", "multi", "build", "--watch"]);
    command.args(["--progress", "quiet", "-t", "spread:3"]);
    command.arg(build.context());
    let watching = Watching::of(&build, command);
    watching.until("watching ");
    build.write("a", "another");
    let said = watching.until("watching ").join("\n");
    for (pod, node) in pods.iter().zip(["multi", "multi-m02"]) {
        assert_eq!(pod.state(1), "exited 137", "{said}");
        assert!(said.contains(&format!("was killed on {node}:")), "{said}");
    }
    watching.end();
}
