//! What a long operation says while it works: data only.
//!
//! Adapters send events through a `Sender`; a renderer (bars, plain lines, JSON lines) reads them.

/// Something that happened inside a long operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A step began; `id` is unique within the operation.
    Started { id: String, what: String },
    /// A step has done so many of so many units (bytes, unless the step's name says otherwise).
    Advanced {
        id: String,
        done: u64,
        total: Option<u64>,
    },
    /// A step ended; `error` is `None` when it went well.
    Finished { id: String, error: Option<String> },
    /// Something a person should know and that is no failure.
    Note(String),
}

/// Where events go. Dropped events (a reader that has left) are no error.
pub(crate) type Sender = tokio::sync::mpsc::UnboundedSender<Event>;
