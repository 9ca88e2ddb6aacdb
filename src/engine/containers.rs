//! The containers of a node: listed at once, then described one by one, and looked at again where
//! something was changed. To find one pod among them a list is enough.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::containerd::{self, Containerd};
use crate::engine::crio;
use crate::engine::docker::pods as docker;
use crate::engine::job::ProgramImages;
use crate::error::Result;
use crate::pod::ContainerFacts;

/// The list of a node's containers: enough to begin something else while each is described.
pub(crate) enum Listing {
    Docker(Box<docker::Listing>),
    /// Nothing was asked yet: nothing has to be known before something else begins.
    Containerd(Box<Containerd>),
    CriO(Box<crio::Listing>),
}

impl Listing {
    /// The images from which devnet's own program can run beside them.
    pub(crate) fn candidates(&self) -> ProgramImages {
        match self {
            Self::Docker(listing) => ProgramImages::AnyOf(listing.candidates()),
            Self::Containerd(_) | Self::CriO(_) => ProgramImages::AnyOf(Vec::new()),
        }
    }

    /// Asks for the description of each of them.
    ///
    /// # Errors
    /// As `Runtime::containers`.
    pub(crate) async fn inspected(self) -> Result<Containers> {
        match self {
            Self::Docker(listing) => listing
                .inspected()
                .await
                .map(|containers| Containers::Docker(Box::new(containers))),
            Self::Containerd(containerd) => containerd
                .inspected()
                .await
                .map(|containers| Containers::Containerd(Box::new(containers))),
            Self::CriO(listing) => listing
                .inspected()
                .await
                .map(|containers| Containers::CriO(Box::new(containers))),
        }
    }
}

/// The containers of a node, known well enough to find one pod among them.
pub(crate) enum Outline {
    /// All is known already.
    Whole(Vec<ContainerFacts>),
    Containerd(Box<containerd::Outline>),
}

impl Outline {
    /// The containers: their places in pods, and whether they are up.
    pub(crate) fn facts(&self) -> &[ContainerFacts] {
        match self {
            Self::Whole(facts) => facts,
            Self::Containerd(outline) => &outline.facts,
        }
    }

    /// Everything about the containers of a pod, and maybe about others.
    ///
    /// # Errors
    /// As `Runtime::containers`.
    pub(crate) async fn of_pod(self, uid: &str) -> Result<Vec<ContainerFacts>> {
        match self {
            Self::Whole(facts) => Ok(facts),
            Self::Containerd(outline) => outline.of_pod(uid).await,
        }
    }
}

/// The containers of a node as they were last seen.
pub(crate) enum Containers {
    Docker(Box<docker::Containers>),
    Containerd(Box<containerd::Containers>),
    CriO(Box<crio::Containers>),
}

impl Containers {
    /// The containers, newest first.
    pub(crate) fn facts(&self) -> &[ContainerFacts] {
        match self {
            Self::Docker(containers) => &containers.facts,
            Self::Containerd(containers) => &containers.facts,
            Self::CriO(containers) => &containers.facts,
        }
    }

    /// The same, to be kept: what is seen later does not change them.
    pub(crate) fn shared(&self) -> Arc<Vec<ContainerFacts>> {
        match self {
            Self::Docker(containers) => Arc::clone(&containers.facts),
            Self::Containerd(containers) => Arc::clone(&containers.facts),
            Self::CriO(containers) => Arc::clone(&containers.facts),
        }
    }

    /// Looks again at those of which something was changed.
    ///
    /// # Errors
    /// As `Runtime::containers`.
    pub(crate) async fn refresh(&mut self, changed: BTreeSet<String>) -> Result<()> {
        match self {
            Self::Docker(containers) => containers.refresh(changed).await,
            Self::Containerd(containers) => containers.refresh(&changed).await,
            Self::CriO(containers) => containers.refresh().await,
        }
    }

    /// Looks whether all is as it was seen: a runtime may have dropped an event.
    ///
    /// # Errors
    /// As `Runtime::containers`.
    pub(crate) async fn check(&mut self) -> Result<()> {
        match self {
            Self::Docker(containers) => containers.check().await,
            Self::Containerd(containers) => containers.check().await,
            Self::CriO(containers) => containers.refresh().await,
        }
    }
}
