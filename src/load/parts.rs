//! The parts of an archive on their way from the thread that reads it to the nodes.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::image::archive as tar_bytes;
use crate::image::check::{self, Checked};
use crate::image::packing::Window;
use crate::image::walk::{broken, layer_unread, unread};

/// The number of pieces that wait between the thread that reads and the nodes.
pub(super) const WAITING: usize = 16;

/// A part that the reading thread hands over. The last is `End` or `Broken`: a thread that is gone
/// without either has not come to the end.
pub(super) enum Part<T> {
    /// A file begins: its path in the archive that is read, and as it is sent.
    Begin(FilePaths, Bytes),
    Content(Bytes),
    /// The file that began last was read whole, and is this.
    Checked(Checked),
    End(T),
    Broken(Error),
}

/// The paths of a file: in the archive that is read, and in those that are sent.
#[derive(Clone, Debug, Default)]
pub(super) struct FilePaths {
    pub(super) read: String,
    pub(super) sent: String,
}

/// Reads on a thread of its own, which hands over parts as they are read.
///
/// # Errors
/// When there is no thread.
pub(super) fn parts<T: Send + 'static>(
    read: impl FnOnce(&Hand<T>) -> Result<T> + Send + 'static,
) -> Result<mpsc::Receiver<Part<T>>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread(move || {
        let hand = Hand(sender);
        let last = match read(&hand) {
            Ok(end) => Part::End(end),
            Err(error) => Part::Broken(error),
        };
        // nobody listens any more: the nodes have failed, or someone pressed Ctrl-C
        let _gone = hand.over(last);
    })?;
    Ok(receiver)
}

/// A thread that nobody joins: one that waits for a pipe must not keep devnet from ending.
pub(super) fn thread(work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(work)
        .map(|_detached| ())
        .map_err(|error| Error::failed("no thread to read with").caused_by(error))
}

/// The reading thread's way to hand over parts.
pub(super) struct Hand<T>(mpsc::Sender<Part<T>>);

/// A file of the archive that is read.
pub(super) struct FileToSend<'f> {
    /// The archive's name in messages.
    pub(super) archive: &'f str,
    /// The file's name in messages: `the layer sha256:…`.
    pub(super) called: &'f str,
    pub(super) paths: FilePaths,
    pub(super) size: u64,
    /// The widest window that it may be unpacked with.
    pub(super) widest: Window,
}

impl<T> Hand<T> {
    fn over(&self, part: Part<T>) -> io::Result<()> {
        self.0
            .blocking_send(part)
            .map_err(|_| io::Error::other("nobody takes it"))
    }

    /// Hands over a file as it is read, and what it is.
    ///
    /// # Errors
    /// When it can't be read or unpacked, breaks off, or nobody takes it.
    pub(super) fn file(&self, file: FileToSend<'_>, content: &mut dyn Read) -> Result<()> {
        let FileToSend {
            archive, called, ..
        } = file;
        let untaken = |error| unread(archive, error);
        let (header, padding) = tar_bytes::file_header(&file.paths.sent, file.size)
            .ok_or_else(|| broken(archive, format!("`{}` can't be sent", file.paths.read)))?;
        self.over(Part::Begin(file.paths, header.into()))
            .map_err(untaken)?;
        let mut passed = 0;
        let checked = check::layer(content, file.widest, &mut |bytes| {
            passed += bytes.len() as u64;
            self.over(Part::Content(Bytes::copy_from_slice(bytes)))
        })
        .map_err(|error| layer_unread(archive, called, error))?;
        if passed < file.size {
            return Err(broken(archive, format!("it breaks off within {called}")));
        }
        self.over(Part::Content(vec![0; padding].into()))
            .and_then(|()| self.over(Part::Checked(checked)))
            .map_err(untaken)
    }
}
