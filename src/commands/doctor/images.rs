//! The doctor at a node's images: names that pods ask for in vain, names that no pod can ask for, and images
//! that run and can't be built upon.

use crate::command_line;
use crate::engine::Engine;
use crate::error::Result;
use crate::finding::{Finding, Severity};
use crate::image::reference::{canonical, familiar, is_given};
use crate::image::wanted::{self, Absent, NodeImages, Wanted};
use crate::pod::{ContainerFacts, Part, State};
use crate::wording::{MANY, counted, listed};

/// The places of images that a cluster is made of: nobody builds upon them.
const OF_THE_CLUSTER: [&str; 3] = [
    "registry.k8s.io/",
    "gcr.io/k8s-minikube/",
    "docker.io/kindest/",
];

/// Looks at a node's images, and at what its pods ask for.
///
/// # Errors
/// When the node does not answer.
pub(super) async fn look(node: &str, engine: &Engine) -> Result<NodeImages> {
    let asked =
        async { futures_util::try_join!(engine.images.inventory(), engine.runtime.containers()) };
    let (answers, kubelet) = engine.kubelet.beside(Box::pin(asked)).await;
    let (held, containers) = answers?;
    let mut wanted: Vec<Wanted> = containers.iter().filter_map(runs).collect();
    for pod in kubelet.unwrap_or_default() {
        wanted.extend(pod.word.missed_images().map(|image| Wanted {
            pod: format!("{}/{}", pod.key.namespace, pod.key.name),
            image: image.to_owned(),
        }));
    }
    Ok(NodeImages {
        node: node.to_owned(),
        held,
        wanted,
    })
}

/// The image of a pod's container that runs.
fn runs(container: &ContainerFacts) -> Option<Wanted> {
    let member = container.member()?;
    let runs = member.part != Part::Sandbox && container.state == State::Running;
    runs.then(|| Wanted {
        pod: format!("{}/{}", member.pod.namespace, member.pod.name),
        image: container.image.clone(),
    })
}

/// Findings about names that pods ask for and that no image of their node has.
pub(super) fn absent(nodes: &[NodeImages], profile: Option<&str>) -> Vec<Finding> {
    let all = wanted::absent(nodes).into_iter();
    all.map(|absent| of_absent(absent, profile.unwrap_or_default()))
        .collect()
}

fn of_absent(absent: Absent, profile: &str) -> Finding {
    let image = familiar(&absent.image);
    let load = ["-p", profile, "load"];
    let (code, message, words) = match &absent.elsewhere {
        Some(other) => (
            "image-elsewhere",
            format!("pods ask for `{image}`, which only node `{other}` has"),
            [&load[..], &["--from-node", other, &image]].concat(),
        ),
        None => (
            "image-without-name",
            format!(
                "pods run `{image}`, and no image of the node has that name any more: none of them can be started anew"
            ),
            [&load[..], &[&image]].concat(),
        ),
    };
    let fix = command_line::with("devnet", words);
    let mut finding = Finding::new(code, Severity::Warning, message, fix)
        .seen(format!("pods: {}", listed(&absent.pods, MANY)))
        .about(absent.pods);
    finding.node = Some(absent.node);
    finding
}

/// The finding about images of a person's that run and no more.
pub(super) fn run_only(images: &NodeImages, profile: Option<&str>) -> Option<Finding> {
    let is_own = |name: &&String| !OF_THE_CLUSTER.iter().any(|place| name.starts_with(place));
    let names: Vec<String> = images
        .held
        .iter()
        .filter(|image| image.run_only)
        .filter_map(|image| image.names.iter().find(is_own))
        .map(|name| familiar(name))
        .collect();
    let first = names.first()?;
    let message = format!(
        "the node has thrown blobs of {} away: BuildKit can't build `FROM` them through a Docker engine there, and they can't be pushed",
        counted(names.len(), "image")
    );
    let load = ["-p", profile.unwrap_or_default(), "load", "--whole", first];
    let finding = Finding::new(
        "run-only-images",
        Severity::Info,
        message,
        command_line::with("devnet", load),
    );
    Some(finding.seen(format!("images: {}", listed(&names, MANY))))
}

/// The finding about names that no pod finds: the kubelet's runtime looks names up in full.
pub(super) fn not_in_full(images: &NodeImages, profile: Option<&str>) -> Option<Finding> {
    let names = |in_full: bool| {
        let all = images.held.iter().flat_map(|image| &image.names);
        all.filter(move |name| is_given(name) && (canonical(name) == **name) == in_full)
    };
    let whole: Vec<&String> = names(true).collect();
    let names: Vec<String> = names(false)
        .filter(|name| !whole.contains(&&canonical(name)))
        .cloned()
        .collect();
    let first = names.first()?;
    let message = format!(
        "no pod finds {}: the kubelet's runtime looks for `{}`, and another tool gave `{first}`",
        counted(names.len(), "name"),
        canonical(first)
    );
    let profile = profile.unwrap_or_default();
    let whole = canonical(first);
    let ssh = ["minikube", "ssh", "-p", profile, "-n", &images.node, "--"];
    let tag = [
        "sudo", "ctr", "-n", "k8s.io", "images", "tag", first, &whole,
    ];
    let finding = Finding::new(
        "name-not-in-full",
        Severity::Warning,
        message,
        command_line::of([&ssh[..], &tag].concat()),
    );
    let mut finding = finding.seen(format!("names: {}", listed(&names, MANY)));
    finding.node = Some(images.node.clone());
    Some(finding)
}
