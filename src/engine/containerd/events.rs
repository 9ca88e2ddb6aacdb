//! The events of a node's containers, as containerd tells them while they happen: it keeps none.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Containerd;
use super::messages::{Envelope, SubscribeRequest};
use crate::engine::grpc::{Refusal, Time};
use crate::error::{Error, Result};
use crate::pod::{Change, ContainerEvent, Member};

/// The number of events that may wait to be read.
const WAITING: usize = 4096;

/// The number of times that CRI is asked for a start, and the pause between two.
const NOTED_AFTER: usize = 20;
const NOTED_AGAIN: Duration = Duration::from_millis(20);

/// The container of an event: every kind of event has its ID first.
#[derive(Clone, PartialEq, prost::Message)]
struct Subject {
    #[prost(string, tag = "1")]
    id: String,
}

/// The end of a process.
#[derive(Clone, PartialEq, prost::Message)]
struct TaskExit {
    #[prost(string, tag = "1")]
    container_id: String,
    /// The process's own ID: the container's for its first one.
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "4")]
    exit_status: u32,
    #[prost(message, optional, tag = "5")]
    exited_at: Option<Time>,
}

/// One event that concerns a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) change: Change,
    /// Nanoseconds since 1970.
    pub(super) nanoseconds: i64,
}

impl Containerd {
    /// Tells of which containers something was changed that a look at pods shows, from the end of this
    /// call on.
    pub(in crate::engine) async fn changes(
        &self,
    ) -> Pin<Box<dyn Stream<Item = Result<String>> + Send>> {
        let told = self.told().await;
        Box::pin(told.map(|told| told.map(|told| told.id)))
    }

    /// Events of containers as they happen, from the end of this call on; none where only the past is
    /// wanted.
    pub(in crate::engine) async fn container_events(
        &self,
        until: Option<i64>,
    ) -> Pin<Box<dyn Stream<Item = Result<ContainerEvent>> + Send>> {
        if until.is_some() {
            return Box::pin(stream::empty());
        }
        let state = (self.told().await, self.clone(), BTreeMap::new());
        let container_events =
            stream::try_unfold(state, async |(mut told, containerd, mut members)| {
                let Some(mut one) = told.next().await.transpose()? else {
                    return Ok(None);
                };
                if !members.contains_key(&one.id) && one.change != Change::Removed {
                    members = containerd.members().await?;
                }
                if one.change == Change::Started
                    && let Some(started) = containerd.start_of(&one.id).await?
                {
                    one.nanoseconds = started;
                }
                let time = jiff::Timestamp::from_nanosecond(i128::from(one.nanoseconds));
                let event = ContainerEvent {
                    time: time.map(|time| format!("{time:.9}")).unwrap_or_default(),
                    nanoseconds: one.nanoseconds,
                    change: one.change,
                    member: members.get(&one.id).cloned(),
                    id: one.id,
                };
                Ok::<_, Error>(Some((event, (told, containerd, members))))
            });
        Box::pin(container_events)
    }

    /// The time of a container's start as CRI tells it in every list, which is another than that of
    /// its event; `None` for what CRI does not know. CRI notes it a moment after the event.
    async fn start_of(&self, id: &str) -> Result<Option<i64>> {
        for _ in 0..NOTED_AFTER {
            match self.cri().status(id).await? {
                None => return Ok(None),
                Some(status) if status.started_at > 0 => return Ok(Some(status.started_at)),
                Some(_) => tokio::time::sleep(NOTED_AGAIN).await,
            }
        }
        Ok(None)
    }

    /// The places of the node's containers among its pods, by ID.
    async fn members(&self) -> Result<BTreeMap<String, Member>> {
        let all = self.containers().await?;
        let members = all.into_iter().filter_map(|facts| {
            let member = facts.member()?.clone();
            Some((facts.id, member))
        });
        Ok(members.collect())
    }

    /// The events from the end of this call on.
    async fn told(&self) -> BoxStream<'static, Result<Told>> {
        let (tell, told) = mpsc::channel(WAITING);
        let grpc = self.grpc.clone();
        tokio::spawn(async move {
            let question = SubscribeRequest {
                filters: vec!["namespace==k8s.io".to_owned()],
            };
            let path = "/containerd.services.events.v1.Events/Subscribe";
            let failed = |refusal: Refusal| {
                Error::lost("the node's events were lost").caused_by(refusal.error)
            };
            let mut events = grpc.listen::<_, Envelope>(path, question);
            loop {
                tokio::select! {
                    () = tell.closed() => return,
                    event = events.next() => {
                        let one = match event {
                            None => return,
                            Some(Ok(envelope)) => match read(&envelope) {
                                Some(told) => Ok(told),
                                None => continue,
                            },
                            Some(Err(refusal)) => Err(failed(refusal)),
                        };
                        if tell.send(one).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        // containerd does not say that it listens: what it is asked after that, it answers after that
        tokio::task::yield_now().await;
        let _answered = self.node.round_trip().await;
        ReceiverStream::new(told).boxed()
    }
}

/// Reads what an event tells of a container; of other things, and of commands that were run in one,
/// nothing.
pub(super) fn read(envelope: &Envelope) -> Option<Told> {
    use prost::Message as _;
    let event = envelope.event.as_ref()?.value.as_slice();
    let change = match envelope.topic.as_str() {
        "/containers/create" => Change::Created,
        "/containers/delete" => Change::Removed,
        "/tasks/start" => Change::Started,
        "/tasks/oom" => Change::OutOfMemory,
        "/containers/update" | "/tasks/paused" | "/tasks/resumed" | "/tasks/delete" => {
            Change::Other
        }
        "/tasks/exit" => {
            let exit = TaskExit::decode(event).ok()?;
            let is_first = exit.id == exit.container_id;
            return is_first.then(|| Told {
                nanoseconds: nanoseconds(exit.exited_at.or(envelope.timestamp)),
                change: Change::Ended {
                    exit_code: Some(i64::from(exit.exit_status)),
                },
                id: exit.container_id,
            });
        }
        _ => return None,
    };
    Some(Told {
        id: Subject::decode(event).ok()?.id,
        change,
        nanoseconds: nanoseconds(envelope.timestamp),
    })
}

fn nanoseconds(time: Option<Time>) -> i64 {
    let time = time.unwrap_or_default();
    let seconds = time.seconds.saturating_mul(1_000_000_000);
    seconds.saturating_add(i64::from(time.nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::grpc::Any;

    fn envelope(topic: &str, event: &impl prost::Message) -> Envelope {
        Envelope {
            timestamp: Some(Time {
                seconds: 1,
                nanoseconds: 5,
            }),
            namespace: "k8s.io".into(),
            topic: topic.into(),
            event: Some(Any {
                type_url: String::new(),
                value: event.encode_to_vec(),
            }),
        }
    }

    #[test]
    fn the_end_of_a_container_is_told_and_that_of_a_command_in_it_is_not() {
        let exit = |id: &str| {
            let exit = TaskExit {
                container_id: "c".into(),
                id: id.into(),
                exit_status: 137,
                exited_at: None,
            };
            read(&envelope("/tasks/exit", &exit))
        };
        let end = exit("c").unwrap();
        let exit_code = Some(137);
        assert_eq!(end.change, Change::Ended { exit_code });
        assert_eq!((end.id.as_str(), end.nanoseconds), ("c", 1_000_000_005));
        assert_eq!(exit("devnet-1"), None);
        let subject = Subject { id: "c".into() };
        let start = read(&envelope("/tasks/start", &subject)).unwrap();
        assert_eq!(start.change, Change::Started);
        assert_eq!(read(&envelope("/snapshot/prepare", &subject)), None);
    }
}
