//! Names of pods, containers and images for a shell that completes a command line: asked of the
//! engines that the line means, within a moment, and silent whatever happens.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches as _};
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use clap_complete::env::{CompleteEnv, Shells};

use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::on_nodes;
use crate::commands::invocation::target::Need;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::reference;
use crate::pod::{self, Origin, PlainContainers, Pod};
use crate::settings::flags::GlobalFlags;
use crate::settings::{Environment, Settings};
use crate::template;
use crate::ui::{TerminalOptions, Ui};

/// Set by the scripts of `devnet completions`, to the shell's name.
const VARIABLE: &str = "DEVNET_COMPLETE";
/// A person who pressed Tab waits no longer.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(300);

/// The maker of the tree that reads the command line. clap calls completers with nothing but the
/// word under the cursor, so it is kept here for as long as the process answers a shell.
static TREE: OnceLock<fn() -> clap::Command> = OnceLock::new();

/// Answers a shell that completes a line, if it is one that calls. Says whether it was.
pub(crate) fn answered(arguments: &[OsString], tree: fn() -> clap::Command) -> bool {
    let tree = *TREE.get_or_init(|| tree);
    let here = std::env::current_dir().ok();
    // whoever is in the middle of a line wants to read no reason
    CompleteEnv::with_factory(tree)
        .var(VARIABLE)
        .try_complete(arguments.iter().cloned(), here.as_deref())
        .unwrap_or(true)
}

/// The script that makes a shell call devnet for what can stand next.
///
/// # Errors
/// When there is none for that shell.
pub(crate) fn registration(shell: &str) -> Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let writer = shells
        .completer(shell)
        .ok_or_else(|| Error::usage(format!("there is no completion for `{shell}`")))?;
    writer
        .write_registration(VARIABLE, "devnet", "devnet", "devnet", &mut script)
        .map_err(|error| Error::failed("the script could not be made").caused_by(error))?;
    if shell == "bash" {
        script.extend_from_slice(template::COMPLETION_WORDS_BASH.as_bytes());
    }
    Ok(script)
}

/// The command line that was typed so far, as far as it can be read.
struct Line {
    matches: ArgMatches,
}

impl Line {
    /// A completing shell calls `devnet -- WORDS`.
    fn of_process() -> Option<Self> {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
        let command = TREE.get()?().ignore_errors(true);
        let matches = command.try_get_matches_from(words).ok()?;
        Some(Self { matches })
    }

    /// A value of the innermost command.
    fn values(&self, name: &str) -> Vec<String> {
        let mut innermost = &self.matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        match innermost.try_get_many::<String>(name) {
            Ok(Some(values)) => values.cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The purpose for which its command needs an engine.
    fn need(&self) -> Need {
        match self.matches.subcommand_name() {
            Some("lab") => Need::Lab,
            Some("images") => Need::Image,
            _ => Need::Pods,
        }
    }

    /// Gives what `ask` finds within the moment that a person waits.
    fn ask<T>(&self, ask: impl AsyncFnOnce(&Context) -> Result<T>) -> Option<T> {
        let global = GlobalFlags::from_arg_matches(&self.matches).ok()?;
        let settings = Settings::new(global, Environment::of_process());
        let context = Context::new(
            settings,
            Ui::new(&TerminalOptions {
                silent: true,
                ..TerminalOptions::default()
            }),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let found = runtime
            .block_on(async { tokio::time::timeout(COMPLETION_TIMEOUT, ask(&context)).await });
        // what still waits for an engine is not waited for
        runtime.shutdown_background();
        found.ok()?.ok()
    }

    /// The pods of the nodes that it means; of the lab, where it is a verb of that.
    fn pods(&self) -> Option<Vec<Pod>> {
        let need = self.need();
        let mut pods = self.ask(async |context| of_all(context, need, pods_of).await)?;
        if need == Need::Lab {
            pods.retain(|pod| pod.origin == Origin::Lab);
        }
        if let Some(namespace) = self.values("namespace").first() {
            pods.retain(|pod| pod.namespace == *namespace);
        }
        Some(pods)
    }
}

/// Collects the answers of all nodes; one that does not answer has nothing.
async fn of_all<T>(
    context: &Context,
    need: Need,
    ask: impl AsyncFn(&str, &Engine) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let target = context.target(need).await?;
    let all = on_nodes(&target.nodes, async |node| {
        let engine = context.connect(node).await?;
        ask(&node.name, &engine).await
    });
    let answered = all.await.into_iter().filter_map(|(_, answer)| answer.ok());
    Ok(answered.flatten().collect())
}

async fn pods_of(node: &str, engine: &Engine) -> Result<Vec<Pod>> {
    let containers = engine.runtime.containers().await?;
    Ok(pod::pods(node, &containers, PlainContainers::Hide))
}

/// An engine's images by their names.
async fn images_of(_node: &str, engine: &Engine) -> Result<Vec<String>> {
    let images = engine.images.image_names().await?;
    Ok(images.into_iter().flat_map(|(_, names)| names).collect())
}

/// Images of the nodes.
pub(crate) fn images(current: &OsStr) -> Vec<CompletionCandidate> {
    let found = Line::of_process().and_then(|line| {
        let need = line.need();
        line.ask(async |context| of_all(context, need, images_of).await)
    });
    candidates(image_names(found.unwrap_or_default()), current)
}

/// Candidates that can be loaded: images of the engine that `load` takes them from, and files.
pub(crate) fn sources(current: &OsStr) -> Vec<CompletionCandidate> {
    let found = Line::of_process().and_then(|line| {
        let from = line.values("from_host").into_iter().next();
        line.ask(async |context| {
            let from = match &from {
                Some(url) => Endpoint::plain(Address::parse(url)?),
                None => context.host_endpoint()?,
            };
            let engine = Engine::connect(&from, &context.settings).await?;
            images_of("", &engine).await
        })
    });
    let mut all = candidates(image_names(found.unwrap_or_default()), current);
    all.extend(PathCompleter::any().complete(current));
    all
}

/// Names that a person gave, without those under which devnet sends layers.
fn image_names(names: Vec<String>) -> BTreeMap<String, String> {
    names
        .into_iter()
        .filter(|name| reference::is_given(name))
        .map(|name| (name, String::new()))
        .collect()
}

/// Pods, by name; those whose name is another's too, or where a namespace was begun, in full.
pub(crate) fn pods(current: &OsStr) -> Vec<CompletionCandidate> {
    let found = Line::of_process().and_then(|line| line.pods());
    candidates(
        pod_names(&found.unwrap_or_default(), &current.to_string_lossy()),
        current,
    )
}

/// Containers of the pod that the line names, else of all.
pub(crate) fn containers(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(line) = Line::of_process() else {
        return Vec::new();
    };
    let Some(pods) = line.pods() else {
        return Vec::new();
    };
    let named = line.values("pod");
    let chosen = named.first().and_then(|name| pod::select(&pods, name).ok());
    let of: Vec<&Pod> = chosen.map_or_else(|| pods.iter().collect(), |pod| vec![pod]);
    let names: BTreeMap<String, String> = of
        .iter()
        .flat_map(|pod| &pod.containers)
        .map(|one| (one.name.clone(), format!("{} {}", one.state, one.image)))
        .collect();
    candidates(names, current)
}

/// Names with a word about each.
fn pod_names(pods: &[Pod], current: &str) -> BTreeMap<String, String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods {
        *count.entry(&pod.name).or_default() += 1;
    }
    let mut names = BTreeMap::new();
    for pod in pods {
        let about = format!("{} {}", pod.namespace, pod.ips.join(" "));
        let full = current.contains('/') || count[pod.name.as_str()] > 1;
        let name = if full {
            format!("{}/{}", pod.namespace, pod.name)
        } else {
            pod.name.clone()
        };
        names.insert(name, about.trim_end().to_owned());
    }
    names
}

fn candidates(names: BTreeMap<String, String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    // a name goes into a command line as it is: one that a shell would read otherwise stays out
    let plain = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
        !name.starts_with('-') && name.chars().all(fits)
    };
    names
        .into_iter()
        .filter(|(name, _)| name.starts_with(&*current) && plain(name))
        .map(|(name, about)| {
            let about = crate::visible::field(&about);
            let help = (!about.is_empty()).then(|| about.into());
            CompletionCandidate::new(name).help(help)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::ContainerFacts;

    fn pod(namespace: &str, name: &str) -> Pod {
        let pod = format!("{namespace}/{name}/uid-{namespace}-{name}");
        let facts = ContainerFacts {
            id: format!("{namespace}{name}"),
            state: "running".into(),
            ..ContainerFacts::of_kubelet("POD", &pod, 0, "")
        };
        pod::pods("n", &[facts], PlainContainers::Hide).remove(0)
    }

    fn names(all: &[Pod], current: &str) -> Vec<String> {
        candidates(pod_names(all, current), OsStr::new(current))
            .iter()
            .map(|one| one.get_value().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_name_is_full_where_it_must_be_or_was_begun_so() {
        let all = [
            pod("a", "web"),
            pod("b", "web"),
            pod("b", "worker"),
            pod("c", "db"),
        ];
        assert_eq!(names(&all, "w"), ["worker"]);
        assert_eq!(names(&all, ""), ["a/web", "b/web", "db", "worker"]);
        assert_eq!(names(&all, "b/"), ["b/web", "b/worker"]);
    }

    #[test]
    fn an_image_is_offered_once_and_by_a_name_that_a_person_gave() {
        let all = [
            "app:dev",
            "<none>:<none>",
            "app:dev",
            "127.0.0.1:5000/devnet-transfer/x:1",
        ];
        let names = image_names(all.map(str::to_owned).into());
        assert_eq!(names.into_keys().collect::<Vec<_>>(), ["app:dev"]);
    }

    #[test]
    fn a_name_that_a_shell_would_obey_is_not_offered() {
        let mut evil = pod("a", "web");
        for name in ["$(reboot)", "a b", "x;y", "-rf", "`id`"] {
            evil.name = name.into();
            assert!(names(&[evil.clone()], "").is_empty(), "{name}");
        }
    }
}
