//! The person's login at a registry, as the docker tools keep it.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::host::process;
use crate::image::credentials::{self, DockerConfig, Login, LoginSource};

/// A person may have to unlock what a helper keeps.
const HELPER_TIMEOUT: Duration = Duration::from_mins(2);

/// Finds the login for a registry's host: in docker's `config.json`, or by asking the credential
/// helper that it names. A helper that fails means no login, as for docker.
pub(crate) async fn login(
    config: &DockerConfig,
    host: &str,
    environment: &[(OsString, OsString)],
) -> Option<Login> {
    match config.login_source(host) {
        LoginSource::Nowhere => None,
        LoginSource::Here(login) => Some(login),
        LoginSource::Helper { name, server } => {
            // it comes from a file, and becomes part of a program's name
            if name.contains(['/', '\\']) {
                return None;
            }
            let program = format!("docker-credential-{name}");
            let asked = process::catch_fed(
                OsStr::new(&program),
                &["get"],
                server.as_bytes(),
                environment,
                HELPER_TIMEOUT,
            );
            let answer = asked.await.ok()?.filter(|answer| answer.code == 0)?;
            credentials::helper_answer(&String::from_utf8_lossy(&answer.stdout))
        }
    }
}
