//! The image that holds nothing but the probe, as an archive that every engine loads.

use std::collections::BTreeMap;
use std::io;

use sha2::{Digest as _, Sha256};

use crate::image::digest::DiffId;
use crate::image::oci;
use crate::lab::{label, owned};

/// The program's path in its own image.
pub(crate) const PROGRAM: &str = "/devnet-probe";
/// An image needs a time; a fixed one keeps its ID the same.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// An image made from the probe: equal bytes give an equal image.
#[derive(Clone, Debug)]
pub(crate) struct ProbeImage {
    /// As `devnet-probe:0123456789ab`; the tag tells programs apart, so a name that is there
    /// need not be loaded again.
    pub(crate) reference: String,
    /// The diff ID of its one layer: a name and labels can be anybody's, this can't.
    pub(crate) layer: DiffId,
    /// For `POST /images/load`.
    pub(crate) archive: Vec<u8>,
}

impl ProbeImage {
    /// Makes the image; `architecture` is Go's word.
    ///
    /// # Errors
    /// When an archive can't be written to memory, which does not happen.
    pub(crate) fn new(program: &[u8], architecture: &str) -> io::Result<Self> {
        let labels = [(label::ROLE, label::PROBE_IMAGE)];
        Self::labelled(program, architecture, owned::PROBE_REPOSITORY, &labels)
    }

    /// The same under another name and with other labels, for an image that stays for one look.
    ///
    /// # Errors
    /// When an archive can't be written to memory, which does not happen.
    pub(crate) fn labelled(
        program: &[u8],
        architecture: &str,
        repository: &str,
        labels: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let layer = program_archive(program)?;
        let diff_id = format!("sha256:{}", hex(&layer));
        let config = |labels: &BTreeMap<&str, &str>| {
            oci::program_config(architecture, CREATED, PROGRAM, labels, &diff_id)
        };
        let tag = hex(&config(&labels));
        let reference = format!("{repository}:{tag:.12}");
        // who builds on it has this label too, under another name
        labels.insert(label::NAME, &reference);
        let config = config(&labels);
        let id = hex(&config);
        let manifest = oci::archive_manifest(
            &format!("{id}.json"),
            Some(std::slice::from_ref(&reference)),
            &["layer.tar".into()],
        );
        let archive = archive(&[
            ("layer.tar", &layer, 0o644),
            (&format!("{id}.json"), &config, 0o644),
            ("manifest.json", &manifest, 0o644),
        ])?;
        Ok(Self {
            reference,
            layer: DiffId(diff_id),
            archive,
        })
    }
}

/// The program alone, for `PUT /containers/{id}/archive`.
///
/// # Errors
/// When an archive can't be written to memory, which does not happen.
pub(crate) fn program_archive(program: &[u8]) -> io::Result<Vec<u8>> {
    archive(&[("devnet-probe", program, 0o755)])
}

fn archive(files: &[(&str, &[u8], u32)]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        builder.append_data(&mut header, name, *bytes)?;
    }
    builder.into_inner()
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_programs_give_equal_images_and_others_another_name() {
        let one = ProbeImage::new(b"program", "amd64").unwrap();
        let same = ProbeImage::new(b"program", "amd64").unwrap();
        let other = ProbeImage::new(b"another", "amd64").unwrap();
        assert_eq!(one.archive, same.archive);
        assert_ne!(one.reference, other.reference);
    }
}
