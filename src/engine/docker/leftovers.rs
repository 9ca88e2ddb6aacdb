//! What a devnet that was killed may have left in a Docker engine.

use std::collections::HashMap;

use crate::engine::Engine;
use crate::error::Result;
use crate::host::owner;
use crate::image::reference;
use crate::lab::label::{HELPER, OWNER, ROLE};

/// Longer than a container waits to be started or removed.
const OLD: i64 = 120;

/// What stands in an engine and should not for long.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Whose devnet is gone.
    pub(crate) containers: Vec<String>,
    /// A transfer runs, or was left: a name does not tell.
    pub(crate) transfers: Vec<String>,
}

impl Engine {
    /// Names of images under transfer, and of devnet's own containers that should have ended by
    /// now (`now` in seconds since 1970). The lab's are not among them.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(crate) async fn leftovers(&self, now: i64) -> Result<Leftovers> {
        let Self::Docker(docker) = self;
        let listed = docker
            .listed(&HashMap::from([("label", vec![ROLE])]))
            .await?;
        let mut left = Leftovers::default();
        for container in listed {
            let labels = container.labels.unwrap_or_default();
            let role = labels.get(ROLE).map_or("", String::as_str);
            let gone = labels.get(OWNER).and_then(|mark| owner::is_gone(mark));
            let state = container.state.map(|state| state.to_string());
            let up = state.is_some_and(|state| crate::pod::is_up(&state));
            let age = container.created.map_or(0, |made| now - made);
            if is_left(role, gone, up, age) {
                let id = container.id.unwrap_or_default();
                let id: String = id.chars().take(12).collect();
                left.containers.push(format!("container {id} ({role})"));
            }
        }
        for name in self
            .image_names()
            .await?
            .iter()
            .flat_map(|(_, names)| names)
        {
            if reference::is_transfer(name) {
                let what = format!("image {name}: a transfer runs or was left");
                left.transfers.push(what);
            }
        }
        Ok(left)
    }
}

/// Whether a container of this role should have ended by now; `gone` is its devnet, where that can
/// be told, and `age` is in seconds.
fn is_left(role: &str, gone: Option<bool>, up: bool, age: i64) -> bool {
    // the lab's own, and what serves a pod, live as long as their pod
    let short_lived = !role.is_empty() && !role.starts_with("lab-") && role != HELPER;
    // a shell's or a watch's lives as long as they do
    short_lived && gone.unwrap_or(!up && age > OLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::carrier::LOOK;
    use crate::lab::label::{CONTAINER, SANDBOX};

    #[test]
    fn a_look_that_is_old_was_left_and_a_lab_never_is() {
        assert!(is_left(LOOK, None, false, OLD + 1));
        assert!(!is_left(LOOK, None, false, OLD), "it may be removed now");
        for role in [SANDBOX, CONTAINER, HELPER, ""] {
            assert!(!is_left(role, Some(true), false, 100 * OLD), "{role}");
        }
    }

    #[test]
    fn a_helper_is_left_when_its_devnet_is_gone_and_not_by_its_age() {
        assert!(is_left(LOOK, Some(true), true, 1));
        assert!(!is_left(LOOK, Some(false), true, 100 * OLD));
        assert!(!is_left(LOOK, None, true, 100 * OLD), "another computer's");
    }
}
