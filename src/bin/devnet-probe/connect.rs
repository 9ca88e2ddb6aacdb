//! The answers that are had from here: TCP ports, UDP ports, and the resolver that
//! `/etc/resolv.conf` names. One line for each question, all at once, and bounded in time: the
//! asker may be gone.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use devnet::probe::reach::{AnswerLine, RESOLVERS, Reached, of_resolver};

/// A SYN that was lost is sent again after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
const AT_ONCE: usize = 64;
const STACK: usize = 64 << 10;
/// No batch takes longer, whatever happens.
const LIMIT: Duration = Duration::from_secs(40);

/// Answers each of `ADDRESS:PORT`, `tcp/ADDRESS:PORT`, `udp/ADDRESS:PORT` with the question and `ok
/// MILLISECONDS`, `refused`, `timeout`, `unreachable`, `no-reply` (UDP), `no-address` (this network
/// has none of that family) or `failed` with the reason; `dns` with such a line for each server of
/// `/etc/resolv.conf`. Order is that of the questions.
pub(crate) fn all(questions: &[&str]) -> Result<(), String> {
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        eprintln!("connect: not done in {} s", LIMIT.as_secs());
        #[expect(clippy::exit, reason = "the other threads wait in the kernel")]
        std::process::exit(1);
    });
    let asked = questions
        .iter()
        .flat_map(|text| match *text {
            RESOLVERS => resolvers(),
            text => vec![question(text)],
        })
        .collect::<Result<Vec<_>, _>>()?;
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<Answer>>> = asked.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some(at) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < asked.len())
        {
            let answer = asked[at].answer();
            if let Ok(mut place) = answers[at].lock() {
                *place = Some(answer);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..asked.len().min(AT_ONCE) {
            // where no thread can be had the others do its work
            let _fewer = std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, work);
        }
        work();
    });
    for (question, answer) in asked.iter().zip(answers) {
        // its thread may have ended in a panic
        let answer = answer.into_inner().ok().flatten();
        println!("{}", answer.unwrap_or_default().line(&question.text));
    }
    Ok(())
}

struct Question {
    /// As it is told back.
    text: String,
    to: Option<SocketAddr>,
    kind: Protocol,
}

enum Protocol {
    /// To a resolver, about a name.
    Dns(String),
    Tcp,
    Udp,
}

fn question(text: &str) -> Result<Question, String> {
    let (kind, address) = match text.split_once('/') {
        None | Some(("tcp", _)) => (Protocol::Tcp, text.trim_start_matches("tcp/")),
        Some(("udp", address)) => (Protocol::Udp, address),
        Some(_) => return Err(format!("`{text}` is no question")),
    };
    let to = address
        .parse::<SocketAddr>()
        .map_err(|_| format!("`{text}` is no ADDRESS:PORT"))?;
    Ok(Question {
        text: text.to_owned(),
        to: Some(to),
        kind,
    })
}

/// A question to each resolver of this pod: about the cluster's own name where it searches a
/// cluster's domain, else about one that no resolver has to ask others for.
fn resolvers() -> Vec<Result<Question, String>> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers = Vec::new();
    let mut name = "localhost".to_owned();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                name = words
                    .find(|domain| domain.starts_with("svc."))
                    .map_or(name, |domain| format!("kubernetes.default.{domain}"));
            }
            _ => {}
        }
    }
    let of = |server: String, to: Option<IpAddr>| Question {
        text: of_resolver(&server),
        to: to.map(|ip| SocketAddr::new(ip, 53)),
        kind: Protocol::Dns(name.clone()),
    };
    if servers.is_empty() {
        return vec![Ok(of("none".into(), None))];
    }
    servers
        .into_iter()
        .map(|server| {
            let address = server.parse().ok();
            Ok(of(server, address))
        })
        .collect()
}

/// The answer to a question.
struct Answer {
    reached: Reached,
    milliseconds: Option<String>,
    more: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            reached: Reached::Failed,
            milliseconds: None,
            more: String::new(),
        }
    }
}

impl Answer {
    fn line(&self, question: &str) -> String {
        let line = AnswerLine {
            question,
            reached: self.reached,
            milliseconds: self.milliseconds.as_deref(),
            more: &self.more,
        };
        line.to_string()
    }
}

impl Question {
    fn answer(&self) -> Answer {
        let begun = Instant::now();
        let Some(to) = self.to else {
            return Answer::default();
        };
        let outcome = match &self.kind {
            Protocol::Tcp => {
                TcpStream::connect_timeout(&to, CONNECT_TIMEOUT).map(|_| String::new())
            }
            Protocol::Udp => {
                // a resolver answers questions only; a line break does the least to all others
                let words = if to.port() == 53 {
                    query("localhost")
                } else {
                    b"\n".to_vec()
                };
                ask(to, &words).map(|_| String::new())
            }
            Protocol::Dns(name) => ask(to, &query(name)).map(|reply| {
                let answers = reply.get(2).is_some_and(|byte| byte & 128 != 0);
                let code = reply
                    .get(3)
                    .filter(|_| answers)
                    .map_or(255, |byte| byte & 15);
                format!("{name} {}", rcode(code))
            }),
        };
        let error = match outcome {
            Ok(more) => {
                return Answer {
                    reached: Reached::Ok,
                    milliseconds: Some(crate::http::milliseconds(begun.elapsed())),
                    more,
                };
            }
            Err(error) => error,
        };
        let reached = match (error.kind(), &self.kind) {
            (ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset, _) => Reached::Refused,
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, Protocol::Tcp) => Reached::Timeout,
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => Reached::NoReply,
            // a rule for what leaves this network answers so
            (
                ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::PermissionDenied,
                _,
            ) => Reached::Unreachable,
            (ErrorKind::AddrNotAvailable, _) => Reached::NoAddress,
            _ => Reached::Failed,
        };
        let mut more = match reached {
            Reached::Failed => error.to_string(),
            _ => String::new(),
        };
        if let Protocol::Dns(name) = &self.kind {
            if !more.is_empty() {
                more.push(' ');
            }
            more.push_str(name);
        }
        Answer {
            reached,
            milliseconds: None,
            more,
        }
    }
}

/// Sends a datagram, twice if need be, and waits for a reply.
fn ask(to: SocketAddr, words: &[u8]) -> io::Result<Vec<u8>> {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from)?;
    // connected: what the network says in reply (ICMP) comes back as an error
    socket.connect(to)?;
    let mut reply = vec![0; 2048];
    for patience in [CONNECT_TIMEOUT / 3, CONNECT_TIMEOUT * 2 / 3] {
        socket.send(words)?;
        socket.set_read_timeout(Some(patience))?;
        match socket.recv(&mut reply) {
            Ok(length) => {
                reply.truncate(length);
                return Ok(reply);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// A question for the IPv4 address of a name (RFC 1035).
fn query(name: &str) -> Vec<u8> {
    let id = u16::try_from(std::process::id() & 0xffff)
        .unwrap_or(1)
        .to_be_bytes();
    let mut packet = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend_from_slice(label);
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

fn rcode(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        _ => "OTHER",
    }
}
