//! The part of a container's log that is wanted.

/// The part of a log that is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogRange {
    pub(crate) follow: bool,
    /// Nanoseconds since 1970; an engine takes whole seconds, so some earlier lines come too.
    pub(crate) since: Option<i64>,
    /// Nanoseconds since 1970; some later lines come too.
    pub(crate) until: Option<i64>,
    /// The last lines; `None` is all.
    pub(crate) tail: Option<u64>,
}
