//! Making one pod in an engine: its address, its sandbox, its volumes, its containers.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use crate::command_line;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::owner;
use crate::lab::address::Subnet;
use crate::lab::member::{self, LabPod};
use crate::lab::owned::{self, NETWORK_NAME as NETWORK};
use crate::lab::plan::{self, PodContext};
use crate::lab::spec::{Backing, ContainerSpec, VolumeSpec};
use crate::lab::{Container, Pod, label};
use crate::lab_engine::lock;

/// An engine that is ready for pods: the network and the probe's image are there.
pub(crate) struct LabEngine<'e> {
    pub(crate) engine: &'e Engine,
    probe: String,
    node: String,
    network: String,
    addresses: Mutex<Addresses>,
}

/// The lab's network, as it is just now.
struct Addresses {
    subnet: Subnet,
    gateway: Ipv4Addr,
    taken: BTreeSet<Ipv4Addr>,
}

impl<'e> LabEngine<'e> {
    /// Sees to the network and the image; `pods` are those that are there already.
    pub(crate) async fn ready(engine: &'e Engine, pods: &[LabPod]) -> Result<Self> {
        // the lock under which a network is made needs the image
        let probe = engine.docker()?.probe_image().await?;
        let (info, network) = futures_util::try_join!(engine.runtime.info(), network(engine))?;
        let mut addresses = network;
        addresses.taken.extend(member::addresses(pods));
        Ok(Self {
            engine,
            probe,
            node: info.name.unwrap_or_else(|| "host".into()),
            network: NETWORK.into(),
            addresses: Mutex::new(addresses),
        })
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The host's address in the lab's network.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.addresses().gateway
    }

    fn address(&self) -> Result<Ipv4Addr> {
        let mut all = self.addresses();
        let next = all.subnet.next(&all.taken, all.gateway).ok_or_else(|| {
            Error::failed(format!("every address of {} is taken", all.subnet))
                .hint("`devnet lab down` gives them back")
        })?;
        all.taken.insert(next);
        Ok(next)
    }

    /// Makes the pod's volumes, sandbox and containers, and starts them. `attempts` says which
    /// attempt a container is, where it is not the first.
    pub(crate) async fn create_pod(
        &self,
        pod: &Pod,
        uid: &str,
        attempt: u32,
        attempts: &BTreeMap<String, u32>,
    ) -> Result<Option<Ipv4Addr>> {
        if attempt == 0 {
            self.volumes(pod, uid).await?;
        }
        let (context, sandbox) = self.sandbox(pod, uid, attempt).await?;
        let attempt = |name: &str| attempts.get(name).copied().unwrap_or_default();
        for init in &pod.init_containers {
            let spec = plan::container(pod, init, &context, &sandbox, attempt(&init.name));
            let id = self.run(&spec).await?;
            if !init.sidecar {
                self.end_well(pod, &init.name, &id).await?;
            }
        }
        for container in &pod.containers {
            let spec =
                plan::container(pod, container, &context, &sandbox, attempt(&container.name));
            self.run(&spec).await?;
        }
        Ok((!pod.host_network).then_some(context.address))
    }

    /// Makes one container of a pod anew, in the sandbox that is there.
    pub(crate) async fn replace(
        &self,
        pod: &Pod,
        there: &LabPod,
        container: &str,
        attempt: u32,
    ) -> Result<()> {
        let sandbox = there.sandbox().filter(|sandbox| sandbox.is_alive());
        let sandbox = sandbox.ok_or_else(|| {
            Error::failed(format!("the sandbox of {} does not run", there.full_name())).hint(
                format!(
                    "`{}` makes a new one",
                    command_line::with("devnet lab kill", [&there.name])
                ),
            )
        })?;
        let context = self.context(&there.uid, sandbox.address().unwrap_or(self.gateway()));
        let planned = pod
            .init_containers
            .iter()
            .chain(&pod.containers)
            .find(|planned| planned.name == container)
            .ok_or_else(|| {
                Error::not_found(format!(
                    "`{container}` is not in the manifest of {}",
                    there.full_name()
                ))
                .hint(format!(
                    "`{}` removes it",
                    command_line::with("devnet lab restart", [&there.name])
                ))
            })?;
        let spec = plan::container(pod, planned, &context, &sandbox.id, attempt);
        self.run(&spec).await.map(drop)
    }

    /// Keeps a sandbox's network namespace alive beyond it, by a container that is no part of the
    /// pod; it goes with the pod's other remains.
    pub(crate) async fn hold(&self, uid: &str, sandbox: &str) -> Result<()> {
        let holder = plan::holder(uid, sandbox, &self.probe, &owner::mark());
        self.run(&holder).await.map(drop)
    }

    /// Puts one more container into a pod's sandbox and gives its ID.
    pub(crate) async fn join(
        &self,
        pod: &Pod,
        there: &LabPod,
        container: &Container,
    ) -> Result<String> {
        let sandbox = there.sandbox().ok_or_else(|| {
            Error::failed(format!("the sandbox of {} is gone", there.full_name()))
        })?;
        let context = self.context(&there.uid, sandbox.address().unwrap_or(self.gateway()));
        self.run(&plan::container(pod, container, &context, &sandbox.id, 0))
            .await
    }

    fn context(&self, uid: &str, address: Ipv4Addr) -> PodContext {
        PodContext {
            uid: uid.into(),
            network: self.network.clone(),
            address,
            gateway: self.gateway(),
            probe: self.probe.clone(),
            node: self.node.clone(),
            owner: owner::mark(),
        }
    }

    async fn sandbox(&self, pod: &Pod, uid: &str, attempt: u32) -> Result<(PodContext, String)> {
        let mut tries = 3;
        loop {
            let address = if pod.host_network {
                self.gateway()
            } else {
                self.address()?
            };
            let context = self.context(uid, address);
            let spec = plan::sandbox(pod, &context, attempt);
            let id = match self.engine.docker()?.create(&spec).await {
                Ok(id) => id,
                // another devnet took the last pod down, and the image with it
                Err(error) if error.kind() == Kind::NotFound && tries > 0 => {
                    tries -= 1;
                    Box::pin(self.engine.docker()?.probe_image()).await?;
                    continue;
                }
                Err(error) => return Err(someone_elses(pod, error)),
            };
            match self.engine.docker()?.start(&id).await {
                Ok(()) => return Ok((context, id)),
                // another devnet, or a container of someone else's in this network, was quicker;
                // the words are libnetwork's (`ipamapi.ErrIPAlreadyAllocated`)
                Err(error)
                    if !pod.host_network
                        && error.to_string().contains("Address already in use") =>
                {
                    self.engine.docker()?.remove(&id).await?;
                }
                // another devnet took the last pod down, and the network with it
                Err(error)
                    if !pod.host_network
                        && error.to_string().contains(&format!("{NETWORK} not found")) =>
                {
                    self.engine.docker()?.remove(&id).await?;
                    let anew = Box::pin(network(self.engine)).await?;
                    *self.addresses() = anew;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn run(&self, spec: &ContainerSpec) -> Result<String> {
        let id = self.engine.docker()?.create(spec).await?;
        self.engine.docker()?.start(&id).await?;
        Ok(id)
    }

    async fn end_well(&self, pod: &Pod, name: &str, id: &str) -> Result<()> {
        let code = self.engine.docker()?.wait(id).await?;
        if code == 0 {
            return Ok(());
        }
        let said = self
            .engine
            .runtime
            .printed(id, 10)
            .await
            .unwrap_or_default();
        let error = Error::failed(format!(
            "init container `{name}` of {} ended with code {code}",
            pod.full_name()
        ));
        Err(if said.trim().is_empty() {
            error
        } else {
            error.caused_by(format!("it said: {}", said.trim_end()))
        })
    }

    /// Makes a pod's volumes. Their owners, modes and files are written through a container that is
    /// never started: an engine writes into volumes only by way of a container.
    async fn volumes(&self, pod: &Pod, uid: &str) -> Result<()> {
        let volumes = plan::volumes(pod, uid, &owner::mark());
        for volume in &volumes {
            self.engine.docker()?.create_volume(volume).await?;
        }
        let on_disk: Vec<&VolumeSpec> = volumes
            .iter()
            .filter(|volume| volume.backing == Backing::Disk)
            .collect();
        if on_disk.is_empty() {
            return Ok(());
        }
        let archive = archive(&on_disk).map_err(|error| {
            Error::failed("the volumes' files could not be packed").caused_by(error)
        })?;
        let filler = plan::filler(&on_disk, uid, &self.probe, &owner::mark());
        let id = self.engine.docker()?.create(&filler).await?;
        let written = self.engine.docker()?.upload(&id, "/", archive).await;
        self.engine.docker()?.remove(&id).await?;
        written
    }
}

/// A pod whose sandbox's name was taken after this devnet had looked: the words are moby's
/// (`daemon/names.go`).
fn someone_elses(pod: &Pod, error: Error) -> Error {
    if !error.to_string().contains("is already in use by container") {
        return error;
    }
    Error::failed(format!(
        "another devnet brings up {} right now",
        pod.full_name()
    ))
    .caused_by(error)
    .hint("`devnet lab ps` shows what is there")
}

/// Volumes as folders of an archive. Everybody may write into one, as into a kubelet's emptyDir.
fn archive(volumes: &[&VolumeSpec]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |mode: u32, group: Option<u32>| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_gid(group.unwrap_or_default().into());
        header.set_uid(0);
        header
    };
    for volume in volumes {
        let mut folders = vec![volume.name.clone()];
        for (path, _, _) in &volume.files {
            for (slash, _) in path.match_indices('/') {
                let Some(above) = path.get(..slash) else {
                    continue;
                };
                let folder = format!("{}/{above}", volume.name);
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
        }
        for folder in folders {
            // new files inherit the group
            let mode = if volume.group.is_some() {
                0o2777
            } else {
                0o777
            };
            let mut header = header(mode, volume.group);
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            builder.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
        }
        for (path, text, mode) in &volume.files {
            let group_reads = if volume.group.is_some() { 0o040 } else { 0 };
            let mut header = header(mode | group_reads, volume.group);
            header.set_size(text.len() as u64);
            let path = format!("{}/{path}", volume.name);
            builder.append_data(&mut header, path, text.as_bytes())?;
        }
    }
    builder.into_inner()
}

/// The lab's network: its subnet, its gateway, and the addresses in use there. Made if need be.
async fn network(engine: &Engine) -> Result<Addresses> {
    for _ in 0..3 {
        let Some(found) = engine.docker()?.network(NETWORK).await? else {
            Box::pin(lock::hold(engine, make_network(engine))).await?;
            continue;
        };
        let labels = found.labels.into_iter().collect();
        if !owned::is_network(&found.name, &labels) {
            return Err(Error::failed(format!(
                "a network `{NETWORK}` is there that is not devnet's"
            ))
            .hint("rename or remove it"));
        }
        let subnet: Option<Subnet> = found.subnet.as_deref().and_then(|text| text.parse().ok());
        let Some(subnet) = subnet else {
            return Err(Error::failed(format!(
                "network `{NETWORK}` has no IPv4 subnet"
            )));
        };
        let gateway = found.gateway.and_then(|gateway| gateway.parse().ok());
        let taken = found.addresses.iter().filter_map(|a| a.parse().ok());
        return Ok(Addresses {
            subnet,
            gateway: gateway.unwrap_or(subnet.first()),
            taken: taken.collect(),
        });
    }
    Err(Error::failed(format!(
        "network `{NETWORK}` comes and goes: is another devnet at work?"
    )))
}

/// An address can be asked for only in a network whose subnet was asked for too. Which one is free
/// the engine knows best, since it sees its machine's routes: it is let choose once, for a network
/// that is removed again.
async fn make_network(engine: &Engine) -> Result<()> {
    // another devnet may have been quicker
    if engine.docker()?.network(NETWORK).await?.is_some() {
        return Ok(());
    }
    let mark = owner::mark();
    let labels = |name| {
        [
            (label::ROLE, label::NETWORK),
            (label::NAME, name),
            (label::OWNER, &*mark),
        ]
    };
    let trial = format!("{NETWORK}-{:08x}", random() >> 32);
    let id = engine
        .docker()?
        .create_network(&trial, None, &labels(&trial))
        .await?;
    let chosen = engine.docker()?.network(&trial).await;
    engine.docker()?.remove_network(&id).await?;
    let subnet = chosen?
        .and_then(|found| found.subnet)
        .ok_or_else(|| Error::failed("the engine gives a new network no IPv4 subnet"))?;
    let made = engine
        .docker()?
        .create_network(NETWORK, Some(&subnet), &labels(NETWORK))
        .await;
    made.map(drop)
}

fn random() -> u64 {
    // std's hasher is seeded by the system's random numbers
    RandomState::new().hash_one(std::time::Instant::now())
}

/// A UID for a new pod, as Kubernetes gives: a random UUID.
pub(crate) fn new_uid() -> String {
    let (a, b) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | ((b >> 48) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}
