//! The memory, between loads, of what was learned about images that an engine gave. Losing it costs
//! time at the next load, nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::replace::{self, Readers};
use crate::load::transfer::BlobCache;
use crate::regular_file;
use crate::settings::Settings;

/// As many blobs, and as many images, as are worth remembering.
const REMEMBERED: usize = 5000;
/// As much as they take.
const LARGEST: u64 = 4 << 20;

/// The knowledge of earlier loads. All of it is about digests, and stays true.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Memory {
    /// The layers in the blobs that an engine pushed.
    pub(super) blobs: BlobCache,
    /// The digests of images' configurations, by the digest under which an engine with containerd's
    /// store knows each: that of its manifest or index.
    configurations: HashMap<String, String>,
}

impl Memory {
    /// The digest of an image's configuration, by which nodes know it.
    pub(super) fn configuration<'m>(&'m self, id: &'m str) -> &'m str {
        self.configurations.get(id).map_or(id, String::as_str)
    }

    /// Learns the digest of an image's configuration.
    pub(super) fn learn(&mut self, id: &str, configuration: String) {
        if id != configuration {
            self.configurations.insert(id.to_owned(), configuration);
        }
    }

    fn is_worth_it(&self) -> bool {
        let counts = [self.blobs.len(), self.configurations.len()];
        counts.iter().any(|count| *count > 0) && counts.iter().all(|count| *count <= REMEMBERED)
    }
}

pub(super) fn read(settings: &Settings) -> (Option<PathBuf>, Memory) {
    let file = settings
        .cache_folder()
        .ok()
        .map(|folder| folder.join("images.json"));
    let memory = file
        .as_deref()
        .and_then(|file| regular_file::bytes(file, LARGEST).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    (file, memory)
}

pub(super) fn write(file: &Path, memory: &Memory) {
    if !memory.is_worth_it() {
        let _none = std::fs::remove_file(file);
        return;
    }
    let Ok(text) = serde_json::to_vec(memory) else {
        return;
    };
    let Some(folder) = file.parent() else { return };
    let _full = std::fs::create_dir_all(folder)
        .and_then(|()| replace::replace(file, &text, Readers::Everybody));
}
