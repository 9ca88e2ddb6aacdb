//! The process and the namespaces of a container or a sandbox, as the verbose part of its status tells
//! them: JSON of the runtime's own, of which containerd and cri-o have these words in common. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::spec::Spec;

/// The verbose part of a status.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::engine) struct Verbose {
    /// Its first process; after its end this may stay, or be 0.
    pub(in crate::engine) pid: Option<u32>,
    pub(in crate::engine) runtime_spec: Spec,
}

impl Verbose {
    /// Reads the `info` of an answer; what can't be read says nothing.
    pub(in crate::engine) fn read(info: &BTreeMap<String, String>) -> Self {
        info.get("info")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

/// The first process of what runs, and the files that pin its namespaces.
#[derive(Debug, Default)]
pub(in crate::engine) struct Held {
    pub(in crate::engine) pid: Option<u32>,
    spec: Spec,
}

impl Held {
    /// The holder of something of which this is told, while it is up.
    pub(super) fn of(verbose: Verbose) -> Self {
        Self {
            pid: verbose.pid.filter(|pid| *pid != 0),
            spec: verbose.runtime_spec,
        }
    }

    /// The file of one of its namespaces, `net` or `pid`.
    pub(super) fn namespace_file(&self, kind: &str) -> Option<String> {
        if let Some(pid) = self.pid {
            return Some(format!("/proc/{pid}/ns/{kind}"));
        }
        let in_spec = match kind {
            "net" => "network",
            other => other,
        };
        let mut namespaces = self.spec.linux.namespaces.iter();
        let pinned = namespaces.find(|one| one.kind == in_spec)?;
        // another's process may have ended, and its number be a third one's
        let is_file = !pinned.path.is_empty() && !pinned.path.starts_with("/proc/");
        is_file.then(|| pinned.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str) -> Held {
        let info = BTreeMap::from([("info".to_owned(), text.to_owned())]);
        Held::of(Verbose::read(&info))
    }

    #[test]
    fn a_process_holds_its_namespaces_and_a_file_does_where_there_is_none() {
        let pinned = r#""runtimeSpec":{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/a"}]}}"#;
        let with_pause = held(&format!(r#"{{"pid":7,{pinned}}}"#));
        assert_eq!(with_pause.namespace_file("net").unwrap(), "/proc/7/ns/net");
        for without in [format!("{{{pinned}}}"), format!(r#"{{"pid":0,{pinned}}}"#)] {
            let without = held(&without);
            assert_eq!(without.namespace_file("net").unwrap(), "/var/run/netns/a");
            assert_eq!(without.namespace_file("pid"), None);
        }
        let of_another = r#"{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/proc/9/ns/net"}]}}}"#;
        assert_eq!(held(of_another).namespace_file("net"), None);
        assert_eq!(held("nonsense").namespace_file("net"), None);
    }
}
