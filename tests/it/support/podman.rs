//! A podman of a test's own, whose Docker API listens on a socket; only where the testbed's
//! namespaces keep it apart from the computer's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Output, Sandbox, until};

/// The service; it ends with the test, and its containers with it.
pub(crate) struct Podman {
    /// Its configuration and its store.
    folder: tempfile::TempDir,
    service: Child,
    pub(crate) socket: PathBuf,
}

impl Podman {
    /// Starts it; its socket is `podman.sock` in the testbed. `None` where podman is not there.
    pub(crate) fn start(testbed: &Path) -> Option<Self> {
        Self::named(testbed, "podman")
    }

    /// The same, whose socket is `NAME.sock` there.
    pub(crate) fn named(testbed: &Path, name: &str) -> Option<Self> {
        if !Path::new("/usr/bin/podman").exists() {
            super::missing("podman");
            return None;
        }
        let folder = tempfile::tempdir_in(testbed).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("tmp")).unwrap();
        let engine = format!(
            "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\nlock_type = \"file\"\ntmp_dir = \"{}\"\n[network]\nnetwork_config_dir = \"{}\"\n",
            path("libpod"),
            path("networks")
        );
        std::fs::write(path("containers.conf"), engine).unwrap();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            path("root"),
            path("run")
        );
        std::fs::write(path("storage.conf"), storage).unwrap();
        let socket = testbed.join(format!("{name}.sock"));
        let service = program(folder.path())
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let podman = Self {
            folder,
            service,
            socket,
        };
        until("podman listens", || {
            std::os::unix::net::UnixStream::connect(&podman.socket).is_ok()
        });
        Some(podman)
    }

    /// Runs podman's own program beside it.
    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        Output::of(program(self.folder.path()).args(arguments)).ok()
    }

    /// devnet against it, with a home of its own.
    pub(crate) fn devnet(&self, arguments: &[&str]) -> Output {
        let url = format!("unix://{}", self.socket.display());
        Sandbox::bare().devnet(&[&["-H", &url], arguments].concat())
    }

    /// An image that holds busybox.
    pub(crate) fn busybox(&self) -> String {
        let context = self.folder.path().join("tmp").join("busybox");
        std::fs::create_dir_all(&context).unwrap();
        std::fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        let file =
            "FROM scratch\nCOPY busybox /bin/busybox\nCMD [\"/bin/busybox\",\"sleep\",\"3600\"]\n";
        std::fs::write(context.join("Dockerfile"), file).unwrap();
        let name = "localhost/busybox:test".to_owned();
        self.podman(&["build", "-q", "-t", &name, &context.display().to_string()]);
        name
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // storage is mounted as long as containers are there
        let _ended = Output::of(program(self.folder.path()).args(["rm", "-fa", "-t", "0"]));
        let _ended = self.service.kill();
        let _ended = self.service.wait();
    }
}

fn program(folder: &Path) -> Command {
    let mut podman = Sandbox::bare().command("/usr/bin/podman");
    podman
        .current_dir(folder)
        .env("CONTAINERS_CONF", folder.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .env("HOME", folder)
        .env("TMPDIR", folder.join("tmp"));
    podman
}
