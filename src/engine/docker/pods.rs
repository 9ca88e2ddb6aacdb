//! The containers of a Docker engine as facts: listed once, then each inspected, many at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerSummary, PortMap};
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, InspectContainerOptions};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::images::{Candidate, candidate_images};
use crate::engine::docker::hosts::addresses_in_hosts;
use crate::engine::docker::membership;
use crate::error::{Error, Result};
use crate::pod::{ContainerFacts, Join, Joins, LogStore, Membership, Pod, Published, State};

/// The number of questions on their way at once: each answer may be large, and more is in memory
/// while it is read.
const IN_FLIGHT: usize = 5;
/// The most bytes that all containers together may tell: some thousands with as many labels as a
/// kubelet gives them.
const ALL: usize = 6 << 20;
/// A file that is longer than this (in bytes, as an archive) is no host's list and no resolver's.
const SMALL: usize = 1 << 20;

impl Docker {
    /// Every container of the engine, running or not, newest first.
    ///
    /// # Errors
    /// When the engine does not answer or answers nonsense. A container that vanishes meanwhile
    /// is left out.
    pub(in crate::engine) async fn containers(&self) -> Result<Vec<ContainerFacts>> {
        let containers = self.listing().await?.inspected().await?;
        Ok(Arc::unwrap_or_clone(containers.facts))
    }

    /// The same in two steps: what a list says is enough to begin something else meanwhile.
    ///
    /// # Errors
    /// As `containers`.
    pub(in crate::engine) async fn listing(&self) -> Result<Listing> {
        let none = HashMap::new();
        let (listed, tags) = futures_util::try_join!(self.listed(&none), self.image_tags())?;
        let docker = self.clone();
        Ok(Listing {
            docker,
            listed,
            tags,
        })
    }

    /// One container; `None` when it is gone.
    pub(in crate::engine) async fn container(&self, id: &str) -> Result<Option<ContainerFacts>> {
        let answer = self.inspect_or_gone(id.to_owned()).await?;
        let mut facts: Vec<ContainerFacts> = answer
            .map(|answer| facts(answer, &HashMap::new()))
            .into_iter()
            .collect();
        self.prove(&mut facts).await?;
        membership::note(&mut facts);
        Ok(facts.pop())
    }

    /// The `/etc/resolv.conf` of the first of these containers in which it can be read.
    pub(in crate::engine) async fn resolver_file(&self, ids: &[String]) -> Option<String> {
        for id in ids {
            match self.small_file(id, "/etc/resolv.conf").await {
                Ok(None) => {}
                Ok(text) => return text,
                Err(_stalls) => break,
            }
        }
        None
    }

    /// Fills in the addresses of pods whose network a plugin made: the engine does not know them,
    /// the `/etc/hosts` that the kubelet gave to their containers does. What can't be read stays
    /// unknown.
    pub(in crate::engine) async fn ips_from_hosts_files(
        &self,
        pods: &mut [Pod],
        facts: &[ContainerFacts],
    ) {
        let wanted: Vec<(usize, String)> = pods
            .iter()
            .enumerate()
            .filter_map(|(index, pod)| Some((index, writer_of_hosts(pod, facts)?)))
            .collect();
        let mut read = stream::iter(wanted)
            .map(|(index, id)| async move { (index, self.small_file(&id, "/etc/hosts").await) })
            .buffer_unordered(IN_FLIGHT);
        // an engine that stalls over one would stall over the others too
        while let Some((index, Ok(text))) = read.next().await {
            if let (Some(text), Some(pod)) = (text, pods.get_mut(index)) {
                pod.ips = addresses_in_hosts(&text);
            }
        }
    }
}

/// A container whose `/etc/hosts` tells the address that its pod has now.
fn writer_of_hosts(pod: &Pod, facts: &[ContainerFacts]) -> Option<String> {
    let sandbox = pod.sandbox.as_ref()?;
    if !pod.ips.is_empty() || pod.host_network || !sandbox.state.is_up() {
        return None;
    }
    let started = crate::pod::timestamp(sandbox.started_at.as_deref());
    facts
        .iter()
        .filter(|facts| facts.has_kubelets_hosts)
        .find(|facts| {
            pod.containers.iter().any(|container| {
                container.id == facts.id
                    // an older sandbox had another address
                    && container.sandbox_id.as_ref() == Some(&sandbox.id)
                    && crate::pod::timestamp(facts.created_at.as_deref()) >= started
            })
        })
        .map(|facts| facts.id.clone())
}

/// The containers of an engine as its list tells them.
pub(crate) struct Listing {
    docker: Docker,
    listed: Vec<ContainerSummary>,
    tags: HashMap<String, String>,
}

impl Listing {
    /// Images of these containers, in which the probe can run.
    pub(in crate::engine) fn candidates(&self) -> Vec<String> {
        candidate_images(self.listed.iter().map(|one| Candidate {
            image: one.image_id.as_deref(),
            is_sandbox: membership::is_kubelets_sandbox(one.labels.iter().flatten()),
            up: state(one).is_up(),
        }))
    }

    /// Inspects each of them.
    ///
    /// # Errors
    /// As `Docker::containers`.
    pub(in crate::engine) async fn inspected(self) -> Result<Containers> {
        let mut containers = Containers {
            docker: self.docker,
            facts: Arc::default(),
            tags: self.tags,
        };
        let ids = self.listed.into_iter().filter_map(|one| one.id).collect();
        containers.facts = Arc::new(containers.inspect(ids).await?);
        Ok(containers)
    }
}

/// The containers of an engine as they were last seen, newest first.
pub(crate) struct Containers {
    docker: Docker,
    pub(in crate::engine) facts: Arc<Vec<ContainerFacts>>,
    tags: HashMap<String, String>,
}

impl Containers {
    /// Looks again at those of which something was changed.
    ///
    /// # Errors
    /// As `Docker::containers`.
    pub(in crate::engine) async fn refresh(&mut self, changed: BTreeSet<String>) -> Result<()> {
        let known = |id: &String| self.facts.iter().any(|facts| facts.id == *id);
        if !changed.iter().all(known) {
            self.tags = self.docker.image_tags().await?;
        }
        let now = self.inspect(changed.iter().cloned().collect()).await?;
        put_in(Arc::make_mut(&mut self.facts), &changed, now);
        Ok(())
    }

    /// Looks whether all is as it was seen: an engine may have dropped an event.
    ///
    /// # Errors
    /// As `Docker::containers`.
    pub(in crate::engine) async fn check(&mut self) -> Result<()> {
        let listed = self.docker.listed(&HashMap::new()).await?;
        let listed = listed.iter().map(|one| (one.id.clone(), state(one)));
        let listed: BTreeSet<_> = listed
            .filter_map(|(id, state)| Some((id?, state)))
            .collect();
        let seen = self.facts.iter();
        let seen = seen.map(|facts| (facts.id.clone(), facts.state));
        let seen: BTreeSet<_> = seen.collect();
        let changed = listed.symmetric_difference(&seen);
        let changed: BTreeSet<_> = changed.map(|(id, _)| id.clone()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.refresh(changed).await
    }

    async fn inspect(&self, ids: Vec<String>) -> Result<Vec<ContainerFacts>> {
        self.docker.facts_of(ids, &self.tags).await
    }
}

/// Replaces those that were looked at again; who is not there any more goes, who is new stands first.
fn put_in(all: &mut Vec<ContainerFacts>, changed: &BTreeSet<String>, now: Vec<ContainerFacts>) {
    let mut now: BTreeMap<String, ContainerFacts> =
        now.into_iter().map(|one| (one.id.clone(), one)).collect();
    all.retain_mut(|facts| match now.remove(&facts.id) {
        Some(one) => {
            *facts = one;
            true
        }
        None => !changed.contains(&facts.id),
    });
    let made = |facts: &ContainerFacts| crate::pod::timestamp(facts.created_at.as_deref());
    all.extend(now.into_values());
    all.sort_by_key(|facts| std::cmp::Reverse(made(facts)));
}

pub(super) fn state(one: &ContainerSummary) -> State {
    let word = one.state.map(|state| state.to_string());
    word.map_or(State::Unknown, |word| State::from(word.as_str()))
}

impl Docker {
    /// The facts of these containers; of devnet's labels only those that are proved.
    pub(super) async fn facts_of(
        &self,
        ids: Vec<String>,
        tags: &HashMap<String, String>,
    ) -> Result<Vec<ContainerFacts>> {
        let mut inspected = stream::iter(ids)
            // the answers take more than what is kept of them
            .map(async |id| {
                let answer = self.inspect_or_gone(id).await?;
                Ok::<_, Error>(answer.map(|answer| facts(answer, tags)))
            })
            .buffered(IN_FLIGHT);
        let (mut all, mut weight) = (Vec::new(), 0);
        while let Some(facts) = inspected.try_next().await? {
            let Some(facts) = facts else { continue };
            weight += facts.weight();
            if weight > ALL {
                return Err(Error::failed(format!(
                    "the containers of the engine at {} have more to tell than devnet reads ({} MiB)",
                    self.endpoint(),
                    ALL >> 20
                )));
            }
            all.push(facts);
        }
        self.prove(&mut all).await?;
        membership::note(&mut all);
        Ok(all)
    }

    /// The tags of every image that has one, by image ID.
    async fn image_tags(&self) -> Result<HashMap<String, String>> {
        let images = self.listed_images(None).await?;
        Ok(images
            .into_iter()
            .filter_map(|image| {
                let tag = image.repo_tags.into_iter().find(|t| t != "<none>:<none>")?;
                Some((image.id, tag))
            })
            .collect())
    }

    /// A small file of a container, which need not run. Most engines answer at once: no ping is
    /// a reason to wait longer.
    async fn small_file(&self, id: &str, path: &str) -> Result<Option<String>, Elapsed> {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let download = async {
            let mut archive = Vec::new();
            let mut parts = std::pin::pin!(self.api.download_from_container(id, Some(options)));
            while let Some(part) = parts.next().await {
                archive.extend_from_slice(&part.ok()?);
                if archive.len() > SMALL {
                    return None;
                }
            }
            Some(archive)
        };
        let archive = timeout(self.door.liveness().limit(), download).await?;
        Ok(archive.and_then(|archive| {
            let mut archive = tar::Archive::new(archive.as_slice());
            let mut file = archive.entries().ok()?.next()?.ok()?;
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            Some(text)
        }))
    }

    /// A container's description; `None` when it has vanished since it was listed.
    async fn inspect_or_gone(&self, id: String) -> Result<Option<ContainerInspectResponse>> {
        match self
            .api
            .inspect_container(&id, None::<InspectContainerOptions>)
            .await
            .or_else(super::states::read_again)
        {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if super::container_is_gone(&error) => Ok(None),
            Err(error) => {
                let short = id.get(..12).unwrap_or(&id);
                Err(self.failed(&format!("inspecting container {short}"), error))
            }
        }
    }
}

fn facts(answer: ContainerInspectResponse, tags: &HashMap<String, String>) -> ContainerFacts {
    let state = answer.state.unwrap_or_default();
    let host = answer.host_config.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let network = answer.network_settings.unwrap_or_default();
    let word = state.status.map(|status| status.to_string());
    let status = word.map_or(State::Unknown, |word| State::from(word.as_str()));
    let endpoints = || network.networks.iter().flat_map(HashMap::values);
    let configured = config.image.unwrap_or_default();
    let ended = !status.is_up();
    // between two runs there is no process, and the engine has the end of the one before
    let over = ended || status == State::Restarting;
    let finished = time(state.finished_at);
    ContainerFacts {
        id: answer.id.unwrap_or_default(),
        name: answer
            .name
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        // the kubelet configures image IDs; a person knows tags
        image: match &answer.image {
            Some(id) if *id == configured || configured.starts_with("sha256:") => {
                tags.get(id).cloned().unwrap_or(configured)
            }
            _ => configured,
        },
        image_id: answer.image,
        command: answer
            .path
            .into_iter()
            .chain(answer.args.into_iter().flatten())
            .collect(),
        labels: config
            .labels
            .unwrap_or_default()
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        exit_code: match status {
            // 0 until it was tried; then 126, 127 or 128 where it could not be started
            State::Created => state.exit_code.filter(|code| *code != 0),
            _ => state.exit_code.filter(|_| over),
        },
        state: status,
        oom_killed: state.oom_killed,
        error: state.error.filter(|text| !text.is_empty()),
        pid: state
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid != 0),
        created_at: time(answer.created),
        started_at: time(state.started_at),
        ended_before: finished.clone().filter(|_| !over),
        finished_at: finished.filter(|_| over),
        joins: Joins {
            network: join(host.network_mode.as_deref()),
            ipc: join(host.ipc_mode.as_deref()),
            pid: join(host.pid_mode.as_deref()),
            uts: join(host.uts_mode.as_deref()),
        },
        network: Some(host.network_mode.unwrap_or_default()),
        ips: if ended {
            Vec::new()
        } else {
            addresses(endpoints(), |e| [&e.ip_address, &e.global_ipv6_address])
        },
        wanted_ips: addresses(endpoints().filter_map(|e| e.ipam_config.as_ref()), |ipam| {
            [&ipam.ipv4_address, &ipam.ipv6_address]
        }),
        has_kubelets_hosts: answer
            .hosts_path
            .is_some_and(|path| path.ends_with("/etc-hosts")),
        netns_path: network.sandbox_key.clone().filter(|path| !path.is_empty()),
        restart_count: answer
            .restart_count
            .and_then(|count| u32::try_from(count).ok()),
        published: published(network.ports.as_ref(), host.port_bindings.as_ref(), !ended),
        id_file: host.container_id_file.filter(|path| !path.is_empty()),
        log: host
            .log_config
            .and_then(|log| log.typ)
            .map(LogStore::Driver),
        // noted when devnet's own labels are proved
        annotations: BTreeMap::new(),
        membership: Membership::default(),
    }
}

/// A namespace as the engine's configuration of a container names it: `host`, `container:ID`, podman's
/// `ns:FILE`; all else is one of its own.
fn join(mode: Option<&str>) -> Join {
    let mode = mode.unwrap_or_default();
    if let Some(id) = mode.strip_prefix("container:") {
        Join::Container(id.to_owned())
    } else if let Some(file) = mode.strip_prefix("ns:") {
        Join::Path(file.to_owned())
    } else if mode == "host" {
        Join::Host
    } else {
        Join::Own
    }
}

/// The ports of the node that are passed on: those that the engine opened itself, else those that it
/// was asked for (a plugin opens them).
fn published(opened: Option<&PortMap>, wanted: Option<&PortMap>, running: bool) -> Vec<Published> {
    let read = |map: Option<&PortMap>| -> Vec<Published> {
        let all = map.into_iter().flatten();
        all.flat_map(|(inside, bindings)| {
            let (port, proto) = inside.split_once('/').unwrap_or((inside, "tcp"));
            let port = port.parse::<u16>().ok();
            bindings.iter().flatten().filter_map(move |binding| {
                Some(Published {
                    proto: proto.to_owned(),
                    host_ip: match binding.host_ip.as_deref() {
                        None | Some("") => "0.0.0.0".into(),
                        Some(ip) => ip.to_owned(),
                    },
                    host_port: binding
                        .host_port
                        .as_deref()?
                        .parse()
                        .ok()
                        .filter(|n| *n > 0)?,
                    port: port?,
                })
            })
        })
        .collect()
    };
    let opened = if running { read(opened) } else { Vec::new() };
    if opened.is_empty() {
        read(wanted)
    } else {
        opened
    }
}

/// The addresses of all networks, IPv4 first, without the empty ones.
fn addresses<'a, T: 'a>(
    of: impl Iterator<Item = &'a T>,
    pick: impl Fn(&'a T) -> [&'a Option<String>; 2],
) -> Vec<String> {
    let mut found: Vec<String> = of
        .flat_map(pick)
        .filter_map(Clone::clone)
        .filter(|address| !address.is_empty())
        .collect();
    found.sort_by_key(|address| (address.contains(':'), address.clone()));
    found.dedup();
    found
}

/// The engine's time, unless it is its zero ("never").
fn time(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.starts_with("0001-"))?;
    let parsed: jiff::Timestamp = text.parse().ok()?;
    Some(if text.ends_with('Z') {
        text
    } else {
        parsed.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: &str, second: u8, state: &str) -> ContainerFacts {
        ContainerFacts {
            id: id.into(),
            state: state.into(),
            created_at: Some(format!("2026-01-01T00:00:{second:02}Z")),
            ..ContainerFacts::default()
        }
    }

    #[test]
    fn what_changed_is_replaced_what_is_gone_goes_and_what_is_new_stands_first() {
        let mut all = vec![
            made("c", 3, "running"),
            made("b", 2, "running"),
            made("a", 1, "running"),
        ];
        let changed = BTreeSet::from(["b", "c", "d", "e"].map(str::to_owned));
        // "e" came and went
        let now = vec![made("d", 4, "created"), made("b", 2, "exited")];
        put_in(&mut all, &changed, now);
        assert_eq!(
            all,
            [
                made("d", 4, "created"),
                made("b", 2, "exited"),
                made("a", 1, "running")
            ]
        );
    }
}
