//! The probe's bytes: built into devnet, or beside it while devnet is being developed.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Go's word for an architecture, and the static Linux program for it.
const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/probes.rs"));

/// Gives the probe for an engine's architecture (`amd64`, `arm64`).
///
/// # Errors
/// When this devnet carries none for it.
pub(crate) fn program(architecture: &str) -> Result<Cow<'static, [u8]>> {
    if let Some((_, bytes)) = BUILT_IN.iter().find(|(name, _)| *name == architecture) {
        return Ok(Cow::Borrowed(bytes));
    }
    for path in beside(architecture) {
        if let Ok(bytes) = std::fs::read(&path)
            && is_static(&bytes, architecture)
        {
            return Ok(Cow::Owned(bytes));
        }
    }
    Err(
        Error::failed(format!("this devnet carries no probe for `{architecture}`"))
            .caused_by("it was built without one")
            .hint("build devnet with `make build`, or run `make probes` beside this build"),
    )
}

/// The paths where a build for development keeps it: beside devnet, or where `make probes` puts it.
fn beside(architecture: &str) -> Vec<PathBuf> {
    let machine = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    let Ok(devnet) = std::env::current_exe() else {
        return Vec::new();
    };
    // target/debug/devnet, and target/debug/deps/devnet-… in unit tests
    devnet
        .ancestors()
        .skip(1)
        .take(2)
        .flat_map(|folder| {
            [
                folder.join(format!("devnet-probe-{machine}")),
                folder.join("devnet-probe"),
                folder.join(format!("../probes/devnet-probe-{machine}")),
            ]
        })
        .collect()
}

/// True where this is a 64-bit ELF program for that machine that asks for no interpreter: nothing
/// else runs in an empty image. Cargo's own `target/debug/devnet-probe` is dynamic.
fn is_static(elf: &[u8], architecture: &str) -> bool {
    const INTERPRETER: u32 = 3;
    let machine = match architecture {
        "amd64" => 62,
        "arm64" => 183,
        _ => return false,
    };
    let half = |at: usize| {
        elf.get(at..at + 2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    let headers = || {
        let start = usize::try_from(u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?)).ok()?;
        let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
        (0..count)
            .map(|n| {
                let at = start.checked_add(n * size)?;
                Some(u32::from_le_bytes(
                    elf.get(at..at.checked_add(4)?)?.try_into().ok()?,
                ))
            })
            .collect::<Option<Vec<u32>>>()
    };
    elf.starts_with(b"\x7fELF\x02\x01")
        && half(18) == Some(machine)
        && headers().is_some_and(|kinds| !kinds.contains(&INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    #[test]
    fn a_dynamic_program_or_one_for_another_machine_is_not_taken() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&this_test, "amd64"));
        if let Ok(probe) = program("amd64") {
            assert!(is_static(&probe, "amd64"));
            assert!(!is_static(&probe, "arm64"));
        }
    }

    #[test]
    fn garbage_is_not_a_program() {
        assert!(!is_static(b"", "amd64"));
        assert!(!is_static(b"\x7fELF\x02\x01", "amd64"));
    }
}
