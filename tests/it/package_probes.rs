//! The build script's order: where the probe inside a devnet comes from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::{Output, Sandbox, tool};

/// A stand-in for rustc whose sysroot is `$SYSROOT`, and whose programs are its own command line.
const RUSTC: &str = "#!/bin/sh
case \"$*\" in
  --version) echo 'rustc 1.2.3 (stand-in)'; exit ;;
  '--print sysroot') echo \"$SYSROOT\"; exit ;;
esac
line=$*
while [ $# -gt 0 ]; do if [ \"$1\" = -o ]; then echo \"$line\" > \"$2\"; fi; shift; done
";

/// A package of nothing but the build script, which is compiled into `build`.
fn package() -> Sandbox {
    let sandbox = Sandbox::bare().env("CARGO_FEATURE_CLI", "1");
    let home = sandbox.home();
    for folder in ["src/probe/packaged", "out", "sysroot/lib/rustlib"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    fs::write(home.join("rustc"), RUSTC).unwrap();
    fs::set_permissions(home.join("rustc"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/probe/build.rs");
    let mut rustc = sandbox.command(tool("rustc"));
    rustc.args(["--edition=2024", "--cap-lints=allow", "-o", "build"]);
    Output::of(rustc.arg(script)).ok();
    let path = |name: &str| home.join(name).display().to_string();
    let (out, rustc, sysroot) = (path("out"), path("rustc"), path("sysroot"));
    sandbox
        .env("OUT_DIR", &out)
        .env("RUSTC", &rustc)
        .env("SYSROOT", &sysroot)
        .env("TARGET", "x86_64-unknown-linux-gnu")
}

fn add(sandbox: &Sandbox, file: &str, text: &str) {
    fs::write(sandbox.home().join(file), text).unwrap();
}

/// The build script's words to Cargo, and the table of programs that it writes.
fn built(sandbox: &Sandbox) -> (String, String) {
    let said = Output::of(&mut sandbox.command(sandbox.home().join("build"))).ok();
    let table = fs::read_to_string(sandbox.home().join("out/probes.rs")).unwrap_or_default();
    (said, table)
}

#[test]
fn what_make_built_comes_first_then_what_the_package_carries_then_what_rustc_can_build() {
    let sandbox = package();
    let home = sandbox.home().display().to_string();
    // nothing of the three
    let (said, table) = built(&sandbox);
    assert_eq!(table, "&[]");
    assert!(said.contains("DEVNET_RUSTC=1.2.3\n"), "{said}");
    assert!(said.contains("DEVNET_COMMIT=\n"), "{said}");

    let musl = "sysroot/lib/rustlib/aarch64-unknown-linux-musl";
    fs::create_dir(sandbox.home().join(musl)).unwrap();
    let (_, table) = built(&sandbox);
    let program = "out/aarch64-unknown-linux-musl/devnet-probe";
    assert!(table.contains("architecture: \"arm64\""), "{table}");
    assert!(table.contains(&format!("{home}/{program}\"###")), "{table}");
    assert!(!table.contains("amd64"), "{table}");
    let line = fs::read_to_string(sandbox.home().join(program)).unwrap();
    assert!(
        line.contains("--target aarch64-unknown-linux-musl"),
        "{line}"
    );
    assert!(line.contains("--crate-name devnet_probe"), "{line}");

    for machine in ["x86_64", "aarch64"] {
        let packed = format!("src/probe/packaged/devnet-probe-{machine}.gz");
        add(&sandbox, &packed, "packed");
    }
    let sums = "0123  devnet-probe-x86_64\n4567  devnet-probe-aarch64\n";
    add(&sandbox, "src/probe/packaged/SHA256SUMS", sums);
    add(&sandbox, "src/probe/packaged/COMMIT", "abcdef\n");
    let (said, table) = built(&sandbox);
    let packed = "src/probe/packaged/devnet-probe-aarch64.gz\"###), packed_sum: Some(\"4567\")";
    assert!(table.contains(&format!("{home}/{packed}")), "{table}");
    assert!(table.contains("packed_sum: Some(\"0123\")"), "{table}");
    assert!(said.contains("DEVNET_COMMIT=abcdef\n"), "{said}");

    let sandbox = sandbox.env("DEVNET_PROBE_AARCH64", "/made/probe");
    let (said, table) = built(&sandbox);
    let made = "r###\"/made/probe\"###), packed_sum: None";
    assert!(table.contains(made), "{table}");
    assert!(table.contains("packed_sum: Some(\"0123\")"), "{table}");
    assert!(said.contains("rerun-if-changed=/made/probe\n"), "{said}");
}

#[test]
fn a_packed_probe_without_a_sum_is_no_package() {
    let sandbox = package();
    add(&sandbox, "src/probe/packaged/devnet-probe-x86_64.gz", "");
    add(&sandbox, "src/probe/packaged/SHA256SUMS", "12  another\n");
    let stderr = Output::of(&mut sandbox.command(sandbox.home().join("build"))).fails(101);
    assert!(
        stderr.contains("has no line for devnet-probe-x86_64"),
        "{stderr}"
    );
}

#[test]
fn a_rustc_that_fails_leaves_devnet_without_that_probe_and_says_so() {
    let sandbox = package();
    let musl = "sysroot/lib/rustlib/x86_64-unknown-linux-musl";
    fs::create_dir(sandbox.home().join(musl)).unwrap();
    add(&sandbox, "rustc", &RUSTC.replace("line=$*", "exit 1"));
    let (said, table) = built(&sandbox);
    assert_eq!(table, "&[]");
    assert!(
        said.contains("cargo::warning=the probe for x86_64"),
        "{said}"
    );
}

#[test]
fn the_probe_itself_is_built_without_a_probe() {
    let sandbox = package();
    fs::create_dir(
        sandbox
            .home()
            .join("sysroot/lib/rustlib/x86_64-unknown-linux-musl"),
    )
    .unwrap();
    let mut build = sandbox.command(sandbox.home().join("build"));
    Output::of(build.env_remove("CARGO_FEATURE_CLI")).ok();
    assert!(!sandbox.home().join("out/probes.rs").exists());
}

#[test]
fn devnet_says_what_it_was_built_from() {
    let said = Sandbox::bare().devnet(&["--version", "-o", "json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let from = &said["built_from"];
    assert_eq!(
        from["commit"],
        serde_json::Value::Null,
        "a checkout has none"
    );
    let target = from["target"].as_str().unwrap();
    assert!(target.starts_with(std::env::consts::ARCH), "{target}");
    assert!(from["rustc"].as_str().unwrap().starts_with("1."), "{from}");
    for (_, sum) in from["probes_sha256"].as_object().unwrap() {
        assert_eq!(sum.as_str().unwrap().len(), 64, "{from}");
    }
}
