//! The log of a container, from the files on its node: the probe sends them, those that were rotated
//! away too.

use std::future::ready;
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::log_chunks::Lines;
use super::node::CriNode;
use crate::engine::exec::Output;
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::log_range::LogRange;
use crate::engine::node_agent::Session;
use crate::error::{Error, Kind, Result};
use crate::pod::log::LogMessage;

/// The pieces of a log, some hundred messages each, that may wait to be read.
const WAITING: usize = 8;
/// The longest complaint of the probe's that is kept, in bytes.
const LONGEST_COMPLAINT: usize = 1 << 20;

impl CriNode {
    /// A container's log, message by message. One that is followed ends where the container does.
    pub(in crate::engine) fn logs(
        &self,
        container: &str,
        range: &LogRange,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Pin<Box<dyn Stream<Item = Result<LogMessage>> + Send>> {
        let (tell, told) = mpsc::channel(WAITING);
        let (node, container, range) = (self.clone(), container.to_owned(), range.clone());
        tokio::spawn(async move {
            let reading = node.send_log(&container, &range, ended, &tell);
            tokio::select! {
                outcome = reading => {
                    if let Err(error) = outcome {
                        let _nobody_reads = tell.send(Err(error)).await;
                    }
                }
                () = tell.closed() => {}
            }
        });
        let pieces = ReceiverStream::new(told);
        Box::pin(pieces.flat_map(|piece| match piece {
            Ok(messages) => stream::iter(messages).map(Ok).left_stream(),
            Err(error) => stream::once(ready(Err(error))).right_stream(),
        }))
    }

    /// The last lines that a container wrote.
    pub(in crate::engine) async fn printed(&self, container: &str, lines: usize) -> Result<String> {
        let range = LogRange {
            tail: u64::try_from(lines).ok(),
            ..LogRange::default()
        };
        let mut text = String::new();
        let mut messages = self.logs(container, &range, std::future::pending());
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
        ended: impl Future<Output = ()>,
        tell: &mpsc::Sender<Result<Vec<LogMessage>>>,
    ) -> Result<()> {
        let session = Session::new(self.clone());
        let (status, ()) =
            futures_util::try_join!(self.cri.status(container), session.bring_probe())?;
        let status = status.ok_or_else(|| {
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
        let job = Job {
            input: true,
            ..Job::probe(words, JobNamespaces::NodeProcesses, Power::Look)
        };
        let mut process = session.spawn(job).await?;
        let mut lines = Lines::new(range.tail);
        let mut complaint = Vec::new();
        let mut ended = std::pin::pin!(ended);
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
                    complaint.truncate(LONGEST_COMPLAINT);
                    continue;
                }
                Some(Ok(Output::Stdout(bytes))) => lines.take(bytes)?,
                Some(Err(error)) => return Err(error.with_kind(Kind::Lost)),
            };
            if !messages.is_empty() && tell.send(Ok(messages)).await.is_err() {
                return Ok(());
            }
            // what waits here would keep the other logs of its connection waiting
            let chunks = lines.chunks();
            if chunks > 0 {
                let more = "more\n".repeat(chunks);
                let _gone = process.input.write_all(more.as_bytes()).await;
                let _gone = process.input.flush().await;
            }
        }
        if tell.send(Ok(lines.finish())).await.is_err() {
            return Ok(());
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
}
