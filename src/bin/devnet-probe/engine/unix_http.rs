//! The Docker engine's API on its socket, as much of it as this program asks.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// No answer that is asked for is longer, in bytes.
const LONGEST: u64 = 16 << 20;

/// Asks for a path; gives the status and the body.
pub(crate) fn get(socket: &str, path: &str, patience: Duration) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let malformed = || io::Error::other("the engine's answer is no HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    // an answer to HTTP/1.0 has no pieces
    Ok((status.ok_or_else(malformed)?, body.to_owned()))
}
