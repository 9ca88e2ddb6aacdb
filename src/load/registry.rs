//! A registry for one push, on this computer's loopback: an engine pushes an image to it and
//! uploads only the layers that it is told are not here. Nothing is written to disk.
//!
//! This is how a changed layer leaves an engine quickly: `save` writes out every layer first.
//! Engines take a plain connection to 127.0.0.0/8; those with containerd's store try TLS first and
//! fall back when the answer to their hello is plain HTTP.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::reference::TRANSFERS;

/// The most bytes that are kept of one push; a layer that would not fit is counted and let go.
const ROOM: usize = 40 << 20;
/// A manifest of 10,000 layers is smaller.
const LARGEST_MANIFEST: usize = 8 << 20;

/// The content of a push.
#[derive(Debug, Default)]
struct Brought {
    /// Blobs that are somewhere else already, with their sizes: the engine need not upload them.
    known: HashMap<Digest, u64>,
    /// Uploaded blobs; `None` was too large to keep.
    blobs: HashMap<Digest, (u64, Option<Bytes>)>,
    room_taken: usize,
    uploads: HashMap<String, Upload>,
    /// The manifests in the order in which they came: an index after those that it lists.
    manifests: Vec<Bytes>,
    count: u64,
}

#[derive(Debug, Default)]
struct Upload {
    hash: Sha256,
    size: u64,
    kept: Option<Vec<u8>>,
}

/// A registry that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    /// `127.0.0.1:PORT/devnet-transfer/<token>`: the token keeps others on this computer out.
    pub(crate) repository: String,
    brought: Arc<Mutex<Brought>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A blob that was pushed.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) size: u64,
    /// `None`: it was here already, or too large to keep.
    pub(crate) content: Option<Bytes>,
}

impl Registry {
    /// Listens on a free port of 127.0.0.1. `known` are blobs that need not be uploaded.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) async fn listen(token: &str, known: HashMap<Digest, u64>) -> Result<Self> {
        let failed =
            |error| Error::failed("no port on 127.0.0.1 for the transfer").caused_by(error);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let brought = Arc::new(Mutex::new(Brought {
            known,
            ..Brought::default()
        }));
        let name = format!("{TRANSFERS}/{token}");
        let accepting = tokio::spawn(accept(listener, brought.clone(), format!("/v2/{name}/")));
        Ok(Self {
            repository: format!("127.0.0.1:{port}/{name}"),
            brought,
            accepting,
        })
    }

    /// The manifests that were pushed.
    pub(crate) fn manifests(&self) -> Vec<Bytes> {
        lock(&self.brought).manifests.clone()
    }

    /// A blob that the manifest names.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<Blob> {
        let brought = lock(&self.brought);
        if let Some((size, content)) = brought.blobs.get(digest) {
            return Some(Blob {
                size: *size,
                content: content.clone(),
            });
        }
        brought.known.get(digest).map(|size| Blob {
            size: *size,
            content: None,
        })
    }
}

fn lock(brought: &Mutex<Brought>) -> std::sync::MutexGuard<'_, Brought> {
    brought.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, brought: Arc<Mutex<Brought>>, prefix: String) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            return;
        };
        let (brought, prefix) = (brought.clone(), prefix.clone());
        tokio::spawn(serve(stream, brought, prefix));
    }
}

/// The first byte of a TLS record with a hello in it.
const TLS_HANDSHAKE: u8 = 0x16;

async fn serve(mut stream: TcpStream, brought: Arc<Mutex<Brought>>, prefix: String) {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => {
            let plain = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n";
            // whoever sent the hello reads this or is gone
            let _gone = stream.write_all(plain).await;
            let _gone = stream.shutdown().await;
            return;
        }
        Ok(1) => {}
        _ => return,
    }
    // Nagle's algorithm would hold small answers back for 40 ms
    let _old_kernel = stream.set_nodelay(true);
    let service =
        hyper::service::service_fn(move |request| answer(request, brought.clone(), prefix.clone()));
    // an engine that goes away in the middle is told by its own push
    let _ended = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(
    request: Request<Incoming>,
    brought: Arc<Mutex<Brought>>,
    prefix: String,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let answer = if path == "/v2/" {
        Some(empty(StatusCode::OK))
    } else if let Some(rest) = path.strip_prefix(&prefix) {
        ours(request, &brought, &prefix, rest).await
    } else {
        None
    };
    Ok(answer.unwrap_or_else(|| {
        let mut answer = Response::new(Full::new(Bytes::from_static(
            b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\"}]}",
        )));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer
    }))
}

/// The distribution specification's few requests that a push makes. `None` is "not found".
async fn ours(
    request: Request<Incoming>,
    brought: &Mutex<Brought>,
    prefix: &str,
    rest: &str,
) -> Option<Answer> {
    let method = request.method().clone();
    if let Some(digest) = rest.strip_prefix("blobs/").and_then(Digest::parse) {
        if method != Method::HEAD {
            return None;
        }
        let brought = lock(brought);
        let size = brought
            .known
            .get(&digest)
            .or_else(|| brought.blobs.get(&digest).map(|(size, _)| size))?;
        return respond(
            StatusCode::OK,
            &[
                (header::CONTENT_LENGTH, size.to_string()),
                (DIGEST, digest.as_str().to_owned()),
            ],
        );
    }
    if rest.starts_with("manifests/") {
        if method != Method::PUT {
            return None;
        }
        let body = http_body_util::Limited::new(request.into_body(), LARGEST_MANIFEST)
            .collect()
            .await
            .ok()?
            .to_bytes();
        let digest = Digest::of(&body);
        lock(brought).manifests.push(body);
        return respond(StatusCode::CREATED, &[(DIGEST, digest.as_str().to_owned())]);
    }
    let id = rest.strip_prefix("blobs/uploads/")?.to_owned();
    match method {
        Method::POST => {
            let mut brought = lock(brought);
            brought.count += 1;
            let id = format!("u{}", brought.count);
            brought.uploads.insert(
                id.clone(),
                Upload {
                    kept: Some(Vec::new()),
                    ..Upload::default()
                },
            );
            respond(
                StatusCode::ACCEPTED,
                &[
                    (header::LOCATION, format!("{prefix}blobs/uploads/{id}")),
                    (header::RANGE, "0-0".into()),
                ],
            )
        }
        Method::PATCH => {
            let size = receive(request, brought, &id).await?;
            let range = format!("0-{}", size.saturating_sub(1));
            respond(
                StatusCode::ACCEPTED,
                &[
                    (header::LOCATION, format!("{prefix}blobs/uploads/{id}")),
                    (header::RANGE, range),
                ],
            )
        }
        Method::PUT => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            receive(request, brought, &id).await?;
            let wanted = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("digest="))?
                .replace("%3A", ":");
            let mut brought = lock(brought);
            let upload = brought.uploads.remove(&id)?;
            let digest = Digest::from_hash(&upload.hash.finalize());
            if digest.as_str() != wanted {
                brought.room_taken -= upload.kept.map_or(0, |kept| kept.len());
                return respond(StatusCode::BAD_REQUEST, &[]);
            }
            brought
                .blobs
                .insert(digest.clone(), (upload.size, upload.kept.map(Bytes::from)));
            respond(StatusCode::CREATED, &[(DIGEST, digest.as_str().to_owned())])
        }
        _ => None,
    }
}

/// The header in which registries name a digest.
const DIGEST: header::HeaderName = header::HeaderName::from_static("docker-content-digest");

/// Takes a piece of an upload; gives its size so far.
async fn receive(request: Request<Incoming>, brought: &Mutex<Brought>, id: &str) -> Option<u64> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        let mut brought = lock(brought);
        let fits = brought.room_taken + data.len() <= ROOM;
        let upload = brought.uploads.get_mut(id)?;
        upload.hash.update(&data);
        upload.size += data.len() as u64;
        let mut change = 0_isize;
        match &mut upload.kept {
            Some(kept) if fits => {
                kept.extend_from_slice(&data);
                change = isize::try_from(data.len()).unwrap_or(0);
            }
            Some(kept) => {
                // a layer of this size is either not needed or comes another way
                change = -isize::try_from(kept.len()).unwrap_or(0);
                upload.kept = None;
            }
            None => {}
        }
        brought.room_taken = brought.room_taken.saturating_add_signed(change);
    }
    lock(brought).uploads.get(id).map(|upload| upload.size)
}

fn respond(status: StatusCode, headers: &[(header::HeaderName, String)]) -> Option<Answer> {
    let mut answer = empty(status);
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(name.clone(), value.parse().ok()?);
    }
    Some(answer)
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// One request, and the head of its answer.
    async fn ask(registry: &Registry, verb: &str, path: &str, body: &[u8]) -> String {
        let (address, name) = registry.repository.split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{verb} /v2/{name}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn upload(registry: &Registry, content: &[u8], digest: &Digest) -> String {
        let begun = ask(registry, "POST", "blobs/uploads/", b"").await;
        let id = begun
            .lines()
            .find_map(|line| line.split_once("/blobs/uploads/"))
            .unwrap()
            .1
            .to_owned();
        ask(registry, "PATCH", &format!("blobs/uploads/{id}"), content).await;
        let end = format!("blobs/uploads/{id}?digest={}", digest.as_str());
        ask(registry, "PUT", &end, b"").await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_blob_that_is_too_large_is_counted_and_let_go_and_others_still_fit() {
        let registry = Registry::listen("token", HashMap::new()).await.unwrap();
        for (size, kept) in [(ROOM + 1, false), (1000, true)] {
            let content = vec![7; size];
            let digest = Digest::of(&content);
            let answer = upload(&registry, &content, &digest).await;
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
            let blob = registry.blob(&digest).unwrap();
            assert_eq!((blob.size, blob.content.is_some()), (size as u64, kept));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_blob_that_is_not_what_it_says_is_refused_and_takes_no_room() {
        let registry = Registry::listen("token", HashMap::new()).await.unwrap();
        let other = Digest::of(b"another");
        let answer = upload(&registry, b"content", &other).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(registry.blob(&other).is_none());
        assert_eq!(lock(&registry.brought).room_taken, 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_the_token_there_is_nothing() {
        let registry = Registry::listen("token", HashMap::new()).await.unwrap();
        let (address, _) = registry.repository.split_once('/').unwrap();
        let guess = Registry {
            repository: format!("{address}/devnet-transfer/guess"),
            brought: Arc::default(),
            accepting: tokio::spawn(async {}),
        };
        let answer = ask(&guess, "POST", "blobs/uploads/", b"").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}
