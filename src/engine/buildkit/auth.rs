//! Our registry logins, as BuildKit may ask for them while it pulls or pushes.

use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use crate::image::credentials::Login;

/// Finds the login for a registry's host.
pub(crate) type Logins =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<Login>> + Send>> + Send + Sync>;

/// Logins by registry.
pub(crate) struct Registries(pub(crate) Option<Logins>);

#[tonic::async_trait]
impl Auth for Registries {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let login = match &self.0 {
            None => None,
            Some(logins) => logins(host).await,
        };
        // without a login the engine goes on as anybody
        let login = login.unwrap_or_default();
        Ok(Response::new(CredentialsResponse {
            username: login.user,
            secret: login.secret,
        }))
    }

    async fn fetch_token(
        &self,
        _request: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        // the engine then fetches the token itself, with the credentials above
        Err(Status::unimplemented("tokens are fetched by the engine"))
    }

    async fn get_token_authority(
        &self,
        _request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("no token authority"))
    }

    async fn verify_token_authority(
        &self,
        _request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("no token authority"))
    }
}
