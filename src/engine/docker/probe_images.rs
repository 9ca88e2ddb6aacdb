//! The images of one node from which containers of the probe are made: its own ones first, and
//! devnet's where none of them will do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::engine::docker::Docker;
use crate::engine::docker::carrier::{Source, borrowable, unique_name, until_made};
use crate::error::Result;
use crate::lab::owned::LOOK_NAME;
use crate::pod::ContainerFacts;

/// The images that containers of the probe may be made from on one node, best first.
#[derive(Debug)]
pub(crate) struct ProbeImages {
    docker: Docker,
    there: Vec<Source>,
    /// The first of `there` that is not known to fail.
    next: AtomicUsize,
    brought: OnceCell<Source>,
    /// The brought image's name, from before it is sent on.
    bringing: Mutex<Option<String>>,
}

impl Docker {
    /// Where the probe's program can come from on this node, with the least that stays there.
    ///
    /// # Errors
    /// When this devnet carries no probe for the node.
    pub(in crate::engine) async fn probe_images(
        &self,
        facts: &[ContainerFacts],
    ) -> Result<ProbeImages> {
        Ok(ProbeImages {
            docker: self.clone(),
            there: self.sources(borrowable(facts)).await?,
            next: AtomicUsize::new(0),
            brought: OnceCell::new(),
            bringing: Mutex::default(),
        })
    }
}

impl ProbeImages {
    /// Makes and starts a container from the first image that lets it: one may be for another
    /// machine, be gone by now, or hold what is in the program's way.
    ///
    /// # Errors
    /// What the last of them, devnet's own, failed with.
    pub(crate) async fn first_that_starts<T>(
        &self,
        start: impl AsyncFn(&Source) -> Result<T>,
    ) -> Result<T> {
        loop {
            let place = self.next.load(Ordering::SeqCst);
            let Some(source) = self.there.get(place) else {
                break;
            };
            if let Ok(started) = start(source).await {
                return Ok(started);
            }
            // whoever is first to see it fail tells the others
            let _told =
                self.next
                    .compare_exchange(place, place + 1, Ordering::SeqCst, Ordering::SeqCst);
        }
        let source = self.brought.get_or_try_init(|| self.bring()).await?;
        start(source).await
    }

    /// Brings devnet's own image, to the end also when nobody waits for it any more.
    async fn bring(&self) -> Result<Source> {
        let image = self.docker.own_image(&unique_name(LOOK_NAME)).await?;
        *self.bringing.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(image.reference.clone());
        self.docker.bring_image(image.archive).await?;
        Ok(Source::Brought(image.reference))
    }

    /// Takes devnet's own image away again if it was brought for this alone.
    pub(crate) async fn forget(&self) -> Result<()> {
        let brought = self.bringing.lock();
        let brought = brought.unwrap_or_else(PoisonError::into_inner).take();
        let Some(image) = brought else { return Ok(()) };
        until_made().await;
        self.docker.remove_image(&image).await
    }
}
