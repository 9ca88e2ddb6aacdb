//! Nodes of minikube's docker driver: containers on an engine of this computer.

use std::path::Path;
use std::process::{Child, Stdio};

use super::containerd_node::ContainerdNode;
use super::engines::Engine;
use super::{Output, Sandbox, busybox_image, until};

/// A container that stands for a node: what is run in it by the engine's exec runs in the node as
/// root, with a terminal too, and the node's ports 22 and 2376 are published at this computer. It and its engine
/// are gone when this is dropped.
pub(crate) struct NodeContainer {
    pub(crate) engine: Engine,
    /// The profile, the machine and the container.
    pub(crate) name: String,
    forwards: [Child; 2],
}

impl NodeContainer {
    pub(crate) fn start(testbed: &Path, node: &ContainerdNode) -> Self {
        Self::publishing(testbed, node, &["22", "2376"])
    }

    /// One of which only these ports are published.
    pub(crate) fn publishing(testbed: &Path, node: &ContainerdNode, ports: &[&str]) -> Self {
        let name = format!("{}-kic", node.name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/node-runtime.sh");
        let config = serde_json::json!({"runtimes": {"node": {"path": script}}});
        let engine = Engine::configured(testbed, &name, config.to_string());
        let image = busybox_image(testbed, &name);
        let subnet = format!("10.203.{}.0/24", 90 + node.number());
        engine
            .docker(&["network", "create", "--subnet", &subnet, &name])
            .ok();
        let folder = format!("NODE_FOLDER={}", node.folder().display());
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let run = [
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            &name,
            "--pid=host",
        ];
        let whose = ["--runtime=node", "-e", &folder, "-e", path];
        // all that root has here
        let rights = ["--cap-add=ALL", "--cap-drop=SYS_RESOURCE"];
        let unconfined = ["--security-opt=seccomp=unconfined"];
        let ports: Vec<String> = ports
            .iter()
            .map(|port| format!("--publish=127.0.0.1::{port}"))
            .collect();
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let what = [image.as_str(), "/bin/busybox", "sleep", "100000"];
        let all = [&run[..], &whose, &rights, &unconfined, &ports, &what];
        engine.docker(&all.concat()).ok();
        let pid = engine
            .docker(&["inspect", "-f", "{{.State.Pid}}", &name])
            .ok();
        let sandbox = Sandbox::bare();
        let forwards = [22, 2376].map(|port| {
            sandbox
                .command("nsenter")
                .args(["-t", pid.trim(), "-n", "socat"])
                .arg(format!("TCP-LISTEN:{port},fork,reuseaddr,nodelay"))
                .arg(format!("TCP:{}:{port},nodelay", node.own_address()))
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        until("the ports of the node's container are listened at", || {
            let tables = ["tcp", "tcp6"].map(|table| {
                std::fs::read_to_string(format!("/proc/{}/net/{table}", pid.trim())).unwrap()
            });
            // as procfs writes a listener: its port in hexadecimal digits, nobody, and the state
            [22, 2376].iter().all(|port| {
                let end = format!(":{port:04X}");
                let listens = |line: &str| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words.get(1).is_some_and(|own| own.ends_with(&end)) && words[3] == "0A"
                };
                tables.iter().any(|table| table.lines().any(listens))
            })
        });
        Self {
            engine,
            name,
            forwards,
        }
    }

    /// The address at which the node's port 22 is published.
    pub(crate) fn login(&self) -> String {
        let out = self.engine.docker(&["port", &self.name, "22"]).ok();
        out.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// A sandbox that knows the node as minikube's docker driver does, and the engine that runs it.
    pub(crate) fn sandbox(&self, node: &ContainerdNode) -> Sandbox {
        node.sandbox().env("DOCKER_HOST", &self.engine.url())
    }

    /// Runs a command in the node by the engine's exec.
    pub(crate) fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        let all = [&["exec"], flags, &[self.name.as_str()], command].concat();
        self.engine.docker(&all)
    }
}

impl Drop for NodeContainer {
    fn drop(&mut self) {
        for forward in &mut self.forwards {
            let _gone = forward.kill();
            let _reaped = forward.wait();
        }
        let removed = self.engine.docker(&["rm", "-f", &self.name]);
        if !std::thread::panicking() {
            removed.ok();
        }
    }
}
