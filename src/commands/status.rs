//! `devnet status`: which engine devnet talks to, why, and what it answers.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::commands::invocation::Context;
use crate::commands::invocation::ask_minikube::from_minikube;
use crate::commands::invocation::every_node::on_nodes;
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::engine::{Engine, ImageStore};
use crate::error::{Error, Result};
use crate::render::document;
use crate::runtime_kind::RuntimeKind;
use crate::visible::field;
use crate::wire::tls;
use crate::wording::{MANY, listed};

/// Show which engine devnet talks to, and why
///
/// Exits 0 when every node answers, 3 when one does not. Where minikube is on PATH and its node
/// answers, what minikube says stands beside what its files say; `--from files` does not ask it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet status
  devnet -p other status -o json --from files")]
pub(crate) struct Args {
    /// Only this node of the profile
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    printed: Printed,
    /// auto (minikube's files, and minikube itself beside them) or files
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "auto",
        hide_possible_values = true
    )]
    from: From,
}

/// minikube takes a second or more; a person waits no longer for a comparison.
const MINIKUBE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    Auto,
    Files,
}

/// The document that `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    decided_by: String,
    profile: Option<String>,
    nodes: Vec<NodeReport>,
    /// `null` when it was not asked.
    minikube: Option<MinikubeReport>,
}

/// Minikube's own word on the first node's engine.
#[derive(Debug, Serialize)]
struct MinikubeReport {
    endpoint: Option<String>,
    /// True where that is what its files say.
    agrees: Option<bool>,
    /// The reason why it does not say.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    name: String,
    /// Unknown where only forwarded ports lead to it and it does not run.
    endpoint: Option<String>,
    tls: bool,
    runtime: RuntimeKind,
    answers: bool,
    /// The reason why it does not answer.
    error: Option<String>,
    /// The same for a person who sees which node it is.
    #[serde(skip)]
    reason: Option<String>,
    hint: Option<String>,
    version: Option<String>,
    api_version: Option<String>,
    os: Option<String>,
    arch: Option<String>,
    /// The name that the node's machine gives itself.
    machine: Option<String>,
    image_store: Option<&'static str>,
    round_trip_ms: Option<f64>,
    /// The node's clock minus this computer's, in seconds.
    clock_offset_seconds: Option<i64>,
    certificates: Vec<CertificateReport>,
    /// The engine that devnet runs on a node with another runtime.
    docker: Option<DockerReport>,
}

#[derive(Debug, Serialize)]
struct DockerReport {
    endpoint: Option<String>,
    answers: bool,
    /// The command that starts it.
    #[serde(skip)]
    start: String,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    file: &'static str,
    /// RFC 3339.
    expires: String,
    expired: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let target = context
        .target_on(Need::Pods, Nodes::named_or_all(args.node.as_deref()))
        .await?;
    let engines = context.engines_of(&target).await;
    let looks = on_nodes(&target.nodes, async |node| {
        let engine = engines.iter().find(|engine| engine.name == node.name);
        look(context, node, engine).await
    });
    let looks = looks.await;
    let nodes: Vec<NodeReport> = looks.into_iter().map(|(_, report)| report).collect();
    let silent: Vec<String> = nodes
        .iter()
        .filter(|node| !node.answers)
        .map(|node| format!("`{}`", node.name))
        .collect();
    // asked of a node that does not answer, minikube would start or restart its engine
    let minikube = match &target.profile {
        Some(profile)
            if args.from == From::Auto
                && nodes[0].answers
                // there it would change the node
                && nodes[0].runtime == RuntimeKind::Docker =>
        {
            let at = nodes[0].endpoint.as_deref().unwrap_or_default();
            ask_minikube(profile, at, context).await
        }
        _ => None,
    };
    let Target {
        profile,
        decided_by,
        ..
    } = target;
    let report = Report {
        schema: 1,
        decided_by,
        profile,
        nodes,
        minikube,
    };
    let text = match args.printed.output {
        Format::Json => document::json(&report)?,
        Format::Text => report.to_text(),
    };
    context.ui.data(&text).map_err(Error::stdout)?;
    if silent.is_empty() {
        return Ok(());
    }
    let mut error = Error::unreachable(format!("no answer from {}", listed(&silent, MANY)));
    for node in &report.nodes {
        if let Some(hint) = &node.hint {
            error = error.hint(hint.clone());
        }
    }
    Err(error)
}

/// Compares with what minikube says, where there is one.
async fn ask_minikube(profile: &str, endpoint: &str, context: &Context) -> Option<MinikubeReport> {
    context.minikube_program().ok()?;
    let ssh = endpoint.starts_with("ssh://");
    let asked = Box::pin(from_minikube(profile, ssh, context));
    let said = tokio::time::timeout(MINIKUBE, asked).await;
    let (endpoint, agrees, error) = match said {
        Ok(Ok(env)) => {
            let agrees = env.host == endpoint;
            if !agrees {
                context.ui.warn(&format!(
                    "minikube and its own files disagree about profile `{profile}`: it says {}, they say {endpoint}",
                    env.host
                ));
            }
            (Some(env.host), Some(agrees), None)
        }
        Ok(Err(error)) => (None, None, Some(error.in_one_line())),
        Err(_elapsed) => {
            let error = format!("no answer within {} s", MINIKUBE.as_secs());
            (None, None, Some(error))
        }
    };
    Some(MinikubeReport {
        endpoint,
        agrees,
        error,
    })
}

async fn look(context: &Context, node: &NodeTarget, engine: Option<&NodeTarget>) -> NodeReport {
    let now = jiff::Timestamp::now();
    let certificates = engine
        .unwrap_or(node)
        .endpoint
        .cert_path
        .as_deref()
        .map(tls::expiries)
        .unwrap_or_default();
    let mut report = NodeReport {
        name: node.name.clone(),
        endpoint: node.at(),
        tls: node.endpoint.cert_path.is_some(),
        runtime: node.endpoint.runtime,
        answers: false,
        error: None,
        reason: None,
        hint: None,
        version: None,
        api_version: None,
        os: None,
        arch: None,
        machine: None,
        image_store: None,
        round_trip_ms: None,
        clock_offset_seconds: None,
        certificates: certificates
            .into_iter()
            .map(|certificate| CertificateReport {
                file: certificate.file,
                expires: jiff::Timestamp::from_second(certificate.not_after)
                    .map_or_else(|_| String::new(), |time| time.to_string()),
                expired: certificate.not_after < now.as_second(),
            })
            .collect(),
        docker: match engine {
            Some(engine) => Some(DockerReport {
                endpoint: engine.at(),
                answers: context.handshake(engine).await.is_ok(),
                start: Context::engine_command("start", engine),
            }),
            None => None,
        },
    };
    match answer(context, node, &mut report).await {
        Ok(()) => report.answers = true,
        Err(error) => {
            report.hint = error.hints().first().cloned();
            let whole = error.in_one_line();
            // that this node does not answer, and where it is, its line says already
            let mut causes = error.causes();
            report.reason = match causes.len() {
                0 | 1 => Some(whole.clone()),
                _ => causes.pop(),
            };
            report.error = Some(whole);
        }
    }
    report
}

async fn answer(context: &Context, node: &NodeTarget, report: &mut NodeReport) -> Result<()> {
    let engine: Engine = context.connect(node).await?;
    report.runtime = engine.runtime.kind();
    let about = engine.runtime.about().await?;
    report.version.clone_from(&about.version);
    report.api_version.clone_from(&about.api_version);
    report.os.clone_from(&about.os);
    report.arch.clone_from(&about.arch);
    let info = engine.runtime.info().await?;
    report.machine = info.name;
    report.image_store = Some(match info.store {
        ImageStore::Cri if report.runtime == RuntimeKind::CriO => "containers/storage",
        ImageStore::Containerd | ImageStore::Cri => "containerd",
        ImageStore::Graph => "graph driver",
    });
    report.clock_offset_seconds = info
        .system_time
        .and_then(|time| time.parse::<jiff::Timestamp>().ok())
        .map(|time| time.as_second() - jiff::Timestamp::now().as_second());
    // microseconds are finer than any network is steady
    report.round_trip_ms =
        Some((engine.runtime.round_trip().await?.as_secs_f64() * 1e6).round() / 1e3);
    Ok(())
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.decided_by);
        for node in &self.nodes {
            let secured = if node.tls { " (TLS)" } else { "" };
            let at = node.endpoint.as_deref().unwrap_or("(nowhere)");
            let _infallible = writeln!(text, "{}  {}{secured}", field(&node.name), field(at));
            let mut line = |name: &str, value: &str| {
                let _infallible = writeln!(text, "  {name:<12} {}", field(value));
            };
            if let Some(reason) = &node.reason {
                line("answers", &format!("no: {reason}"));
            } else {
                let or_unknown =
                    |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
                line(
                    "engine",
                    &format!(
                        "{} {}, API {}",
                        node.runtime,
                        or_unknown(&node.version),
                        or_unknown(&node.api_version)
                    ),
                );
                line(
                    "machine",
                    &format!(
                        "{}, {}/{}",
                        or_unknown(&node.machine),
                        or_unknown(&node.os),
                        or_unknown(&node.arch)
                    ),
                );
                if let Some(store) = node.image_store {
                    line("image store", store);
                }
                if let Some(time) = node.round_trip_ms {
                    line("round trip", &format!("{time} ms"));
                }
                match node.clock_offset_seconds {
                    // it takes that long to ask
                    Some(-2..=2) => line("clock", "in step with this computer"),
                    Some(offset) => line("clock", &format!("{offset:+} s against this computer")),
                    None => {}
                }
            }
            if let Some(docker) = &node.docker {
                let at = docker.endpoint.as_deref().unwrap_or("(nowhere)");
                if docker.answers {
                    line("docker", &format!("answers at {at}"));
                } else {
                    line("docker", &format!("does not run: `{}`", docker.start));
                }
            }
            for certificate in &node.certificates {
                let word = if certificate.expired {
                    "EXPIRED"
                } else {
                    "until"
                };
                line(certificate.file, &format!("{word} {}", certificate.expires));
            }
        }
        if let Some(minikube) = &self.minikube {
            let said = match (&minikube.endpoint, minikube.agrees, &minikube.error) {
                (Some(_), Some(true), _) => "says the same as its files".into(),
                (Some(endpoint), ..) => format!("says {endpoint}, its files do not"),
                (None, _, error) => format!(
                    "does not say: {}",
                    error.as_deref().unwrap_or("no reason is known")
                ),
            };
            let _infallible = writeln!(text, "minikube itself {}", field(&said));
        }
        text
    }
}
