//! The door through which every question to an engine goes, bollard's and our own: what each kind of
//! answer may weigh, and how long it may be silent.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error as Why;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::Greeting;
use crate::error::{Error, Result};
use crate::notices::Notices;
use crate::weight::Scale;
use crate::wire::handed_on::handed_on;
use crate::wire::silence::{Liveness, Pause};
use crate::wire::transport::{self, Connector, Dialer};

/// The body of bollard's requests, which has no public name.
trait Carries {
    type Body;
}
impl<B> Carries for http::Request<B> {
    type Body = B;
}
type Client = hyper_util::client::legacy::Client<Connector, <BollardRequest as Carries>::Body>;

/// A list of containers or images. A hundred pods take half of one MiB.
const LIST: u64 = 6 << 20;
/// One thing, with all its labels.
const ONE: u64 = 1 << 20;
/// An acknowledgement, or the words of a refusal.
const WORDS: u64 = 64 << 10;
/// One event or line of progress.
const LINE: u64 = 1 << 20;
/// The values of an answer, once they are read, against the bytes that it may have.
const READ: u64 = 4;
/// The longest time of a whole answer that keeps coming, as a multiple of the longest pause in it.
const WHOLE: u32 = 6;

/// The form in which an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Whole, and no longer than so many bytes.
    Whole(u64),
    /// One JSON value after the other.
    Values,
    /// Bytes that are passed on as they come: archives.
    Bytes,
    /// Read by devnet's own decoder: logs, and what programs in containers print.
    Own,
}

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct QuestionKind {
    form: Form,
    /// The longest silence before there is an answer, and amid it.
    pause: Pause,
}

impl QuestionKind {
    fn of(method: &Method, path: &str, query: &str) -> Self {
        let path = path.trim_start_matches('/');
        let versioned = |first: &str| {
            let number = first.strip_prefix('v');
            number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        };
        let mut parts: Vec<&str> = path.split('/').collect();
        if parts.first().is_some_and(|first| versioned(first)) {
            parts.remove(0);
        }
        let first = parts.first().copied().unwrap_or_default();
        let last = parts.last().copied().unwrap_or_default();
        let (form, pause) = match (method.as_str(), first, last) {
            // what has happened is known; what will, is not
            ("GET", "events", _) if query.contains("until=") => (Form::Values, Pause::Limit),
            ("GET", "events", _)
            | ("POST", "build", _)
            | ("POST", "containers", "wait")
            | ("POST", "images", "create" | "load" | "push") => (Form::Values, Pause::Work),
            ("GET", "images", "get") | ("GET", "containers", "archive") => {
                (Form::Bytes, Pause::Work)
            }
            ("GET", "containers", "logs") if query.contains("follow=1") => (Form::Own, Pause::Work),
            // what is not wanted of a log is read as well
            ("GET", "containers", "logs") => (Form::Own, Pause::Search),
            // once they have begun, it is a program that speaks
            ("POST", "containers", "attach") | ("POST", "exec", "start") => {
                (Form::Own, Pause::Limit)
            }
            ("GET", "containers" | "images", "json") if parts.len() == 2 => {
                (Form::Whole(LIST), Pause::Limit)
            }
            ("GET", "networks" | "volumes", _) if parts.len() == 1 => {
                (Form::Whole(LIST), Pause::Limit)
            }
            ("GET", "_ping", _) => (Form::Whole(WORDS), Pause::Limit),
            // what devnet puts into a container is small
            ("PUT", "containers", "archive") => (Form::Whole(ONE), Pause::Limit),
            // it frees or fills disks, or waits for programs to end
            ("PUT" | "DELETE", ..) | ("POST", _, "prune" | "stop" | "restart") => {
                (Form::Whole(ONE), Pause::Work)
            }
            _ => (Form::Whole(ONE), Pause::Limit),
        };
        Self { form, pause }
    }
}

/// An engine's door. Clones are the same door.
#[derive(Clone)]
pub(super) struct Door {
    client: Client,
    liveness: Liveness,
    heard: Arc<OnceLock<Greeting>>,
    /// The reason why the last answer was cut off; bollard's streams lose it on its way.
    cut: Arc<Mutex<Option<Error>>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("liveness", &self.liveness)
            .finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(dialer: &Dialer, limit: Duration, notices: Notices) -> Self {
        let client: Client = transport::client(dialer);
        let pings = client.clone();
        let ping = move || {
            let pings = pings.clone();
            let answered = async move { pings.request(ping_request()).await.is_ok() };
            Box::pin(answered) as std::pin::Pin<Box<dyn Future<Output = bool> + Send>>
        };
        let engine = dialer.endpoint().to_string();
        Self {
            client,
            liveness: Liveness::new(&engine, limit, notices, ping),
            heard: Arc::default(),
            cut: Arc::default(),
        }
    }

    /// The facts in the head of the engine's first answer.
    pub(super) fn heard(&self) -> Option<&Greeting> {
        self.heard.get()
    }

    pub(super) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The reason why an answer was cut off, if that is the failure.
    pub(super) fn reason(&self, error: &Why) -> Option<Error> {
        match error {
            Why::IOError { err } => match err.get_ref() {
                Some(inner) => match inner.downcast_ref::<Error>() {
                    Some(ours) => Some(ours.duplicate()),
                    None => self.last_cut(),
                },
                None => None,
            },
            Why::HyperResponseError { .. } => self.last_cut(),
            _ => None,
        }
    }

    fn last_cut(&self) -> Option<Error> {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.as_ref().map(Error::duplicate)
    }

    fn note_cut(&self, error: &Error) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = Some(error.duplicate());
    }

    /// Asks, and lets through what the answer may be.
    pub(super) async fn ask(&self, request: BollardRequest) -> Result<Response<Incoming>, Why> {
        let kind = QuestionKind::of(
            request.method(),
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        let what = format!("`{} {}`", request.method(), request.uri().path());
        let bare = request.method() == Method::HEAD;
        let answer = self.head(kind, &what, request).await?;
        self.heard.get_or_init(|| Greeting::read(answer.headers()));
        let status = answer.status();
        let refused = !status.is_success();
        if bare
            || matches!(
                status,
                StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            )
            || (kind.form == Form::Own && !refused)
        {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = pieces(body);
        let handed = match kind.form {
            _ if refused => {
                let whole = self.whole(&what, WORDS, body).await?;
                handed_on(head, whole).await
            }
            Form::Whole(most) => {
                let whole = self.whole(&what, most, body).await?;
                handed_on(head, whole).await
            }
            Form::Values => {
                let door = self.clone();
                let body = self.liveness.over(values(what, body), kind.pause);
                handed_on(head, body.map_err(move |error| door.cut_off(error))).await
            }
            Form::Bytes | Form::Own => {
                let door = self.clone();
                let body = self.liveness.over(body, kind.pause);
                handed_on(head, body.map_err(move |error| door.cut_off(error))).await
            }
        };
        handed.map_err(|error| lost(io::Error::other(error)))
    }

    /// The body of a stream that devnet decodes itself.
    pub(super) fn body(
        &self,
        answer: Response<Incoming>,
        pause: Pause,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        self.liveness.over(pieces(answer.into_body()), pause)
    }

    fn cut_off(&self, error: Error) -> io::Error {
        self.note_cut(&error);
        io::Error::other(error)
    }

    /// Waits for an answer to begin.
    async fn head(
        &self,
        kind: QuestionKind,
        what: &str,
        request: BollardRequest,
    ) -> Result<Response<Incoming>, Why> {
        let asks = matches!(*request.method(), Method::GET | Method::HEAD);
        let asked = self.client.request(request);
        let (limit, lost_before) = (self.liveness.limit(), self.liveness.was_silent());
        let works = kind.pause != Pause::Limit;
        if works && lost_before && !self.liveness.is_there(limit / 20).await {
            return Err(self.silent(what));
        }
        let answer = if works {
            tokio::select! {
                answer = asked => answer,
                error = self.liveness.clone().paused(kind.pause) => {
                    return Err(lost(io::Error::other(error)));
                }
            }
        } else {
            let patience = if lost_before {
                limit / 20
            } else if asks {
                limit
            } else {
                // it does something first
                limit * 2
            };
            match tokio::time::timeout(patience, asked).await {
                Ok(answer) => answer,
                Err(_elapsed) => return Err(self.silent(what)),
            }
        };
        let answer = answer?;
        self.liveness.heard();
        Ok(answer)
    }

    fn silent(&self, what: &str) -> Why {
        let error = self.liveness.stall(&format!("its answer to {what}"));
        lost(io::Error::other(error))
    }

    /// Reads an answer to its end and gives it as it came.
    async fn whole(
        &self,
        what: &str,
        most: u64,
        body: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<stream::Iter<std::vec::IntoIter<io::Result<Bytes>>>, Why> {
        let limit = self.liveness.limit();
        let mut body = std::pin::pin!(body);
        let mut scale = Scale::default();
        let (mut read, mut pieces) = (0, Vec::new());
        let all = async {
            loop {
                match tokio::time::timeout(limit, body.next()).await {
                    Err(_elapsed) => return Err(self.silent(what)),
                    Ok(None) => return Ok(()),
                    Ok(Some(piece)) => {
                        let piece = piece.map_err(|error| lost(io::Error::other(error)))?;
                        read += piece.len() as u64;
                        if read > most || scale.add(&piece) > most * READ {
                            return Err(lost(io::Error::other(too_large(what, most))));
                        }
                        pieces.push(Ok(piece));
                    }
                }
            }
        };
        tokio::time::timeout(limit * WHOLE, all)
            .await
            .unwrap_or_else(|_elapsed| Err(self.silent(what)))?;
        Ok(stream::iter(pieces))
    }
}

fn ping_request() -> BollardRequest {
    let mut request = http::Request::new(bollard::body_full(Bytes::new()));
    *request.uri_mut() = http::Uri::from_static("http://engine/_ping");
    request
}

fn pieces(body: Incoming) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    body.into_data_stream()
        .map_err(|error| Error::lost("its answer was cut short").caused_by(error))
}

/// Values one after the other, none of them too large.
fn values(
    what: String,
    body: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut scale = Scale::default();
    body.map(move |piece| {
        let piece = piece?;
        if scale.add(&piece) > LINE * READ {
            return Err(too_large(&what, LINE));
        }
        Ok(piece)
    })
}

fn too_large(what: &str, most: u64) -> Error {
    let most = if most >= 1 << 20 {
        format!("{} MiB", most >> 20)
    } else {
        format!("{} KiB", most >> 10)
    };
    Error::failed(format!(
        "the engine's answer to {what} is larger than devnet reads ({most})"
    ))
}

fn lost(err: io::Error) -> Why {
    Why::IOError { err }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_question_has_its_form_and_its_patience() {
        let of = |method: &str, path: &str| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let QuestionKind { form, pause } =
                QuestionKind::of(&method.parse().unwrap(), path, query);
            (form, pause)
        };
        assert_eq!(of("GET", "/_ping"), (Form::Whole(WORDS), Pause::Limit));
        assert_eq!(
            of("GET", "/v1.43/containers/json"),
            (Form::Whole(LIST), Pause::Limit)
        );
        assert_eq!(
            of("GET", "/v1.43/containers/x/json"),
            (Form::Whole(ONE), Pause::Limit)
        );
        assert_eq!(
            of("GET", "/containers/x/logs?follow=0"),
            (Form::Own, Pause::Search)
        );
        assert_eq!(
            of("GET", "/containers/x/logs?follow=1"),
            (Form::Own, Pause::Work)
        );
        assert_eq!(of("GET", "/events?until=1"), (Form::Values, Pause::Limit));
        assert_eq!(of("GET", "/events?since=1"), (Form::Values, Pause::Work));
        assert_eq!(
            of("POST", "/v1.43/containers/x/wait"),
            (Form::Values, Pause::Work)
        );
        assert_eq!(
            of("POST", "/v1.43/images/prune"),
            (Form::Whole(ONE), Pause::Work)
        );
        assert_eq!(
            of("POST", "/v1.43/containers/create"),
            (Form::Whole(ONE), Pause::Limit)
        );
        assert_eq!(
            of("POST", "/v1.43/images/a/b/push"),
            (Form::Values, Pause::Work)
        );
        assert_eq!(
            of("PUT", "/v1.43/containers/x/archive?path=/devnet"),
            (Form::Whole(ONE), Pause::Limit)
        );
        // names that look like something else
        assert_eq!(
            of("GET", "/v1.43/images/get/json"),
            (Form::Whole(ONE), Pause::Limit)
        );
        assert_eq!(
            of("GET", "/v1.43/volumes/v1.1"),
            (Form::Whole(ONE), Pause::Limit)
        );
    }
}
