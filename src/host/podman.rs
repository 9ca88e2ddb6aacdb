//! podman on this computer, for clusters of minikube's driver `podman`: where its API is, and, where
//! that does not answer, the program itself. Docker's API is spoken by both.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::docker_env::endpoint::{Address, Endpoint};
use crate::docker_env::published::Published;
use crate::error::{Error, Kind, Result};
use crate::host::process;
use crate::settings::Environment;

/// A podman in a virtual machine may have to be asked through ssh.
const PODMAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The owner of the podman that runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodmanOwner {
    /// The computer's: minikube asks it through sudo.
    Root,
    /// The caller's own.
    User,
}

/// The engine that `CONTAINER_HOST` names, as podman reads it.
///
/// # Errors
/// When it is no address.
pub(crate) fn named(environment: &Environment) -> Result<Option<Endpoint>> {
    let Some(url) = environment.text("CONTAINER_HOST")? else {
        return Ok(None);
    };
    let wrong = || Error::usage("`CONTAINER_HOST` names no podman that devnet can ask");
    // docker takes an address without a scheme, podman does not
    if !url.contains("://") {
        return Err(wrong().hint("its addresses look like `unix:///run/podman/podman.sock`"));
    }
    let address = Address::parse(url).map_err(|error| wrong().caused_by(error))?;
    let ssh_key = environment
        .path("CONTAINER_SSHKEY")
        .filter(|_| matches!(address, Address::Ssh { .. }));
    Ok(Some(Endpoint {
        ssh_key,
        ..Endpoint::plain(address)
    }))
}

/// The socket of podman's API when nothing names it, whether or not something listens there.
pub(crate) fn socket(environment: &Environment, owner: PodmanOwner) -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return Some(
            environment
                .path("TMPDIR")?
                .join("podman")
                .join("podman-machine-default-api.sock"),
        );
    }
    if !cfg!(unix) {
        return None;
    }
    match owner {
        PodmanOwner::Root => Some(Path::new("/run/podman/podman.sock").into()),
        PodmanOwner::User => Some(
            environment
                .path("XDG_RUNTIME_DIR")?
                .join("podman")
                .join("podman.sock"),
        ),
    }
}

/// Asks the program about a container.
///
/// # Errors
/// Not found when there is no such container; unreachable when there is no podman, or it does not
/// say.
pub(crate) async fn ask(
    environment: &Environment,
    owner: PodmanOwner,
    container: &str,
) -> Result<Published> {
    let found = |name: &str| which::which_in(name, environment.os("PATH"), ".");
    let podman = found("podman").map_err(|error| {
        Error::unreachable("podman, which runs the cluster's nodes, can't be asked")
            .caused_by(format!("there is no `podman` on PATH: {error}"))
            .hint("`CONTAINER_HOST` may name its socket")
    })?;
    // a superfluous sudo would be one more thing that may not be there
    let sudo = (owner == PodmanOwner::Root && cfg!(target_os = "linux") && !is_root())
        .then(|| found("sudo").ok())
        .flatten();
    let (program, arguments) = call(&podman, sudo.as_deref(), container);
    let variables: Vec<(OsString, OsString)> = environment
        .all()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let asked = process::catch(program.as_os_str(), &arguments, &variables, PODMAN_TIMEOUT);
    let silent = |why: String| {
        Error::unreachable("podman, which runs the cluster's nodes, does not say where they are")
            .caused_by(why)
            .hint(format!(
                "try `{} {}`",
                program.display(),
                arguments.join(" ")
            ))
    };
    let Some(caught) = asked.await? else {
        return Err(silent(format!(
            "no answer within {} s",
            PODMAN_TIMEOUT.as_secs()
        )));
    };
    if caught.code != 0 {
        let said = String::from_utf8_lossy(&caught.stderr).trim().to_owned();
        return Err(if said.contains("no such container") {
            Error::new(
                Kind::NotFound,
                format!("podman has no container `{container}`"),
            )
        } else {
            silent(said)
        });
    }
    Published::of_podman(&String::from_utf8_lossy(&caught.stdout))
}

/// The question as minikube puts it: through sudo without a password, or to podman itself.
fn call<'a>(
    podman: &'a Path,
    sudo: Option<&'a Path>,
    container: &'a str,
) -> (&'a Path, Vec<&'a str>) {
    let question = ["container", "inspect", "--format", "json", container];
    match (sudo, podman.to_str()) {
        (Some(sudo), Some(podman)) => (sudo, [&["-n", podman], &question[..]].concat()),
        _ => (podman, question.to_vec()),
    }
}

/// True where the caller is root, who needs no sudo and has no rootless podman.
pub(crate) fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_podman_is_asked_through_sudo_and_never_with_a_password() {
        let podman = Path::new("/usr/bin/podman");
        let sudo = Path::new("/usr/bin/sudo");
        let question = ["container", "inspect", "--format", "json", "dev"];
        assert_eq!(call(podman, None, "dev"), (podman, question.to_vec()));
        assert_eq!(
            call(podman, Some(sudo), "dev"),
            (sudo, [&["-n", "/usr/bin/podman"], &question[..]].concat())
        );
    }

    #[test]
    fn an_engine_is_named_as_podman_reads_it() {
        let of = |pairs: &[(&str, &str)]| named(&Environment::of(pairs));
        assert_eq!(of(&[]).unwrap(), None);
        let key = ("CONTAINER_SSHKEY", "/k");
        let host = (
            "CONTAINER_HOST",
            "ssh://core@127.0.0.1:40022/run/user/501/podman/podman.sock",
        );
        let endpoint = of(&[host, key]).unwrap().unwrap();
        assert_eq!(endpoint.ssh_key.as_deref(), Some(Path::new("/k")));
        let Address::Ssh { port, socket, .. } = endpoint.address else {
            panic!("{endpoint}");
        };
        assert_eq!(
            (port, socket.as_str()),
            (40022, "/run/user/501/podman/podman.sock")
        );
        let endpoint = of(&[("CONTAINER_HOST", "unix:///run/podman/podman.sock"), key]);
        assert_eq!(endpoint.unwrap().unwrap().ssh_key, None);
        assert!(of(&[("CONTAINER_HOST", "podman.sock")]).is_err());
    }
}
