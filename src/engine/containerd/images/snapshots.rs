//! containerd's snapshots: unpacked layers, each named by its chain ID.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::content::Labels;
use super::messages::{
    ApplyRequest, ApplyResponse, CleanupRequest, CommitSnapshotRequest, Descriptor,
    ListSnapshotsRequest, ListSnapshotsResponse, Mount, PrepareSnapshotRequest,
    PrepareSnapshotResponse, SnapshotInfo, SnapshotKind, SnapshotRequest, StatSnapshotResponse,
    UsageResponse,
};
use crate::engine::grpc::{Empty, Grpc, found};
use crate::error::{Error, Result};
use crate::image::digest::{ChainId, DiffId};

/// The label by which a snapshot in the making says what it is to be: where that is there already,
/// containerd says so instead, and keeps it under the lease of the call.
const TO_BE: &str = "containerd.io/snapshot.ref";
/// The most snapshots that are read.
const MOST: usize = 100_000;
/// The time that unpacking a layer may take; whoever waits watches the node.
const UNPACKING: Duration = Duration::from_hours(24);

/// A client of a node's snapshotter.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    grpc: Grpc,
    snapshotter: Arc<str>,
}

/// A layer to be unpacked.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// The blob that holds it.
    pub(super) blob: Descriptor,
    pub(super) diff_id: DiffId,
    pub(super) chain: ChainId,
    /// The layers below it; `None` for the base.
    pub(super) parent: Option<ChainId>,
    /// Its name until it is whole.
    pub(super) key: String,
}

impl Snapshots {
    pub(super) fn new(grpc: Grpc, snapshotter: Arc<str>) -> Self {
        Self { grpc, snapshotter }
    }

    pub(super) fn snapshotter(&self) -> &str {
        &self.snapshotter
    }

    /// True where a layer is there, on the layers below it.
    pub(super) async fn has(&self, chain: &ChainId) -> Result<bool> {
        let info = self.info(chain.as_str()).await?;
        Ok(info.is_some_and(|info| info.kind() == SnapshotKind::Committed))
    }

    /// A snapshot's record; `None` when it is not there.
    pub(super) async fn info(&self, key: &str) -> Result<Option<SnapshotInfo>> {
        const PATH: &str = "/containerd.services.snapshots.v1.Snapshots/Stat";
        let answer = self.grpc.ask(PATH, self.named(key)).await;
        let answer: Option<StatSnapshotResponse> = found(answer)?;
        Ok(answer.and_then(|answer| answer.info))
    }

    /// Puts a layer, and with it those below, under the lease of this client. False where it is not
    /// there. `key` is a name that nothing has.
    pub(super) async fn pin(&self, chain: &ChainId, key: &str) -> Result<bool> {
        let prepared = self.prepare(key, None, chain).await?;
        if prepared.is_some() {
            self.remove(key).await?;
        }
        Ok(prepared.is_none())
    }

    /// Unpacks a layer and gives it its chain ID.
    ///
    /// # Errors
    /// When it is another layer than was said; when the layers below are gone; what the node says.
    pub(super) async fn unpack(&self, layer: Unpacking) -> Result<()> {
        const APPLY: &str = "/containerd.services.diff.v1.Diff/Apply";
        const COMMIT: &str = "/containerd.services.snapshots.v1.Snapshots/Commit";
        let Unpacking {
            blob,
            diff_id,
            chain,
            parent,
            key,
        } = layer;
        let Some(mounts) = self.prepare(&key, parent.as_ref(), &chain).await? else {
            // another has brought it meanwhile
            return Ok(());
        };
        let question = ApplyRequest {
            diff: Some(blob),
            mounts,
        };
        let applied: Result<ApplyResponse, _> =
            self.grpc.ask_within(APPLY, question, UNPACKING).await;
        let applied = match applied {
            Ok(answer) => answer.applied.unwrap_or_default().digest,
            Err(refusal) => {
                self.remove(&key).await?;
                return Err(refusal.error);
            }
        };
        if applied != diff_id.0 {
            self.remove(&key).await?;
            return Err(Error::failed("a layer is another than the image says")
                .caused_by(format!("unpacked it is {applied}, not {}", diff_id.0)));
        }
        let commit = CommitSnapshotRequest {
            snapshotter: self.snapshotter.to_string(),
            name: chain.as_str().to_owned(),
            key: key.clone(),
            labels: to_be(&chain),
        };
        match self.grpc.ask::<_, Empty>(COMMIT, commit).await {
            Ok(()) => Ok(()),
            // another was faster
            Err(refusal) if refusal.is_already_there() => self.remove(&key).await,
            Err(refusal) => {
                self.remove(&key).await?;
                Err(refusal.error)
            }
        }
    }

    /// The bytes that a layer takes unpacked; `None` when it is not there.
    pub(super) async fn usage(&self, chain: &ChainId) -> Result<Option<u64>> {
        const PATH: &str = "/containerd.services.snapshots.v1.Snapshots/Usage";
        let answer = self.grpc.ask(PATH, self.named(chain.as_str())).await;
        let answer: Option<UsageResponse> = found(answer)?;
        Ok(answer.and_then(|answer| u64::try_from(answer.size).ok()))
    }

    /// All snapshots.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(super) async fn all(&self) -> Result<Vec<SnapshotInfo>> {
        const PATH: &str = "/containerd.services.snapshots.v1.Snapshots/List";
        let question = ListSnapshotsRequest {
            snapshotter: self.snapshotter.to_string(),
        };
        let mut answers = self.grpc.follow(PATH, question).await?;
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await {
            let answer: ListSnapshotsResponse = answer?;
            all.extend(answer.info);
            if all.len() > MOST {
                return Err(
                    Error::failed("the node has more snapshots than devnet reads")
                        .caused_by(format!("more than {MOST}")),
                );
            }
        }
        Ok(all)
    }

    /// Makes room for a layer; `None` where it is there already. A containerd that was killed amid
    /// such work may have left a folder in its own way, which it clears when it is asked to.
    async fn prepare(
        &self,
        key: &str,
        parent: Option<&ChainId>,
        chain: &ChainId,
    ) -> Result<Option<Vec<Mount>>> {
        const CLEAR: &str = "/containerd.services.snapshots.v1.Snapshots/Cleanup";
        match self.prepare_once(key, parent, chain).await {
            Err(error) if error.in_one_line().contains("file exists") => {
                let order = CleanupRequest {
                    snapshotter: self.snapshotter.to_string(),
                };
                match self.grpc.ask::<_, Empty>(CLEAR, order).await {
                    Ok(()) => self.prepare_once(key, parent, chain).await,
                    // older ones know no such order
                    Err(_refused) => Err(error.hint(
                        "containerd was killed amid its work, and has left a folder in its own way: it clears that when a container is removed there",
                    )),
                }
            }
            prepared => prepared,
        }
    }

    async fn prepare_once(
        &self,
        key: &str,
        parent: Option<&ChainId>,
        chain: &ChainId,
    ) -> Result<Option<Vec<Mount>>> {
        const PATH: &str = "/containerd.services.snapshots.v1.Snapshots/Prepare";
        let question = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.to_string(),
            key: key.to_owned(),
            parent: parent.map(ChainId::as_str).unwrap_or_default().to_owned(),
            labels: to_be(chain),
        };
        match self.grpc.ask(PATH, question).await {
            Ok(answer) => {
                let answer: PrepareSnapshotResponse = answer;
                Ok(Some(answer.mounts))
            }
            Err(refusal) if refusal.is_already_there() => Ok(None),
            Err(refusal) => Err(refusal.error),
        }
    }

    async fn remove(&self, key: &str) -> Result<()> {
        const PATH: &str = "/containerd.services.snapshots.v1.Snapshots/Remove";
        let _gone: Option<Empty> = found(self.grpc.ask(PATH, self.named(key)).await)?;
        Ok(())
    }

    fn named(&self, key: &str) -> SnapshotRequest {
        SnapshotRequest {
            snapshotter: self.snapshotter.to_string(),
            key: key.to_owned(),
        }
    }
}

fn to_be(chain: &ChainId) -> Labels {
    Labels::from([(TO_BE.to_owned(), chain.as_str().to_owned())])
}
