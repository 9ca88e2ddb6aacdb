//! The guard of a Docker engine on a node's own containerd: dockerd's authorization plugin. The engine
//! does not know which images the cluster's pods run; this does, and refuses what would take them.

mod decision;
mod in_use;
mod peer;
mod request;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::in_use::InUse;
use crate::json::{self, Value};

/// The engine leaves bodies out that are longer than 1 MiB, and writes the others in base64.
const LONGEST: u64 = 4 << 20;
/// No header of the engine's is longer.
const LONGEST_HEADER: u64 = 64 << 10;
/// Connections of the engine's at once; it keeps a few.
const MOST: usize = 512;
/// Connections of others at once: other engines of the node look at every plugin there is.
const MOST_OF_OTHERS: usize = 16;
/// The time for which one of others may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens at a socket that root alone may open. It is complete when it has its name.
pub(crate) fn listen(socket: &str) -> io::Result<UnixListener> {
    let new = format!("{socket}.new");
    let _left_by_one_that_was_killed = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, Path::new(socket))?;
    Ok(listener)
}

/// Answers the engine's questions, side by side, for as long as this program lives.
pub(crate) fn serve(listener: &UnixListener, engine: &'static str) {
    let facts = Arc::new(InUse::new(engine));
    let (own, others) = (Arc::default(), Arc::default());
    for stream in listener.incoming().flatten() {
        // who may open the socket may ask, and keeps the engine from nothing by it
        let (open, most): (&Arc<AtomicUsize>, _) = if peer::is_child(&stream) {
            (&own, MOST)
        } else if stream.set_read_timeout(Some(PATIENCE)).is_ok() {
            (&others, MOST_OF_OTHERS)
        } else {
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= most {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (facts, open) = (Arc::clone(&facts), Arc::clone(open));
        std::thread::spawn(move || {
            // an engine that went away is none to answer
            let _gone = converse(stream, &facts);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Answers one connection's questions, one after the other.
fn converse(stream: UnixStream, facts: &InUse) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some((path, body)) = question(&mut reader)? {
        let answer = match path.as_str() {
            "/Plugin.Activate" => r#"{"Implements":["authz"]}"#.to_owned(),
            "/AuthZPlugin.AuthZReq" => allowed(decided(&body, facts)),
            // what it answered is not looked at
            _ => allowed(Ok(())),
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

/// Reads a question: its path and its body; `None` at the end.
fn question(reader: &mut BufReader<UnixStream>) -> io::Result<Option<(String, String)>> {
    let malformed = || io::Error::other("this is no question of an engine's");
    let mut line = String::new();
    if reader.by_ref().take(LONGEST_HEADER).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).ok_or_else(malformed)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader
            .by_ref()
            .take(LONGEST_HEADER)
            .read_line(&mut header)?
            == 0
        {
            return Err(malformed());
        }
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(|_| malformed())?,
            "transfer-encoding" => return Err(malformed()),
            _ => {}
        }
    }
    if length > LONGEST {
        return Err(malformed());
    }
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    Ok(Some((
        path,
        String::from_utf8(body).map_err(|_| malformed())?,
    )))
}

fn decided(body: &str, facts: &InUse) -> Result<(), String> {
    let question = Value::parse(body);
    let field = |name: &str| question.as_ref()?.get(name)?.text();
    let (Some(method), Some(uri)) = (field("RequestMethod"), field("RequestUri")) else {
        return Err("devnet's guard can't read the engine's question".into());
    };
    let headers = question.as_ref().and_then(|all| all.get("RequestHeaders"));
    let headers = headers.map(Value::fields).unwrap_or_default();
    let form = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type")
            && value
                .text()
                .is_none_or(|kind| kind.to_ascii_lowercase().contains("form"))
    });
    decision::decide(&request::effect(method, uri, form), facts)
}

fn allowed(decision: Result<(), String>) -> String {
    match decision {
        Ok(()) => r#"{"Allow":true}"#.to_owned(),
        Err(why) => format!(r#"{{"Allow":false,"Msg":{}}}"#, json::quoted(&why)),
    }
}
