//! The frames in which an engine sends what programs print: a stream's number, a length, bytes. They
//! are passed on as they come; what a length claims is never set aside.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::engine::exec::Output;

/// The form of the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// In frames.
    Frames,
    /// As a terminal had them.
    Raw,
    /// By their first bytes: older engines do not tell.
    Unknown,
}

/// The longest piece of a log's message; longer messages leave in pieces. Engines cut at 16 KiB.
const LONGEST: usize = 64 << 10;
const HEADER: usize = 8;
/// The number of the stream in which the engine says why there is no more output.
const COMPLAINT: u8 = 3;

/// A piece that comes out of frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    Output(Output),
    /// The engine's own words.
    Complaint(String),
}

/// Takes bytes as they come and gives the output that their frames hold. Pure.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    /// True where each message has a time in front and is given whole, as a log's.
    stamped: bool,
    /// A frame's header that has begun.
    header: BytesMut,
    /// The stream of the frame that is being read, and the bytes that it still has.
    left: (u8, usize),
    /// A message that has begun.
    message: BytesMut,
    /// The time of the message that left in pieces, with its blank.
    stamp: Bytes,
}

impl Frames {
    pub(super) fn new(framing: Framing, stamped: bool) -> Self {
        Self {
            framing,
            stamped,
            header: BytesMut::new(),
            left: (0, 0),
            message: BytesMut::new(),
            stamp: Bytes::new(),
        }
    }

    /// Takes the next bytes from the front of `bytes`; `None` when they hold nothing that is complete.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Option<Framed> {
        while !bytes.is_empty() {
            if self.framing == Framing::Raw {
                if let Some(framed) = self.raw(bytes) {
                    return Some(framed);
                }
                continue;
            }
            if self.left.1 > 0 {
                if let Some(framed) = self.payload(bytes) {
                    return Some(framed);
                }
                continue;
            }
            let wanted = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes.split_to(wanted));
            if !may_be_header(&self.header) {
                // what follows no rule is passed on as it is
                self.framing = Framing::Raw;
                let mut all = std::mem::take(&mut self.header);
                all.extend_from_slice(bytes);
                *bytes = all.freeze();
                continue;
            }
            if self.header.len() == HEADER {
                let mut header = self.header.split();
                let stream = header.get_u8();
                header.advance(3);
                self.framing = Framing::Frames;
                self.left = (stream, header.get_u32() as usize);
            }
        }
        None
    }

    /// The rest when the stream has ended.
    pub(super) fn finish(&mut self) -> Option<Framed> {
        let mut rest = std::mem::take(&mut self.header);
        rest.extend_from_slice(&self.message.split());
        (!rest.is_empty()).then(|| self.framed(rest.freeze()))
    }

    fn payload(&mut self, bytes: &mut Bytes) -> Option<Framed> {
        let (stream, left) = self.left;
        let whole = self.stamped || stream == COMPLAINT;
        let room = if whole {
            LONGEST - self.message.len()
        } else {
            left
        };
        let taken = bytes.split_to(bytes.len().min(left).min(room));
        self.left.1 -= taken.len();
        let ended = self.left.1 == 0;
        if !whole {
            return Some(self.framed(taken));
        }
        // most come in one piece
        if ended && self.message.is_empty() {
            return Some(self.framed(taken));
        }
        self.message.extend_from_slice(&taken);
        if !ended && self.message.len() < LONGEST {
            return None;
        }
        Some(self.leave(ended))
    }

    fn raw(&mut self, bytes: &mut Bytes) -> Option<Framed> {
        self.left.0 = 1;
        if !self.stamped {
            return Some(self.framed(bytes.split_to(bytes.len())));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let room = LONGEST - self.message.len();
        let ended = end.is_some_and(|end| end < room);
        let taken = end.map_or(bytes.len(), |end| end + 1).min(room);
        self.message.extend_from_slice(&bytes.split_to(taken));
        if !ended && self.message.len() < LONGEST {
            return None;
        }
        Some(self.leave(ended))
    }

    /// Gives the message, or its first piece; the next one gets the same time in front.
    fn leave(&mut self, ended: bool) -> Framed {
        let message = self.message.split().freeze();
        if ended {
            self.stamp = Bytes::new();
        } else {
            if self.stamp.is_empty() {
                let blank = message.iter().take(40).position(|byte| *byte == b' ');
                self.stamp = blank.map_or(Bytes::new(), |blank| message.slice(..=blank));
            }
            self.message.extend_from_slice(&self.stamp);
        }
        self.framed(message)
    }

    fn framed(&self, bytes: Bytes) -> Framed {
        match self.left.0 {
            2 => Framed::Output(Output::Stderr(bytes)),
            COMPLAINT => Framed::Complaint(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Framed::Output(Output::Stdout(bytes)),
        }
    }
}

fn may_be_header(begun: &[u8]) -> bool {
    begun.first().is_none_or(|stream| *stream <= COMPLAINT)
        && begun.iter().skip(1).take(3).all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text);
        frame
    }

    /// All that comes out of bytes that come in pieces of that size.
    fn read(mut frames: Frames, bytes: &[u8], size: usize) -> Vec<Framed> {
        let mut all = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            let mut piece = Bytes::copy_from_slice(piece);
            all.extend(std::iter::from_fn(|| frames.next(&mut piece)));
        }
        all.extend(frames.finish());
        all
    }

    fn stdout(bytes: impl AsRef<[u8]>) -> Framed {
        Framed::Output(Output::Stdout(Bytes::copy_from_slice(bytes.as_ref())))
    }

    #[test]
    fn messages_of_a_log_come_whole_however_they_arrive() {
        let bytes = [
            frame(1, b"2026-11-24T09:00:00.000000001Z a\n"),
            frame(2, b"2026-11-24T09:00:00.000000002Z b\n"),
            frame(3, b"no more"),
        ]
        .concat();
        for size in [1, 7, 8, 9, 1000] {
            let all = read(Frames::new(Framing::Unknown, true), &bytes, size);
            assert_eq!(all.len(), 3, "{size}");
            assert_eq!(all[0], stdout("2026-11-24T09:00:00.000000001Z a\n"));
            assert_eq!(all[2], Framed::Complaint("no more".into()));
        }
    }

    #[test]
    fn a_length_that_is_claimed_is_never_set_aside() {
        let mut frames = Frames::new(Framing::Frames, false);
        let mut bytes = Bytes::from_static(&[1, 0, 0, 0, 255, 255, 255, 255, b'h', b'i']);
        assert_eq!(frames.next(&mut bytes), Some(stdout("hi")));

        // a log's message leaves in pieces that have its time in front
        let mut frames = Frames::new(Framing::Frames, true);
        let stamp = "2026-11-24T09:00:00.000000001Z ";
        let mut bytes = Bytes::from([b"\x01\0\0\0\xff\xff\xff\xff", stamp.as_bytes()].concat());
        assert_eq!(frames.next(&mut bytes), None);
        for piece in 0..1000 {
            let mut bytes = Bytes::from(vec![b'x'; 1000]);
            if let Some(Framed::Output(Output::Stdout(message))) = frames.next(&mut bytes) {
                assert_eq!(message.len(), LONGEST, "{piece}");
                assert!(message.starts_with(stamp.as_bytes()));
                assert_eq!(frames.next(&mut bytes), None);
            }
            assert!(frames.message.capacity() <= 2 * LONGEST);
        }
    }

    #[test]
    fn a_terminal_s_bytes_are_no_frames_and_its_log_comes_in_lines() {
        let all = read(
            Frames::new(Framing::Raw, false),
            b"\x01\0\0\0\0\0\0\x05x",
            100,
        );
        assert_eq!(all, [stdout(b"\x01\0\0\0\0\0\0\x05x")]);
        let all = read(Frames::new(Framing::Unknown, true), b"2026 a\r\n2026 b", 3);
        assert_eq!(all, [stdout("2026 a\r\n"), stdout("2026 b")]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(
            bytes in proptest::collection::vec(0_u8..8, 0..300),
            size in 1_usize..50,
            stamped: bool,
        ) {
            for framing in [Framing::Frames, Framing::Raw, Framing::Unknown] {
                read(Frames::new(framing, stamped), &bytes, size);
            }
        }
    }
}
