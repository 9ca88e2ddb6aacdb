//! Things that a node with containerd or cri-o may say or hold and no honest one does: names that paint a terminal, answers
//! that are no answers.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::cri_nodes::shared_nodes;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox};

/// More memory than devnet may have at once, in KiB. A debug build's code alone takes 40 MiB.
pub(crate) const MEMORY: u64 = 128 << 10;

/// Runs devnet, and gives how it ended and the most memory that it had (KiB).
fn measured(sandbox: &Sandbox, words: &[&str]) -> (Output, u64) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/peak.py");
    let peak = sandbox.home().join("peak");
    let mut command = sandbox.command("timeout");
    command.args(["300", "python3", script]).arg(&peak);
    command.arg(env!("CARGO_BIN_EXE_devnet")).args(words);
    let output = Output::of(&mut command);
    let peak = std::fs::read_to_string(peak).expect("it ended by itself");
    (output, peak.parse().unwrap())
}

#[test]
fn names_that_would_paint_a_terminal_are_shown_and_do_not() {
    for node in shared_nodes() {
        let name = "a\u{1b}[31m\u{202e}\n..b";
        let mut wanted = Wanted::pod("painted").with(Container::script(name, "exec sleep 3600"));
        wanted
            .labels
            .insert("app".into(), "\u{1b}]0;title\u{7}".into());
        let _pod = Pod::made_once(node, wanted);
        let sandbox = node.sandbox();
        for words in [
            &["pods", "painted"][..],
            &["inspect", "painted"],
            &["ports", "painted"],
            &["history", "painted"],
            &["graph", "painted", "-o", "dot"],
            &["graph", "painted", "-o", "html"],
            &["logs", "painted"],
            &["exec", "painted", "--", "no-such-program"],
            &["exec", "painted", "-c", "absent", "--", "true"],
        ] {
            let of_node = ["-p", &node.name, "--color", "never"];
            let output = sandbox.devnet(&[&of_node, words].concat());
            let all = format!("{}{}", output.stdout, output.stderr);
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!all.contains(bad), "{words:?}: {all:?}");
            assert!(!all.contains("panicked"), "{words:?}: {all}");
        }
        let words = ["-p", &node.name, "pods", "painted", "-o", "json"];
        let found: serde_json::Value = serde_json::from_str(&sandbox.devnet(&words).ok()).unwrap();
        assert_eq!(found["pods"][0]["containers"][0]["name"], name);
    }
}

/// A server at a socket with a runtime's name that answers every call in one way.
struct Server {
    sandbox: Sandbox,
    name: &'static str,
    asked: Arc<AtomicUsize>,
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut all = length[1..].to_vec();
    all.extend([kind, flags]);
    all.extend(stream.to_be_bytes());
    all.extend(payload);
    all
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The head of a gRPC answer: status 200, and its type.
fn head(stream: u32) -> Vec<u8> {
    let mut block = vec![0x88, 0x00, 12];
    block.extend(b"content-type");
    block.push(16);
    block.extend(b"application/grpc");
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The beginning of a gRPC message of this length.
fn message(stream: u32, length: u32, first: &[u8]) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend(length.to_be_bytes());
    payload.extend(first);
    frame(DATA, 0, stream, &payload)
}

impl Server {
    /// `answer` gives the bytes that come for a call of that stream, until it gives none.
    fn new(name: &'static str, answer: fn(u32, usize) -> Option<Vec<u8>>) -> Self {
        let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "2");
        let listener = UnixListener::bind(sandbox.home().join(name)).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    // a client that hangs up is what is hoped for
                    let _over = serve(stream?, answer, &count);
                    Ok::<_, std::io::Error>(())
                });
            }
        });
        Self {
            sandbox,
            name,
            asked,
        }
    }

    fn url(&self) -> String {
        format!("unix://{}", self.sandbox.home().join(self.name).display())
    }
}

/// Reads a client's frames, and answers where it asks.
fn serve(
    mut stream: UnixStream,
    answer: fn(u32, usize) -> Option<Vec<u8>>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut start = [0; 9];
        stream.read_exact(&mut start)?;
        let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        match (start[3], start[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            (HEADERS, _) => {
                asked.fetch_add(1, Ordering::SeqCst);
                let id = u32::from_be_bytes([start[5], start[6], start[7], start[8]]);
                let mut turn = 0;
                while let Some(bytes) = answer(id, turn) {
                    stream.write_all(&bytes)?;
                    turn += 1;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_runtime_that_answers_nonsense_is_an_error_in_bounded_memory_and_time() {
    type Answer = fn(u32, usize) -> Option<Vec<u8>>;
    let harms: [(&str, Answer); 8] = [
        ("no gRPC at all", |stream, turn| {
            (turn == 0).then(|| frame(HEADERS, END_HEADERS | 1, stream, &[0x88]))
        }),
        ("a message of four gigabytes", |stream, turn| match turn {
            0 => Some(head(stream)),
            1 => Some(message(stream, u32::MAX, b"x")),
            _ => None,
        }),
        (
            "a message that never comes whole",
            |stream, turn| match turn {
                0 => Some(head(stream)),
                1 => Some(message(stream, 31 << 20, b"x")),
                _ => None,
            },
        ),
        ("bytes that are no message", |stream, turn| match turn {
            0 => Some(head(stream)),
            1 => Some(message(stream, 4, &[0xff; 4])),
            _ => None,
        }),
        ("more than there is room for", |stream, turn| match turn {
            0 => Some(head(stream)),
            1..4000 => Some(frame(DATA, 0, stream, &[b'x'; 16 << 10])),
            _ => None,
        }),
        ("a frame that is too large", |stream, turn| match turn {
            0 => Some(head(stream)),
            1..64 => Some(frame(DATA, 0, stream, &vec![b'x'; (1 << 24) - 1])),
            _ => None,
        }),
        ("a head without an end", |stream, turn| match turn {
            0 => Some(frame(HEADERS, 0, stream, &[0x88])),
            1..40_000 => Some(frame(CONTINUATION, 0, stream, b"\x00\x01a\x01b")),
            _ => None,
        }),
        ("nothing", |_, _| None),
    ];
    let all = harms.into_iter();
    let all = all.flat_map(|harm| ["containerd.sock", "crio.sock"].map(|socket| (socket, harm)));
    for (socket, (name, answer)) in all {
        let server = Server::new(socket, answer);
        let url = server.url();
        let name = format!("{socket}: {name}");
        for words in [&["pods"][..], &["exec", "web", "--", "true"]] {
            let (output, peak) = measured(&server.sandbox, &[&["-H", &url], words].concat());
            let code = if words[0] == "exec" { 125 } else { 3 };
            assert!(
                output.code == code || output.code == 1,
                "{name}: {words:?}: {output}"
            );
            assert!(output.stderr.contains("error: "), "{name}: {output}");
            assert!(!output.stderr.contains("panicked"), "{name}: {output}");
            assert!(peak < MEMORY, "{name}: {peak} KiB");
        }
        assert!(server.asked.load(Ordering::SeqCst) > 0, "{name}");
    }
}
