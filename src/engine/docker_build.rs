//! What a build needs of the Engine API beside BuildKit: an image as an archive.

use bollard::errors::Error as Why;
use futures_util::StreamExt as _;

use super::docker::Docker;
use crate::engine::Engine;
use crate::engine::buildkit_streams::{self, Sink};
use crate::error::{Error, Result};

impl Engine {
    /// Streams an image's archive into `sink`, under its names where it has some.
    ///
    /// # Errors
    /// The engine has no such image or was lost; the sink failed.
    pub(crate) async fn save_image(&self, id: &str, names: &[String], sink: Sink) -> Result<()> {
        let Self::Docker(docker) = self;
        docker.save_image(id, names, sink).await
    }
}

impl Docker {
    async fn save_image(&self, id: &str, names: &[String], sink: Sink) -> Result<()> {
        let names: Vec<&str> = if names.is_empty() {
            vec![id]
        } else {
            names.iter().map(String::as_str).collect()
        };
        let stream = self
            .slow
            .export_images(&names)
            .map(|piece| piece.map(|bytes| bytes.to_vec()));
        let failed = |error: Why| self.failed("saving the image", error);
        buildkit_streams::into_sink(stream, sink)
            .await
            .map_err(|error| match error {
                buildkit_streams::Broken::From(error) => failed(error),
                buildkit_streams::Broken::To(error) => {
                    Error::failed("the archive can't be written").because(error)
                }
            })
    }
}
