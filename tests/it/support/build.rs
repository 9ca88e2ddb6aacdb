//! The parts that build tests share: a context in a sandbox, devnet and docker building it on the
//! node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Output, Sandbox, docker, testbed};

/// A sandbox whose engine is the testbed's node over TLS, or another one, and a folder for a context.
pub(crate) struct Build {
    engine: String,
    pub(crate) testbed: PathBuf,
    pub(crate) sandbox: Sandbox,
}

impl Build {
    /// `None` when this run has no testbed.
    pub(crate) fn new(files: &[(&str, &str)]) -> Option<Self> {
        let testbed = testbed()?;
        let this = Self {
            engine: "node".into(),
            sandbox: Sandbox::bare(),
            testbed,
        };
        for (name, text) in files {
            this.write(name, text);
        }
        Some(this)
    }

    /// Builds on another engine of the testbed.
    pub(crate) fn on(mut self, engine: &str) -> Self {
        self.engine = engine.into();
        self
    }

    fn socket(&self) -> String {
        format!("unix://{}/{}.sock", self.testbed.display(), self.engine)
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
        let certs = self.testbed.join("minikube/.minikube/certs");
        let mut command = if self.engine == "node" {
            let mut tls = self.sandbox.devnet_command(&["-H", "tcp://127.0.0.2:2376"]);
            tls.arg("--tls-cert-path").arg(certs);
            tls
        } else {
            self.sandbox.devnet_command(&["-H", &self.socket()])
        };
        command.arg("build").args(arguments).arg(self.context());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Runs the docker CLI on the node.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Output {
        docker(&self.testbed, &self.engine, arguments)
    }

    /// The files of an image, as `path` lines.
    pub(crate) fn files(&self, image: &str) -> Vec<String> {
        let own = self.sandbox.home().file_name().unwrap().to_string_lossy();
        let name = format!("files-{}", own.trim_start_matches('.'));
        let _gone = self.docker(&["rm", &name]);
        self.docker(&["create", "--name", &name, image, "x"]).ok();
        let tar = self.sandbox.home().join("export.tar");
        self.docker(&["export", "-o", tar.to_str().unwrap(), &name])
            .ok();
        self.docker(&["rm", &name]).ok();
        let list = Output::of(self.sandbox.command("tar").arg("-tf").arg(&tar)).ok();
        let made_by_docker = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
        list.lines()
            .filter(|path| !made_by_docker.iter().any(|own| path.starts_with(own)))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The docker CLI that belongs to the engine, building with BuildKit on the node. `None` (said
    /// loudly) where it can't.
    pub(crate) fn docker_build(&self, arguments: &[&str]) -> Option<Output> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the testbed says which engine this is"
        )]
        let tree = std::env::var_os("DEVNET_TESTBED_TREE").map_or("/".into(), PathBuf::from);
        let cli = tree.join("usr/bin/docker");
        let plugin = tree.join("usr/libexec/docker/cli-plugins/docker-buildx");
        let config = self.sandbox.home().join("docker-config");
        if plugin.exists() {
            fs::create_dir_all(config.join("cli-plugins")).unwrap();
            let link = config.join("cli-plugins/docker-buildx");
            if !exists(&link) {
                std::os::unix::fs::symlink(plugin, link).unwrap();
            }
        }
        let mut command = self.sandbox.command(cli);
        command
            .env("DOCKER_BUILDKIT", "1")
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("DOCKER_CONFIG", config)
            .env("DOCKER_HOST", self.socket())
            .arg("build")
            .args(arguments);
        let output = Output::of(&mut command);
        if output
            .stderr
            .contains("BuildKit is enabled but the buildx component is missing")
        {
            super::missing("a docker CLI with BuildKit");
            return None;
        }
        Some(output)
    }

    /// The digests of an image's layers.
    pub(crate) fn layers(&self, image: &str) -> String {
        self.docker(&["image", "inspect", "-f", "{{json .RootFS.Layers}}", image])
            .ok()
    }

    /// The engine's major version.
    pub(crate) fn major(&self) -> u32 {
        let version = self.docker(&["version", "-f", "{{.Server.Version}}"]).ok();
        version.split('.').next().unwrap().parse().unwrap()
    }

    /// True where images live in containerd's store.
    pub(crate) fn containerd_store(&self) -> bool {
        self.docker(&["info", "-f", "{{json .DriverStatus}}"])
            .ok()
            .contains("io.containerd.snapshotter.v1")
    }

    /// busybox as `bin/busybox` in the context, for steps that run something.
    pub(crate) fn with_busybox(self) -> Self {
        fs::create_dir_all(self.context().join("bin")).unwrap();
        fs::copy("/bin/busybox", self.context().join("bin/busybox")).unwrap();
        self
    }

    /// devnet on another socket, as a proxy's.
    pub(crate) fn command_at(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.devnet_command(&["-H", url, "build"]);
        command.args(arguments).arg(self.context());
        command
    }

    /// devnet with an input, without the context's path at the end.
    pub(crate) fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let file = self.sandbox.home().join("stdin");
        fs::write(&file, input).unwrap();
        let url = format!("unix://{}", self.testbed.join("node.sock").display());
        let mut command = self.sandbox.devnet_command(&["-H", &url, "build"]);
        command
            .args(arguments)
            .stdin(Stdio::from(fs::File::open(file).unwrap()));
        Output::of(&mut command)
    }
}

/// Also a dangling symlink exists.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The figures of the context in `-v`: files sent, entries compared, bytes sent.
pub(crate) fn sent(stderr: &str) -> (u64, u64, u64) {
    let line = stderr
        .lines()
        .find_map(|line| line.strip_prefix("context: "))
        .unwrap_or_else(|| panic!("no `context:` line in {stderr}"));
    let numbers: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[0], numbers[1], numbers[2])
}
