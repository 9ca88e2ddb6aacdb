//! Containers of pods that end as they are told to, so that the kubelet starts them again in the sandbox
//! they have: all of a pod's, or those that run an older image of a name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::try_join_all;

use crate::commands::invocation::comeback::{self, Outcome, full_name};
use crate::commands::invocation::{Context, question};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, Container, ContainerFacts, Killed, Origin, Pod, Pull, Renamed, State};
use crate::render;
use crate::wording::{MANY, counted, listed};

/// A pod some of whose containers are to be restarted, as it is before.
pub(crate) struct Restart {
    engine: Engine,
    pod: Pod,
    /// The IDs of those containers, with the seconds that each has to end.
    graces: Vec<(String, i64)>,
    /// The image that they are to run then, by name and ID.
    image: Option<(String, String)>,
}

impl Restart {
    /// Every app container of a pod that runs in its sandbox.
    ///
    /// # Errors
    /// When none runs there, or the engine does not answer.
    pub(crate) async fn of_pod(engine: Engine, found: Pod) -> Result<Self> {
        let (now, facts) = comeback::look(&engine, &found).await?;
        let pod = now.unwrap_or(found);
        let is_meant =
            |one: &&Container| one.state == State::Running && one.kind.starts_with("app");
        let containers = in_sandbox(&pod).filter(is_meant);
        let graces = graces(containers, &facts);
        if graces.is_empty() {
            let message = format!("no app container of pod `{}` runs in its sandbox", pod.name);
            return Err(Error::failed(message).hint("`devnet pods` shows what there is of it"));
        }
        Ok(Self {
            engine,
            pod,
            graces,
            image: None,
        })
    }

    /// The containers of these pods (of the kubelet's, on one node) that run an image which is no longer
    /// the one of its name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn of_image(
        engine: &Engine,
        pods: &[Pod],
        image: &Renamed,
    ) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for pod in pods.iter().filter(|pod| pod.origin == Origin::Kubernetes) {
            if pod::stale(std::slice::from_ref(pod), image).is_empty() {
                continue;
            }
            let (Some(now), facts) = comeback::look(engine, pod).await? else {
                continue;
            };
            let stale = pod::stale(std::slice::from_ref(&now), image);
            let ids: BTreeSet<&String> = stale.iter().map(|one| &one.container.id).collect();
            let containers = in_sandbox(&now).filter(|one| ids.contains(&one.id));
            let graces = graces(containers, &facts);
            if !graces.is_empty() {
                found.push(Self {
                    engine: engine.clone(),
                    pod: now.clone(),
                    graces,
                    image: Some((image.name.clone(), image.now.clone())),
                });
            }
        }
        Ok(found)
    }

    fn containers(&self) -> impl Iterator<Item = &Container> {
        let is_meant = |one: &&Container| self.graces.iter().any(|(id, _)| *id == one.id);
        self.pod.containers.iter().filter(is_meant)
    }

    /// The pod's name, with its namespace.
    pub(crate) fn name(&self) -> String {
        full_name(&self.pod)
    }

    /// The reason to leave the pod alone: what would run then is not what is there.
    pub(crate) fn obstacle(&self) -> Option<Error> {
        let pod = &self.pod;
        let left_alone = |why: String| {
            let name = &pod.name;
            Error::new(Kind::Partly, format!("pod `{name}` was left alone: {why}"))
        };
        let mut all = self.containers();
        all.find_map(|one| {
            if pod::pull_at_restart(pod, one) == Pull::Always {
                let why = format!(
                    "the kubelet pulls the image of its container `{}` before it starts it again",
                    one.name
                );
                return Some(left_alone(why).hint(
                    "`--force` restarts it anyway; it stays down where the image can't be pulled",
                ));
            }
            let (image, _) = self.image.as_ref()?;
            pod::is_at_digest(pod, one).then(|| {
                let why = format!(
                    "its container `{}` names its image by its digest, and would not run `{image}`",
                    one.name
                );
                left_alone(why).hint("`--force` restarts it anyway, with the image it has")
            })
        })
    }

    /// Restarts it, and waits no longer than this for what comes after.
    ///
    /// # Errors
    /// Partly with what is waited for, why it never comes back, or what it runs instead; those of the
    /// engine.
    pub(crate) async fn run(
        &self,
        limit: Duration,
        tell: &mut impl FnMut(Outcome, Option<String>) -> Result<()>,
    ) -> Result<()> {
        let killed: Vec<Killed<'_>> = self
            .containers()
            .map(|container| Killed {
                before: &self.pod,
                container: Some(container),
            })
            .collect();
        let runtime = &self.engine.runtime;
        let end = async {
            let stops = self.graces.iter();
            let stops = stops.map(|(id, grace)| runtime.stop(id, *grace));
            try_join_all(stops).await.map(drop)
        };
        let progress = comeback::after(&self.engine, &killed, limit, end).await?;
        let mut failure = Ok(());
        for (killed, progress) in killed.iter().zip(&progress) {
            let container = killed.container.map(|one| one.name.as_str());
            let back = comeback::comeback(progress);
            let line = back.map(|back| render::kill::line(&full_name(&self.pod), container, back));
            tell(Outcome::of(killed, "SIGTERM".to_owned(), progress), line)?;
            let one = comeback::outcome(&self.pod, progress, limit, "SIGTERM");
            failure = failure.and(one);
        }
        failure?;
        self.runs_the_image().await
    }

    /// Fails where what came after runs another image than was meant.
    async fn runs_the_image(&self) -> Result<()> {
        let Some((name, id)) = &self.image else {
            return Ok(());
        };
        let (now, _) = comeback::look(&self.engine, &self.pod).await?;
        let names: BTreeSet<&String> = self.containers().map(|one| &one.name).collect();
        let containers = now.iter().flat_map(|pod| &pod.containers);
        let mut others = containers
            .filter(|one| names.contains(&one.name))
            .filter(|one| one.image_id.as_ref().is_some_and(|own| own != id));
        others.next().map_or(Ok(()), |one| {
            let message = format!(
                "container `{}` of pod `{}` was restarted, and runs another image than `{name}`",
                one.name, self.pod.name
            );
            Err(Error::new(Kind::Partly, message)
                .hint("its pod names another image: whoever made the pod makes it anew"))
        })
    }
}

/// The containers that were made for the sandbox that is up.
fn in_sandbox(pod: &Pod) -> impl Iterator<Item = &Container> {
    let sandbox = pod.sandbox.as_ref().filter(|one| one.state.is_up());
    pod.containers.iter().filter(move |one| {
        sandbox.is_some_and(|sandbox| one.sandbox_id.as_ref() == Some(&sandbox.id))
    })
}

/// The seconds that each container has to end: the kubelet's note, else what Kubernetes gives by default.
fn graces<'c>(
    containers: impl Iterator<Item = &'c Container>,
    facts: &[ContainerFacts],
) -> Vec<(String, i64)> {
    const DEFAULT: i64 = 30;
    const LONGEST: i64 = 24 * 60 * 60;
    const NOTE: &str = "io.kubernetes.pod.terminationGracePeriod";
    containers
        .map(|container| {
            let of = facts.iter().find(|one| one.id == container.id);
            let note = of.and_then(|one| one.annotations.get(NOTE));
            let seconds = note.and_then(|text| text.parse().ok());
            let seconds: i64 = seconds.unwrap_or(DEFAULT);
            (container.id.clone(), seconds.clamp(0, LONGEST))
        })
        .collect()
}

/// Asks whether these may be restarted.
///
/// # Errors
/// Usage where nobody can be asked.
pub(crate) async fn agreed(context: &Context, all: &[Restart]) -> Result<bool> {
    let count: usize = all.iter().map(|one| one.graces.len()).sum();
    let names: Vec<String> = all.iter().map(|one| full_name(&one.pod)).collect();
    let what = format!(
        "{} of {}",
        counted(count, "container"),
        listed(&names, MANY)
    );
    let mut text = format!("Restart {what}?");
    for restart in all {
        let (name, pod) = (full_name(&restart.pod), &restart.pod);
        if pod.namespace == "kube-system" {
            let _infallible = write!(
                text,
                "\n{name} is in kube-system: a part of the cluster itself."
            );
        }
        let mut doubts: Vec<&str> = restart
            .containers()
            .filter_map(|one| pod::doubt(pod, Some(one)))
            .collect();
        doubts.dedup();
        for doubt in doubts {
            let _infallible = write!(text, "\nAttention, {name}: {doubt}.");
        }
        let perhaps = |one: &Container| pod::pull_at_restart(pod, one) == Pull::Perhaps;
        if restart.containers().any(perhaps) {
            let _infallible = write!(text, "\nThe kubelet may pull images of {name} anew.");
        }
    }
    let nobody = || {
        Error::usage(format!("nobody can be asked whether to restart {what}"))
            .hint("`--yes` restarts without asking")
    };
    question::agreed(context, &text, nobody).await
}
