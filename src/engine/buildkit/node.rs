//! The BuildKit of a node with containerd: buildkitd, or that of the Docker engine which devnet has
//! started there. Both build into the node's own containerd.

use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest};
use tokio::sync::Mutex;

use crate::engine::build_features::BuildFeatures;
use crate::engine::buildkit::check::{self, Checked};
use crate::engine::buildkit::connection::Connection;
use crate::engine::buildkit::{self, Built, Failure, Solve};
use crate::engine::containerd::Containerd;
use crate::engine::containerd::images::ClusterImages;
use crate::error::{Error, Result};
use crate::progress::Sender;
use crate::runtime_kind::NODE_DOCKER_SOCKET;
use crate::wire::node::{NodeAccess, refusal_of_root};
use crate::wire::relay::Complaint;
use crate::wire::transport::{self, Stream};

/// The exporter that makes an image of containerd's.
const EXPORTER: &str = "image";
/// buildkitd's socket, which is root's and the group's `buildkit`.
const SOCKET: &str = "/run/buildkit/buildkitd.sock";
/// The namespace of containerd in which pods find their images.
const NAMESPACE: &str = "k8s.io";

/// The way to a node's BuildKit.
#[derive(Clone, Debug)]
pub(crate) struct NodeBuildKit {
    access: NodeAccess,
    /// The node, for messages.
    address: Arc<str>,
    patience: Duration,
    /// The images among which those that it builds come to stand.
    images: ClusterImages,
    /// The connection by which something was asked last; a build takes it.
    kept: Arc<Mutex<Option<Reached>>>,
}

/// A BuildKit that has answered.
#[derive(Clone, Debug)]
struct Reached {
    connection: Connection,
    worker: Worker,
    features: BuildFeatures,
}

/// The worker that builds where none is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Worker {
    /// containerd's, in a namespace.
    Containerd(String),
    /// Another, by its name.
    Other(String),
}

impl NodeBuildKit {
    /// `images` are those of its node.
    pub(in crate::engine) fn new(containerd: &Containerd, images: ClusterImages) -> Self {
        Self {
            access: containerd.node.access.clone(),
            address: containerd.node.address().into(),
            patience: containerd.node.patience,
            images,
            kept: Arc::default(),
        }
    }

    /// The features that it has beyond the least.
    ///
    /// # Errors
    /// Unreachable, where none answers.
    pub(in crate::engine) async fn features(&self) -> Result<BuildFeatures> {
        let mut kept = self.kept.lock().await;
        let reached = match kept.take() {
            Some(reached) => reached,
            None => Box::pin(self.reach()).await?,
        };
        Ok(kept.insert(reached).features)
    }

    /// The address that `host-gateway` stands for.
    ///
    /// # Errors
    /// It does not say, or was lost.
    pub(in crate::engine) async fn host_gateway(&self) -> Result<String> {
        buildkit::host_gateway(&self.reached().await?.connection).await
    }

    /// Builds, sending news to `events`. Dropping the future cancels the build in the node.
    ///
    /// # Errors
    /// The build failed, or the node was lost; its worker makes no images of the node's containerd.
    pub(in crate::engine) async fn build(
        &self,
        solve: Solve,
        events: &Sender,
    ) -> Result<Built, Failure> {
        let reached = self.reached().await?;
        if solve.exporters.iter().any(|one| one.kind == EXPORTER) {
            reached.worker.makes_images_of_pods()?;
        }
        buildkit::build(&reached.connection, solve, events).await
    }

    /// Gives an image that was built under a name of ours its own names, where it is whole.
    ///
    /// # Errors
    /// When it is not; when the node does not answer.
    pub(crate) async fn name(&self, ours: &str, names: &[String]) -> Result<()> {
        self.images.name_built(ours, names).await
    }

    /// Takes away what builds have left whose devnet was killed, before one begins.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn sweep(&self) -> Result<()> {
        self.images.sweep_builds().await?;
        self.images.note_ids().await
    }

    /// Has the Dockerfile checked; nothing is built.
    ///
    /// # Errors
    /// The Dockerfile can't be read or parsed; the node was lost.
    pub(in crate::engine) async fn check_dockerfile(
        &self,
        solve: Solve,
        events: &Sender,
    ) -> Result<Checked, Failure> {
        let reached = self.reached().await?;
        check::check_dockerfile(&reached.connection, solve, events).await
    }

    /// The kept connection, else a new one.
    async fn reached(&self) -> Result<Reached> {
        let kept = self.kept.lock().await.take();
        match kept {
            Some(reached) => Ok(reached),
            None => Box::pin(self.reach()).await,
        }
    }

    /// Connects to buildkitd, else to the engine's BuildKit.
    async fn reach(&self) -> Result<Reached> {
        let complaint = Complaint::default();
        let buildkitd = self.access.socket(SOCKET, &complaint);
        let address = format!("{SOCKET} of {}", self.address);
        let nobody = match self.greet(buildkitd, &address, &complaint).await {
            Ok(reached) => return Ok(reached),
            Err(error) if is_nobody(&error) => error,
            Err(error) => return Err(error),
        };
        let complaint = Complaint::default();
        let engine = self.engine(&complaint);
        let address = format!("{NODE_DOCKER_SOCKET} of {}", self.address);
        match self.greet(engine, &address, &complaint).await {
            Err(error) if is_nobody(&error) => {
                Err(Error::unreachable(format!("no BuildKit runs on {}", self.address))
                    .caused_by(nobody)
                    .hint("on the node, `sudo systemctl start buildkit.socket` starts its buildkitd (minikube's nodes have one)")
                    .hint("`devnet engine start` starts a Docker engine there that builds as well"))
            }
            outcome => outcome,
        }
    }

    /// The stream to the BuildKit in devnet's own engine.
    async fn engine(&self, complaint: &Complaint) -> Result<Box<dyn Stream>> {
        let stream = self
            .access
            .root_socket(NODE_DOCKER_SOCKET, complaint)
            .await?;
        let upgraded = transport::upgraded(stream, "/grpc", &[]).await;
        let upgraded = upgraded.map_err(|why| silent(NODE_DOCKER_SOCKET).caused_by(why))?;
        Ok(Box::new(upgraded))
    }

    /// Asks what a stream leads to.
    async fn greet(
        &self,
        stream: impl Future<Output = Result<Box<dyn Stream>>>,
        address: &str,
        complaint: &Complaint,
    ) -> Result<Reached> {
        let asking = async {
            let connection = Connection::on(stream.await?, address, self.patience).await?;
            let (mut control, mut again) = (connection.control(), connection.control());
            let workers = control.list_workers(ListWorkersRequest::default());
            let (workers, info) = futures_util::join!(workers, again.info(InfoRequest::default()));
            let workers =
                workers.map_err(|status| silent(address).caused_by(status.message().to_owned()))?;
            let first = workers.into_inner().record.into_iter().next();
            let version = info
                .ok()
                .and_then(|info| info.into_inner().buildkit_version);
            Ok(Reached {
                worker: Worker::of(first.map(|worker| worker.labels).unwrap_or_default()),
                features: BuildFeatures::of_buildkit(
                    version.as_ref().map(|one| one.version.as_str()),
                ),
                connection,
            })
        };
        let outcome: Result<Reached> = match tokio::time::timeout(self.patience, asking).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                let seconds = self.patience.as_secs_f64();
                let why = format!("no answer within {seconds} s");
                Err(silent(address)
                    .caused_by(why)
                    .hint("the machine may be paused or overloaded"))
            }
        };
        // why a relay came to nothing stands beside it
        outcome.map_err(|error| match complaint.text() {
            said if said.is_empty() => error,
            said => match refusal_of_root(&said) {
                None => silent(address).caused_by(said),
                Some(hint) => Error::unreachable(format!("this login may not open {address}"))
                    .caused_by(said)
                    .hint("its user must be in the socket's group: `sudo usermod -aG buildkit USER` on the node, and log in anew")
                    .hint(hint),
            },
        })
    }
}

fn silent(address: &str) -> Error {
    Error::unreachable(format!("no answer from {address}"))
}

/// True where nobody listens at a socket, which may not be there.
fn is_nobody(error: &Error) -> bool {
    let said = error.causes().join(": ");
    said.contains("No such file or directory") || said.contains("Connection refused")
}

impl Worker {
    /// Reads a worker's labels.
    fn of(mut labels: std::collections::HashMap<String, String>) -> Self {
        let mut label =
            |name: &str| labels.remove(&format!("org.mobyproject.buildkit.worker.{name}"));
        match label("containerd.namespace") {
            Some(namespace) => Self::Containerd(namespace),
            None => Self::Other(label("executor").unwrap_or_else(|| "unknown".to_owned())),
        }
    }

    /// # Errors
    /// When pods would not find the images that it makes.
    fn makes_images_of_pods(&self) -> Result<()> {
        let why = match self {
            Self::Containerd(namespace) if namespace == NAMESPACE => return Ok(()),
            Self::Containerd(namespace) => {
                format!("it builds into the namespace `{namespace}`, and pods are in `{NAMESPACE}`")
            }
            Self::Other(name) => {
                format!("its worker is not containerd's ({name}), and keeps its images to itself")
            }
        };
        Err(Error::failed("the node's BuildKit makes no images for pods")
            .caused_by(why)
            .hint(format!("in its buildkitd.toml: `[worker.oci] enabled = false` and `[worker.containerd] enabled = true, namespace = \"{NAMESPACE}\"`, as minikube's nodes have it"))
            .hint("`-o FOLDER` or `-o type=docker,dest=FILE` brings the result to this computer all the same"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(labels: &[(&str, &str)]) -> Worker {
        let label = |(name, value): &(&str, &str)| {
            (
                format!("org.mobyproject.buildkit.worker.{name}"),
                (*value).to_owned(),
            )
        };
        Worker::of(labels.iter().map(label).collect())
    }

    #[test]
    fn only_a_worker_in_the_namespace_of_pods_makes_images_for_them() {
        let of_pods = worker(&[
            ("containerd.namespace", "k8s.io"),
            ("executor", "containerd"),
        ]);
        assert!(of_pods.makes_images_of_pods().is_ok());
        for (other, why) in [
            (
                worker(&[("containerd.namespace", "buildkit")]),
                "`buildkit`",
            ),
            (worker(&[("executor", "oci")]), "(oci)"),
            (worker(&[]), "(unknown)"),
        ] {
            let error = other.makes_images_of_pods().unwrap_err();
            assert!(error.causes().join(" ").contains(why), "{error}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_and_one_that_nobody_serves_are_nobodys() {
        let error = |why: &str| Error::unreachable("x").caused_by(why.to_owned());
        assert!(is_nobody(&error(
            "E connect(, AF=1 \"/run/x\"): No such file or directory"
        )));
        assert!(is_nobody(&error("Connection refused (os error 111)")));
        assert!(!is_nobody(&error("sudo: a password is required")));
    }
}
