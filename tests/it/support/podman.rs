//! podman's Docker API, served for one test.

use std::path::Path;
use std::process::{Child, Stdio};

use super::{Sandbox, missing, until};

/// The service, with a store of its own; gone with the test.
pub(crate) struct Podman {
    service: Child,
    /// Its configuration and its store.
    sandbox: Sandbox,
}

impl Podman {
    /// Serves `podman.sock` in the ground; `None` where podman is not there.
    pub(crate) fn start(ground: &Path) -> Option<Self> {
        if !Path::new("/usr/bin/podman").exists() {
            missing("podman");
            return None;
        }
        let sandbox = Sandbox::bare();
        let path = |name: &str| sandbox.home().join(name).display().to_string();
        let socket = ground.join("podman.sock");
        // no systemd is asked for anything
        let config = "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n";
        std::fs::write(path("containers.conf"), config).unwrap();
        let mut command = sandbox.command("podman");
        command
            .env("CONTAINERS_CONF", path("containers.conf"))
            .args(["--root", &path("root"), "--runroot", &path("run")])
            .args(["--tmpdir", &path("tmp"), "--storage-driver", "vfs"])
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let service = command.spawn().unwrap();
        until("podman listens", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        Some(Self { service, sandbox })
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ended = self.service.kill();
        let _ended = self.service.wait();
        assert!(self.sandbox.home().exists());
    }
}
