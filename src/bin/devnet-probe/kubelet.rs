//! One question to the node's kubelet at its Pods socket, as the first process of the node sees the
//! file: just enough HTTP/2 and gRPC for one call whose answer is handed on undecoded.

use std::io::{Error, ErrorKind, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use devnet::probe::pods_api::{LIST_PODS, SOCKETS};

/// The longest time that a look waits for a kubelet.
const PATIENCE: Duration = Duration::from_millis(100);
/// The longest answer that is handed on, in bytes: what devnet reads of a probe holds it.
const LONGEST: usize = 5 << 20;
/// More than the longest answer: it comes without being asked to go on.
const WINDOW: u32 = 16 << 20;
/// The largest frame that a server may send to who allows no larger one.
const LARGEST_FRAME: usize = 16 << 10;

/// Prints the answer in base64, in one line; an empty one where there is no such kubelet, or where it
/// does not answer in time.
pub(crate) fn list_pods() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    // one that has not answered the last question is asked no other
    if ASKED.swap(true, Ordering::SeqCst) {
        return println!();
    }
    // a kubelet that takes no connection any more blocks who wants one
    std::thread::spawn(move || {
        let at_first = |socket: &str| format!("/proc/1/root{socket}");
        let mut streams = SOCKETS
            .iter()
            .filter_map(|socket| UnixStream::connect(at_first(socket)).ok());
        let answer = streams
            .next()
            .and_then(|stream| call(stream, LIST_PODS).ok());
        ASKED.store(false, Ordering::SeqCst);
        // who asked may have given up
        let _given_up = tell.send(answer);
    });
    let answer = told.recv_timeout(PATIENCE).ok().flatten();
    println!("{}", base64(&answer.unwrap_or_default()));
}

/// Calls a method whose request is empty, and gives the message of its answer.
fn call(mut stream: UnixStream, path: &str) -> Result<Vec<u8>, Error> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&request(path)?)?;
    let mut data = Vec::new();
    loop {
        let frame = Frame::read(&mut stream)?;
        match frame.kind {
            Frame::DATA if frame.stream == 1 => data.extend_from_slice(frame.content()?),
            Frame::SETTINGS if !frame.is(Frame::ACK) => {
                stream.write_all(&framed(Frame::SETTINGS, Frame::ACK, 0, &[]))?;
            }
            Frame::PING if !frame.is(Frame::ACK) => {
                stream.write_all(&framed(Frame::PING, Frame::ACK, 0, &frame.payload))?;
            }
            Frame::RESET | Frame::GO_AWAY => return Err(nonsense("the kubelet refuses")),
            _ => {}
        }
        if data.len() > LONGEST {
            return Err(nonsense("the answer has no end"));
        }
        let may_end = matches!(frame.kind, Frame::DATA | Frame::HEADERS);
        if may_end && frame.stream == 1 && frame.is(Frame::END_STREAM) {
            return message(&data);
        }
    }
}

/// The one message of a gRPC answer, which is not compressed.
fn message(data: &[u8]) -> Result<Vec<u8>, Error> {
    let [0, a, b, c, d, message @ ..] = data else {
        return Err(nonsense("the kubelet refuses"));
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    if usize::try_from(length).is_ok_and(|length| length == message.len()) {
        Ok(message.to_vec())
    } else {
        Err(nonsense("the answer is cut off"))
    }
}

/// All that is sent for a call with an empty request.
fn request(path: &str) -> Result<Vec<u8>, Error> {
    const INITIAL_WINDOW: [u8; 2] = [0, 4];
    const NO_PUSH: [u8; 6] = [0, 2, 0, 0, 0, 0];
    let mut settings = NO_PUSH.to_vec();
    settings.extend(INITIAL_WINDOW);
    settings.extend(WINDOW.to_be_bytes());
    // POST and http stand in HPACK's table, as do the names of the path, the authority and the type
    let mut headers = vec![0x83, 0x86];
    let text = |headers: &mut Vec<u8>, text: &str| {
        // one byte has room for this much
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        headers.push(length.ok_or_else(|| nonsense("a header is too long"))?);
        headers.extend(text.bytes());
        Ok::<_, Error>(())
    };
    headers.push(0x04);
    text(&mut headers, path)?;
    headers.push(0x01);
    text(&mut headers, "localhost")?;
    headers.extend([0x0f, 0x10]);
    text(&mut headers, "application/grpc")?;
    headers.push(0x00);
    text(&mut headers, "te")?;
    text(&mut headers, "trailers")?;
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(framed(Frame::SETTINGS, 0, 0, &settings));
    all.extend(framed(Frame::WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()));
    all.extend(framed(Frame::HEADERS, Frame::END_HEADERS, 1, &headers));
    all.extend(framed(Frame::DATA, Frame::END_STREAM, 1, &[0; 5]));
    Ok(all)
}

/// A frame of HTTP/2.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const END_STREAM: u8 = 1;
    const ACK: u8 = 1;
    const END_HEADERS: u8 = 4;
    const PADDED: u8 = 8;

    fn read(stream: &mut impl Read) -> Result<Self, Error> {
        let (mut length, mut rest) = ([0; 4], [0; 6]);
        // three bytes of a number
        stream.read_exact(&mut length[1..])?;
        stream.read_exact(&mut rest)?;
        let [kind, flags, number @ ..] = rest;
        let length = u32::from_be_bytes(length);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LARGEST_FRAME {
            return Err(nonsense("no frame of HTTP/2"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Self {
            kind,
            flags,
            stream: u32::from_be_bytes(number) & 0x7fff_ffff,
            payload,
        })
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The data without what fills it up.
    fn content(&self) -> Result<&[u8], Error> {
        if !self.is(Self::PADDED) {
            return Ok(&self.payload);
        }
        let (padding, rest) = self
            .payload
            .split_first()
            .ok_or_else(|| nonsense("no padding"))?;
        let length = rest.len().checked_sub(usize::from(*padding));
        let content = length.and_then(|length| rest.get(..length));
        content.ok_or_else(|| nonsense("no padding"))
    }
}

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4_usize {
            let letter = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or(0);
            text.push(if at > three.len() {
                '='
            } else {
                char::from(LETTERS[letter])
            });
        }
    }
    text
}
