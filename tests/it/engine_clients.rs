//! docker's own clients through the engine that devnet runs on a containerd node: what they build is the
//! cluster's at once.

use std::path::Path;

use crate::support::containerd_node::ContainerdNode;
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, missing, testbed};

/// A node with a Docker engine of a version; `None` where its programs are not here.
fn node(name: &str, containerd: &'static str, dockerd: &'static str) -> Option<ContainerdNode> {
    let testbed = testbed()?;
    let node = ContainerdNode::with_dockerd(&testbed, name, Some(containerd), Some(dockerd));
    if node.is_none() {
        missing("engines of other versions (run `make engines`)");
    }
    node
}

/// True where a program of this computer works.
fn works(program: &str, words: &[&str]) -> bool {
    let sandbox = Sandbox::bare();
    let there =
        Path::new(program).exists() && Output::of(sandbox.command(program).args(words)).code == 0;
    if !there {
        missing(program);
    }
    there
}

/// A pod that runs an image which some client has built, and says what the client wrote into it.
fn said_by_a_pod(node: &ContainerdNode, name: &str, image: &str) -> String {
    let image = format!("docker.io/library/{image}");
    let app = Container::of("app", &image, &["sleep", "3600"]);
    let _pod = Pod::up(node, Wanted::pod(name).with(app));
    let sandbox = node.sandbox();
    let exec = ["-p", &node.name, "exec", name, "--", "cat", "/said"];
    sandbox.devnet(&exec).ok()
}

#[test]
fn docker_and_buildx_build_for_pods() {
    for (containerd, dockerd) in [("1.6", "26"), ("2.1", "28")] {
        let Some(node) = node(&format!("bx{dockerd}"), containerd, dockerd) else {
            continue;
        };
        let shell = DockerShell::of(&node);
        // of nothing but its own context: blobs of images that the node was given are discarded
        let busybox = std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox"));
        let dockerfile = shell.file(
            "x/Dockerfile",
            "FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"busybox --install /bin; echo buildx > /said\"]\n",
        );
        let folder = dockerfile.trim_end_matches("/Dockerfile").to_owned();
        std::fs::write(format!("{folder}/busybox"), busybox.unwrap()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(format!("{folder}/busybox"), mode).unwrap();
        for (version, name) in [(dockerd, "bx:v1"), (dockerd, "bx:v1")] {
            let Some(built) = shell.buildx(version, &["build", "-t", name, &folder]) else {
                missing("buildx of that version");
                continue;
            };
            built.ok();
        }
        assert_eq!(said_by_a_pod(&node, "of-buildx", "bx:v1"), "buildx\n");
        for allowed in [
            &["buildx", "prune", "-af"][..],
            &["builder", "prune", "-af"],
        ] {
            if let Some(pruned) = shell.buildx(dockerd, allowed) {
                pruned.ok();
            }
        }
        // the cache is gone, the image is not
        assert_eq!(said_by_a_pod(&node, "of-buildx-again", "bx:v1"), "buildx\n");
        let again = ["run", "--rm", "bx:v1", "cat", "/said"];
        assert_eq!(shell.docker(&again).ok(), "buildx\n");
    }
}

#[test]
fn a_python_program_builds_for_pods_and_runs_containers() {
    if !works("/usr/bin/python3", &["-c", "import docker"]) {
        return;
    }
    let Some(node) = node("py", "1.6", "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    let program = shell.file(
        "client.py",
        r#"
import docker, io
client = docker.from_env()
text = b"FROM busybox:1.35\nRUN echo python > /said\n"
image, _ = client.images.build(fileobj=io.BytesIO(text), tag="py:v1", rm=True)
print(client.containers.run("py:v1", "cat /said", remove=True).decode(), end="")
box = client.containers.run("py:v1", "sleep 3600", detach=True, ports={"80/tcp": None})
print(box.exec_run("cat /said").output.decode(), end="")
box.reload()
print(len(box.attrs["NetworkSettings"]["Ports"]["80/tcp"]) > 0)
box.remove(force=True)
try:
    client.images.prune(filters={"dangling": False})
except docker.errors.APIError as error:
    print("devnet images prune" in str(error))
"#,
    );
    let said = Output::of(shell.command("/usr/bin/python3").arg(program)).ok();
    assert_eq!(said, "python\npython\nTrue\nTrue\n");
    assert_eq!(said_by_a_pod(&node, "of-python", "py:v1"), "python\n");
}

#[test]
fn compose_brings_up_services_and_takes_down_what_no_pod_runs() {
    if !works("/usr/bin/docker-compose", &["version"]) {
        return;
    }
    let Some(node) = node("cmp", "1.6", "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    shell.file(
        "shop/web/Dockerfile",
        "FROM busybox:1.35\nRUN echo compose > /said\n",
    );
    let file = shell.file(
        "shop/docker-compose.yml",
        "version: '3'\nservices:\n  web:\n    build: web\n    image: web:v1\n    command: sh -c 'cp /said /w; exec httpd -f -p 80 -h /'\n  \
         client:\n    image: busybox:1.35\n    command: sh -c 'until wget -qO- http://web/said; do sleep 0.1; done'\n    depends_on: [web]\n",
    );
    let compose = |words: &[&str]| {
        let mut command = shell.command("/usr/bin/docker-compose");
        Output::of(command.args(["-f", &file]).args(words))
    };
    compose(&["up", "-d", "--build"]).ok();
    crate::support::until("one service reaches the other by name", || {
        compose(&["logs", "client"]).ok().contains("compose")
    });
    // busybox is what pods run, and web what one does
    let image = "docker.io/library/web:v1";
    let pod = Pod::up(
        &node,
        Wanted::pod("web").with(Container::of("app", image, &["sleep", "3600"])),
    );
    let said = compose(&["down", "--rmi", "all"]);
    assert!(said.stderr.contains("pod default/web runs it"), "{said}");
    assert_eq!(shell.docker(&["ps", "-aq"]).ok(), "");
    shell.docker(&["image", "inspect", "web:v1"]).ok();
    pod.delete();
    shell.docker(&["rmi", "web:v1"]).ok();
}
