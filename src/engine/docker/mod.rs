//! The Docker Engine API through bollard, over our own transport: the connection, and the engine's
//! description of itself. The files beside it add containers and images.

pub(crate) mod agent;
mod attached;
mod build;
mod confinement;
mod containers;
mod door;
pub(crate) mod events;
mod exec;
mod frames;
mod hosts;
mod images;
mod inventory;
pub(crate) mod leftovers;
mod lists;
mod logs;
pub(in crate::engine) mod marks;
mod membership;
mod networks;
pub(super) mod node_container;
mod own;
pub(crate) mod pods;
mod probe;
pub(crate) mod process;
mod states;
mod store;

use std::sync::Arc;
use std::time::Duration;

use bollard::models::SystemVersion;
use bollard::{BollardRequest, ClientVersion};
use tokio::sync::OnceCell;

use self::door::Door;
use crate::docker_env::endpoint::Endpoint;
use crate::docker_env::published::Published;
use crate::engine::about::{About, ImageStore, Info};
use crate::error::{Error, Kind, Result};
use crate::notices::Notices;
use crate::settings::Settings;
use crate::wire::tls;
use crate::wire::transport::Dialer;

/// Until the first answer begins, dialling included: a person waits for it.
const FIRST: Duration = Duration::from_secs(8);
/// The door knows better how long an answer may take; bollard's own limit is beyond all of its.
const LONG: Duration = Duration::from_secs(1 << 32);

/// A Docker engine, connected. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    pub(super) api: bollard::Docker,
    pub(super) dialer: Dialer,
    door: Door,
    greeting: Greeting,
    about: Arc<OnceCell<About>>,
}

impl Docker {
    pub(super) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        let dialer = Dialer::new(endpoint, settings)?;
        Self::dialled(dialer, settings.notices.clone()).await
    }

    /// The same to what a dialer reaches.
    pub(in crate::engine) async fn dialled(dialer: Dialer, notices: Notices) -> Result<Self> {
        let limit = dialer.patience();
        let door = Door::new(&dialer, limit, notices);
        let asked = door.clone();
        let ask = move |request: BollardRequest| {
            let door = asked.clone();
            async move { door.ask(request).await }
        };
        let api = |limit: Duration, version: &ClientVersion| {
            // the dialer knows where to; this only has to be a valid address
            let address = Some("http://engine");
            bollard::Docker::connect_with_custom_transport(
                ask.clone(),
                address,
                limit.as_secs(),
                version,
            )
            .map_err(|error| Error::failed("the API client could not be made").caused_by(error))
        };
        let first = api(
            FIRST.min(limit).max(Duration::from_secs(1)),
            bollard::API_DEFAULT_VERSION,
        )?;
        let mut greeting = match first.ping().await {
            Ok(_) => door.heard().cloned().unwrap_or_default(),
            Err(bollard::errors::Error::DockerResponseServerError { .. }) => Greeting::default(),
            Err(error) => return Err(no_engine(&dialer, &door, error).await),
        };
        let about = Arc::new(OnceCell::new());
        if greeting.version.is_none() || greeting.api_version.is_none() {
            // no engine, or one behind a proxy that forbids this or changes headers
            let said = first.version().await;
            let said = match said {
                Ok(said) => About::from(said),
                Err(error) => return Err(no_engine(&dialer, &door, error).await),
            };
            greeting.version.clone_from(&said.version);
            greeting.api_version.clone_from(&said.api_version);
            about.set(said).ok();
        }
        let api = api(LONG, &spoken(greeting.api_version.as_deref()))?;
        Ok(Self {
            api,
            dialer,
            door,
            greeting,
            about,
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    pub(in crate::engine) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Go's word for the engine's processor: `amd64`, `arm64`.
    pub(in crate::engine) async fn architecture(&self) -> Result<String> {
        Ok(self.about().await?.arch.clone().unwrap_or_default())
    }

    /// Some engines start other programs to answer this, which takes them 5 to 15 ms.
    pub(in crate::engine) async fn about(&self) -> Result<&About> {
        let ask = async {
            let said = self.api.version().await;
            said.map(About::from)
                .map_err(|error| self.failed("`/version`", error))
        };
        self.about.get_or_try_init(|| ask).await
    }

    pub(in crate::engine) async fn info(&self) -> Result<Info> {
        let info = self
            .api
            .info()
            .await
            .map_err(|error| self.failed("`/info`", error))?;
        let mut driver = info.driver_status.iter().flatten().flatten();
        let keeps_snapshots = driver.any(|text| text == "io.containerd.snapshotter.v1");
        Ok(Info {
            id: info.id,
            name: info.name,
            store: if keeps_snapshots {
                ImageStore::Containerd
            } else {
                ImageStore::Graph
            },
            system_time: info.system_time,
            root_dir: info.docker_root_dir,
            labels: info.labels.unwrap_or_default(),
        })
    }

    /// A container's state, and the ports of the engine's computer that lead into it.
    ///
    /// # Errors
    /// Not found when there is no such container.
    pub(crate) async fn published(&self, container: &str) -> Result<Published> {
        let what = format!("container `{container}`");
        let found = self
            .api
            .inspect_container(container, None)
            .await
            .or_else(states::read_again)
            .map_err(|error| self.failed(&what, error))?;
        let mut published = Published {
            state: found
                .state
                .and_then(|state| state.status)
                .map(|status| status.to_string())
                .unwrap_or_default(),
            ..Published::default()
        };
        let ports = found.network_settings.and_then(|settings| settings.ports);
        for (inner, bindings) in ports.unwrap_or_default() {
            let outer = bindings.iter().flatten();
            published.note(
                &inner,
                outer.filter_map(|binding| binding.host_port.as_deref()),
            );
        }
        Ok(published)
    }

    /// The median of a few pings.
    pub(in crate::engine) async fn round_trip(&self) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begun = std::time::Instant::now();
            self.api
                .ping()
                .await
                .map_err(|error| self.failed("`/_ping`", error))?;
            times.push(begun.elapsed());
        }
        times.sort();
        Ok(times[times.len() / 2])
    }

    /// A failure of this engine: the question, and the engine's words.
    pub(super) fn failed(&self, what: &str, error: bollard::errors::Error) -> Error {
        use bollard::errors::Error as Why;
        let cut_off = self.door.reason(&error);
        // of what was lost the rest is told below
        if let Some(reason) = cut_off.filter(|reason| reason.kind() != Kind::Lost) {
            let said = Error::failed(format!("{what}: {reason}"));
            return reason
                .hints()
                .iter()
                .fold(said, |said, hint| said.hint(hint.clone()));
        }
        match error {
            Why::DockerResponseServerError {
                status_code: 404,
                message,
            } => Error::not_found(format!("{what}: {}", message.trim())),
            Why::DockerResponseServerError { message, .. } => Error::failed(format!(
                "{what}: the engine at {} said: {}",
                self.endpoint(),
                message.trim()
            )),
            Why::DockerStreamError { error } => Error::failed(format!(
                "{what}: the engine at {} said: {}",
                self.endpoint(),
                error.trim()
            )),
            other => Error::failed(format!(
                "{what}: the engine at {} was lost",
                self.endpoint()
            ))
            .caused_by(last_reason(other)),
        }
    }
}

impl From<SystemVersion> for About {
    fn from(said: SystemVersion) -> Self {
        Self {
            version: said.version,
            api_version: said.api_version,
            min_api_version: said.min_api_version,
            os: said.os,
            arch: said.arch,
        }
    }
}

/// The facts in the headers of an engine's every answer: `/_ping` costs it nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    /// As `28.5.2`.
    pub(super) version: Option<String>,
    /// The newest API version that it speaks, as `1.51`.
    api_version: Option<String>,
    /// The builder that clients should use; only `/_ping` says it.
    pub(super) builder: Option<String>,
    /// True where it is podman that answers as Docker does.
    pub(super) is_podman: bool,
}

impl Greeting {
    /// The first number of the version.
    fn major(&self) -> Option<u32> {
        self.version.as_ref()?.split('.').next()?.parse().ok()
    }

    fn read(headers: &http::HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            // `Docker/28.5.2 (linux)`, `Libpod/5.4.2 (linux)`; proxies write their own
            version: text("server").and_then(|server| {
                let (product, version) = server.split_once(' ')?.0.split_once('/')?;
                matches!(product, "Docker" | "Libpod").then(|| version.to_owned())
            }),
            api_version: text("api-version"),
            builder: text("builder-version"),
            is_podman: headers.contains_key("libpod-api-version"),
        }
    }
}

/// The API version that both sides speak: the engine's, or ours where that is older.
fn spoken(engine: Option<&str>) -> ClientVersion {
    let ours = bollard::API_DEFAULT_VERSION;
    let numbers = engine
        .and_then(|version| version.split_once('.'))
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match numbers {
        Some((major_version, minor_version))
            if (major_version, minor_version) < (ours.major_version, ours.minor_version) =>
        {
            ClientVersion {
                major_version,
                minor_version,
            }
        }
        _ => ClientVersion {
            major_version: ours.major_version,
            minor_version: ours.minor_version,
        },
    }
}

/// The hint for an address that answered, but not as an engine does.
const NO_ENGINE: &str = "is it a Docker engine that listens there?";

/// The error of a first question without an answer; what listens there may not be an engine at all.
async fn no_engine(dialer: &Dialer, door: &Door, error: bollard::errors::Error) -> Error {
    let endpoint = dialer.endpoint();
    let connected = match &error {
        bollard::errors::Error::HyperLegacyError { err } => !err.is_connect(),
        _ => false,
    };
    if connected && let Some(name) = crate::engine::buildkit::listener::listener(dialer).await {
        return Error::unreachable(format!("no Docker engine listens at {endpoint}"))
            .caused_by(format!("{name} does"))
            .hint("a Docker engine's socket is /var/run/docker.sock, as a rule; a cluster on another runtime is named with `-p PROFILE`");
    }
    unreachable(door, endpoint, error)
}

/// True for an engine's answer about a container that is not there; podman has 500 for one that goes
/// while it is asked.
fn container_is_gone(error: &bollard::errors::Error) -> bool {
    use bollard::errors::Error::DockerResponseServerError;
    match error {
        DockerResponseServerError {
            status_code: 404, ..
        } => true,
        DockerResponseServerError { message, .. } => message.contains("no such container"),
        _ => false,
    }
}

/// The client's own names for what failed say nothing to a person; its last reason does.
fn last_reason(error: bollard::errors::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let bollard::errors::Error::HyperLegacyError { err } = &error else {
        return error.into();
    };
    let mut last: &(dyn std::error::Error + 'static) = err;
    loop {
        // kept as it is: the doctor judges it
        if let Some(tls) = tls::said(last) {
            return tls.clone().into();
        }
        match last.source() {
            Some(inner) => last = inner,
            None => return last.to_string().into(),
        }
    }
}

/// The error of a first question to an engine that had no answer. The dialer's own reason stands
/// inside hyper's and bollard's wrappers.
fn unreachable(door: &Door, endpoint: &Endpoint, error: bollard::errors::Error) -> Error {
    if let Some(reason) = door.reason(&error) {
        return Error::unreachable(format!("no engine answered at {endpoint}"))
            .caused_by(reason)
            .hint(NO_ENGINE);
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = next {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            let mut said = Error::new(ours.kind(), ours.to_string());
            if let Some(cause) = ours.causes().first() {
                said = said.caused_by(cause.clone());
            }
            return ours
                .hints()
                .iter()
                .fold(said, |said, hint| said.hint(hint.clone()));
        }
        next = inner.source();
    }
    let said = Error::unreachable(format!("no engine answered at {endpoint}"));
    if matches!(error, bollard::errors::Error::RequestTimeoutError) {
        return said
            .caused_by(format!(
                "no answer within {} s",
                FIRST.min(door.liveness().limit()).as_secs_f64()
            ))
            .hint("the machine may be paused or overloaded");
    }
    if let bollard::errors::Error::DockerResponseServerError { message, .. } = &error {
        let said = said.caused_by(message.trim().to_owned());
        // Go's TLS server says this to who speaks plain HTTP
        return if message.contains("HTTP request to an HTTPS server") {
            said.hint("it listens with TLS: name its certificates with `--tls-cert-path DIR`")
        } else {
            said.hint(NO_ENGINE)
        };
    }
    said.caused_by(last_reason(error)).hint(NO_ENGINE)
}
