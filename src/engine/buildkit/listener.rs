//! A listener that is no Docker engine: which of its relatives it is. containerd, buildkitd and the
//! kubelet's runtimes speak gRPC, over HTTP/2 alone.

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::InfoRequest;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::engine::buildkit::connection::on_one_stream;
use crate::wire::transport::{Dialer, Stream};

/// A question that costs nothing; who does not answer it at once is no relative.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// containerd's and CRI's answers, as far as they are the same.
#[derive(Clone, PartialEq, prost::Message)]
struct Said {
    #[prost(string, tag = "1")]
    version: String,
    /// CRI: the runtime's name. containerd: its revision.
    #[prost(string, tag = "2")]
    second: String,
}

/// The name of what listens there, where it speaks HTTP/2.
pub(crate) async fn listener(dialer: &Dialer) -> Option<String> {
    tokio::time::timeout(ANSWER_TIMEOUT, ask(dialer))
        .await
        .ok()?
}

async fn ask(dialer: &Dialer) -> Option<String> {
    let channel = channel(dialer).await?;
    let containerd = "/containerd.services.version.v1.Version/Version";
    match version(channel.clone(), containerd).await {
        Ok(said) => return Some(format!("containerd {}", said.version)),
        // it does not speak HTTP/2 at all
        Err(status) if !is_of_a_server(&status) => return None,
        Err(_other) => {}
    }
    let mut control = ControlClient::new(channel.clone());
    if let Ok(info) = control.info(InfoRequest::default()).await {
        let version = info.into_inner().buildkit_version.unwrap_or_default();
        return Some(format!("buildkitd {}", version.version));
    }
    match version(channel, "/runtime.v1.RuntimeService/Version").await {
        Ok(said) => Some(format!("a kubelet's runtime ({})", said.second)),
        Err(_other) => Some("a gRPC server".into()),
    }
}

async fn version(channel: Channel, method: &'static str) -> Result<Said, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<(), Said>::default();
    let path = http::uri::PathAndQuery::from_static(method);
    let said = client.unary(Request::new(()), path, codec).await?;
    Ok(said.into_inner())
}

fn is_of_a_server(status: &Status) -> bool {
    status.code() == Code::Unimplemented && std::error::Error::source(status).is_none()
}

async fn channel(dialer: &Dialer) -> Option<Channel> {
    let stream: Box<dyn Stream> = dialer.dial().await.ok()?;
    on_one_stream(Endpoint::from_static("http://engine"), stream)
        .await
        .ok()
}
