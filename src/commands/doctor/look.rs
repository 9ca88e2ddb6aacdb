//! The doctor's look: facts about the shell, the profile and its nodes, turned into findings by
//! `docker_env/diagnosis.rs`. Nothing is changed.

use crate::command_line;
use crate::commands::doctor::images;
use crate::commands::doctor::node::Examiner;
use crate::commands::invocation::Context;
use crate::commands::invocation::docker_contexts::name_of;
use crate::commands::invocation::every_node::on_nodes;
use crate::commands::invocation::profiles::Named;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::docker_env::diagnosis::{self, Chosen, EndpointAnswer, Fixes, Report, Shell};
use crate::docker_env::endpoint::{Address, without_password};
use crate::docker_env::plan::Change;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::finding::{Finding, Remedy, Severity};
use crate::host::docker_context_store::Found;
use crate::host::{calling_shell, docker_context};
use crate::runtime_kind::RuntimeKind;
use crate::settings::origin::Origin;
use crate::shell;
use crate::wording::{MANY, listed};

/// Looks at everything.
pub(super) async fn look(context: &Context) -> Result<Report> {
    let mut findings = Vec::new();
    if let Err(error) = context.settings.config_file() {
        let fix = error
            .hints()
            .first()
            .cloned()
            .unwrap_or_else(|| "correct that line".into());
        let mut finding = of_error("config-file", &error, fix);
        if let Some(file) = context.settings.config_path() {
            finding = finding.seen(format!("in {}", file.display()));
        }
        findings.push(finding);
    }
    let named = subject(context)?;
    let (target, decided_by) = match &named {
        None => {
            let target = context.find_target(Need::Environment, Nodes::All).await?;
            let by = target.decided_by.clone();
            (Some(target), by)
        }
        Some(named) => {
            let target = profile(context, named, &mut findings).await?;
            (target, named.to_string())
        }
    };
    let profile = named.map(|named| named.profile);
    let fixes = fixes(context, profile.as_deref());
    let nodes = target.map(|target| target.nodes).unwrap_or_default();
    let examiner = Examiner::new(context, profile.as_deref());
    findings.extend(examiner.certificates(&nodes));
    let examined = on_nodes(&nodes, async |node| {
        let is_first = nodes.first().is_some_and(|first| std::ptr::eq(first, node));
        examiner.examine(node, is_first).await
    });
    let (mut met, mut images) = (Vec::new(), Vec::new());
    for (_, examined) in examined.await {
        met.push(examined.node);
        findings.extend(examined.findings);
        images.extend(examined.images);
    }
    findings.extend(images::absent(&images, profile.as_deref()));
    // a shell and docker's contexts point at Docker engines
    let engines = match &profile {
        Some(profile) if context.other_runtime(profile).is_some() => {
            engines(context, profile).await
        }
        _ => nodes.clone(),
    };
    findings.extend(shell_findings(context, &engines, profile.as_deref(), &fixes).await?);
    if let Some(profile) = &profile {
        findings.extend(around(context, profile, &engines).await);
    }
    Ok(Report {
        schema: 1,
        profile,
        decided_by,
        nodes: met,
        findings,
    })
}

/// The profile to look at: the one that is named, else the one that this shell points at. `None`
/// when an engine is named instead.
fn subject(context: &Context) -> Result<Option<Named>> {
    let settings = &context.settings;
    let (global, environment) = (&settings.global, &settings.environment);
    if global.host.is_some() || global.context.is_some() {
        return Ok(None);
    }
    let lab = global.profile.as_deref() == Some("lab");
    if lab
        && !context
            .minikube()?
            .profiles()
            .iter()
            .any(|name| name == "lab")
    {
        return Ok(None);
    }
    if global.profile.is_none() && environment.has("DEVNET_HOST") {
        return Ok(None);
    }
    if global.profile.is_none()
        && !environment.has("DEVNET_PROFILE")
        && let Some(active) = environment.text("MINIKUBE_ACTIVE_DOCKERD")?
    {
        return Ok(Some(Named {
            profile: active.into(),
            by: Origin::variable("MINIKUBE_ACTIVE_DOCKERD"),
        }));
    }
    match context.named_profile() {
        // it is among the findings already
        Err(_) if settings.config_file().is_err() => Ok(Some(Named {
            profile: context
                .minikube()?
                .active_profile()?
                .unwrap_or_else(|| "minikube".into()),
            by: Origin::Default,
        })),
        other => other.map(Some),
    }
}

/// The engines that devnet runs on a profile's nodes.
async fn engines(context: &Context, profile: &str) -> Vec<NodeTarget> {
    let target = Target {
        nodes: Vec::new(),
        profile: Some(profile.to_owned()),
        decided_by: String::new(),
    };
    context.engines_of(&target).await
}

/// A profile's nodes, or why it has none to ask.
async fn profile(
    context: &Context,
    named: &Named,
    findings: &mut Vec<Finding>,
) -> Result<Option<Target>> {
    let name = &named.profile;
    let start = command_line::with("minikube start -p", [name]);
    let record = match context.minikube()?.profile(name) {
        Ok(record) => record,
        Err(error) if error.kind() == Kind::NotFound => {
            let mut finding = Finding::new("no-profile", Severity::Error, error.to_string(), start);
            finding.evidence = error.hints().to_vec();
            findings.push(finding);
            return Ok(None);
        }
        Err(error) if error.kind() == Kind::Failed => {
            findings.push(of_error("unreadable-profile", &error, start));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let runtime = RuntimeKind::of_minikube(record.runtime());
    if runtime.is_none() {
        let message = format!(
            "profile `{name}` runs {}: it has no Docker engine",
            record.runtime()
        );
        let severity = Severity::Error;
        let fix = command_line::with("minikube start -p", [name, "--container-runtime=docker"]);
        findings.push(
            Finding::new("runtime", severity, message, fix)
                .seen(format!("its record says `{}`", record.runtime())),
        );
    }
    let need = match runtime {
        Some(RuntimeKind::Docker) => Need::Image,
        Some(RuntimeKind::Containerd | RuntimeKind::CriO) => Need::Pods,
        None => return Ok(None),
    };
    if record.machines().len() > 1 {
        let message = format!(
            "profile `{name}` has {} nodes: `docker` in a shell talks to one of them only",
            record.machines().len()
        );
        let names: Vec<String> = record
            .machines()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let fix = "`devnet build` and `devnet load` bring images to every node";
        findings.push(
            Finding::new("multi-node", Severity::Info, message, fix)
                .seen(format!("nodes: {}", listed(&names, MANY))),
        );
    }
    match context.profile_target(named, Nodes::All, need).await {
        Ok(target) => Ok(Some(target)),
        Err(error) => {
            if record.in_container()
                && let Err(error) = context.containers_engine(&record).await
            {
                let start = if cfg!(target_os = "linux") {
                    "sudo systemctl start docker"
                } else {
                    "start Docker Desktop"
                };
                findings.push(of_error("host-engine", &error, start));
                return Ok(None);
            }
            let code = match error.kind() {
                Kind::Unreachable => "stopped",
                _ => "unreadable-profile",
            };
            findings.push(of_error(code, &error, start));
            Ok(None)
        }
    }
}

/// A failure as a finding: its reasons are what was seen.
pub(super) fn of_error(code: &'static str, error: &Error, fix: impl Into<Remedy>) -> Finding {
    let mut finding = Finding::new(code, Severity::Error, error.to_string(), fix);
    finding.evidence = error.causes();
    finding
}

/// The shell that called, or a plain one.
fn caller(context: &Context) -> shell::Shell {
    calling_shell::find(&context.settings.environment).unwrap_or(shell::Shell::Sh)
}

/// The command by which the calling shell takes what devnet prints.
pub(super) fn take(context: &Context, arguments: &[&str]) -> String {
    let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    caller(context)
        .how_to_take_it(&words)
        .unwrap_or_else(|| command_line::with("devnet", arguments))
}

/// The command by which the calling shell sets a variable, or takes it away.
pub(super) fn set(context: &Context, name: &str, value: Option<&str>) -> String {
    let change = Change {
        name: name.into(),
        value: value.map(str::to_owned),
    };
    let script = caller(context).script(&[change]).unwrap_or_default();
    // some shells' scripts end in a line that makes `eval` succeed
    let line = script.lines().next().unwrap_or_default();
    line.trim().trim_end_matches(';').to_owned()
}

/// The commands that mend the calling shell.
fn fixes(context: &Context, profile: Option<&str>) -> Fixes {
    let profile = profile.unwrap_or("minikube");
    Fixes {
        take: take(context, &["-p", profile, "env"]),
        give_back: take(context, &["env", "--unset"]),
        unset_host: set(context, "DOCKER_HOST", None),
        verify: set(context, "DOCKER_TLS_VERIFY", Some("1")),
    }
}

/// Findings about the calling shell and the cluster.
async fn shell_findings(
    context: &Context,
    nodes: &[NodeTarget],
    profile: Option<&str>,
    fixes: &Fixes,
) -> Result<Vec<Finding>> {
    let environment = &context.settings.environment;
    let chosen = chosen_context(context)?;
    let Some(raw) = environment.text("DOCKER_HOST")? else {
        let missing = chosen.filter(|chosen| chosen.host.is_none());
        let finding = missing.map(|chosen| {
            let message = format!(
                "docker uses a context that can't be read: `{}`",
                chosen.name
            );
            let fix = if chosen.by == "DOCKER_CONTEXT" {
                set(context, "DOCKER_CONTEXT", None)
            } else {
                "docker context use default".into()
            };
            Finding::new("no-context", Severity::Error, message, fix)
                .seen(format!("{} chooses it", chosen.by))
        });
        return Ok(finding.into_iter().collect());
    };
    let address = match Address::parse(raw) {
        Ok(address) => address,
        Err(error) => {
            return Ok(vec![
                of_error("docker-host", &error, &fixes.unset_host)
                    .seen(format!("DOCKER_HOST={}", without_password(raw))),
            ]);
        }
    };
    let says = Shell {
        host: Some(address.to_string()),
        verified: environment.has("DOCKER_TLS_VERIFY") || environment.has("DOCKER_TLS"),
        active: environment
            .text("MINIKUBE_ACTIVE_DOCKERD")?
            .map(str::to_owned),
        context: chosen,
    };
    let mut findings = diagnosis::shell(&says, fixes);
    if let (Address::Ssh { .. }, Some(profile)) = (&address, profile)
        && says.active.as_deref() == Some(profile)
        && let Some(runtime) = context.other_runtime(profile)
    {
        let message = format!(
            "this shell has minikube's own form for {runtime}: buildx, docker-java and testcontainers do not work through it"
        );
        findings.push(
            Finding::new(
                "nerdctl-shell",
                Severity::Warning,
                message,
                fixes.take.clone(),
            )
            .seen(format!("DOCKER_HOST={}", without_password(raw))),
        );
        return Ok(findings);
    }
    let unsecured = findings.iter().any(|finding| finding.code == "no-tls");
    let Some(profile) = profile.filter(|profile| says.active.as_deref() == Some(*profile)) else {
        return Ok(findings);
    };
    if is_one_of(context, &address, profile, nodes).await {
        return Ok(findings);
    }
    let certs = environment.path("DOCKER_CERT_PATH");
    let verified = environment.has("DOCKER_TLS_VERIFY");
    let endpoint = context.docker_host(raw, verified, certs)?;
    let answer = if unsecured {
        EndpointAnswer::None("it was not asked: DOCKER_TLS_VERIFY is not set".into())
    } else {
        who(context, &endpoint).await
    };
    let at = nodes.iter().find_map(NodeTarget::at);
    let host = address.to_string();
    findings.extend(diagnosis::astray(
        &host,
        profile,
        at.as_deref(),
        &answer,
        fixes,
    ));
    Ok(findings)
}

async fn who(
    context: &Context,
    endpoint: &crate::docker_env::endpoint::Endpoint,
) -> EndpointAnswer {
    let asked = async {
        let engine = Engine::connect(endpoint, &context.settings).await?;
        engine.runtime.info().await
    };
    match asked.await {
        Ok(info) => EndpointAnswer::Machine(info.name.unwrap_or_default()),
        Err(error) => EndpointAnswer::None(error.in_one_line()),
    }
}

/// True where an address is one of the nodes', over TLS or ssh.
async fn is_one_of(
    context: &Context,
    address: &Address,
    profile: &str,
    nodes: &[NodeTarget],
) -> bool {
    if nodes.iter().any(|node| node.endpoint.address == *address) {
        return true;
    }
    if matches!(address, Address::Ssh { .. }) {
        for node in nodes {
            let login = context
                .ssh_address(profile, &node.name, node.login.as_ref())
                .await;
            if login.is_ok_and(|login| login == *address) {
                return true;
            }
        }
    }
    false
}

/// The context that docker would use without `DOCKER_HOST`.
fn chosen_context(context: &Context) -> Result<Option<Chosen>> {
    let environment = &context.settings.environment;
    let folder = docker_context::folder(environment, &context.settings.home()?);
    let (name, by) = match environment.text("DOCKER_CONTEXT")? {
        Some(name) => (name.to_owned(), "DOCKER_CONTEXT".to_owned()),
        None => match docker_context::current(&folder) {
            Some(name) => (name, folder.join("config.json").display().to_string()),
            None => return Ok(None),
        },
    };
    if name == "default" {
        return Ok(None);
    }
    let host = docker_context::endpoint(&folder, &name)
        .ok()
        .map(|endpoint| endpoint.to_string());
    Ok(Some(Chosen { name, host, by }))
}

/// Findings about a profile outside its nodes: its docker contexts, and minikube itself.
async fn around(context: &Context, profile: &str, nodes: &[NodeTarget]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(store) = context.docker_store() {
        for node in nodes {
            let Found::Ours { host, .. } = store.found(&name_of(&node.name)) else {
                continue;
            };
            let ssh = host.starts_with("ssh://");
            let Ok(record) = context.docker_record(profile, node, ssh).await else {
                continue;
            };
            if record.host == host && store.has_certs_of(&record) {
                continue;
            }
            let message = format!("the docker context `{}` is stale", record.name);
            let fix = if node.name == profile {
                command_line::of(["devnet", "-p", profile, "context"])
            } else {
                command_line::of(["devnet", "-p", profile, "context", "--node", &node.name])
            };
            findings.push(
                Finding::new("stale-context", Severity::Warning, message, fix)
                    .seen(format!("it says {host}"))
                    .seen(if record.host == host {
                        "its certificates are not the cluster's".into()
                    } else {
                        format!("the node is at {}", record.host)
                    }),
            );
        }
    }
    let path = context.settings.environment.os("PATH");
    if which::which_in("minikube", path, ".").is_err() {
        let message = "there is no `minikube` on PATH: devnet reads its files, but only minikube starts and stops the cluster";
        findings.push(
            Finding::new(
                "no-minikube",
                Severity::Info,
                message,
                "install minikube, or put its folder on PATH",
            )
            .seen("PATH holds no program of that name"),
        );
    }
    findings
}
