//! The sandboxes and containers of the stand-in for cri-o: real namespaces, real processes, and what
//! cri-o 1.37 says of them at each turn of their lives, as recorded.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};
use tonic::Status;

use super::ground::Ground;
use super::messages::{
    Chosen, Container, ContainerState, ContainerStatus, Linux, Network, Sandbox, SandboxState,
    SandboxStatus,
};
use super::spec::{self, Held};
use crate::support::cri::messages::{ContainerConfig, Image, SandboxConfig};

const CREATED: i32 = 0;
const RUNNING: i32 = 1;
const EXITED: i32 = 2;
/// The seconds that the containers of a sandbox have to end with it; cri-o's own are 30.
const GRACE: i64 = 2;
/// A container's own processes, where they are not the pod's.
const POD: i32 = 0;

type Answer<T> = Result<T, Status>;

pub(super) struct Store {
    pub(super) ground: Ground,
    /// True where every sandbox has a process (`drop_infra_ctr = false`).
    infra: bool,
    sandboxes: BTreeMap<String, MadeSandbox>,
    containers: BTreeMap<String, MadeContainer>,
    /// The number of containers' statuses that are refused before one is told.
    pub(super) refused: usize,
    /// The number of changes so far.
    pub(super) changes: tokio::sync::watch::Sender<u64>,
}

struct MadeSandbox {
    config: SandboxConfig,
    /// The name of its pinned namespaces.
    pins: String,
    ip: String,
    pid: Option<u32>,
    ready: bool,
    spec: Value,
    created_at: i64,
}

struct MadeContainer {
    sandbox: String,
    config: ContainerConfig,
    image: String,
    log: String,
    spec: Value,
    pid: u32,
    state: i32,
    created_at: i64,
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
    message: String,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_nanos()).unwrap()
}

fn random(bytes: usize) -> String {
    use std::io::Read as _;
    let mut all = vec![0; bytes];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut all).unwrap();
    let digits = all.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}

fn missing(what: &str, id: &str) -> Status {
    Status::not_found(format!("could not find {what} \"{id}\": ID does not exist"))
}

fn info(told: &Value) -> BTreeMap<String, String> {
    BTreeMap::from([("info".to_owned(), told.to_string())])
}

/// The ID by which an image is known: of its name, for a store that has but one of each.
pub(super) fn image_id(name: &str) -> Option<String> {
    ["busybox:1.35", "distroless:v1", "pause:3.10"]
        .iter()
        .position(|known| name.ends_with(known))
        .map(|place| format!("{place:064x}"))
}

impl Store {
    pub(super) fn new(ground: Ground, infra: bool) -> Self {
        Self {
            ground,
            infra,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            refused: 0,
            changes: tokio::sync::watch::Sender::new(0),
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Takes in what has ended by itself.
    pub(super) fn look(&mut self) {
        let mut changed = false;
        for (id, one) in &mut self.containers {
            if one.state == RUNNING
                && let Some((code, at)) = self.ground.end(id)
            {
                (one.state, one.exit_code, one.finished_at) = (EXITED, code, at);
                changed = true;
            }
        }
        for (id, one) in &mut self.sandboxes {
            if one.ready && one.pid.is_some() && self.ground.end(id).is_some() {
                one.ready = false;
                changed = true;
            }
        }
        if changed {
            self.changed();
        }
    }

    pub(super) fn run_sandbox(&mut self, config: SandboxConfig) -> Answer<String> {
        let id = random(32);
        let pins = format!("{}-{}", random(4), random(6));
        let wanted = spec::wants(&config);
        let of_node = wanted.network == 2;
        self.ground.pin(&pins, &config.hostname, of_node);
        let ip = if of_node {
            String::new()
        } else {
            self.ground.network("ADD", &id, &pins)
        };
        let mut made = MadeSandbox {
            created_at: now(),
            spec: Value::Null,
            pid: None,
            ready: true,
            config,
            pins,
            ip,
        };
        // a process holds what can't be pinned: the processes of a pod that shares them
        let has_process = self.infra || wanted.pid == POD;
        let root = if has_process {
            self.ground.mount_root(&id, "registry.k8s.io/pause:3.10")
        } else {
            String::new()
        };
        made.spec = spec::sandbox(&made.held(&id), &root);
        if has_process {
            let log = format!("{}/{id}.log", made.config.log_directory);
            let created = self.ground.create(&id, &made.spec, &log, false);
            made.pid = Some(created.map_err(Status::internal)?);
            self.ground.oci(&["start", &id]).ok();
        }
        self.sandboxes.insert(id.clone(), made);
        self.changed();
        Ok(id)
    }

    pub(super) fn create(&mut self, sandbox: &str, config: ContainerConfig) -> Answer<String> {
        let held = self.sandboxes.get(sandbox);
        let held = held.ok_or_else(|| missing("pod", sandbox))?;
        let id = random(32);
        let image = config.image.clone().unwrap_or_default();
        let root = self.ground.mount_root(&id, &image.user_specified);
        let log = format!("{}/{}", held.config.log_directory, config.log_path);
        let spec = spec::container(&held.held(sandbox), &id, &config, &root, &log);
        let created = self.ground.create(&id, &spec, &log, config.tty);
        let pid = match created {
            Ok(pid) => pid,
            Err(words) => {
                self.ground.forget(&id);
                self.ground.unmount_root(&id);
                return Err(Status::internal(words));
            }
        };
        let made = MadeContainer {
            sandbox: sandbox.to_owned(),
            image: image_id(&image.user_specified).unwrap_or_default(),
            config,
            log,
            spec,
            pid,
            state: CREATED,
            created_at: now(),
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            message: String::new(),
        };
        self.containers.insert(id.clone(), made);
        self.changed();
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &str) -> Answer<()> {
        let said = self.ground.oci(&["start", id]);
        let one = self.containers.get_mut(id);
        let one = one.ok_or_else(|| missing("container", id))?;
        one.started_at = now();
        if said.code == 0 {
            one.state = RUNNING;
            self.changed();
            return Ok(());
        }
        (one.state, one.exit_code) = (EXITED, 128);
        (one.finished_at, one.message) = (now(), said.stderr.clone());
        self.changed();
        Err(Status::internal(said.stderr))
    }

    /// Asks a container to end; whether it has is told by its monitor.
    pub(super) fn ask_to_end(&self, id: &str, signal: &str) {
        let _ended = self.ground.oci(&["kill", id, signal]);
    }

    /// True while a container of this ID is up.
    pub(super) fn is_up(&mut self, id: &str) -> bool {
        self.look();
        let one = self.containers.get(id);
        one.is_some_and(|one| one.state != EXITED)
    }

    /// Begins to end a sandbox: nothing is made in it from now on, where cri-o itself only says so once all
    /// is over. Gives its containers that are up, and the seconds that they have to end.
    pub(super) fn begin_to_end(&mut self, sandbox: &str) -> (Vec<String>, i64) {
        self.look();
        if let Some(one) = self.sandboxes.get_mut(sandbox) {
            one.ready = false;
        }
        let all = self.containers.iter();
        let own = all.filter(|(_, one)| one.sandbox == sandbox && one.state != EXITED);
        (own.map(|(id, _)| id.clone()).collect(), GRACE)
    }

    /// Takes a sandbox's namespaces away, of which nothing is up any more.
    pub(super) fn end_sandbox(&mut self, id: &str) {
        let Some(one) = self.sandboxes.get_mut(id) else {
            return;
        };
        if one.pid.is_some() {
            let _ended = self.ground.oci(&["kill", id, "KILL"]);
        }
        let is_pinned = self
            .ground
            .path(&format!("/run/netns/{}", one.pins))
            .exists();
        if is_pinned && !one.ip.is_empty() {
            self.ground.network("DEL", id, &one.pins);
        }
        self.ground.unpin(&one.pins);
        one.ready = false;
        self.changed();
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.containers.remove(id).is_some() {
            self.ground.forget(id);
            self.ground.unmount_root(id);
            self.changed();
        }
    }

    pub(super) fn remove_sandbox(&mut self, id: &str) {
        let all = self.containers.iter();
        let own: Vec<String> = all
            .filter(|(_, one)| one.sandbox == id)
            .map(|(id, _)| id.clone())
            .collect();
        for one in own {
            self.remove(&one);
        }
        self.end_sandbox(id);
        if let Some(one) = self.sandboxes.remove(id)
            && one.pid.is_some()
        {
            self.ground.forget(id);
            self.ground.unmount_root(id);
        }
        self.changed();
    }

    pub(super) fn list_sandboxes(&mut self, labels: &BTreeMap<String, String>) -> Vec<Sandbox> {
        self.look();
        let all = self.sandboxes.iter();
        all.filter(|(_, one)| fits(&one.config.labels, labels))
            .map(|(id, one)| Sandbox {
                id: id.clone(),
                metadata: one.config.metadata.clone(),
                state: i32::from(!one.ready),
                created_at: one.created_at,
                labels: one.config.labels.clone(),
                annotations: one.config.annotations.clone(),
            })
            .collect()
    }

    pub(super) fn list_containers(&mut self, labels: &BTreeMap<String, String>) -> Vec<Container> {
        self.look();
        let all = self.containers.iter();
        all.filter(|(_, one)| fits(&one.config.labels, labels))
            .map(|(id, one)| Container {
                id: id.clone(),
                sandbox: one.sandbox.clone(),
                metadata: one.config.metadata.clone(),
                // lists have the ID for a name
                image: Some(Image {
                    image: one.image.clone(),
                    user_specified: String::new(),
                }),
                image_ref: one.image.clone(),
                image_id: one.image.clone(),
                state: one.state,
                created_at: one.created_at,
                labels: one.config.labels.clone(),
                annotations: one.config.annotations.clone(),
            })
            .collect()
    }

    pub(super) fn sandbox_status(&mut self, id: &str) -> Answer<SandboxStatus> {
        self.look();
        let one = self.sandboxes.get(id).ok_or_else(|| missing("pod", id))?;
        let mut told = json!({"runtimeSpec": one.spec});
        if let Some(pid) = one.pid {
            told["image"] = "registry.k8s.io/pause:3.10".into();
            told["pid"] = if one.ready { pid } else { 0 }.into();
        }
        let options = Some(spec::wants(&one.config));
        Ok(SandboxStatus {
            status: Some(SandboxState {
                id: id.to_owned(),
                metadata: one.config.metadata.clone(),
                state: i32::from(!one.ready),
                created_at: one.created_at,
                // the address stays after the end
                network: Some(Network { ip: one.ip.clone() }),
                linux: Some(Linux {
                    namespaces: Some(Chosen { options }),
                }),
            }),
            info: info(&told),
        })
    }

    pub(super) fn container_status(&mut self, id: &str) -> Answer<ContainerStatus> {
        self.look();
        if let Some(left) = self.refused.checked_sub(1) {
            self.refused = left;
            // as of one that is just being removed
            return Err(Status::unknown(
                "creating container info: getting container metadata: identifier is not a layer, image, or container",
            ));
        }
        let one = self.containers.get(id);
        let one = one.ok_or_else(|| missing("container", id))?;
        let reason = match (one.state, one.exit_code) {
            (EXITED, 0) => "Completed",
            (EXITED, 128) if !one.message.is_empty() => "StartError",
            (EXITED, _) => "Error",
            _ => "",
        };
        // the number of the process stays after its end
        let told = json!({"pid": one.pid, "privileged": false, "sandboxID": one.sandbox, "runtimeSpec": one.spec});
        let image = one.config.image.clone().unwrap_or_default().user_specified;
        Ok(ContainerStatus {
            status: Some(ContainerState {
                id: id.to_owned(),
                metadata: one.config.metadata.clone(),
                state: one.state,
                created_at: one.created_at,
                started_at: one.started_at,
                finished_at: one.finished_at,
                exit_code: one.exit_code,
                image: Some(Image {
                    image,
                    user_specified: String::new(),
                }),
                image_ref: one.image.clone(),
                reason: reason.to_owned(),
                message: one.message.clone(),
                log_path: one.log.clone(),
            }),
            info: info(&told),
        })
    }
}

impl MadeSandbox {
    fn held<'s>(&'s self, id: &'s str) -> Held<'s> {
        Held {
            id,
            pins: &self.pins,
            config: &self.config,
            pid: self.pid,
            ip: &self.ip,
        }
    }
}

fn fits(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}
