//! The events that a long operation sends while it works: data only.
//!
//! Adapters send events through a `Sender`; a renderer (bars, plain lines, JSON lines) reads them.

use serde::Serialize;

/// Something that happened inside a long operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// Something a person should know and that is no failure.
    Note(String),
    /// News of a build.
    Build(Update),
    /// A node has taken so many further bytes of an archive that it loads.
    Loaded(u64),
}

/// The way that events go. Dropped events (a reader that has left) are no error.
pub(crate) type Sender = tokio::sync::mpsc::UnboundedSender<Event>;

/// News of a build: its serialised form is a line of `--progress rawjson`, as buildx writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Update {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) vertexes: Vec<Vertex>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) statuses: Vec<Task>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logs: Vec<Log>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

/// A step of the build graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Vertex {
    pub(crate) digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inputs: Vec<String>,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completed: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
}

/// A piece of work within a step: a transfer, an extraction.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) vertex: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) total: i64,
    pub(crate) current: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completed: Option<jiff::Timestamp>,
}

/// Text that a step's command wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Log {
    pub(crate) vertex: String,
    /// 1 is stdout, 2 stderr.
    pub(crate) stream: i64,
    #[serde(serialize_with = "base64")]
    pub(crate) data: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<jiff::Timestamp>,
}

/// A warning of the Dockerfile's linter, or of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Warning {
    pub(crate) vertex: String,
    pub(crate) level: i64,
    #[serde(serialize_with = "base64")]
    pub(crate) short: Vec<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "base64s")]
    pub(crate) detail: Vec<Vec<u8>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) url: String,
    #[serde(rename = "sourceInfo", skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<SourceFile>,
    #[serde(rename = "range", skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<Lines>,
}

/// A file that something points into: the Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct SourceFile {
    pub(crate) filename: String,
    #[serde(serialize_with = "base64")]
    pub(crate) data: Vec<u8>,
}

/// From a line to a line, the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Lines {
    pub(crate) start: Position,
    pub(crate) end: Position,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Position {
    pub(crate) line: i32,
    #[serde(skip_serializing_if = "is_zero_32")]
    pub(crate) character: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero_32(number: &i32) -> bool {
    *number == 0
}

fn base64<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;
    to.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
}

fn base64s<S: serde::Serializer>(all: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;
    to.collect_seq(
        all.iter()
            .map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
    )
}
