//! The part that commands on pods share: asking the engines and making pods of the answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::{Reached, all_or_partly, on_nodes};
use crate::commands::invocation::journal;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::engine::node_probe::NodeProbe;
use crate::engine::{About, Engine, Info};
use crate::error::{Error, Kind, Result};
use crate::finding::Finding;
use crate::netns::{self, Look, Neighbours, read_look};
use crate::pod::{self, Event, KubeletPod, Node, PlainContainers, Pod, Run, Snapshot, State};

/// The depth of a look at pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    pub(crate) plain_containers: PlainContainers,
    /// True where the nodes' kernels are asked too.
    pub(crate) probe: bool,
}

/// The result of a look at all nodes.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) snapshot: Snapshot,
    /// Each node's clock at that moment: containers carry its times.
    pub(crate) clocks: Vec<(String, Timestamp)>,
    /// The pods' past as far as it is known, this look included; empty for a look that is one of many.
    pub(crate) runs: pod::Runs,
    /// Nodes that did not answer, when others did.
    pub(crate) lost: Vec<Error>,
    /// The nodes' engines, for commands that ask on.
    pub(crate) engines: Vec<ReachedNode>,
}

/// A node that was reached, with its engine.
#[derive(Debug)]
pub(crate) struct ReachedNode {
    /// As in the snapshot.
    pub(crate) node: String,
    pub(crate) engine: Engine,
    pub(crate) facts: Arc<Vec<pod::ContainerFacts>>,
}

impl Gathered {
    /// The time on a node when it was looked at.
    pub(crate) fn now(&self, node: &str) -> Option<Timestamp> {
        self.clocks
            .iter()
            .find(|(name, _)| name == node)
            .map(|(_, now)| *now)
    }

    /// The time at which a node was last started, where its kernel was asked.
    pub(crate) fn up_since(&self, node: &str) -> Option<Timestamp> {
        let mut nodes = self.snapshot.nodes.iter();
        nodes.find(|one| one.name == node)?.up_since
    }

    /// The events of a pod so far; `present` are the containers that engines still have.
    pub(crate) fn past(&self, pod: &Pod, present: &BTreeSet<String>) -> Vec<Event> {
        let runs = self.runs.all().iter();
        let of_node: Vec<Run> = runs
            .filter(|run| run.node == pod.node || run.uid == pod.uid)
            .cloned()
            .collect();
        pod::history(&pod.uid, &of_node, present, self.up_since(&pod.node))
    }

    /// Done, or partly: some nodes did not answer.
    ///
    /// # Errors
    /// Partly (exit 5) with the first reason.
    pub(crate) fn outcome(self) -> Result<()> {
        all_or_partly(self.lost)
    }
}

/// The pods of these containers of one engine; what is new of them is written down.
pub(crate) async fn pods_of(
    context: &Context,
    engine: &Engine,
    target: &Target,
    node: &NodeTarget,
    containers: &[pod::ContainerFacts],
) -> Vec<Pod> {
    let mut pods = pod::pods(&node.name, containers, PlainContainers::Hide);
    let mut known = journal::load(context);
    journal::observe(&mut known, &pods, containers);
    // the journal has the machine's own name; asking for it takes its time, so only for news
    if known.has_news()
        && target.profile.is_none()
        && let Ok(info) = engine.runtime.info().await
    {
        let name = name_of(target, node, &info);
        let named = pod::pods(&name, containers, PlainContainers::Hide);
        journal::save(context, &mut journal::load(context), &named, containers);
    } else {
        journal::append(context, &mut known);
    }
    pods.retain(|pod| !pod.is_over());
    pods
}

/// Looks at every node of the target.
///
/// # Errors
/// When no node answers.
pub(crate) async fn gather(context: &Context, depth: Depth) -> Result<Gathered> {
    gather_on(context, depth, None).await
}

/// Looks at every node of the target, or at the one that is named.
///
/// # Errors
/// When no node answers, or there is none of that name.
pub(crate) async fn gather_on(
    context: &Context,
    depth: Depth,
    node: Option<&str>,
) -> Result<Gathered> {
    let target = context
        .target_on(Need::Pods, Nodes::named_or_all(node))
        .await?;
    let looks = on_nodes(&target.nodes, |node| look(context, &target, node, depth)).await;
    let mut known = journal::load(context);
    let mut gathered = assemble(context, &mut known, looks)?;
    gathered.runs = known;
    for error in &gathered.lost {
        context.ui.warn(&error.to_string());
    }
    Ok(gathered)
}

/// Makes one picture of what was seen on each node; what that says of the pods' past is added to what
/// is `known` of it.
///
/// # Errors
/// When nothing was seen on any.
pub(crate) fn assemble<N>(
    context: &Context,
    known: &mut pod::Runs,
    outcomes: impl IntoIterator<Item = (N, Result<NodeSnapshot>)>,
) -> Result<Gathered> {
    let reached = Reached::of(outcomes)?;
    let mut gathered = Gathered {
        snapshot: Snapshot {
            schema: 1,
            ..Snapshot::default()
        },
        clocks: Vec::new(),
        runs: pod::Runs::default(),
        lost: reached.lost.into_iter().map(|(_, error)| error).collect(),
        engines: Vec::new(),
    };
    for (_, seen) in reached.answered {
        gathered
            .clocks
            .extend(seen.now.map(|now| (seen.node.name.clone(), now)));
        gathered.engines.push(ReachedNode {
            node: seen.node.name.clone(),
            engine: seen.engine,
            facts: seen.facts,
        });
        gathered.snapshot.nodes.push(seen.node);
        gathered.snapshot.pods.extend(seen.pods);
        gathered.snapshot.findings.extend(seen.findings);
    }
    let clocks = gathered.clocks.clone();
    let now = |node: &str| {
        clocks
            .iter()
            .find(|(name, _)| name == node)
            .map(|(_, t)| *t)
    };
    let facts = || gathered.engines.iter().flat_map(|one| one.facts.iter());
    journal::save(context, known, &gathered.snapshot.pods, facts());
    let pods = &mut gathered.snapshot.pods;
    // what is left of a pod is remembered, and is no pod
    pods.retain(|pod| !pod.is_over());
    let of_several = pod::judge(pods, facts(), known.all(), now);
    gathered.snapshot.findings.extend(of_several);
    Ok(gathered)
}

/// The state seen on one node.
#[derive(Clone, Debug)]
pub(crate) struct NodeSnapshot {
    engine: Engine,
    node: Node,
    now: Option<Timestamp>,
    pods: Vec<Pod>,
    findings: Vec<Finding>,
    facts: Arc<Vec<pod::ContainerFacts>>,
}

async fn look(
    context: &Context,
    target: &Target,
    node: &NodeTarget,
    depth: Depth,
) -> Result<NodeSnapshot> {
    let engine = context.connect(node).await?;
    if depth.probe {
        engine.agent.send_ahead().await;
    }
    let listing = engine.runtime.listing().await?;
    let images = listing.candidates();
    // the probe is made meanwhile, and looks when all is told: it must see what the engine tells of
    let (told, all_told) = oneshot::channel::<()>();
    let engine_told = async {
        let outcome = futures_util::try_join!(
            listing.inspected(),
            engine.runtime.info(),
            engine.runtime.about()
        );
        drop(told);
        outcome
    };
    let all_but_kernel_told = async { Ok(engine.kubelet.beside(Box::pin(engine_told)).await) };
    let kernel_told = async {
        if !depth.probe {
            return Ok(None);
        }
        let session = engine.agent.session(images);
        let work = NodeProbe::look_once(&session, &engine.kubelet, async {
            let _all_told = all_told.await;
        });
        let answer = context.or_undo(work, session.cleanup()).await;
        let seen = answer.and_then(|probed| Ok((read_look(&probed.look)?, probed.pods)));
        match seen {
            Err(error) if error.kind() == Kind::Interrupted => Err(error),
            seen => Ok(Some(seen)),
        }
    };
    // what the engine fails to tell must not end the look before it is undone
    let ((outcome, kubelet), seen) = futures_util::try_join!(all_but_kernel_told, kernel_told)?;
    let (containers, info, about) = outcome?;
    let facts = containers.shared();
    let name = name_of(target, node, &info);
    let (view, by_probe) = match seen {
        Some(Err(error)) => {
            tell_blind(context, &name, &error);
            (None, None)
        }
        Some(Ok((view, pods))) => (Some(view), pods),
        None => (None, None),
    };
    let now = info.now();
    let about = about.clone();
    Ok(examine(
        engine,
        &about,
        name,
        depth.plain_containers,
        Told {
            facts,
            kubelet: kubelet.or(by_probe),
            now,
            view: view.as_ref(),
        },
    )
    .await)
}

/// An engine that belongs to no profile is called as its machine calls itself.
pub(crate) fn name_of(target: &Target, node: &NodeTarget, info: &Info) -> String {
    match (&target.profile, &info.name) {
        (None, Some(name)) => name.clone(),
        _ => node.name.clone(),
    }
}

/// Says that, and why, the kernel of a node was not asked.
pub(crate) fn tell_blind(context: &Context, node: &str, error: &Error) {
    let why = error
        .causes()
        .into_iter()
        .next()
        .map_or(String::new(), |why| format!(" ({why})"));
    let mut way_out = String::new();
    for hint in error.hints() {
        way_out.push_str("; ");
        way_out.push_str(hint);
    }
    context.ui.note(&format!(
        "what only the kernel of `{node}` knows is left out: {error}{why}{way_out}"
    ));
}

/// The answers about a node, each where it could be asked.
pub(crate) struct Told<'a> {
    pub(crate) facts: Arc<Vec<pod::ContainerFacts>>,
    pub(crate) kubelet: Option<Vec<KubeletPod>>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) view: Option<&'a Look>,
}

/// Makes pods of what an engine, and where they could be asked its kubelet and its kernel, say.
pub(crate) async fn examine(
    engine: Engine,
    about: &About,
    name: String,
    plain_containers: PlainContainers,
    told: Told<'_>,
) -> NodeSnapshot {
    let Told {
        facts,
        kubelet,
        now,
        view,
    } = told;
    let mut pods = pod::pods(&name, &facts, plain_containers);
    if let Some(kubelet) = kubelet {
        pod::hear(&mut pods, &name, kubelet);
    }
    let mut node = Node {
        name,
        runtime: engine.runtime.kind(),
        version: about.version.clone(),
        api_version: about.api_version.clone(),
        os: about.os.clone(),
        arch: about.arch.clone(),
        ..Node::default()
    };
    let mut findings = Vec::new();
    if let Some(view) = view {
        findings = netns::join(&mut pods, &mut node, view, &facts, engine.runtime.marks());
        for index in 0..pods.len() {
            let mut found = netns::listeners(&pods[index], &facts);
            let beside = Neighbours {
                pods: &pods,
                strangers: &node.listeners,
            };
            found.extend(conflicts(&engine, &pods[index], &facts, beside).await);
            pods[index].findings.extend(found);
        }
    } else {
        engine.runtime.ips_from_hosts_files(&mut pods, &facts).await;
    }
    NodeSnapshot {
        engine,
        node,
        now,
        pods,
        findings,
        facts,
    }
}

/// Finds containers that lost their port to another: their last words say so.
async fn conflicts(
    engine: &Engine,
    pod: &Pod,
    facts: &[pod::ContainerFacts],
    beside: Neighbours<'_>,
) -> Vec<Finding> {
    const LAST_LINES: usize = 20;
    let failed = |run: &&pod::Container| {
        // codes from 125 on are the runtime's own, or a signal's
        matches!(run.state, State::Exited | State::Restarting)
            && run.exit_code.is_some_and(|code| (1..125).contains(&code))
    };
    let mut found = Vec::new();
    for container in &pod.containers {
        let runs = [container].into_iter().chain(
            pod.containers_before
                .iter()
                .filter(|run| run.name == container.name),
        );
        let Some(run) = runs.take(2).find(failed) else {
            continue;
        };
        let Some(facts) = facts.iter().find(|facts| facts.id == run.id) else {
            continue;
        };
        // a container that has vanished, or whose logs can't be read, tells nothing
        if let Ok(log) = engine.runtime.printed(&run.id, LAST_LINES).await {
            found.extend(netns::conflict(pod, container, facts, &log, beside));
        }
    }
    found
}
