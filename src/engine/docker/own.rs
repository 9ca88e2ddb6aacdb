//! The things in a Docker engine that are devnet's own. The proof is `lab/owned.rs`; here it gets
//! what it needs: names, labels, shapes, and the labels of images, from which containers inherit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListNetworksOptionsBuilder, ListVolumesOptionsBuilder};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::engine::docker::Docker;
use crate::error::Result;
use crate::host::owner;
use crate::lab::member::Found;
use crate::lab::standing::{Thing, ThingKind, Witness};
use crate::lab::{label, owned};
use crate::pod::{ContainerFacts, State};

/// The number of questions on their way at once.
const IN_FLIGHT: usize = 16;
/// States in which a container that its devnet should have ended may be found.
const NOT_RUNNING: [State; 3] = [State::Created, State::Exited, State::Dead];

type Labels = BTreeMap<String, String>;

impl Docker {
    /// The containers of devnet's own, dead or alive, that carry every one of these labels (`name` or
    /// `name=value`).
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(crate) async fn own_containers(&self, labels: &[&str]) -> Result<Vec<Found>> {
        self.own_containers_in_states(labels, &[]).await
    }

    /// Removes the things that another devnet made for its run and left, since it was killed. A
    /// failure to do so is none of the command's own.
    pub(in crate::engine) async fn sweep_abandoned(&self) {
        let Ok(found) = self
            .own_containers_in_states(&[label::OWNER], &NOT_RUNNING)
            .await
        else {
            return;
        };
        for id in self.left_of(&found).await {
            // another devnet may be removing it too
            let _gone = self.remove(&id).await;
        }
    }

    /// Those of these containers whose devnet is gone, by their IDs.
    pub(crate) async fn left_of(&self, found: &[Found]) -> Vec<String> {
        let passing = |one: &Found| crate::lab::standing::is_passing(one);
        if !found.iter().any(passing) {
            return Vec::new();
        }
        let witness = Witness {
            gone: &owner::is_gone,
            now: self.clock().await,
        };
        let left = found.iter().filter(|one| witness.is_left(one));
        left.map(|one| one.id.clone()).collect()
    }

    /// The engine's own time, which dates the things that it makes.
    pub(in crate::engine) async fn clock(&self) -> Option<jiff::Timestamp> {
        self.info().await.ok()?.now()
    }
}

impl Docker {
    pub(super) async fn own_containers_in_states(
        &self,
        labels: &[&str],
        states: &[State],
    ) -> Result<Vec<Found>> {
        let filters = HashMap::from([("label", [&[label::NAME], labels].concat())]);
        // states are no filter: podman knows no `dead`, and fails when it is asked for
        let is_wanted =
            |one: &ContainerSummary| states.is_empty() || states.contains(&super::pods::state(one));
        let listed = self.listed(&filters).await?;
        // an engine that does not filter must not lose a container by it
        let listed = listed.into_iter().filter(is_wanted);
        let ids = listed.filter_map(|one| {
            let labels: Labels = one.labels?.into_iter().collect();
            let name = one.names?.into_iter().next()?;
            owned::claims(name.trim_start_matches('/'), &labels).then_some(one.id?)
        });
        let ids: Vec<String> = ids.collect();
        let facts = self.facts_of(ids, &HashMap::new()).await?;
        Ok(facts
            .into_iter()
            .map(Found::from)
            .filter(|one| one.labels.contains_key(label::ROLE))
            .filter(|one| states.is_empty() || states.contains(&one.state))
            .filter(|one| {
                labels.iter().all(|wanted| match wanted.split_once('=') {
                    Some((name, value)) => one.label(name) == Some(value),
                    None => one.label(wanted).is_some(),
                })
            })
            .collect())
    }

    /// Leaves devnet's labels to those containers alone that are proved to be devnet's.
    pub(super) async fn prove(&self, all: &mut [ContainerFacts]) -> Result<()> {
        let claims = |one: &&ContainerFacts| owned::claims(&one.name, &one.labels);
        let images: BTreeSet<String> = all
            .iter()
            .filter(claims)
            .filter_map(|one| one.image_id.clone())
            .collect();
        let labels: HashMap<String, Labels> = stream::iter(images)
            .map(|image| async move {
                let labels = self.image_labels(&image).await?;
                Ok::<_, crate::error::Error>(labels.map(|labels| (image, labels)))
            })
            .buffer_unordered(IN_FLIGHT)
            .try_filter_map(|one| async move { Ok(one) })
            .try_collect()
            .await?;
        for one in all {
            let image = one.image_id.as_ref().and_then(|image| labels.get(image));
            match owned::proved(one, image) {
                Some(labels) => one.labels = labels,
                None => owned::without_ours(&mut one.labels),
            }
        }
        Ok(())
    }

    /// `None` when the image is gone.
    async fn image_labels(&self, image: &str) -> Result<Option<Labels>> {
        match self.api.inspect_image(image).await {
            Ok(found) => {
                let labels = found.config.and_then(|config| config.labels);
                Ok(Some(labels.unwrap_or_default().into_iter().collect()))
            }
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(self.failed(&format!("image `{image}`"), error)),
        }
    }

    /// The networks that a lab made.
    pub(crate) async fn own_networks(&self) -> Result<Vec<Thing>> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&HashMap::from([("label", vec![label::NAME])]))
            .build();
        let listed = self
            .api
            .list_networks(Some(options))
            .await
            .map_err(|error| self.failed("listing networks", error))?;
        Ok(listed
            .into_iter()
            .filter_map(|one| {
                let name = one.name?;
                let labels = one.labels?.into_iter().collect();
                owned::is_network(&name, &labels).then_some(Thing {
                    kind: ThingKind::Network,
                    id: one.id?,
                    name,
                    labels,
                    made: None,
                })
            })
            .collect())
    }

    /// The volumes that a lab made. An engine with a plugin that is dead takes its time.
    pub(crate) async fn own_volumes(&self) -> Result<Vec<Thing>> {
        // only these are devnet's; the engine waits for plugins that are dead all the same
        let filters = HashMap::from([("driver", vec!["local"]), ("label", vec![label::NAME])]);
        let options = ListVolumesOptionsBuilder::default()
            .filters(&filters)
            .build();
        let listed = self
            .api
            .list_volumes(Some(options))
            .await
            .map_err(|error| self.failed("listing volumes", error))?;
        Ok(listed
            .volumes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| {
                let labels = one.labels.into_iter().collect();
                owned::is_volume(&one.name, &labels).then(|| Thing {
                    kind: ThingKind::Volume,
                    id: one.name.clone(),
                    name: one.name,
                    labels,
                    made: None,
                })
            })
            .collect())
    }

    /// The images that devnet made, for a lab or for a look, by their names.
    pub(crate) async fn own_images(&self) -> Result<Vec<Thing>> {
        let listed = self.listed_images(Some(label::NAME)).await?;
        let things = listed.into_iter().flat_map(|image| {
            let labels: Labels = image.labels.into_iter().collect();
            image.repo_tags.into_iter().filter_map(move |name| {
                owned::is_image(&name, &labels).then(|| Thing {
                    kind: ThingKind::Image,
                    // by name: an image that has other names stays under those
                    id: name.clone(),
                    name,
                    labels: labels.clone(),
                    made: None,
                })
            })
        });
        Ok(things.collect())
    }
}
