//! One container as an engine lists and describes it, from which pods are made.

use std::collections::BTreeMap;

/// A port of a node that an engine was asked to pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) proto: String,
    pub(crate) host_ip: String,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
}

/// One container as an engine lists and describes it: the facts from which pods are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerFacts {
    pub(crate) id: String,
    /// Without the leading slash.
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_id: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) oom_killed: Option<bool>,
    pub(crate) error: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    /// Of one that runs again: the end of its run before.
    pub(crate) ended_before: Option<String>,
    pub(crate) network_mode: String,
    pub(crate) ipc_mode: String,
    pub(crate) pid_mode: String,
    pub(crate) uts_mode: String,
    /// IP addresses that the engine itself gave (none under CNI); empty when it is not running.
    pub(crate) ips: Vec<String>,
    /// Addresses that its creator asked the engine for; they stay readable after its end.
    pub(crate) wanted_ips: Vec<String>,
    /// The file on the node that is its `/etc/hosts`.
    pub(crate) hosts_path: Option<String>,
    /// The file that pins its network namespace, where the engine has one.
    pub(crate) sandbox_key: Option<String>,
    /// The engine's own restart count (always 0 under the kubelet).
    pub(crate) restart_count: Option<u32>,
    pub(crate) log_driver: Option<String>,
    pub(crate) tty: bool,
    /// The file for its ID that its creator named; of no image and of no copy of a container.
    pub(crate) id_file: Option<String>,
    pub(crate) published: Vec<Published>,
}

impl ContainerFacts {
    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| name.len() + value.len() + 64);
        let words = self.command.iter().chain(&self.ips).chain(&self.wanted_ips);
        let words = words.map(|word| word.len() + 24);
        let single = [&self.id, &self.name, &self.image, &self.network_mode];
        let others = [
            &self.error,
            &self.hosts_path,
            &self.sandbox_key,
            &self.id_file,
        ];
        let others = others.into_iter().flatten();
        let text = single.into_iter().chain(others).map(String::len);
        let published = self.published.iter();
        let published = published.map(|one| size_of_val(one) + one.proto.len() + one.host_ip.len());
        let parts = labels.chain(words).chain(text).chain(published);
        size_of::<Self>() + parts.sum::<usize>()
    }
}
