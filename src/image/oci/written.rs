//! The documents that devnet writes itself. Their fields stand in the order in which Go writes them:
//! digests depend on it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::image::digest::Digest;
use crate::image::oci::{CONFIG, Config, INDEX, MANIFEST};

/// A layer that is not packed; packed ones have an ending more.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A descriptor that is written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Names>,
}

/// The annotations that name an image.
#[derive(Clone, Debug, Serialize)]
struct Names {
    #[serde(rename = "io.containerd.image.name")]
    image: String,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    tag: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenManifest<'d> {
    schema_version: u8,
    media_type: &'static str,
    config: &'d Descriptor,
    layers: &'d [Descriptor],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenIndex<'d> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'d [Descriptor],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenArchiveImage<'d> {
    config: &'d str,
    repo_tags: Option<&'d [String]>,
    layers: &'d [String],
}

impl Descriptor {
    fn new(media_type: String, digest: &str, size: u64) -> Self {
        Self {
            media_type,
            digest: digest.to_owned(),
            size,
            platform: None,
            annotations: None,
        }
    }

    /// The descriptor of a configuration.
    pub(crate) fn config(digest: &str, size: usize) -> Self {
        Self::new(CONFIG.into(), digest, size as u64)
    }

    /// The descriptor of a layer; `packed` is the ending of its media type, as `+gzip`.
    pub(crate) fn layer(packed: &str, digest: &str, size: u64) -> Self {
        Self::new(format!("{LAYER}{packed}"), digest, size)
    }

    /// The descriptor of a manifest or an index, of the type that it names.
    pub(crate) fn target(bytes: &[u8]) -> Self {
        let media_type = serde_json::from_slice::<Value>(bytes)
            .ok()
            .and_then(|value| value.get("mediaType")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| MANIFEST.into());
        Self::new(media_type, Digest::of(bytes).as_str(), bytes.len() as u64)
    }

    /// The same for the platform that a configuration tells.
    pub(crate) fn for_platform(mut self, config: &Config) -> Self {
        self.platform = Some(config.platform_fields());
        self
    }

    /// The type, the digest and the size in bytes.
    pub(crate) fn parts(&self) -> (&str, &str, u64) {
        (&self.media_type, &self.digest, self.size)
    }

    /// The same under a name; `image` is the whole of it.
    pub(crate) fn named(mut self, image: String, tag: &str) -> Self {
        self.annotations = Some(Names {
            image,
            tag: tag.to_owned(),
        });
        self
    }
}

/// A manifest's bytes.
pub(crate) fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    written(&WrittenManifest {
        schema_version: 2,
        media_type: MANIFEST,
        config,
        layers,
    })
}

/// An index's bytes.
pub(crate) fn index(manifests: &[Descriptor]) -> Vec<u8> {
    written(&WrittenIndex {
        schema_version: 2,
        media_type: INDEX,
        manifests,
    })
}

/// The `index.json` that gives one manifest or index the name `name` (repository and tag).
pub(crate) fn index_of_one(target: &[u8], name: (&str, &str)) -> Vec<u8> {
    let image = format!("{}:{}", name.0, name.1);
    index(&[Descriptor::target(target).named(image, name.1)])
}

/// Docker's `manifest.json` of one image: where its configuration and its layers stand in the archive.
pub(crate) fn archive_manifest(
    config: &str,
    repo_tags: Option<&[String]>,
    layers: &[String],
) -> Vec<u8> {
    written(&[WrittenArchiveImage {
        config,
        repo_tags,
        layers,
    }])
}

/// The configuration of an image that has one layer and runs one program.
pub(crate) fn program_config(
    architecture: &str,
    created: &str,
    entrypoint: &str,
    labels: &std::collections::BTreeMap<&str, &str>,
    diff_id: &str,
) -> Vec<u8> {
    written(&json!({
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": [entrypoint],
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": created, "created_by": "devnet" }],
    }))
}

/// The bytes of a document; strings and numbers can always be written.
pub(super) fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn documents_are_written_byte_for_byte_as_engines_write_them() {
        let config = Descriptor::config("sha256:cc", 7);
        let layers = [Descriptor::layer("+gzip", "sha256:aa", 3)];
        let manifest = manifest(&config, &layers);
        assert_eq!(
            words(&manifest),
            "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
             \"digest\":\"sha256:cc\",\"size\":7},\"layers\":[{\"mediaType\":\
             \"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:aa\",\"size\":3}]}"
        );
        let digest = Digest::of(&manifest);
        assert_eq!(
            words(&index_of_one(&manifest, ("reg/app", "1"))),
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
                 \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"digest\":\"{}\",\"size\":{},\"annotations\":{{\
                 \"io.containerd.image.name\":\"reg/app:1\",\
                 \"org.opencontainers.image.ref.name\":\"1\"}}}}]}}",
                digest.as_str(),
                manifest.len()
            )
        );
        assert_eq!(
            words(&archive_manifest("c", None, &["l".into()])),
            r#"[{"Config":"c","RepoTags":null,"Layers":["l"]}]"#
        );
    }
}
