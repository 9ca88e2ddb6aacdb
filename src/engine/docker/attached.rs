//! Streams of an engine that devnet reads itself: the output of programs, and their input.

use std::pin::Pin;

use bollard::errors::Error as Why;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::{Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWrite};

use super::Docker;
use super::frames::{Framed, Frames, Framing};
use crate::engine::exec::Output;
use crate::error::{Error, Result};
use crate::wire::silence::Pause;

/// The bytes that are read at once.
const PIECE: usize = 32 << 10;

type Bodies = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A program's output. An engine's own words against it are `DockerStreamError`.
pub(super) type Outputs = Pin<Box<dyn Stream<Item = Result<Output, Why>> + Send>>;

/// A program's streams.
pub(super) struct Attached {
    pub(super) output: Outputs,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Docker {
    /// A container's log as its engine has it; `query` as the API takes it.
    pub(super) fn log(&self, container: &str, query: &str, follow: bool, stamped: bool) -> Outputs {
        let path = format!(
            "/containers/{}/logs?{query}&follow={}",
            segment(container),
            i32::from(follow)
        );
        let docker = self.clone();
        let opened = async move {
            let answer = docker.open(Method::GET, &path, &[], Bytes::new()).await?;
            let framing = framing(&answer).unwrap_or(Framing::Unknown);
            let pause = if follow { Pause::Work } else { Pause::Search };
            let body = docker.door.body(answer, pause);
            Ok(outputs(Box::pin(body), Frames::new(framing, stamped)))
        };
        Box::pin(stream::once(opened).flat_map(|opened| match opened {
            Ok(outputs) => outputs,
            Err(error) => Box::pin(stream::iter([Err(error)])) as Outputs,
        }))
    }

    /// Takes the streams of a container that is not a terminal.
    pub(super) async fn attach(&self, container: &str, input: bool) -> Result<Attached, Why> {
        let (input, output) = (i32::from(input), 1);
        let query = format!("stream=1&stdin={input}&stdout={output}&stderr={output}");
        let path = format!("/containers/{}/attach?{query}", segment(container));
        self.upgraded(&path, Bytes::new(), Framing::Frames).await
    }

    /// Starts what `create_exec` made.
    pub(super) async fn begin_exec(&self, id: &str, tty: bool) -> Result<Attached, Why> {
        let path = format!("/exec/{}/start", segment(id));
        let body = format!("{{\"Detach\":false,\"Tty\":{tty}}}");
        let framing = if tty { Framing::Raw } else { Framing::Frames };
        self.upgraded(&path, body.into(), framing).await
    }

    async fn upgraded(&self, path: &str, body: Bytes, framing: Framing) -> Result<Attached, Why> {
        let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "tcp")];
        let answer = self.open(Method::POST, path, &headers, body).await?;
        let stream = TokioIo::new(hyper::upgrade::on(answer).await?);
        let (read, input) = tokio::io::split(stream);
        let pieces = stream::unfold(Some(read), |read| async {
            let mut read = read?;
            let mut piece = BytesMut::with_capacity(PIECE);
            match read.read_buf(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(piece.freeze()), Some(read))),
                Err(error) => {
                    let error = Error::lost("its stream was cut").caused_by(error);
                    Some((Err(error), None))
                }
            }
        });
        let pieces = self.door.liveness().over(pieces, Pause::Work);
        Ok(Attached {
            output: outputs(Box::pin(pieces), Frames::new(framing, false)),
            input: Box::pin(input),
        })
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Why> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://engine{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(bollard::body_full(body))?;
        let answer = self.door.ask(request).await?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        // the door lets no long refusal through
        let words = answer.into_body().collect().await?.to_bytes();
        let said = serde_json::from_slice::<serde_json::Value>(&words).ok();
        let message = said
            .as_ref()
            .and_then(|said| said.get("message")?.as_str())
            .map_or_else(
                || String::from_utf8_lossy(&words).into_owned(),
                str::to_owned,
            );
        Err(Why::DockerResponseServerError {
            status_code: status.as_u16(),
            message,
        })
    }
}

/// The framing that an engine of API 1.42 and later names in its answer.
fn framing(answer: &Response<Incoming>) -> Option<Framing> {
    match answer.headers().get(header::CONTENT_TYPE)?.to_str().ok()? {
        "application/vnd.docker.multiplexed-stream" => Some(Framing::Frames),
        _ => None,
    }
}

fn outputs(body: Bodies, frames: Frames) -> Outputs {
    let state = (body, frames, Bytes::new(), false);
    Box::pin(stream::unfold(
        state,
        |(mut body, mut frames, mut bytes, mut ended)| async move {
            let framed = loop {
                if let Some(framed) = frames.next(&mut bytes) {
                    break Ok(framed);
                }
                if ended {
                    return None;
                }
                match body.next().await {
                    Some(Ok(more)) => bytes = more,
                    Some(Err(error)) => {
                        ended = true;
                        break Err(Why::IOError {
                            err: std::io::Error::other(error),
                        });
                    }
                    None => {
                        ended = true;
                        break Ok(frames.finish()?);
                    }
                }
            };
            let output = framed.and_then(|framed| match framed {
                Framed::Output(output) => Ok(output),
                Framed::Complaint(error) => Err(Why::DockerStreamError { error }),
            });
            Some((output, (body, frames, bytes, ended)))
        },
    ))
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // writing to a string can't fail
            let _written = write!(segment, "%{byte:02X}");
        }
    }
    segment
}
