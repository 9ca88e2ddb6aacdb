//! A command in a container: what is to run, what it writes, and how it ended.

pub(crate) use crate::wire::node_program::Output;

/// A command to run in a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exec {
    pub(crate) command: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) user: Option<String>,
    pub(crate) workdir: Option<String>,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    pub(crate) detach_keys: Option<String>,
}

/// The end of a command in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It goes on without us.
    Detached,
    /// Its container ended or was removed, and the engine does not know its code.
    WithItsContainer,
    With(u8),
}
