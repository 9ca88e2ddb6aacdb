//! The way into a node whose engine is not asked through an API of Docker's: an ssh login, or the
//! engine that runs the node's container, where ssh lets nobody in.

use std::sync::Arc;

use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::docker::node_container::NodeContainer;
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::wire::node::NodeAccess;
use crate::wire::ssh::NoLogin;

/// The way that was found open.
pub(super) struct WayIn<'a> {
    pub(super) access: NodeAccess,
    pub(super) endpoint: &'a Endpoint,
    /// The reason why the first way was not taken.
    pub(super) detour: Option<Error>,
}

impl<'a> WayIn<'a> {
    /// Takes the first way that is open. A host that shows another key than its own closes both:
    /// that is for a person to judge.
    ///
    /// # Errors
    /// Unreachable, with the reason.
    pub(super) async fn find(endpoint: &'a Endpoint, settings: &Settings) -> Result<Self> {
        let access = access(endpoint, settings).await?;
        let first = |access| Self {
            access,
            endpoint,
            detour: None,
        };
        let Some(instead) = &endpoint.instead else {
            return Ok(first(access));
        };
        match access.log_in().await {
            Ok(()) => Ok(first(access)),
            Err(NoLogin::Closed(error)) => Ok(Self {
                access: self::access(instead, settings).await?,
                endpoint: instead,
                detour: Some(error),
            }),
            Err(NoLogin::Untrusted(error)) => Err(error),
        }
    }
}

async fn access(endpoint: &Endpoint, settings: &Settings) -> Result<NodeAccess> {
    if let Address::Container { engine, name, .. } = &endpoint.address {
        let container = NodeContainer::connect(engine, name, settings).await?;
        return Ok(NodeAccess::Container(Arc::new(container)));
    }
    NodeAccess::of(endpoint, settings).ok_or_else(|| {
        let runtime = endpoint.runtime;
        Error::unreachable(format!("{endpoint} leads to no {runtime}")).hint(format!(
            "{runtime} is reached through an ssh login or its socket on this computer"
        ))
    })
}
