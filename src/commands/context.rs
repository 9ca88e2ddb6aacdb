//! `devnet context`: a docker context for a minikube profile, in docker's own files.

use serde::Serialize;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::docker_contexts::{mended, name_of};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::target::{Need, Nodes};
use crate::error::{Error, Kind, Result};
use crate::host::docker_context_store::{Found, Record, Store};
use crate::render::document;

/// Write a docker context for a minikube profile
///
/// It is named `devnet-PROFILE` (a further node's: `devnet-PROFILE-NODE`) and carries the cluster's
/// certificates. When the cluster comes back at another address, the next devnet command that talks
/// to it, or `devnet context` itself, takes the context there; `devnet env` changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet context                     then: docker --context devnet-minikube ps
  devnet -p dev context --use        every docker command without DOCKER_HOST goes there
  devnet -p dev context --rm         takes it away; docker's choice is what it was before --use")]
pub(crate) struct Args {
    /// Make docker use it
    #[arg(long = "use")]
    choose: bool,
    /// Take it away, whether or not the cluster is still there
    #[arg(long, conflicts_with_all = ["choose", "ssh_host"])]
    rm: bool,
    /// Go through the node's ssh login instead of its TLS port
    #[arg(long)]
    ssh_host: bool,
    /// The node of a profile with several
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    printed: Printed,
}

/// The document that `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    context: String,
    profile: String,
    /// The address that it points at; `null` when it was taken away.
    endpoint: Option<String>,
    state: State,
    /// The address that it pointed at before.
    was: Option<String>,
    /// The context that docker uses now.
    current_context: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It said another place, or had other certificates.
    Healed,
    Removed,
    Unchanged,
    Written,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let store = context.docker_store()?;
    let report = if args.rm {
        remove(&args, context, &store)?
    } else {
        write(&args, context, &store).await?
    };
    let text = match args.printed.output {
        Format::Json => document::json(&report)?,
        Format::Text => format!("{}\n", crate::visible::field(&report.context)),
    };
    context.ui.data(&text).map_err(Error::stdout)
}

async fn write(args: &Args, context: &Context, store: &Store) -> Result<Report> {
    let target = context
        .target_on(
            Need::Environment,
            Nodes::named_or_first(args.node.as_deref()),
        )
        .await?;
    let Some(profile) = target.profile else {
        return Err(Error::usage(format!(
            "`devnet context` writes the context of a minikube profile, and {} names an engine",
            target.decided_by
        ))
        .hint("`docker context create` makes one for any other engine"));
    };
    let record = context
        .docker_record(&profile, &target.nodes[0], args.ssh_host)
        .await?;
    check_name(&record.name)?;
    let found = store.found(&record.name);
    let current = store.current();
    let kept = match &found {
        Found::Foreign => {
            return Err(Error::failed(format!(
                "there is a docker context `{}` that devnet did not write",
                record.name
            ))
            .hint(removal(&record.name)));
        }
        Found::Ours { profile: its, .. } if *its != profile => {
            return Err(of_another(&record.name, its));
        }
        Found::Ours { before, .. } => before.clone(),
        Found::Broken | Found::Nothing => None,
    };
    let in_use = current.as_ref() == Some(&record.name);
    // --rm goes back to what docker used before the first --use
    let before = if args.choose && !in_use {
        current.clone()
    } else {
        kept.clone()
    };
    let (state, was) = match found {
        Found::Ours { host, .. } if host == record.host && store.has_certs_of(&record) => {
            (State::Unchanged, None)
        }
        Found::Ours { host, .. } => (State::Healed, Some(host)),
        Found::Broken | Found::Foreign | Found::Nothing => (State::Written, None),
    };
    if state != State::Unchanged || before != kept {
        store.write(&record, before.as_deref())?;
    }
    if args.choose && !in_use {
        store.set_current(Some(&record.name))?;
    }
    tell(args, context, &record, state, was.as_deref());
    if args.choose && !in_use {
        context
            .ui
            .say(&format!("docker uses its context `{}` now", record.name));
    }
    Ok(Report {
        schema: 1,
        current_context: name_or_default(store),
        context: record.name,
        profile,
        endpoint: Some(record.host),
        state,
        was,
    })
}

fn tell(args: &Args, context: &Context, record: &Record, state: State, was: Option<&str>) {
    let ui = &context.ui;
    match (state, was) {
        (State::Written, _) => ui.say(&format!(
            "wrote docker context `{}`: {}",
            record.name, record.host
        )),
        (State::Healed, Some(was)) => ui.note(&mended(record, was)),
        _ => ui.detail(&format!("docker context `{}` is right", record.name)),
    }
    if !args.choose {
        return;
    }
    let environment = &context.settings.environment;
    let hidden_by = |name: &str| environment.has(name).then(|| name.to_owned());
    let other = environment
        .os("DOCKER_CONTEXT")
        .is_some_and(|name| name != record.name.as_str());
    let hides =
        hidden_by("DOCKER_HOST").or_else(|| other.then(|| hidden_by("DOCKER_CONTEXT")).flatten());
    if let Some(name) = hides {
        ui.warn(&format!(
            "`{name}` is set in this shell and goes before docker's choice"
        ));
        ui.hint(if environment.has("MINIKUBE_ACTIVE_DOCKERD") {
            "`eval $(devnet env --unset)` gives this shell back"
        } else {
            "unset it"
        });
    }
}

fn remove(args: &Args, context: &Context, store: &Store) -> Result<Report> {
    let profile = context.profile_name()?;
    let machine = match &args.node {
        Some(node) if *node != profile && !node.starts_with(&format!("{profile}-")) => {
            format!("{profile}-{node}")
        }
        Some(node) => node.clone(),
        None => profile.clone(),
    };
    let name = name_of(&machine);
    let before = match store.found(&name) {
        Found::Nothing => {
            return Err(
                Error::not_found(format!("there is no docker context `{name}`"))
                    .hint("`docker context ls` lists them"),
            );
        }
        Found::Foreign => {
            return Err(
                Error::failed(format!("devnet did not write the docker context `{name}`"))
                    .hint(removal(&name)),
            );
        }
        Found::Broken => None,
        Found::Ours { profile: its, .. } if its != profile => return Err(of_another(&name, &its)),
        Found::Ours { before, .. } => before,
    };
    // docker can't work with a choice that is gone: that goes first
    if store.current().as_ref() == Some(&name) {
        let before = before.filter(|before| *before != name && store.has(before));
        store.set_current(before.as_deref())?;
        context.ui.say(&format!(
            "docker uses its context `{}` again",
            before.as_deref().unwrap_or("default")
        ));
    }
    store.remove(&name)?;
    Ok(Report {
        schema: 1,
        current_context: name_or_default(store),
        context: name,
        profile,
        endpoint: None,
        state: State::Removed,
        was: None,
    })
}

/// The profile `a-m02` and the node `m02` of `a` would have the same.
fn of_another(name: &str, profile: &str) -> Error {
    Error::failed(format!(
        "the docker context `{name}` is of profile `{profile}`"
    ))
    .hint(removal(name))
}

fn removal(name: &str) -> String {
    format!(
        "`{}` takes it away",
        command_line::with("docker context rm", [name])
    )
}

fn name_or_default(store: &Store) -> String {
    store.current().unwrap_or_else(|| "default".into())
}

/// docker takes letters, digits and `_.+-` only.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Failed,
        format!("docker takes no context named `{}`", name.escape_debug()),
    )
    .hint("its names are of letters, digits, `_`, `.`, `+` and `-`"))
}
