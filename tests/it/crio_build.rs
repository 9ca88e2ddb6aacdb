//! `devnet build` and `devnet env` on nodes with cri-o, whose podman is a real one.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::crio_node::CrioNode;
use crate::support::{Output, Sandbox, missing, testbed};

/// A context on this computer, and a sandbox whose profile is the node.
struct Build<'n> {
    node: &'n CrioNode,
    sandbox: Sandbox,
}

impl<'n> Build<'n> {
    fn new(node: &'n CrioNode, files: &[(&str, &str)]) -> Self {
        let this = Self {
            node,
            sandbox: node.sandbox(),
        };
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.sandbox.home().join("context").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let context = self.sandbox.home().join("context").display().to_string();
        let all = [&["build"], arguments, &[context.as_str()]].concat();
        self.sandbox.devnet(&all)
    }

    /// The ID by which CRI knows a name.
    fn known(&self, name: &str) -> Option<String> {
        Some(self.node.images.image(name)?.0)
    }

    /// A file of an image.
    fn file(&self, image: &str, file: &str) -> String {
        let container = self.node.podman(&["create", image, "x"]).ok();
        let line = format!("podman cp {}:{file} - | tar xO", container.trim());
        let content = self.node.node.run(&["sh", "-c", &line]).ok();
        self.node.podman(&["rm", container.trim()]).ok();
        content
    }
}

const SIMPLE: &str = "FROM scratch\nCOPY src /src\nCMD [\"/x\"]\n";

#[test]
fn podman_builds_under_whole_names_and_the_context_crosses_when_something_changed() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-build") else {
        return;
    };
    let _api = node.serve_api(false);
    let build = Build::new(&node, &[("Dockerfile", SIMPLE), ("src/a", "one")]);
    let names = ["-t", "crio-app:dev", "-t", "registry.test/team/app:v1"];
    let first = build.run(&[&["--iidfile", "id"], &names[..]].concat());
    assert_eq!(first.code, 0, "{first}");
    let id = build.known("docker.io/library/crio-app:dev").unwrap();
    assert_eq!(
        build.known("registry.test/team/app:v1").as_deref(),
        Some(id.as_str())
    );
    let written = std::fs::read_to_string(build.sandbox.home().join("id")).unwrap();
    assert_eq!(written, id);
    assert_eq!(
        build.file("docker.io/library/crio-app:dev", "/src/a"),
        "one"
    );
    let all = node.podman(&["images", "--format", "{{.Repository}}"]).ok();
    assert!(!all.contains("localhost/"), "{all}");

    // the same again: the context stays here, also where a name went elsewhere meanwhile
    let same = build.run(&names);
    assert!(same.stderr.contains("the context is not sent"), "{same}");
    assert_eq!(same.code, 0, "{same}");
    node.podman(&["untag", &id[7..], "docker.io/library/crio-app:dev"])
        .ok();
    let again = build.run(&names);
    assert!(again.stderr.contains("the context is not sent"), "{again}");
    assert_eq!(build.known("crio-app:dev").as_deref(), Some(id.as_str()));
    let quiet = build.sandbox.devnet(&[
        "-q",
        "build",
        "-t",
        "crio-app:dev",
        "-t",
        "registry.test/team/app:v1",
        &build.sandbox.home().join("context").display().to_string(),
    ]);
    assert_eq!(quiet.ok().trim(), id);

    // each of these is sent: another content, another request, an image that is gone
    build.write("src/a", "two");
    let changed = build.run(&names);
    assert!(!changed.stderr.contains("is not sent"), "{changed}");
    let new = build.known("crio-app:dev").unwrap();
    assert_ne!(new, id);
    assert_eq!(build.file("crio-app:dev", "/src/a"), "two");
    let labelled = build.run(&["-t", "crio-app:dev", "--label", "a=b"]);
    assert!(!labelled.stderr.contains("is not sent"), "{labelled}");
    node.podman(&["rmi", "-f", &new[7..]]).ok();
    let gone = build.run(&names);
    assert!(!gone.stderr.contains("is not sent"), "{gone}");
    assert!(build.known("crio-app:dev").is_some());
    let anew = build.run(&[&["--no-cache"], &names[..]].concat());
    assert!(!anew.stderr.contains("is not sent"), "{anew}");

    // a build upon it notices that it changed
    let upon = Build::new(
        &node,
        &[("Dockerfile", "FROM crio-app:dev\nCOPY b /b\n"), ("b", "b")],
    );
    upon.run(&["-t", "crio-upon:v1"]).ok();
    let same = upon.run(&["-t", "crio-upon:v1"]);
    assert!(same.stderr.contains("is not sent"), "{same}");
    build.write("src/a", "three");
    build.run(&names).ok();
    let anew = upon.run(&["-t", "crio-upon:v1"]);
    assert!(!anew.stderr.contains("is not sent"), "{anew}");
    assert_eq!(upon.file("crio-upon:v1", "/src/a"), "three");

    // a failed build is none, and says where
    build.write("Dockerfile", "FROM scratch\nCOPY nothing /\n");
    let failed = build.run(&["-t", "crio-app:dev"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.stderr.contains("nothing"), "{failed}");
    // the steps of builds are no images of anybody's
    let shown: Vec<Value> =
        serde_json::from_str(&node.devnet(&["images", "-o", "json"]).ok()).unwrap();
    let text = serde_json::to_string(&shown).unwrap();
    assert!(!text.contains("-tmp"), "{text}");
}

#[test]
fn what_podman_would_leave_out_is_refused_by_name_and_its_silence_is_one_error() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-flags") else {
        return;
    };
    let build = Build::new(
        &node,
        &[("Dockerfile", SIMPLE), ("src/a", "one"), ("s", "secret")],
    );
    let key = format!("default={}", node.node.key().display());
    for flags in [
        &["--secret", "id=a,env=HOME"][..],
        &["--ssh", &key],
        &["-o", "type=tar,dest=out.tar"],
        &["--build-context", "more=."],
        &["--cache-from", "registry.test/cache"],
        &["--cache-to", "type=inline"],
        &["--no-cache-filter", "one"],
        &["--allow", "network.host"],
        &["--annotation", "a=b"],
        &["--provenance", "mode=max"],
        &["--push", "-t", "registry.test/app"],
        &["--check"],
        &["--platform", "linux/amd64,linux/arm64"],
    ] {
        let refused = build.run(flags);
        assert_eq!(refused.code, 1, "{flags:?}: {refused}");
        let flag = flags[0].replace("-o", "--output");
        assert!(refused.stderr.contains(&flag), "{flags:?}: {refused}");
        assert!(
            refused.stderr.contains("podman builds"),
            "{flags:?}: {refused}"
        );
    }
    // nobody serves its API
    let silent = build.run(&["-t", "crio-silent:v1"]).fails(3);
    assert!(silent.contains("podman's API does not answer"), "{silent}");
    assert!(silent.contains("systemctl start podman.socket"), "{silent}");
    // limits and names of hosts are podman's too
    let _api = node.serve_api(true);
    let more = [
        "-t",
        "crio-limits:v1",
        "--add-host",
        "one:1.2.3.4",
        "--add-host",
        "two:host-gateway",
        "--shm-size",
        "32m",
        "--ulimit",
        "nofile=100:200",
        "--network",
        "none",
        "--build-arg",
        "A=b",
        "--memory",
        "64m",
    ];
    build.run(&more).ok();
    assert!(build.known("crio-limits:v1").is_some());
}

#[test]
fn the_docker_command_reaches_podman_by_the_nodes_login_and_nothing_else_is_promised() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-env") else {
        return;
    };
    let sandbox = node.sandbox();
    let env = |more: &[&str]| sandbox.devnet(&[&["env"], more].concat());
    let refused = env(&["--shell", "bash"]);
    assert!(refused.stdout.contains("false"), "{refused}");
    let refused = refused.fails(3);
    for word in ["cri-o", "devnet load", "devnet build", "--ssh-host"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    // a socket of root's alone
    let api = node.serve_api(false);
    let closed = env(&["--ssh-host", "-o", "json"]).fails(3);
    assert!(closed.contains("podman.sock"), "{closed}");
    drop(api);
    let _api = node.serve_api(true);
    let open = env(&["--ssh-host", "-o", "json"]);
    assert!(
        open.stderr.contains("BuildKit"),
        "what it lacks is said: {open}"
    );
    let told: Value = serde_json::from_str(&open.ok()).unwrap();
    let host = told["DOCKER_HOST"].as_str().unwrap().to_owned();
    let address = node.node.address();
    assert_eq!(
        host,
        format!("ssh://docker@{address}/run/podman/podman.sock")
    );
    assert!(told.get("DOCKER_CERT_PATH").is_none(), "{told:#}");

    // a prompt has nothing to say of it, and does not log in
    let used = sandbox.devnet(&["use", "crio-env", "--ssh-host", "--shell", "sh"]);
    let script = format!("{} exec \"$0\" hook --prompt bash", used.ok());
    let mut prompt = sandbox.command("sh");
    let prompt = Output::of(prompt.args(["-c", &script, env!("CARGO_BIN_EXE_devnet")]));
    assert_eq!(
        (prompt.code, prompt.stdout.as_str(), prompt.stderr.as_str()),
        (0, "", "")
    );

    // a shell that has it still means the profile with its own runtime
    let shell = node.sandbox().env("DOCKER_HOST", &host);
    let shell = shell.env("MINIKUBE_ACTIVE_DOCKERD", "crio-env");
    let images = shell.devnet(&["images"]);
    images.ok();

    // a version that takes a socket in an ssh address
    let docker =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/testbed/engine-28/usr/bin/docker");
    if !docker.exists() {
        missing("docker's command 28 (make engines)");
        return;
    }
    // the key that a person's ssh has in its configuration
    let folder = tempfile::tempdir().unwrap();
    let ssh = folder.path().join("ssh");
    let line = format!(
        "#!/bin/sh\nexec /usr/bin/ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i {} \"$@\"\n",
        node.node.key().display()
    );
    std::fs::write(&ssh, line).unwrap();
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command: Command = sandbox.command(&docker);
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        Output::of(
            command
                .args(arguments)
                .env("PATH", path)
                .env("DOCKER_HOST", &host),
        )
    };
    let version = run(&[
        "version",
        "--format",
        "{{(index .Server.Components 0).Name}}",
    ]);
    assert_eq!(version.ok().trim(), "Podman Engine");
    run(&["images"]).ok();
}
