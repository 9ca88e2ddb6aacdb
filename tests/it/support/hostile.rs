//! An engine that means harm: a node with one pod, where one answer has no end, claims what is not
//! so, or stops amid its words.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

/// A misdeed in place of an answer.
pub(crate) enum Deed {
    /// These bytes, this piece so many times, and the end.
    Repeat(Vec<u8>, Vec<u8>, usize),
    /// These bytes, and then nothing on this connection.
    Stall(Vec<u8>),
    /// These bytes, and from then on nothing on any.
    Freeze(Vec<u8>),
    /// These bytes, after this the others, and the end.
    After(Vec<u8>, Box<dyn FnOnce() + Send>, Vec<u8>),
}

/// Chooses a deed by a request's method and path (without version and query).
type Choose = dyn Fn(&str, &str) -> Option<Deed> + Send + Sync;

pub(crate) struct Hostile {
    socket: PathBuf,
}

/// The ID of the pod's one container.
pub(crate) const APP: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const PAUSE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const IMAGE: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

impl Hostile {
    pub(crate) fn start(
        folder: &Path,
        choose: impl Fn(&str, &str) -> Option<Deed> + Send + Sync + 'static,
    ) -> Self {
        Self::named(folder, "node", choose)
    }

    /// The same under another name: two of one name are one engine.
    pub(crate) fn named(
        folder: &Path,
        name: &'static str,
        choose: impl Fn(&str, &str) -> Option<Deed> + Send + Sync + 'static,
    ) -> Self {
        let socket = folder.join("hostile.sock");
        let _older = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let choose: Arc<Choose> = Arc::new(choose);
        let frozen = Arc::new(AtomicBool::new(false));
        // the threads end with the test's process
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (choose, frozen) = (choose.clone(), frozen.clone());
                std::thread::spawn(move || serve(client, name, &*choose, &frozen));
            }
        });
        Self { socket }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// A head that promises a body of a type; it ends with the connection.
pub(crate) fn head(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nServer: Docker/24.0.0 (linux)\r\nConnection: close\r\n{more}\r\n").into_bytes()
}

/// A head after which the connection is no HTTP any more.
pub(crate) fn upgraded() -> Vec<u8> {
    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_vec()
}

fn hold(mut reader: BufReader<UnixStream>) {
    // until the other side has left
    let _left = std::io::copy(&mut reader, &mut std::io::sink());
}

fn serve(client: UnixStream, name: &str, choose: &Choose, frozen: &AtomicBool) {
    let mut writer = client.try_clone().unwrap();
    let mut reader = BufReader::new(client);
    loop {
        let mut request = String::new();
        if !matches!(reader.read_line(&mut request), Ok(1..)) {
            return;
        }
        let (mut header, mut length) = (String::new(), 0);
        while matches!(reader.read_line(&mut header), Ok(1..)) && header.trim() != "" {
            if let Some(said) = header.to_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            header.clear();
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if frozen.load(Ordering::SeqCst) {
            return hold(reader);
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = path.split('?').next().unwrap_or("");
        let path = match path
            .strip_prefix("/v1.")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((_, rest)) => format!("/{rest}"),
            None => path.to_owned(),
        };
        match choose(method, &path) {
            Some(Deed::Repeat(first, piece, times)) => {
                if writer.write_all(&first).is_err() {
                    return;
                }
                for _ in 0..times {
                    if writer.write_all(&piece).is_err() {
                        return;
                    }
                }
                return;
            }
            Some(Deed::Stall(first)) => {
                let _left = writer.write_all(&first);
                return hold(reader);
            }
            Some(Deed::After(first, wait, rest)) => {
                let _left = writer.write_all(&first);
                wait();
                let _left = writer.write_all(&rest);
                return;
            }
            Some(Deed::Freeze(first)) => {
                frozen.store(true, Ordering::SeqCst);
                let _left = writer.write_all(&first);
                return hold(reader);
            }
            None => {}
        }
        let (status, said) = match node(name, method, &path) {
            Some(said) => ("200 OK", said),
            None => ("404 Not Found", json!({ "message": "no such thing" })),
        };
        let said = said.to_string();
        let sent = write!(
            writer,
            "HTTP/1.1 {status}\r\nApi-Version: 1.43\r\nServer: Docker/24.0.0 (linux)\r\nBuilder-Version: 2\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            said.len(),
            if method == "HEAD" { "" } else { &said },
        );
        if sent.is_err() {
            return;
        }
    }
}

fn labels(kind: &str) -> Value {
    json!({
        "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.pod.uid": "11111111-2222-3333-4444-555555555555",
        "io.kubernetes.container.name": if kind == "podsandbox" { "POD" } else { "app" },
        "io.kubernetes.docker.type": kind, "io.kubernetes.sandbox.id": PAUSE,
    })
}

/// One container as an answer about it alone tells it.
pub(crate) fn described(id: &str, kind: &str) -> Value {
    let name = if kind == "podsandbox" { "POD" } else { "app" };
    let name = format!("k8s_{name}_web_default_11111111-2222-3333-4444-555555555555_0");
    json!({
        "Id": id, "Name": format!("/{name}"), "Names": [format!("/{name}")], "Image": IMAGE,
        "ImageID": IMAGE, "Created": "2026-01-01T00:00:00Z", "Labels": labels(kind),
        "State": { "Status": "running", "Running": true, "Pid": 1, "ExitCode": 0,
                   "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z" },
        "Config": { "Image": IMAGE, "Labels": labels(kind), "Tty": false },
        "HostConfig": { "NetworkMode": if kind == "podsandbox" { "none".into() } else { format!("container:{PAUSE}") } },
        "NetworkSettings": { "Networks": {} },
    })
}

/// One container as a list tells it.
pub(crate) fn listed(id: &str, kind: &str) -> Value {
    let mut one = described(id, kind);
    one["State"] = "running".into();
    one["Created"] = 1_767_225_600.into();
    one
}

fn node(name: &str, method: &str, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    Some(match (method, parts.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => json!("OK"),
        ("GET", ["version"]) => json!({
            "Version": "24.0.0", "ApiVersion": "1.43", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64",
        }),
        ("GET", ["info"]) => json!({
            "ID": name, "Name": name, "SystemTime": "2026-01-01T00:00:00Z", "DockerRootDir": "/var/lib/docker",
        }),
        ("GET", ["containers", "json"]) => {
            json!([listed(APP, "container"), listed(PAUSE, "podsandbox")])
        }
        ("GET", ["containers", id, "json"]) if *id == PAUSE => described(PAUSE, "podsandbox"),
        ("GET", ["containers", _, "json"]) => described(APP, "container"),
        ("GET", ["images", "json"]) => json!([{
            "Id": IMAGE, "ParentId": "", "RepoTags": ["app:dev"], "RepoDigests": [], "Created": 0,
            "Size": 1, "SharedSize": -1, "Labels": {}, "Containers": -1,
        }]),
        ("GET", ["images", .., "json"]) => json!({
            "Id": IMAGE, "RepoTags": ["app:dev"], "Os": "linux", "Architecture": "amd64", "Size": 1,
            "RootFS": { "Type": "layers", "Layers": [IMAGE] }, "Config": {},
        }),
        ("GET", ["networks"]) => json!([]),
        ("GET", ["volumes"]) => json!({ "Volumes": [] }),
        ("POST", ["containers", _, "exec"]) => json!({ "Id": "e" }),
        ("GET", ["exec", _, "json"]) => json!({ "Running": false, "ExitCode": 0 }),
        _ => return None,
    })
}
