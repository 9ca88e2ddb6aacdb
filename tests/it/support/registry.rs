//! A registry on loopback that wants a login: one small image to pull, and a place to push to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use sha2::Digest as _;

/// Everything that it holds, by path below `/v2/`.
type Store = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    store: Store,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", sha2::Sha256::digest(bytes))
}

impl Registry {
    /// Starts one that lets everybody in.
    pub(crate) fn open() -> Self {
        Self::new("")
    }

    /// Starts one that lets in whoever knows `login` (`user:password`).
    pub(crate) fn new(login: &str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), login)
    }

    /// The same at another address of this computer's.
    pub(crate) fn at(address: IpAddr, login: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let store = Store::default();
        let wanted = base64::engine::general_purpose::STANDARD.encode(login);
        let wanted = format!("basic {wanted}").to_lowercase();
        let wanted = if login.is_empty() {
            String::new()
        } else {
            wanted
        };
        let held = store.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, store, wanted) = (stream.unwrap(), held.clone(), wanted.clone());
                std::thread::spawn(move || serve(&stream, &store, &wanted));
            }
        });
        Self { address, store }
    }

    /// Puts an image of one uncompressed layer there.
    pub(crate) fn put_image(&self, name: &str, tag: &str, layer: &[u8]) {
        let diff = digest(layer);
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]},
        })
        .to_string();
        let descriptor = |kind: &str, bytes: &[u8]| {
            let kind = format!("application/vnd.oci.image.{kind}");
            serde_json::json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", config.as_bytes()),
            "layers": [descriptor("layer.v1.tar", layer)],
        })
        .to_string();
        let mut store = self.store.lock().unwrap();
        for blob in [config.as_bytes(), layer] {
            store.insert(format!("{name}/blobs/{}", digest(blob)), blob.to_vec());
        }
        for place in [tag.to_owned(), digest(manifest.as_bytes())] {
            store.insert(format!("{name}/manifests/{place}"), manifest.clone().into());
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.store.lock().unwrap().contains_key(path)
    }
}

fn serve(stream: &TcpStream, store: &Store, wanted: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream.try_clone().unwrap();
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            // newer engines try TLS first, whose greeting is no text
            match reader.read_line(&mut line) {
                Ok(0) => return,
                Err(_) => {
                    let _left = writer.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
                    return;
                }
                Ok(_) => {}
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_lowercase());
        }
        let Some(request) = head.first().cloned() else {
            return;
        };
        let header = |name: &str| {
            head.iter()
                .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let mut body = Vec::new();
        if let Some(length) = header("content-length:").and_then(|length| length.parse().ok()) {
            body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
        } else if header("transfer-encoding:").is_some() {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        let given = header("authorization:").unwrap_or_default();
        let known = wanted.is_empty() || given == *wanted;
        let (status, extra, body) = answer(&request, known, body, store);
        let head = format!(
            "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all(head.as_bytes()).unwrap();
        if !request.starts_with("head ") {
            writer.write_all(&body).unwrap();
        }
    }
}

fn answer(
    request: &str,
    known: bool,
    body: Vec<u8>,
    store: &Store,
) -> (&'static str, String, Vec<u8>) {
    let mut words = request.split(' ');
    let (verb, path) = (words.next().unwrap(), words.next().unwrap_or_default());
    if !known {
        let ask = "Www-Authenticate: Basic realm=\"test\"\r\n".to_owned();
        return ("401 Unauthorized", ask, Vec::new());
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.trim_start_matches("/v2/").trim_end_matches('/');
    let mut store = store.lock().unwrap();
    match verb {
        "get" | "head" if path == "v2" || path.is_empty() => ("200 OK", String::new(), Vec::new()),
        "get" | "head" => match store.get(path) {
            None => ("404 Not Found", String::new(), Vec::new()),
            Some(bytes) => {
                let kind = if path.contains("/manifests/") {
                    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                    json["mediaType"].as_str().unwrap().to_owned()
                } else {
                    "application/octet-stream".to_owned()
                };
                let extra = format!(
                    "Content-Type: {kind}\r\nDocker-Content-Digest: {}\r\n",
                    digest(bytes)
                );
                ("200 OK", extra, bytes.clone())
            }
        },
        "post" => (
            "202 Accepted",
            format!("Location: /v2/{path}/upload-{}\r\n", store.len()),
            Vec::new(),
        ),
        "patch" => {
            let held = store.entry(path.to_owned()).or_default();
            held.extend(body);
            let extra = format!(
                "Location: /v2/{path}\r\nRange: 0-{}\r\n",
                held.len().saturating_sub(1)
            );
            ("202 Accepted", extra, Vec::new())
        }
        "put" => {
            let (place, bytes) = match query.split_once("digest=") {
                Some((_, wanted)) => {
                    let name = path.split_once("/blobs/").unwrap().0;
                    let mut bytes = store.remove(path).unwrap_or_default();
                    bytes.extend(body);
                    (
                        format!("{name}/blobs/{}", wanted.replace("%3a", ":")),
                        bytes,
                    )
                }
                None => (path.to_owned(), body),
            };
            let extra = format!("Docker-Content-Digest: {}\r\n", digest(&bytes));
            if let Some((name, _tag)) = place.split_once("/manifests/") {
                store.insert(
                    format!("{name}/manifests/{}", digest(&bytes)),
                    bytes.clone(),
                );
            }
            store.insert(place, bytes);
            ("201 Created", extra, Vec::new())
        }
        _ => ("405 Method Not Allowed", String::new(), Vec::new()),
    }
}
