//! The log of a container, from the files on its node: the probe sends them, those that were rotated
//! away too.

use std::collections::VecDeque;
use std::io::Write as _;
use std::pin::Pin;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Containerd;
use super::messages::ProcessRequest;
use crate::engine::exec::Output;
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::log_range::LogRange;
use crate::engine::node_agent::Session;
use crate::error::{Error, Kind, Result};
use crate::pod::log::{LogMessage, cri};

/// The messages that may wait to be read.
const WAITING: usize = 1024;
/// The longest line that is kept whole, in bytes; a runtime writes parts of 16 KiB.
const LONGEST_LINE: usize = 1 << 20;
/// The longest head of a chunk, in bytes.
const LONGEST_HEAD: usize = 64;

impl Containerd {
    /// A container's log, message by message.
    pub(in crate::engine) fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Pin<Box<dyn Stream<Item = Result<LogMessage>> + Send>> {
        let (tell, told) = mpsc::channel(WAITING);
        let (containerd, container, range) = (self.clone(), container.to_owned(), range.clone());
        tokio::spawn(async move {
            let reading = containerd.send_log(&container, &range, &tell);
            tokio::select! {
                outcome = reading => {
                    if let Err(error) = outcome {
                        let _nobody_reads = tell.send(Err(error)).await;
                    }
                }
                () = tell.closed() => {}
            }
        });
        Box::pin(ReceiverStream::new(told))
    }

    /// The last lines that a container wrote.
    pub(in crate::engine) async fn printed(&self, container: &str, lines: usize) -> Result<String> {
        let range = LogRange {
            tail: u64::try_from(lines).ok(),
            ..LogRange::default()
        };
        let mut text = String::new();
        let mut messages = self.logs(container, &range);
        while let Some(message) = messages.next().await {
            let message = message?;
            text.push_str(&String::from_utf8_lossy(&message.text));
            if !message.partial {
                text.push('\n');
            }
        }
        Ok(text)
    }

    async fn send_log(
        &self,
        container: &str,
        range: &LogRange,
        tell: &mpsc::Sender<Result<LogMessage>>,
    ) -> Result<()> {
        let status = self.cri.status(container).await?.ok_or_else(|| {
            Error::not_found(format!("there is no container {container} on the node"))
        })?;
        let mut words = vec!["log".to_owned(), status.log_path];
        if range.follow {
            words.push("follow".to_owned());
        }
        words.extend(
            range
                .since
                .map(|since| format!("since={}", since.div_euclid(1_000_000_000).max(0))),
        );
        words.extend(range.tail.map(|tail| format!("tail={tail}")));
        let session = Session::new(self.clone());
        let job = Job {
            input: true,
            ..Job::probe(words, JobNamespaces::NodeProcesses, Power::Look)
        };
        let mut process = session.spawn(job).await?;
        let mut lines = Lines::new(range.tail);
        let mut complaint = Vec::new();
        let mut ended = std::pin::pin!(self.until_ended(container));
        let mut running = range.follow;
        loop {
            let piece = tokio::select! {
                piece = process.output.next() => piece,
                () = &mut ended, if running => {
                    running = false;
                    // what it wrote last is in the file by now
                    let _gone = process.input.write_all(b"end\n").await;
                    let _gone = process.input.flush().await;
                    continue;
                }
            };
            let messages = match piece {
                None => break,
                Some(Ok(Output::Stderr(bytes))) => {
                    complaint.extend_from_slice(&bytes);
                    complaint.truncate(LONGEST_LINE);
                    continue;
                }
                Some(Ok(Output::Stdout(bytes))) => lines.take(&bytes)?,
                Some(Err(error)) => return Err(error.with_kind(Kind::Lost)),
            };
            for message in messages {
                if tell.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
            }
            // what waits here would keep the other logs of its connection waiting
            let more = "more\n".repeat(std::mem::take(&mut lines.chunks));
            let _gone = process.input.write_all(more.as_bytes()).await;
            let _gone = process.input.flush().await;
        }
        for message in lines.finish() {
            if tell.send(Ok(message)).await.is_err() {
                return Ok(());
            }
        }
        session.finish().await;
        let why = String::from_utf8_lossy(&complaint).trim().to_owned();
        if why.is_empty() {
            return Ok(());
        }
        let short = container.get(..12).unwrap_or(container);
        let error =
            Error::failed(format!("the log of `{short}` can't be read")).caused_by(why.clone());
        Err(if why.contains("No such file") {
            error
                .with_kind(Kind::NotFound)
                .hint("the kubelet may have collected it with its container")
        } else {
            error
        })
    }

    /// Returns when a container has ended, or is gone.
    async fn until_ended(&self, container: &str) {
        let first = ProcessRequest {
            container_id: container.to_owned(),
            exec_id: String::new(),
        };
        match self.wait(first).await {
            Ok(_) => {}
            Err(refusal) if refusal.is_not_found() => {}
            // the stream of its log tells what is lost
            Err(_lost) => std::future::pending().await,
        }
    }
}

/// Messages made of the chunks that the probe sends.
struct Lines {
    unread: BytesMut,
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
    fn new(tail: Option<u64>) -> Self {
        let most = tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
        Self {
            unread: BytesMut::new(),
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

    /// Takes a piece of what the probe sends, and gives the messages that are whole.
    fn take(&mut self, piece: &Bytes) -> Result<Vec<LogMessage>> {
        let nonsense = || Error::failed("the probe's answer is no log");
        self.unread.extend_from_slice(piece);
        let mut messages = Vec::new();
        loop {
            if let Some((rest, packed)) = self.coming {
                let length = rest.min(self.unread.len());
                let bytes = self.unread.split_to(length).freeze();
                if packed {
                    self.unpack(&bytes, &mut messages)?;
                } else {
                    self.split(&bytes, &mut messages);
                }
                if length < rest {
                    self.coming = Some((rest - length, packed));
                    break;
                }
                self.coming = None;
                self.chunks += 1;
            }
            let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
                if self.unread.len() > LONGEST_HEAD {
                    return Err(nonsense());
                }
                break;
            };
            let head = self.unread.split_to(end);
            self.unread.advance(1);
            let head = std::str::from_utf8(&head).map_err(|_| nonsense())?;
            match head.split_once(' ') {
                Some(("plain", length)) => {
                    self.coming = Some((length.parse().map_err(|_| nonsense())?, false));
                }
                Some(("gz", length)) => {
                    self.coming = Some((length.parse().map_err(|_| nonsense())?, true));
                }
                None if head == "end" => self.unpacker = None,
                None if head == "live" => messages.extend(self.live()),
                _ => return Err(nonsense()),
            }
        }
        Ok(messages)
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
            self.split(&text, messages);
        }
        unpacker.flush().map_err(failed)?;
        let text = std::mem::take(unpacker.get_mut());
        self.split(&text, messages);
        self.unpacker = Some(unpacker);
        Ok(())
    }

    /// Splits a log's text into lines.
    fn split(&mut self, mut text: &[u8], messages: &mut Vec<LogMessage>) {
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&text[..end]);
            text = &text[end + 1..];
            self.close(true, messages);
        }
        self.line.extend_from_slice(text);
        if self.line.len() > LONGEST_LINE {
            self.close(false, messages);
        }
    }

    /// Makes a message of the line so far; `whole` where it ends here.
    fn close(&mut self, whole: bool, messages: &mut Vec<LogMessage>) {
        let line = self.line.split().freeze();
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
    fn finish(&mut self) -> VecDeque<LogMessage> {
        self.live()
    }
}
