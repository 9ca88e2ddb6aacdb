//! The OCI runtime that made a container: cri-o has a monitor beside each (conmon), whose command line
//! names the runtime's program and the folder of its notes. Commands and signals go by it, as cri-o's
//! own do.

use super::CriO;
use crate::error::{Error, Result};
use crate::pod::Signal;

/// The most that is read of what a program on the node says, in bytes.
const LONGEST: usize = 64 << 10;
/// Prints the command line of the parent of a process in one line, its words ended by the character 1.
pub(super) const MONITOR: &str = r#"tr '\000' '\001' <"/proc/$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status")/cmdline"; echo"#;
/// The character that ends its words.
const END: char = '\u{1}';

/// An OCI runtime, as it is called for one container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OciRuntime {
    /// Its program and the options that come before its command.
    call: Vec<String>,
}

impl OciRuntime {
    /// Reads it from the command line of a container's monitor; `None` where that is none.
    pub(super) fn of_monitor(line: &str, container: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(END).collect();
        let after = |option: &str| {
            let place = words.iter().position(|word| *word == option)?;
            words.get(place + 1).copied()
        };
        let of_it = after("-c") == Some(container);
        let program = after("-r").filter(|program| of_it && program.starts_with('/'))?;
        let options = words.windows(2).filter(|pair| pair[0] == "--runtime-arg");
        // the monitor alone is told so in a word of its own
        let systemd = words.contains(&"-s").then_some("--systemd-cgroup");
        let call = std::iter::once(program)
            .chain(options.map(|pair| pair[1]))
            .chain(systemd)
            .map(str::to_owned);
        Some(Self {
            call: call.collect(),
        })
    }

    /// The words that call it.
    pub(super) fn call(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        self.call.iter().cloned().chain(words).collect()
    }
}

/// The error of a container whose OCI runtime is not known.
pub(super) fn unknown() -> Error {
    Error::failed("the container's own runtime is not known")
        .caused_by("its first process has no conmon for its parent, whose command line names it")
        .hint("`kubectl exec` asks the kubelet instead")
}

impl CriO {
    /// The OCI runtime of a container that runs.
    ///
    /// # Errors
    /// Not found when it does not run; failed where nothing watches it that devnet knows.
    pub(super) async fn oci_runtime(&self, container: &str) -> Result<OciRuntime> {
        let pid = self.node.pid(container).await?.to_string();
        let line = self.run(&["sh", "-c", MONITOR, "sh", &pid]).await?;
        let line = String::from_utf8_lossy(&line.stdout);
        OciRuntime::of_monitor(&line, container).ok_or_else(unknown)
    }

    /// Sends a signal to the first process of a container or a sandbox. One that has ended already is no
    /// failure.
    ///
    /// # Errors
    /// When the node does not answer or its runtime refuses; when a sandbox has no process.
    pub(in crate::engine) async fn signal(&self, container: &str, signal: Signal) -> Result<()> {
        let runtime = match self.oci_runtime(container).await {
            Ok(runtime) => runtime,
            Err(_ended) if !self.is_up(container).await? => return Ok(()),
            Err(error) => return Err(error),
        };
        let number = signal.number().to_string();
        let words = runtime.call(&["kill", container, &number]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = self.run(&words).await?;
        if said.code == Some(0) || !self.is_up(container).await? {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(Error::failed("the signal could not be sent").caused_by(why))
    }

    /// True while a container runs, or a sandbox is ready.
    async fn is_up(&self, id: &str) -> Result<bool> {
        Ok(self.node.cri.held(id).await?.is_some())
    }

    /// Runs a program on the node as root, to its end.
    async fn run(&self, words: &[&str]) -> Result<Run> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let lost = |error| Error::lost("the node was lost").caused_by(error);
        let asked = async {
            let program = self.node.access.start_as_root(&words, None).await?;
            let ending = program.ending.clone();
            let said = program
                .read_to_end(LONGEST, self.node.patience)
                .await
                .map_err(lost)?;
            Ok(Run {
                code: ending.code(),
                stdout: said.stdout,
                stderr: said.stderr,
            })
        };
        tokio::time::timeout(self.node.patience, asked)
            .await
            .map_err(|_elapsed| {
                Error::failed("the node does not answer")
                    .caused_by(format!("nothing within {} s", self.node.patience.as_secs()))
            })?
    }
}

/// A program of the node's that has ended.
struct Run {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> String {
        words.replace(' ', "\u{1}")
    }

    #[test]
    fn a_monitor_names_its_containers_runtime() {
        // as a node had it, shortened
        let monitor = line(
            "/usr/bin/conmon -b /run/c/abc/userdata -c abc --exit-dir /var/run/crio/exits -l /var/log/x.log -n k8s_x -r /usr/libexec/crio/crun --runtime-arg --root=/run/crun --socket-dir-path /var/run/crio --syslog -u abc ",
        );
        let runtime = OciRuntime::of_monitor(&monitor, "abc").unwrap();
        assert_eq!(
            runtime.call(&["kill", "abc", "9"]),
            [
                "/usr/libexec/crio/crun",
                "--root=/run/crun",
                "kill",
                "abc",
                "9"
            ]
        );
        let systemd =
            line("/usr/bin/conmon -s -c abc -r /usr/bin/runc --runtime-arg --root=/run/runc");
        let runtime = OciRuntime::of_monitor(&systemd, "abc").unwrap();
        assert_eq!(
            runtime.call(&[]),
            ["/usr/bin/runc", "--root=/run/runc", "--systemd-cgroup"]
        );
    }

    #[test]
    fn what_is_no_monitor_of_the_container_names_none() {
        for other in [
            "/sbin/init",
            "",
            "/usr/bin/conmon -c another -r /usr/bin/runc",
            "/usr/bin/conmon -c abc -r runc",
            "/usr/bin/conmon -c abc -r",
        ] {
            assert_eq!(OciRuntime::of_monitor(&line(other), "abc"), None, "{other}");
        }
    }
}
