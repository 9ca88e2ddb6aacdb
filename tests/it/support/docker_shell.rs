//! A shell that was pointed at a cluster's engine by `devnet env`, with docker's own clients in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;

use super::containerd_node::ContainerdNode;
use super::{Output, Sandbox, testbed_script};

/// An environment as `eval $(devnet env)` leaves it.
pub(crate) struct DockerShell {
    sandbox: Sandbox,
    variables: BTreeMap<String, String>,
}

impl DockerShell {
    /// Asks devnet for it: the engine of the node runs then.
    pub(crate) fn of(node: &ContainerdNode) -> Self {
        let sandbox = node.sandbox();
        let text = sandbox
            .devnet(&["-p", &node.name, "env", "-o", "json"])
            .ok();
        Self {
            variables: serde_json::from_str(&text).unwrap(),
            sandbox,
        }
    }

    /// A program in it; `docker` builds by the classic way, unless told otherwise.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.sandbox.command(program);
        command.envs(&self.variables).env("DOCKER_BUILDKIT", "0");
        command
    }

    pub(crate) fn docker(&self, words: &[&str]) -> Output {
        Output::of(self.command("docker").args(words))
    }

    /// `docker build` with the buildx of that engine's version; `None` where it is not here.
    pub(crate) fn buildx(&self, version: &str, words: &[&str]) -> Option<Output> {
        let mut command = self.buildx_command(version, words)?;
        Some(Output::of(&mut command))
    }

    /// The same, ready to start.
    pub(crate) fn buildx_command(&self, version: &str, words: &[&str]) -> Option<Command> {
        let tree = testbed_script::tree(version)?;
        let plugin = tree.join("usr/libexec/docker/cli-plugins/docker-buildx");
        let config = self.sandbox.home().join("docker-config");
        std::fs::create_dir_all(config.join("cli-plugins")).unwrap();
        let link = config.join("cli-plugins/docker-buildx");
        let _there_already = std::os::unix::fs::symlink(plugin, link);
        let mut command = self.command(tree.join("usr/bin/docker"));
        command
            .env("DOCKER_BUILDKIT", "1")
            .env("DOCKER_CONFIG", config);
        command.args(words);
        Some(command)
    }

    /// A build of nothing but its own context, with busybox in it, and of what else its Dockerfile says:
    /// blobs of images that the node was given are discarded. The path of its folder.
    pub(crate) fn own_context(&self, folder: &str, rest: &str) -> String {
        let file = self.file(
            &format!("{folder}/Dockerfile"),
            &format!(
                "FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nCOPY busybox /bin/sh\nCOPY busybox /bin/echo\nCOPY busybox /bin/sleep\n{rest}\n"
            ),
        );
        let folder = file.trim_end_matches("/Dockerfile").to_owned();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let busybox = busybox
            .iter()
            .find(|path| std::path::Path::new(path).exists());
        std::fs::copy(busybox.unwrap(), format!("{folder}/busybox")).unwrap();
        folder
    }

    /// A program of testcontainers', where that was fetched.
    pub(crate) fn testcontainers(&self, program: &str) -> Option<Command> {
        let mut command = self.command(testbed_script::client("testcontainers-4.15.0")?);
        command.arg(self.file("server.py", program));
        Some(command)
    }

    /// A file in its home, and the path of it.
    pub(crate) fn file(&self, path: &str, text: &str) -> String {
        let path = self.sandbox.home().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Builds an image of busybox whose file `/said` has this text.
    pub(crate) fn build(&self, name: &str, text: &str) -> Output {
        let dockerfile = self.file(
            &format!("{text}/Dockerfile"),
            &format!("FROM busybox:1.35\nLABEL made={text}\nRUN echo {text} > /said\n"),
        );
        let folder = dockerfile.trim_end_matches("/Dockerfile");
        self.docker(&["build", "-q", "-t", name, folder])
    }

    pub(crate) fn devnet(&self, words: &[&str]) -> Output {
        let mut command = self.sandbox.devnet_command(words);
        Output::of(command.envs(&self.variables))
    }

    /// The variable's value.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.variables[name]
    }
}
