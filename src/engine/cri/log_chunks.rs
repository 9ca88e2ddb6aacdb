//! The messages of a log, made of the chunks in which the probe sends its files.

use std::collections::VecDeque;
use std::io::Write as _;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;

use crate::error::{Error, Result};
use crate::pod::log::{LogMessage, cri};

/// The longest line that is kept whole, in bytes; a runtime writes parts of 16 KiB.
const LONGEST_LINE: usize = 1 << 20;
/// The longest head of a chunk, in bytes.
const LONGEST_HEAD: usize = 64;

/// Messages made of the chunks that the probe sends.
pub(super) struct Lines {
    /// The head of a chunk that is coming.
    head: Vec<u8>,
    /// The chunks that have come since the probe was told so.
    chunks: usize,
    /// The rest of a chunk that is coming, and whether it is packed.
    coming: Option<(usize, bool)>,
    unpacker: Option<GzDecoder<Vec<u8>>>,
    /// The line that is coming.
    line: BytesMut,
    /// The time and stream of a line that is so long that it comes in pieces.
    goes_on: Option<LogMessage>,
    /// The last lines so far, where only so many are wanted.
    last: Option<Last>,
}

/// The last lines of a log.
struct Last {
    most: usize,
    /// The number of messages that end a line.
    lines: usize,
    messages: VecDeque<LogMessage>,
}

impl Last {
    fn push(&mut self, message: LogMessage) {
        self.lines += usize::from(!message.partial);
        self.messages.push_back(message);
        while self.lines > self.most {
            // a line goes with all its parts
            while self.messages.pop_front().is_some_and(|gone| gone.partial) {}
            self.lines -= 1;
        }
    }
}

impl Lines {
    pub(super) fn new(tail: Option<u64>) -> Self {
        let most = tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
        Self {
            head: Vec::new(),
            chunks: 0,
            coming: None,
            unpacker: None,
            line: BytesMut::new(),
            goes_on: None,
            last: most.map(|most| Last {
                most,
                lines: 0,
                messages: VecDeque::new(),
            }),
        }
    }

    /// The chunks that have come whole since this was last asked.
    pub(super) fn chunks(&mut self) -> usize {
        std::mem::take(&mut self.chunks)
    }

    /// Takes a piece of what the probe sends, and gives the messages that are whole.
    pub(super) fn take(&mut self, mut piece: Bytes) -> Result<Vec<LogMessage>> {
        let mut messages = Vec::new();
        loop {
            if let Some((rest, packed)) = self.coming {
                let length = rest.min(piece.len());
                let bytes = piece.split_to(length);
                if packed {
                    self.unpack(&bytes, &mut messages)?;
                } else {
                    self.split(bytes, &mut messages);
                }
                if length < rest {
                    self.coming = Some((rest - length, packed));
                    return Ok(messages);
                }
                self.coming = None;
                self.chunks += 1;
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let part = piece.split_to(end.unwrap_or(piece.len()));
            self.head.extend_from_slice(&part);
            if self.head.len() > LONGEST_HEAD {
                return Err(nonsense());
            }
            if end.is_none() {
                return Ok(messages);
            }
            piece.advance(1);
            self.begin(&mut messages)?;
        }
    }

    /// Begins what its head announces.
    fn begin(&mut self, messages: &mut Vec<LogMessage>) -> Result<()> {
        let head = std::mem::take(&mut self.head);
        let head = str::from_utf8(&head).map_err(|_| nonsense())?;
        let length = |text: &str| text.parse().map_err(|_| nonsense());
        match head.split_once(' ') {
            Some(("plain", text)) => self.coming = Some((length(text)?, false)),
            Some(("gz", text)) => self.coming = Some((length(text)?, true)),
            None if head == "end" => self.unpacker = None,
            None if head == "live" => messages.extend(self.live()),
            _ => return Err(nonsense()),
        }
        Ok(())
    }

    /// The end of what was there before: the last lines of it are known.
    fn live(&mut self) -> VecDeque<LogMessage> {
        self.last
            .take()
            .map(|last| last.messages)
            .unwrap_or_default()
    }

    fn unpack(&mut self, bytes: &[u8], messages: &mut Vec<LogMessage>) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::failed("a rotated log on the node can't be unpacked").caused_by(error)
        };
        let mut unpacker = match self.unpacker.take() {
            Some(unpacker) => unpacker,
            None => GzDecoder::new(Vec::new()),
        };
        // piece by piece, so that what it becomes is bounded too
        for piece in bytes.chunks(4 << 10) {
            unpacker.write_all(piece).map_err(failed)?;
            let text = std::mem::take(unpacker.get_mut());
            self.split(text.into(), messages);
        }
        unpacker.flush().map_err(failed)?;
        let text = std::mem::take(unpacker.get_mut());
        self.split(text.into(), messages);
        self.unpacker = Some(unpacker);
        Ok(())
    }

    /// Splits a log's text into lines, which are parts of it where they stand in one piece.
    fn split(&mut self, mut text: Bytes, messages: &mut Vec<LogMessage>) {
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let mut line = text.split_to(end);
            text.advance(1);
            if !self.line.is_empty() {
                self.line.extend_from_slice(&line);
                line = self.line.split().freeze();
            }
            self.close(line, true, messages);
        }
        self.line.extend_from_slice(&text);
        if self.line.len() > LONGEST_LINE {
            let line = self.line.split().freeze();
            self.close(line, false, messages);
        }
    }

    /// Makes a message of a line; `whole` where it ends here.
    fn close(&mut self, line: Bytes, whole: bool, messages: &mut Vec<LogMessage>) {
        let message = match self.goes_on.take() {
            Some(begun) => Some(LogMessage {
                text: line,
                ..begun
            }),
            None => cri::parse(&line),
        };
        // what is no such line was written by nobody's container
        let Some(mut message) = message else { return };
        if !whole {
            self.goes_on = Some(message.clone());
            message.partial = true;
        }
        match &mut self.last {
            None => messages.push(message),
            Some(last) => last.push(message),
        }
    }

    /// The messages that are left at the end.
    pub(super) fn finish(&mut self) -> Vec<LogMessage> {
        self.live().into()
    }
}

fn nonsense() -> Error {
    Error::failed("the probe's answer is no log")
}
