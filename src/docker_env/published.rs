//! A node's container, by what its engine says of it: whether it runs, and which ports of the
//! engine's computer lead into it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};

/// A container's state and its published TCP ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// As `running`.
    pub(crate) state: String,
    /// From the container's ports to those of its engine's computer.
    pub(crate) ports: BTreeMap<u16, u16>,
}

impl Published {
    /// Notes where a port leads, as engines call both: `2376/tcp` and `32771`. What is no TCP port
    /// is left out; the first binding of several counts.
    pub(crate) fn note<'a>(&mut self, inner: &str, outer: impl Iterator<Item = &'a str>) {
        let inner = inner
            .strip_suffix("/tcp")
            .and_then(|port| port.parse().ok());
        let outer = outer
            .filter_map(|port| port.parse().ok())
            .find(|port| *port != 0);
        if let (Some(inner), Some(outer)) = (inner, outer) {
            self.ports.entry(inner).or_insert(outer);
        }
    }

    /// Reads what `podman container inspect` prints for one container.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn of_podman(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Container {
            #[serde(default)]
            state: State,
            #[serde(default)]
            network_settings: Option<NetworkSettings>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        struct State {
            status: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        struct NetworkSettings {
            ports: Option<BTreeMap<String, Option<Vec<Binding>>>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Binding {
            #[serde(default)]
            host_port: String,
        }
        let wrong = || Error::failed("what `podman container inspect` printed can't be read");
        let containers: Vec<Container> =
            serde_json::from_str(text).map_err(|error| wrong().caused_by(error))?;
        let container = containers
            .into_iter()
            .next()
            .ok_or_else(|| wrong().caused_by("it names no container"))?;
        let mut published = Self {
            state: container.state.status,
            ports: BTreeMap::new(),
        };
        let ports = container
            .network_settings
            .and_then(|settings| settings.ports);
        for (inner, bindings) in ports.unwrap_or_default() {
            let outer = bindings
                .iter()
                .flatten()
                .map(|binding| binding.host_port.as_str());
            published.note(&inner, outer);
        }
        Ok(published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_answer_is_read_and_its_gaps_are_gaps() {
        let text = r#"[{"Id":"a","State":{"Status":"running","Pid":7},"NetworkSettings":{"Ports":{
            "22/tcp":[{"HostIp":"127.0.0.1","HostPort":"40001"}],
            "2376/tcp":[{"HostIp":"","HostPort":""},{"HostIp":"127.0.0.1","HostPort":"40002"}],
            "53/udp":[{"HostIp":"127.0.0.1","HostPort":"40003"}],
            "5000/tcp":null,"8443/tcp":[],"99999/tcp":[{"HostPort":"1"}]}}}]"#;
        let published = Published::of_podman(text).unwrap();
        assert_eq!(published.state, "running");
        assert_eq!(
            published.ports,
            BTreeMap::from([(22, 40001), (2376, 40002)])
        );
        for (text, state) in [
            (
                r#"[{"State":{"Status":"exited"},"NetworkSettings":null}]"#,
                "exited",
            ),
            (
                r#"[{"State":{"Status":"created"},"NetworkSettings":{"Ports":null}}]"#,
                "created",
            ),
            ("[{}]", ""),
        ] {
            let published = Published::of_podman(text).unwrap();
            assert_eq!(
                (published.state.as_str(), published.ports.len()),
                (state, 0),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_of_podman_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "Error: no such container",
            r#"[{"State":7}]"#,
        ] {
            let error = Published::of_podman(text).unwrap_err();
            assert!(error.to_string().contains("podman"), "{text}");
        }
    }
}
