//! The Pods API of a node's kubelet (Kubernetes 1.37): the containers' kinds, the policies, the phase
//! and what is waited for, which no runtime tells.

mod answer;
mod messages;

use std::time::Duration;

use tokio::sync::oneshot;

use self::messages::ListPodsResponse;
use crate::engine::grpc::{Empty, Grpc};
use crate::pod::KubeletPod;
use crate::probe::pods_api::LIST_PODS;
use crate::wire::node::NodeAccess;

pub(crate) use self::answer::from_probe;

/// The time for which a kubelet is waited for once all others have answered.
const PATIENCE: Duration = Duration::from_millis(100);
/// The time after which a question is given up in any case.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes: some hundred pods with all that stands in them.
const LONGEST: usize = 8 << 20;

/// The way to a node's kubelet.
#[derive(Clone, Debug)]
pub(crate) enum Kubelet {
    /// Its socket, through the way into the node.
    Socket(Grpc),
    /// The probe, while it looks at the node.
    Probe,
    /// It has no such socket.
    Silent,
}

impl Kubelet {
    /// The way to the socket of a node; nothing is dialled yet.
    pub(in crate::engine) fn at(access: NodeAccess, socket: &str) -> Self {
        Self::Socket(Grpc::new(access, socket, LIMIT).with_answers_below(LONGEST))
    }

    /// Its pods, asked for beside other questions: once those are answered it is waited for no longer
    /// than `PATIENCE`. `None` where it does not tell in time, or refuses.
    pub(crate) async fn beside<T>(
        &self,
        others: impl Future<Output = T>,
    ) -> (T, Option<Vec<KubeletPod>>) {
        let (told, all_told) = oneshot::channel::<()>();
        let others = async {
            let answer = others.await;
            drop(told);
            answer
        };
        let patience = async {
            let _all_told = all_told.await;
            tokio::time::sleep(PATIENCE).await;
        };
        let pods = async {
            tokio::select! {
                pods = Box::pin(self.pods()) => pods,
                () = patience => None,
            }
        };
        tokio::join!(others, pods)
    }

    async fn pods(&self) -> Option<Vec<KubeletPod>> {
        let Self::Socket(grpc) = self else {
            return None;
        };
        let answer = grpc.ask::<Empty, ListPodsResponse>(LIST_PODS, ());
        answer::read(answer.await.ok()?)
    }
}
