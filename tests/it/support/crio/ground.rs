//! The node below the stand-in for cri-o: pinned namespaces, the CNI plugin, conmon and the OCI runtime,
//! called as cri-o calls them.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Output, Sandbox};

/// The folder of the OCI runtime's notes.
const ROOT: &str = "/run/crun";

/// A way to run programs on a node as root.
#[derive(Clone)]
pub(super) struct Ground {
    /// The node's folder in the testbed.
    pub(super) folder: PathBuf,
    /// The OCI runtime's program.
    pub(super) runtime: &'static str,
}

impl Ground {
    fn pid(&self) -> String {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        pid.trim().to_owned()
    }

    /// A path of the node as this computer sees it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid()))
    }

    pub(super) fn run(&self, script: &str, words: &[&str]) -> Output {
        let sandbox = Sandbox::bare();
        let pid = self.pid();
        Output::of(
            sandbox
                .command("nsenter")
                .args(["-t", &pid, "--mount", "--uts", "--ipc", "--net", "--cgroup"])
                .arg(format!("--pid=/proc/{pid}/ns/pid_for_children"))
                .args(["--wd=/", "--", "sh", "-ec", script, "sh"])
                .args(words)
                .env(
                    "PATH",
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                )
                .env("TMPDIR", "/var/tmp"),
        )
    }

    /// Makes the namespaces of a sandbox, which files hold from then on. That of a pod in the node's
    /// network is the node's own.
    pub(super) fn pin(&self, name: &str, host: &str, of_node: bool) {
        let script = r#"
            for kind in net ipc uts; do mkdir -p "/run/${kind}ns"; : > "/run/${kind}ns/$1"; done
            set -- "$@" "--ipc=/run/ipcns/$1" "--uts=/run/utsns/$1"
            if [ "$3" = true ]; then mount --bind /proc/1/ns/net "/run/netns/$1"; else set -- "$@" "--net=/run/netns/$1"; fi
            host=$2; shift 3
            name=${1#--ipc=/run/ipcns/}; unshare "$@" -- hostname "${host:-node}"
            nsenter "--net=/run/netns/$name" ip link set lo up"#;
        self.run(script, &[name, host, &of_node.to_string()]).ok();
    }

    pub(super) fn unpin(&self, name: &str) {
        let script = r#"for kind in net ipc uts; do
            umount -l "/run/${kind}ns/$1" 2>/dev/null || :; rm -f "/run/${kind}ns/$1"; done"#;
        self.run(script, &[name]).ok();
    }

    /// Calls the first plugin of the node's network: `ADD` gives the address that it chose.
    pub(super) fn network(&self, verb: &str, id: &str, name: &str) -> String {
        let lists = self.path("/etc/cni/net.d/1-k8s.conflist");
        let list: Value = serde_json::from_str(&std::fs::read_to_string(lists).unwrap()).unwrap();
        let mut plugin = list["plugins"][0].clone();
        plugin["name"] = list["name"].clone();
        plugin["cniVersion"] = list["cniVersion"].clone();
        let script = r#"printf %s "$4" | CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="/var/run/netns/$3" \
            CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni "/usr/lib/cni/$5""#;
        let kind = plugin["type"].as_str().unwrap().to_owned();
        let said = self
            .run(script, &[verb, id, name, &plugin.to_string(), &kind])
            .ok();
        let told: Value = serde_json::from_str(&said).unwrap_or(Value::Null);
        let address = told["ips"][0]["address"].as_str().unwrap_or_default();
        address.split('/').next().unwrap_or_default().to_owned()
    }

    /// Mounts the file system of a new container of an image.
    pub(super) fn mount_root(&self, id: &str, image: &str) -> String {
        let at = format!("/var/lib/containers/storage/overlay/{id}/merged");
        let script = r#"mkdir -p "$1"
            snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' /etc/containerd/config.toml)
            ctr -n k8s.io images mount --rw --snapshotter "$snapshotter" "$2" "$1""#;
        self.run(script, &[&at, image]).ok();
        at
    }

    pub(super) fn unmount_root(&self, id: &str) {
        let at = format!("/var/lib/containers/storage/overlay/{id}/merged");
        let script = r#"umount -l "$1"
            snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' /etc/containerd/config.toml)
            ctr -n k8s.io snapshots --snapshotter "$snapshotter" rm "$1"; rm -rf "${1%/merged}""#;
        self.run(script, &[&at]).ok();
    }

    /// Creates a container with its monitor, as cri-o does, and gives the number of its first process.
    pub(super) fn create(
        &self,
        id: &str,
        spec: &Value,
        log: &str,
        tty: bool,
    ) -> Result<u32, String> {
        let bundle = format!("/run/containers/storage/overlay-containers/{id}/userdata");
        let at = self.path(&bundle);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::create_dir_all(self.path("/run/crio/exits")).unwrap();
        std::fs::write(at.join("config.json"), spec.to_string()).unwrap();
        let script = r#"cd "$2"; mkfifo sync; exec 3<> sync
            _OCI_SYNCPIPE=3 conmon -b "$2" -c "$1" --exit-dir /var/run/crio/exits -l "$3" --log-level info -n "k8s_$1" \
                -P "$2/conmon-pidfile" -p "$2/pidfile" --persist-dir "$2" -r "$4" --runtime-arg "--root=$5" \
                --socket-dir-path /var/run/crio $6 -u "$1" > conmon.out 2>&1 < /dev/null
            head -n 1 sync"#;
        let tty = if tty { "-t" } else { "" };
        let said = self.run(script, &[id, &bundle, log, self.runtime, ROOT, tty]);
        let told: Value = serde_json::from_str(&said.stdout).unwrap_or(Value::Null);
        let pid = told["pid"].as_i64().or(told["data"].as_i64()).unwrap_or(-1);
        let words = format!(
            "{} {}",
            told["message"].as_str().unwrap_or_default(),
            said.stderr
        );
        u32::try_from(pid).map_err(|_negative| words)
    }

    /// Calls the OCI runtime.
    pub(super) fn oci(&self, words: &[&str]) -> Output {
        let script = r#"runtime=$1; root=$2; shift 2; exec "$runtime" "--root=$root" "$@""#;
        self.run(script, &[&[self.runtime, ROOT], words].concat())
    }

    /// The code and the time (nanoseconds since 1970) of a container's end, where its monitor has noted it.
    pub(super) fn end(&self, id: &str) -> Option<(i32, i64)> {
        let file = self.path(&format!("/run/crio/exits/{id}"));
        let code = std::fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        let ended = file.metadata().ok()?.modified().ok()?;
        let ended = ended.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
        Some((code, i64::try_from(ended).ok()?))
    }

    pub(super) fn forget(&self, id: &str) {
        let _gone = self.oci(&["delete", "-f", id]);
        let _gone = std::fs::remove_file(self.path(&format!("/run/crio/exits/{id}")));
        let folder = format!("/run/containers/storage/overlay-containers/{id}");
        let _gone = std::fs::remove_dir_all(self.path(&folder));
    }
}

/// A mount of a container's as its specification has it.
pub(super) fn mount(kind: &str, source: &str, at: &str, options: &[&str]) -> Value {
    json!({"type": kind, "source": source, "destination": at, "options": options})
}
