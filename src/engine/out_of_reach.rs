//! The things of a node's runtime that devnet has no way to: one error says what works there instead.

use futures_util::{Stream, stream};

use crate::error::{Error, Result};
use crate::runtime_kind::RuntimeKind;

/// Something of a node that devnet does not reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfReach {
    /// The thing, as `a builder`.
    pub(crate) what: &'static str,
    pub(crate) runtime: RuntimeKind,
}

impl OutOfReach {
    /// The same error as all that comes of a stream.
    pub(crate) fn stream<T>(self) -> impl Stream<Item = Result<T>> + Send
    where
        T: Send,
    {
        stream::iter([Err(self.error())])
    }

    /// The error of whoever wants it.
    pub(crate) fn error(self) -> Error {
        let Self { what, runtime } = self;
        Error::unreachable(format!("this needs {what} of a node with Docker"))
            .caused_by(format!("the node runs {runtime}"))
            .hint("what works there: pods, inspect, ports, exec, logs, shell, history, watch, check, graph, prove; and `minikube image build|load|ls`")
    }
}
