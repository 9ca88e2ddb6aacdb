//! Nodes of minikube clusters that run containerd, as `tests/testbed/node.sh` makes them, and the same
//! with the stand-in for cri-o beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cri::Cri;
use super::crio::Crio;
use super::{Output, Sandbox, missing, testbed, testbed_script, until};

/// The image of most containers: a busybox with all its applets.
pub(crate) const BUSYBOX: &str = "docker.io/library/busybox:1.35";
/// An image with one program, `/server`, and no shell.
pub(crate) const DISTROLESS: &str = "docker.io/library/distroless:v1";

/// The node that tests share: each uses pods of its own, and nobody stops its runtime.
/// `None` without the testbed.
pub(crate) fn containerd_node() -> Option<&'static ContainerdNode> {
    static SHARED: OnceLock<ContainerdNode> = OnceLock::new();
    let testbed = testbed()?;
    Some(SHARED.get_or_init(|| {
        let node = ContainerdNode {
            testbed,
            name: "ctr".into(),
            dockerd: None,
            snapshotter: None,
            systemd: false,
            maps_users: false,
            crio: None,
        };
        node.script(&["start", "ctr"]).ok();
        node
    }))
}

/// The node that tests of builds share: what stands for buildkitd runs there. `None` without the
/// testbed, or an engine that can stand for it.
pub(crate) fn building_node() -> Option<&'static ContainerdNode> {
    static SHARED: OnceLock<Option<ContainerdNode>> = OnceLock::new();
    let testbed = testbed()?;
    let shared = SHARED.get_or_init(|| ContainerdNode::building(&testbed, "ctrbuild"));
    shared.as_ref()
}

/// A running node; one of a test's own is gone with its data when this is dropped.
pub(crate) struct ContainerdNode {
    testbed: PathBuf,
    pub(crate) name: String,
    /// The version of the Docker engine that lies there; `None` is this computer's.
    dockerd: Option<&'static str>,
    /// The snapshotter of its pods; `None` is the testbed's own.
    snapshotter: Option<&'static str>,
    /// True where its first process is systemd.
    systemd: bool,
    /// True where its runc maps the users of mounts.
    maps_users: bool,
    /// The server that answers as its runtime, where that is cri-o.
    pub(crate) crio: Option<Crio>,
}

impl ContainerdNode {
    /// A node of a test's own, which it may kill, freeze or fill.
    pub(crate) fn start(testbed: &Path, name: &str) -> Self {
        Self::of_version(testbed, name, None).expect("the testbed's own version is there")
    }

    /// One of a test's own whose pods stand on another snapshotter.
    pub(crate) fn with_snapshotter(testbed: &Path, name: &str, snapshotter: &'static str) -> Self {
        let node = Self {
            testbed: testbed.into(),
            name: name.into(),
            dockerd: None,
            snapshotter: Some(snapshotter),
            systemd: false,
            maps_users: false,
            crio: None,
        };
        node.script(&["start", name]).ok();
        node
    }

    /// One of a version as `node.sh` names it; `None` when its programs are not on this computer.
    pub(crate) fn of_version(
        testbed: &Path,
        name: &str,
        version: Option<&'static str>,
    ) -> Option<Self> {
        Self::with_dockerd(testbed, name, version, None)
    }

    /// One on which a Docker engine of a version as `engine.sh` names it lies and does not run;
    /// `None` when the programs of either are not on this computer.
    pub(crate) fn with_dockerd(
        testbed: &Path,
        name: &str,
        version: Option<&'static str>,
        dockerd: Option<&'static str>,
    ) -> Option<Self> {
        Self::begin(
            Self {
                testbed: testbed.into(),
                name: name.into(),
                dockerd,
                snapshotter: None,
                systemd: false,
                maps_users: false,
                crio: None,
            },
            version,
        )
    }

    /// One whose first process is systemd, with such a Docker engine; `None` when its programs are not on
    /// this computer.
    pub(crate) fn with_systemd(testbed: &Path, name: &str, dockerd: &'static str) -> Option<Self> {
        if !Path::new("/lib/systemd/systemd").exists() {
            return None;
        }
        Self::begin(
            Self {
                testbed: testbed.into(),
                name: name.into(),
                dockerd: Some(dockerd),
                snapshotter: None,
                systemd: true,
                maps_users: false,
                crio: None,
            },
            None,
        )
    }

    /// One whose pods may have users of their own; `None` when its programs are not on this computer.
    pub(crate) fn with_mapped_users(testbed: &Path, name: &str) -> Option<Self> {
        testbed_script::tree("runc-1.3")?;
        Self::begin(
            Self {
                testbed: testbed.into(),
                name: name.into(),
                dockerd: None,
                snapshotter: None,
                systemd: false,
                maps_users: true,
                crio: None,
            },
            Some("2.1"),
        )
    }

    fn begin(node: Self, version: Option<&'static str>) -> Option<Self> {
        if let Some(version) = version {
            let engine = match version {
                "1.6" => "20.10",
                "1.7" => "26",
                _ => "28",
            };
            testbed_script::tree(engine)?;
        }
        if let Some(dockerd) = node.dockerd {
            testbed_script::tree(dockerd)?;
        }
        let mut arguments = vec!["start", &node.name];
        arguments.extend(version);
        node.script(&arguments).ok();
        Some(node)
    }

    /// One of a test's own that builds; `None` when what stands for buildkitd is not on this computer.
    pub(crate) fn building(testbed: &Path, name: &str) -> Option<Self> {
        if testbed_script::tree("28").is_none() {
            missing("a Docker engine 28 (make engines)");
            return None;
        }
        let node = Self::start(testbed, name);
        node.buildkitd(&["start"]);
        Some(node)
    }

    /// One of a test's own whose profile, and whose pods, are of cri-o; with `infra` each sandbox has a
    /// process.
    pub(crate) fn with_crio(testbed: &Path, name: &str, infra: bool) -> Self {
        let mut node = Self::start(testbed, name);
        node.crio = Some(Crio::serve(&node.folder(), infra));
        let profiles = node.folder().join("minikube/.minikube/profiles");
        for profile in std::fs::read_dir(profiles).unwrap() {
            let record = profile.unwrap().path().join("config.json");
            let text = std::fs::read_to_string(&record).unwrap();
            let of_crio = text.replace(
                r#""ContainerRuntime": "containerd""#,
                r#""ContainerRuntime": "crio""#,
            );
            assert_ne!(text, of_crio, "{}", record.display());
            std::fs::write(&record, of_crio).unwrap();
        }
        node
    }

    /// Starts (`start`, or `start plain` for one that does not build into containerd), stops or kills
    /// what stands for buildkitd.
    pub(crate) fn buildkitd(&self, words: &[&str]) {
        let all = [&["buildkitd", self.name.as_str()], words].concat();
        self.script(&all).ok();
    }

    /// Starts another Docker engine on the node's containerd and ends it again.
    pub(crate) fn second_engine(&self) {
        self.script(&["buildkitd", &self.name, "second"]).ok();
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let kept = ["DEVNET_TESTBED_CONTAINERD", "DEVNET_TESTBED_BUILDKITD"];
        let change = |command: &mut Command| {
            if let Some(tree) = self.dockerd.and_then(testbed_script::tree) {
                command.env("DEVNET_TESTBED_DOCKERD", tree);
            }
            if let Some(snapshotter) = self.snapshotter {
                command.env("DEVNET_TESTBED_SNAPSHOTTER", snapshotter);
            }
            if let Some(tree) = self.maps_users.then(|| testbed_script::tree("runc-1.3")) {
                command.env("DEVNET_TESTBED_RUNC", tree.unwrap());
            }
            if self.systemd {
                command.env("DEVNET_TESTBED_SYSTEMD", "1");
            }
        };
        testbed_script::run(&self.testbed, "node.sh", &kept, change, arguments)
    }

    /// Its folder in the testbed: `minikube/.minikube`, and its `/etc` and `/var`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.testbed.join(&self.name)
    }

    /// Its number among the testbed's nodes.
    pub(crate) fn number(&self) -> u8 {
        let number = std::fs::read_to_string(self.folder().join("number")).unwrap();
        number.trim().parse().unwrap()
    }

    /// The address of its sshd, port 22, user `docker`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.7.{}", self.number())
    }

    /// Its address in the network between it and this computer.
    pub(crate) fn own_address(&self) -> String {
        format!("192.168.{}.2", 48 + self.number())
    }

    /// The private key of its login.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder()
            .join("minikube/.minikube/machines")
            .join(&self.name)
            .join("id_rsa")
    }

    /// A sandbox whose minikube home knows this node: the active profile has its name.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let home = self.folder().join("minikube/.minikube");
        Sandbox::bare().env("MINIKUBE_HOME", &home.display().to_string())
    }

    /// A path of the node as this computer sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let pid = std::fs::read_to_string(self.folder().join("pid")).unwrap();
        PathBuf::from(format!("/proc/{}/root{path}", pid.trim()))
    }

    /// Its containerd, also after it was restarted.
    pub(crate) fn socket(&self) -> PathBuf {
        match &self.crio {
            Some(crio) => crio.socket.clone(),
            None => self.folder().join("containerd.sock"),
        }
    }

    pub(crate) fn cri(&self) -> Cri {
        Cri::at(&self.socket())
    }

    /// A program of the node, as root in all its namespaces; for its home and its folder for
    /// temporary files it has the node's. `sandbox` says the rest of its environment.
    pub(crate) fn command(
        &self,
        sandbox: &Sandbox,
        program: impl AsRef<std::ffi::OsStr>,
    ) -> Command {
        let pid = std::fs::read_to_string(self.folder().join("pid")).unwrap();
        let pid = pid.trim();
        let mut command = sandbox.command("nsenter");
        command
            .args(["-t", pid, "--mount", "--uts", "--ipc", "--net", "--cgroup"])
            .arg(format!("--pid=/proc/{pid}/ns/pid_for_children"))
            .args(["--wd=/", "--"])
            .arg(program)
            .env("TMPDIR", "/var/tmp")
            .env("HOME", "/var/home/person")
            .env("MINIKUBE_HOME", "/var/home/person/.minikube");
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a program on the node as root.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let sandbox = Sandbox::bare();
        Output::of(self.command(&sandbox, words[0]).args(&words[1..]))
    }

    /// Runs devnet on the node itself, as root: the profile of the driver `none` is `NAME-none`.
    pub(crate) fn devnet_on_it(&self, arguments: &[&str]) -> Output {
        let sandbox = Sandbox::bare();
        Output::of(
            self.command(&sandbox, env!("CARGO_BIN_EXE_devnet"))
                .args(arguments),
        )
    }

    /// The program `ctr` of its version, in the namespace of its pods.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Output {
        self.run(&[&["ctr", "-n", "k8s.io"], arguments].concat())
    }

    /// Has containerd throw away now what nothing keeps: by itself it does so after a hundred changes.
    pub(crate) fn collect(&self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let spare = format!("spare-{}-{count}", std::process::id());
        self.ctr(&["leases", "create", "--id", &spare]).ok();
        self.ctr(&["leases", "delete", "--sync", &spare]).ok();
    }

    /// Logs in with the system's ssh as minikube does, and runs a command line there.
    pub(crate) fn ssh(&self, line: &str) -> Output {
        let sandbox = Sandbox::bare();
        Output::of(&mut self.ssh_command(&sandbox, line))
    }

    /// The same, ready to start.
    pub(crate) fn ssh_command(&self, sandbox: &Sandbox, line: &str) -> Command {
        let mut ssh = sandbox.command("ssh");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
            .args(["-o", "BatchMode=yes", "-i"])
            .arg(self.key())
            .arg(format!("docker@{}", self.address()))
            .arg(line);
        ssh
    }

    /// Has its sshd begin with another line of its configuration, from the next login on.
    pub(crate) fn configure_sshd(&self, line: &str) {
        let script =
            format!("sed -i '1i {line}' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)");
        self.run(&["sh", "-c", &script]).ok();
    }

    /// Kills everything that runs on it and starts it with the disk it had, as a computer that lost
    /// its power.
    pub(crate) fn restart(&self) {
        self.script(&["restart", &self.name]).ok();
    }

    /// Gives it another certificate of its CA, for so many days and these names.
    pub(crate) fn certify(&self, days: &str, names: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        testbed_script::run(
            &self.testbed,
            "node-tls.sh",
            &[],
            |_| {},
            &[&path, days, names],
        )
        .ok();
        std::fs::copy(
            folder.path().join("server.pem"),
            self.path("/etc/docker/server.pem"),
        )
        .unwrap();
    }

    /// Takes a program of `/usr/bin` away from it, for as long as it runs.
    pub(crate) fn without(&self, program: &str) {
        self.script(&["without", &self.name, program]).ok();
    }

    /// Ends every connection to its sshd, half-way through whatever it carries.
    pub(crate) fn cut_connections(&self) {
        self.script(&["cut", &self.name]).ok();
    }

    /// Sends a signal, as `STOP` or `CONT`, to every process that runs on it.
    pub(crate) fn signal_all(&self, signal: &str) {
        self.run(&["sh", "-c", &format!("kill -{signal} -1")]).ok();
    }

    /// Starts, stops, kills or restarts containerd: pods stay as they are.
    pub(crate) fn containerd(&self, verb: &str) {
        self.script(&["containerd", &self.name, verb]).ok();
    }

    /// Kills its runtime, whose pods and whose socket stay, or starts it again.
    pub(crate) fn runtime(&self, verb: &str) {
        match (&self.crio, verb) {
            (None, _) => self.containerd(verb),
            (Some(crio), "kill") => crio.stop(),
            (Some(crio), _) => crio.start(),
        }
    }

    /// Waits until nothing of devnet's runs or lies on it.
    pub(crate) fn until_nothing_is_left(&self) {
        let left = "find /run/devnet /var/lib/devnet /var/tmp/devnet -mindepth 1 2>/dev/null; \
                    pgrep -fa '[d]evnet-probe|[s]ocat.*(containerd|crio)[.]sock'; true";
        until("nothing of devnet's is on the node", || {
            self.run(&["sh", "-c", left]).ok().is_empty()
        });
    }

    /// A namespace of a process of the node, as `net:[4026532000]`.
    pub(crate) fn namespace(&self, pid: u32, kind: &str) -> String {
        let link = self.path(&format!("/proc/{pid}/ns/{kind}"));
        std::fs::read_link(link).unwrap().display().to_string()
    }
}

impl Drop for ContainerdNode {
    fn drop(&mut self) {
        let stopped = self.script(&["stop", &self.name]);
        if !std::thread::panicking() {
            stopped.ok();
        }
    }
}

/// A sandbox whose minikube home has one cluster of these nodes, the profile `several`: the machines
/// `several`, `several-m02` and so on.
pub(crate) fn cluster(nodes: &[&ContainerdNode]) -> Sandbox {
    cluster_of("several", "containerd", nodes)
}

/// The same for a profile of any name and a runtime that minikube calls so.
pub(crate) fn cluster_of(profile: &str, runtime: &str, nodes: &[&ContainerdNode]) -> Sandbox {
    use serde_json::json;
    let sandbox = Sandbox::bare();
    let home = sandbox.home().join(".minikube");
    let write = |path: PathBuf, value: serde_json::Value| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    let mut listed = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let short = (place > 0).then(|| format!("m{:02}", place + 1));
        let machine = match &short {
            Some(short) => format!("{profile}-{short}"),
            None => profile.to_owned(),
        };
        let folder = home.join("machines").join(&machine);
        let driver = json!({"IPAddress": node.address(), "MachineName": machine, "SSHUser": "docker",
            "SSHPort": 22, "SSHKeyPath": folder.join("id_rsa"), "StorePath": home});
        write(
            folder.join("config.json"),
            json!({"Driver": driver, "DriverName": "kvm2", "Name": machine}),
        );
        std::fs::copy(node.key(), folder.join("id_rsa")).unwrap();
        listed.push(
            json!({"Name": short.unwrap_or_default(), "IP": node.address(), "Port": 8443,
            "ContainerRuntime": runtime, "ControlPlane": place == 0, "Worker": true}),
        );
    }
    let kubernetes = json!({"KubernetesVersion": "v1.35.1", "ClusterName": profile,
        "ContainerRuntime": runtime});
    write(
        home.join(format!("profiles/{profile}/config.json")),
        json!({"Name": profile, "Driver": "kvm2", "KubernetesConfig": kubernetes, "Nodes": listed}),
    );
    write(home.join("config/config.json"), json!({"profile": profile}));
    let home = home.display().to_string();
    sandbox.env("MINIKUBE_HOME", &home)
}
