//! What happens to containers, as a Docker engine tells it: its events.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::error::Result;
use crate::lab::label::LOOK;
use crate::lab::label::{NAME, ROLE};
use crate::lab::owned;
use crate::pod::Happening;

/// Events as they come.
pub(crate) type Happenings = Pin<Box<dyn Stream<Item = Result<Happening>> + Send>>;

/// What concerns the lives of containers. (What is run in them fills the engine's memory of the
/// last 256 events soon enough.)
const ACTIONS: [&str; 10] = [
    "create", "destroy", "die", "kill", "oom", "pause", "restart", "start", "stop", "unpause",
];

impl Docker {
    /// Events of containers since a time (nanoseconds since 1970); without
    /// `until` they go on as they happen.
    pub(in crate::engine) fn happenings(&self, since: i64, until: Option<i64>) -> Happenings {
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
        let docker = self.clone();
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

/// What can change what a look at pods shows, beyond their lives.
const MORE_ACTIONS: [&str; 4] = ["rename", "update", "connect", "disconnect"];

impl Docker {
    /// Tells, from a time on (the engine's own), of which containers something was changed that a look
    /// at pods shows.
    pub(in crate::engine) fn changes(
        &self,
        since: Option<jiff::Timestamp>,
    ) -> Pin<Box<dyn Stream<Item = Result<String>> + Send>> {
        let actions = ACTIONS.iter().chain(&MORE_ACTIONS);
        let filters = HashMap::from([
            (
                "type".to_owned(),
                ["container", "network"].map(str::to_owned).to_vec(),
            ),
            (
                "event".to_owned(),
                actions.map(|&action| action.to_owned()).collect(),
            ),
        ]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = since {
            let since = i64::try_from(since.as_nanosecond()).unwrap_or_default();
            options = options.since(&point(since));
        }
        let docker = self.clone();
        let events = docker.api.clone().events(Some(options.build()));
        Box::pin(events.filter_map(move |event| {
            let told = match event {
                // a look's own container comes and goes, and is no pod
                Ok(event) if is_of_a_look(&event) => None,
                Ok(event) => concerned(event).map(Ok),
                Err(error) => Some(Err(docker.failed("the events", error))),
            };
            async move { told }
        }))
    }
}

fn is_of_a_look(event: &EventMessage) -> bool {
    let attributes = event
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref());
    attributes.is_some_and(|attributes| {
        attributes.get(ROLE).is_some_and(|role| role == LOOK)
            && attributes.get(NAME).is_some()
            && attributes.get(NAME) == attributes.get("name")
    })
}

/// The container's ID; an event of a network names the one that came or went.
fn concerned(event: EventMessage) -> Option<String> {
    let actor = event.actor?;
    match event.typ {
        Some(EventMessageTypeEnum::NETWORK) => actor.attributes?.remove("container"),
        _ => actor.id,
    }
}

fn happening(event: EventMessage) -> Option<Happening> {
    let actor = event.actor?;
    let nanoseconds = event.time_nano?;
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok()?;
    // beside the container's name stand its labels, and its image's among them
    let mut attributes = actor.attributes.unwrap_or_default().into_iter().collect();
    if !is_named(&attributes) {
        owned::without_ours(&mut attributes);
    }
    Some(Happening {
        time: format!("{time:.9}"),
        nanoseconds,
        action: event.action?,
        id: actor.id?,
        attributes,
    })
}

/// Whether a container's own label repeats its name. Its shape can't be asked for any more.
fn is_named(attributes: &BTreeMap<String, String>) -> bool {
    attributes
        .get("name")
        .is_some_and(|name| owned::claims(name, attributes))
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn told(name: &str) -> BTreeMap<String, String> {
        let attributes = [
            ("name", name),
            (NAME, "devnet_app"),
            (ROLE, "lab-container"),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let event = EventMessage {
            action: Some("start".into()),
            actor: Some(EventActor {
                id: Some("c".into()),
                attributes: Some(attributes.into()),
            }),
            time_nano: Some(1),
            ..EventMessage::default()
        };
        happening(event).unwrap().attributes
    }

    #[test]
    fn what_a_copy_has_from_its_image_is_no_label_of_devnet_s() {
        assert_eq!(told("devnet_app")[ROLE], "lab-container");
        let copy = told("copy");
        assert_eq!(copy.keys().collect::<Vec<_>>(), ["name"]);
    }
}
