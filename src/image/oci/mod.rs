//! OCI documents (image specification: `manifest.md`, `image-index.md`, `config.md`,
//! `image-layout.md`) and docker's `manifest.json` beside them: the one place that reads and writes
//! their JSON. What devnet writes itself stands in `written.rs`.
//!
//! What others wrote is kept as it is, fields of whatever name included; a field of a wrong type
//! counts as absent. What is addressed by its digest is passed on as bytes and never written again.

mod written;

use serde_json::{Map, Value, json};

use crate::image::platform::Platform;

use written::written;
pub(crate) use written::{
    Descriptor, archive_manifest, index, index_of_one, manifest, program_config,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The annotation with an image's whole name.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation with a tag, or with a whole name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation of provenance and the like, which stand in an index beside what they speak of.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The content of `oci-layout`.
pub(crate) const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

type Parsed<T> = serde_json::Result<T>;

/// A descriptor as somebody wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescriptorRef<'v>(&'v Value);

impl<'v> DescriptorRef<'v> {
    /// Its digest as it stands there; empty where there is none.
    pub(crate) fn digest(self) -> &'v str {
        text(self.0, "digest")
    }

    pub(crate) fn size(self) -> u64 {
        self.0.get("size").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The address from which its content could be had otherwise.
    pub(crate) fn url(self) -> Option<&'v str> {
        first_url(self.0)
    }

    /// Its platform, to be compared with others.
    pub(crate) fn platform(self) -> Option<&'v Value> {
        self.0.get("platform")
    }

    /// The platform that its image is for, where it says so.
    pub(crate) fn for_platform(self) -> Option<Platform> {
        self.platform().map(platform_of)
    }

    /// True where it is provenance or the like, which stands beside images.
    pub(crate) fn is_attestation(self) -> bool {
        let annotations = self.0.get("annotations");
        annotations.is_some_and(|annotations| annotations.get(REFERENCE_TYPE).is_some())
            || self
                .platform()
                .is_some_and(|platform| text(platform, "os") == "unknown")
    }

    /// The name that its annotations give it, as it stands there.
    pub(crate) fn name(self) -> Option<&'v str> {
        let given = |key| self.annotation(key).filter(|name| !name.is_empty());
        given(IMAGE_NAME).or_else(|| {
            // alone, this may be no more than a tag
            given(REF_NAME).filter(|name| name.contains(['/', ':']))
        })
    }

    /// Its tag in a layout.
    pub(crate) fn ref_name(self) -> Option<&'v str> {
        self.annotation(REF_NAME)
    }

    /// The whole name that its maker gave it.
    pub(crate) fn image_name(self) -> Option<&'v str> {
        self.annotation(IMAGE_NAME)
    }

    fn annotation(self, key: &str) -> Option<&'v str> {
        self.0.get("annotations")?.get(key)?.as_str()
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn platform_of(value: &Value) -> Platform {
    Platform {
        os: text(value, "os").to_owned(),
        architecture: text(value, "architecture").to_owned(),
        variant: text(value, "variant").to_owned(),
    }
}

fn strings<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let listed = value.get(key).and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn first_url(value: &Value) -> Option<&str> {
    value.pointer("/urls/0").and_then(Value::as_str)
}

/// An index or a manifest, which only their content tells apart.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Index(Index),
    Manifest(Manifest),
}

impl Target {
    pub(crate) fn read(bytes: &[u8]) -> Parsed<Self> {
        let value: Value = serde_json::from_slice(bytes)?;
        Ok(if value.get("manifests").is_some() {
            Self::Index(Index(value))
        } else {
            Self::Manifest(Manifest(value))
        })
    }
}

/// An index as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Index(Value);

impl Index {
    pub(crate) fn read(bytes: &[u8]) -> Parsed<Self> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// An index that lists nothing yet.
    pub(crate) fn empty() -> Self {
        Self(json!({"schemaVersion": 2, "mediaType": INDEX}))
    }

    /// The manifests and indexes that it lists; `None` when it lists none.
    pub(crate) fn manifests(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = DescriptorRef<'_>> + Clone> {
        let listed = self.0.get("manifests")?.as_array()?;
        Some(listed.iter().map(DescriptorRef))
    }

    /// Gives all that it lists one name (repository and tag), in place of their annotations.
    pub(crate) fn rename(&mut self, (repository, tag): (&str, &str)) {
        let names = json!({
            IMAGE_NAME: format!("{repository}:{tag}"),
            REF_NAME: tag,
        });
        let manifests = self.0.get_mut("manifests").and_then(Value::as_array_mut);
        let manifests = manifests.into_iter().flatten();
        for manifest in manifests.filter_map(Value::as_object_mut) {
            manifest.insert("annotations".into(), names.clone());
        }
    }

    /// Has a tag stand for `descriptor`. What has a name of its own keeps it.
    ///
    /// # Errors
    /// Says what is no descriptor or no index.
    pub(crate) fn put(&mut self, mut descriptor: Value, tag: &str) -> Result<(), &'static str> {
        let is_object = |value: &Value| value.is_object() || value.is_null();
        if !descriptor.is_object() || !is_object(&descriptor["annotations"]) {
            return Err("what is to get the tag is no descriptor");
        }
        if !self.0.is_object() {
            return Err("its index.json is no index");
        }
        let others: Vec<Value> = self.0["manifests"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|manifest| {
                let named = &manifest["annotations"];
                named[REF_NAME] != tag || !named[IMAGE_NAME].is_null()
            })
            .cloned()
            .collect();
        descriptor["annotations"][REF_NAME] = tag.into();
        self.0["manifests"] = others.into_iter().chain([descriptor]).collect();
        Ok(())
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        written(&self.0)
    }
}

/// A manifest as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Manifest(Value);

impl Manifest {
    pub(crate) fn read(bytes: &[u8]) -> Parsed<Self> {
        serde_json::from_slice(bytes).map(Self)
    }

    pub(crate) fn config(&self) -> DescriptorRef<'_> {
        DescriptorRef(self.0.get("config").unwrap_or(&Value::Null))
    }

    /// The type of its configuration where it is no container image's.
    pub(crate) fn foreign_type(&self) -> Option<&str> {
        let kind = text(self.config().0, "mediaType");
        (kind != CONFIG && kind != DOCKER_CONFIG).then_some(kind)
    }

    /// Its layers, the base first; `None` when it lists none.
    pub(crate) fn layers(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = DescriptorRef<'_>> + Clone> {
        let listed = self.0.get("layers")?.as_array()?;
        Some(listed.iter().map(DescriptorRef))
    }
}

/// A configuration as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Config(Value);

impl Config {
    pub(crate) fn read(bytes: &[u8]) -> Parsed<Self> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// The diff IDs of its layers, the base first, as they stand there.
    pub(crate) fn diff_ids(&self) -> Vec<&str> {
        self.0
            .get("rootfs")
            .map(|rootfs| strings(rootfs, "diff_ids"))
            .unwrap_or_default()
    }

    pub(crate) fn platform(&self) -> Platform {
        platform_of(&self.0)
    }

    /// The time at which it was made, as it stands there.
    pub(crate) fn created(&self) -> Option<&str> {
        self.0.get("created")?.as_str()
    }

    fn platform_fields(&self) -> Map<String, Value> {
        ["architecture", "os", "os.version", "variant"]
            .into_iter()
            .filter_map(|key| {
                let value = self.0.get(key).filter(|value| value.is_string())?;
                Some((key.to_owned(), value.clone()))
            })
            .collect()
    }
}

/// Docker's `manifest.json` as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveManifest(Value);

/// An image in docker's `manifest.json`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArchiveImageRef<'v>(&'v Value);

impl ArchiveManifest {
    pub(crate) fn read(bytes: &[u8]) -> Parsed<Self> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// The images that it lists; `None` when it is no list.
    pub(crate) fn images(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = ArchiveImageRef<'_>> + Clone> {
        Some(self.0.as_array()?.iter().map(ArchiveImageRef))
    }

    /// Gives every image one name, in place of its own.
    pub(crate) fn rename(&mut self, name: &str) {
        let images = self.0.as_array_mut().into_iter().flatten();
        for image in images.filter_map(Value::as_object_mut) {
            image.insert("RepoTags".into(), json!([name]));
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        written(&self.0)
    }
}

impl<'v> ArchiveImageRef<'v> {
    /// The path of its configuration.
    pub(crate) fn config(self) -> &'v str {
        text(self.0, "Config")
    }

    pub(crate) fn repo_tags(self) -> Vec<&'v str> {
        strings(self.0, "RepoTags")
    }

    /// The paths of its layers, the base first.
    pub(crate) fn layers(self) -> Vec<&'v str> {
        strings(self.0, "Layers")
    }

    /// The same; `None` when one of them is no path, so that none takes another's number.
    pub(crate) fn every_layer(self) -> Option<Vec<&'v str>> {
        let listed = self.0.get("Layers").and_then(Value::as_array);
        listed.into_iter().flatten().map(Value::as_str).collect()
    }

    /// The address from which a foreign layer could be had.
    pub(crate) fn url_of(self, diff_id: &str) -> Option<&'v str> {
        first_url(self.0.get("LayerSources")?.get(diff_id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_others_wrote_is_passed_on_with_fields_of_any_name() {
        let mut index =
            Index::read(br#"{"z":1,"manifests":[{"y":2,"annotations":{"x":"x"}}],"a":[3]}"#)
                .unwrap();
        index.rename(("reg/app", "1"));
        assert_eq!(
            words(&index.to_bytes()),
            r#"{"z":1,"manifests":[{"y":2,"annotations":{"io.containerd.image.name":"reg/app:1","org.opencontainers.image.ref.name":"1"}}],"a":[3]}"#
        );
        let mut archive =
            ArchiveManifest::read(br#"[{"Layers":["l"],"RepoTags":null,"More":{}}]"#).unwrap();
        archive.rename("app:1");
        assert_eq!(
            words(&archive.to_bytes()),
            r#"[{"Layers":["l"],"RepoTags":["app:1"],"More":{}}]"#
        );
    }

    #[test]
    fn fields_of_a_wrong_type_count_as_absent() {
        for nonsense in [
            "null",
            "[]",
            "\"x\"",
            "{\"manifests\":1}",
            "{\"layers\":{}}",
        ] {
            let bytes = nonsense.as_bytes();
            assert!(Index::read(bytes).unwrap().manifests().is_none());
            let manifest = Manifest::read(bytes).unwrap();
            assert!(manifest.layers().is_none(), "{nonsense}");
            assert_eq!(manifest.config().digest(), "");
            assert_eq!(manifest.foreign_type(), Some(""));
            assert!(Config::read(bytes).unwrap().diff_ids().is_empty());
        }
        let index = Index::read(br#"{"manifests":[1,{"digest":1,"annotations":[]}]}"#).unwrap();
        for descriptor in index.manifests().unwrap() {
            assert_eq!((descriptor.digest(), descriptor.size()), ("", 0));
            assert_eq!((descriptor.name(), descriptor.url()), (None, None));
            assert!(!descriptor.is_attestation());
        }
    }

    #[test]
    fn names_are_told_from_tags() {
        let named = |key: &str, name: &str| {
            let value = json!({"annotations": {key: name}});
            DescriptorRef(&value).name().map(str::to_owned)
        };
        assert_eq!(named(REF_NAME, "latest"), None);
        assert_eq!(named(REF_NAME, "app:v1").as_deref(), Some("app:v1"));
        assert_eq!(named(IMAGE_NAME, "app").as_deref(), Some("app"));
        assert_eq!(named(IMAGE_NAME, ""), None);
    }
}
