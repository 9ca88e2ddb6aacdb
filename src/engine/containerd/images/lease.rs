//! Leases: what a transfer brings to a node is kept until it has its name, and no longer.

use jiff::{SignedDuration, Timestamp};

use super::content::Labels;
use super::messages::{
    CreateLeaseRequest, DeleteLeaseRequest, ListLeasesRequest, ListLeasesResponse,
};
use crate::engine::grpc::{Empty, Grpc, found};
use crate::error::{Error, Result};
use crate::host::owner::signer_is_gone;

/// The beginning of the names of devnet's leases; a transfer's token follows.
const NAME: &str = "devnet-transfer-";
/// The label with the time at which containerd ends a lease by itself.
const EXPIRES: &str = "containerd.io/gc.expire";
/// The time after which a lease ends that its devnet did not end: no transfer takes as long.
const LIFE: SignedDuration = SignedDuration::from_hours(6);

/// The leases of a node.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    grpc: Grpc,
}

impl Leases {
    pub(super) fn new(grpc: Grpc) -> Self {
        Self { grpc }
    }

    /// Begins the lease of a transfer; one that it has goes on.
    pub(super) async fn begin(&self, token: &str) -> Result<()> {
        const PATH: &str = "/containerd.services.leases.v1.Leases/Create";
        let expires = Timestamp::now().saturating_add(LIFE).map_err(|error| {
            Error::failed("this computer's clock is at its end").caused_by(error)
        })?;
        let order = CreateLeaseRequest {
            id: name(token),
            labels: Labels::from([(EXPIRES.to_owned(), expires.to_string())]),
        };
        match self.grpc.ask::<_, Empty>(PATH, order).await {
            Ok(_made) => Ok(()),
            Err(refusal) if refusal.is_already_there() => Ok(()),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// Ends the lease of a transfer, which may be over already.
    pub(super) async fn end(&self, token: &str) -> Result<()> {
        const PATH: &str = "/containerd.services.leases.v1.Leases/Delete";
        let order = DeleteLeaseRequest { id: name(token) };
        let _gone: Option<Empty> = found(self.grpc.ask(PATH, order).await)?;
        Ok(())
    }

    /// A transfer's error, which may come of its lease: without one the node collects what has come.
    pub(super) async fn explained(&self, token: &str, error: Error) -> Error {
        match self.tokens().await {
            Ok(tokens) if !tokens.iter().any(|other| other == token) => {
                Error::failed("the node ended the transfer's lease before all was there")
                    .caused_by(error.in_one_line())
            }
            _ => error,
        }
    }

    /// Ends the leases of transfers whose devnet has ended without doing so.
    pub(super) async fn sweep(&self) -> Result<()> {
        for token in self.tokens().await? {
            if signer_is_gone(&token) == Some(true) {
                self.end(&token).await?;
            }
        }
        Ok(())
    }

    /// The tokens of all transfers that have a lease.
    pub(super) async fn tokens(&self) -> Result<Vec<String>> {
        const PATH: &str = "/containerd.services.leases.v1.Leases/List";
        let question = ListLeasesRequest {
            filters: vec![format!("id~=^{NAME}")],
        };
        let answer: ListLeasesResponse = self.grpc.ask(PATH, question).await?;
        let ids = answer.leases.into_iter().map(|lease| lease.id);
        let tokens = ids.filter_map(|id| id.strip_prefix(NAME).map(str::to_owned));
        Ok(tokens.collect())
    }
}

/// The name of a transfer's lease.
pub(super) fn name(token: &str) -> String {
    format!("{NAME}{token}")
}
