//! The testbed's own scripts, which start and stop what outlives a test's folders.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Output, Sandbox};

/// Runs a script of `tests/testbed`; it finds the variables of these names as the testbed was started
/// with them, and then what `change` makes of its environment.
pub(super) fn run(
    testbed: &Path,
    script: &str,
    kept: &[&str],
    change: impl FnOnce(&mut Command),
    arguments: &[&str],
) -> Output {
    let sandbox = Sandbox::bare().env("DEVNET_TESTBED", &testbed.display().to_string());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed");
    let mut command = sandbox.command(scripts.join(script));
    // what it starts outlives this sandbox's own folders
    command.env_remove("TMPDIR").env("HOME", "/");
    #[expect(
        clippy::disallowed_methods,
        reason = "what the testbed was started with"
    )]
    for name in kept {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    change(&mut command);
    // what it starts would hold a pipe open for as long as it lives
    let file = tempfile::NamedTempFile::new().unwrap();
    let status = command
        .args(arguments)
        .stdout(file.reopen().unwrap())
        .stderr(file.reopen().unwrap())
        .status()
        .unwrap();
    Output {
        code: status.code().unwrap_or(-1),
        stdout: std::fs::read_to_string(file.path()).unwrap(),
        stderr: String::new(),
    }
}

/// The folder with the programs of an engine's version, as `20.10`; `None` when they are not on this
/// computer.
pub(super) fn tree(version: &str) -> Option<PathBuf> {
    let kind = if version.starts_with("podman") || version.starts_with("runc") {
        ""
    } else {
        "engine-"
    };
    let tree = format!("target/testbed/{kind}{version}");
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join(tree);
    tree.is_dir().then_some(tree)
}

/// The program that runs a client of docker's which no distribution has, as `testcontainers-4.15.0`;
/// `None` when it was not fetched.
pub(super) fn client(name: &str) -> Option<PathBuf> {
    let run = format!("target/testbed/clients/{name}/run");
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join(run);
    run.exists().then_some(run)
}

/// The folder with the programs of a podman, as `5.4`; `None` when they are not on this computer.
pub(super) fn podman(version: &str) -> Option<PathBuf> {
    tree(&format!("podman-{version}"))
}
