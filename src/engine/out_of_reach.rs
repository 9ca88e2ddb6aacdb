//! The things of a node's runtime that devnet has no way to: one error says what works there instead.

use crate::error::Error;
use crate::runtime_kind::RuntimeKind;

/// Something of a node that devnet does not reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfReach {
    /// The thing, as `a builder`.
    pub(crate) what: &'static str,
    pub(crate) runtime: RuntimeKind,
}

impl OutOfReach {
    /// The error of whoever wants it.
    pub(crate) fn error(self) -> Error {
        let Self { what, runtime } = self;
        Error::unreachable(format!("this needs {what} of a node with Docker"))
            .caused_by(format!("the node runs {runtime}"))
            .hint("what works there: pods, inspect, ports, exec, logs, shell, history, watch, check, graph, prove, load, build, images")
    }
}
