//! Build script: puts the programs that `DEVNET_PROBE_X86_64` and `DEVNET_PROBE_AARCH64` name into
//! devnet. Without the variables devnet is built without them and says so when it needs one.

#![expect(
    clippy::disallowed_methods,
    reason = "this is how Cargo speaks with build scripts"
)]

use std::path::Path;

fn main() {
    let mut table = String::from("&[");
    for (variable, architecture) in [
        ("DEVNET_PROBE_X86_64", "amd64"),
        ("DEVNET_PROBE_AARCH64", "arm64"),
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
        let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
            continue;
        };
        let path = std::path::absolute(path).expect("the path is not empty");
        println!("cargo::rerun-if-changed={}", path.display());
        let path = path.to_str().expect("the path of a probe is UTF-8");
        for part in [
            "(\"",
            architecture,
            "\", include_bytes!(r###\"",
            path,
            "\"###).as_slice()),",
        ] {
            table.push_str(part);
        }
    }
    println!("cargo::rerun-if-changed=src/probe/build.rs");
    table.push(']');
    let out = std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("probes.rs"), table).expect("OUT_DIR is writable");
}
