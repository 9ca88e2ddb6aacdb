//! An engine's socket whose JSON answers are changed on their way (another clock, nonsense), or where
//! one request or its answer is held up, so that a test can do something at that very moment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use serde_json::Value;

type Change = dyn Fn(&str, &mut Value) + Send + Sync;

/// The message that is held up: the request before the engine sees it, or the answer before devnet
/// does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    Request(&'static str, &'static str),
    Answer(&'static str, &'static str),
}

impl Hold {
    fn is(self, moment: fn(&'static str, &'static str) -> Self, method: &str, path: &str) -> bool {
        let (Self::Request(wanted, part) | Self::Answer(wanted, part)) = self;
        std::mem::discriminant(&moment(wanted, part)) == std::mem::discriminant(&self)
            && wanted == method
            && path.contains(part)
    }
}

struct Held {
    what: Hold,
    /// So many such moments pass first.
    passing: AtomicUsize,
    reached: Sender<()>,
    released: Mutex<Receiver<()>>,
}

impl Held {
    /// Waits at that moment until the test goes on.
    fn wait(
        held: Option<&Self>,
        moment: fn(&'static str, &'static str) -> Hold,
        method: &str,
        path: &str,
    ) {
        if let Some(held) = held.filter(|held| held.what.is(moment, method, path)) {
            let less = |left: usize| left.checked_sub(1);
            if held.passing.fetch_update(SeqCst, SeqCst, less).is_ok() {
                return;
            }
            let _listening = held.reached.send(());
            let _released = held.released.lock().unwrap().recv();
        }
    }
}

/// Passes requests on; `change` sees each JSON answer with its path (without the query).
pub(crate) struct Rewriting {
    socket: PathBuf,
    reached: Receiver<()>,
    release: Sender<()>,
    pings: Receiver<()>,
    refusals: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

/// The state that all connections share.
struct Manner {
    held: Option<Held>,
    pinged: Sender<()>,
    refusals: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl Manner {
    /// True where this request is to be refused; each refusal is for one.
    fn refuses(&self, method: &str, path: &str) -> bool {
        let mut refusals = self.refusals.lock().unwrap();
        let is_it = |(of, part): &(&str, &str)| *of == method && path.contains(*part);
        let place = refusals.iter().position(is_it);
        place.map(|place| refusals.remove(place)).is_some()
    }
}

impl Rewriting {
    pub(crate) fn new(
        folder: &Path,
        engine: PathBuf,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self::holding(folder, engine, None, change)
    }

    /// Holds up the first such moment.
    pub(crate) fn holding(
        folder: &Path,
        engine: PathBuf,
        hold: Option<Hold>,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self::holding_after(folder, engine, 0, hold, change)
    }

    /// Changes also what a container says to whoever is attached to it: each line of JSON.
    pub(crate) fn with_streams(
        folder: &Path,
        engine: PathBuf,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(folder, engine, (0, None), true, change)
    }

    /// Lets so many such moments pass, and holds up the next.
    pub(crate) fn holding_after(
        folder: &Path,
        engine: PathBuf,
        passing: usize,
        hold: Option<Hold>,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(folder, engine, (passing, hold), false, change)
    }

    fn serve(
        folder: &Path,
        engine: PathBuf,
        (passing, hold): (usize, Option<Hold>),
        streams: bool,
        change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        let socket = folder.join("rewriting.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let change: Arc<Change> = Arc::new(change);
        let (reaching, reached) = mpsc::channel();
        let (release, releasing) = mpsc::channel();
        let held = hold.map(|what| Held {
            what,
            passing: AtomicUsize::new(passing),
            reached: reaching,
            released: Mutex::new(releasing),
        });
        let (pinged, pings) = mpsc::channel();
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(Manner {
            held,
            pinged,
            refusals: refusals.clone(),
        });
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine) = (client.unwrap(), engine.clone());
                let (change, manner) = (change.clone(), manner.clone());
                std::thread::spawn(move || pass(client, &engine, &*change, streams, &manner));
            }
        });
        Self {
            socket,
            reached,
            release,
            pings,
            refusals,
        }
    }

    /// Lets the engine seem to refuse the next such request with a 500.
    pub(crate) fn refuse(&self, method: &'static str, part: &'static str) {
        self.refusals.lock().unwrap().push((method, part));
    }

    /// Waits until so many more pings have been asked.
    pub(crate) fn until_pinged(&self, times: usize) {
        let minute = std::time::Duration::from_mins(1);
        while self.pings.try_recv().is_ok() {}
        for _ in 0..times {
            self.pings.recv_timeout(minute).expect("pings come");
        }
    }

    /// Waits until what is held up has come.
    pub(crate) fn until_held(&self) {
        super::until("what is held up comes", || self.is_held());
    }

    /// True where the message that is held up has come since this was asked last.
    pub(crate) fn is_held(&self) -> bool {
        self.reached.try_recv().is_ok()
    }

    /// Lets it go on.
    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
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

/// Passes an attached container's frames on, each of whole lines.
fn pass_frames(
    path: &str,
    from: &mut impl std::io::Read,
    to: &mut impl std::io::Write,
    change: &Change,
) -> std::io::Result<()> {
    let mut lines: [Vec<u8>; 3] = Default::default();
    let mut head = [0; 8];
    while from.read_exact(&mut head).is_ok() {
        let [kind, _, _, _, length @ ..] = head;
        let mut piece = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        from.read_exact(&mut piece)?;
        let line = &mut lines[usize::from(kind)];
        line.extend(piece);
        if line.ends_with(b"\n") {
            let mut told = std::mem::take(line);
            if let Ok(mut value) = serde_json::from_slice::<Value>(&told) {
                change(path, &mut value);
                told = format!("{value}\n").into_bytes();
            }
            let length = u32::try_from(told.len()).unwrap().to_be_bytes();
            to.write_all(&[kind, 0, 0, 0])?;
            to.write_all(&length)?;
            to.write_all(&told)?;
        }
    }
    assert!(lines.iter().all(Vec::is_empty), "a line has no end");
    Ok(())
}

fn pass(client: UnixStream, engine: &Path, change: &Change, streams: bool, manner: &Manner) {
    let held = manner.held.as_ref();
    let server = UnixStream::connect(engine).unwrap();
    let (mut to_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(asked) = head(&mut client) {
        let mut sent = body(&mut client, &asked);
        if header(&asked, "transfer-encoding").is_some() {
            // as it said that it comes, in one piece
            let size = format!("{:x}\r\n", sent.len()).into_bytes();
            sent = if sent.is_empty() {
                b"0\r\n\r\n".to_vec()
            } else {
                [size, sent, b"\r\n0\r\n\r\n".to_vec()].concat()
            };
        }
        let mut words = asked.split(' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        Held::wait(held, Hold::Request, method, path);
        if path.ends_with("/_ping") {
            let _counted = manner.pinged.send(());
        }
        if manner.refuses(method, path) {
            let said = r#"{"message":"could not kill it: it is not running"}"#;
            let head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json";
            let refusal = format!("{head}\r\nContent-Length: {}\r\n\r\n{said}", said.len());
            if to_client.write_all(refusal.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        if to_server.write_all(asked.as_bytes()).is_err() || to_server.write_all(&sent).is_err() {
            return;
        }
        let Some(answered) = head(&mut server) else {
            return;
        };
        Held::wait(held, Hold::Answer, method, path);
        let status = answered.split(' ').nth(1).unwrap_or_default();
        if status == "101" || answered.contains("application/vnd.docker") {
            // from here on it is no HTTP any more
            if to_client.write_all(answered.as_bytes()).is_err() {
                return;
            }
            std::thread::spawn(move || {
                let _cut = std::io::copy(&mut client, &mut to_server);
                let _closed = to_server.shutdown(std::net::Shutdown::Write);
            });
            let _cut = if streams && path.ends_with("/attach") {
                pass_frames(path, &mut server, &mut to_client, change)
            } else {
                std::io::copy(&mut server, &mut to_client).map(drop)
            };
            let _closed = to_client.shutdown(std::net::Shutdown::Write);
            return;
        }
        let mut told = if matches!(status, "204" | "304") {
            Vec::new()
        } else {
            body(&mut server, &answered)
        };
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
        let answer = [format!("{kept}\r\n{length}\r\n").into_bytes(), told].concat();
        // a devnet that was killed reads no more
        if to_client.write_all(&answer).is_err() {
            return;
        }
    }
}
