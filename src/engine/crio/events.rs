//! The changes of a node's containers. cri-o tells of them only where it was configured to
//! (`enable_pod_events`); elsewhere its containers are listed once a second. Either way what has changed
//! is told by two looks at them, since an event may be dropped and says less.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Containers, CriO};
use crate::engine::grpc::{Empty, Refusal};
use crate::error::{Error, Result};
use crate::pod::{Change, ContainerEvent, ContainerFacts, State};

/// The pause between two lists.
const AGAIN: Duration = Duration::from_secs(1);
/// The time in which cri-o ends the stream of events where it has none to tell.
const ENDS_WITHIN: Duration = Duration::from_millis(300);
/// The number of changes that may wait to be read.
const WAITING: usize = 4096;

/// The sign that something happened.
pub(super) enum Wake {
    Events(BoxStream<'static, Result<Empty, Refusal>>),
    EverySecond,
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events(_) => "Events",
            Self::EverySecond => "EverySecond",
        })
    }
}

impl CriO {
    /// Tells of which containers something was changed that a look at pods shows, from a time on (the
    /// node's own), or from this call on.
    pub(in crate::engine) fn changes(
        &self,
        since: Option<jiff::Timestamp>,
    ) -> Pin<Box<dyn Stream<Item = Result<String>> + Send>> {
        let since = since.map(nanoseconds);
        Box::pin(self.told(since).map(|told| told.map(|event| event.id)))
    }

    /// Events of containers from a time on (nanoseconds since 1970), as they happen; none where only the
    /// past is wanted.
    pub(in crate::engine) fn container_events(
        &self,
        since: i64,
        until: Option<i64>,
    ) -> Pin<Box<dyn Stream<Item = Result<ContainerEvent>> + Send>> {
        if until.is_some() {
            return Box::pin(stream::empty());
        }
        Box::pin(self.told(Some(since)))
    }

    /// True where cri-o tells of changes itself. The stream that tells so is kept for whoever follows.
    pub(in crate::engine) async fn tells_events(&self) -> bool {
        let mut kept = self.wake.lock().await;
        let wake = match kept.take() {
            Some(wake) => wake,
            None => self.new_wake().await,
        };
        matches!(kept.insert(wake), Wake::Events(_))
    }

    /// The sign that was asked for already, else a new one.
    async fn wake(&self) -> Wake {
        let kept = self.wake.lock().await.take();
        match kept {
            Some(wake) => wake,
            None => self.new_wake().await,
        }
    }

    async fn new_wake(&self) -> Wake {
        let mut events = self.node.cri.events().peekable();
        let first = tokio::time::timeout(ENDS_WITHIN, Pin::new(&mut events).peek()).await;
        match first {
            Ok(None | Some(Err(_))) => Wake::EverySecond,
            Ok(Some(Ok(()))) | Err(_) => Wake::Events(events.boxed()),
        }
    }

    /// Returns when a container has ended, or is gone.
    pub(in crate::engine) async fn until_ended(&self, container: &str) {
        loop {
            match self.node.cri.held(container).await {
                Ok(Some(_up)) => tokio::time::sleep(AGAIN).await,
                Ok(None) => return,
                // the stream of its log tells what is lost
                Err(_lost) => std::future::pending().await,
            }
        }
    }

    /// The changes from a time on, or from now on. The first look is taken at once, not when they are first
    /// read.
    fn told(&self, since: Option<i64>) -> BoxStream<'static, Result<ContainerEvent>> {
        let (tell, told) = mpsc::channel(WAITING);
        let crio = self.clone();
        tokio::spawn(async move {
            let watching = crio.watch(since, &tell);
            tokio::select! {
                () = tell.closed() => {}
                outcome = watching => {
                    if let Err(error) = outcome {
                        let error = Error::lost("the node's events were lost").caused_by(error);
                        let _nobody_reads = tell.send(Err(error)).await;
                    }
                }
            }
        });
        ReceiverStream::new(told).boxed()
    }

    async fn watch(
        &self,
        since: Option<i64>,
        tell: &mpsc::Sender<Result<ContainerEvent>>,
    ) -> Result<()> {
        let since = match since {
            Some(since) => since,
            None => self.node.clock().await.map_or(i64::MAX, nanoseconds),
        };
        let seen = async { self.listing().await?.inspected().await };
        let (seen, mut wake) = tokio::join!(seen, self.wake());
        let mut seen: Containers = seen?;
        // what came before the first look is in no second one
        for event in happened(&seen.facts, since) {
            if tell.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        loop {
            wake.wait().await?;
            let before = seen.facts.clone();
            seen.refresh().await?;
            if before == seen.facts {
                continue;
            }
            let now = self.node.clock().await;
            let now = nanoseconds(now.unwrap_or_else(jiff::Timestamp::now));
            for event in differences(&before, &seen.facts, now) {
                if tell.send(Ok(event)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

impl Wake {
    /// Returns when there may be something to see.
    async fn wait(&mut self) -> Result<()> {
        let Self::Events(events) = self else {
            tokio::time::sleep(AGAIN).await;
            return Ok(());
        };
        match events.next().await {
            // cri-o was restarted with another word on it
            None => *self = Self::EverySecond,
            Some(Err(refusal)) => return Err(refusal.error),
            Some(Ok(())) => {
                // one look sees what all that are there tell
                while let Some(Some(Ok(()))) = events.next().now_or_never() {}
            }
        }
        Ok(())
    }
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The events that containers themselves tell of, from a time on.
fn happened(facts: &[ContainerFacts], since: i64) -> Vec<ContainerEvent> {
    let mut events = differences(&[], facts, i64::MIN);
    events.retain(|event| event.nanoseconds >= since);
    events
}

/// The events between two looks, in the order in which it did; `now` dates what tells no time.
fn differences(
    before: &[ContainerFacts],
    after: &[ContainerFacts],
    now: i64,
) -> Vec<ContainerEvent> {
    let old: BTreeMap<&str, &ContainerFacts> = before
        .iter()
        .map(|facts| (facts.id.as_str(), facts))
        .collect();
    let mut events = Vec::new();
    // an end is told after a start of the same time
    for facts in after.iter().rev() {
        let was = old.get(facts.id.as_str()).copied();
        if was == Some(facts) {
            continue;
        }
        let had_run = was.is_some_and(|was| was.started_at.is_some());
        let over = |state: State| state == State::Exited;
        let mut told = Vec::new();
        if was.is_none() {
            told.push((Change::Created, facts.created_at.as_deref()));
        }
        if facts.started_at.is_some() && !had_run {
            told.push((Change::Started, facts.started_at.as_deref()));
        }
        if over(facts.state) && !was.is_some_and(|was| over(was.state)) {
            let exit_code = facts.exit_code;
            told.push((Change::Ended { exit_code }, facts.finished_at.as_deref()));
        }
        if told.is_empty() {
            told.push((Change::Other, None));
        }
        let told = told.into_iter();
        events.extend(told.map(|(change, time)| event(facts, change, time, now)));
    }
    let there: BTreeSet<&str> = after.iter().map(|facts| facts.id.as_str()).collect();
    let gone = before
        .iter()
        .filter(|facts| !there.contains(facts.id.as_str()));
    events.extend(gone.map(|facts| event(facts, Change::Removed, None, now)));
    events.sort_by_key(|event| event.nanoseconds);
    events
}

fn event(facts: &ContainerFacts, change: Change, time: Option<&str>, now: i64) -> ContainerEvent {
    let told = crate::pod::timestamp(time);
    let told = told.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    let nanoseconds = told.unwrap_or(now);
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    ContainerEvent {
        time: time.map(|time| format!("{time:.9}")).unwrap_or_default(),
        nanoseconds,
        change,
        member: facts.member().cloned(),
        id: facts.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: &str, state: State, started: Option<&str>) -> ContainerFacts {
        ContainerFacts {
            id: id.to_owned(),
            state,
            created_at: Some("2026-01-01T00:00:01Z".to_owned()),
            started_at: started.map(str::to_owned),
            exit_code: (state == State::Exited).then_some(7),
            finished_at: (state == State::Exited).then(|| "2026-01-01T00:00:05Z".to_owned()),
            ..ContainerFacts::default()
        }
    }

    fn told(before: &[ContainerFacts], after: &[ContainerFacts]) -> Vec<(String, Change)> {
        let events = differences(before, after, i64::MAX);
        events.into_iter().map(|one| (one.id, one.change)).collect()
    }

    #[test]
    fn two_looks_tell_what_happened_between_them() {
        let started = Some("2026-01-01T00:00:02Z");
        let new = facts("a", State::Created, None);
        let runs = facts("a", State::Running, started);
        let over = facts("a", State::Exited, started);
        let of = |change| vec![("a".to_owned(), change)];
        let ended = Change::Ended { exit_code: Some(7) };
        let one = std::slice::from_ref::<ContainerFacts>;
        assert_eq!(told(&[], one(&new)), of(Change::Created));
        assert_eq!(told(one(&new), one(&runs)), of(Change::Started));
        assert_eq!(told(one(&runs), one(&over)), of(ended));
        assert_eq!(told(one(&over), &[]), of(Change::Removed));
        assert_eq!(told(one(&runs), one(&runs)), []);
        // one that was short between two looks is told whole
        let all = told(&[], one(&over)).into_iter().map(|(_, change)| change);
        let whole = [Change::Created, Change::Started, ended];
        assert_eq!(all.collect::<Vec<_>>(), whole);
        // what was removed comes after what tells its time
        let next = ContainerFacts {
            id: "b".to_owned(),
            ..runs.clone()
        };
        let order = told(one(&over), one(&next));
        assert_eq!(order.last().unwrap().1, Change::Removed);
    }

    #[test]
    fn what_happened_before_the_first_look_is_told_by_its_time() {
        let over = facts("a", State::Exited, Some("2026-01-01T00:00:02Z"));
        let told = |since: &str| {
            let since = nanoseconds(since.parse().unwrap());
            happened(std::slice::from_ref(&over), since).len()
        };
        assert_eq!(told("2026-01-01T00:00:01Z"), 3);
        assert_eq!(told("2026-01-01T00:00:03Z"), 1);
        assert_eq!(told("2026-01-01T00:00:06Z"), 0);
        // one that tells no time is known by a second look alone
        let timeless = ContainerFacts {
            created_at: None,
            ..facts("a", State::Created, None)
        };
        assert_eq!(happened(&[timeless], 0), []);
    }

    #[test]
    fn a_change_that_begins_and_ends_nothing_is_told_as_one() {
        let runs = facts("a", State::Running, Some("2026-01-01T00:00:02Z"));
        let elsewhere = ContainerFacts {
            ips: vec!["10.0.0.9".to_owned()],
            ..runs.clone()
        };
        assert_eq!(told(&[runs], &[elsewhere])[0].1, Change::Other);
    }
}
