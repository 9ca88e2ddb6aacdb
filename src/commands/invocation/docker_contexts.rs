//! The docker contexts that `devnet context` wrote follow their cluster: every command that finds a
//! profile's engines looks whether such a context says another place. `devnet env` does not, since
//! it changes nothing.

use crate::commands::invocation::Context;
use crate::commands::invocation::target::{NodeTarget, Target};
use crate::docker_env::endpoint::Address;
use crate::error::Result;
use crate::host::docker_context;
use crate::host::docker_context_store::{Found, Record, Store};
use crate::runtime_kind::RuntimeKind;

/// The name of a node's context.
pub(in crate::commands) fn name_of(machine: &str) -> String {
    format!("devnet-{machine}")
}

impl Context {
    /// docker's configuration folder.
    ///
    /// # Errors
    /// When no home folder is known.
    pub(in crate::commands) fn docker_store(&self) -> Result<Store> {
        let folder = docker_context::folder(&self.settings.environment, &self.settings.home()?);
        Ok(Store::new(folder))
    }

    /// The record that the context of a profile's node is to have; over its ssh login where asked
    /// for.
    ///
    /// # Errors
    /// When minikube's records do not say the ssh login, or there is no way to the node.
    pub(in crate::commands) async fn docker_record(
        &self,
        profile: &str,
        node: &NodeTarget,
        ssh: bool,
    ) -> Result<Record> {
        node.there()?;
        let (address, certs) = if ssh {
            let login = node.login.as_ref();
            (self.ssh_address(profile, &node.name, login).await?, None)
        } else {
            let endpoint = &node.endpoint;
            (endpoint.address.clone(), endpoint.cert_path.clone())
        };
        Ok(Record {
            name: name_of(&node.name),
            profile: profile.to_owned(),
            certs: certs.filter(|_| matches!(address, Address::Tcp { .. })),
            host: address.to_string(),
        })
    }

    /// Mends the contexts of these nodes that say another place or other certificates. Nothing is
    /// made that was not there, and a folder that can't be written stops no command.
    pub(crate) async fn keep_docker_contexts(&self, target: &Target) {
        let (Some(profile), Ok(store)) = (&target.profile, self.docker_store()) else {
            return;
        };
        for node in target.nodes.iter().filter(|node| {
            // what speaks no Docker API is no place for one
            node.profile.is_some() && node.endpoint.runtime == RuntimeKind::Docker
        }) {
            let name = name_of(&node.name);
            let (host, before) = match store.found(&name) {
                // the profile `a-m02` and the node `m02` of `a` would have the same
                Found::Ours {
                    profile: its,
                    host,
                    before,
                } if its == *profile => (host, before),
                _ => continue,
            };
            let ssh = host.starts_with("ssh://");
            let Ok(record) = self.docker_record(profile, node, ssh).await else {
                continue;
            };
            if record.host == host && store.has_certs_of(&record) {
                continue;
            }
            match store.write(&record, before.as_deref()) {
                Ok(()) => self.ui.note(&mended(&record, &host)),
                Err(error) => self
                    .ui
                    .warn(&format!("{}, and it is stale", error.in_one_line())),
            }
        }
    }
}

/// The sentence on a context that said something else and was mended.
pub(in crate::commands) fn mended(record: &Record, was: &str) -> String {
    let Record {
        name,
        profile,
        host,
        ..
    } = record;
    if host == was {
        format!("docker context `{name}` has the certificates of now")
    } else {
        format!("docker context `{name}` was at {was}: profile `{profile}` is at {host} now")
    }
}
