//! The docker command of this computer: whether it is there, and what it says to an engine.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::docker_env::endpoint::Endpoint;
use crate::error::Result;
use crate::host::process;
use crate::settings::Environment;

/// A person waits for it.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer of `docker version`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) version: String,
    /// The API version that it speaks to this engine, as `1.41`.
    pub(crate) api_version: String,
    /// The reason why it can't talk to the engine.
    pub(crate) refusal: Option<String>,
}

/// The program.
pub(crate) fn find(environment: &Environment) -> Option<PathBuf> {
    which::which_in("docker", environment.os("PATH"), ".").ok()
}

/// Lets it talk to an engine, without proxies and contexts in between. `None`: it did not end in
/// time, or said nothing that can be read.
///
/// # Errors
/// When it can't be started.
pub(crate) async fn ask(
    program: &OsStr,
    endpoint: &Endpoint,
    environment: &Environment,
) -> Result<Option<Said>> {
    const NOT_FOR_IT: [&str; 9] = [
        "DOCKER_CONTEXT",
        "DOCKER_HOST",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "DOCKER_TLS",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ];
    let mut variables: Vec<(OsString, OsString)> = environment
        .all()
        .filter(|(name, _)| !NOT_FOR_IT.iter().any(|other| name == other))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.to_owned()));
    set("DOCKER_HOST", OsStr::new(&endpoint.address.to_string()));
    if let Some(folder) = &endpoint.cert_path {
        set("DOCKER_TLS_VERIFY", OsStr::new("1"));
        set("DOCKER_CERT_PATH", folder.as_os_str());
    }
    let arguments = ["version", "--format", "{{json .Client}}"];
    let asked = process::catch(program, &arguments, &variables, CLIENT_TIMEOUT);
    let Some(caught) = asked.await? else {
        return Ok(None);
    };
    let Ok(client) = serde_json::from_slice::<serde_json::Value>(&caught.stdout) else {
        return Ok(None);
    };
    let text = |name: &str| {
        client
            .get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let words = String::from_utf8_lossy(&caught.stderr).trim().to_owned();
    Ok(Some(Said {
        version: text("Version"),
        api_version: text("ApiVersion"),
        refusal: (caught.code != 0).then_some(words),
    }))
}
