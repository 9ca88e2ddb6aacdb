//! The part that `kill` and `restart` share: pods that come back after a part of them has ended, and
//! what is said of them.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::command_line;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{
    self, Comeback, ContainerFacts, Kept, Killed, Origin, PlainContainers, Pod, Progress, Standing,
};

/// Nobody waits longer for a pod.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads the limit of a wait: a duration, or seconds.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(jiff::SignedDuration::from_secs);
    let span = seconds.or_else(|_| text.parse::<jiff::SignedDuration>());
    let limit = span.ok().and_then(|span| Duration::try_from(span).ok());
    limit
        .filter(|limit| !limit.is_zero() && *limit <= LONGEST)
        .ok_or_else(|| "no time to wait, which is at most 24h: as 90s or 2m".to_owned())
}

/// The time between two looks at least.
const GAP: Duration = Duration::from_millis(50);
/// The time after which is looked again where no change was heard of.
const AGAIN: Duration = Duration::from_millis(500);

/// Looks at that pod; `None` where its node has nothing of it. With the facts of its engine.
pub(crate) async fn look(
    engine: &Engine,
    wanted: &Pod,
) -> Result<(Option<Pod>, Vec<ContainerFacts>)> {
    let containers = Box::pin(engine.runtime.containers());
    let (facts, kubelet) = engine.kubelet.beside(containers).await;
    let facts = facts?;
    let mut pods = pod::pods(&wanted.node, &facts, PlainContainers::Hide);
    if let Some(kubelet) = kubelet {
        pod::hear(&mut pods, &wanted.node, kubelet);
    }
    pods.retain(|pod| pod.uid == wanted.uid && pod.origin == wanted.origin);
    engine.runtime.ips_from_hosts_files(&mut pods, &facts).await;
    Ok((pods.pop(), facts))
}

/// Refuses pods that nobody would bring back; `lab` is the command that does it to the lab's.
///
/// # Errors
/// Partly for plain containers, usage for the lab's.
pub(crate) fn possible(pod: &Pod, container: Option<&str>, lab: &[&str]) -> Result<()> {
    let name = &pod.name;
    match pod.origin {
        Origin::Kubernetes => Ok(()),
        Origin::Lab => Err(
            Error::usage(format!("pod `{name}` is the lab's")).hint(format!(
                "`{}` does it there, and makes anew what has ended",
                command_line::with("devnet lab", lab)
            )),
        ),
        Origin::Docker => Err(Error::new(
            Kind::Partly,
            format!("nothing restarts `{name}` once it is killed, so it was not"),
        )
        .caused_by(
            "these are plain containers, and Docker starts none again that was killed through it",
        )
        .hint(format!(
            "`{}` ends and starts it",
            command_line::with("docker restart", [container.unwrap_or(name)])
        ))),
    }
}

/// Does `end`, and waits until all of a pod that was killed is back, or something of it never will
/// be; gives how far each got in that time.
///
/// # Errors
/// Those of `end`.
pub(crate) async fn after(
    engine: &Engine,
    killed: &[Killed<'_>],
    limit: Duration,
    end: impl Future<Output = Result<()>>,
) -> Result<Vec<Progress>> {
    let Some(before) = killed.first().map(|one| one.before) else {
        return Ok(Vec::new());
    };
    let mut last = Vec::new();
    // what happens from now on is heard of
    let mut changes = engine.runtime.changes(None).await.fuse();
    end.await?;
    let wait = async {
        loop {
            last = match look(engine, before).await {
                Ok((now, _)) => killed
                    .iter()
                    .map(|one| one.progress(now.as_ref()))
                    .collect(),
                // what was killed may be a part of the node's own work
                Err(error) => {
                    let why = format!("the node: {}", error.in_one_line());
                    killed
                        .iter()
                        .map(|_| Progress::Waits(why.clone()))
                        .collect()
                }
            };
            let is_settled = |one: &Progress| matches!(one, Progress::Back(_) | Progress::Over(_));
            if last.iter().all(is_settled) {
                break;
            }
            tokio::time::sleep(GAP).await;
            tokio::select! {
                Some(Ok(_)) = changes.next() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    };
    // what is waited for at the end of the time is told
    let _in_time = tokio::time::timeout(limit, wait).await;
    if last.is_empty() {
        let first = || Progress::Waits("the first look at the pod".to_owned());
        last = killed.iter().map(|_| first()).collect();
    }
    Ok(last)
}

pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The outcome for a container, or a sandbox; the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    node: String,
    namespace: String,
    name: String,
    uid: String,
    /// `None` is the sandbox.
    container: Option<String>,
    signal: String,
    back: bool,
    waits_for: Option<String>,
    kept: Option<Kept>,
    before: Standing,
    after: Option<Standing>,
}

impl Outcome {
    pub(crate) fn of(killed: &Killed<'_>, signal: String, progress: &Progress) -> Self {
        let pod = killed.before;
        let comeback = comeback(progress);
        Self {
            node: pod.node.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            container: killed.container.map(|one| one.name.clone()),
            signal,
            back: comeback.is_some(),
            waits_for: match progress {
                Progress::Survives(what) | Progress::Waits(what) => Some(what.clone()),
                Progress::Over(_) | Progress::Back(_) => None,
            },
            kept: comeback.map(Comeback::kept),
            before: Standing::of(pod),
            after: comeback.map(|comeback| comeback.after.clone()),
        }
    }
}

/// The pod that is back, if it is.
pub(crate) fn comeback(progress: &Progress) -> Option<&Comeback> {
    match progress {
        Progress::Back(comeback) => Some(comeback),
        _ => None,
    }
}

/// Done, or partly: it is not back.
///
/// # Errors
/// Partly (exit 5) with what is waited for, or why it never comes back.
pub(crate) fn outcome(pod: &Pod, progress: &Progress, limit: Duration, signal: &str) -> Result<()> {
    let seconds = limit.as_secs_f64();
    let (message, hint) = match progress {
        Progress::Back(_) => return Ok(()),
        Progress::Over(why) => (
            format!("nothing brings pod `{}` back: {why}", pod.name),
            "whoever made the pod makes it anew".to_owned(),
        ),
        Progress::Survives(what) => (
            format!("after {seconds} s {what} is still waited for"),
            format!(
                "{signal} was sent, and a program may do with it what it likes; `devnet kill` with `-s KILL` ends any"
            ),
        ),
        Progress::Waits(what) => (
            format!("after {seconds} s {what} is still waited for"),
            format!(
                "the kubelet waits longer before each new attempt, 5 minutes at most; `{}` tells when it comes",
                command_line::with("devnet watch", ["-n", &pod.namespace])
            ),
        ),
    };
    Err(Error::new(Kind::Partly, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_duration_or_seconds_and_never_nothing() {
        let seconds = |text| limit(text).map(|limit| limit.as_secs_f64());
        assert_eq!(seconds("60s"), Ok(60.0));
        assert_eq!(seconds("1m30s"), Ok(90.0));
        assert_eq!(seconds("5"), Ok(5.0));
        for text in ["", "0", "0s", "-1", "25h", "soon", "99999999999999999999"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_pods_that_somebody_brings_back_are_possible() {
        let pod =
            |facts: ContainerFacts| pod::pods("node", &[facts], PlainContainers::Show).remove(0);
        let lab = ["kill", "web", "-c", "a b"];
        let of = |facts: ContainerFacts| {
            let pod = pod(facts);
            possible(&pod, None, &lab).map_err(|error| (error.kind(), error.hints().join("")))
        };
        let kubelets = ContainerFacts::of_kubelet("POD", "default/web/u", 0, "");
        assert_eq!(of(kubelets), Ok(()));
        let labs = ContainerFacts::of_lab("POD", "default/web/u", 0, "");
        let (kind, hint) = of(labs).unwrap_err();
        assert_eq!(kind, Kind::Usage);
        assert!(hint.contains("`devnet lab kill web -c 'a b'`"), "{hint}");
        let plain = ContainerFacts {
            id: "c".to_owned(),
            name: "web".to_owned(),
            ..ContainerFacts::default()
        };
        let (kind, hint) = of(plain).unwrap_err();
        assert_eq!(kind, Kind::Partly);
        assert!(hint.contains("`docker restart web`"), "{hint}");
    }
}
