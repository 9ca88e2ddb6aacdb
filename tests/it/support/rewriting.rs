//! An engine's socket whose JSON answers are changed on their way: another clock, nonsense, silence.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

type Change = dyn Fn(&str, &mut Value) + Send + Sync;

/// Passes requests on; `change` sees each JSON answer with its path (without the query).
pub(crate) struct Rewriting {
    socket: PathBuf,
}

impl Rewriting {
    pub(crate) fn new(
        folder: &Path,
        engine: PathBuf,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        let socket = folder.join("rewriting.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let change: Arc<Change> = Arc::new(change);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, change) = (client.unwrap(), engine.clone(), change.clone());
                std::thread::spawn(move || pass(client, &engine, &*change));
            }
        });
        Self { socket }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// Reads a head to its end; `None` when the other side has left.
fn head(from: &mut BufReader<UnixStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head.ends_with("\r\n\r\n") {
            return Some(head);
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// A body that says its length or comes in pieces.
fn body(from: &mut BufReader<UnixStream>, head: &str) -> Vec<u8> {
    let mut whole = Vec::new();
    if let Some(length) = header(head, "content-length") {
        whole.resize(length.parse().unwrap(), 0);
        from.read_exact(&mut whole).unwrap();
    } else if header(head, "transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            from.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut piece = vec![0; size + 2];
            from.read_exact(&mut piece).unwrap();
            if size == 0 {
                break;
            }
            whole.extend_from_slice(&piece[..size]);
        }
    }
    whole
}

fn pass(client: UnixStream, engine: &Path, change: &Change) {
    let server = UnixStream::connect(engine).unwrap();
    let (mut to_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(asked) = head(&mut client) {
        let sent = body(&mut client, &asked);
        to_server.write_all(asked.as_bytes()).unwrap();
        to_server.write_all(&sent).unwrap();
        let Some(answered) = head(&mut server) else {
            return;
        };
        let status = answered.split(' ').nth(1).unwrap_or_default();
        if status == "101" || answered.contains("application/vnd.docker") {
            // from here on it is no HTTP any more
            to_client.write_all(answered.as_bytes()).unwrap();
            std::thread::spawn(move || {
                let _cut = std::io::copy(&mut client, &mut to_server);
                let _closed = to_server.shutdown(std::net::Shutdown::Write);
            });
            let _cut = std::io::copy(&mut server, &mut to_client);
            let _closed = to_client.shutdown(std::net::Shutdown::Write);
            return;
        }
        let mut told = if matches!(status, "204" | "304") {
            Vec::new()
        } else {
            body(&mut server, &answered)
        };
        let path = asked.split(' ').nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        if let Ok(mut value) = serde_json::from_slice::<Value>(&told) {
            change(path, &mut value);
            told = value.to_string().into_bytes();
        }
        let kept = answered
            .lines()
            .filter(|line| {
                let line = line.to_lowercase();
                !line.starts_with("content-length")
                    && !line.starts_with("transfer-encoding")
                    && !line.is_empty()
            })
            .collect::<Vec<_>>()
            .join("\r\n");
        let length = if matches!(status, "204" | "304") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", told.len())
        };
        to_client
            .write_all(format!("{kept}\r\n{length}\r\n").as_bytes())
            .unwrap();
        if to_client.write_all(&told).is_err() {
            return;
        }
    }
}
