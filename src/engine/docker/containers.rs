//! Making, starting, ending and removing containers, for the lab and for devnet's own helpers.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerSummary, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, Mount, MountType, NetworkingConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::engine::docker::{Docker, lists};
use crate::engine::exec::Output;
use crate::error::Result;
use crate::lab::owned;
use crate::lab::spec::{ContainerSpec, MountKind, Namespace, Network};
use crate::pod::Signal;

/// A few lines are asked for; this is where they end, however long they are.
const PRINTED: usize = 1 << 20;

impl Docker {
    /// Lets frozen processes go on. Those that are not frozen are no failure.
    pub(crate) async fn unpause(&self, id: &str) -> Result<()> {
        match self.api.unpause_container(id).await {
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("is not paused") =>
            {
                Ok(())
            }
            answer => answer.map_err(|error| self.failed(&format!("thawing {}", short(id)), error)),
        }
    }
}

/// The pauses, in milliseconds, before an engine is asked again that refused to remove a container:
/// one that ends at that very moment can't be killed, and one that is being unmounted is busy.
const REFUSED: [u64; 5] = [50, 100, 200, 400, 800];

impl Docker {
    /// The containers, dead or alive, that these filters let through.
    pub(super) async fn listed(
        &self,
        filters: &HashMap<&str, Vec<&str>>,
    ) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(filters)
            .build();
        lists::complete(|| self.api.list_containers(Some(options.clone())))
            .await
            .or_else(super::states::read_again)
            .map_err(|error| self.failed("listing containers", error))
    }

    /// Makes a container, not started, and gives its ID.
    ///
    /// # Errors
    /// When the engine refuses; not found when it lacks the image.
    pub(crate) async fn create(&self, spec: &ContainerSpec) -> Result<String> {
        let options = CreateContainerOptionsBuilder::default()
            .name(&spec.name)
            .build();
        let made = self
            .api
            .create_container(Some(options), body(spec))
            .await
            .map_err(|error| self.failed(&format!("creating `{}`", spec.name), error))?;
        Ok(made.id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<()> {
        let none = None::<bollard::query_parameters::StartContainerOptions>;
        let answer = self.api.start_container(id, none).await;
        answer.map_err(|error| self.failed(&format!("starting {}", short(id)), error))
    }

    /// Sends SIGKILL. One that is dead already is no failure.
    pub(crate) async fn kill(&self, id: &str) -> Result<()> {
        self.signal(id, Signal::KILL).await
    }

    /// Sends a signal to the first process. One that is dead already is no failure.
    pub(crate) async fn signal(&self, id: &str, signal: Signal) -> Result<()> {
        let options = KillContainerOptionsBuilder::default()
            .signal(&signal.number().to_string())
            .build();
        match self.api.kill_container(id, Some(options)).await {
            // 409 (newer) and 500 (20.10) both say that it does not run
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("is not running") =>
            {
                Ok(())
            }
            answer => answer.map_err(|error| self.failed(&format!("killing {}", short(id)), error)),
        }
    }

    /// Sends SIGTERM, and SIGKILL after so many seconds.
    pub(crate) async fn stop(&self, id: &str, seconds: i64) -> Result<()> {
        let options = StopContainerOptionsBuilder::default()
            .t(i32::try_from(seconds).unwrap_or(i32::MAX))
            .build();
        let answer = self.api.stop_container(id, Some(options)).await;
        unless(answer, 304).map_err(|error| self.failed(&format!("stopping {}", short(id)), error))
    }

    /// Stops and starts the same container: new processes, new namespaces, the same ID.
    pub(crate) async fn restart(&self, id: &str) -> Result<()> {
        let options = RestartContainerOptionsBuilder::default().t(1).build();
        let answer = self.api.restart_container(id, Some(options)).await;
        answer.map_err(|error| self.failed(&format!("restarting {}", short(id)), error))
    }

    /// Freezes a container's processes.
    pub(crate) async fn pause(&self, id: &str) -> Result<()> {
        let answer = self.api.pause_container(id).await;
        answer.map_err(|error| self.failed(&format!("freezing {}", short(id)), error))
    }

    /// Removes a container, running or not. One that is gone already is no failure.
    pub(crate) async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let mut pauses = REFUSED.iter();
        loop {
            let answer = self.api.remove_container(id, Some(options.clone())).await;
            let Err(bollard::errors::Error::DockerResponseServerError {
                status_code: status @ (409 | 500),
                message,
            }) = &answer
            else {
                return unless(answer, 404)
                    .map_err(|error| self.failed(&format!("removing {}", short(id)), error));
            };
            // someone else is removing it right now
            if *status == 409 && message.contains("already in progress") {
                return Ok(());
            }
            let Some(pause) = pauses.next().filter(|_| !message.contains("depend")) else {
                return answer
                    .map_err(|error| self.failed(&format!("removing {}", short(id)), error));
            };
            tokio::time::sleep(Duration::from_millis(*pause)).await;
        }
    }

    /// Waits for a container's end and gives its exit code.
    pub(crate) async fn wait(&self, id: &str) -> Result<i64> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let ended = self
            .api
            .wait_container(id, Some(options))
            .try_collect::<Vec<_>>()
            .await;
        match ended {
            Ok(ended) => Ok(ended.last().map_or(0, |last| last.status_code)),
            // bollard makes a failure of a code other than 0
            Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => Ok(code),
            Err(error) => Err(self.failed(&format!("waiting for {}", short(id)), error)),
        }
    }

    /// Unpacks a tar archive into a container, which need not run.
    pub(crate) async fn upload(&self, id: &str, folder: &str, archive: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::default()
            .path(folder)
            .build();
        let answer = self
            .api
            .upload_to_container(id, Some(options), bollard::body_full(archive.into()))
            .await;
        answer.map_err(|error| self.failed(&format!("writing into {}", short(id)), error))
    }

    /// The last lines that a container printed.
    pub(in crate::engine) async fn printed(&self, id: &str, lines: usize) -> Result<String> {
        let query = format!("stdout=1&stderr=1&tail={lines}");
        let mut pieces = self.log(id, &query, false, false);
        let mut printed = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                self.failed(&format!("reading the log of {}", short(id)), error)
            })?;
            let (Output::Stdout(bytes) | Output::Stderr(bytes)) = piece;
            printed.extend_from_slice(&bytes);
            if printed.len() > PRINTED {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}

/// An ID as people know it.
fn short(id: &str) -> String {
    format!("container {}", id.get(..12).unwrap_or(id))
}

/// Takes one status for success: what was to be done is done already.
pub(super) fn unless(
    answer: Result<(), bollard::errors::Error>,
    status: u16,
) -> Result<(), bollard::errors::Error> {
    match answer {
        Err(bollard::errors::Error::DockerResponseServerError { status_code, .. })
            if status_code == status =>
        {
            Ok(())
        }
        answer => answer,
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: spec.hostname.clone(),
        user: spec.user.clone(),
        env: Some(
            spec.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        entrypoint: some(&spec.entrypoint),
        cmd: some(&spec.command),
        working_dir: spec.working_dir.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        exposed_ports: Some(
            spec.ports
                .iter()
                .map(|port| format!("{}/{}", port.container, port.protocol))
                .collect(),
        ),
        // whether a pod is well is the kubelet's question, and nobody asks it here
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        open_stdin: Some(spec.stdin),
        tty: Some(spec.tty),
        host_config: Some(host_config(spec)),
        networking_config: match &spec.network {
            Network::Named { network, address } => Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(
                    network.clone(),
                    EndpointSettings {
                        ipam_config: Some(EndpointIpamConfig {
                            ipv4_address: Some(address.to_string()),
                            ..EndpointIpamConfig::default()
                        }),
                        ..EndpointSettings::default()
                    },
                )])),
            }),
            Network::Container(_) | Network::Host | Network::None => None,
        },
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let mut ports: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &spec.ports {
        ports
            .entry(format!("{}/{}", port.container, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: port.host_ip.clone(),
                host_port: Some(port.host.to_string()),
            });
    }
    HostConfig {
        network_mode: Some(match &spec.network {
            Network::Container(id) => format!("container:{id}"),
            Network::Host => "host".into(),
            Network::Named { network, .. } => network.clone(),
            Network::None => "none".into(),
        }),
        ipc_mode: Some(match &spec.ipc {
            Namespace::Container(id) => format!("container:{id}"),
            Namespace::Host => "host".into(),
            Namespace::Private => "private".into(),
            Namespace::Shareable => "shareable".into(),
        }),
        pid_mode: match &spec.pid {
            Namespace::Container(id) => Some(format!("container:{id}")),
            Namespace::Host => Some("host".into()),
            Namespace::Private | Namespace::Shareable => None,
        },
        uts_mode: spec.host_uts.then(|| "host".into()),
        port_bindings: (!ports.is_empty()).then_some(ports),
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        extra_hosts: Some(
            spec.extra_hosts
                .iter()
                .map(|(name, address)| format!("{name}:{address}"))
                .collect(),
        ),
        sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
        group_add: some(&spec.groups),
        memory: spec.memory,
        nano_cpus: spec.cpu_limit.map(|milli| milli.saturating_mul(1_000_000)),
        // the kubelet's own arithmetic; the kernel takes no less than 2
        cpu_shares: spec
            .cpu_request
            .map(|milli| (milli.saturating_mul(1024) / 1000).clamp(2, 262_144)),
        readonly_rootfs: Some(spec.read_only),
        security_opt: spec
            .no_new_privileges
            .then(|| vec!["no-new-privileges".into()]),
        cap_add: some(&spec.add_capabilities),
        cap_drop: some(&spec.drop_capabilities),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        init: Some(false),
        container_id_file: Some(owned::id_file(&spec.name)),
        ..HostConfig::default()
    }
}

fn mount(mount: &crate::lab::spec::MountSpec) -> Mount {
    let (kind, source) = match &mount.kind {
        MountKind::Bind(path) => (MountType::BIND, path),
        MountKind::Volume(name) => (MountType::VOLUME, name),
    };
    Mount {
        typ: Some(kind),
        source: Some(source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Mount::default()
    }
}

fn some(texts: &[String]) -> Option<Vec<String>> {
    (!texts.is_empty()).then(|| texts.to_vec())
}
