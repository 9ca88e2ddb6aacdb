//! Containers that carry the probe: from which image, whose they are, how they start and what they
//! say. `snap.rs` looks at a node with one, `reach.rs` asks inside a pod.

use std::sync::atomic::{AtomicU32, Ordering};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, StartContainerOptions, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use tokio::sync::{RwLock, RwLockReadGuard};

use crate::engine::docker::Docker;
use crate::engine::docker::attached::{Attached, Outputs};
use crate::engine::docker::confinement::unconfined;
use crate::engine::docker::probe_images::ProbeImages;
use crate::engine::exec::Output;
use crate::error::{Error, Result};
use crate::host::owner;
pub(crate) use crate::lab::label::LOOK;
use crate::lab::label::{LOOK_IMAGE, NAME, OWNER, ROLE};
use crate::lab::owned::{LOOK_NAME, bare, id_file};
use crate::pod::ContainerFacts;
use crate::probe::carried;
use crate::probe::image::{PROGRAM, ProbeImage, program_archive};

/// Where the program lies in an image that is not its own.
const FOLDER: &str = "/devnet";
/// No node has that much to tell: a socket takes about 150 bytes, a process as much.
pub(super) const ANSWER_LIMIT: usize = 8 << 20;

/// The program ends itself before; then the engine is what hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(55);
/// As long as an engine may be thinking about a question.
pub(crate) const UNDO_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Held by each container of the probe that is being made: the engine goes on making what it was
/// asked for when nobody waits for it any more.
static MAKING: RwLock<()> = RwLock::const_new(());

/// Waits until no container of the probe is on its way.
pub(super) async fn until_made() {
    drop(MAKING.write().await);
}

/// Does what a probe needs no longer than a probe lives for.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_elapsed| Err(Error::failed("the probe did not answer in time")))
}

/// What a container of the probe is made from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The ID of devnet's own image, which a lab left here.
    Own(String),
    /// Any image of the engine: nothing of it is run, and the program comes in a volume.
    Borrowed(String),
    /// The engine has no image: devnet's own is brought and taken away again.
    Brought(String),
}

impl Docker {
    /// The images to try, best first; those of devnets that were killed are taken away.
    pub(super) async fn sources(&self, borrowable: Vec<String>) -> Result<Vec<Source>> {
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let current = ProbeImage::new(&program, &architecture).map_err(not_made)?;
        let mut sources = Vec::new();
        for image in self.own_images().await? {
            let mark = image.labels.get(OWNER);
            if bare(&image.name) == current.reference {
                let own = self.verified(&image.name, &current).await?;
                sources.extend(own.map(Source::Own));
            } else if mark.and_then(|mark| owner::is_gone(mark)) == Some(true) {
                // not before its container, whose own label is proved by what its image says
                let _gone = self.remove_unused_image(&image.id).await;
            }
        }
        sources.extend(borrowable.into_iter().map(Source::Borrowed));
        if sources.is_empty() {
            sources.extend(self.any_image().await?.map(Source::Borrowed));
        }
        sources.truncate(2);
        Ok(sources)
    }

    /// devnet's own image, for one look alone.
    pub(super) async fn own_image(&self, name: &str) -> Result<ProbeImage> {
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let mark = owner::mark();
        let labels = [(ROLE, LOOK_IMAGE), (OWNER, mark.as_str())];
        ProbeImage::labelled(&program, &architecture, name, &labels).map_err(not_made)
    }

    /// An image of the engine, whatever it is for.
    async fn any_image(&self) -> Result<Option<String>> {
        let listed = self.every_image().await?;
        Ok(listed.into_iter().next().map(|image| image.id))
    }

    /// Makes a container of the probe that says which devnet it belongs to.
    pub(super) async fn make_probe(
        &self,
        name: &str,
        mut body: ContainerCreateBody,
    ) -> Result<String> {
        let labels = body.labels.get_or_insert_default();
        labels.insert(NAME.to_owned(), name.to_owned());
        labels.insert(OWNER.to_owned(), owner::mark());
        let host = body.host_config.get_or_insert_default();
        host.container_id_file = Some(id_file(name));
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let making: RwLockReadGuard<'static, ()> = MAKING.read().await;
        let docker = self.clone();
        // a task of its own, which ends also when whoever asked has given up
        let made = tokio::spawn(async move {
            let _on_its_way = making;
            docker.api.create_container(Some(options), body).await
        });
        let made = made
            .await
            .map_err(|error| Error::failed("the probe could not be made").because(error))?;
        Ok(made.map_err(|error| self.probe_failed(error))?.id)
    }

    /// A failure of the engine with a container of the probe.
    fn probe_failed(&self, error: bollard::errors::Error) -> Error {
        unconfined(self.failed("the probe", error))
    }

    /// Loads an image for the probe, to the end also when nobody waits for it any more.
    pub(super) async fn bring_image(&self, archive: Vec<u8>) -> Result<()> {
        let making: RwLockReadGuard<'static, ()> = MAKING.read().await;
        let docker = self.clone();
        let loaded = tokio::spawn(async move {
            let _on_its_way = making;
            docker.load_archive(archive).await
        });
        loaded.await.map_err(|error| {
            Error::failed("the probe's image could not be loaded").because(error)
        })?
    }

    /// Runs a container of the probe, made from one of these images, to its end and gives what it
    /// printed.
    pub(super) async fn run_probe(
        &self,
        images: &ProbeImages,
        body: impl Fn(&Source) -> ContainerCreateBody,
    ) -> Result<String> {
        let start = async |source: &Source| {
            let id = self
                .make_probe(&unique_name(LOOK_NAME), body(source))
                .await?;
            let guard = Abandoned {
                docker: self.clone(),
                id: Some(id.clone()),
            };
            let begun = in_time(self.begin(&id, source, false)).await;
            match begun {
                Ok(attached) => Ok((guard, attached)),
                Err(error) => {
                    guard.remove().await;
                    Err(error)
                }
            }
        };
        let (guard, mut attached) = images.first_that_starts(start).await?;
        let outcome = in_time(async {
            let mut answer = Answer::new(self);
            answer.until_the_end(&mut attached.output).await?;
            answer.text()
        })
        .await;
        match &outcome {
            // it ran to its end, and its engine removes it
            Ok(_) => guard.disarm(),
            Err(_) => guard.remove().await,
        }
        outcome
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
    pub(super) async fn bring_program(&self, id: &str, source: &Source) -> Result<()> {
        let Source::Borrowed(_) = source else {
            return Ok(());
        };
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let archive = program_archive(&program)
            .map_err(|error| Error::failed("the probe could not be packed").because(error))?;
        let options = bollard::query_parameters::UploadToContainerOptionsBuilder::default()
            .path(FOLDER)
            .build();
        self.api
            .upload_to_container(id, Some(options), bollard::body_full(archive.into()))
            .await
            .map_err(|error| self.probe_failed(error))
    }

    /// Starts a container of the probe, its output (and, where it `asks`, its input) in hand.
    pub(super) async fn begin(&self, id: &str, source: &Source, asks: bool) -> Result<Attached> {
        let failed = |error| self.probe_failed(error);
        self.bring_program(id, source).await?;
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

/// A container's body with nothing of what its image says of itself.
pub(super) fn plain() -> ContainerCreateBody {
    ContainerCreateBody {
        working_dir: Some("/".into()),
        healthcheck: Some(without_healthcheck()),
        ..ContainerCreateBody::default()
    }
}

/// What holds for everything of devnet's own in a node: no power, nothing written, no log, never
/// started again. Who needs more says so beside it.
pub(super) fn powerless() -> HostConfig {
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
pub(super) fn passing(mounts: Option<Vec<Mount>>) -> HostConfig {
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
pub(super) fn program_of(source: &Source) -> (String, String, Option<Vec<Mount>>) {
    match source {
        Source::Own(image) | Source::Brought(image) => (image.clone(), PROGRAM.to_owned(), None),
        Source::Borrowed(image) => (
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

/// Images of the containers that are there, in which the probe can run.
pub(crate) fn borrowable(facts: &[ContainerFacts]) -> Vec<String> {
    images_to_borrow(facts.iter().map(|facts| Lender {
        image: facts.image_id.as_deref(),
        is_sandbox: is_sandbox(facts.labels.get(KIND).map(String::as_str)),
        up: crate::pod::is_up(&facts.state),
    }))
}

/// The kubelet's label that tells sandboxes from the rest.
pub(super) const KIND: &str = "io.kubernetes.docker.type";

pub(super) fn is_sandbox(kind: Option<&str>) -> bool {
    kind == Some("podsandbox")
}

/// A container whose image may be borrowed.
pub(super) struct Lender<'a> {
    pub(super) image: Option<&'a str>,
    pub(super) is_sandbox: bool,
    pub(super) up: bool,
}

/// A sandbox's image first: they are small, and made to run anywhere.
pub(super) fn images_to_borrow<'a>(lenders: impl Iterator<Item = Lender<'a>>) -> Vec<String> {
    let lenders: Vec<Lender<'_>> = lenders.collect();
    let sandbox = lenders.iter().find(|one| one.up && one.is_sandbox);
    let any = lenders.iter().find(|one| one.up).or(lenders.first());
    let mut images: Vec<String> = sandbox
        .into_iter()
        .chain(any)
        .filter_map(|lender| lender.image.map(str::to_owned))
        .collect();
    images.dedup();
    images
}

fn not_made(error: std::io::Error) -> Error {
    Error::failed("the probe's image could not be made").because(error)
}

/// What the probe has said so far.
pub(super) struct Answer<'a> {
    docker: &'a Docker,
    said: Vec<u8>,
    complaint: Vec<u8>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(docker: &'a Docker) -> Self {
        Self {
            docker,
            said: Vec::new(),
            complaint: Vec::new(),
        }
    }

    /// Whether there was more.
    async fn more(&mut self, output: &mut Outputs) -> Result<bool> {
        let Some(part) = output.next().await else {
            return Ok(false);
        };
        match part.map_err(|error| self.docker.failed("the probe", error))? {
            Output::Stdout(bytes) => self.said.extend_from_slice(&bytes),
            Output::Stderr(bytes) => self.complaint.extend_from_slice(&bytes),
        }
        if self.said.len() + self.complaint.len() > ANSWER_LIMIT {
            return Err(Error::failed("the probe's answer has no end"));
        }
        Ok(true)
    }

    pub(super) async fn until_the_end(&mut self, output: &mut Outputs) -> Result<()> {
        while self.more(output).await? {}
        Ok(())
    }

    pub(super) async fn until_a_line(&mut self, output: &mut Outputs) -> Result<()> {
        while !self.said.ends_with(b"\n") {
            if !self.more(output).await? {
                let how = if self.said.is_empty() {
                    "said nothing"
                } else {
                    "ended amid its answer"
                };
                let error = Error::failed(format!("the probe {how}"));
                return Err(unconfined(error.because(self.complaint())));
            }
        }
        Ok(())
    }

    fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.complaint).trim().to_owned()
    }

    pub(super) fn text(self) -> Result<String> {
        if self.said.is_empty() {
            let error = Error::failed("the probe said nothing");
            return Err(unconfined(error.because(self.complaint())));
        }
        String::from_utf8(self.said)
            .map_err(|error| Error::failed("the probe's answer is no text").because(error))
    }
}
