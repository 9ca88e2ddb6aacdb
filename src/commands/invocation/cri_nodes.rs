//! The nodes of a profile whose runtime is asked by CRI: each is reached as minikube's user logs in, or, where
//! that is not possible, through the engine that runs its container.

use std::sync::Arc;

use crate::commands::invocation::Context;
use crate::commands::invocation::profiles::{Named, of_node, of_nodes};
use crate::commands::invocation::target::{NodeTarget, Nodes, Target};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::docker_env::profile::Profile;
use crate::error::Result;
use crate::host::minikube::Home;
use crate::runtime_kind::RuntimeKind;

impl Context {
    /// Nodes of a profile with this runtime, which is asked by CRI.
    ///
    /// # Errors
    /// Not found; unreachable, where no node is.
    pub(super) async fn cri_target(
        &self,
        runtime: RuntimeKind,
        home: &Home,
        profile: &Profile,
        named: &Named,
        which: Nodes<'_>,
    ) -> Result<Target> {
        let wanted = which.of(Some(&named.profile), profile.machines(), |(name, _)| name)?;
        let looks = wanted.into_iter().map(async |(name, _)| {
            let (endpoint, away) = match self.way_in(runtime, home, profile, &name).await {
                Ok(endpoint) => (endpoint, None),
                Err(error) => (
                    Endpoint::plain(Address::Unix(runtime.socket().into())),
                    Some(Arc::new(match profile.machines().len() {
                        0 | 1 => error,
                        _ => of_node(&name, &profile.name, error),
                    })),
                ),
            };
            NodeTarget {
                name,
                endpoint,
                profile: Some(profile.name.clone()),
                login: None,
                away,
                devnets_engine: false,
            }
        });
        of_nodes(futures_util::future::join_all(looks).await, named)
    }

    /// The way to a node's runtime.
    async fn way_in(
        &self,
        runtime: RuntimeKind,
        home: &Home,
        profile: &Profile,
        machine: &str,
    ) -> Result<Endpoint> {
        let socket = runtime.socket();
        if profile.driver == "none" {
            return Ok(Endpoint::plain(Address::Unix(socket.into())));
        }
        let container = self.node_container(profile, machine, socket)?;
        let login = self.login(home, profile, machine, socket).await;
        match (login, container) {
            (login, None) => login,
            (Ok(login), Some(container)) => {
                let key = login.ssh_key.as_ref().filter(|key| !key.exists());
                if let Some(key) = key {
                    self.ui.detail(&format!(
                        "node `{machine}`: there is no key `{}` to log in with",
                        key.display()
                    ));
                    return Ok(container);
                }
                Ok(Endpoint {
                    instead: Some(Box::new(container)),
                    ..login
                })
            }
            (Err(error), Some(container)) if self.runs(profile, machine).await => {
                self.ui.detail(&format!(
                    "node `{machine}`: no ssh login: {}",
                    error.in_one_line()
                ));
                Ok(container)
            }
            (Err(error), Some(_)) => Err(error),
        }
    }

    /// The ssh login of a node, as minikube's files have it.
    async fn login(
        &self,
        home: &Home,
        profile: &Profile,
        machine: &str,
        socket: &str,
    ) -> Result<Endpoint> {
        let mut address = self.ssh_address(&profile.name, machine, None).await?;
        if let Address::Ssh { socket: place, .. } = &mut address {
            socket.clone_into(place);
        }
        Ok(Endpoint {
            ssh_key: Some(home.login_key(machine)?),
            pin_as: Some(machine.to_owned()),
            ..Endpoint::plain(address)
        })
    }

    /// The container that a node of the docker driver is.
    fn node_container(
        &self,
        profile: &Profile,
        machine: &str,
        socket: &str,
    ) -> Result<Option<Endpoint>> {
        if !profile.in_container() || profile.in_podman() {
            return Ok(None);
        }
        Ok(Some(Endpoint::plain(Address::Container {
            engine: Box::new(self.host_endpoint()?),
            name: machine.to_owned(),
            socket: socket.to_owned(),
        })))
    }

    /// True where the container that a node is runs.
    async fn runs(&self, profile: &Profile, machine: &str) -> bool {
        Box::pin(self.forwarded(profile, machine)).await.is_ok()
    }
}
