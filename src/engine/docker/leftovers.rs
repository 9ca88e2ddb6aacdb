//! The things that a killed devnet may have left in a Docker engine.

use crate::engine::docker::Docker;
use crate::error::Result;
use crate::host::owner;
use crate::image::reference;
use crate::lab::label::{OWNER, ROLE};

/// Containers and images that stand in an engine and should not for long.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Containers of devnets that are gone.
    pub(crate) containers: Vec<String>,
    /// A transfer runs, or was left: a name does not always tell.
    pub(crate) transfers: Vec<String>,
}

impl Docker {
    /// Names of images under transfer, and of devnet's own containers that should have ended by
    /// now. The lab's are not among them.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(in crate::engine) async fn leftovers(&self) -> Result<Leftovers> {
        let found = self.own_containers(&[OWNER]).await?;
        let ids = self.left_of(&found).await;
        let mut left = Leftovers::default();
        for one in found.iter().filter(|one| ids.contains(&one.id)) {
            let id: String = one.id.chars().take(12).collect();
            let role = one.label(ROLE).unwrap_or_default();
            left.containers.push(format!("container {id} ({role})"));
        }
        for name in self
            .image_names()
            .await?
            .iter()
            .flat_map(|(_, names)| names)
        {
            if !reference::is_transfer(name) {
                continue;
            }
            let what = match reference::transfer_token(name).and_then(owner::signer_is_gone) {
                // it is at work
                Some(false) => continue,
                Some(true) => format!("image {name}: its transfer was killed"),
                None => format!("image {name}: a transfer runs or was left"),
            };
            left.transfers.push(what);
        }
        Ok(left)
    }
}
