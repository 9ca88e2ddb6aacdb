//! The images that devnet's program runs from in a node with Docker: its own where that is there, one
//! that is there anyway, or its own brought for this alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::container::{AskedFor, unique_name};
use crate::engine::docker::membership;
use crate::engine::job::ProgramImages;
use crate::error::{Error, Result};
use crate::host::owner;
use crate::lab::label::{LOOK_IMAGE, OWNER, ROLE};
use crate::lab::owned::{LOOK_NAME, bare};
use crate::pod::ContainerFacts;
use crate::probe::carried;
use crate::probe::image::ProbeImage;

/// An image that a container with devnet's program is made from.
#[derive(Clone, Debug)]
pub(crate) enum ProgramImage {
    /// The ID of devnet's own image, which a lab left here.
    Own(String),
    /// Any image of the engine: nothing of it is run, and the program comes in a volume.
    Borrowed(String),
    /// The engine has no image: devnet's own is brought and taken away again.
    Brought(String),
}

/// The images that containers of one session may be made from, best first.
#[derive(Debug)]
pub(super) struct Images {
    docker: Docker,
    wanted: ProgramImages,
    there: OnceCell<Vec<ProgramImage>>,
    /// The index in `there` of the first that is not known to fail.
    next: AtomicUsize,
    brought: OnceCell<ProgramImage>,
    /// The brought image, from before it is sent on.
    bringing: Mutex<Option<AskedFor>>,
}

impl Images {
    pub(super) fn new(docker: Docker, wanted: ProgramImages) -> Self {
        Self {
            docker,
            wanted,
            there: OnceCell::new(),
            next: AtomicUsize::new(0),
            brought: OnceCell::new(),
            bringing: Mutex::default(),
        }
    }

    /// Makes and starts a container from the first image that lets it: an image may be for another
    /// machine, be gone by now, or have a file in the program's place.
    ///
    /// # Errors
    /// The failure of the last image: devnet's own, or the one that the person named.
    pub(super) async fn first_that_starts<T>(
        &self,
        start: impl AsyncFn(&ProgramImage) -> Result<T>,
    ) -> Result<T> {
        let candidates = match &self.wanted {
            ProgramImages::AnyOf(candidates) => candidates,
            ProgramImages::Only(image) => {
                return start(&ProgramImage::Borrowed(image.clone())).await;
            }
        };
        let find = || self.docker.program_images(candidates);
        let there = self.there.get_or_try_init(find).await?;
        loop {
            let index = self.next.load(Ordering::SeqCst);
            let Some(image) = there.get(index) else {
                break;
            };
            if let Ok(started) = start(image).await {
                return Ok(started);
            }
            // whoever is first to see it fail tells the others
            let _told =
                self.next
                    .compare_exchange(index, index + 1, Ordering::SeqCst, Ordering::SeqCst);
        }
        let image = self.brought.get_or_try_init(|| self.bring()).await?;
        start(image).await
    }

    /// Brings devnet's own image, to the end also when nobody waits for it any more.
    async fn bring(&self) -> Result<ProgramImage> {
        let image = self.docker.own_image(&unique_name(LOOK_NAME)).await?;
        let asked = AskedFor::new(image.reference.clone());
        *self.bringing.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked.clone());
        let (docker, archive) = (self.docker.clone(), image.archive);
        let load = async move { docker.load_archive(archive).await };
        asked.make_to_its_end(load).await?;
        Ok(ProgramImage::Brought(image.reference))
    }

    /// True when devnet's own image was brought, or is on its way.
    pub(super) fn has_brought(&self) -> bool {
        self.bringing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Takes devnet's own image away again if it was brought for this alone.
    pub(super) async fn take_back(&self) -> Result<()> {
        let brought = self.bringing.lock();
        let brought = brought.unwrap_or_else(PoisonError::into_inner).take();
        let Some(image) = brought else { return Ok(()) };
        image.until_made().await;
        self.docker.remove_image(&image.name).await
    }
}

impl Docker {
    /// The images to try, best first; those of devnets that were killed are taken away.
    async fn program_images(&self, candidates: &[String]) -> Result<Vec<ProgramImage>> {
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let current = ProbeImage::new(&program, &architecture).map_err(not_made)?;
        let mut images = Vec::new();
        for image in self.own_images().await? {
            let mark = image.labels.get(OWNER);
            if bare(&image.name) == current.reference {
                let own = self.verified(&image.name, &current).await?;
                images.extend(own.map(ProgramImage::Own));
            } else if mark.and_then(|mark| owner::is_gone(mark)) == Some(true) {
                // not before its container, whose own label is proved by what its image says
                let _gone = self.remove_unused_image(&image.id).await;
            }
        }
        images.extend(candidates.iter().cloned().map(ProgramImage::Borrowed));
        if images.is_empty() {
            images.extend(self.any_image().await?.map(ProgramImage::Borrowed));
        }
        images.truncate(2);
        Ok(images)
    }

    /// devnet's own image, for one look alone.
    async fn own_image(&self, name: &str) -> Result<ProbeImage> {
        let architecture = self.architecture().await?;
        let program = carried::program(&architecture)?;
        let mark = owner::mark();
        let labels = [(ROLE, LOOK_IMAGE), (OWNER, mark.as_str())];
        ProbeImage::labelled(&program, &architecture, name, &labels).map_err(not_made)
    }

    /// An image of the engine, whatever it is for.
    async fn any_image(&self) -> Result<Option<String>> {
        let listed = self.listed_images(None).await?;
        Ok(listed.into_iter().next().map(|image| image.id))
    }
}

/// Images of the containers that are there, in which the probe can run.
pub(in crate::engine) fn candidates(facts: &[ContainerFacts]) -> Vec<String> {
    candidate_images(facts.iter().map(|facts| Candidate {
        image: facts.image_id.as_deref(),
        is_sandbox: membership::is_kubelets_sandbox(facts.labels.iter()),
        up: facts.state.is_up(),
    }))
}

/// A container whose image may hold devnet's program for a while.
pub(in crate::engine::docker) struct Candidate<'a> {
    pub(in crate::engine::docker) image: Option<&'a str>,
    pub(in crate::engine::docker) is_sandbox: bool,
    pub(in crate::engine::docker) up: bool,
}

/// A sandbox's image first: they are small, and made to run anywhere.
pub(in crate::engine::docker) fn candidate_images<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
) -> Vec<String> {
    let candidates: Vec<Candidate<'_>> = candidates.collect();
    let sandbox = candidates.iter().find(|one| one.up && one.is_sandbox);
    let any = candidates.iter().find(|one| one.up).or(candidates.first());
    let mut images: Vec<String> = sandbox
        .into_iter()
        .chain(any)
        .filter_map(|candidate| candidate.image.map(str::to_owned))
        .collect();
    images.dedup();
    images
}

fn not_made(error: std::io::Error) -> Error {
    Error::failed("the probe's image could not be made").caused_by(error)
}
