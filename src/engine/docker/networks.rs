//! Networks and volumes that devnet makes.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, RemoveVolumeOptionsBuilder};

use crate::engine::docker::Docker;
use crate::engine::docker::containers::unless;
use crate::error::Result;
use crate::lab::spec::{Backing, VolumeSpec};

/// A network of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundNetwork {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: HashMap<String, String>,
    /// Its first IPv4 subnet, as `10.88.0.0/16`.
    pub(crate) subnet: Option<String>,
    pub(crate) gateway: Option<String>,
    /// The addresses of the containers in it that run.
    pub(crate) addresses: Vec<String>,
}

impl Docker {
    /// Removes a network. One that is gone already is no failure.
    pub(crate) async fn remove_network(&self, name: &str) -> Result<()> {
        let answer = self.api.remove_network(name).await;
        unless(answer, 404)
            .map_err(|error| self.failed(&format!("removing network `{name}`"), error))
    }

    /// Removes a volume. One that is gone already is no failure.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<()> {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        let answer = self.api.remove_volume(name, Some(options)).await;
        unless(answer, 404)
            .map_err(|error| self.failed(&format!("removing volume `{name}`"), error))
    }
}

impl Docker {
    /// The network of that name; `None` when there is none.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<FoundNetwork>> {
        let none = None::<InspectNetworkOptions>;
        let network = match self.api.inspect_network(name, none).await {
            Ok(network) => network,
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(None),
            Err(error) => return Err(self.failed(&format!("network `{name}`"), error)),
        };
        let config = network
            .ipam
            .and_then(|ipam| ipam.config)
            .unwrap_or_default()
            .into_iter()
            .find(|config| config.subnet.as_ref().is_some_and(|s| s.contains('.')));
        Ok(Some(FoundNetwork {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            labels: network.labels.unwrap_or_default(),
            subnet: config.as_ref().and_then(|config| config.subnet.clone()),
            gateway: config.and_then(|config| config.gateway),
            addresses: network
                .containers
                .unwrap_or_default()
                .into_values()
                .filter_map(|one| one.ipv4_address)
                .filter_map(|address| Some(address.split('/').next()?.to_owned()))
                .collect(),
        }))
    }

    /// Makes a bridge network; without a subnet the engine chooses one that its machine has no
    /// route to.
    pub(crate) async fn create_network(
        &self,
        name: &str,
        subnet: Option<&str>,
        labels: &[(&str, &str)],
    ) -> Result<String> {
        let request = NetworkCreateRequest {
            name: name.into(),
            driver: Some("bridge".into()),
            ipam: subnet.map(|subnet| Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.into()),
                    ..IpamConfig::default()
                }]),
                ..Ipam::default()
            }),
            labels: Some(
                labels
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..NetworkCreateRequest::default()
        };
        let made = self
            .api
            .create_network(request)
            .await
            .map_err(|error| self.failed(&format!("creating network `{name}`"), error))?;
        Ok(made.id)
    }

    /// Makes an empty volume.
    pub(crate) async fn create_volume(&self, spec: &VolumeSpec) -> Result<()> {
        let mut options = HashMap::new();
        if let Backing::Memory(limit) = spec.backing {
            options.insert("type".to_owned(), "tmpfs".to_owned());
            options.insert("device".to_owned(), "tmpfs".to_owned());
            // everybody may write, as into a kubelet's emptyDir
            let mut how = String::from("mode=0777");
            for (name, value) in [("size", limit), ("gid", spec.group.map(i64::from))] {
                if let Some(value) = value {
                    how.push_str(&[",", name, "=", &value.to_string()].concat());
                }
            }
            options.insert("o".to_owned(), how);
        }
        let request = VolumeCreateRequest {
            name: Some(spec.name.clone()),
            // without a driver every plugin is asked whether it has it, also one that is dead
            driver: Some("local".into()),
            driver_opts: Some(options),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        let made = self.api.create_volume(request).await;
        made.map(drop)
            .map_err(|error| self.failed(&format!("creating volume `{}`", spec.name), error))
    }
}
