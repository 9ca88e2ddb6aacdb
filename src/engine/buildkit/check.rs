//! Asking BuildKit's Dockerfile frontend a question instead of building: the linter's.
//!
//! Such a question goes through the gateway that frontends themselves use: a solve without a
//! frontend waits while we ask and then return its (empty) result. The proto crate has no types
//! for the gateway; the few fields that are needed stand here.

use std::collections::HashMap;

use tonic::transport::Channel;

use crate::engine::buildkit::connection::Connection;
use crate::engine::buildkit::{self, Failure, Solve};
use crate::progress::Sender;

/// `moby.buildkit.v1.frontend.SolveRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "2")]
    frontend: String,
    #[prost(map = "string, string", tag = "3")]
    frontend_opt: HashMap<String, String>,
    #[prost(bool, tag = "5")]
    allow_result_return: bool,
    #[prost(bool, tag = "6")]
    allow_result_array_ref: bool,
}

/// `moby.buildkit.v1.frontend.SolveResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct SolveResponse {
    #[prost(message, optional, tag = "3")]
    result: Option<Outcome>,
}

/// `moby.buildkit.v1.frontend.Result`
#[derive(Clone, PartialEq, prost::Message)]
struct Outcome {
    #[prost(map = "string, bytes", tag = "10")]
    metadata: HashMap<String, Vec<u8>>,
}

/// `moby.buildkit.v1.frontend.ReturnRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct Return {
    #[prost(message, optional, tag = "1")]
    result: Option<Outcome>,
}

/// The findings of the linter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// For a person.
    pub(crate) text: String,
    /// True where nothing was found.
    pub(crate) clean: bool,
    /// The reason why the Dockerfile can't be built at all.
    pub(crate) broken: Option<String>,
}

/// Has the Dockerfile checked; nothing is built.
///
/// # Errors
/// The Dockerfile can't be read or parsed; the engine was lost.
pub(in crate::engine) async fn check_dockerfile(
    connection: &Connection,
    mut solve: Solve,
    events: &Sender,
) -> Result<Checked, Failure> {
    let mut question: HashMap<String, String> =
        std::mem::take(&mut solve.attributes).into_iter().collect();
    question.insert("requestid".into(), "frontend.lint".into());
    question.insert(
        "frontend.caps".into(),
        "moby.buildkit.frontend.subrequests".into(),
    );
    // else the empty result would become an image
    solve.exporters.clear();
    solve.cache_to.clear();
    let channel = connection.channel();
    let (session, request) = buildkit::prepare(connection, solve, "", events).await?;
    let reference = request.r#ref.clone();
    let mut solving = connection.control();
    let solving = async move { solving.solve(request).await };
    let asking = ask(channel, reference, question);
    tokio::pin!(solving, asking);
    let outcome = tokio::select! {
        // it waits for our answer; when it ends first, it says why
        ended = &mut solving => Err(match ended {
            Err(status) => status,
            Ok(_) => tonic::Status::internal("the engine ended the check"),
        }),
        answer = &mut asking => answer,
    };
    outcome.map_err(|status| buildkit::failure(connection, &status, session.complaint()))
}

async fn ask(
    channel: Channel,
    reference: String,
    question: HashMap<String, String>,
) -> Result<Checked, tonic::Status> {
    let ask = Ask {
        frontend: "dockerfile.v0".into(),
        frontend_opt: question,
        allow_result_return: true,
        allow_result_array_ref: true,
    };
    let answer: SolveResponse = call(&channel, &reference, "Solve", ask).await?;
    let metadata = answer.result.unwrap_or_default().metadata;
    let end = Return {
        result: Some(Outcome::default()),
    };
    // the answer is here; how the waiting solve ends changes nothing
    let _ended: Result<(), _> = call(&channel, &reference, "Return", end).await;
    let text = |key: &str| {
        metadata
            .get(key)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let Some(findings) = text("result.txt") else {
        return Err(tonic::Status::unimplemented(
            "its Dockerfile frontend knows no checks",
        ));
    };
    let json: serde_json::Value = text("result.json")
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    let warned = json["warnings"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    let broken = json["buildError"]["message"]
        .as_str()
        .map(ToOwned::to_owned);
    Ok(Checked {
        text: findings,
        clean: !warned && broken.is_none(),
        broken,
    })
}

/// One call of the gateway, which knows by this header which solve it belongs to.
async fn call<Q, A>(
    channel: &Channel,
    reference: &str,
    method: &str,
    message: Q,
) -> Result<A, tonic::Status>
where
    Q: prost::Message + Clone + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    // the solve is registered a moment after its request has arrived
    for _ in 0..100 {
        client
            .ready()
            .await
            .map_err(|error| tonic::Status::from_error(error.into()))?;
        let mut request = tonic::Request::new(message.clone());
        let id = reference
            .parse()
            .map_err(|_error| tonic::Status::internal("a token is no header"))?;
        request
            .metadata_mut()
            .insert("buildkit-controlapi-buildid", id);
        let path = format!("/moby.buildkit.v1.frontend.LLBBridge/{method}")
            .parse()
            .map_err(|_error| tonic::Status::internal("a method is no path"))?;
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        match client.unary(request, path, codec).await {
            Err(status) if status.message().contains("no such job") => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            outcome => return outcome.map(tonic::Response::into_inner),
        }
    }
    Err(tonic::Status::deadline_exceeded(
        "the engine did not begin the check",
    ))
}
