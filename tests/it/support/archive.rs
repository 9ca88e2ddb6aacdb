//! Image archives as tests need them: honest ones of every kind, and hostile ones.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `sha256:` and hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

pub(crate) fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A layer with these files.
pub(crate) fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Bytes that do not pack.
pub(crate) fn noise(seed: u32, count: usize) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(state >> 24).unwrap()
        })
        .collect()
}

/// A layer with a busybox in it, and `count` bytes more.
pub(crate) fn base(seed: u32, count: usize) -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| std::fs::read(path).ok())
        .unwrap();
    layer(&[("bin/busybox", &busybox), ("noise", &noise(seed, count))])
}

/// The platform of this computer's engines.
pub(crate) fn here() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

pub(crate) fn config(layers: &[Vec<u8>], architecture: &str) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": diff_ids.iter().map(|_| json!({"created_by": "test"})).collect::<Vec<_>>(),
    })
}

/// Files in the order in which they are to stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) Vec<(String, Vec<u8>)>);

/// The packing of an image's layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pack {
    Plain,
    Gzip,
    Zstd,
}

impl Pack {
    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::Zstd => zstd(bytes),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

impl Files {
    pub(crate) fn add(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.0.retain(|(other, _)| other != path);
        self.0.push((path.into(), bytes));
    }

    pub(crate) fn blob(&mut self, bytes: Vec<u8>, media_type: &str) -> Value {
        let digest = digest(&bytes);
        let size = bytes.len();
        self.add(&blob_path(&digest), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Adds an image's blobs; gives the descriptor of its manifest.
    pub(crate) fn image(&mut self, layers: &[Vec<u8>], pack: Pack, architecture: &str) -> Value {
        let config = config(layers, architecture).to_string().into_bytes();
        let config = self.blob(config, "application/vnd.oci.image.config.v1+json");
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.blob(pack.pack(layer), pack.media_type()))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers,
        });
        let mut descriptor = self.blob(
            manifest.to_string().into_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        );
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    }

    /// Ends a layout: `index.json` with these descriptors.
    pub(crate) fn index(&mut self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.add("index.json", index.to_string());
        self.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    /// An OCI layout with one image.
    pub(crate) fn oci(name: &str, layers: &[Vec<u8>], pack: Pack) -> Self {
        let mut files = Self::default();
        let descriptor = files.image(layers, pack, here());
        files.index(&[named(descriptor, name)]);
        files
    }

    /// An archive of docker's old kind with one image, its layers in `<n>/layer.tar`.
    pub(crate) fn docker(name: &str, layers: &[Vec<u8>], pack: Pack) -> Self {
        let mut files = Self::default();
        let mut paths = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            paths.push(format!("{number}/layer.tar"));
            files.add(&paths[number], pack.pack(layer));
        }
        let config = config(layers, here()).to_string().into_bytes();
        let path = format!("{}.json", &digest(&config)[7..]);
        files.add(&path, config);
        let manifest = json!([{"Config": path, "RepoTags": [name], "Layers": paths}]);
        files.add("manifest.json", manifest.to_string());
        files
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// Writes it as a folder.
    pub(crate) fn folder(&self, to: &Path) -> PathBuf {
        for (path, content) in &self.0 {
            let path = to.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        to.to_owned()
    }
}

/// A descriptor with a name.
pub(crate) fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{name}"),
        "org.opencontainers.image.ref.name": name.rsplit(':').next(),
    });
    descriptor
}

/// Runs a program with bytes on a pipe.
pub(crate) fn piped(command: &mut std::process::Command, bytes: Vec<u8>) -> super::Output {
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    let write = std::thread::spawn(move || {
        // a reader that has seen enough is gone
        let _gone = writer.write_all(&bytes);
    });
    let output = super::Output::of(command);
    // the command holds the reading end until it is given another
    command.stdin(std::process::Stdio::null());
    write.join().unwrap();
    output
}
