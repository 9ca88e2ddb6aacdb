//! The published crate: what is in it, what Cargo installs of it, and what CI and releases call.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Output, Sandbox, missing, tool};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The work tree's files as a repository of its own, with one commit.
pub(crate) fn checkout() -> Option<Sandbox> {
    let sandbox = Sandbox::bare();
    let copy = "git -C \"$0\" ls-files -z --cached --others --exclude-standard | tar c -C \"$0\" --null -T - | tar x &&
      git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -q -m a";
    let root = root().to_str().unwrap();
    let copied = Output::of(
        sandbox
            .command("bash")
            .args(["-o", "pipefail", "-c", copy, root]),
    );
    if copied.code != 0 {
        missing("a checkout by git");
        return None;
    }
    Some(sandbox)
}

/// A command in a checkout that may call Cargo: the crates of Cargo.lock are here, since these tests are
/// built of them.
pub(crate) fn with_cargo(sandbox: &Sandbox, program: &str) -> Command {
    let mut command = sandbox.command(program);
    #[expect(clippy::disallowed_methods, reason = "Cargo's own home")]
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

/// The bytes of the crate that a checkout is packaged to, with two programs for its probes.
pub(crate) fn package(checkout: &Sandbox) -> Vec<u8> {
    let target = checkout.home().join("target");
    fs::create_dir_all(&target).unwrap();
    for machine in ["x86_64", "aarch64"] {
        let program = format!("devnet-probe-{machine}");
        fs::write(target.join(program), format!("a program for {machine}")).unwrap();
    }
    Output::of(with_cargo(checkout, ".dist/package.sh").arg("target")).ok();
    fs::read(target.join(format!("package/devnet-{VERSION}.crate"))).unwrap()
}

#[test]
fn a_published_package_carries_both_probes_with_their_sums_and_twice_the_same_bytes() {
    let Some(sandbox) = checkout() else { return };
    let home = sandbox.home();
    assert!(
        !home.join("src/probe/packaged").exists(),
        "a checkout has no probes"
    );
    let package = || package(&sandbox);
    let first = package();
    assert!(first == package(), "another crate from the same commit");

    let unpacked = home.join(format!("target/package/devnet-{VERSION}"));
    let check = "cd src/probe/packaged && gunzip -k *.gz && sha256sum -c SHA256SUMS && cat COMMIT";
    let said = Output::of(
        sandbox
            .command("sh")
            .args(["-c", check])
            .current_dir(&unpacked),
    )
    .ok();
    assert!(
        said.starts_with("devnet-probe-x86_64: OK\ndevnet-probe-aarch64: OK\n"),
        "{said}"
    );
    let commit = Output::of(sandbox.command("git").args(["rev-parse", "HEAD"])).ok();
    assert!(said.ends_with(&commit), "{said}");
    let listed = fs::read_dir(&unpacked).unwrap();
    let listed: BTreeSet<String> = listed
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted = [
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE",
        "README.md",
        "src",
        "templates",
    ];
    assert_eq!(listed, BTreeSet::from(wanted.map(str::to_owned)));
    // Cargo builds again what is newer than its last build; in a crate all have one old time
    let modified = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let packed = home.join(format!("target/package/devnet-{VERSION}.crate"));
    assert!(modified(&unpacked.join("src/main.rs")) >= modified(&packed));
    // the checkout is as it was
    let status = Output::of(sandbox.command("git").args(["status", "--porcelain"])).ok();
    assert_eq!(status, "");

    // whose probes would be of other sources
    fs::write(home.join("src/new.rs"), "").unwrap();
    let refused = Output::of(with_cargo(&sandbox, ".dist/package.sh").arg("target")).fails(1);
    assert!(refused.contains("commit or stash first"), "{refused}");
}

/// The package as Cargo knows it.
pub(crate) fn manifest() -> Value {
    let sandbox = Sandbox::bare();
    let mut cargo = sandbox.command(tool("cargo"));
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let said = Output::of(cargo.current_dir(root()).env("RUSTC", tool("rustc"))).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    said["packages"][0].clone()
}

#[test]
fn cargo_installs_devnet_and_no_probe() {
    let manifest = manifest();
    let default: Vec<&str> = strings(&manifest["features"]["default"]);
    let programs = manifest["targets"].as_array().unwrap().iter();
    let installed: Vec<&str> = programs
        .filter(|target| strings(&target["kind"]) == ["bin"])
        .filter(|target| {
            strings(&target["required-features"])
                .iter()
                .all(|needed| default.contains(needed))
        })
        .filter_map(|target| target["name"].as_str())
        .collect();
    assert_eq!(installed, ["devnet"]);
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

#[test]
fn no_framework_of_apples_is_linked() {
    let lock = text("Cargo.lock");
    for name in [
        "core-foundation",
        "fsevent-sys",
        "objc2-core-foundation",
        "objc2-core-services",
        "security-framework",
    ] {
        let line = format!("name = \"{name}\"\n");
        assert!(!lock.contains(&line), "{name} needs Apple's SDK");
    }
    assert!(
        lock.contains("name = \"kqueue\""),
        "it is how notify watches there"
    );
}

#[test]
fn workflows_call_targets_that_the_makefile_has() {
    let makefile = text("Makefile");
    let mut called = 0;
    for name in ["ci", "release"] {
        let workflow = text(&format!(".github/workflows/{name}.yml"));
        let _valid: Value = serde_yaml::from_str(&workflow).unwrap();
        for line in workflow.lines().filter(|line| line.contains("run:")) {
            for after in line.split("make ").skip(1) {
                let target = after.split_whitespace().next().unwrap();
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "make {target} in {name}.yml");
                called += 1;
            }
        }
    }
    assert!(called > 3, "the calls are not where this test looks");
}

#[test]
fn make_test_runs_the_probes_own_tests() {
    let sandbox = Sandbox::bare();
    let mut make = sandbox.command("make");
    let said = Output::of(make.args(["-n", "test"]).current_dir(root())).ok();
    let runs: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("cargo test"))
        .collect();
    assert_eq!(runs.len(), 2, "{said}");
    assert!(
        runs.iter().all(|line| line.contains("--features probe")),
        "{said}"
    );
}
