//! Engines of a test's own, which it may kill, freeze or fill.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Output, Sandbox, testbed_script, until};

/// An engine beside those of the testbed, gone with its data when this is dropped.
pub(crate) struct Engine {
    pub(crate) name: String,
    testbed: PathBuf,
    /// The version as `tests/testbed/engine.sh` names it; `None` is the testbed's own.
    version: Option<&'static str>,
    /// Its `daemon.json`.
    config: Option<String>,
    /// A folder with what names its plugins.
    plugins: Option<PathBuf>,
}

impl Engine {
    pub(crate) fn start(testbed: &Path, name: &str) -> Self {
        Self::of_version(testbed, name, None).expect("the testbed's own version is there")
    }

    /// One of another version; `None` when its programs are not on this computer.
    pub(crate) fn of_version(
        testbed: &Path,
        name: &str,
        version: Option<&'static str>,
    ) -> Option<Self> {
        let engine = Self {
            name: name.into(),
            testbed: testbed.into(),
            version,
            config: None,
            plugins: None,
        };
        if version.is_some() && engine.tree().is_none() {
            return None;
        }
        engine.script("start").ok();
        Some(engine)
    }

    /// One of the testbed's own version with this as its `daemon.json`.
    pub(crate) fn configured(testbed: &Path, name: &str, config: String) -> Self {
        let engine = Self {
            name: name.into(),
            testbed: testbed.into(),
            version: None,
            config: Some(config),
            plugins: None,
        };
        engine.script("start").ok();
        engine
    }

    /// One that finds the plugins which this folder names.
    pub(crate) fn with_plugins(testbed: &Path, name: &str, plugins: &Path) -> Self {
        let engine = Self {
            name: name.into(),
            testbed: testbed.into(),
            version: None,
            config: None,
            plugins: Some(plugins.into()),
        };
        engine.script("start").ok();
        engine
    }

    fn tree(&self) -> Option<PathBuf> {
        testbed_script::tree(self.version?.trim_end_matches('c'))
    }

    fn script(&self, verb: &str) -> Output {
        let kept = ["DEVNET_TESTBED_TREE", "DEVNET_TESTBED_ENGINE"];
        let change = |command: &mut Command| {
            if let Some(config) = &self.config {
                command.env("DEVNET_TESTBED_CONFIG", config);
            }
            if let (Some(version), Some(tree)) = (self.version, self.tree()) {
                command
                    .env("DEVNET_TESTBED_TREE", tree)
                    .env("DEVNET_TESTBED_ENGINE", version);
            }
            if let Some(plugins) = &self.plugins {
                command.env("DEVNET_TESTBED_PLUGINS", plugins);
            }
        };
        let arguments = [verb, &self.name];
        testbed_script::run(&self.testbed, "engine.sh", &kept, change, &arguments)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.testbed.join(format!("{}.sock", self.name))
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.testbed.join(&self.name)
    }

    /// The docker command against it.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Output {
        super::docker(&self.testbed, &self.name, arguments)
    }

    /// The events of containers so far: a line for each event of this kind, in this format.
    pub(crate) fn events(&self, kind: &str, format: &str) -> String {
        let kind = format!("event={kind}");
        let so_far = ["events", "--since", "0", "--until", "0s"];
        let which = ["--filter", "type=container", "--filter", &kind];
        let all = [&so_far[..], &which, &["--format", format]].concat();
        self.docker(&all).ok()
    }

    /// Builds an image with a base that can't be packed small, and a small top layer.
    pub(crate) fn image(&self, name: &str, megabytes: usize, top: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut noise = 88_172_645_463_325_252_u64;
        let base: Vec<u8> = std::iter::repeat_with(|| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()
        })
        .take(megabytes << 17)
        .flatten()
        .collect();
        std::fs::write(folder.path().join("base"), base).unwrap();
        std::fs::write(folder.path().join("top"), top).unwrap();
        std::fs::write(
            folder.path().join("Dockerfile"),
            "FROM devnet-test/busybox\nCOPY base /\nCOPY top /\n",
        )
        .unwrap();
        super::busybox_image(&self.testbed, &self.name);
        let folder = folder.path().display().to_string();
        let url = self.url();
        let build = ["-q", "-H", &url, "build", "-t", name, &folder];
        let sandbox = Sandbox::bare();
        if sandbox.devnet(&build).code != 0 {
            // an engine with containerd's store may build on a snapshot that it has removed
            sandbox.devnet(&[&build[..], &["--no-cache"]].concat()).ok();
        }
    }

    /// The text in the top layer of an image, as a container of it reads it.
    pub(crate) fn top(&self, image: &str) -> Output {
        let cat = ["/bin/busybox", "cat", "/top"];
        let run = ["run", "--rm", "--network", "none", image];
        self.docker(&[&run[..], &cat].concat())
    }

    /// Every name of an image here.
    pub(crate) fn names(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}}";
        let listed = self.docker(&["images", "--format", format]).ok();
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The containers that devnet made and left.
    pub(crate) fn left_over(&self) -> String {
        let filter = ["ps", "-aq", "--filter", "label=dev.devnet.role"];
        self.docker(&filter).ok()
    }

    /// Sends its process a signal, as `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder().join("pid")).unwrap();
        let sandbox = Sandbox::bare();
        let mut kill = sandbox.command("kill");
        Output::of(kill.args([&format!("-{signal}"), pid.trim()])).ok();
    }

    /// Starts it anew after it was killed.
    pub(crate) fn again(&self) {
        let pid = self.folder().join("pid");
        if let Ok(old) = std::fs::read_to_string(&pid) {
            until("the killed engine is gone", || {
                !Path::new(&format!("/proc/{}", old.trim())).exists()
            });
            // one that was told to end has removed it itself
            let _removed = std::fs::remove_file(&pid);
        }
        self.script("start").ok();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let stopped = self.script("stop");
        // what an engine that was killed has left mounted goes with the testbed
        let _left = std::fs::remove_dir_all(self.folder());
        if !std::thread::panicking() {
            stopped.ok();
        }
    }
}
