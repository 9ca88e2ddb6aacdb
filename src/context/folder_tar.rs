//! A build context as one tar stream, for engines that can't ask for files.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::context::folder::{self, Entry, Filter, mode};
use crate::error::{Error, Result};
use crate::regular_file;

/// The Dockerfile's name in the archive when it does not come from the context.
pub(crate) const DOCKERFILE: &str = ".dockerfile.devnet";

/// A Dockerfile that is not in the context, or is left out of it.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(crate) text: Vec<u8>,
    /// The context's `.dockerignore`, where the image may have it.
    pub(crate) visible_ignore: Option<String>,
}

/// Writes a folder's entries to `to`.
///
/// # Errors
/// A file that can't be read; a writer that fails.
pub(crate) fn write(
    root: Option<&Path>,
    exclude: &[String],
    apart: Option<&Apart>,
    to: &mut dyn Write,
) -> Result<()> {
    let mut tar = tar::Builder::new(to);
    let mut failure = None;
    let mut exclude = exclude.to_vec();
    if apart.is_some() {
        exclude.push(".dockerignore".to_owned());
    }
    let filter = Filter {
        exclude,
        ..Filter::default()
    };
    if let Some(root) = root {
        folder::walk(
            root,
            &filter,
            &mut |entry| match append(&mut tar, root, &entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(
                        Error::failed(format!("`{}` can't be sent", entry.path)).caused_by(error),
                    );
                    ControlFlow::Break(())
                }
            },
        )?;
    }
    if let Some(error) = failure {
        return Err(error);
    }
    if let Some(apart) = apart {
        // the engine takes out of the context what this file names, but reads the Dockerfile first
        let mut ignore = apart
            .visible_ignore
            .clone()
            .unwrap_or(".dockerignore".to_owned());
        ignore.push('\n');
        ignore.push_str(DOCKERFILE);
        ignore.push('\n');
        for (name, bytes) in [
            (DOCKERFILE, apart.text.as_slice()),
            (".dockerignore", ignore.as_bytes()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes)
                .map_err(|error| Error::failed("the Dockerfile can't be sent").caused_by(error))?;
        }
    }
    tar.finish()
        .map_err(|error| Error::failed("the context can't be sent").caused_by(error))
}

fn append(tar: &mut tar::Builder<&mut dyn Write>, root: &Path, entry: &Entry) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    let special = [
        (mode::SET_UID, 0o4000),
        (mode::SET_GID, 0o2000),
        (mode::STICKY, 0o1000),
    ];
    let special: u32 = special
        .iter()
        .filter(|(bit, _)| entry.mode & bit != 0)
        .map(|(_, raw)| raw)
        .sum();
    header.set_mode((entry.mode & 0o777) | special);
    header.set_mtime(u64::try_from(entry.modified / 1_000_000_000).unwrap_or(0));
    header.set_size(0);
    let kind = entry.mode;
    if kind & mode::FOLDER != 0 {
        header.set_entry_type(tar::EntryType::Directory);
        return tar.append_data(&mut header, format!("{}/", entry.path), io::empty());
    }
    if kind & mode::SYMLINK != 0 {
        header.set_entry_type(tar::EntryType::Symlink);
        return tar.append_link(&mut header, &entry.path, &entry.link);
    }
    if !entry.link.is_empty() {
        header.set_entry_type(tar::EntryType::Link);
        return tar.append_link(&mut header, &entry.path, &entry.link);
    }
    if entry.has_content() {
        let (file, _length) = match regular_file::open_below(root, &entry.path) {
            // an editor's file that came and went
            Err(error) if folder::is_gone(&error) => return Ok(()),
            opened => opened?,
        };
        header.set_size(entry.size);
        // a file that grows meanwhile must not spill over, one that shrinks is an error
        let file = io::Read::take(file, entry.size);
        return tar.append_data(&mut header, &entry.path, file);
    }
    let kind = if kind & mode::FIFO != 0 {
        tar::EntryType::Fifo
    } else if kind & mode::CHARACTER_DEVICE != 0 {
        tar::EntryType::Char
    } else {
        tar::EntryType::Block
    };
    header.set_entry_type(kind);
    header.set_device_major(entry.device.0)?;
    header.set_device_minor(entry.device.1)?;
    tar.append_data(&mut header, &entry.path, io::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_what_is_not_ignored_and_the_dockerfile_apart() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("d/a"), "text").unwrap();
        std::fs::write(root.path().join("drop"), "").unwrap();
        let mut bytes = Vec::new();
        let apart = Apart {
            text: b"FROM x".to_vec(),
            visible_ignore: None,
        };
        let drop = ["drop".to_owned()];
        write(Some(root.path()), &drop, Some(&apart), &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["d/", "d/a", DOCKERFILE, ".dockerignore"]);
    }
}
