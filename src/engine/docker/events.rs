//! The events of a Docker engine: the starts, ends and changes of its containers.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::docker::membership;
use crate::error::Result;
use crate::lab::label::LOOK;
use crate::lab::label::{NAME, ROLE};
use crate::lab::owned;
use crate::pod::{Change, ContainerEvent, ContainerFacts};

/// Events as they come.
pub(crate) type ContainerEvents = Pin<Box<dyn Stream<Item = Result<ContainerEvent>> + Send>>;

/// The actions that begin, end or interrupt the lives of containers. (The commands run in them fill
/// the engine's memory of the last 256 events soon enough.)
const ACTIONS: [&str; 10] = [
    "create", "destroy", "die", "kill", "oom", "pause", "restart", "start", "stop", "unpause",
];

impl Docker {
    /// Events of containers since a time (nanoseconds since 1970); without
    /// `until` they go on as they happen.
    pub(in crate::engine) fn container_events(
        &self,
        since: i64,
        until: Option<i64>,
    ) -> ContainerEvents {
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
                        Ok(event) => container_event(event).map(Ok),
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

/// More actions that change what a look at pods shows.
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

fn container_event(event: EventMessage) -> Option<ContainerEvent> {
    let actor = event.actor?;
    let nanoseconds = event.time_nano?;
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok()?;
    // beside the container's name stand its labels, and its image's among them
    let mut attributes = actor.attributes.unwrap_or_default().into_iter().collect();
    if !is_named(&attributes) {
        owned::without_ours(&mut attributes);
    }
    let change = match event.action?.as_str() {
        "create" => Change::Created,
        "start" => Change::Started,
        "die" => Change::Ended {
            exit_code: attributes
                .get("exitCode")
                .and_then(|code| code.parse().ok()),
        },
        "oom" => Change::OutOfMemory,
        "destroy" => Change::Removed,
        _ => Change::Other,
    };
    let id = actor.id?;
    let told = ContainerFacts {
        id: id.clone(),
        name: attributes.get("name").cloned().unwrap_or_default(),
        labels: attributes,
        ..ContainerFacts::default()
    };
    Some(ContainerEvent {
        time: format!("{time:.9}"),
        nanoseconds,
        change,
        id,
        member: membership::member(&told),
    })
}

/// True where a container's own label repeats its name. Its shape can't be asked for any more.
fn is_named(attributes: &BTreeMap<String, String>) -> bool {
    attributes
        .get("name")
        .is_some_and(|name| owned::claims(name, attributes))
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;
    use crate::lab::label::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID};
    use crate::pod::Part;

    fn told(action: &str, attributes: &[(&str, &str)]) -> ContainerEvent {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let event = EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor {
                id: Some("c".into()),
                attributes: Some(attributes.iter().map(owned).collect()),
            }),
            time_nano: Some(1_000_000_005),
            ..EventMessage::default()
        };
        container_event(event).unwrap()
    }

    #[test]
    fn what_a_copy_has_from_its_image_is_no_label_of_devnet_s() {
        let member = |name| {
            let attributes = [
                ("name", name),
                (NAME, "devnet_app"),
                (ROLE, "lab-container"),
                (POD_NAME, "web"),
                (POD_NAMESPACE, "default"),
                (POD_UID, "u"),
                (CONTAINER_NAME, "app"),
            ];
            told("start", &attributes).member
        };
        assert_eq!(member("devnet_app").unwrap().pod.name, "web");
        assert_eq!(member("copy"), None);
    }

    #[test]
    fn an_end_of_a_pods_container_is_told_with_its_code_and_its_pod() {
        let attributes = [
            ("name", "k8s_app_web_default_u_3"),
            ("io.kubernetes.docker.type", "container"),
            ("io.kubernetes.container.name", "app"),
            ("io.kubernetes.pod.name", "web"),
            ("io.kubernetes.pod.namespace", "default"),
            ("io.kubernetes.pod.uid", "u"),
            ("io.kubernetes.sandbox.id", "s"),
            ("exitCode", "137"),
        ];
        let end = told("die", &attributes);
        assert_eq!(end.time, "1970-01-01T00:00:01.000000005Z");
        let exit_code = Some(137);
        assert_eq!(end.change, Change::Ended { exit_code });
        let member = end.member.unwrap();
        assert_eq!(member.part, Part::Container("app".to_owned()));
        assert_eq!((member.pod.uid.as_str(), member.attempt), ("u", Some(3)));
        assert_eq!(member.sandbox_id.as_deref(), Some("s"));
        assert_eq!(told("pause", &attributes).change, Change::Other);
    }
}
