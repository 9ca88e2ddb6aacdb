//! minikube's own records of a cluster, and where they say its engines listen.
//!
//! The shapes are those that minikube writes (Go field names as they are); unknown fields are
//! ignored, missing ones are what minikube takes them for.

use serde::Deserialize;

use crate::command_line;
use crate::docker_env::endpoint::{Address, ENGINE_PORT};
use crate::error::{Error, Result};

/// `profiles/<profile>/config.json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) driver: String,
    kubernetes_config: KubernetesConfig,
    nodes: Vec<ProfileNode>,
    /// qemu's and vfkit's kind of network.
    network: String,
    /// Profiles of minikube before 1.8 held everything in here.
    cluster_config: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct KubernetesConfig {
    container_runtime: String,
}

/// One machine of a cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ProfileNode {
    name: String,
    #[serde(rename = "IP")]
    ip: String,
    pub(crate) control_plane: bool,
}

/// `machines/<machine>/config.json`: what the machine's driver keeps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Machine {
    pub(crate) driver: MachineDriver,
}

/// The fields of a driver that say how to reach its machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct MachineDriver {
    #[serde(rename = "IPAddress")]
    pub(crate) ip_address: String,
    #[serde(rename = "SSHUser")]
    pub(crate) ssh_user: String,
    #[serde(rename = "SSHPort")]
    pub(crate) ssh_port: u16,
    #[serde(rename = "SSHKeyPath")]
    pub(crate) ssh_key_path: String,
    pub(crate) engine_port: u16,
}

/// The way to a node's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// At this address.
    Direct(Address),
    /// At a port of this computer that leads to the node's container; the engine that runs the
    /// container knows which.
    Forwarded,
}

impl Profile {
    /// Reads the file's text; `file` is named in errors.
    ///
    /// # Errors
    /// When it is no JSON, has other types, or is of a minikube before 1.8.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self> {
        let profile: Self = serde_json::from_str(text).map_err(|error| {
            Error::failed(format!("minikube's file `{file}` can't be read"))
                .caused_by(error)
                .hint("`minikube start` writes it anew; `minikube delete` and `minikube start` make a new cluster")
        })?;
        if profile.nodes.is_empty() && profile.cluster_config.is_some() {
            return Err(
                Error::failed(format!("`{file}` was written by a minikube before 1.8"))
                    .hint("start the cluster once with a newer minikube"),
            );
        }
        if profile.nodes.is_empty() {
            return Err(
                Error::failed(format!("minikube's file `{file}` names no node"))
                    .hint("was `minikube start` interrupted? Run it again"),
            );
        }
        Ok(profile)
    }

    /// The container runtime of all nodes; an empty field in old profiles means docker. minikube sets every
    /// node up by the cluster's field: a node's own stays empty where `minikube node add` made it.
    pub(crate) fn runtime(&self) -> &str {
        match self.kubernetes_config.container_runtime.as_str() {
            "" => "docker",
            runtime => runtime,
        }
    }

    /// The nodes with their machine names, the control plane first.
    pub(crate) fn machines(&self) -> Vec<(String, &ProfileNode)> {
        let mut machines: Vec<_> = self
            .nodes
            .iter()
            .map(|node| (self.machine_name(node), node))
            .collect();
        machines.sort_by_key(|(_, node)| !node.control_plane);
        machines
    }

    fn machine_name(&self, node: &ProfileNode) -> String {
        if self.nodes.len() == 1 || node.name.is_empty() {
            self.name.clone()
        } else {
            format!("{}-{}", self.name, node.name)
        }
    }

    /// True where the node is a container on an engine of this computer.
    pub(crate) fn in_container(&self) -> bool {
        matches!(self.driver.as_str(), "docker" | "podman")
    }

    /// True where that engine is podman.
    pub(crate) fn in_podman(&self) -> bool {
        self.driver == "podman"
    }

    /// True where only the machine's own record says where its engine listens.
    pub(crate) fn needs_machine(&self) -> bool {
        self.user_network()
    }

    fn user_network(&self) -> bool {
        matches!(self.driver.as_str(), "qemu" | "qemu2")
            && matches!(self.network.as_str(), "" | "builtin" | "user")
    }

    /// The way to a node's engine. `containers_reachable` says whether this computer can reach the
    /// addresses of its own containers (native Linux), else ports are forwarded.
    ///
    /// # Errors
    /// When the driver has no engine of its own, or the records do not say.
    pub(crate) fn route(
        &self,
        node: &ProfileNode,
        machine: Option<&Machine>,
        containers_reachable: bool,
    ) -> Result<Route> {
        if self.driver == "none" {
            return Err(Error::unreachable(format!(
                "profile `{}` uses the driver `none`: its engine is this computer's own",
                self.name
            ))
            .hint("use docker as it is, or `devnet -p lab`"));
        }
        if self.in_container() && !containers_reachable {
            return Ok(Route::Forwarded);
        }
        if self.user_network() {
            let port = machine.map_or(0, |machine| machine.driver.engine_port);
            if port == 0 {
                return Err(Error::failed(format!(
                    "minikube's record of the machine `{}` names no engine port",
                    self.name
                ))
                .hint("`minikube start` writes it anew"));
            }
            return Ok(Route::Direct(Address::Tcp {
                host: "127.0.0.1".into(),
                port,
            }));
        }
        if node.ip.is_empty() {
            return Err(
                Error::unreachable(format!("profile `{}` has no address yet", self.name)).hint(
                    format!(
                        "start it with `{}`",
                        command_line::with("minikube start -p", [&self.name])
                    ),
                ),
            );
        }
        Ok(Route::Direct(Address::Tcp {
            host: checked_host(&self.name, &node.ip)?,
            port: ENGINE_PORT,
        }))
    }
}

/// A host as records have it: an IP address or a name, and nothing that a URL would read as more.
///
/// # Errors
/// When it is something else.
pub(crate) fn checked_host(machine: &str, host: &str) -> Result<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(fine) {
        return Err(Error::failed(format!(
            "minikube's record of `{machine}` has an address that is none: `{host}`"
        ))
        .hint("`minikube start` writes it anew"));
    }
    Ok(host.into())
}

impl Machine {
    /// Reads the file's text; `file` is named in errors.
    ///
    /// # Errors
    /// When it is no JSON or has other types.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::failed(format!("minikube's file `{file}` can't be read"))
                .caused_by(error)
                .hint("`minikube start` writes it anew")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(driver: &str, network: &str, nodes: &str) -> Profile {
        Profile::parse(
            "config.json",
            &format!(r#"{{"Name":"dev","Driver":"{driver}","Network":"{network}","Future":[1],"Nodes":[{nodes}]}}"#),
        )
        .unwrap()
    }

    const ONE: &str = r#"{"Name":"","IP":"192.168.49.2","Port":8443,"ControlPlane":true}"#;

    fn route(profile: &Profile, machine: Option<&Machine>, reachable: bool) -> Result<Route> {
        let (_, node) = profile.machines()[0].clone();
        profile.route(node, machine, reachable)
    }

    #[test]
    fn each_driver_is_reached_its_own_way() {
        let direct = Route::Direct(Address::Tcp {
            host: "192.168.49.2".into(),
            port: 2376,
        });
        for driver in [
            "kvm2",
            "virtualbox",
            "vfkit",
            "hyperv",
            "krunkit",
            "ssh",
            "parallels",
        ] {
            assert_eq!(
                route(&profile(driver, "", ONE), None, false).unwrap(),
                direct,
                "{driver}"
            );
        }
        assert_eq!(
            route(&profile("docker", "", ONE), None, true).unwrap(),
            direct
        );
        assert_eq!(
            route(&profile("docker", "", ONE), None, false).unwrap(),
            Route::Forwarded
        );
        assert_eq!(
            route(&profile("qemu2", "socket_vmnet", ONE), None, false).unwrap(),
            direct
        );
        let machine =
            Machine::parse("m", r#"{"Driver":{"EnginePort":52346,"SSHPort":52345}}"#).unwrap();
        assert_eq!(
            route(&profile("qemu2", "builtin", ONE), Some(&machine), false).unwrap(),
            Route::Direct(Address::Tcp {
                host: "127.0.0.1".into(),
                port: 52346
            })
        );
        assert!(route(&profile("qemu2", "builtin", ONE), None, false).is_err());
        assert!(route(&profile("none", "", ONE), None, false).is_err());
    }

    #[test]
    fn machines_are_named_as_minikube_names_them() {
        let multi = profile(
            "kvm2",
            "",
            r#"{"Name":"m02","IP":"b"},{"Name":"","IP":"a","ControlPlane":true}"#,
        );
        let names: Vec<_> = multi.machines().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["dev", "dev-m02"]);
        assert_eq!(multi.runtime(), "docker");
    }

    #[test]
    fn broken_records_are_named_not_guessed() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"Nodes":3}"#,
            "{}",
            r#"{"ClusterConfig":{}}"#,
        ] {
            let error = Profile::parse("p/config.json", text).unwrap_err();
            assert!(
                error.to_string().contains("p/config.json"),
                "{text}: {error}"
            );
        }
    }
}
