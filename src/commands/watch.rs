//! `devnet watch`: what happens to pods, as it happens, on all nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::commands::invocation::every_node::{Reached, on_nodes};
use crate::commands::invocation::format::Format;
use crate::commands::invocation::journal;
use crate::commands::invocation::output::style;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes};
use crate::commands::invocation::{Context, snapshot};
use crate::engine::Engine;
use crate::engine::kubelet::Kubelet;
use crate::engine::node_probe::NodeProbe;
use crate::engine::runtime::ContainerEvents;
use crate::error::{Error, Result};
use crate::netns::{self, read_look};
use crate::pod::{
    self, ContainerEvent, ContainerFacts, Event, EventKind, Node, PlainContainers, Pod, Runs,
    Selector,
};
use crate::render::{self, document};

/// Print what happens to pods as it happens: restarts, and what they do to the IP address
///
/// Goes on until Ctrl-C, also when an engine is away for a while. What it sees is kept in devnet's
/// journal, for `devnet history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet watch                      all pods
  devnet watch web -o json          one pod, one JSON object a line
  devnet watch -n default -l app=web")]
pub(crate) struct Args {
    /// Only these: a name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: crate::commands::invocation::pod_choice::PodChoice,
    /// text, or json: one object a line
    #[arg(
        short,
        long,
        value_name = "FORM",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Format,
}

/// Until an engine that is away is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// The stillness of events after which they are told: what belongs together comes together.
const STILL: Duration = Duration::from_millis(60);
/// The most that is taken together.
const BATCH: usize = 200;
/// The time after which a silent engine is asked if it is still there.
const STILL_THERE: Duration = Duration::from_secs(15);

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let nodes = Nodes::named_or_all(args.choice.node.as_deref());
    let target = context.target_on(Need::Pods, nodes).await?;
    let selector = args
        .choice
        .selector
        .as_deref()
        .map(Selector::parse)
        .transpose()?;
    let watch = Watch {
        labels: RefCell::default(),
        context,
        args: &args,
        selector,
        named: RefCell::default(),
        runs: RefCell::new(journal::load(context)),
        told: RefCell::default(),
    };
    let of_profile = target.profile.is_some();
    let watch = &watch;
    let looks = on_nodes(&target.nodes, |node| watch.begin(node, of_profile));
    let reached = Reached::of(looks.await)?;
    let (mut begun, mut pods) = (Vec::new(), Vec::new());
    for (node, seen) in reached.answered {
        pods.extend(seen.pods.iter().cloned());
        begun.push((node, Some(seen)));
    }
    args.choice.apply(&mut pods, &args.pods)?;
    if !args.pods.is_empty() {
        *watch.named.borrow_mut() = pods
            .into_iter()
            .map(|pod| (pod.namespace, pod.name))
            .collect();
    }
    for (node, error) in reached.lost {
        context.ui.warn(&error.to_string());
        begun.push((node, None));
    }
    context.ui.say(&format!(
        "watching {} node{}",
        begun.len(),
        if begun.len() == 1 { "" } else { "s" }
    ));
    let nodes = begun
        .into_iter()
        .map(|(node, seen)| Box::pin(watch.node(node, of_profile, seen)));
    // one ends when nobody reads any more
    futures_util::future::select_all(nodes).await.0
}

struct Watch<'a> {
    context: &'a Context,
    args: &'a Args,
    selector: Option<Selector>,
    /// Namespace and name of the pods that were named; a pod that comes again under its name is
    /// watched too.
    named: RefCell<BTreeSet<(String, String)>>,
    runs: RefCell<Runs>,
    /// Of each pod, also when its sandbox is gone.
    labels: RefCell<BTreeMap<String, BTreeMap<String, String>>>,
    /// The events that were printed, or had happened before.
    told: RefCell<BTreeSet<(String, EventKind, String)>>,
}

/// One node's engine and what it has.
struct WatchedNode {
    engine: Engine,
    name: String,
    /// In the order of their IDs.
    facts: Vec<ContainerFacts>,
    pods: Vec<Pod>,
    /// Asked for before `facts` were: nothing falls between.
    events: ContainerEvents,
    /// From when on its events are still to be told.
    since: i64,
    /// The time at which the node was last started, where its kernel was asked.
    up_since: Option<jiff::Timestamp>,
}

impl WatchedNode {
    /// The index of a container, or the one that it would have.
    fn index(&self, id: &str) -> std::result::Result<usize, usize> {
        self.facts.binary_search_by(|one| one.id.as_str().cmp(id))
    }

    fn present(&self) -> BTreeSet<String> {
        pod::present(&self.facts)
    }
}

impl Watch<'_> {
    /// Connects, and takes what there is for known.
    async fn begin(&self, node: &NodeTarget, of_profile: bool) -> Result<WatchedNode> {
        let seen = self.meet(node, of_profile, None).await?;
        self.take_for_known(&seen);
        Ok(seen)
    }

    fn take_for_known(&self, seen: &WatchedNode) {
        let mut runs = self.runs.borrow_mut();
        journal::observe(&mut runs, &seen.pods, &seen.facts);
        journal::append(self.context, &mut runs);
        let present = seen.present();
        let mut told = self.told.borrow_mut();
        for pod in &seen.pods {
            for event in pod::history(&pod.uid, runs.all(), &present, seen.up_since) {
                told.insert(key(&event));
            }
        }
    }

    /// Drops what is known of the node's pods that are gone for long.
    fn forget(&self, seen: &WatchedNode) {
        const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
        let Ok(now) = jiff::Timestamp::from_nanosecond(seen.since.into()) else {
            return;
        };
        let mut runs = self.runs.borrow_mut();
        let recent = |run: &pod::Run| {
            let removed = run.removed_at.as_deref().and_then(|at| at.parse().ok());
            let last = run.began().max(run.ended()).max(removed);
            last.is_some_and(|last| now.duration_since(last) < KEPT)
        };
        let (mut kept, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for run in runs.all() {
            let there = run.node != seen.name || seen.index(&run.id).is_ok();
            let set = if there || recent(run) {
                &mut kept
            } else {
                &mut gone
            };
            set.insert(run.uid.clone());
        }
        gone.retain(|uid| !kept.contains(uid));
        if gone.is_empty() {
            return;
        }
        let ids: BTreeSet<String> = runs
            .all()
            .iter()
            .filter(|run| gone.contains(&run.uid))
            .map(|run| run.id.clone())
            .collect();
        runs.forget(&gone);
        self.labels
            .borrow_mut()
            .retain(|uid, _| !gone.contains(uid));
        self.told.borrow_mut().retain(|(id, ..)| !ids.contains(id));
    }

    fn labels_of(&self, pods: &[Pod]) {
        let with_sandbox = pods.iter().filter(|pod| pod.sandbox.is_some());
        self.labels
            .borrow_mut()
            .extend(with_sandbox.map(|pod| (pod.uid.clone(), pod.labels.clone())));
    }

    /// Connects and looks; its events are those since `before`, or from now on.
    async fn meet(
        &self,
        node: &NodeTarget,
        of_profile: bool,
        before: Option<i64>,
    ) -> Result<WatchedNode> {
        let engine = self.context.reconnect(node).await?;
        // its clock before its containers: what happens in between is told twice, not never
        let info = engine.runtime.info().await?;
        let since = before.map_or_else(|| info.nanoseconds(), Ok)?;
        let tells_events = engine.runtime.tells_events().await;
        let events = engine.runtime.container_events(since, None).await;
        let mut facts = engine.runtime.containers().await?;
        let name = match info.name {
            Some(name) if !of_profile => name,
            _ => node.name.clone(),
        };
        let mut pods = pod::pods(&name, &facts, PlainContainers::Hide);
        engine.runtime.ips_from_hosts_files(&mut pods, &facts).await;
        self.labels_of(&pods);
        if !tells_events {
            self.context.ui.note(&format!(
                "{} on node `{name}` tells no events: its containers are listed once a second",
                engine.runtime.kind()
            ));
        }
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(WatchedNode {
            engine,
            name,
            facts,
            pods,
            events,
            since,
            up_since: None,
        })
    }

    /// Follows one node, for ever; ends when nobody reads what is printed.
    async fn node(
        &self,
        node: &NodeTarget,
        of_profile: bool,
        begun: Option<WatchedNode>,
    ) -> Result<()> {
        let mut before = begun.as_ref().map(|seen| seen.since);
        let mut next = begun;
        loop {
            let mut seen = if let Some(seen) = next.take() {
                seen
            } else {
                let Ok(mut seen) = self.meet(node, of_profile, before).await else {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                };
                self.context
                    .ui
                    .say(&format!("node `{}` is there again", node.name));
                if before.is_some() {
                    // what happened meanwhile: from its memory, and from what is different
                    let uids = seen.pods.iter().map(|pod| pod.uid.clone()).collect();
                    if !self.tell(&mut seen, uids).await? {
                        return Ok(());
                    }
                } else {
                    // it was away from the beginning
                    self.take_for_known(&seen);
                }
                seen
            };
            let lost = self.follow(&mut seen).await?;
            before = Some(seen.since);
            match lost {
                None => return Ok(()),
                Some(why) => {
                    self.context.ui.say(&format!(
                        "node `{}` is lost, looking for it again: {why}",
                        node.name
                    ));
                    // one that answers and then fails must not be asked without a pause
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Tells what an engine tells until it is lost; `None` when nobody reads any more.
    async fn follow(&self, seen: &mut WatchedNode) -> Result<Option<Error>> {
        loop {
            let first = tokio::select! {
                event = seen.events.next() => event,
                () = tokio::time::sleep(STILL_THERE) => {
                    // a connection may be dead without anyone having said so
                    match tokio::time::timeout(STILL_THERE, seen.engine.runtime.round_trip()).await {
                        Ok(Ok(_)) => continue,
                        Ok(Err(error)) => return Ok(Some(error)),
                        Err(_elapsed) => return Ok(Some(Error::failed("it does not answer"))),
                    }
                }
            };
            let mut batch = match first {
                Some(Ok(event)) => vec![event],
                Some(Err(error)) => return Ok(Some(error)),
                None => return Ok(Some(Error::failed("it ended its events"))),
            };
            let mut lost = None;
            while batch.len() < BATCH {
                match tokio::time::timeout(STILL, seen.events.next()).await {
                    Err(_elapsed) => break,
                    Ok(Some(Ok(event))) => batch.push(event),
                    Ok(Some(Err(error))) => {
                        lost = Some(error);
                        break;
                    }
                    Ok(None) => {
                        lost = Some(Error::failed("it ended its events"));
                        break;
                    }
                }
            }
            match self.hear(seen, &batch).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                // these events are asked for again
                Err(error) => return Ok(Some(error)),
            }
            if let Some(last) = batch.last() {
                seen.since = last.nanoseconds;
            }
            if lost.is_some() {
                return Ok(lost);
            }
        }
    }

    /// Takes in some events and tells what they mean; `false` when nobody reads any more.
    async fn hear(&self, seen: &mut WatchedNode, batch: &[ContainerEvent]) -> Result<bool> {
        let ids: BTreeSet<&String> = batch.iter().map(|heard| &heard.id).collect();
        for id in ids {
            let now = seen.engine.runtime.container(id).await?;
            match (seen.index(id), now) {
                (Ok(index), Some(facts)) => seen.facts[index] = facts,
                (Ok(index), None) => drop(seen.facts.remove(index)),
                (Err(index), Some(facts)) => seen.facts.insert(index, facts),
                (Err(_), None) => {}
            }
        }
        let facts = &seen.facts;
        let mut pods = pod::pods(&seen.name, facts, PlainContainers::Hide);
        // addresses that the engine does not know are read anew only where they may be new
        for pod in pods.iter_mut().filter(|pod| pod.ips.is_empty()) {
            // an address is of a namespace, and each start of a sandbox makes a new one
            let run = |pod: &Pod| {
                let sandbox = pod.sandbox.as_ref()?;
                Some((sandbox.id.clone(), sandbox.started_at.clone()))
            };
            let now = run(pod);
            let mut known = seen.pods.iter();
            if let Some(known) = known.find(|known| now.is_some() && run(known) == now) {
                pod.ips.clone_from(&known.ips);
            }
        }
        seen.engine
            .runtime
            .ips_from_hosts_files(&mut pods, facts)
            .await;
        self.labels_of(&pods);
        seen.pods = pods;
        // exact times first: an event tells them a moment later
        journal::observe(&mut self.runs.borrow_mut(), &seen.pods, &seen.facts);
        let mut touched = BTreeSet::new();
        {
            let mut runs = self.runs.borrow_mut();
            for heard in batch {
                runs.hear(&seen.name, heard);
            }
            for heard in batch {
                let of = runs.all().iter().filter(|run| run.id == heard.id);
                touched.extend(of.map(|run| run.uid.clone()));
            }
        }
        self.tell(seen, touched).await
    }

    /// Prints what is new in these pods' histories.
    async fn tell(&self, seen: &mut WatchedNode, uids: BTreeSet<String>) -> Result<bool> {
        journal::observe(&mut self.runs.borrow_mut(), &seen.pods, &seen.facts);
        let mut news = self.news(seen, &uids);
        let new_sandbox = news
            .iter()
            .any(|event| event.kind == EventKind::SandboxStarted);
        if new_sandbox && !self.args.choice.no_probe && self.look(seen).await {
            // now with the numbers of their namespaces
            news = self.news(seen, &uids);
        }
        journal::append(self.context, &mut self.runs.borrow_mut());
        self.forget(seen);
        let mut text = String::new();
        for event in news {
            self.told.borrow_mut().insert(key(&event));
            if self.args.output == Format::Json {
                let line = document::json_line(&event)?;
                text.push_str(&line);
            } else {
                text.push_str(&render::history::line(&event, style(self.context)));
            }
        }
        self.context
            .ui
            .stream_bytes(text.as_bytes())
            .map_err(Error::stdout)
    }

    /// Events in these pods' histories that were not told, of those that are watched.
    fn news(&self, seen: &WatchedNode, uids: &BTreeSet<String>) -> Vec<Event> {
        let runs = self.runs.borrow();
        let told = self.told.borrow();
        let present = seen.present();
        let mut news: Vec<Event> = uids
            .iter()
            .filter(|uid| self.is_watched(&runs, uid))
            .flat_map(|uid| pod::history(uid, runs.all(), &present, seen.up_since))
            .filter(|event| !told.contains(&key(event)))
            .collect();
        news.sort_by_cached_key(|event| event.time.parse::<jiff::Timestamp>().ok());
        news
    }

    fn is_watched(&self, runs: &Runs, uid: &str) -> bool {
        let Some(run) = runs.all().iter().find(|run| run.uid == uid) else {
            return false;
        };
        let choice = &self.args.choice;
        choice
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == run.namespace)
            && self.selector.as_ref().is_none_or(|selector| {
                selector.fits(self.labels.borrow().get(uid).unwrap_or(&BTreeMap::new()))
            })
            && (self.args.pods.is_empty()
                || self
                    .named
                    .borrow()
                    .contains(&(run.namespace.clone(), run.pod.clone())))
    }

    /// Asks the node's kernel; whether it answered.
    async fn look(&self, seen: &mut WatchedNode) -> bool {
        let agent = &seen.engine.agent;
        let session = agent.session(agent.candidates(&seen.facts));
        // Ctrl-C may come while the probe's container is there
        let work = NodeProbe::look_once(&session, &Kubelet::Silent, async {});
        let view = self.context.or_undo(work, session.cleanup()).await;
        match view.and_then(|probed| read_look(&probed.look)) {
            Ok(view) => {
                let mut node = Node::default();
                let marks = seen.engine.runtime.marks();
                netns::join(&mut seen.pods, &mut node, &view, &seen.facts, marks);
                seen.up_since = node.up_since;
                journal::observe(&mut self.runs.borrow_mut(), &seen.pods, &seen.facts);
                true
            }
            Err(error) => {
                snapshot::tell_blind(self.context, &seen.name, &error);
                false
            }
        }
    }
}

/// The key that tells an event from all others.
fn key(event: &Event) -> (String, EventKind, String) {
    (event.id.clone(), event.kind, event.time.clone())
}
