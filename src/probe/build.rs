//! Build script: puts the probe's programs into devnet, and tells it what it is built from.
//!
//! The program for a processor is the first of: the one that `DEVNET_PROBE_X86_64` or
//! `DEVNET_PROBE_AARCH64` names (`make` builds it); the packed one that a published package carries;
//! one built here, where rustc has that processor's musl target. Without any devnet is built all the
//! same, and says so when it needs one.

#![expect(
    clippy::disallowed_methods,
    reason = "this is how Cargo speaks with build scripts"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a published package that holds the packed programs, their sums and the sources'
/// commit: `make package` puts it there, a checkout never has it.
const PACKAGED: &str = "src/probe/packaged";

fn main() {
    println!("cargo::rerun-if-changed=src/probe");
    println!("cargo::rustc-env=DEVNET_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=DEVNET_RUSTC={}", rustc_version());
    println!("cargo::rustc-env=DEVNET_COMMIT={}", commit());
    // the probe itself is built by this script too
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    let found = [("x86_64", "amd64"), ("aarch64", "arm64")].map(|(machine, architecture)| {
        let program = made(machine)
            .or_else(|| packaged(machine))
            .or_else(|| built(machine));
        program
            .map(|program| entry(architecture, &program))
            .unwrap_or_default()
    });
    let table = format!("&[{}]", found.concat());
    std::fs::write(out().join("probes.rs"), table).expect("OUT_DIR is writable");
}

/// A program to put into devnet.
struct Program {
    path: PathBuf,
    /// The SHA-256 of the program, where the file at `path` is the program packed with gzip.
    packed_sum: Option<String>,
}

/// A line of the table that `carried.rs` reads.
fn entry(architecture: &str, program: &Program) -> String {
    let path = program.path.to_str().expect("the path of a probe is UTF-8");
    format!(
        "BuiltIn {{ architecture: {architecture:?}, bytes: include_bytes!(r###\"{path}\"###), packed_sum: {:?} }},\n",
        program.packed_sum
    )
}

/// The program that `make` has built.
fn made(machine: &str) -> Option<Program> {
    let name = format!("DEVNET_PROBE_{}", machine.to_uppercase());
    println!("cargo::rerun-if-env-changed={name}");
    let path = std::env::var_os(name).filter(|path| !path.is_empty())?;
    let path = std::path::absolute(path).expect("the path is not empty");
    println!("cargo::rerun-if-changed={}", path.display());
    Some(Program {
        path,
        packed_sum: None,
    })
}

/// The program that this package carries.
fn packaged(machine: &str) -> Option<Program> {
    let folder = std::path::absolute(PACKAGED).expect("there is a current folder");
    let name = format!("devnet-probe-{machine}");
    let path = folder.join(format!("{name}.gz"));
    if !path.exists() {
        return None;
    }
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS"))
        .expect("a package with a packed probe has its sum");
    let sum = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .find_map(|(sum, of)| (of == name).then(|| sum.to_owned()));
    assert!(
        sum.is_some(),
        "{PACKAGED}/SHA256SUMS has no line for {name}"
    );
    Some(Program {
        path,
        packed_sum: sum,
    })
}

/// The program, built here, where rustc can.
fn built(machine: &str) -> Option<Program> {
    let target = format!("{machine}-unknown-linux-musl");
    let sysroot = said(Command::new(variable("RUSTC")).args(["--print", "sysroot"]))?;
    if !Path::new(&sysroot)
        .join("lib")
        .join("rustlib")
        .join(&target)
        .exists()
    {
        return None;
    }
    for source in ["src/lib.rs", "src/bin/devnet-probe"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let folder = out().join(&target);
    std::fs::create_dir_all(&folder).expect("OUT_DIR is writable");
    let (library, path) = (folder.join("libdevnet.rlib"), folder.join("devnet-probe"));
    let compile = |crate_name: &str, kind: &str, source: &str, result: &Path| {
        let mut rustc = Command::new(variable("RUSTC"));
        // rust-lld links for either machine without a cross compiler; the source's lints are for its developers
        rustc
            .args([
                "--edition",
                "2024",
                "--cap-lints",
                "allow",
                "--target",
                &target,
            ])
            .args(["--crate-name", crate_name, "--crate-type", kind, source])
            .args(["-C", "linker=rust-lld", "-C", "relocation-model=static"])
            .args([
                "-C",
                "opt-level=z",
                "-C",
                "panic=abort",
                "-C",
                "strip=symbols",
            ])
            .arg("-o")
            .arg(result);
        rustc
    };
    let outcome = said(&mut compile("devnet", "rlib", "src/lib.rs", &library)).and_then(|_| {
        let source = "src/bin/devnet-probe/main.rs";
        let mut rustc = compile("devnet_probe", "bin", source, &path);
        said(
            rustc
                .arg("--extern")
                .arg(format!("devnet={}", library.display())),
        )
    });
    if outcome.is_none() {
        println!(
            "cargo::warning=the probe for {machine} does not build with this rustc's {target}"
        );
    }
    outcome.map(|_| Program {
        path,
        packed_sum: None,
    })
}

/// The commit of the sources, which a published package carries; empty in a checkout.
fn commit() -> String {
    let file = Path::new(PACKAGED).join("COMMIT");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.trim_end().to_owned()
}

fn rustc_version() -> String {
    let said = said(Command::new(variable("RUSTC")).arg("--version")).unwrap_or_default();
    said.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The output of a program that ended well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// A variable that Cargo always sets.
fn variable(name: &str) -> String {
    std::env::var(name).expect("Cargo sets it")
}

fn out() -> PathBuf {
    PathBuf::from(variable("OUT_DIR"))
}
