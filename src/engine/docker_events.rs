//! What happens to containers, as a Docker engine tells it: its events.

use std::collections::HashMap;
use std::pin::Pin;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use crate::engine::Engine;
use crate::error::Result;
use crate::pod::Happening;

/// Events as they come.
pub(crate) type Happenings = Pin<Box<dyn Stream<Item = Result<Happening>> + Send>>;

/// What concerns the lives of containers. (What is run in them fills the engine's memory of the
/// last 256 events soon enough.)
const ACTIONS: [&str; 10] = [
    "create", "destroy", "die", "kill", "oom", "pause", "restart", "start", "stop", "unpause",
];

impl Engine {
    /// Events of containers since a time (nanoseconds since 1970); without
    /// `until` they go on as they happen.
    pub(crate) fn happenings(&self, since: i64, until: Option<i64>) -> Happenings {
        let Self::Docker(docker) = self;
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            (
                "event".to_owned(),
                ACTIONS.iter().map(|&action| action.to_owned()).collect(),
            ),
        ]);
        let mut options = EventsOptionsBuilder::default()
            .filters(&filters)
            .since(&point(since));
        if let Some(until) = until {
            options = options.until(&point(until));
        }
        let docker = docker.clone();
        Box::pin(
            docker
                .api
                .clone()
                .events(Some(options.build()))
                .filter_map(move |event| {
                    let told = match event {
                        Ok(event) => happening(event).map(Ok),
                        Err(error) => Some(Err(docker.failed("the events", error))),
                    };
                    async move { told }
                }),
        )
    }
}

/// The one form of a time that this question takes.
fn point(nanoseconds: i64) -> String {
    let second = 1_000_000_000;
    format!(
        "{}.{:09}",
        nanoseconds.div_euclid(second),
        nanoseconds.rem_euclid(second)
    )
}

fn happening(event: EventMessage) -> Option<Happening> {
    let actor = event.actor?;
    let nanoseconds = event.time_nano?;
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok()?;
    Some(Happening {
        time: format!("{time:.9}"),
        nanoseconds,
        action: event.action?,
        id: actor.id?,
        attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
    })
}
