//! Nodes of minikube clusters that run cri-o, as far as images go: a node with a real sshd, sudo and
//! podman, and a stand-in for cri-o's own socket (`crio_images.rs`), which no suite has.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::containerd_node::ContainerdNode;
use super::crio_images::CrioImages;
use super::{Output, Sandbox, missing, testbed_script, until};

/// A running node, gone with its data when this is dropped.
pub(crate) struct CrioNode {
    pub(crate) images: CrioImages,
    pub(crate) node: ContainerdNode,
}

impl CrioNode {
    /// A node with this computer's podman; `None` without one.
    pub(crate) fn start(testbed: &Path, name: &str) -> Option<Self> {
        if !Path::new("/usr/bin/podman").exists() {
            missing("podman");
            return None;
        }
        Some(Self::with_tree(testbed, name, None))
    }

    /// One with podman of a version, `5.4` or `5.8`; `None` where it is not on this computer.
    pub(crate) fn of_version(testbed: &Path, name: &str, version: &str) -> Option<Self> {
        let tree = testbed_script::podman(version)?;
        Some(Self::with_tree(testbed, name, Some(&tree)))
    }

    fn with_tree(testbed: &Path, name: &str, tree: Option<&Path>) -> Self {
        let node = ContainerdNode::start(testbed, name);
        let configuration = std::fs::read_to_string(node.path("/etc/containerd/config.toml"));
        let driver = if configuration.unwrap().contains("\"overlayfs\"") {
            "overlay"
        } else {
            "vfs"
        };
        let etc = node.path("/etc/containers");
        std::fs::create_dir_all(&etc).unwrap();
        let write = |name: &str, text: &str| std::fs::write(etc.join(name), text).unwrap();
        write(
            "containers.conf",
            "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\nlock_type = \"file\"\n",
        );
        write(
            "storage.conf",
            &format!(
                "[storage]\ndriver = \"{driver}\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n"
            ),
        );
        write(
            "policy.json",
            "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}",
        );
        write(
            "registries.conf",
            "unqualified-search-registries = [\"docker.io\"]\n",
        );
        if let Some(tree) = tree {
            let lower = format!("lowerdir={}/usr:/usr", tree.display());
            node.run(&["mount", "-t", "overlay", "overlay", "-o", &lower, "/usr"])
                .ok();
        }
        let pid = std::fs::read_to_string(node.folder().join("pid")).unwrap();
        let podman = Box::new(move |words: &[&str]| podman(&pid, words));
        let root = node.path("/var/lib/containers/storage");
        let images = CrioImages::serve(
            &node.folder(),
            &node.path("/run/crio/crio.sock"),
            &root,
            podman,
        );
        Self { images, node }
    }

    /// A sandbox whose minikube home has this node alone, as the profile of its name.
    pub(crate) fn sandbox(&self) -> Sandbox {
        cluster(&[self])
    }

    /// devnet for its profile.
    pub(crate) fn devnet(&self, arguments: &[&str]) -> Output {
        self.sandbox().devnet(arguments)
    }

    /// podman on the node, as root.
    pub(crate) fn podman(&self, words: &[&str]) -> Output {
        self.node.run(&[&["podman"], words].concat())
    }

    /// A path of the node as this computer sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.node.path(path)
    }

    /// Serves podman's Docker API at its socket: root's alone, or one that the login's group may open.
    pub(crate) fn serve_api(&self, for_the_login: bool) -> PodmanApi<'_> {
        let rights = if for_the_login {
            "chgrp docker /run/podman /run/podman/podman.sock; chmod 750 /run/podman; chmod 660 /run/podman/podman.sock"
        } else {
            "chmod 700 /run/podman; chmod 600 /run/podman/podman.sock"
        };
        let line = "mkdir -p /run/podman; rm -f /run/podman/podman.sock; echo $$ >/run/podman/pid; \
                    exec podman system service --time 0 unix:///run/podman/podman.sock";
        let sandbox = Sandbox::bare();
        let mut command = self.node.command(&sandbox, "sh");
        let service = command
            .args(["-c", line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let api = PodmanApi {
            node: self,
            service,
        };
        let socket = self.path("/run/podman/podman.sock");
        until("podman's API listens", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        self.node.run(&["sh", "-c", rights]).ok();
        api
    }

    /// Puts a program in podman's place, which finds the real one at `/var/lib/real-podman`.
    pub(crate) fn instead_of_podman(&self, script: &str) {
        let place = self.path("/var/lib/podman-script");
        std::fs::write(&place, script).unwrap();
        let line = "cp /usr/bin/podman /var/lib/real-podman; chmod 755 /var/lib/podman-script; \
                    mount --bind /var/lib/podman-script /usr/bin/podman";
        self.node.run(&["sh", "-c", line]).ok();
    }

    /// Does something while this computer's podman is the node's, which is older than its own.
    pub(crate) fn with_older_podman(&self, work: impl FnOnce()) {
        let away = "mkdir -p /run/newer && mount --bind /usr /run/newer && umount -l /usr";
        self.node.run(&["sh", "-c", away]).ok();
        work();
        self.node
            .run(&["mount", "--bind", "/run/newer", "/usr"])
            .ok();
    }

    /// Waits until nothing that devnet started runs there, and nothing of it lies there.
    pub(crate) fn until_nothing_is_left(&self) {
        let left = "find /run/devnet /var/lib/devnet /var/tmp -mindepth 1 2>/dev/null; \
                    pgrep -fa '[p]odman-session|[d]evnet-probe|[p]odman load'; true";
        until("nothing of devnet's is on the node", || {
            self.node.run(&["sh", "-c", left]).ok().is_empty()
        });
    }
}

/// podman's Docker API, served until this is dropped.
pub(crate) struct PodmanApi<'n> {
    node: &'n CrioNode,
    service: std::process::Child,
}

impl Drop for PodmanApi<'_> {
    fn drop(&mut self) {
        // what runs in the node is no child of this process
        let line = "kill -KILL $(cat /run/podman/pid); rm -f /run/podman/podman.sock";
        let _ended = self.node.node.run(&["sh", "-c", line]);
        let _ended = self.service.wait();
    }
}

/// podman in the namespaces of the node whose first process has this number.
fn podman(pid: &str, words: &[&str]) -> Output {
    let pid = pid.trim();
    let sandbox = Sandbox::bare();
    let mut command = sandbox.command("nsenter");
    command
        .args(["-t", pid, "--mount", "--uts", "--ipc", "--net", "--cgroup"])
        .arg(format!("--pid=/proc/{pid}/ns/pid_for_children"))
        .args(["--wd=/", "--"])
        .arg("podman")
        .args(words)
        .env("TMPDIR", "/var/tmp")
        .env("HOME", "/root");
    Output::of(&mut command)
}

/// A sandbox whose minikube home has one cluster of these nodes, whose name is the first node's.
pub(crate) fn cluster(nodes: &[&CrioNode]) -> Sandbox {
    let nodes: Vec<&ContainerdNode> = nodes.iter().map(|one| &one.node).collect();
    super::containerd_node::cluster_of(&nodes[0].name.clone(), "cri-o", &nodes)
}
