//! A socket between devnet and an engine, for faults that an engine can't be made to show.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Passes connections on to an engine's socket, except those whose first request is refused.
pub(crate) struct Proxy {
    socket: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
    uploaded: Arc<AtomicU64>,
}

impl Proxy {
    /// Requests whose path is one of `refused` get 404, as from an engine that knows them not.
    pub(crate) fn new(folder: &Path, engine: PathBuf, refused: &'static [&'static str]) -> Self {
        let socket = folder.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = open.clone();
        let uploaded = Arc::new(AtomicU64::new(0));
        let count = uploaded.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, all) = (client.unwrap(), engine.clone(), all.clone());
                let count = count.clone();
                std::thread::spawn(move || pass(client, &engine, refused, &all, &count));
            }
        });
        Self {
            socket,
            open,
            uploaded,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Bytes that went towards the engine since this was asked last.
    pub(crate) fn uploaded(&self) -> u64 {
        self.uploaded.swap(0, Ordering::SeqCst)
    }

    /// Cuts the connections that are open; new ones are taken.
    pub(crate) fn drop_connections(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts every connection and takes no more: the engine is gone.
    pub(crate) fn cut(&self) {
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.open.lock().unwrap().iter() {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(
    mut client: UnixStream,
    engine: &Path,
    refused: &[&str],
    all: &Mutex<Vec<UnixStream>>,
    uploaded: &Arc<AtomicU64>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    let path = String::from_utf8_lossy(&head);
    let path = path.split(' ').nth(1).unwrap_or_default();
    if refused.contains(&path) {
        let _left = client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let mut server = UnixStream::connect(engine).unwrap();
    uploaded.fetch_add(head.len() as u64, Ordering::SeqCst);
    server.write_all(&head).unwrap();
    all.lock()
        .unwrap()
        .extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let uploaded = uploaded.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            uploaded.fetch_add(read as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _closed = to.shutdown(Shutdown::Write);
    });
    let _cut = std::io::copy(&mut server, &mut client);
    let _closed = client.shutdown(Shutdown::Write);
}
