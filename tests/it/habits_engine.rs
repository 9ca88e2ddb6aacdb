//! docker's habits against real engines, beside docker itself.

use std::fs;

use crate::support::build::Build;
use crate::support::lab::Lab;
use crate::support::registry::Registry;
use crate::support::{Sandbox, docker, testbed};

const COLOURED: &str = "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"printf\", \"\\\\033[31mred\\\\033[0m \\\\033[1mbold\\\\n\"]\n";

#[test]
fn a_dockerfile_in_lower_case_builds_as_docker_builds_it() {
    let Some(build) = Build::new(&[("dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")]) else {
        return;
    };
    let id = build.run(&["-q", "-t", "lower:1"]).ok();
    let file = build.context().join("Dockerfile");
    let named = build.run(&["-q", "-f", file.to_str().unwrap()]).ok();
    assert_eq!(build.layers(named.trim()), build.layers(id.trim()));
    let context = build.context();
    if let Some(theirs) = build.docker_build(&["-t", "lower:2", context.to_str().unwrap()]) {
        theirs.ok();
        assert_eq!(build.files("lower:1"), build.files("lower:2"));
    }
}

#[test]
fn steps_keep_their_own_colours_in_plain_lines_as_docker_leaves_them() {
    let Some(build) = Build::new(&[("Dockerfile", COLOURED)]).map(Build::with_busybox) else {
        return;
    };
    let red = "\u{1b}[31mred\u{1b}[0m \u{1b}[1mbold";
    let plain = ["--progress", "plain", "--no-cache", "--network", "none"];
    let ours = build.run(&plain);
    assert_eq!(ours.code, 0, "{ours}");
    assert!(
        ours.stderr.contains(&format!("{red}\u{1b}[0m\n")),
        "{:?}",
        ours.stderr
    );
    let context = build.context();
    let theirs = build.docker_build(&[&plain[..], &[context.to_str().unwrap()]].concat());
    if let Some(theirs) = theirs {
        assert!(theirs.stderr.contains(red), "{:?}", theirs.stderr);
    }
    let mut bare = build.command(&plain);
    bare.env("NO_COLOR", "1");
    for none in [
        crate::support::Output::of(&mut bare),
        build.run(&[&plain[..], &["--color", "never"]].concat()),
    ] {
        assert!(none.stderr.contains("red bold"), "{:?}", none.stderr);
        assert!(!none.stderr.contains('\u{1b}'), "{:?}", none.stderr);
    }
}

#[test]
fn the_classic_builder_gets_the_limits_that_docker_gives_it() {
    let dockerfile = "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"ulimit -n; /bin/busybox df -k /dev/shm | /bin/busybox tail -n 1; /bin/busybox cat /proc/self/status | /bin/busybox grep Cpus_allowed_list\"]\n";
    let Some(build) = Build::new(&[("Dockerfile", dockerfile)]).map(Build::with_busybox) else {
        return;
    };
    let limits = [
        "--ulimit",
        "nofile=77:78",
        "--shm-size",
        "1.5m",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems",
        "0",
        "-c",
        "5",
        "--rm",
        "--force-rm",
        "--compress",
        "--no-cache",
    ];
    let mut command = build.command(&[&limits[..], &["--progress", "plain"]].concat());
    command.env("DOCKER_BUILDKIT", "0");
    let ours = crate::support::Output::of(&mut command);
    assert_eq!(ours.code, 0, "{ours}");
    let facts = |text: &str| {
        let last = |line: &str| line.rsplit("  ").next().unwrap_or(line).trim().to_owned();
        let find = |word: &str| text.lines().rfind(|line| line.contains(word)).map(last);
        (
            text.lines().any(|line| line.trim_end().ends_with("77")),
            text.lines().any(|line| line.contains(" 1536 ")),
            find("Cpus_allowed_list"),
        )
    };
    let (files, shm, cpus) = facts(&ours.stderr);
    assert!(files && shm, "{ours}");
    assert!(cpus.unwrap().ends_with('0'), "{ours}");
    let socket = format!("unix://{}", build.testbed.join("node.sock").display());
    let mut theirs = build.sandbox.command("docker");
    theirs
        .env("DOCKER_BUILDKIT", "0")
        .args(["-H", &socket, "build"]);
    theirs.args(limits).arg(build.context());
    let theirs = crate::support::Output::of(&mut theirs);
    assert_eq!(theirs.code, 0, "{theirs}");
    let (files, shm, _) = facts(&theirs.stdout);
    assert!(files && shm, "{theirs}");
}

#[test]
fn buildkit_says_which_limits_it_has_no_use_for_and_builds() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]) else {
        return;
    };
    let limits = [
        "-m",
        "1g",
        "--cpu-shares",
        "5",
        "--rm",
        "--force-rm",
        "--compress",
    ];
    let ours = build.run(&limits);
    assert_eq!(ours.code, 0, "{ours}");
    assert!(ours.stderr.contains("BuildKit has no `--memory`"), "{ours}");
    let said = build.run(&["--network", "mine"]).fails(1);
    assert!(
        said.contains("`--network mine`") && said.contains("DOCKER_BUILDKIT=0"),
        "{said}"
    );
    let context = build.context();
    if let Some(theirs) = build.docker_build(&[&limits[..], &[context.to_str().unwrap()]].concat())
    {
        theirs.ok();
    }
}

#[test]
fn an_engine_is_reached_as_dockers_variables_say_it_in_short() {
    let Some(testbed) = testbed() else { return };
    let certs = testbed.join("minikube/.minikube/certs");
    let sandbox = Sandbox::bare()
        .env("DOCKER_HOST", "127.0.0.2:2376")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certs.to_str().unwrap());
    sandbox.devnet(&["images", "-o", "json"]).ok();
    // with a CA that has nothing to do with it, as docker does with DOCKER_TLS
    let folder = sandbox.home().join("certs");
    fs::create_dir(&folder).unwrap();
    for file in ["cert.pem", "key.pem"] {
        fs::copy(certs.join(file), folder.join(file)).unwrap();
    }
    fs::copy(certs.join("cert.pem"), folder.join("ca.pem")).unwrap();
    let sandbox = sandbox.env("DOCKER_CERT_PATH", folder.to_str().unwrap());
    sandbox.devnet(&["images"]).fails(3);
    let sandbox = sandbox.env("DOCKER_TLS_VERIFY", "").env("DOCKER_TLS", "1");
    let images = sandbox.devnet(&["images", "-o", "json"]);
    assert!(
        images.stderr.contains("who answers is not verified"),
        "{images}"
    );
    images.ok();
    let mut theirs = sandbox.command("docker");
    crate::support::Output::of(theirs.args(["version", "-f", "{{.Server.Version}}"])).ok();
    // a context of docker's may say the same
    let meta = sandbox.home().join(".docker");
    let mut create = sandbox.command("docker");
    create.env_remove("DOCKER_HOST").args([
        "context",
        "create",
        "own",
        "--docker",
        &format!(
            "host=tcp://127.0.0.2:2376,skip-tls-verify=true,cert={0}/cert.pem,key={0}/key.pem",
            folder.display()
        ),
    ]);
    crate::support::Output::of(&mut create).ok();
    assert!(meta.join("contexts").exists());
    sandbox.devnet(&["--context", "own", "images"]).ok();
}

#[test]
fn an_image_that_is_named_by_its_digest_is_loaded_and_gets_a_name_that_nodes_can_use() {
    let Some(testbed) = testbed() else { return };
    let registry = Registry::open();
    let layer = crate::support::archive::layer(&[("file", b"by digest")]);
    registry.put_image("own/app", "1", &layer);
    let name = format!("{}/own/app", registry.address);
    docker(&testbed, "host", &["pull", &format!("{name}:1")]).ok();
    let digests = docker(
        &testbed,
        "host",
        &[
            "inspect",
            "-f",
            "{{index .RepoDigests 0}}",
            &format!("{name}:1"),
        ],
    );
    let by_digest = digests.ok().trim().to_owned();
    let node = format!("unix://{}", testbed.join("node.sock").display());
    let host = format!("unix://{}", testbed.join("host.sock").display());
    let sandbox = Sandbox::bare();
    let load = |more: &[&str]| {
        let words = [&["-H", &node, "load", "--from-host", &host], more].concat();
        sandbox.devnet(&words)
    };
    let layers = |engine: &str, name: &str| {
        docker(
            &testbed,
            engine,
            &["inspect", "-f", "{{json .RootFS.Layers}}", name],
        )
        .ok()
    };
    let loaded = load(&[&by_digest]);
    assert!(loaded.stderr.contains(&format!("`{name}:1`")), "{loaded}");
    loaded.ok();
    assert_eq!(
        layers("node", &format!("{name}:1")),
        layers("host", &by_digest)
    );
    load(&[&by_digest, "--tag", "digested:2"]).ok();
    assert_eq!(layers("node", "digested:2"), layers("host", &by_digest));
    let (_, digest) = by_digest.split_once('@').unwrap();
    load(&[&format!("{name}:7@{digest}")]).ok();
    assert_eq!(
        layers("node", &format!("{name}:7")),
        layers("host", &by_digest)
    );
    docker(&testbed, "host", &["rmi", &format!("{name}:1")]);
    let gone = format!("{name}@sha256:{}", "0".repeat(64));
    load(&[&gone]).fails(4);
}

#[test]
fn a_lab_pod_may_be_written_with_merge_keys() {
    let Some(lab) = Lab::new() else { return };
    let image = "merged:1";
    crate::new::import(&lab.sandbox, &lab.testbed, lab.engine(), image, &[]);
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: merged}}
spec:
  containers:
  - &first
    name: one
    image: {image}
    command: [sleep, '9999']
    env: [{{name: A, value: '1'}}]
  - <<: *first
    name: two
"
    );
    let file = lab.write("merged.yaml", &text);
    lab.run(&["up", &file]).ok();
    let pod = lab.pod("merged");
    assert_eq!(pod["ready"], true, "{pod:#}");
    assert!(pod.to_string().contains("\"two\""), "{pod:#}");
    lab.run(&["down"]).ok();
    docker(&lab.testbed, lab.engine(), &["rmi", image]).ok();
}
