//! Reads an engine's own layer store through the Engine API: a container that never runs binds the
//! folders, read-only, and the engine archives them. No process, no capability, no network.

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::docker::carrier::powerless;
use crate::error::{Error, Result};
use crate::host::owner;
use crate::image::digest::{ChainId, Digest};
use crate::lab::label::{NAME, OWNER, READER, ROLE};
use crate::lab::owned::{READER_NAME, id_file};

/// Where the folders stand in the container; no image has such a folder.
const FOLDER: &str = "/.devnet-store";

/// Where the layers of an image lie on their engine's computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerStore {
    /// The engine's folder.
    root: String,
    /// Each layer's files, the base first.
    folders: Vec<String>,
    /// Folders for which the image wants volumes.
    volumes: Vec<String>,
}

impl LayerStore {
    fn of(name: &str, upper: &str, lower: Option<&str>, volumes: Vec<String>) -> Option<Self> {
        let mut folders: Vec<String> = lower
            .into_iter()
            .flat_map(|lower| lower.split(':'))
            .filter(|folder| !folder.is_empty())
            .map(str::to_owned)
            .collect();
        folders.reverse();
        folders.push(upper.to_owned());
        let (root, _) = upper.strip_suffix("/diff")?.rsplit_once("/overlay2/")?;
        let inside = |folder: &String| {
            folder
                .strip_prefix(root)
                .and_then(|rest| rest.strip_prefix("/overlay2/"))
                .and_then(|rest| rest.strip_suffix("/diff"))
                .is_some_and(|id| !id.contains('/'))
        };
        (name == "overlay2" && folders.iter().all(inside)).then(|| Self {
            root: root.into(),
            folders,
            volumes,
        })
    }

    /// How many layers it has.
    pub(crate) fn count(&self) -> usize {
        self.folders.len()
    }
}

/// What is to be read of a store.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// Also the reader's own image; nothing of it is run.
    pub(crate) image: &'a str,
    /// Layers whose records are read.
    pub(crate) records: &'a [usize],
    /// Layers whose files are read.
    pub(crate) files: &'a [usize],
    pub(crate) chain: &'a [ChainId],
}

impl Docker {
    /// Where an image's layers lie; `None` when its engine does not keep them as overlay2 does.
    pub(in crate::engine) async fn layer_store(&self, image: &str) -> Result<Option<LayerStore>> {
        let found = self.inspected_image(image).await?;
        let volumes = found.config.and_then(|config| config.volumes);
        Ok(found.graph_driver.and_then(|driver| {
            LayerStore::of(
                &driver.name,
                driver.data.get("UpperDir")?,
                driver.data.get("LowerDir").map(String::as_str),
                volumes.unwrap_or_default(),
            )
        }))
    }

    /// Makes the container through which a store is read.
    ///
    /// # Errors
    /// When the engine refuses; also when a folder is not there.
    pub(in crate::engine) async fn open_store(
        &self,
        store: &LayerStore,
        reading: &Reading<'_>,
        name: &str,
    ) -> Result<()> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = body(store, reading, name)
            .ok_or_else(|| Error::failed("an image whose ID is no digest can't be read"))?;
        self.api
            .create_container(Some(options), body)
            .await
            .map(drop)
            .map_err(|error| self.failed("reading the layer store", error))
    }

    /// `config`, the image's configuration, and the layers' records, each named by its place.
    pub(in crate::engine) fn store_records(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Bytes>> + Send {
        self.archive_of(name, "records")
    }

    /// The layers' files in folders named by place, in the order of a walk.
    pub(in crate::engine) fn store_files(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Bytes>> + Send {
        self.archive_of(name, "files")
    }

    fn archive_of(
        &self,
        name: &str,
        folder: &str,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let docker = self.clone();
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(&format!("{FOLDER}/{folder}"))
            .build();
        docker
            .api
            .download_from_container(name, Some(options))
            .map(move |piece| {
                piece.map_err(|error| docker.failed("reading the layer store", error))
            })
    }
}

/// A reader's name: when it was made, and for which transfer.
pub(crate) fn reader_name(token: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    format!("{READER_NAME}-{now}-{token}")
}

/// The name of a layer in the container: as wide as needed for places to sort as they count.
fn place(place: usize) -> String {
    format!("{place:05}")
}

fn body(store: &LayerStore, reading: &Reading<'_>, name: &str) -> Option<ContainerCreateBody> {
    let bind = |source: String, target: String| Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        target: Some(target),
        read_only: Some(true),
        ..Mount::default()
    };
    let images = format!("{}/image/overlay2", store.root);
    let id = Digest::parse(reading.image)?;
    let mut mounts = vec![bind(
        format!("{images}/imagedb/content/sha256/{}", id.hex()),
        format!("{FOLDER}/records/config"),
    )];
    for layer in reading.records {
        let chain = Digest::parse(reading.chain.get(*layer)?.as_str())?;
        mounts.push(bind(
            format!("{images}/layerdb/sha256/{}/tar-split.json.gz", chain.hex()),
            format!("{FOLDER}/records/{}", place(*layer)),
        ));
    }
    for layer in reading.files {
        mounts.push(bind(
            store.folders.get(*layer)?.clone(),
            format!("{FOLDER}/files/{}", place(*layer)),
        ));
    }
    // else the engine makes volumes and copies the image's files into them
    for volume in &store.volumes {
        mounts.push(bind(store.folders.first()?.clone(), volume.clone()));
    }
    Some(ContainerCreateBody {
        image: Some(reading.image.to_owned()),
        // the engine wants a command; it is never run
        entrypoint: Some(vec!["-".into()]),
        labels: Some(
            [
                (ROLE.to_owned(), READER.to_owned()),
                (NAME.to_owned(), name.to_owned()),
                (OWNER.to_owned(), owner::mark()),
            ]
            .into(),
        ),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".into()),
            mounts: Some(mounts),
            container_id_file: Some(id_file(name)),
            ..powerless()
        }),
        ..ContainerCreateBody::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_told_by_the_image_the_base_first() {
        let store = LayerStore::of(
            "overlay2",
            "/var/lib/docker/overlay2/top/diff",
            Some("/var/lib/docker/overlay2/mid/diff:/var/lib/docker/overlay2/base/diff"),
            vec![],
        )
        .unwrap();
        assert_eq!(store.root, "/var/lib/docker");
        assert_eq!(store.count(), 3);
        assert!(store.folders[0].contains("/base/"));
    }

    #[test]
    fn other_drivers_and_folders_elsewhere_are_left_alone() {
        let of = |name, upper, lower| LayerStore::of(name, upper, lower, vec![]);
        let good = "/d/overlay2/a/diff";
        assert!(of("overlay2", good, None).is_some());
        assert!(of("btrfs", good, None).is_none());
        assert!(of("overlay2", "/d/elsewhere/a/diff", None).is_none());
        assert!(of("overlay2", good, Some("/etc")).is_none());
        assert!(of("overlay2", good, Some("/d/overlay2/../x/diff")).is_none());
    }
}
