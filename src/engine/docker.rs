//! The Docker Engine API through bollard, over our own transport: connecting, and what an engine
//! says of itself. `docker_*.rs` beside it add what is asked of containers and images.

use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion};

use crate::docker_env::endpoint::Endpoint;
use crate::docker_env::published::Published;
use crate::engine::transport::{self, Dialer};
use crate::engine::{About, Info};
use crate::error::{Error, Result};
use crate::settings::Settings;

/// Until the first answer begins, dialling included: a person waits for it.
const FIRST: Duration = Duration::from_secs(8);
/// Until an answer begins, for questions.
const SHORT: Duration = Duration::from_secs(20);
/// Until an answer begins, where the engine works or a body is sent first: load, stop, wait.
const LONG: Duration = Duration::from_secs(3600);

type Answer = Pin<
    Box<
        dyn Future<Output = Result<http::Response<hyper::body::Incoming>, bollard::errors::Error>>
            + Send,
    >,
>;

/// A Docker engine, connected. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    /// For questions: the engine must begin to answer soon.
    pub(super) api: bollard::Docker,
    /// For work that takes its time.
    pub(super) slow: bollard::Docker,
    pub(super) dialer: Dialer,
    /// Which builder clients should use: bollard shows no headers, and `/_ping` says it in one.
    pub(super) builder: Arc<OnceLock<String>>,
    about: Arc<About>,
    /// Bytes of archives that were handed over.
    pub(super) loaded: Arc<AtomicU64>,
}

impl Docker {
    pub(super) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        let dialer = Dialer::new(endpoint, settings)?;
        let client = transport::client(&dialer);
        let builder: Arc<OnceLock<String>> = Arc::default();
        let seen = builder.clone();
        let ask = move |request: BollardRequest| {
            let (client, seen) = (client.clone(), seen.clone());
            Box::pin(async move {
                let answer = client.request(request).await?;
                if let Some(builder) = answer.headers().get("builder-version") {
                    seen.get_or_init(|| String::from_utf8_lossy(builder.as_bytes()).into_owned());
                }
                Ok(answer)
            }) as Answer
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
            .map_err(|error| Error::failed("the API client could not be made").because(error))
        };
        // one request: bollard's own negotiation would ask the same once more
        let version = api(FIRST, bollard::API_DEFAULT_VERSION)?
            .version()
            .await
            .map_err(|error| unreachable(endpoint, error))?;
        let api = api(SHORT, &spoken(version.api_version.as_deref()))?;
        let about = About {
            version: version.version,
            api_version: version.api_version,
            min_api_version: version.min_api_version,
            os: version.os,
            arch: version.arch,
        };
        let slow = api.clone().with_timeout(LONG);
        Ok(Self {
            api,
            slow,
            dialer,
            builder,
            about: Arc::new(about),
            loaded: Arc::default(),
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    pub(super) async fn info(&self) -> Result<Info> {
        let info = self
            .api
            .info()
            .await
            .map_err(|error| self.failed("`/info`", error))?;
        Ok(Info {
            id: info.id,
            name: info.name,
            containerd_store: info
                .driver_status
                .iter()
                .flatten()
                .flatten()
                .any(|text| text == "io.containerd.snapshotter.v1"),
            system_time: info.system_time,
            root_dir: info.docker_root_dir,
        })
    }

    pub(super) async fn published(&self, container: &str) -> Result<Published> {
        let what = format!("container `{container}`");
        let found = self
            .api
            .inspect_container(container, None)
            .await
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
    pub(super) async fn round_trip(&self) -> Result<Duration> {
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

    /// A failure of this engine: what was asked, and what it said.
    pub(super) fn failed(&self, what: &str, error: bollard::errors::Error) -> Error {
        use bollard::errors::Error as Why;
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
            .because(other),
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

/// What answered, but not as an engine does.
const NO_ENGINE: &str = "is it a Docker engine that listens there?";

/// Why the first question to an engine had no answer. The dialer's own reason stands inside
/// hyper's and bollard's wrappers.
fn unreachable(endpoint: &Endpoint, error: bollard::errors::Error) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = next {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            let mut said = Error::new(ours.kind(), ours.to_string());
            if let Some(cause) = ours.causes().first() {
                said = said.because(cause.clone());
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
            .because(format!("no answer within {} s", FIRST.as_secs()))
            .hint("the machine may be paused or overloaded");
    }
    if let bollard::errors::Error::DockerResponseServerError { message, .. } = &error {
        let said = said.because(message.trim().to_owned());
        // Go's TLS server says this to who speaks plain HTTP
        return if message.contains("HTTP request to an HTTPS server") {
            said.hint("it listens with TLS: name its certificates with `--tls-cert-path DIR`")
        } else {
            said.hint(NO_ENGINE)
        };
    }
    said.because(error).hint(NO_ENGINE)
}
