//! A folder that is an OCI image layout: which image in it is meant, its blobs, and new ones.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::host::replace::{self, Readers};
use crate::image::digest::Digest;
use crate::image::oci::{self, DescriptorRef, Index};
use crate::regular_file;
use crate::wording::{MANY, listed};

/// An index of images is small; whoever writes a larger file wrote something else.
const LARGEST_INDEX: u64 = 8 << 20;
/// The tag that is meant where none is named.
const LATEST: &str = "latest";

/// Reads `DIR`, `DIR:TAG` or `DIR@DIGEST`: the folder, and the digest of the manifest or index
/// that is meant.
///
/// # Errors
/// No such folder, no layout, no such image in it.
pub(crate) fn find(place: &str) -> Result<(PathBuf, Digest)> {
    let (folder, digest) = match place.split_once('@') {
        Some((folder, digest)) => (folder, Some(digest)),
        None => (place, None),
    };
    // a colon before the last slash belongs to the path, as does a drive's
    let (folder, tag) = match folder.rsplit_once(':') {
        Some((path, tag)) if !tag.contains(['/', '\\']) && !Path::new(folder).is_dir() => {
            (path, Some(tag))
        }
        _ => (folder, None),
    };
    let root = fs::canonicalize(folder)
        .map_err(|error| Error::failed(format!("no OCI layout at `{folder}`")).caused_by(error))?;
    let digest = match digest {
        Some(digest) => Digest::parse(digest).ok_or_else(|| {
            Error::usage(format!(
                "`{digest}` is no digest: `sha256:` and 64 hex digits"
            ))
        })?,
        None => tagged(&root, folder, tag)?,
    };
    if !blob(&root, &digest).is_file() {
        return Err(Error::failed(format!(
            "the OCI layout `{folder}` does not hold {}",
            digest.as_str()
        )));
    }
    Ok((root, digest))
}

/// The file of a blob.
pub(crate) fn blob(root: &Path, digest: &Digest) -> PathBuf {
    root.join(digest.blob_path())
}

fn tagged(root: &Path, folder: &str, tag: Option<&str>) -> Result<Digest> {
    let no_layout = || Error::failed(format!("`{folder}` is no OCI layout"));
    let index = read_index(root).map_err(|error| no_layout().caused_by(error))?;
    let manifests: Vec<DescriptorRef<'_>> = index.manifests().into_iter().flatten().collect();
    let wanted = tag.unwrap_or(LATEST);
    let found = manifests
        .iter()
        .find(|manifest| manifest.image_name() == Some(wanted))
        .or_else(|| {
            manifests
                .iter()
                .find(|manifest| manifest.ref_name() == Some(wanted))
        })
        .or(match manifests.as_slice() {
            [one] if tag.is_none() => Some(one),
            _ => None,
        });
    let Some(found) = found else {
        let names: Vec<&str> = manifests
            .iter()
            .filter_map(|manifest| manifest.ref_name())
            .collect();
        let error = Error::failed(format!("the OCI layout `{folder}` has no `{wanted}`"));
        return Err(if names.is_empty() {
            error.hint("name the image by its digest, as `DIR@sha256:…`")
        } else {
            error.hint(format!("it has: {}", listed(&names, MANY)))
        });
    };
    Digest::parse(found.digest()).ok_or_else(|| no_layout().caused_by("its index names no digest"))
}

fn read_index(root: &Path) -> io::Result<Index> {
    let bytes = regular_file::bytes(&root.join("index.json"), LARGEST_INDEX)?;
    Ok(Index::read(&bytes)?)
}

/// The digest that a tag of the layout stands for; none when the folder or the tag is not there
/// yet.
pub(crate) fn digest_of(root: &Path, tag: Option<&str>) -> Option<Digest> {
    let folder = root.to_str()?;
    tagged(root, folder, tag)
        .ok()
        .filter(|digest| blob(root, digest).is_file())
}

/// Has a tag stand for a manifest, and makes the folder a layout. Other tags stay.
///
/// # Errors
/// The folder's; an index that is none.
pub(crate) fn put_tag(root: &Path, descriptor: Value, tag: Option<&str>) -> io::Result<()> {
    let tag = tag.unwrap_or(LATEST);
    let mut index = match read_index(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Index::empty(),
        index => index?,
    };
    index.put(descriptor, tag).map_err(io::Error::other)?;
    let put =
        |name: &str, bytes: &[u8]| replace::replace(&root.join(name), bytes, Readers::Everybody);
    put("oci-layout", oci::LAYOUT)?;
    put("index.json", &index.to_bytes())
}

/// A blob on its way into a layout: gone when this is dropped before [`Ingest::commit`].
#[derive(Debug)]
pub(crate) struct Ingest {
    root: PathBuf,
    part: PathBuf,
    file: File,
    hash: Sha256,
    written: u64,
}

impl Ingest {
    /// Begins; `name` is a file name that nobody else uses.
    pub(crate) fn new(root: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(root.join("blobs").join("sha256"))?;
        let part = root.join(format!("blobs/{name}.devnet-part"));
        let file = File::create_new(&part)?;
        Ok(Self {
            root: root.to_owned(),
            part,
            file,
            hash: Sha256::new(),
            written: 0,
        })
    }

    /// The number of bytes there are.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.hash.update(data);
        self.written += data.len() as u64;
        Ok(())
    }

    /// Gives the blob its name, which is its digest.
    ///
    /// # Errors
    /// It is not what was expected; the folder's.
    pub(crate) fn commit(self, expected: Option<&Digest>) -> io::Result<Digest> {
        let digest = Digest::from_hash(&self.hash.clone().finalize());
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(io::Error::other(format!(
                "{} came where {} was said",
                digest.as_str(),
                expected.as_str()
            )));
        }
        let blob = blob(&self.root, &digest);
        if replace::is_special(&blob) {
            return Err(io::Error::other(format!(
                "`{}` is not a regular file",
                blob.display()
            )));
        }
        fs::rename(&self.part, blob)?;
        Ok(digest)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // after the renaming there is nothing under this name
        let _gone = fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_found_by_its_tag_its_digest_or_because_it_is_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("lay:out");
        fs::create_dir(&root).unwrap();
        let place = root.to_str().unwrap().to_owned();
        let add = |text: &str, tag: &str| {
            let mut ingest = Ingest::new(&root, "x").unwrap();
            ingest.write(text.as_bytes()).unwrap();
            let digest = ingest.commit(Some(&Digest::of(text.as_bytes()))).unwrap();
            put_tag(&root, json!({"digest": digest.as_str()}), Some(tag)).unwrap();
            digest
        };
        let message = |place: &str| format!("{:?}", find(place).unwrap_err());
        assert!(message(&place).contains("is no OCI layout"));
        let one = add("one", "v1");
        assert_eq!(find(&place).unwrap().1, one, "the only one");
        assert!(message(&format!("{place}:v2")).contains("has no `v2`"));
        let two = add("two", "v2");
        let three = add("three", "v2");
        assert_eq!(find(&format!("{place}:v2")).unwrap().1, three);
        assert_eq!(find(&format!("{place}@{}", two.as_str())).unwrap().1, two);
        assert!(message(&place).contains("v1, v2"), "which one?");
        let latest = add("four", "latest");
        assert_eq!(find(&place).unwrap().1, latest);
        assert!(message(&format!("{place}@sha256:00")).contains("is no digest"));
        let other = Digest::of(b"other");
        assert!(message(&format!("{place}@{}", other.as_str())).contains("does not hold"));
        assert!(message("nowhere/at/all").contains("no OCI layout at"));
    }

    #[test]
    fn a_tag_for_nonsense_or_in_an_index_that_is_none_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let put = |text: &str| {
            let descriptor = serde_json::from_str(text).unwrap();
            put_tag(home.path(), descriptor, None).map_err(|error| error.to_string())
        };
        for nonsense in [
            "[]",
            "\"x\"",
            "1",
            "null",
            "{\"annotations\":1}",
            "{\"annotations\":[]}",
        ] {
            assert!(
                put(nonsense).unwrap_err().contains("no descriptor"),
                "{nonsense}"
            );
        }
        let index = home.path().join("index.json");
        assert!(!index.exists());
        for nonsense in ["[]", "\"x\"", "1", "null"] {
            fs::write(&index, nonsense).unwrap();
            assert!(put("{}").unwrap_err().contains("no index"), "{nonsense}");
            assert_eq!(fs::read_to_string(&index).unwrap(), nonsense);
        }
        fs::write(&index, "{\"manifests\":1}").unwrap();
        put("{\"annotations\":null}").unwrap();
    }

    #[test]
    fn a_blob_that_is_not_what_was_said_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut ingest = Ingest::new(home.path(), "x").unwrap();
        ingest.write(b"something").unwrap();
        assert!(ingest.commit(Some(&Digest::of(b"else"))).is_err());
        let left = fs::read_dir(home.path().join("blobs")).unwrap().count();
        assert_eq!(left, 1, "the folder of blobs alone");
    }
}
