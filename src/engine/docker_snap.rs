//! The probe's look at a node: a container that may read what its kernel says of processes, and
//! nothing else; gone when it has answered.

use std::sync::atomic::{AtomicU32, Ordering};

use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountType, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::StreamExt as _;

use crate::engine::Engine;
use crate::engine::docker::Docker;
use crate::error::{Error, Result};
use crate::lab::label::ROLE;
use crate::pod::ContainerFacts;
use crate::probe::carried;
use crate::probe::image::program_archive;

/// What the containers of these looks carry as `dev.devnet.role`.
pub(crate) const LOOK: &str = "probe";
/// Where the program lies in an image that is not its own.
const FOLDER: &str = "/devnet";
/// The program ends itself before; then the engine is what hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(55);
/// No node has that much to tell.
const ANSWER_LIMIT: usize = 256 << 20;

/// What a container of the probe is made from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// devnet's own image, which a lab left here.
    Own(String),
    /// Any sandbox's image: nothing of it is run, and the program comes in a volume.
    Borrowed(String),
    /// No image fits: devnet's own is brought and taken away again.
    Brought(String),
}

impl Engine {
    /// Lets the probe look at the node, and gives what it printed.
    ///
    /// # Errors
    /// When this devnet carries no probe for the node, or the engine does not let it run.
    pub(crate) async fn look(&self, facts: &[ContainerFacts]) -> Result<String> {
        let Self::Docker(docker) = self;
        let source = self.probe_source(facts).await?;
        let answer = docker.run_probe(&source, body(&source)).await;
        self.forget_source(&source).await?;
        answer
    }

    /// Takes the probe's image away again if it was brought for this alone.
    pub(crate) async fn forget_source(&self, source: &Source) -> Result<()> {
        match source {
            Source::Brought(image) => self.remove_image(image).await,
            Source::Borrowed(_) | Source::Own(_) => Ok(()),
        }
    }

    /// Removes containers of looks that never began: their devnet was killed in between.
    pub(crate) async fn sweep_looks(&self, facts: &[ContainerFacts], now: Option<jiff::Timestamp>) {
        let abandoned = |facts: &&ContainerFacts| {
            let made = crate::pod::timestamp(facts.created_at.as_deref());
            facts.labels.get(ROLE).is_some_and(|role| role == LOOK)
                && facts.state == "created"
                && matches!((made, now), (Some(made), Some(now))
                    if now.duration_since(made) > jiff::SignedDuration::from_mins(1))
        };
        for facts in facts.iter().filter(abandoned) {
            // another devnet may be removing it too
            let _gone = self.remove(&facts.id).await;
        }
    }

    /// Where the probe's program can come from on this node, with the least that stays there.
    pub(crate) async fn probe_source(&self, facts: &[ContainerFacts]) -> Result<Source> {
        let own = self
            .images_where("label", &format!("{ROLE}=probe-image"))
            .await?;
        let current = self.probe_reference()?;
        if own.iter().any(|(_, names)| names.contains(&current)) {
            return Ok(Source::Own(current));
        }
        let sandbox = facts.iter().find(|facts| {
            facts
                .labels
                .get("io.kubernetes.docker.type")
                .is_some_and(|kind| kind == "podsandbox")
                && crate::pod::is_up(&facts.state)
        });
        match sandbox.and_then(|facts| facts.image_id.clone()) {
            Some(image) => Ok(Source::Borrowed(image)),
            None => Ok(Source::Brought(self.probe_image().await?)),
        }
    }
}

impl Docker {
    /// Runs a container of the probe to its end and gives what it printed.
    pub(super) async fn run_probe(
        &self,
        source: &Source,
        body: ContainerCreateBody,
    ) -> Result<String> {
        let failed = |error| self.failed("the probe", error);
        let name = unique_name("devnet-look");
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = self
            .api
            .create_container(Some(options), body)
            .await
            .map_err(failed)?;
        let guard = Abandoned {
            docker: self.clone(),
            id: Some(made.id.clone()),
        };
        let outcome = self.run_look(&made.id, source).await;
        match &outcome {
            // it ran to its end, and its engine removes it
            Ok(_) => guard.disarm(),
            Err(_) => guard.remove().await,
        }
        outcome
    }

    /// Puts the program into a container whose image does not hold it.
    pub(super) async fn bring_program(&self, id: &str, source: &Source) -> Result<()> {
        let Source::Borrowed(_) = source else {
            return Ok(());
        };
        let architecture = self.about().arch.clone().unwrap_or_default();
        let program = carried::program(&architecture)?;
        let archive = program_archive(&program)
            .map_err(|error| Error::failed("the probe could not be packed").because(error))?;
        let options = bollard::query_parameters::UploadToContainerOptionsBuilder::default()
            .path(FOLDER)
            .build();
        self.slow
            .upload_to_container(id, Some(options), bollard::body_full(archive.into()))
            .await
            .map_err(|error| self.failed("the probe", error))
    }

    async fn run_look(&self, id: &str, source: &Source) -> Result<String> {
        let failed = |error| self.failed("the probe", error);
        self.bring_program(id, source).await?;
        let options = AttachContainerOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let mut attached = self
            .api
            .attach_container(id, Some(options))
            .await
            .map_err(failed)?;
        self.api
            .start_container(id, None::<StartContainerOptions>)
            .await
            .map_err(failed)?;
        let mut answer = Vec::new();
        let mut complaint = Vec::new();
        let read = async {
            while let Some(part) = attached.output.next().await {
                match part.map_err(failed)? {
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        answer.extend_from_slice(&message);
                    }
                    LogOutput::StdErr { message } => complaint.extend_from_slice(&message),
                    LogOutput::StdIn { .. } => {}
                }
                if answer.len() > ANSWER_LIMIT {
                    return Err(Error::failed("the probe's answer has no end"));
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .map_err(|_elapsed| Error::failed("the probe did not answer in time"))??;
        if answer.is_empty() {
            let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
            return Err(Error::failed("the probe said nothing").because(complaint));
        }
        String::from_utf8(answer)
            .map_err(|error| Error::failed("the probe's answer is no text").because(error))
    }
}

/// A name says whose a container is; the time and a number tell it from those of other devnets.
pub(super) fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = jiff::Timestamp::now().as_nanosecond();
    format!(
        "{prefix}-{now:x}-{:x}",
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Removes a look's container when devnet is interrupted while it runs.
struct Abandoned {
    docker: Docker,
    id: Option<String>,
}

impl Abandoned {
    fn disarm(mut self) {
        self.id = None;
    }

    async fn remove(mut self) {
        if let Some(id) = self.id.take() {
            // the engine may have removed it already
            let _gone = Engine::Docker(self.docker.clone()).remove(&id).await;
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let engine = Engine::Docker(self.docker.clone());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { engine.remove(&id).await });
            }
        }
    }
}

/// The image, the program's path in it, and what must be mounted for that.
pub(super) fn program_of(source: &Source) -> (String, String, Option<Vec<Mount>>) {
    match source {
        Source::Own(image) | Source::Brought(image) => {
            (image.clone(), "/devnet-probe".to_owned(), None)
        }
        Source::Borrowed(image) => (
            image.clone(),
            format!("{FOLDER}/devnet-probe"),
            // a read-only root takes no upload; a volume without a name goes with its container
            Some(vec![Mount {
                typ: Some(MountType::VOLUME),
                target: Some(FOLDER.into()),
                ..Mount::default()
            }]),
        ),
    }
}

fn body(source: &Source) -> ContainerCreateBody {
    let (image, program, mounts) = program_of(source);
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![program]),
        cmd: Some(vec!["snap".into()]),
        user: Some("0:0".into()),
        labels: Some([(ROLE.to_owned(), LOOK.to_owned())].into()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            // the processes of the node are what it is to see; of the rest it gets nothing
            pid_mode: Some("host".into()),
            network_mode: Some("none".into()),
            ipc_mode: Some("private".into()),
            // else the paths of cgroups, which name containers, are cut off
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
            readonly_rootfs: Some(true),
            auto_remove: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            // the links in /proc/PID/ns, and those in /proc/PID/fd of other users
            cap_add: Some(vec!["SYS_PTRACE".into(), "DAC_READ_SEARCH".into()]),
            security_opt: Some(vec![
                "apparmor=unconfined".into(),
                "no-new-privileges".into(),
            ]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".into()),
                config: None,
            }),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            memory: Some(256 << 20),
            pids_limit: Some(16),
            init: Some(false),
            mounts,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
