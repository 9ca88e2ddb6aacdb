//! The engine of this computer, and the endpoints that a person names: docker's own variables,
//! contexts and sockets.

use std::path::PathBuf;

use crate::commands::invocation::Context;
use crate::docker_env::endpoint::{Address, Endpoint, USUAL_PIPE, USUAL_SOCKET};
use crate::error::{Error, Result};
use crate::host::docker_context;
use crate::settings::origin::Origin;

impl Context {
    /// The engine of this computer, from which images are loaded and on which the lab runs.
    ///
    /// # Errors
    /// When `DOCKER_HOST` or a context that names it can't be read.
    pub(crate) fn host_endpoint(&self) -> Result<Endpoint> {
        Ok(self.host_engine()?.0)
    }

    /// The engine of this computer, and who named it.
    ///
    /// # Errors
    /// When `DOCKER_HOST` or a context that names it can't be read.
    pub(crate) fn host_engine(&self) -> Result<(Endpoint, Origin)> {
        let environment = &self.settings.environment;
        // a shell that points at a cluster keeps what it pointed at before
        let [host, verify, certs] = if environment.has("MINIKUBE_ACTIVE_DOCKERD") {
            [
                "MINIKUBE_EXISTING_DOCKER_HOST",
                "MINIKUBE_EXISTING_DOCKER_TLS_VERIFY",
                "MINIKUBE_EXISTING_DOCKER_CERT_PATH",
            ]
        } else {
            ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]
        };
        if let Some(url) = environment.text(host)? {
            let endpoint =
                self.docker_host(url, environment.has(verify), environment.path(certs))?;
            return Ok((endpoint, Origin::variable(host)));
        }
        if let Some(name) = environment.text("DOCKER_CONTEXT")?
            && name != "default"
            && !name.starts_with("devnet-")
        {
            return Ok((
                self.context_endpoint(name)?,
                Origin::variable("DOCKER_CONTEXT"),
            ));
        }
        let folder = docker_context::folder(environment, &self.settings.home()?);
        if let Some(name) = docker_context::current(&folder)
            && !name.starts_with("devnet-")
        {
            return Ok((
                docker_context::endpoint(&folder, &name)?,
                Origin::Docker {
                    file: folder.join("config.json"),
                    key: "currentContext",
                },
            ));
        }
        Ok((Endpoint::plain(self.default_socket()?), Origin::Default))
    }

    /// An endpoint that was named with its certificates, or without.
    pub(in crate::commands) fn explicit(host: &str, certs: Option<PathBuf>) -> Result<Endpoint> {
        let address = Address::parse(host)?;
        if certs.is_some() && !matches!(address, Address::Tcp { .. }) {
            return Err(Error::usage(format!("`{host}` takes no certificates"))
                .hint("only tcp:// addresses are spoken to with TLS"));
        }
        Ok(Endpoint {
            cert_path: certs,
            ..Endpoint::plain(address)
        })
    }

    /// An endpoint as docker's own variables say it.
    pub(in crate::commands) fn docker_host(
        &self,
        host: &str,
        tls: bool,
        certs: Option<PathBuf>,
    ) -> Result<Endpoint> {
        let address = Address::parse(host)?;
        // docker's word for TLS without a look at who answers
        let unverified = !tls && self.settings.environment.has("DOCKER_TLS");
        let cert_path = match (&address, tls || unverified) {
            (Address::Tcp { .. }, true) => match certs {
                Some(folder) => Some(folder),
                None => Some(docker_context::folder(
                    &self.settings.environment,
                    &self.settings.home()?,
                )),
            },
            _ => None,
        };
        Ok(Endpoint {
            unverified: unverified && cert_path.is_some(),
            cert_path,
            ..Endpoint::plain(address)
        })
    }

    pub(in crate::commands) fn context_endpoint(&self, name: &str) -> Result<Endpoint> {
        if name == "default" {
            return Ok(Endpoint::plain(self.default_socket()?));
        }
        let folder = docker_context::folder(&self.settings.environment, &self.settings.home()?);
        docker_context::endpoint(&folder, name)
    }

    /// The platform's usual place of an engine's socket.
    pub(in crate::commands) fn default_socket(&self) -> Result<Address> {
        if cfg!(windows) {
            return Ok(Address::Npipe(USUAL_PIPE.into()));
        }
        let usual = PathBuf::from(USUAL_SOCKET);
        let mut others = Vec::new();
        if let Some(runtime) = self.settings.environment.path("XDG_RUNTIME_DIR") {
            others.push(runtime.join("docker.sock"));
        }
        if cfg!(target_os = "macos") {
            others.push(
                self.settings
                    .home()?
                    .join(".docker")
                    .join("run")
                    .join("docker.sock"),
            );
        }
        let found = if usual.exists() {
            None
        } else {
            others.into_iter().find(|path| path.exists())
        };
        Ok(Address::Unix(found.unwrap_or(usual)))
    }
}
