//! A layer on its way: its bytes are hashed, packed and unpacked, so that nothing arrives but the
//! layer that the image names.

use std::io::{self, BufReader, Read};

use sha2::{Digest as _, Sha256};

use crate::image::digest::{DiffId, Digest};
use crate::image::packing::{Packing, Window, unpack};

/// The digests of a layer that was read, and its packing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The digest of the bytes as they are.
    pub(crate) blob: Digest,
    /// The digest of the unpacked bytes.
    pub(crate) diff_id: DiffId,
    pub(crate) packing: Packing,
}

impl Checked {
    /// Checks that this is the layer that an image names.
    ///
    /// # Errors
    /// Says what it is instead.
    pub(crate) fn agrees(&self, diff_id: &DiffId, blob: Option<&Digest>) -> Result<(), String> {
        let other = |named: &str, is: &str| {
            Err(format!("the content of the layer {named} is another: {is}"))
        };
        match blob {
            Some(blob) if *blob != self.blob => other(blob.as_str(), self.blob.as_str()),
            _ if *diff_id != self.diff_id => other(&diff_id.0, &self.diff_id.0),
            _ => Ok(()),
        }
    }
}

const PIECE: usize = 128 << 10;

/// Reads a layer to its end, handing its bytes on as they are.
///
/// # Errors
/// When reading fails, the receiver refuses, or it does not unpack.
pub(crate) fn layer(
    source: &mut dyn Read,
    widest: Window,
    give: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Checked> {
    let mut passing = BufReader::with_capacity(
        PIECE,
        Passing {
            source,
            give,
            hash: Sha256::new(),
        },
    );
    let packing = Packing::of(io::BufRead::fill_buf(&mut passing)?);
    let unpacked = if packing == Packing::Plain {
        None
    } else {
        let mut hash = Sha256::new();
        let mut reader = unpack(&mut passing, packing, widest);
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
        Some(hash)
    };
    // the rest, which for a plain layer is all
    io::copy(&mut passing, &mut io::sink())?;
    let blob = Digest::from_hash(&passing.into_inner().hash.finalize());
    let diff_id = match unpacked {
        None => DiffId(blob.as_str().to_owned()),
        Some(hash) => DiffId(Digest::from_hash(&hash.finalize()).as_str().to_owned()),
    };
    Ok(Checked {
        blob,
        diff_id,
        packing,
    })
}

struct Passing<'r> {
    source: &'r mut dyn Read,
    give: &'r mut dyn FnMut(&[u8]) -> io::Result<()>,
    hash: Sha256,
}

impl Read for Passing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hash.update(&buffer[..count]);
        (self.give)(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn bytes_pass_as_they_are_and_both_hashes_are_known() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).unwrap();
        let packed = gzip.finish().unwrap();
        for (bytes, packing) in [(&content, Packing::Plain), (&packed, Packing::Gzip)] {
            let mut passed = Vec::new();
            let checked = layer(&mut bytes.as_slice(), Window::WIDEST, &mut |piece| {
                passed.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
            assert!(passed == *bytes);
            let expected = Checked {
                blob: Digest::of(bytes),
                diff_id: DiffId(Digest::of(&content).as_str().into()),
                packing,
            };
            assert_eq!(checked, expected);
        }
    }
}
