//! The probe's programs that were built into devnet.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// A static Linux program inside devnet.
struct BuiltIn {
    /// Go's word for the processor.
    architecture: &'static str,
    bytes: &'static [u8],
    /// The SHA-256 of the program, where `bytes` are the program packed with gzip.
    packed_sum: Option<&'static str>,
}

const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/probes.rs"));

/// More than any probe takes.
const MOST: u64 = 1 << 24;

/// Gives the probe for an engine's architecture (`amd64`, `arm64`).
///
/// # Errors
/// When this devnet carries none for it, or its own file is damaged.
pub(crate) fn program(architecture: &str) -> Result<Cow<'static, [u8]>> {
    let Some(found) = BUILT_IN
        .iter()
        .find(|program| program.architecture == architecture)
    else {
        return Err(
            Error::failed(format!("this devnet carries no probe for `{architecture}`"))
                .caused_by("it was built without one")
                .hint("take a released devnet, or build it with `make build`"),
        );
    };
    let Some(sum) = found.packed_sum else {
        return Ok(Cow::Borrowed(found.bytes));
    };
    let program = unpacked(found.bytes, sum).map_err(|why| {
        Error::failed(format!(
            "the probe for `{architecture}` in this devnet is damaged"
        ))
        .caused_by(why)
        .hint("install devnet again")
    })?;
    Ok(Cow::Owned(program))
}

/// The SHA-256 of each program that this devnet carries, by Go's word for the processor.
pub(crate) fn sums() -> impl Iterator<Item = (&'static str, String)> {
    BUILT_IN.iter().map(|program| {
        let sum = match program.packed_sum {
            Some(sum) => sum.to_owned(),
            None => digest(program.bytes),
        };
        (program.architecture, sum)
    })
}

/// The program in a gzip, if it is the one with that SHA-256.
fn unpacked(gzip: &[u8], sum: &str) -> Result<Vec<u8>, String> {
    let mut program = Vec::new();
    GzDecoder::new(gzip)
        .take(MOST)
        .read_to_end(&mut program)
        .map_err(|error| format!("it can't be unpacked: {error}"))?;
    match digest(&program) {
        is if is == sum => Ok(program),
        is => Err(format!("its SHA-256 is {is}, not {sum}")),
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_program_that_is_not_the_one_with_the_sum_is_refused() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(b"program").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(
            unpacked(&gzip, &digest(b"program")),
            Ok(b"program".to_vec())
        );
        let other = unpacked(&gzip, &digest(b"another")).unwrap_err();
        assert!(other.contains("its SHA-256 is"), "{other}");
        let cut = unpacked(&gzip[..gzip.len() - 9], &digest(b"program")).unwrap_err();
        assert!(cut.contains("can't be unpacked"), "{cut}");
    }

    #[test]
    fn each_program_has_its_sum() {
        for (architecture, sum) in sums() {
            assert_eq!(digest(&program(architecture).unwrap()), sum);
        }
    }
}
