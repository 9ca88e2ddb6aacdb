//! `--watch` of `pods`, `inspect` and `ports`: looking again whenever an engine says that something
//! happened, over connections and a probe that stay.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};

use crate::commands::invocation::Context;
use crate::commands::invocation::journal;
use crate::commands::invocation::output::{SnapshotForm, write};
use crate::commands::invocation::snapshot::{self, Depth, Gathered, NodeSnapshot, Told};
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::engine::Info;
use crate::engine::agent::AgentSession;
use crate::engine::node_probe::{Ask, NodeProbe};
use crate::error::{Error, Kind, Result};
use crate::netns::read_look;
use crate::pod;
use crate::render;
use crate::terminal::{Resizes, Screen};

/// The stillness of events that a look waits for: what belongs together comes together.
const STILL: Duration = Duration::from_millis(40);
/// The most that is waited for stillness.
const AT_MOST: Duration = Duration::from_millis(200);
/// A program opens its ports a while after its start, which no event tells: until the kernel is
/// asked again after an event, after that, and so on. The last one repeats.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(700),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// Until an engine that was lost is tried again.
const RETRY: Duration = Duration::from_secs(1);

type News = (usize, Result<NodeSnapshot>);

/// Shows what `choose` leaves and `draw` writes.
///
/// # Errors
/// When there is nothing to show or nobody to ask.
pub(crate) async fn once(
    context: &Context,
    depth: Depth,
    node: Option<&str>,
    choose: impl AsyncFn(&mut Gathered) -> Result<()>,
    draw: impl Fn(&Gathered) -> Result<String>,
) -> Result<Gathered> {
    let mut gathered = snapshot::gather_on(context, depth, node).await?;
    choose(&mut gathered).await?;
    write(context, &draw(&gathered)?)?;
    Ok(gathered)
}

/// Shows what `choose` leaves and `draw` writes, again at every change, until it is interrupted or
/// nobody reads any more.
///
/// # Errors
/// As the first look has them; what goes wrong later is said and waited for.
pub(crate) async fn watch(
    context: &Context,
    depth: Depth,
    node: Option<&str>,
    form: Option<SnapshotForm>,
    choose: impl AsyncFn(&mut Gathered) -> Result<()>,
    draw: impl Fn(&Gathered) -> Result<String>,
) -> Result<()> {
    let target = context
        .target_on(Need::Pods, Nodes::named_or_all(node))
        .await?;
    let (tell, told) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let followers = target.nodes.iter().enumerate().map(|(index, node)| {
        let follower = Follower {
            context,
            target: &target,
            node,
            depth,
            index,
            tell: tell.clone(),
            stopped: stopped.clone(),
        };
        follower.follow()
    });
    let mut followers = std::pin::pin!(futures_util::future::join_all(followers));
    let view = Showing {
        context,
        nodes: target.nodes.iter().map(|node| node.name.clone()).collect(),
        form,
        choose,
        draw,
    };
    let outcome = tokio::select! {
        outcome = view.show(told) => outcome,
        // they only leave when the run is interrupted
        _ = &mut followers => return Err(Error::interrupted()),
    };
    // what they keep in their nodes is taken away before the end
    let _listening = stop.send(true);
    followers.await;
    outcome
}

/// A follower that stays with one node.
struct Follower<'a> {
    context: &'a Context,
    target: &'a Target,
    node: &'a NodeTarget,
    depth: Depth,
    index: usize,
    tell: mpsc::UnboundedSender<News>,
    stopped: watch::Receiver<bool>,
}

impl Follower<'_> {
    /// Stays with the node, and comes back to it whenever it was lost.
    async fn follow(self) {
        loop {
            let session = OnceCell::new();
            let work = async {
                let mut stopped = self.stopped.clone();
                tokio::select! {
                    outcome = self.stay(&session) => outcome,
                    _ = stopped.wait_for(|stopped| *stopped) => Err(Error::interrupted()),
                }
            };
            let undo = async {
                if let Some(session) = session.get() {
                    AgentSession::cleanup(session).await;
                }
            };
            match Box::pin(self.context.or_undo_quietly(work, undo)).await {
                Ok(never) => match never {},
                Err(error) if error.kind() == Kind::Interrupted => return,
                // nobody listens when everything ends
                Err(error) => drop(self.tell.send((self.index, Err(error)))),
            }
            let rest = async {
                let mut stopped = self.stopped.clone();
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => Ok(()),
                    _ = stopped.wait_for(|stopped| *stopped) => Err(Error::interrupted()),
                }
            };
            if self.context.or_undo_quietly(rest, async {}).await.is_err() {
                return;
            }
        }
    }

    /// Looks, and looks again at every change, until the node is lost.
    async fn stay(&self, session: &OnceCell<AgentSession>) -> Result<Infallible> {
        let engine = self.context.reconnect(self.node).await?;
        let (info, about) = futures_util::try_join!(engine.runtime.info(), engine.runtime.about())?;
        let name = snapshot::name_of(self.target, self.node, &info);
        let mut clock = Clock::new(&info);
        // from a time before the first look on: nothing falls in between
        let mut changes = engine.runtime.changes(clock.now()).await;
        let mut containers = engine.runtime.listing().await?.inspected().await?;
        let mut kept = None;
        if self.depth.probe {
            let images = engine.agent.candidates(containers.facts());
            let session = session.get_or_init(|| engine.agent.session(images));
            match NodeProbe::start(session).await {
                Ok(probe) => kept = Some(probe),
                Err(error) => snapshot::tell_blind(self.context, &name, &error),
            }
        }
        let mut quiet = 0;
        let mut ask = Ask::Everything;
        loop {
            let (view, by_probe) = match &mut kept {
                Some(probe) => {
                    let pods = probe.pods(&engine.kubelet).await?;
                    (Some(read_look(&probe.ask(ask).await?)?), pods)
                }
                None => (None, None),
            };
            let ((), kubelet) = engine.kubelet.beside(async {}).await;
            let plain_containers = self.depth.plain_containers;
            let seen = snapshot::examine(
                engine.clone(),
                about,
                name.clone(),
                plain_containers,
                Told {
                    facts: containers.shared(),
                    kubelet: kubelet.or(by_probe),
                    now: clock.now(),
                    view: view.as_ref(),
                },
            );
            let _listening = self.tell.send((self.index, Ok(seen.await)));
            let wait = AGAIN[quiet.min(AGAIN.len() - 1)];
            match tokio::time::timeout(wait, changes.next()).await {
                Ok(Some(change)) => {
                    let mut changed = BTreeSet::from([change?]);
                    let gather = async {
                        while let Ok(Some(more)) = tokio::time::timeout(STILL, changes.next()).await
                        {
                            changed.extend(more);
                        }
                    };
                    let _long = tokio::time::timeout(AT_MOST, gather).await;
                    containers.refresh(changed).await?;
                    (quiet, ask) = (0, Ask::Changes);
                }
                Ok(None) => {
                    return Err(Error::failed(format!("`{name}` tells no more events")));
                }
                Err(_quiet) => {
                    (quiet, ask) = (quiet + 1, Ask::Everything);
                    // also whether it still answers at all
                    let (info, ()) =
                        futures_util::try_join!(engine.runtime.info(), containers.check())?;
                    clock = Clock::new(&info);
                }
            }
        }
    }
}

/// A node's clock between two answers that tell the time there.
struct Clock {
    then: Option<jiff::Timestamp>,
    told: Instant,
}

impl Clock {
    fn new(info: &Info) -> Self {
        Self {
            then: info.now(),
            told: Instant::now(),
        }
    }

    fn now(&self) -> Option<jiff::Timestamp> {
        self.then?.checked_add(self.told.elapsed()).ok()
    }
}

/// The picture that is shown, and the way to choose and draw it.
struct Showing<'a, C, D> {
    context: &'a Context,
    nodes: Vec<String>,
    form: Option<SnapshotForm>,
    choose: C,
    draw: D,
}

impl<C, D> Showing<'_, C, D>
where
    C: AsyncFn(&mut Gathered) -> Result<()>,
    D: Fn(&Gathered) -> Result<String>,
{
    async fn show(&self, mut told: mpsc::UnboundedReceiver<News>) -> Result<()> {
        let in_place = matches!(self.form, None | Some(SnapshotForm::Wide))
            && self.context.ui.stdout_is_terminal();
        let mut screen = None;
        let mut resizes = Resizes::new();
        let mut latest: Vec<Option<Result<NodeSnapshot>>> =
            self.nodes.iter().map(|_| None).collect();
        let mut before: Option<String> = None;
        let mut begun = false;
        let mut known = journal::load(self.context);
        let mut frame = String::new();
        loop {
            tokio::select! {
                news = told.recv() => {
                    let Some((index, news)) = news else { return Ok(()) };
                    self.tell_turn(index, latest[index].as_ref(), &news, in_place);
                    latest[index] = Some(news);
                }
                () = resizes.next(), if screen.is_some() => {}
            }
            while let Ok((index, news)) = told.try_recv() {
                self.tell_turn(index, latest[index].as_ref(), &news, in_place);
                latest[index] = Some(news);
            }
            let outcomes: Option<Vec<_>> = latest
                .iter()
                .map(|one| one.as_ref().map(duplicate))
                .collect();
            let Some(outcomes) = outcomes else {
                continue; // some node was not heard of yet
            };
            match snapshot::assemble(self.context, &mut known, outcomes.into_iter().enumerate()) {
                Err(error) if !begun => return Err(error),
                Err(_all_lost) => {}
                Ok(mut gathered) => {
                    match (self.choose)(&mut gathered).await {
                        Err(error) if !begun => return Err(error),
                        // a pod that was there before may come back
                        Err(_gone) => gathered.snapshot.pods.clear(),
                        Ok(()) => {}
                    }
                    let first = !std::mem::replace(&mut begun, true);
                    if in_place {
                        frame = (self.draw)(&gathered)?;
                    } else {
                        let now = key(&gathered)?;
                        if before.as_ref() == Some(&now) {
                            continue;
                        }
                        before = Some(now);
                        if !self.document(&gathered, first)? {
                            return Ok(());
                        }
                    }
                }
            }
            if in_place {
                let screen = match &mut screen {
                    Some(screen) => screen,
                    none => none.insert(Screen::enter(&self.context.ui)),
                };
                screen.show(&frame, &self.lost(&latest));
            }
        }
    }

    /// Writes one more document; `false` when nobody reads any more.
    fn document(&self, gathered: &Gathered, first: bool) -> Result<bool> {
        let text = match self.form {
            Some(SnapshotForm::Json) => render::document::pods_json_line(&gathered.snapshot)?,
            form => {
                let between = match (first, form) {
                    (true, _) => "",
                    (false, Some(SnapshotForm::Yaml)) => "---\n",
                    (false, _) => "\n",
                };
                format!("{between}{}", (self.draw)(gathered)?)
            }
        };
        self.context
            .ui
            .stream_bytes(text.as_bytes())
            .map_err(Error::stdout)
    }

    /// Says when a node is lost and when it is back; on a screen the frame says it.
    fn tell_turn(
        &self,
        index: usize,
        before: Option<&Result<NodeSnapshot>>,
        now: &Result<NodeSnapshot>,
        in_place: bool,
    ) {
        let name = &self.nodes[index];
        match (before, now) {
            _ if in_place => {}
            (None | Some(Ok(_)), Err(error)) if self.nodes.len() > 1 || before.is_some() => {
                self.context.ui.say(&format!(
                    "`{name}` was lost, and is tried again: {}",
                    error.in_one_line()
                ));
            }
            (Some(Err(_)), Ok(_)) => self.context.ui.say(&format!("`{name}` is back")),
            _ => {}
        }
    }

    fn lost(&self, latest: &[Option<Result<NodeSnapshot>>]) -> Vec<String> {
        let lost = self.nodes.iter().zip(latest);
        lost.filter_map(|(name, outcome)| match outcome {
            Some(Err(error)) => Some(format!("lost: `{name}`: {}", error.in_one_line())),
            _ => None,
        })
        .collect()
    }
}

fn duplicate(outcome: &Result<NodeSnapshot>) -> Result<NodeSnapshot> {
    match outcome {
        Ok(seen) => Ok(seen.clone()),
        Err(error) => Err(error.duplicate()),
    }
}

/// The key by which a change is told: not the connections that come and go.
fn key(gathered: &Gathered) -> Result<String> {
    let mut snapshot = gathered.snapshot.clone();
    for sockets in snapshot
        .pods
        .iter_mut()
        .filter_map(|pod| pod.sockets.as_mut())
    {
        sockets.retain(pod::Socket::is_listening);
    }
    render::document::pods_json_line(&snapshot)
}
