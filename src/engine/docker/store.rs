//! Reads an engine's own layer store through the Engine API: a container that never runs binds the
//! folders, read-only, and the engine archives them. No process, no capability, no network.

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::docker::agent::container::powerless;
use crate::engine::layer_store::{LayerStore, Reading};
use crate::error::{Error, Result};
use crate::host::owner;
use crate::image::digest::Digest;
use crate::lab::label::{NAME, OWNER, READER, ROLE};
use crate::lab::owned::id_file;

/// The place of the folders in the container; no image has such a folder.
const FOLDER: &str = "/.devnet-store";

impl Docker {
    /// The folders of an image's layers; `None` when its engine does not keep them as overlay2
    /// does.
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
    pub(crate) async fn open_store(
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
    pub(crate) fn store_records(&self, name: &str) -> impl Stream<Item = Result<Bytes>> + Send {
        self.archive_of(name, "records")
    }

    /// The layers' files in folders named by place, in the order of a walk.
    pub(crate) fn store_files(&self, name: &str) -> impl Stream<Item = Result<Bytes>> + Send {
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
