//! What a container wrote, as its engine kept it.

use std::pin::Pin;

use bollard::errors::Error as Why;
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream, StreamExt as _};

use crate::engine::Engine;
use crate::engine::docker::exec::Output;
use crate::error::{Kind, Result};

/// Which part of a log is wanted.
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

impl Engine {
    /// A container's log: each piece is one message with its time in front, as the engine writes
    /// them with `timestamps`.
    pub(crate) fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Pin<Box<dyn Stream<Item = Result<Output>> + Send>> {
        let Self::Docker(docker) = self;
        let second = |time: i64| i32::try_from(time.div_euclid(1_000_000_000)).unwrap_or(i32::MAX);
        let options = LogsOptions {
            follow: range.follow,
            stdout: true,
            stderr: true,
            since: range.since.map_or(0, second),
            // 0 would be no limit
            until: range
                .until
                .map_or(0, |time| second(time).saturating_add(1).max(1)),
            timestamps: true,
            tail: range
                .tail
                .map_or_else(|| "all".into(), |tail| tail.to_string()),
        };
        let what = format!("the log of `{}`", &container[..container.len().min(12)]);
        let (docker, api) = (docker.clone(), docker.api.clone());
        let container = container.to_owned();
        Box::pin(
            api.logs(&container, Some(options))
                .map(move |piece| match piece {
                    Ok(piece) => Ok(piece.into()),
                    Err(error) => {
                        let said = matches!(
                            error,
                            Why::DockerResponseServerError { .. } | Why::DockerStreamError { .. }
                        );
                        let error = docker.failed(&what, error);
                        // what was lost can be asked for again; what the engine refused can't
                        Err(if said {
                            error
                        } else {
                            error.with_kind(Kind::Lost)
                        })
                    }
                }),
        )
    }
}
