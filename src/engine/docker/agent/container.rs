//! A container that carries devnet's program: its making, its start, its limits, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountType, MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, StartContainerOptions, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::images::ProgramImage;
use crate::engine::docker::attached::Attached;
use crate::engine::job::{JobNamespaces, Power};
use crate::engine::probe_answer::unconfined;
use crate::error::{Error, Result};
use crate::host::owner;
use crate::lab::label::{LOOK, NAME, OWNER, ROLE};
use crate::lab::owned::id_file;
use crate::probe::carried;
use crate::probe::image::{PROGRAM, program_archive};

/// The program's folder in an image that is not its own.
const FOLDER: &str = "/devnet";
/// The longest time for removing such a container: as long as an engine may think about a question.
pub(super) const UNDO_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Something that a session asks an engine for. Known before the request is sent, so that nothing
/// that an engine says later is needed to find it.
#[derive(Clone, Debug)]
pub(super) struct AskedFor {
    pub(super) name: String,
    /// Held while it is being made: the engine goes on making what it was asked for when nobody
    /// waits for it any more.
    making: Arc<tokio::sync::Mutex<()>>,
}

impl AskedFor {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            making: Arc::default(),
        }
    }

    /// Makes it, to its end also when nobody waits for it any more.
    pub(super) async fn make_to_its_end<T: Send + 'static>(
        &self,
        make: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let making = Arc::clone(&self.making).lock_owned().await;
        let made = tokio::spawn(async move {
            let _on_its_way = making;
            make.await
        });
        made.await
            .map_err(|error| Error::failed("the probe could not be made").caused_by(error))?
    }

    /// Waits until it is not on its way.
    pub(super) async fn until_made(&self) {
        drop(self.making.lock().await);
    }
}

impl Docker {
    /// Makes a container of the probe that says which devnet it belongs to.
    pub(super) async fn make_probe(
        &self,
        asked: &AskedFor,
        mut body: ContainerCreateBody,
    ) -> Result<String> {
        let name = asked.name.as_str();
        let labels = body.labels.get_or_insert_default();
        labels.insert(NAME.to_owned(), name.to_owned());
        labels.insert(OWNER.to_owned(), owner::mark());
        let host = body.host_config.get_or_insert_default();
        host.container_id_file = Some(id_file(name));
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let docker = self.clone();
        let make = Box::pin(async move {
            let made = docker.api.create_container(Some(options), body).await;
            Ok(made.map_err(|error| docker.probe_failed(error))?.id)
        });
        asked.make_to_its_end(make).await
    }

    /// A failure of the engine with a container of the probe.
    fn probe_failed(&self, error: bollard::errors::Error) -> Error {
        unconfined(self.failed("the probe", error))
    }

    /// Waits until a container is not there any more.
    pub(super) async fn until_removed(&self, name: &str) {
        let options = WaitContainerOptionsBuilder::default()
            .condition("removed")
            .build();
        // that there is none is an answer as well
        let ended = self.api.wait_container(name, Some(options));
        let _ended = ended.collect::<Vec<_>>().await;
    }

    /// Puts the program into a container whose image does not hold it.
    async fn bring_program(&self, id: &str, image: &ProgramImage) -> Result<()> {
        let ProgramImage::Borrowed(_) = image else {
            return Ok(());
        };
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let archive = program_archive(&program)
            .map_err(|error| Error::failed("the probe could not be packed").caused_by(error))?;
        let options = bollard::query_parameters::UploadToContainerOptionsBuilder::default()
            .path(FOLDER)
            .build();
        self.api
            .upload_to_container(id, Some(options), bollard::body_full(archive.into()))
            .await
            .map_err(|error| self.probe_failed(error))
    }

    /// Starts a container of the probe, its output (and, where it `asks`, its input) in hand.
    pub(super) async fn begin(
        &self,
        id: &str,
        image: &ProgramImage,
        asks: bool,
    ) -> Result<Attached> {
        let failed = |error| self.probe_failed(error);
        self.bring_program(id, image).await?;
        let attached = self.attach(id, asks).await.map_err(failed)?;
        self.api
            .start_container(id, None::<StartContainerOptions>)
            .await
            .map_err(failed)?;
        Ok(attached)
    }
}

/// A name says whose a container is; the time, a number and this process tell it from others.
pub(super) fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = jiff::Timestamp::now().as_nanosecond();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{now:x}-{count:x}-{}", std::process::id())
}

/// Removes a container of the probe when devnet is interrupted while it runs.
pub(super) struct Abandoned {
    docker: Docker,
    id: Option<String>,
}

impl Abandoned {
    pub(super) fn new(docker: Docker, id: String) -> Self {
        let id = Some(id);
        Self { docker, id }
    }

    pub(super) fn disarm(mut self) {
        self.id = None;
    }

    pub(super) async fn remove(mut self) {
        if let Some(id) = self.id.take() {
            // the engine may have removed it already, or hang
            let _gone = tokio::time::timeout(UNDO_PATIENCE, self.docker.remove(&id)).await;
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let docker = self.docker.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { docker.remove(&id).await });
            }
        }
    }
}

/// A container's body without the working folder and the health check of its image.
fn plain() -> ContainerCreateBody {
    ContainerCreateBody {
        working_dir: Some("/".into()),
        healthcheck: Some(without_healthcheck()),
        ..ContainerCreateBody::default()
    }
}

/// The limits of every container of devnet's own in a node: no power, nothing written, no log,
/// never started again. A container that needs more says so beside them.
pub(in crate::engine::docker) fn powerless() -> HostConfig {
    HostConfig {
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".into()),
            config: None,
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    }
}

/// The same for what runs there: by itself, and gone when it ends.
fn passing(mounts: Option<Vec<Mount>>) -> HostConfig {
    HostConfig {
        ipc_mode: Some("private".into()),
        auto_remove: Some(true),
        init: Some(false),
        mounts,
        ..powerless()
    }
}

/// No health check, whatever the image says.
fn without_healthcheck() -> HealthConfig {
    HealthConfig {
        test: Some(vec!["NONE".into()]),
        ..HealthConfig::default()
    }
}

/// The image, the program's path in it, and what must be mounted for that.
pub(super) fn program_of(image: &ProgramImage) -> (String, String, Option<Vec<Mount>>) {
    match image {
        ProgramImage::Own(image) | ProgramImage::Brought(image) => {
            (image.clone(), PROGRAM.to_owned(), None)
        }
        ProgramImage::Borrowed(image) => (
            image.clone(),
            format!("{FOLDER}/devnet-probe"),
            // a read-only root takes no upload; a volume without a name goes with its container
            Some(vec![Mount {
                typ: Some(MountType::VOLUME),
                target: Some(FOLDER.into()),
                volume_options: Some(MountVolumeOptions {
                    // nothing of the image gets in there
                    no_copy: Some(true),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            }]),
        ),
    }
}

/// The body of the container of a job that runs one program and is gone with it.
///
/// `words` confine the program, and tell it what to do.
pub(super) fn body(
    docker: &Docker,
    image: &ProgramImage,
    joins: &JobNamespaces,
    power: Power,
    words: Vec<String>,
) -> ContainerCreateBody {
    let (image, program, mounts) = program_of(image);
    let limits = Limits::of(joins);
    let host = HostConfig {
        memory: Some(limits.memory),
        pids_limit: Some(limits.processes),
        ..passing(mounts)
    };
    let host = match joins {
        JobNamespaces::NodeProcesses => HostConfig {
            pid_mode: Some("host".into()),
            network_mode: Some("none".into()),
            ..host
        },
        JobNamespaces::Network(container) => HostConfig {
            network_mode: Some(format!("container:{container}")),
            ..host
        },
        JobNamespaces::Beside { network, processes } => HostConfig {
            network_mode: Some(format!("container:{network}")),
            pid_mode: Some(format!("container:{processes}")),
            // many tools want to write somewhere
            tmpfs: Some([("/tmp".to_owned(), String::new())].into()),
            ..host
        },
    };
    let sees_processes = !matches!(joins, JobNamespaces::Network(_));
    let host = HostConfig {
        // the paths of cgroups tell which process is a container's; else they are cut off
        cgroupns_mode: sees_processes.then_some(HostConfigCgroupnsModeEnum::HOST),
        ..host
    };
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![program]),
        cmd: Some(words),
        // to connect takes no power: nobody does
        user: Some(if sees_processes { "0:0" } else { "65534:65534" }.into()),
        labels: Some([(ROLE.to_owned(), LOOK.to_owned())].into()),
        // what sees processes ends when whoever asks has left
        attach_stdin: sees_processes.then_some(true),
        open_stdin: sees_processes.then_some(true),
        stdin_once: sees_processes.then_some(true),
        // either way it has an empty network of its own; this one is made in half the time
        network_disabled: (*joins == JobNamespaces::NodeProcesses).then_some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(docker.confine(power, host)),
        ..plain()
    }
}

/// The most that a container of a job may use.
struct Limits {
    /// Bytes.
    memory: i64,
    processes: i64,
}

impl Limits {
    fn of(joins: &JobNamespaces) -> Self {
        let (memory, processes) = match joins {
            JobNamespaces::NodeProcesses => (256 << 20, 16),
            // a thread for each connection that is tried at once
            JobNamespaces::Network(_) => (64 << 20, 96),
            // enough for a debugger, too little to harm the node
            JobNamespaces::Beside { .. } => (1 << 30, 512),
        };
        Self { memory, processes }
    }
}
