//! The doctor at a node: does it answer, as itself, with certificates that hold, at the right time,
//! to the docker command too; and has a killed devnet left something there.

use crate::command_line;
use crate::commands::doctor::images;
use crate::commands::doctor::look::{of_error, set, take};
use crate::commands::invocation::Context;
use crate::commands::invocation::target::NodeTarget;
use crate::docker_env::diagnosis::{self, CheckedNode};
use crate::docker_env::endpoint::Address;
use crate::engine::Engine;
use crate::engine::docker::leftovers::Leftovers;
use crate::engine::node_docker;
use crate::error::{Error, Result};
use crate::finding::{Finding, Severity};
use crate::host::docker_client;
use crate::image::wanted::NodeImages;
use crate::runtime_kind::RuntimeKind;
use crate::wire::tls::{self, Trouble};
use crate::wire::transport::Dialer;
use crate::wording::counted;

/// Looks at nodes, one by one.
pub(super) struct Examiner<'a> {
    context: &'a Context,
    profile: Option<&'a str>,
    now: i64,
}

/// A node and what was found there.
pub(super) struct Examined {
    pub(super) node: CheckedNode,
    pub(super) findings: Vec<Finding>,
    /// Its images and what its pods ask for, on nodes where no Docker engine keeps both together.
    pub(super) images: Option<NodeImages>,
}

impl<'a> Examiner<'a> {
    pub(super) fn new(context: &'a Context, profile: Option<&'a str>) -> Self {
        Self {
            context,
            profile,
            now: jiff::Timestamp::now().as_second(),
        }
    }

    /// The command that starts the cluster, and writes its record and its nodes' certificates anew.
    fn start(&self) -> String {
        match self.profile {
            Some(profile) => command_line::with("minikube start -p", [profile]),
            None => "start the engine at that address".into(),
        }
    }

    /// The dates of the CA's and the client's certificates; all nodes have the same.
    pub(super) fn certificates(&self, nodes: &[NodeTarget]) -> Vec<Finding> {
        let folder = nodes
            .first()
            .and_then(|node| node.endpoint.cert_path.clone());
        let Some(folder) = folder else {
            return Vec::new();
        };
        // minikube makes these with a new machine only
        let fix = match self.profile {
            Some(profile) => {
                format!(
                    "{} && {}",
                    command_line::with("minikube delete -p", [profile]),
                    command_line::with("minikube start -p", [profile])
                )
            }
            None => format!("renew the certificates in {}", folder.display()),
        };
        tls::expiries(&folder)
            .into_iter()
            .filter_map(|end| {
                let ends = jiff::Timestamp::from_second(end.not_after)
                    .map_or_else(|_| String::new(), |time| time.to_string());
                diagnosis::certificate(end.file, end.not_after, &ends, self.now, &fix)
            })
            .map(|finding| finding.seen(format!("in {}", folder.display())))
            .collect()
    }

    pub(super) async fn examine(&self, target: &NodeTarget, first: bool) -> Examined {
        let mut examined = Examined {
            node: CheckedNode {
                name: target.name.clone(),
                endpoint: target.at(),
                runtime: target.endpoint.runtime,
                answers: false,
                version: None,
                api_version: None,
            },
            findings: Vec::new(),
            images: None,
        };
        if target.away.is_none() {
            examined.findings.extend(self.proxy(target));
        }
        match self.reach(target).await {
            Err(finding) => examined.findings.push(*finding),
            Ok(engine) => {
                examined.node.answers = true;
                let inside = async {
                    let about = engine.runtime.about().await?;
                    examined.node.version.clone_from(&about.version);
                    examined.node.api_version.clone_from(&about.api_version);
                    self.inside(target, &engine, first).await
                };
                match inside.await {
                    Ok((findings, images)) => {
                        examined.findings.extend(findings);
                        examined.images = images;
                    }
                    Err(error) => examined
                        .findings
                        .push(of_error("lost", &error, self.start())),
                }
            }
        }
        for finding in &mut examined.findings {
            finding.node = Some(target.name.clone());
        }
        examined
    }

    /// Connects as every command does, but tells what TLS said.
    async fn reach(&self, target: &NodeTarget) -> Result<Engine, Box<Finding>> {
        let settings = &self.context.settings;
        if let Err(error) = target.there() {
            return Err(Box::new(self.silent(target, &error)));
        }
        // what only root may open is dialled by a relay
        if target.endpoint.runtime == RuntimeKind::Docker {
            self.dial(target).await?;
        }
        match Engine::connect(&target.endpoint, settings).await {
            Ok(engine) => Ok(engine),
            Err(error) => Err(Box::new(match tls::trouble(&error) {
                Some(trouble) => self.of_trouble(trouble, &error),
                None if target.endpoint.runtime != RuntimeKind::Docker => {
                    self.silent(target, &error)
                }
                None => of_error("not-an-engine", &error, self.start()),
            })),
        }
    }

    /// Dials a Docker engine, and tells what TLS said.
    async fn dial(&self, target: &NodeTarget) -> Result<(), Box<Finding>> {
        let dialer = Dialer::new(&target.endpoint, &self.context.settings)
            .map_err(|error| Box::new(of_error("certificate-unusable", &error, self.start())))?;
        match dialer.dial().await {
            Ok(_stream) => Ok(()),
            Err(error) => Err(Box::new(match tls::trouble(&error) {
                Some(trouble) => self.of_trouble(trouble, &error),
                None => self.silent(target, &error),
            })),
        }
    }

    fn silent(&self, target: &NodeTarget, error: &Error) -> Finding {
        let message = match self.profile {
            Some(profile) => format!(
                "the node `{}` of profile `{profile}` does not answer: is it stopped?",
                target.name
            ),
            None => format!("nothing answers at {}", target.endpoint),
        };
        Finding::new("stopped", Severity::Error, message, self.start()).seen(error.in_one_line())
    }

    fn of_trouble(&self, trouble: Trouble, error: &Error) -> Finding {
        let (code, message) = match trouble {
            Trouble::Expired => (
                "certificate-expired",
                "the engine's certificate has expired",
            ),
            Trouble::Foreign => (
                "certificate-foreign",
                "another CA signed the certificate of what answers there",
            ),
            Trouble::Refused => (
                "certificate-foreign",
                "the engine does not accept this computer's certificate",
            ),
            Trouble::WrongName => (
                "certificate-name",
                "the engine's certificate is for another address",
            ),
            Trouble::NotYetValid => (
                "clock-skew",
                "the engine's certificate is not valid yet by this computer's clock",
            ),
            Trouble::NoTls => ("not-an-engine", "what answers there speaks no TLS"),
        };
        let fix = match trouble {
            Trouble::NotYetValid => "set this computer's clock".into(),
            _ => self.start(),
        };
        Finding::new(code, Severity::Error, message, fix).seen(error.in_one_line())
    }

    /// Findings about a node whose engine answers.
    async fn inside(
        &self,
        target: &NodeTarget,
        engine: &Engine,
        first: bool,
    ) -> Result<(Vec<Finding>, Option<NodeImages>)> {
        let mut findings = Vec::new();
        let (info, left, client) = futures_util::join!(
            engine.runtime.info(),
            engine.agent.leftovers(),
            self.client(target, engine, first)
        );
        let info = info?;
        if let (Some(profile), Some(name)) = (self.profile, &info.name)
            && *name != target.name
        {
            let message = format!(
                "another node answers for `{}` of profile `{profile}`: `{name}`",
                target.name
            );
            findings.push(
                Finding::new("other-node", Severity::Error, message, self.start())
                    .seen(format!("the engine at {} says so", target.endpoint)),
            );
        }
        let offset = info
            .system_time
            .and_then(|time| time.parse::<jiff::Timestamp>().ok())
            .map(|time| time.as_second() - jiff::Timestamp::now().as_second());
        let set_clock = match self.profile {
            Some(profile) => format!(
                "{} -- sudo date -u -s @$(date +%s)",
                command_line::of(["minikube", "ssh", "-p", profile, "-n", &target.name])
            ),
            None => "set the clock of that computer".into(),
        };
        findings.extend(
            offset
                .and_then(|offset| diagnosis::clock(offset, &set_clock))
                .map(|finding| finding.seen("the engine's own time against this computer's")),
        );
        findings.extend(self.left(left?));
        let mut images = None;
        if engine.runtime.kind() == RuntimeKind::Containerd {
            let (found, looked) = futures_util::try_join!(
                self.beside_containerd(target, engine),
                images::look(&target.name, engine)
            )?;
            findings.extend(found);
            findings.extend(images::run_only(&looked, self.profile));
            findings.extend(images::not_in_full(&looked, self.profile));
            images = Some(looked);
        }
        findings.extend(client?);
        Ok((findings, images))
    }

    /// Findings about a node with containerd: what minikube's own docker-env left there, and what devnet's
    /// engine there lacks.
    async fn beside_containerd(
        &self,
        target: &NodeTarget,
        engine: &Engine,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let state = node_docker::state(engine).await?;
        if state.nerdctl_lines > 0 {
            let message =
                "minikube's docker-env has left its lines in the .bashrc of the node's user";
            let profile = self.profile.unwrap_or_default();
            let ssh = command_line::of(["minikube", "ssh", "-p", profile, "-n", &target.name]);
            let fix = format!("{ssh} -- sed -i /nerdctl.sock/d .bashrc");
            findings.push(
                Finding::new("nerdctl-lines", Severity::Warning, message, fix).seen(format!(
                    "{} that set DOCKER_HOST to nerdctl's socket",
                    counted(state.nerdctl_lines, "line")
                )),
            );
        }
        for note in &state.notes {
            let message =
                "the Docker engine on the node does not reach registries as its containerd does";
            findings.push(
                Finding::new(
                    "registries",
                    Severity::Info,
                    message,
                    "push or pull by `devnet load`",
                )
                .seen(format!("without {note}")),
            );
        }
        Ok(findings)
    }

    fn left(&self, left: Leftovers) -> Option<Finding> {
        let mut fix = match self.profile {
            Some(profile) => command_line::of(["devnet", "-p", profile, "clean"]),
            None => "devnet clean, with the same flags".into(),
        };
        let mut evidence = left.containers;
        let message = if !evidence.is_empty() {
            "a devnet that was killed left things in the engine"
        } else if left.transfers.is_empty() {
            return None;
        } else {
            fix = format!("where no transfer runs: {fix}");
            "a transfer runs or was left in the engine"
        };
        evidence.extend(left.transfers);
        let mut finding = Finding::new("leftovers", Severity::Warning, message, fix);
        finding.evidence = evidence;
        Some(finding)
    }

    /// The finding about the docker command and this engine; one node tells it for all.
    async fn client(
        &self,
        target: &NodeTarget,
        engine: &Engine,
        first: bool,
    ) -> Result<Option<Finding>> {
        let environment = &self.context.settings.environment;
        if !first || target.endpoint.runtime != RuntimeKind::Docker {
            return Ok(None);
        }
        let Some(program) = docker_client::find(environment) else {
            let message = "there is no `docker` on PATH: devnet works without it, `docker` in a shell does not";
            return Ok(Some(
                Finding::new(
                    "no-docker",
                    Severity::Info,
                    message,
                    "install the docker command",
                )
                .seen("PATH holds no program of that name"),
            ));
        };
        // through ssh it would ask for keys and hosts of its own
        if matches!(target.endpoint.address, Address::Ssh { .. }) {
            return Ok(None);
        }
        let shown = program.display().to_string();
        let said = docker_client::ask(program.as_os_str(), &target.endpoint, environment).await;
        let (said, words) = match said {
            Ok(Some(said)) => match said.refusal.clone() {
                None => return Ok(None),
                Some(words) => (said, words),
            },
            Ok(None) => (docker_client::Said::default(), "it said nothing".into()),
            Err(error) => (docker_client::Said::default(), error.in_one_line()),
        };
        let about = engine.runtime.about().await?;
        let speaks = about.api_version.as_deref().unwrap_or_default();
        let least = about.min_api_version.as_deref().unwrap_or_default();
        let (message, fix) = if environment.has("DOCKER_API_VERSION") {
            (
                "DOCKER_API_VERSION makes docker speak an API that the engine does not",
                set(self.context, "DOCKER_API_VERSION", None),
            )
        } else if diagnosis::older(&said.api_version, least) || words.contains("too old") {
            (
                "the docker command is too old for this engine",
                format!("install a docker command that speaks API {least} or newer"),
            )
        } else if diagnosis::older(speaks, &said.api_version) || words.contains("too new") {
            (
                "the docker command is too new for this engine",
                format!("install a docker command that still speaks API {speaks}"),
            )
        } else {
            (
                "the docker command can't talk to this engine, devnet can",
                format!("make `{}` work", command_line::of([&shown, "version"])),
            )
        };
        Ok(Some(
            Finding::new("docker-client", Severity::Error, message, fix)
                .seen(format!("{shown} {} said: {words}", said.version))
                .seen(format!(
                    "docker speaks API {}, the engine {least} to {speaks}",
                    said.api_version
                )),
        ))
    }

    /// A proxy that stands between docker and the node.
    fn proxy(&self, target: &NodeTarget) -> Option<Finding> {
        let Address::Tcp { host, port } = &target.endpoint.address else {
            return None;
        };
        let environment = &self.context.settings.environment;
        let values = |names: [&str; 2]| -> Vec<(String, String)> {
            names
                .iter()
                .filter(|name| environment.has(name))
                .filter_map(|name| {
                    let value = environment.os(name)?.to_string_lossy().into_owned();
                    Some(((*name).to_owned(), value))
                })
                .collect()
        };
        let proxies = if target.endpoint.cert_path.is_some() {
            values(["HTTPS_PROXY", "https_proxy"])
        } else {
            values(["HTTP_PROXY", "http_proxy"])
        };
        let exceptions = values(["NO_PROXY", "no_proxy"]);
        let fix = match self.profile {
            Some(profile) => take(self.context, &["-p", profile, "env", "--no-proxy"]),
            None => format!("add {host} to NO_PROXY"),
        };
        diagnosis::proxy(host, *port, &proxies, exceptions.first(), &fix)
    }
}
