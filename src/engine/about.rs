//! An engine's word on itself and on the machine it runs on.

use jiff::Timestamp;

use crate::error::Result;

/// An engine's description of itself (`/version`).
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The engine's version, as `28.5.2`.
    pub(crate) version: Option<String>,
    /// The newest API version that it speaks, as `1.51`.
    pub(crate) api_version: Option<String>,
    /// The oldest one that it still speaks.
    pub(crate) min_api_version: Option<String>,
    pub(crate) os: Option<String>,
    /// Go's word: `amd64`, `arm64`.
    pub(crate) arch: Option<String>,
}

/// The store that an engine keeps its images in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ImageStore {
    /// A graph driver's: layers by their unpacked content, an image by its configuration's digest.
    #[default]
    Graph,
    /// containerd's: blobs as they were sent, an image by its manifest's digest.
    Containerd,
    /// A kubelet's runtime's: layers by their unpacked content, an image by its configuration's
    /// digest; blobs may be gone.
    Cri,
}

/// An engine's description of the machine it runs on (`/info`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Info {
    /// The engine's own ID: two addresses with one ID are one engine.
    pub(crate) id: Option<String>,
    /// The machine's host name.
    pub(crate) name: Option<String>,
    pub(crate) store: ImageStore,
    /// RFC 3339; the engine's own clock.
    pub(crate) system_time: Option<String>,
    pub(crate) root_dir: Option<String>,
    /// Labels of the engine itself, `NAME=VALUE` each.
    pub(crate) labels: Vec<String>,
}

impl Info {
    /// The engine's clock.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        crate::pod::timestamp(self.system_time.as_deref())
    }

    /// The engine's clock, in nanoseconds since 1970.
    ///
    /// # Errors
    /// When it does not tell.
    pub(crate) fn nanoseconds(&self) -> Result<i64> {
        self.now()
            .and_then(|now| i64::try_from(now.as_nanosecond()).ok())
            .ok_or_else(|| crate::error::Error::failed("the engine does not tell its time"))
    }
}
