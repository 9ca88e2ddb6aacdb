//! The place where tests start devnet: a clean environment, a home of its own, the testbed's
//! engines.

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod caught;
pub(crate) mod containerd_node;
pub(crate) mod counted;
pub(crate) mod cri;
pub(crate) mod cri_nodes;
pub(crate) mod crio;
pub(crate) mod crio_images;
pub(crate) mod crio_node;
pub(crate) mod devnets_engine;
pub(crate) mod docker_shell;
pub(crate) mod engines;
pub(crate) mod forgetful_builder;
pub(crate) mod grpc_socket;
pub(crate) mod hostile;
pub(crate) mod kubelet;
pub(crate) mod lab;
pub(crate) mod late_cri;
pub(crate) mod made;
pub(crate) mod node_build;
pub(crate) mod node_container;
pub(crate) mod node_kubelet;
pub(crate) mod podman;
pub(crate) mod pods_api;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod recorded_probe;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod replay;
pub(crate) mod rewriting;
pub(crate) mod source;
pub(crate) mod test_pod;
mod testbed_script;
pub(crate) mod tripwire;
mod watchdog;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The testbed, when this run has one.
pub(crate) fn testbed() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the tests' own switch")]
    let testbed = std::env::var_os("DEVNET_TESTBED").map(PathBuf::from);
    if testbed.is_none() {
        missing("the testbed (run `make test`)");
    }
    testbed
}

/// Writes down that something a test needs is not here; in CI that is a failure.
///
/// The runner swallows what a test that passes says, so skips go into the file that
/// `DEVNET_SKIPPED` names; `make test` counts and shows them at the end.
pub(crate) fn missing(what: &str) {
    use std::io::Write as _;

    #[expect(clippy::disallowed_methods, reason = "the tests' own switches")]
    let (ci, file) = (std::env::var_os("CI"), std::env::var_os("DEVNET_SKIPPED"));
    assert!(ci.is_none(), "this test needs {what}");
    let thread = std::thread::current();
    let line = format!("{}: needs {what}\n", thread.name().unwrap_or("a test"));
    if let Some(file) = file {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    #[expect(clippy::print_stderr, reason = "a skip must be loud")]
    {
        eprint!("SKIPPED {line}");
    }
}

/// A program of the toolchain that compiled these tests.
pub(crate) fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO")).with_file_name(name)
}

/// A home of its own in which devnet runs with a clean environment.
pub(crate) struct Sandbox {
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Sandbox {
    /// A sandbox that knows no cluster and no engine.
    pub(crate) fn bare() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name).display().to_string();
        let environment = [
            ("HOME", path("")),
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_STATE_HOME", path("state")),
            ("XDG_CACHE_HOME", path("cache")),
            ("TMPDIR", path("")),
            (
                "PATH",
                "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into(),
            ),
            ("LANG", "C.UTF-8".into()),
            ("COLUMNS", "100".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        Self { home, environment }
    }

    /// A sandbox whose minikube home is the testbed's.
    pub(crate) fn with_minikube(testbed: &Path) -> Self {
        Self::bare().env(
            "MINIKUBE_HOME",
            &testbed.join("minikube/.minikube").display().to_string(),
        )
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(existing, _)| existing != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Any program in this sandbox's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where tests start programs"
        )]
        let mut command = Command::new(program);
        watchdog::watch();
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// devnet, ready to start.
    pub(crate) fn devnet_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_devnet"));
        command.args(arguments);
        command
    }

    /// Runs devnet to its end.
    pub(crate) fn devnet(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.devnet_command(arguments))
    }
}

/// The end of a program, as a person would see it.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts exit code 0 and gives stdout.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.stdout
    }

    /// Asserts an exit code and gives stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self}");
        self.stderr
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}--- stderr ---\n{}[exit {}]",
            self.stdout, self.stderr, self.code
        )
    }
}

/// The number of times that an engine is asked again for a list that it gave up.
const LISTED_AGAIN: u32 = 10;

/// The docker CLI against one of the testbed's engines, for comparing and preparing.
pub(crate) fn docker(testbed: &Path, engine: &str, arguments: &[&str]) -> Output {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where tests start programs"
    )]
    let run = || {
        let mut command = Command::new("docker");
        watchdog::watch();
        command
            .args([
                "-H",
                &format!(
                    "unix://{}",
                    testbed.join(format!("{engine}.sock")).display()
                ),
            ])
            .args(arguments)
            .stdin(Stdio::null());
        Output::of(&mut command)
    };
    let mut output = run();
    if matches!(arguments, ["images" | "ps", ..]) {
        // an engine gives its list up when another test removes one of those on it meanwhile
        for _ in 0..LISTED_AGAIN {
            if output.code == 0 {
                break;
            }
            output = run();
        }
    }
    output
}

/// An image with a static busybox and nothing else, in one of the testbed's engines.
pub(crate) fn busybox_image(testbed: &Path, engine: &str) -> String {
    let name = "devnet-test/busybox:latest";
    if docker(testbed, engine, &["image", "inspect", name]).code == 0 {
        return name.into();
    }
    let folder = tempfile::tempdir().unwrap();
    for path in ["bin", "etc", "tmp", "proc"] {
        std::fs::create_dir(folder.path().join(path)).unwrap();
    }
    for place in ["/bin/busybox", "/usr/bin/busybox"] {
        if Path::new(place).exists() {
            std::fs::copy(place, folder.path().join("bin/busybox")).unwrap();
            break;
        }
    }
    std::os::unix::fs::symlink("busybox", folder.path().join("bin/sh")).unwrap();
    let archive = folder.path().join("busybox.tar");
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where tests start programs"
    )]
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(folder.path())
        .arg("-cf")
        .arg(&archive)
        .args(["bin", "etc", "tmp", "proc"]);
    Output::of(&mut tar).ok();
    docker(
        testbed,
        engine,
        &[
            "import",
            "--change",
            "ENV PATH=/bin",
            &archive.display().to_string(),
            name,
        ],
    )
    .ok();
    name.into()
}

/// Waits for the end of a child whose streams are pipes.
pub(crate) fn ended(child: std::process::Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks again and again until it is so; what never comes true fails the test instead of holding it up
/// for ever.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed().as_secs() < 120,
            "not in two minutes: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The fate of another tool's flag.
#[derive(Clone, Copy)]
pub(crate) enum Flag {
    Taken,
    /// By name, with these words.
    Refused(&'static str),
    /// As a word that nobody knows, or one that other tools have.
    NotOurs,
}

/// Tries each flag on a verb that takes a pod: one that is taken leads to an engine, which is not
/// there (`lost` is the exit code of that).
#[track_caller]
pub(crate) fn flags(verb: &str, lost: i32, more: &[&str], table: &[(&[&str], Flag)]) {
    let sandbox = Sandbox::bare();
    for (flag, what) in table {
        let mut all = vec!["-H", "unix:///no/such.sock", verb, "web"];
        all.extend_from_slice(flag);
        all.extend_from_slice(more);
        let output = sandbox.devnet(&all);
        match what {
            Flag::Taken => assert_eq!(output.code, lost, "{flag:?}: {output}"),
            Flag::Refused(words) => {
                let said = output.fails(2);
                let name = flag[0].split('=').next().unwrap();
                assert!(
                    said.starts_with(&format!("error: `devnet {verb}` has no `{name}`: "))
                        && said.contains("\nhint: ")
                        && said.contains(words),
                    "{flag:?}: {said}"
                );
            }
            Flag::NotOurs => {
                let said = output.fails(2);
                let known = said.contains("unexpected argument") || said.contains("has no `--");
                assert!(known, "{flag:?}: {said}");
            }
        }
    }
}
