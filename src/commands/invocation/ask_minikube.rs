//! Minikube's own word on a cluster's engine: `env --from minikube`, and `status`, which shows it
//! beside what minikube's files say.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::commands::invocation::{Context, profiles};
use crate::docker_env::{DockerEnv, parse};
use crate::error::{Error, Kind, Result};
use crate::host::process;
use crate::runtime_kind::RuntimeKind;

/// minikube asks the node's engine for its version with the docker command, and when that fails it
/// reloads or restarts the engine and every pod with it. A proxy that docker can't use is the usual
/// cause, and nothing that minikube asks here needs one.
const PROXIES: [&str; 3] = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"];

/// It may restart the node's engine before it answers.
const MINIKUBE_TIMEOUT: Duration = Duration::from_mins(2);

impl Context {
    /// The `minikube` on PATH.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn minikube_program(&self) -> Result<PathBuf> {
        which::which_in("minikube", self.settings.environment.os("PATH"), ".").map_err(|error| {
            Error::failed("there is no `minikube` on PATH")
                .caused_by(error)
                .hint("`--from files` needs none")
        })
    }
}

/// Runs `minikube docker-env` and reads what it says.
///
/// # Errors
/// As the exit code has it, with the reason that minikube hides when nobody sits at its terminal;
/// unreachable for a runtime that is not docker, for which it writes a script that works by half.
pub(crate) async fn from_minikube(
    profile: &str,
    ssh_host: bool,
    context: &Context,
) -> Result<DockerEnv> {
    let program = context.minikube_program()?;
    if let Ok(record) = context.minikube()?.profile(profile)
        && matches!(
            RuntimeKind::of_minikube(record.runtime()),
            None | Some(RuntimeKind::CriO)
        )
    {
        return Err(profiles::not_docker(profile, record.runtime()));
    }
    let mut arguments = vec!["docker-env", "-p", profile, "--shell", "none", "-o", "json"];
    if ssh_host {
        arguments.push("--ssh-host");
    }
    let environment: Vec<(OsString, OsString)> = context
        .settings
        .environment
        .all()
        .filter(|(name, _)| !PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let asked = process::catch(
        program.as_os_str(),
        &arguments,
        &environment,
        MINIKUBE_TIMEOUT,
    );
    let Some(caught) = asked.await? else {
        return Err(Error::failed(format!(
            "minikube said nothing of profile `{profile}` within {} s",
            MINIKUBE_TIMEOUT.as_secs()
        ))
        .hint(format!(
            "it was asked by `{}`; `--from files` does without it",
            program.display()
        )));
    };
    let said = String::from_utf8_lossy(&caught.stderr).trim().to_owned();
    let with_what_it_said = |error: Error| match said.as_str() {
        "" => error,
        said => error.hint(format!("minikube said: {said}")),
    };
    if caught.code != 0 {
        let code = u8::try_from(caught.code).unwrap_or(1);
        let error = match parse::of_exit_code(code) {
            // minikube has one code for both
            error if code == 85 => error.hint(format!("the profile asked for is `{profile}`")),
            error => error,
        };
        return Err(with_what_it_said(error));
    }
    let stdout = String::from_utf8_lossy(&caught.stdout);
    parse::parse(&stdout).map_err(|error| {
        with_what_it_said(
            error
                .with_kind(Kind::Failed)
                .hint(format!("it was printed by `{}`", program.display())),
        )
    })
}
