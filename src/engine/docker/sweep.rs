//! What a devnet that was killed could not take away: its containers that do not run, and images
//! that it brought for one look.

use std::collections::HashMap;

use crate::engine::Engine;
use crate::engine::docker::Docker;
use crate::engine::docker::carrier::LOOK;
use crate::error::Result;
use crate::host::owner;
use crate::lab::label::{OWNER, ROLE};

/// How old a thing must be whose devnet can't be seen from here; that one may be at work.
const OLD: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// An image of devnet's own in an engine.
#[derive(Debug)]
pub(super) struct OwnImage {
    pub(super) id: String,
    pub(super) names: Vec<String>,
    pub(super) owner: Option<String>,
}

impl Engine {
    /// Removes what another devnet made for its run and left, since it was killed. That it could
    /// not be removed is no failure of what is done now.
    pub(crate) async fn sweep_abandoned(&self) {
        let Self::Docker(docker) = self;
        let Ok(left) = docker.not_running().await else {
            return;
        };
        for one in left {
            let abandoned = match owner::is_gone(&one.owner) {
                Some(gone) => gone,
                // a look is started at once, other things may be meant never to start
                None => one.role == LOOK && self.is_old(one.made).await,
            };
            if abandoned {
                // another devnet may be removing it too
                let _gone = self.remove(&one.id).await;
            }
        }
    }

    /// By the engine's clock, which dates what it makes.
    async fn is_old(&self, made: Option<jiff::Timestamp>) -> bool {
        let info = self.info().await.unwrap_or_default();
        let now = crate::pod::timestamp(info.system_time.as_deref());
        matches!((made, now), (Some(made), Some(now)) if now.duration_since(made) > OLD)
    }
}

struct Left {
    id: String,
    role: String,
    owner: String,
    made: Option<jiff::Timestamp>,
}

impl Docker {
    async fn not_running(&self) -> Result<Vec<Left>> {
        let listed = self
            .listed(&HashMap::from([
                ("label", vec![OWNER]),
                ("status", vec!["created", "exited", "dead"]),
            ]))
            .await?;
        Ok(listed
            .into_iter()
            .filter_map(|one| {
                let made = one
                    .created
                    .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
                let labels = one.labels?;
                Some(Left {
                    id: one.id?,
                    // an engine that does not filter must not lose a container by it
                    owner: labels.get(OWNER)?.clone(),
                    role: labels.get(ROLE)?.clone(),
                    made,
                })
            })
            .collect())
    }

    /// The images that devnet made, for a lab or for a look.
    pub(super) async fn own_images(&self) -> Result<Vec<OwnImage>> {
        let listed = self.listed_images("label", ROLE).await?;
        Ok(listed
            .into_iter()
            .map(|image| OwnImage {
                id: image.id,
                names: image.repo_tags,
                owner: image.labels.get(OWNER).cloned(),
            })
            .collect())
    }
}
