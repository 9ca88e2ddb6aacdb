//! A stand-in for cri-o's image service, over the store that a real podman of the node keeps: it answers
//! from the store's own files, as cri-o does, and removes as recorded answers say that cri-o does (a name
//! that is not the last goes alone, what a container uses is refused). Of the runtime service it has what
//! devnet asks of a node without pods.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine as _;
use http::{Request as Question, Response as Answer};
use serde_json::Value;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::crio::RealCrio;
use super::{Output, grpc_socket};

/// A server at a socket, gone with it.
pub(crate) struct CrioImages {
    socket: PathBuf,
    store: Arc<Store>,
    /// `None` where the real one answers.
    _runtime: Option<tokio::runtime::Runtime>,
}

/// Runs podman on the node.
pub(crate) type RunPodman = Box<dyn Fn(&[&str]) -> Output + Send + Sync>;

struct Store {
    /// The store's folder as this computer sees it.
    root: PathBuf,
    podman: RunPodman,
    /// Containers by the image that each uses.
    containers: Mutex<BTreeMap<String, String>>,
    /// The names of questions that changed something.
    changes: Mutex<Vec<String>>,
}

impl CrioImages {
    /// On the node with this folder in the testbed.
    pub(crate) fn serve(folder: &Path, socket: &Path, root: &Path, podman: RunPodman) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let store = Arc::new(Store {
            root: root.into(),
            podman,
            containers: Mutex::default(),
            changes: Mutex::default(),
        });
        let runtime = if let Some(real) = RealCrio::on(folder, false) {
            real.start();
            None
        } else {
            let (runtime, incoming) = grpc_socket::listen(socket, 2);
            let server = tonic::transport::Server::builder()
                .add_service(Images(store.clone()))
                .add_service(Runtime);
            runtime.spawn(server.serve_with_incoming(incoming));
            Some(runtime)
        };
        Self {
            socket: socket.to_owned(),
            store,
            _runtime: runtime,
        }
    }

    /// Has a container use an image from now on.
    pub(crate) fn uses(&self, container: &str, image: &str) {
        let image = image.strip_prefix("sha256:").unwrap_or(image).to_owned();
        let mut containers = self.store.containers.lock().unwrap();
        containers.insert(image, container.to_owned());
    }

    /// The names and images that were removed through it.
    pub(crate) fn removed(&self) -> Vec<String> {
        self.store.changes.lock().unwrap().clone()
    }

    /// The image with a name, as `(ID, its layers)`.
    pub(crate) fn image(&self, name: &str) -> Option<(String, Vec<String>)> {
        let found = self.store.find(name)?;
        let config = self.store.config(&found);
        let layers = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = layers
            .iter()
            .map(|layer| layer.as_str().unwrap().to_owned());
        Some((format!("sha256:{}", found.id), layers.collect()))
    }
}

impl Drop for CrioImages {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.socket);
    }
}

impl Store {
    fn folder(&self) -> PathBuf {
        let of = |driver: &str| self.root.join(format!("{driver}-images"));
        let overlay = of("overlay");
        if overlay.is_dir() { overlay } else { of("vfs") }
    }

    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join("images.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn images(&self) -> Vec<ListedImage> {
        let strings = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let listed = |record: &Value| {
            let names = strings(&record["names"]);
            let past = strings(&record["names-history"]);
            let digest = record["digest"].as_str().unwrap_or_default();
            let mut digests: Vec<String> = names
                .iter()
                .chain(&past)
                .map(|name| {
                    let last = name.rfind('/').map_or(0, |at| at + 1);
                    let end = name[last..]
                        .find([':', '@'])
                        .map_or(name.len(), |at| last + at);
                    format!("{}@{digest}", &name[..end])
                })
                .collect();
            digests.sort();
            digests.dedup();
            ListedImage {
                id: record["id"].as_str().unwrap().to_owned(),
                repo_tags: names
                    .into_iter()
                    .filter(|name| !name.contains('@'))
                    .collect(),
                repo_digests: digests,
                size: 1_000_000,
                pinned: false,
            }
        };
        self.records().iter().map(listed).collect()
    }

    /// By its ID or the beginning of it, or by a whole name; cri-o takes short ones for Docker Hub's.
    fn find(&self, name: &str) -> Option<ListedImage> {
        let is_hex = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let full = match name.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
            Some(_) => format!("docker.io/{name}"),
            None => format!("docker.io/library/{name}"),
        };
        self.images()
            .into_iter()
            .find(|image| is_hex && image.id.starts_with(name) || image.repo_tags.contains(&full))
    }

    fn config(&self, image: &ListedImage) -> Value {
        let key = format!("sha256:{}", image.id);
        let file = format!("={}", base64::engine::general_purpose::STANDARD.encode(key));
        let path = self.folder().join(&image.id).join(file);
        serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default()
    }

    fn remove(&self, name: &str) -> Result<(), Status> {
        let Some(image) = self.find(name) else {
            return Ok(());
        };
        let by_id = image.id.starts_with(name);
        let failed = |output: Output| match output.code {
            0 => Ok(()),
            _ => Err(Status::new(Code::Unknown, output.stderr)),
        };
        if !by_id && image.repo_tags.len() > 1 {
            self.changes.lock().unwrap().push(format!("name {name}"));
            return failed((self.podman)(&["untag", &image.id, name]));
        }
        if let Some(container) = self.containers.lock().unwrap().get(&image.id) {
            let why = format!("image used by {container}: image is in use by a container");
            return Err(Status::new(Code::Unknown, why));
        }
        self.changes
            .lock()
            .unwrap()
            .push(format!("image {}", image.id));
        failed((self.podman)(&["rmi", "--force", &image.id]))
    }
}

type CallFuture = Pin<Box<dyn Future<Output = Result<Answer<Body>, Infallible>> + Send>>;

/// Answers one question.
async fn answer<Q, A>(
    question: Question<Body>,
    reply: impl Fn(Q) -> Result<A, Status> + Clone + Send + Sync + 'static,
) -> Result<Answer<Body>, Infallible>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Default + Send + 'static,
{
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
    let service = tower::service_fn(move |request: Request<Q>| {
        let reply = reply.clone();
        async move { reply(request.into_inner()).map(Response::new) }
    });
    Ok(grpc.unary(service, question).await)
}

#[derive(Clone)]
struct Images(Arc<Store>);

impl tonic::server::NamedService for Images {
    const NAME: &'static str = "runtime.v1.ImageService";
}

impl tower::Service<Question<Body>> for Images {
    type Response = Answer<Body>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, question: Question<Body>) -> CallFuture {
        let store = self.0.clone();
        let path = question.uri().path().to_owned();
        Box::pin(async move {
            match path.rsplit('/').next().unwrap() {
                "ListImages" => {
                    let reply = move |_all: ()| {
                        Ok(ListedImages {
                            images: store.images(),
                        })
                    };
                    answer(question, reply).await
                }
                "ImageStatus" => {
                    let reply = move |asked: ImageQuestion| Ok(status(&store, &asked));
                    answer(question, reply).await
                }
                "RemoveImage" => {
                    let reply = move |asked: ImageQuestion| {
                        let name = asked.image.unwrap_or_default().image;
                        tokio::task::block_in_place(|| store.remove(&name))
                    };
                    answer(question, reply).await
                }
                "ImageFsInfo" => {
                    let driver = store.folder();
                    let name = driver.file_name().unwrap().to_str().unwrap();
                    let mountpoint = format!("/var/lib/containers/storage/{name}");
                    let reply = move |_all: ()| {
                        let place = Place {
                            mountpoint: mountpoint.clone(),
                        };
                        let usage = Usage { place: Some(place) };
                        Ok(Usages {
                            images: vec![usage],
                        })
                    };
                    answer(question, reply).await
                }
                other => panic!("{other} is no question to an image service"),
            }
        })
    }
}

fn status(store: &Store, asked: &ImageQuestion) -> ImageAnswer {
    let name = asked.image.clone().unwrap_or_default().image;
    let Some(image) = store.find(&name) else {
        return ImageAnswer::default();
    };
    let mut info = BTreeMap::new();
    if asked.verbose {
        let told = serde_json::json!({"labels": {}, "imageSpec": store.config(&image)});
        info.insert("info".to_owned(), told.to_string());
    }
    ImageAnswer {
        image: Some(image),
        info,
    }
}

/// The runtime of a node on which no pod is.
#[derive(Clone)]
struct Runtime;

impl tonic::server::NamedService for Runtime {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl tower::Service<Question<Body>> for Runtime {
    type Response = Answer<Body>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, question: Question<Body>) -> CallFuture {
        let path = question.uri().path().to_owned();
        Box::pin(async move {
            match path.rsplit('/').next().unwrap() {
                "Version" => {
                    let said = Version {
                        kubelets: "0.1.0".into(),
                        name: "cri-o".into(),
                        runtime: "1.37.0".into(),
                        api: "v1".into(),
                    };
                    answer(question, move |_asked: ()| Ok(said.clone())).await
                }
                // lists, all of which are empty
                _ => answer(question, |_asked: ()| Ok(())).await,
            }
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Version {
    #[prost(string, tag = "1")]
    kubelets: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    runtime: String,
    #[prost(string, tag = "4")]
    api: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageName {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageQuestion {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageName>,
    #[prost(bool, tag = "2")]
    verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListedImage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "2")]
    repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    repo_digests: Vec<String>,
    #[prost(uint64, tag = "4")]
    size: u64,
    #[prost(bool, tag = "8")]
    pinned: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListedImages {
    #[prost(message, repeated, tag = "1")]
    images: Vec<ListedImage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageAnswer {
    #[prost(message, optional, tag = "1")]
    image: Option<ListedImage>,
    #[prost(btree_map = "string, string", tag = "2")]
    info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Usages {
    #[prost(message, repeated, tag = "1")]
    images: Vec<Usage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Usage {
    #[prost(message, optional, tag = "2")]
    place: Option<Place>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Place {
    #[prost(string, tag = "1")]
    mountpoint: String,
}
