//! An image as a node's store tells of it.

use std::collections::HashSet;

use crate::image::digest::DiffId;

/// The part of an image that a node is to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Enough to start containers from it: a kubelet's runtime throws blobs away once they are
    /// unpacked.
    #[default]
    ToRun,
    /// Also what is needed to send it on, export it and build upon it.
    Whole,
}

/// An image that a node is about to receive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Incoming<'a> {
    pub(crate) keep: Keep,
    /// Its layers, the base first, where they are known before it comes.
    pub(crate) layers: Option<&'a [DiffId]>,
}

/// The layers of an image that are wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// By their places, the base being 0.
    Only(HashSet<usize>),
}

impl Wanted {
    /// True where the layer at this place is wanted.
    pub(crate) fn contains(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(places) => places.contains(&place),
        }
    }
}

/// An image in a node's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredImage {
    /// On a graph driver the digest of its configuration, on containerd's store that of its manifest.
    pub(crate) id: String,
    /// The base first.
    pub(crate) layers: Vec<DiffId>,
    /// Bytes, unpacked.
    pub(crate) size: u64,
    pub(crate) tags: Vec<String>,
}
