//! A stand-in for cri-o, which is in no suite: it speaks CRI at cri-o's socket of a node and refuses what
//! it does not know. Its pods are real: pinned namespaces, conmon, an OCI runtime, the node's CNI plugin.
//! What it says of them has the form of recorded answers of cri-o 1.37.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use prost::Message;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::ground::Ground;
use super::messages::{Containers, Event, Sandboxes, Version};
use super::store::{Store, image_id};
use crate::support::cri::messages::{
    CreateContainer, Id, ImageStatus, ImageStatusRequest, ListContainers, ListSandboxes,
    RunPodSandbox, StatusRequest, StopContainer,
};
use crate::support::grpc_socket;

const AGAIN: Duration = Duration::from_millis(20);

/// A server at a node's socket, gone with it.
pub(super) struct StandIn {
    socket: PathBuf,
    served: Served,
    /// `None` while it does not run.
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl StandIn {
    /// Serves at a socket of the node; with `infra` every sandbox has a process.
    pub(super) fn serve(ground: Ground, socket: &Path, infra: bool) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let served = Served {
            store: Arc::new(Mutex::new(Store::new(ground, infra))),
            events: Arc::default(),
            asked_for_events: Arc::default(),
        };
        let stand_in = Self {
            socket: socket.to_owned(),
            served,
            runtime: Mutex::default(),
        };
        stand_in.start();
        stand_in
    }

    /// Listens; its pods are those that it had.
    pub(super) fn start(&self) {
        let _old = std::fs::remove_file(&self.socket);
        let (runtime, incoming) = grpc_socket::listen(&self.socket, 2);
        let server = tonic::transport::Server::builder()
            .add_service(Service::<0>(self.served.clone()))
            .add_service(Service::<1>(self.served.clone()));
        runtime.spawn(server.serve_with_incoming(incoming));
        *self.runtime.lock().unwrap() = Some(runtime);
    }

    /// Ends as one that is killed: its socket stays.
    pub(super) fn stop(&self) {
        drop(self.runtime.lock().unwrap().take());
    }

    /// Refuses to tell of containers, so many times from now on.
    pub(super) fn refuses_statuses(&self, times: usize) {
        self.served.store.lock().unwrap().refused = times;
    }

    /// The number of times that somebody asked for its events.
    pub(super) fn asked_for_events(&self) -> usize {
        self.served.asked_for_events.load(Ordering::SeqCst)
    }

    /// Tells of changes from now on.
    pub(super) fn tells_events(&self) {
        self.served.events.store(true, Ordering::SeqCst);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.socket);
    }
}

#[derive(Clone)]
struct Served {
    store: Arc<Mutex<Store>>,
    events: Arc<AtomicBool>,
    asked_for_events: Arc<AtomicUsize>,
}

impl Served {
    /// Works on the store where that may take its time.
    async fn work<A>(
        self,
        work: impl FnOnce(&mut Store) -> Result<A, Status> + Send + 'static,
    ) -> Result<Response<A>, Status>
    where
        A: Send + 'static,
    {
        let done = tokio::task::spawn_blocking(move || work(&mut self.store.lock().unwrap()));
        let answer = done
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        answer.map(Response::new)
    }

    /// Ends containers: with TERM, and after so many seconds with KILL.
    async fn end(&self, ids: &[String], seconds: i64) {
        let limit = Duration::from_secs(seconds.unsigned_abs());
        for (signal, limit) in [("TERM", limit), ("KILL", Duration::from_mins(1))] {
            let limit = tokio::time::Instant::now() + limit;
            for id in ids {
                let asked = self.clone();
                let id = id.clone();
                let asked = asked.work(move |store| {
                    if store.is_up(&id) {
                        store.ask_to_end(&id, signal);
                    }
                    Ok(())
                });
                let _done = asked.await;
            }
            loop {
                let up = {
                    let mut store = self.store.lock().unwrap();
                    ids.iter().any(|id| store.is_up(id))
                };
                if !up {
                    return;
                }
                if tokio::time::Instant::now() >= limit {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn stop(self, question: StopContainer) -> Result<Response<()>, Status> {
        self.end(&[question.id], question.timeout).await;
        Ok(Response::new(()))
    }

    async fn stop_sandbox(self, id: String) -> Result<Response<()>, Status> {
        let (ids, grace) = self.store.lock().unwrap().begin_to_end(&id);
        self.end(&ids, grace).await;
        self.work(move |store| {
            store.end_sandbox(&id);
            Ok(())
        })
        .await
    }

    /// The stream of events ends at once where cri-o was not told to have any.
    fn follow(&self) -> BoxStream<'static, Result<Event, Status>> {
        self.asked_for_events.fetch_add(1, Ordering::SeqCst);
        if !self.events.load(Ordering::SeqCst) {
            return stream::empty().boxed();
        }
        let changes = self.store.lock().unwrap().changes.subscribe();
        let store = Arc::clone(&self.store);
        // what ends by itself is seen by looking
        tokio::spawn(async move {
            loop {
                store.lock().unwrap().look();
                tokio::time::sleep(AGAIN).await;
            }
        });
        stream::unfold(changes, |mut changes| async {
            changes.changed().await.ok()?;
            Some((Ok(Event::default()), changes))
        })
        .boxed()
    }
}

/// One of CRI's two services.
#[derive(Clone)]
struct Service<const OF_IMAGES: u8>(Served);

impl tonic::server::NamedService for Service<0> {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl tonic::server::NamedService for Service<1> {
    const NAME: &'static str = "runtime.v1.ImageService";
}

type HttpRequest = http::Request<tonic::body::Body>;
type HttpAnswer = http::Response<tonic::body::Body>;
type CallFuture = Pin<Box<dyn Future<Output = Result<HttpAnswer, Infallible>> + Send>>;

impl<const OF_IMAGES: u8> tower::Service<HttpRequest> for Service<OF_IMAGES> {
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> CallFuture {
        let served = self.0.clone();
        Box::pin(async move { Ok(answer(served, request).await) })
    }
}

/// Answers one question of one kind.
async fn unary<Q, A, F>(request: HttpRequest, answer: impl Fn(Q) -> F + Clone) -> HttpAnswer
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
    F: Future<Output = Result<Response<A>, Status>> + Send,
{
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
    let answer = tower::service_fn(move |question: Request<Q>| answer(question.into_inner()));
    grpc.unary(answer, request).await
}

async fn answer(served: Served, request: HttpRequest) -> HttpAnswer {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default();
    match method.to_owned().as_str() {
        "Version" => {
            unary(request, |_question: ()| async {
                Ok(Response::new(Version {
                    of_kubelets: "0.1.0".into(),
                    name: "cri-o".into(),
                    of_runtime: "1.37.0".into(),
                    of_api: "v1".into(),
                }))
            })
            .await
        }
        "RunPodSandbox" => {
            unary(request, move |question: RunPodSandbox| {
                let config = question.config.unwrap_or_default();
                let made = served.clone();
                made.work(move |store| store.run_sandbox(config).map(|id| Id { id }))
            })
            .await
        }
        "CreateContainer" => {
            unary(request, move |question: CreateContainer| {
                let config = question.config.unwrap_or_default();
                let made = served.clone();
                made.work(move |store| store.create(&question.sandbox, config).map(|id| Id { id }))
            })
            .await
        }
        "StartContainer" => {
            unary(request, move |question: Id| {
                served.clone().work(move |store| store.start(&question.id))
            })
            .await
        }
        "StopContainer" => {
            unary(request, move |question: StopContainer| {
                served.clone().stop(question)
            })
            .await
        }
        "StopPodSandbox" => {
            unary(request, move |question: Id| {
                served.clone().stop_sandbox(question.id)
            })
            .await
        }
        "RemoveContainer" => {
            unary(request, move |question: Id| {
                let gone = served.clone();
                gone.work(move |store| {
                    store.remove(&question.id);
                    Ok(())
                })
            })
            .await
        }
        "RemovePodSandbox" => {
            unary(request, move |question: Id| {
                let gone = served.clone();
                gone.work(move |store| {
                    store.remove_sandbox(&question.id);
                    Ok(())
                })
            })
            .await
        }
        "ListPodSandbox" => {
            unary(request, move |question: ListSandboxes| {
                let labels = question.filter.unwrap_or_default().labels;
                served.clone().work(move |store| {
                    let items = store.list_sandboxes(&labels);
                    Ok(Sandboxes { items })
                })
            })
            .await
        }
        "ListContainers" => {
            unary(request, move |question: ListContainers| {
                let labels = question.filter.unwrap_or_default().labels;
                served.clone().work(move |store| {
                    let items = store.list_containers(&labels);
                    Ok(Containers { items })
                })
            })
            .await
        }
        "PodSandboxStatus" => {
            unary(request, move |question: StatusRequest| {
                served
                    .clone()
                    .work(move |store| store.sandbox_status(&question.id))
            })
            .await
        }
        "ContainerStatus" => {
            unary(request, move |question: StatusRequest| {
                served
                    .clone()
                    .work(move |store| store.container_status(&question.id))
            })
            .await
        }
        "ImageStatus" => {
            unary(request, move |question: ImageStatusRequest| async move {
                let name = question.image.unwrap_or_default().image;
                let image = image_id(&name).map(|id| Id { id });
                Ok(Response::new(ImageStatus { image }))
            })
            .await
        }
        "GetContainerEvents" => {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Event, ()>::default());
            let answer = tower::service_fn(move |_question: Request<()>| {
                let mut events = served.follow();
                async move {
                    // as a server in Go: the head of the answer comes with its first event, or with its end
                    let first = stream::iter(events.next().await);
                    Ok::<_, Status>(Response::new(first.chain(events)))
                }
            });
            grpc.server_streaming(answer, request).await
        }
        other => Status::unimplemented(format!("unknown method {other}")).into_http(),
    }
}
