//! What a container wrote, as its engine kept it.

use std::pin::Pin;

use bollard::errors::Error as Why;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::exec::Output;
use crate::engine::log_range::LogRange;
use crate::error::{Kind, Result};

impl Docker {
    /// A container's log: each piece is one message with its time in front, as the engine writes
    /// them with `timestamps`.
    pub(in crate::engine) fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Pin<Box<dyn Stream<Item = Result<Output>> + Send>> {
        // 0 would be no limit
        let until = range.until.map_or(0, |time| {
            time.div_euclid(1_000_000_000).saturating_add(1).max(1)
        });
        let since = range.since.map_or(0, |time| time.div_euclid(1_000_000_000));
        let tail = range
            .tail
            .map_or_else(|| "all".into(), |tail| tail.to_string());
        let query =
            format!("stdout=1&stderr=1&timestamps=1&since={since}&until={until}&tail={tail}");
        let short = container.get(..12).unwrap_or(container);
        let what = format!("the log of `{short}`");
        let (docker, follow) = (self.clone(), range.follow);
        Box::pin(
            self.log(container, &query, follow, true)
                .map(move |piece| match piece {
                    Ok(piece) => Ok(piece),
                    Err(error) => {
                        let said = matches!(
                            error,
                            Why::DockerResponseServerError { .. } | Why::DockerStreamError { .. }
                        );
                        let cut_off = docker.door.reason(&error);
                        // a log that is there to be read comes at once, or it does not come
                        let stalled =
                            !follow && cut_off.is_some_and(|reason| reason.kind() != Kind::Lost);
                        let error = docker.failed(&what, error);
                        // what was lost can be asked for again; what the engine refused can't
                        Err(if said || stalled {
                            error
                        } else {
                            error.with_kind(Kind::Lost)
                        })
                    }
                }),
        )
    }
}
