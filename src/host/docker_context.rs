//! docker's contexts: named endpoints that the docker command keeps in its configuration folder.

use std::path::{Path, PathBuf};

use crate::docker_env::endpoint::{Address, Endpoint};
use crate::error::{Error, Result};
use crate::settings::Environment;
use crate::text_file;

/// docker's configuration folder: `DOCKER_CONFIG` or `~/.docker`.
pub(crate) fn folder(environment: &Environment, home: &Path) -> PathBuf {
    environment
        .path("DOCKER_CONFIG")
        .unwrap_or_else(|| home.join(".docker"))
}

/// The context that `docker context use` chose; `None` is docker's `default`.
pub(crate) fn current(folder: &Path) -> Option<String> {
    let text = text_file::read(&folder.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    let name = config.get("currentContext")?.as_str()?;
    (!name.is_empty() && name != "default").then(|| name.to_owned())
}

/// A context's endpoint.
///
/// # Errors
/// Not found; or a record that can't be read or names no docker endpoint.
pub(crate) fn endpoint(folder: &Path, name: &str) -> Result<Endpoint> {
    let digest = crate::image::digest::Digest::of(name.as_bytes());
    let id = digest.hex();
    let file = folder
        .join("contexts")
        .join("meta")
        .join(id)
        .join("meta.json");
    let text = text_file::read(&file).map_err(|error| {
        Error::not_found(format!("there is no docker context `{name}`"))
            .caused_by(error)
            .hint("`docker context ls` lists them")
    })?;
    let unreadable = || {
        Error::failed(format!(
            "the docker context `{name}` in `{}` can't be read",
            file.display()
        ))
    };
    let meta: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| unreadable().caused_by(error))?;
    let host = meta
        .pointer("/Endpoints/docker/Host")
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| unreadable().caused_by("it names no docker endpoint"))?;
    let tls = folder.join("contexts").join("tls").join(id).join("docker");
    let address = Address::parse(host)?;
    let unverified = matches!(address, Address::Tcp { .. })
        && meta
            .pointer("/Endpoints/docker/SkipTLSVerify")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false);
    let cert_path =
        (matches!(address, Address::Tcp { .. }) && (tls.is_dir() || unverified)).then_some(tls);
    Ok(Endpoint {
        cert_path,
        unverified,
        ..Endpoint::plain(address)
    })
}
