//! A socket between devnet and an engine, for faults that an engine can't be made to show.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Passes connections on to an engine's socket, except those whose first request is refused.
pub(crate) struct Proxy {
    socket: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Proxy {
    /// Requests whose path is one of `refused` get 404, as from an engine that knows them not.
    pub(crate) fn new(folder: &Path, engine: PathBuf, refused: &'static [&'static str]) -> Self {
        let socket = folder.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = open.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, all) = (client.unwrap(), engine.clone(), all.clone());
                std::thread::spawn(move || pass(client, &engine, refused, &all));
            }
        });
        Self { socket, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Cuts every connection and takes no more: the engine is gone.
    pub(crate) fn cut(&self) {
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.open.lock().unwrap().iter() {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut client: UnixStream, engine: &Path, refused: &[&str], all: &Mutex<Vec<UnixStream>>) {
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
    server.write_all(&head).unwrap();
    all.lock()
        .unwrap()
        .extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _cut = std::io::copy(&mut from, &mut to);
        let _closed = to.shutdown(Shutdown::Write);
    });
    let _cut = std::io::copy(&mut server, &mut client);
    let _closed = client.shutdown(Shutdown::Write);
}
