//! The notes of cri-o on a container, in the annotations of its OCI specification. Pure.

use serde::Deserialize;

use crate::engine::cri::spec::Spec;
use crate::pod::Published;

/// The beginning of the names of cri-o's own notes.
const PREFIX: &str = "io.kubernetes.cri-o.";

/// A note on a container; nothing where there is none.
pub(super) fn note<'s>(spec: &'s Spec, name: &str) -> &'s str {
    let all = &spec.annotations;
    let found = all.get(&format!("{PREFIX}{name}"));
    found.map(String::as_str).unwrap_or_default()
}

/// The addresses that a sandbox had; they stay noted after its end.
pub(super) fn addresses(spec: &Spec) -> Vec<String> {
    (0..=u8::MAX)
        .map(|place| note(spec, &format!("IP.{place}")).to_owned())
        .take_while(|address| !address.is_empty())
        .collect()
}

/// The ports of the node that cri-o passes on to a sandbox.
pub(super) fn published(spec: &Spec) -> Vec<Published> {
    let all: Vec<PortMapping> =
        serde_json::from_str(note(spec, "PortMappings")).unwrap_or_default();
    all.iter().filter_map(PortMapping::published).collect()
}

/// A port of the node that is passed on to a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortMapping {
    host_port: i32,
    container_port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    protocol: String,
    #[serde(rename = "HostIP")]
    host_ip: String,
}

impl PortMapping {
    fn published(&self) -> Option<Published> {
        let number = |port: i32| u16::try_from(port).ok().filter(|port| *port != 0);
        let proto = self.protocol.to_ascii_lowercase();
        let is_known = ["tcp", "udp", "sctp"].contains(&proto.as_str());
        Some(Published {
            proto: is_known.then_some(proto)?,
            host_ip: match self.host_ip.as_str() {
                "" => "0.0.0.0".to_owned(),
                ip => ip.to_owned(),
            },
            host_port: number(self.host_port)?,
            port: number(self.container_port)?,
        })
    }
}
