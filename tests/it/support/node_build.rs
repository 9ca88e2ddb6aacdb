//! The parts that tests of builds on a containerd node share: a context in a sandbox, and devnet
//! building it there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::containerd_node::ContainerdNode;
use super::node_kubelet::{Container, Pod, Wanted};
use super::{Output, Sandbox, until};

/// A context in a sandbox whose active profile is a node's.
pub(crate) struct NodeBuild<'a> {
    pub(crate) node: &'a ContainerdNode,
    pub(crate) sandbox: Sandbox,
}

impl<'a> NodeBuild<'a> {
    pub(crate) fn new(node: &'a ContainerdNode, files: &[(&str, &str)]) -> Self {
        let this = Self {
            node,
            sandbox: node.sandbox(),
        };
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    /// With busybox as `bin/busybox`, for steps and pods that run something.
    pub(crate) fn with_busybox(self) -> Self {
        fs::create_dir_all(self.context().join("bin")).unwrap();
        fs::copy("/bin/busybox", self.context().join("bin/busybox")).unwrap();
        self
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.sandbox.home().join("context")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.devnet_command(&["build"]);
        command.args(arguments).arg(self.context());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// The names of all images of the node's cluster, as containerd has them.
    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.node.ctr(&["images", "list", "-q"]).ok();
        list.lines().map(ToOwned::to_owned).collect()
    }

    /// The IDs by which CRI knows the images of the node's cluster.
    pub(crate) fn ids(&self) -> Vec<String> {
        let names = self.names().into_iter();
        names.filter(|name| name.starts_with("sha256:")).collect()
    }

    /// Waits until no name of a build that is over is left, other tests' among them, and asserts that
    /// `not` is no name.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self, not: &str) {
        let stands = |word: &str| self.names().iter().any(|name| name.contains(word));
        until("no build's own name stands", || !stands("devnet-transfer"));
        assert!(!stands(not), "{:?}", self.names());
    }

    /// Starts a pod from an image by CRI, and reads a file in it.
    pub(crate) fn in_a_pod(&self, pod: &str, image: &str, file: &str) -> String {
        let sleeper = Container::of("app", image, &["/bin/busybox", "sleep", "1000"]);
        let _pod = Pod::up(self.node, Wanted::pod(pod).with(sleeper));
        self.sandbox
            .devnet(&["exec", pod, "--", "/bin/busybox", "cat", file])
            .ok()
    }
}
