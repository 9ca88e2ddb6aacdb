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
    /// Events of containers since a time (seconds since 1970 with a fraction, or RFC 3339); without
    /// `until` they go on as they happen.
    pub(crate) fn happenings(&self, since: Option<&str>, until: Option<&str>) -> Happenings {
        let Self::Docker(docker) = self;
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            (
                "event".to_owned(),
                ACTIONS.iter().map(|&action| action.to_owned()).collect(),
            ),
        ]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = since {
            options = options.since(since);
        }
        if let Some(until) = until {
            options = options.until(until);
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
