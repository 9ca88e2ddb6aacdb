//! The demo app's two halves: an HTTP server that says which pod it is, and a client that asks it
//! again and again. Just enough HTTP/1.1 for each other, curl, browsers and probes.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// Longest that either side waits for the other.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// The most of a message that is read.
const LIMIT: u64 = 64 * 1024;

/// Serves on every address of the pod until told to end.
pub(crate) fn serve(port: u16) -> Result<(), String> {
    crate::signals::end_when_told();
    // "[::]" would need IPv6, which a pod may not have
    let listener = TcpListener::bind(("0.0.0.0", port))
        .map_err(|error| format!("bind 0.0.0.0:{port}: {error}"))?;
    crate::namespaces::announce();
    println!("serve: listening on 0.0.0.0:{port} in {}", hostname());
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // a client that went away is not the server's failure
            let _gone = answer(stream);
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(LIMIT));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim_end().is_empty() {
            break;
        }
    }
    let from = stream.peer_addr()?;
    let body = introduction(from, stream.local_addr()?);
    println!("{} from {from}", request.trim_end());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        body.len(),
        if request.starts_with("HEAD ") {
            ""
        } else {
            &body
        },
    )
}

/// One line: who answers, and who asked.
fn introduction(from: SocketAddr, to: SocketAddr) -> String {
    let mut line = String::from("hello from");
    let pod = variable("POD_NAME").unwrap_or_else(hostname);
    let _ = write!(line, " pod {pod}");
    if let Some(container) = variable("CONTAINER_NAME") {
        let _ = write!(line, " container {container}");
    }
    if let Some(ip) = variable("POD_IP") {
        let _ = write!(line, " ip {ip}");
    }
    let _ = writeln!(line, " at {to}, you are {from}");
    line
}

fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program runs in a pod; the environment is how a pod tells it who it is"
    )]
    std::env::var_os(name)
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".into(), |name| name.trim_end().to_owned())
}

/// As `0.213`. By whole numbers: to print others takes a table that weighs more than this program.
pub(crate) fn milliseconds(took: Duration) -> String {
    format!("{}.{:03}", took.as_millis(), took.subsec_micros() % 1000)
}

/// Reads seconds, as `2` or `0.5`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let nanos: u32 = format!("{part:0<9}").parse().ok().filter(|_| digits)?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

/// Asks a URL every so many seconds and prints a line for each answer, until told to end.
pub(crate) fn client(url: &str, pause: Duration) -> Result<(), String> {
    let server = HttpUrl::of(url)?;
    crate::signals::end_when_told();
    crate::namespaces::announce();
    loop {
        let begun = Instant::now();
        match server.ask() {
            Ok(body) => println!(
                "{url} answered in {} ms: {}",
                milliseconds(begun.elapsed()),
                body.trim_end()
            ),
            Err(error) => println!("{url} did not answer: {error}"),
        }
        std::thread::sleep(pause);
    }
}

/// Asks each URL once, all at the same time; a line for each, in their order:
/// `URL ok MILLISECONDS BODY` or `URL failed REASON`.
pub(crate) fn ask_all(urls: &[&str]) -> Result<(), String> {
    let tries = urls
        .iter()
        .map(|url| {
            let server = HttpUrl::of(url)?;
            let ask = move || {
                let begun = Instant::now();
                (server.ask(), begun.elapsed())
            };
            Ok(((*url).to_owned(), std::thread::spawn(ask)))
        })
        .collect::<Result<Vec<_>, String>>()?;
    for (url, asking) in tries {
        match asking.join() {
            Ok((Ok(body), took)) => println!("{url} ok {} {}", milliseconds(took), body.trim_end()),
            Ok((Err(error), _)) => println!("{url} failed {error}"),
            Err(_) => println!("{url} failed the try did not end"),
        }
    }
    Ok(())
}

/// The parts of a URL.
struct HttpUrl {
    address: String,
    authority: String,
    path: String,
}

impl HttpUrl {
    fn of(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("`{url}` does not begin with http://"))?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| {
            rest.split_at_checked(slash).unwrap_or((rest, "/"))
        });
        let address = if authority.rsplit_once(':').is_some() {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        Ok(Self {
            address,
            authority: authority.into(),
            path: path.into(),
        })
    }

    fn ask(&self) -> io::Result<String> {
        let address = resolve(&self.address)?;
        let mut stream = TcpStream::connect_timeout(&address, IO_TIMEOUT)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        write!(
            stream,
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.path, self.authority
        )?;
        let mut answer = Vec::new();
        stream.take(LIMIT).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer
            .split_once("\r\n\r\n")
            .map_or_else(|| answer.to_string(), |(_, body)| body.to_owned()))
    }
}

/// `localhost` is 127.0.0.1 here: an image from scratch has no /etc/hosts of its own, and the
/// server listens on IPv4.
fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .replacen("localhost:", "127.0.0.1:", 1)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))
}
