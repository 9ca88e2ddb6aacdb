//! BuildKit in a node's engine: a build is one session (the engine asks us for files, secrets and
//! credentials) and one solve (we ask the engine to build).

pub(crate) mod auth;
pub(crate) mod check;
pub(in crate::engine) mod connection;
pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod listener;
pub(crate) mod node;
mod secrets;
mod session;
pub(crate) mod ssh;
mod status;
pub(crate) mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    CacheOptions, CacheOptionsEntry, Exporter, ListWorkersRequest, SolveRequest, StatusRequest,
};
use tonic::transport::Channel;

use crate::engine::buildkit::auth::Logins;
use crate::engine::buildkit::connection::Connection;
use crate::engine::buildkit::content::Store;
use crate::engine::buildkit::files::Folder;
use crate::engine::buildkit::session::Session;
pub(crate) use crate::engine::buildkit::session::token;
use crate::engine::buildkit::ssh::Agent;
use crate::engine::buildkit::streams::{Sink, Supply};
use crate::error::{Error, Result};
use crate::image::build_flags::Attributed;
use crate::progress::{Event, Lines, Sender, SourceFile};
use crate::wire::transport;

/// The time that the last news may take once the outcome is known.
const LAST_NEWS: Duration = Duration::from_secs(3);
/// Longest message of the engine's; a Dockerfile with long logs stays far below. Twice as much is
/// in memory while it is read.
pub(super) const LONGEST_MESSAGE: usize = 12 << 20;

/// One build for BuildKit.
#[derive(Default)]
pub(crate) struct Solve {
    /// For the Dockerfile frontend.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Under this key the engine keeps its copy of the folders for the next build.
    pub(crate) shared_key: String,
    /// The exporters of the result, as `moby`, and their attributes. None: only build. Engines up
    /// to 25 know one at a time.
    pub(crate) exporters: Vec<Attributed>,
    pub(crate) cache_from: Vec<Attributed>,
    pub(crate) cache_to: Vec<Attributed>,
    pub(crate) entitlements: Vec<String>,
    /// Everything that the engine may ask of this computer while it builds.
    pub(crate) provide: Provide,
}

/// Everything that the engine may ask of this computer while it builds.
#[derive(Default)]
pub(crate) struct Provide {
    /// Folders, by the name under which the engine asks.
    pub(crate) folders: BTreeMap<String, Folder>,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) logins: Option<Logins>,
    /// Image layouts, by the name under which the engine asks.
    pub(crate) stores: BTreeMap<String, Store>,
    /// A context that comes as a tar; its address is `UPLOADED`.
    pub(crate) upload: Option<Supply>,
    /// Takes what the exporters make, each in its place.
    pub(crate) results: Vec<Option<Sink>>,
    /// A file of a folder that goes before it is sent is sent empty, and is no failure.
    pub(crate) gone_is_empty: bool,
}

/// The outcome of a build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Built {
    /// Everything that the exporter said.
    pub(crate) response: BTreeMap<String, String>,
    pub(crate) sent: Sent,
}

/// The amounts of the context that were compared and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sent {
    /// Entries whose facts were compared.
    pub(crate) entries: u64,
    /// Files whose content was sent.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// The reason why there is no result, and its places in the Dockerfile.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) places: Vec<(SourceFile, Vec<Lines>)>,
    /// The engine has no BuildKit; nothing was begun.
    pub(crate) no_buildkit: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let no_buildkit = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<transport::NotUpgraded>);
        Self {
            error,
            places: Vec::new(),
            no_buildkit,
        }
    }
}

/// The label under which BuildKit gives the address of its own machine, as a step reaches it.
const GATEWAY_LABEL: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// The address that `host-gateway` stands for.
///
/// # Errors
/// The engine does not say, or was lost.
pub(in crate::engine) async fn host_gateway(connection: &Connection) -> Result<String> {
    let unknown = || Error::failed("the engine does not say what `host-gateway` is");
    let workers = connection
        .control()
        .list_workers(ListWorkersRequest::default())
        .await
        .map_err(|status| unknown().caused_by(status.message().to_owned()))?;
    workers
        .into_inner()
        .record
        .into_iter()
        .find_map(|mut worker| worker.labels.remove(GATEWAY_LABEL))
        .filter(|address| !address.is_empty())
        .ok_or_else(|| unknown().hint("give the address itself, as `--add-host host:192.168.49.1`"))
}

/// Builds, sending news to `events`. Dropping the future cancels the build in the engine.
///
/// # Errors
/// The build failed, or the engine was lost.
pub(in crate::engine) async fn build(
    connection: &Connection,
    solve: Solve,
    events: &Sender,
) -> std::result::Result<Built, Failure> {
    let control = connection.control();
    let (session, request) = prepare(connection, solve, "dockerfile.v0", events).await?;
    let reference = request.r#ref.clone();
    let news = news(control.clone(), reference, events);
    tokio::pin!(news);
    let mut solving = control;
    let solving = solving.solve(request);
    tokio::pin!(solving);
    let mut news_ended = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut solving => break outcome,
            () = &mut news, if !news_ended => news_ended = true,
            () = session.ended() => {
                // the engine says itself why the build failed, unless it is gone
                match tokio::time::timeout(LAST_NEWS, &mut solving).await {
                    Ok(outcome) => break outcome,
                    Err(_elapsed) => return Err(lost(connection).into()),
                }
            }
        }
    };
    if !news_ended {
        let _too_late = tokio::time::timeout(LAST_NEWS, news).await;
    }
    let sent = session.sent();
    match outcome {
        Ok(response) => Ok(Built {
            response: response
                .into_inner()
                .exporter_response
                .into_iter()
                .collect(),
            sent,
        }),
        Err(status) => Err(failure(connection, &status, session.complaint())),
    }
}

/// Opens the session of a solve, and writes its request.
pub(super) async fn prepare(
    connection: &Connection,
    mut solve: Solve,
    frontend: &str,
    events: &Sender,
) -> Result<(Session, SolveRequest)> {
    let provide = std::mem::take(&mut solve.provide);
    let session = Session::open(connection, &solve.shared_key, provide, events.clone()).await?;
    let reference = token();
    let mut request = request(solve, session.id(), &reference);
    frontend.clone_into(&mut request.frontend);
    Ok((session, request))
}

/// Tells what the engine says about a build until it says no more.
async fn news(mut control: ControlClient<Channel>, reference: String, events: &Sender) {
    let Ok(response) = control.status(StatusRequest { r#ref: reference }).await else {
        // the outcome of the solve tells what is wrong
        return;
    };
    let mut stream = response.into_inner();
    while let Ok(Some(message)) = stream.message().await {
        let _nobody_reads = events.send(Event::Build(status::update(message)));
    }
}

fn request(solve: Solve, session: &str, reference: &str) -> SolveRequest {
    let entries = |caches: Vec<Attributed>| {
        caches
            .into_iter()
            .map(|cache| CacheOptionsEntry {
                r#type: cache.kind,
                attrs: cache.attributes.into_iter().collect(),
            })
            .collect()
    };
    let cache = CacheOptions {
        imports: entries(solve.cache_from),
        exports: entries(solve.cache_to),
        ..CacheOptions::default()
    };
    let exporters: Vec<Exporter> = solve
        .exporters
        .into_iter()
        .map(|exporter| Exporter {
            r#type: exporter.kind,
            attrs: exporter.attributes.into_iter().collect(),
        })
        .collect();
    let first = exporters.first().cloned().unwrap_or_default();
    SolveRequest {
        r#ref: reference.to_owned(),
        session: session.to_owned(),
        frontend_attrs: solve.attributes.into_iter().collect(),
        // engines up to 25 read only these two, newer ones only the list
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        cache: Some(cache),
        entitlements: solve.entitlements,
        ..SolveRequest::default()
    }
}

fn lost(connection: &Connection) -> Error {
    Error::failed(format!(
        "the engine at {} was lost during the build",
        connection.address()
    ))
}

/// `complaint` is what we ourselves could not serve: it says more than the engine's echo of it.
pub(super) fn failure(
    connection: &Connection,
    status: &tonic::Status,
    complaint: Option<Error>,
) -> Failure {
    // only a transport's failure has a source; what the engine says has none
    if std::error::Error::source(status).is_some() {
        return Failure::from(lost(connection).caused_by(status.message().to_owned()));
    }
    let error = complaint.unwrap_or_else(|| {
        Error::failed("the build failed").caused_by(status.message().to_owned())
    });
    Failure {
        places: status::places(status.details()),
        ..Failure::from(error)
    }
}
