//! What a devnet that was killed may have left in a Docker engine.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptionsBuilder;

use crate::engine::Engine;
use crate::error::Result;
use crate::lab::label::{HELPER, ROLE};

/// Longer than any of devnet's own containers lives.
const OLD: i64 = 120;

impl Engine {
    /// Names of images under transfer, and of devnet's own containers that should have ended by
    /// now (`now` in seconds since 1970). The lab's are not among them.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(crate) async fn leftovers(&self, now: i64) -> Result<Vec<String>> {
        let Self::Docker(docker) = self;
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![ROLE])]))
            .build();
        let listed = docker
            .api
            .list_containers(Some(options))
            .await
            .map_err(|error| docker.failed("listing containers", error))?;
        let mut left = Vec::new();
        for container in listed {
            let labels = container.labels.unwrap_or_default();
            let role = labels.get(ROLE).map_or("", String::as_str);
            if container
                .created
                .is_some_and(|made| is_left(role, now - made))
            {
                let id = container.id.unwrap_or_default();
                let id: String = id.chars().take(12).collect();
                left.push(format!("container {id} ({role})"));
            }
        }
        for name in self
            .image_names()
            .await?
            .iter()
            .flat_map(|(_, names)| names)
        {
            if name.starts_with("127.0.0.1:") && name.contains("/devnet-transfer/") {
                left.push(format!("image {name}"));
            }
        }
        Ok(left)
    }
}

/// Whether a container of this role and age (in seconds) should have ended by now.
fn is_left(role: &str, age: i64) -> bool {
    // the lab's own, and what serves a pod, live as long as their pod
    let short_lived = !role.is_empty() && !role.starts_with("lab-") && role != HELPER;
    short_lived && age > OLD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker_carrier::LOOK;
    use crate::lab::label::{CONTAINER, SANDBOX};

    #[test]
    fn a_look_that_is_old_was_left_and_a_lab_never_is() {
        assert!(is_left(LOOK, OLD + 1));
        assert!(!is_left(LOOK, OLD), "it may still run");
        for role in [SANDBOX, CONTAINER, HELPER, ""] {
            assert!(!is_left(role, 100 * OLD), "{role}");
        }
    }
}
