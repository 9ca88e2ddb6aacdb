//! The memory, between loads, of blobs that an engine pushed. Losing it costs time at the next
//! load, nothing else.

use std::path::{Path, PathBuf};

use crate::host::replace::{self, Readers};
use crate::load::transfer::BlobCache;
use crate::regular_file;
use crate::settings::Settings;

/// As many blobs as are worth remembering.
const REMEMBERED: usize = 5000;
/// As much as they take.
const LARGEST: u64 = 4 << 20;

pub(super) fn read(settings: &Settings) -> (Option<PathBuf>, BlobCache) {
    let file = settings
        .cache_folder()
        .ok()
        .map(|folder| folder.join("blobs.json"));
    let blobs = file
        .as_deref()
        .and_then(|file| regular_file::bytes(file, LARGEST).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    (file, blobs)
}

pub(super) fn write(file: &Path, blobs: &BlobCache) {
    if blobs.is_empty() || blobs.len() > REMEMBERED {
        let _none = std::fs::remove_file(file);
        return;
    }
    let Ok(text) = serde_json::to_vec(blobs) else {
        return;
    };
    let Some(folder) = file.parent() else { return };
    let _full = std::fs::create_dir_all(folder)
        .and_then(|()| replace::replace(file, &text, Readers::Everybody));
}
