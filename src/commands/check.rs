//! `devnet check`: asks from inside every pod's network for every listener of every pod, and says
//! whether what Kubernetes promises is kept.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use crate::commands::invocation::Context;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::output::{style, write};
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{self, Depth, Gathered, ReachedNode};
use crate::engine::agent::AgentSession;
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::error::{Error, Kind, Result};
use crate::finding::Finding;
use crate::netns::reach::{self, Listener, ProbeAnswers};
use crate::netns::reach_judge::{Report, judge};
use crate::pod::{self, PlainContainers, Pod};
use crate::render::{self, document};
use crate::runtime_kind::RuntimeKind;
use crate::wording::{SOME, counted, listed};

/// Prove that pods reach each other, from inside each of them
///
/// Every listener that the kernel knows is tried from every pod's network and from its own
/// localhost, by a probe without any capability. Exits with 1 when a promise of Kubernetes is
/// broken.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet check                 every pod to every other
  devnet check -n shop         those of one namespace
  devnet check web             who reaches one pod
  devnet check -o json | jq '.cells[] | select(.outcome != \"ok\")'")]
pub(crate) struct Args {
    /// Only the listeners of these: a name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: PodChoice,
    #[arg(
        help = "How to print: text or json",
        short,
        long,
        value_name = "FORMAT",
        default_value = "text"
    )]
    output: Format,
}

/// The number of pods of one node that are asked from at once: each is a container that starts, and
/// then mostly waits for who does not answer.
const AT_ONCE: usize = 24;

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.choice.no_probe {
        return Err(
            Error::usage("only from inside the pods can be told who reaches whom")
                .hint("leave `--no-probe` out"),
        );
    }
    let depth = Depth {
        plain_containers: PlainContainers::Hide,
        probe: true,
    };
    let mut gathered = snapshot::gather_on(context, depth, args.choice.node.as_deref()).await?;
    args.choice.apply(&mut gathered.snapshot.pods, &[])?;
    let pods = std::mem::take(&mut gathered.snapshot.pods);
    let wanted = wanted(&pods, &args.pods)?;
    let blind = pods
        .iter()
        .filter(|pod| reach::entrance(pod).is_some())
        .all(|pod| pod.sockets.is_none());
    if blind && pods.iter().any(|pod| reach::entrance(pod).is_some()) {
        return Err(Error::failed("nobody could look at the pods' sockets")
            .hint("the note above says why the probe did not run"));
    }
    let ports = reach::ports(&pods, |index| wanted.contains(&index));
    let (asked, failures) = ask(context, &gathered, &pods, &ports).await?;
    let cells = reach::cells(&pods, &ports, &asked);
    let of_wanted: Vec<_> = asked
        .iter()
        .filter(|(index, _)| wanted.contains(index))
        .cloned()
        .collect();
    let dns = reach::resolvers(&pods, &of_wanted);
    let judged: Vec<Pod> = pods
        .iter()
        .enumerate()
        .filter(|(index, _)| wanted.contains(index))
        .map(|(_, pod)| pod.clone())
        .collect();
    let ids: Vec<&String> = judged.iter().flat_map(Pod::ids).collect();
    let of_several: Vec<Finding> = gathered
        .snapshot
        .findings
        .iter()
        .filter(|finding| finding.subjects.iter().any(|id| ids.contains(&id)))
        .cloned()
        .collect();
    let mut report = judge(&pods, &judged, &of_several, ports, cells, dns);
    if report.kept == Some(true) && !(failures.is_empty() && gathered.lost.is_empty()) {
        report.kept = None;
    }
    tell(context, &report, gathered.snapshot.runtime(), args.output)?;
    if judged.is_empty() {
        context.ui.say("no pods");
    }
    if report.kept == Some(false) {
        return Err(Error::failed(match report.findings.len() {
            1 => "a promise is broken".to_owned(),
            count => format!("promises are broken: {}", counted(count, "finding")),
        }));
    }
    if let Some(error) = failures.into_iter().next() {
        return Err(error.with_kind(Kind::Partly));
    }
    if !report.unseen.is_empty() {
        return Err(Error::failed(
            "whether every promise is kept is not known: not all could be looked at",
        )
        .caused_by(listed(&report.unseen, SOME))
        .with_kind(Kind::Partly));
    }
    gathered.outcome()
}

/// The indexes of the pods that are named; without names, of all.
fn wanted(pods: &[Pod], names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..pods.len()).collect());
    }
    names
        .iter()
        .map(|name| {
            let one = pod::select(pods, name)?;
            let same = |pod: &Pod| pod.uid == one.uid && pod.node == one.node;
            pods.iter()
                .position(same)
                .ok_or_else(|| Error::not_found(format!("there is no pod `{name}`")))
        })
        .collect()
}

fn tell(context: &Context, report: &Report, runtime: RuntimeKind, format: Format) -> Result<()> {
    let text = match format {
        Format::Json => document::json(&document::of_check(report, runtime))?,
        Format::Text => render::check::report(report, runtime, style(context)),
    };
    write(context, &text)
}

/// The indexes of pods, each with its answers, or none when its network could not be entered.
type Asked = Vec<(usize, Option<ProbeAnswers>)>;

/// Asks from inside every pod that runs; gives also why some could not be entered.
async fn ask(
    context: &Context,
    gathered: &Gathered,
    pods: &[Pod],
    ports: &[Listener],
) -> Result<(Asked, Vec<Error>)> {
    // pods on their node's own network ask once for all of them
    let mut networks: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        if reach::entrance(pod).is_some() {
            networks.entry(reach::network(pod)).or_default().push(index);
        }
    }
    let nodes: Vec<(&ReachedNode, AgentSession)> = gathered
        .engines
        .iter()
        .map(|node| {
            let agent = &node.engine.agent;
            (node, agent.session(agent.candidates(&node.facts)))
        })
        .collect();
    let clean = async {
        let sessions = nodes.iter().map(|(_, session)| session.cleanup());
        futures_util::future::join_all(sessions).await;
    };
    let work = async {
        let nodes = nodes.iter().map(|(node, session)| {
            let ours = networks
                .iter()
                .filter(|((name, ..), _)| *name == node.node)
                .map(|(_, indexes)| indexes);
            stream::iter(ours)
                .map(|indexes| inside(session, indexes, pods, ports))
                .buffer_unordered(AT_ONCE)
                .collect::<Vec<_>>()
        });
        Ok(futures_util::future::join_all(nodes).await)
    };
    let answers = context.or_undo(work, clean).await?;
    for (_, session) in &nodes {
        session.finish().await?;
    }
    let (mut asked, mut failures) = (Vec::new(), Vec::new());
    for (indexes, answer) in answers.into_iter().flatten() {
        let answers = match answer {
            Ok(answers) => Some(answers),
            Err(error) => {
                context.ui.warn(&format!(
                    "{} was not asked from: {}",
                    reach::full_name(&pods[indexes[0]]),
                    error.in_one_line()
                ));
                failures.push(error);
                None
            }
        };
        // the first is the entrance, whose resolver was asked; others on its network have their own
        let others = answers.as_ref().map(ProbeAnswers::without_resolvers);
        let (first, rest) = indexes.split_at(1);
        asked.extend(first.iter().map(|index| (*index, answers.clone())));
        asked.extend(rest.iter().map(|index| (*index, others.clone())));
    }
    asked.sort_by_key(|(index, _)| *index);
    Ok((asked, failures))
}

/// Asks from inside one network.
async fn inside<'p>(
    session: &AgentSession,
    indexes: &'p [usize],
    pods: &[Pod],
    ports: &[Listener],
) -> (&'p [usize], Result<ProbeAnswers>) {
    let entrance = indexes
        .iter()
        .find_map(|index| reach::entrance(&pods[*index]));
    let answer = match entrance {
        Some(entrance) => {
            let mut words = vec!["connect".to_owned()];
            words.extend(reach::questions(indexes, ports));
            let joins = JobNamespaces::Network(entrance.to_owned());
            session.output(Job::probe(words, joins, Power::None)).await
        }
        None => Err(Error::failed("nothing of it runs")),
    };
    (indexes, answer.map(|text| ProbeAnswers::parse(&text)))
}
