//! The login through which docker's own client reaches the podman of a cri-o node: it answers there as a
//! Docker engine does, where minikube's user may open its socket.

use crate::commands::invocation::Context;
use crate::commands::invocation::environment::{ShellRequest, ShellTarget};
use crate::commands::invocation::profiles::Named;
use crate::commands::invocation::target::{NodeTarget, Nodes};
use crate::docker_env::endpoint::Address;
use crate::docker_env::profile::Profile;
use crate::error::{Error, Result};
use crate::runtime_kind::{PODMAN_SOCKET, RuntimeKind};
use crate::wire::transport::Dialer;

/// The things that a person at a docker command will miss there, and what must not be done with it.
const LACKS: &str = "podman answers there in Docker's words: it builds without BuildKit (`docker buildx` starts a \
    builder of its own), names images in full, does not see the cluster's pods, and `docker rmi` and `prune` delete \
    images under them: `devnet images rm` and `prune` do not";

impl Context {
    /// The node's podman, for a shell; `None` where the cluster is no cri-o's.
    ///
    /// # Errors
    /// Unreachable, where the node is away.
    pub(super) async fn podman_login(&self, wanted: &ShellRequest) -> Result<Option<ShellTarget>> {
        let Some((named, record)) = self.crio_profile() else {
            return Ok(None);
        };
        let which = Nodes::named_or_first(wanted.node.as_deref());
        let mut target = self
            .cri_target(RuntimeKind::CriO, &self.minikube()?, &record, &named, which)
            .await?;
        let node = &mut target.nodes[0];
        node.there()?;
        let Address::Ssh { socket, .. } = &mut node.endpoint.address else {
            return Ok(None);
        };
        PODMAN_SOCKET.clone_into(socket);
        node.endpoint.runtime = RuntimeKind::Docker;
        node.endpoint.instead = None;
        let engine = node.clone();
        Ok(Some(ShellTarget { target, engine }))
    }

    /// Sees that the login leads to podman, and says what it lacks.
    ///
    /// # Errors
    /// Unreachable: the node, or podman's socket for its login.
    pub(super) async fn podman_answers(&self, node: &NodeTarget) -> Result<()> {
        let dialer = Dialer::new(&node.endpoint, &self.settings)?;
        if let Err(error) = dialer.dial().await {
            return Err(Error::unreachable(format!(
                "the login of node `{}` leads to no podman",
                node.name
            ))
            .caused_by(error)
            .hint(format!(
                "{PODMAN_SOCKET} must be served there, and the login may open it: `sudo systemctl start podman.socket`, \
                 and the user in the socket's group"
            ))
            .hint("`devnet build` and `devnet load` need neither"));
        }
        self.ui.note(LACKS);
        Ok(())
    }

    /// The profile that is meant, if its cluster is a cri-o's. What keeps it from being found is told by
    /// whoever looked for an engine before.
    fn crio_profile(&self) -> Option<(Named, Profile)> {
        let global = &self.settings.global;
        let variable = self.settings.environment.text("DEVNET_HOST").ok()?;
        let is_no_profile = global.host.is_some()
            || global.context.is_some()
            || global.profile.is_none() && variable.is_some();
        if is_no_profile {
            return None;
        }
        let named = self.named_profile().ok()?;
        let record = self.minikube().ok()?.profile(&named.profile).ok()?;
        let runtime = RuntimeKind::of_minikube(record.runtime());
        (runtime == Some(RuntimeKind::CriO)).then_some((named, record))
    }
}
