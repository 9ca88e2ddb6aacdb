//! Domain: what containers wrote: lines that are whole again, and those of several containers in time
//! order.

mod assembler;
pub(crate) mod cri;
mod merge;
#[cfg(test)]
pub(crate) mod samples;
mod stamp;

use bytes::Bytes;

pub(crate) use assembler::Assembler;
pub(crate) use merge::Merge;
pub(crate) use stamp::{nanoseconds, split_stamp};

/// One message of a container's log as its runtime keeps it: a line, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogMessage {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    /// The time as the runtime wrote it.
    pub(crate) stamp: Bytes,
    pub(crate) stderr: bool,
    /// Without the newline at its end.
    pub(crate) text: Bytes,
    /// True where the line goes on in the next message of its stream.
    pub(crate) partial: bool,
}

/// One line (or a piece of a very long one) of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    /// The time as the runtime wrote it.
    pub(crate) stamp: Bytes,
    pub(crate) stderr: bool,
    /// Without the newline at its end.
    pub(crate) text: Bytes,
    /// True where the line ends here; a piece that it does not end goes on in the next one.
    pub(crate) end: bool,
}
