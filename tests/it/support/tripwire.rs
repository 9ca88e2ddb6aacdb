//! A socket before an engine that does something at a certain moment: just before the engine gets
//! a request, or in the middle of the body that follows it.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

type Deed = Box<dyn FnOnce() + Send>;

/// Passes everything on, and does its deed once.
pub(crate) struct Tripwire {
    socket: PathBuf,
}

impl Tripwire {
    /// The deed is done when a request that begins with one of `words` (`POST /images/load`, the API's
    /// version left out) and `after` more bytes have come.
    pub(crate) fn new(
        folder: &Path,
        engine: PathBuf,
        words: &'static [&'static str],
        after: usize,
        deed: impl FnOnce() + Send + 'static,
    ) -> Self {
        let socket = folder.join("tripwire.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let deed: Arc<Mutex<Option<Deed>>> = Arc::new(Mutex::new(Some(Box::new(deed))));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, deed) = (client.unwrap(), engine.clone(), deed.clone());
                std::thread::spawn(move || pass(client, &engine, words, after, &deed));
            }
        });
        Self { socket }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

fn pass(
    client: UnixStream,
    engine: &Path,
    words: &[&str],
    after: usize,
    deed: &Mutex<Option<Deed>>,
) {
    let Ok(server) = UnixStream::connect(engine) else {
        return;
    };
    let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _cut = std::io::copy(&mut back_from, &mut back_to);
        let _closed = back_to.shutdown(Shutdown::Both);
    });
    let (mut client, mut server) = (client, server);
    let mut piece = vec![0; 64 << 10];
    let mut since: Option<usize> = None;
    while let Ok(count @ 1..) = client.read(&mut piece) {
        // devnet writes a request's head in one piece
        let begins = String::from_utf8_lossy(&piece[..count.min(200)]).into_owned();
        let first = begins.lines().next().unwrap_or_default();
        let plain = match first.split_once("/v1.") {
            Some((verb, rest)) => {
                let path = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
                format!("{verb}{path}")
            }
            None => first.to_owned(),
        };
        if words.iter().any(|words| plain.starts_with(words)) {
            since = Some(0);
        } else if let Some(since) = &mut since {
            *since += count;
        }
        if since.is_some_and(|since| since >= after)
            && let Some(deed) = deed.lock().unwrap().take()
        {
            deed();
        }
        if server.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _closed = server.shutdown(Shutdown::Write);
}
