//! What is remembered between loads of blobs that an engine pushed. Losing it costs time at the
//! next load, nothing else.

use std::path::{Path, PathBuf};

use crate::load::transfer::KnownBlobs;
use crate::settings::Settings;

/// As many blobs as are worth remembering.
const REMEMBERED: usize = 5000;

pub(super) fn read(settings: &Settings) -> (Option<PathBuf>, KnownBlobs) {
    let file = settings
        .cache_folder()
        .ok()
        .map(|folder| folder.join("blobs.json"));
    let blobs = file
        .as_deref()
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    (file, blobs)
}

pub(super) fn write(file: &Path, blobs: &KnownBlobs) {
    if blobs.is_empty() || blobs.len() > REMEMBERED {
        let _none = std::fs::remove_file(file);
        return;
    }
    let Ok(text) = serde_json::to_vec(blobs) else {
        return;
    };
    let Some(folder) = file.parent() else { return };
    let new = folder.join(format!("blobs.{}.new", std::process::id()));
    let _full = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&new, text))
        .and_then(|()| std::fs::rename(&new, file));
}
