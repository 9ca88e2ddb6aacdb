//! `devnet config`: each value that holds here, and who said it.

use std::path::Path;

use crate::commands::invocation::Context;
use crate::docker_env::endpoint::without_password;
use crate::error::{Error, Result};
use crate::host::docker_context;
use crate::render::table::{self, Cell};
use crate::render::{Style, Tone, document};
use crate::settings::origin::Origin;

/// Show each setting, and whether a flag, a variable or a file said it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The config file is $XDG_CONFIG_HOME/devnet/config.yaml (the platform's folder elsewhere):
  profile: dev         the minikube profile to talk to when nothing else names one
  color: never         always, auto or never
  progress: plain      how builds show themselves: auto, plain, tty, quiet or rawjson

Examples:
  devnet config
  devnet config -o json | jq -r .settings.profile.value"
)]
pub(crate) struct Args {
    /// text, json or yaml
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Json,
    Text,
    Yaml,
}

/// A value that holds in this run.
struct Setting {
    name: &'static str,
    /// `None` is not set.
    value: Option<String>,
    origin: Origin,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let settings = all(context)?;
    let text = match args.output {
        Output::Text => to_text(
            &settings,
            Style {
                color: context.ui.color_stdout(),
                unicode: context.ui.unicode(),
                columns: context.ui.columns(),
            },
        ),
        Output::Json => document::json(&to_document(&settings))?,
        Output::Yaml => document::yaml(&to_document(&settings))?,
    };
    context.ui.data(&text).map_err(Error::stdout)
}

fn all(context: &Context) -> Result<Vec<Setting>> {
    let settings = &context.settings;
    let (global, environment) = (&settings.global, &settings.environment);
    let mut all = Vec::new();
    let mut add = |name: &'static str, value: Option<String>, origin: Origin| {
        all.push(Setting {
            name,
            value,
            origin,
        });
    };

    let profile = context.named_profile()?;
    add("profile", Some(profile.profile), profile.by);

    let certs = context.minikube()?.certs();
    let by_variable = |host: &'static str, certs: &'static str| -> Result<_> {
        Ok(environment.text(host)?.map(|url| {
            let certs_by = environment
                .path(certs)
                .map(|path| (path, Origin::variable(certs)));
            (url.to_owned(), Origin::variable(host), certs_by)
        }))
    };
    let host = match &global.host {
        Some(url) => Some((
            url.clone(),
            Origin::flag("--host"),
            global
                .tls_cert_path
                .clone()
                .map(|path| (path, Origin::flag("--tls-cert-path"))),
        )),
        None => match by_variable("DEVNET_HOST", "DEVNET_CERT_PATH")? {
            Some(found) => Some(found),
            None => by_variable("DOCKER_HOST", "DOCKER_CERT_PATH")?,
        },
    };
    if let Some((url, by, certs)) = host {
        add("host", Some(without_password(&url)), by);
        match certs {
            Some((path, by)) => add("tls_cert_path", Some(shown(&path)), by),
            None => add("tls_cert_path", None, Origin::Default),
        }
    } else {
        add("host", None, Origin::Default);
        add("tls_cert_path", Some(shown(&certs)), Origin::Default);
    }
    match &global.context {
        Some(name) => add("context", Some(name.clone()), Origin::flag("--context")),
        None => add("context", None, Origin::Default),
    }
    match context.host_engine() {
        Ok((endpoint, by)) => add("host_engine", Some(endpoint.to_string()), by),
        // what can't be told must not hide the rest
        Err(error) => context.ui.warn(&format!(
            "this computer's own engine can't be told: {}",
            without_password(&error.in_one_line())
        )),
    }

    let (color, by) = settings.color();
    let word = clap::ValueEnum::to_possible_value(&color)
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default();
    add("color", Some(word), by);
    match settings.progress()? {
        Some((word, by)) => add("progress", Some(word), by),
        None => add("progress", Some("auto".into()), Origin::Default),
    }
    let flag = |name: &'static str, given: bool| {
        if given {
            Origin::flag(name)
        } else {
            Origin::Default
        }
    };
    let (quiet, verbose) = (global.quiet, global.verbose);
    add("quiet", Some(quiet.to_string()), flag("--quiet", quiet));
    add(
        "verbose",
        Some(verbose.to_string()),
        flag("--verbose", verbose > 0),
    );

    let folder = |name: &'static str| {
        if environment.has(name) {
            Origin::variable(name)
        } else {
            Origin::Default
        }
    };
    let minikube = context.minikube()?;
    add(
        "minikube_home",
        Some(shown(minikube.folder())),
        folder("MINIKUBE_HOME"),
    );
    let docker = docker_context::folder(environment, &settings.home()?);
    add(
        "docker_config",
        Some(shown(&docker)),
        folder("DOCKER_CONFIG"),
    );
    // a relative folder is none, as the XDG rules have it
    let xdg = |name: &'static str| match environment.path(name) {
        Some(path) if path.is_absolute() => Origin::variable(name),
        _ => Origin::Default,
    };
    add(
        "config_file",
        settings.config_path().as_deref().map(shown),
        xdg("XDG_CONFIG_HOME"),
    );
    add(
        "state_folder",
        Some(shown(&settings.state_folder()?)),
        xdg("XDG_STATE_HOME"),
    );
    add(
        "cache_folder",
        Some(shown(&settings.cache_folder()?)),
        xdg("XDG_CACHE_HOME"),
    );
    Ok(all)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn to_text(settings: &[Setting], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = settings
        .iter()
        .map(|setting| {
            let value = match &setting.value {
                Some(value) => Cell::plain(style.text(value)),
                None => Cell::new("-", Tone::Dim),
            };
            let tone = match setting.origin {
                Origin::Default => Tone::Dim,
                _ => Tone::Plain,
            };
            vec![
                Cell::plain(setting.name),
                value,
                Cell::new(style.text(&setting.origin.place()), tone),
            ]
        })
        .collect();
    table::lay_out(&["SETTING", "VALUE", "FROM"], &rows, style)
}

fn to_document(settings: &[Setting]) -> serde_json::Value {
    let map: serde_json::Map<String, serde_json::Value> = settings
        .iter()
        .map(|setting| {
            let value = serde_json::json!({ "value": setting.value, "origin": setting.origin });
            (setting.name.to_owned(), value)
        })
        .collect();
    serde_json::json!({ "schema": 1, "settings": map })
}
