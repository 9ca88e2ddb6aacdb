//! `devnet lab prove`: the claims as experiments on pods of its own, which are removed afterwards.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::up;
use crate::commands::invocation::Context;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::proofs::tell;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::claim::{self, Asked, Inodes, Moment, Proof};
use crate::lab::member::{Found, LabPod};
use crate::lab::{BUILT_IN_IMAGE, Container, Pod};
use crate::lab_engine::create::{self, LabEngine};
use crate::lab_engine::{pods, remove, replace};

/// The namespace in which the pods of the experiments live, apart from the user's.
const NAMESPACE: &str = "devnet-prove";
const PODS: [&str; 3] = ["one", "two", "three"];
/// The containers of the built-in pod.
const SERVER: &str = "server";
const CLIENT: &str = "client";
const PORT: u16 = 8080;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these claims
    #[arg(value_name = "CLAIM")]
    claims: Vec<String>,
    #[arg(
        help = "How to print: text or json",
        short,
        long,
        value_name = "FORMAT",
        default_value = "text"
    )]
    output: Format,
    /// Break this claim on purpose, to see that the experiment notices
    #[arg(long, value_name = "CLAIM", hide = true)]
    sabotage: Option<String>,
}

impl Args {
    fn wants(&self, ids: &[&str]) -> bool {
        self.claims.is_empty()
            || self
                .claims
                .iter()
                .any(|claim| ids.contains(&claim.as_str()))
    }
}

pub(super) async fn run(context: &Context, engine: &Engine, args: &Args) -> Result<()> {
    let known = |claim: &&String| !claim::IDS.contains(&claim.as_str());
    if let Some(unknown) = args.claims.iter().chain(&args.sabotage).find(known) {
        return Err(Error::usage(format!("there is no claim `{unknown}`"))
            .hint(format!("there are: {}", claim::IDS.join(", "))));
    }
    let there = pods(engine).await?;
    let left: Vec<String> = there
        .iter()
        .filter(|pod| pod.namespace == NAMESPACE)
        .map(|pod| pod.uid.clone())
        .collect();
    if !left.is_empty() {
        // of a run that was killed
        remove::remove_pods(engine, &left).await?;
    }
    let uids: Vec<String> = PODS.iter().map(|_| create::new_uid()).collect();
    let clean = Box::pin(async {
        if let Err(error) = remove::remove_pods(engine, &uids).await {
            context.ui.error(&error);
            context.ui.hint("`devnet lab down` removes what is left");
        }
    });
    let sabotage = args.sabotage.as_deref().unwrap_or_default();
    let work = experiments(context, engine, &uids, args, sabotage);
    let mut proofs = Box::pin(context.or_undo(Box::pin(work), clean)).await?;
    proofs.retain(|proof| args.wants(&[proof.id]));
    remove::remove_pods(engine, &uids).await?;
    tell(context, &proofs, args.output)
}

struct Experiment<'a> {
    engine: &'a Engine,
    lab: LabEngine<'a>,
    pod: Pod,
    sabotage: &'a str,
}

async fn experiments(
    context: &Context,
    engine: &Engine,
    uids: &[String],
    args: &Args,
    sabotage: &str,
) -> Result<Vec<Proof>> {
    let all = pods(engine).await?;
    let lab = LabEngine::ready(engine, &all).await?;
    let pod = up::built_in()?;
    let named = |name: &str| Pod {
        namespace: NAMESPACE.into(),
        name: name.into(),
        // all that are on the host's network have the host's one address
        host_network: sabotage == "unique-ip" && name != PODS[0],
        share_process_namespace: sabotage == "own-pid",
        ..pod.clone()
    };
    let none = BTreeMap::new();
    let raised = PODS.iter().zip(uids).map(|(name, uid)| {
        let (pod, lab, none) = (named(name), &lab, &none);
        async move { lab.create_pod(&pod, uid, 0, none).await }
    });
    context
        .ui
        .say("three pods come up, are asked, killed and asked again");
    try_join_all(raised).await?;
    let it = Experiment {
        engine,
        lab,
        pod: named(PODS[0]),
        sabotage,
    };
    let mut proofs = Vec::new();
    if args.wants(&["unique-ip", "reachable", "same-port-two-pods"]) {
        proofs.extend(it.network().await?);
    }
    if args.wants(&["localhost"]) {
        proofs.push(it.localhost().await?);
    }
    if args.wants(&["same-port-one-pod"]) {
        proofs.push(it.collision().await?);
    }
    if args.wants(&["container-death"]) {
        proofs.push(it.container_death().await?);
    }
    if args.wants(&["pause-holds"]) {
        proofs.push(it.pause_holds().await?);
    }
    if args.wants(&["sandbox-death"]) {
        proofs.push(it.sandbox_death().await?);
    }
    if args.wants(&[
        "shares-net",
        "shares-ipc",
        "shares-uts",
        "own-pid",
        "own-mnt",
    ]) {
        proofs.extend(it.shares().await?);
    }
    Ok(proofs)
}

impl Experiment<'_> {
    fn breaks(&self, claim: &str) -> bool {
        self.sabotage == claim
    }

    /// The address at which a pod is asked: one on the host's network at the host's address.
    fn ip(&self, pod: &LabPod) -> Ipv4Addr {
        pod.sandbox()
            .and_then(Found::address)
            .unwrap_or(self.lab.gateway())
    }

    async fn there(&self, name: &str) -> Result<LabPod> {
        pods(self.engine)
            .await?
            .into_iter()
            .find(|pod| pod.namespace == NAMESPACE && pod.name == name)
            .ok_or_else(|| Error::failed(format!("pod {name} of the experiment is gone")))
    }

    /// Runs the probe in a pod's sandbox to its end; gives its exit code and what it printed.
    /// `None` for one that still runs after a while.
    async fn try_in(&self, there: &LabPod, args: &[&str]) -> Result<(Option<i64>, String)> {
        let container = Container {
            name: format!("try-{}", args[0]),
            image: BUILT_IN_IMAGE.into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Container::default()
        };
        let id = self.lab.join(&self.pod, there, &container).await?;
        let ended =
            tokio::time::timeout(Duration::from_secs(3), self.engine.docker()?.wait(&id)).await;
        let said = self.engine.runtime.printed(&id, 100).await;
        self.engine.docker()?.remove(&id).await?;
        let code = match ended {
            Ok(code) => Some(code?),
            Err(_still_running) => None,
        };
        Ok((code, said?))
    }

    async fn ask(&self, from: &LabPod, urls: &[String]) -> Result<Vec<Asked>> {
        let mut args = vec!["ask"];
        args.extend(urls.iter().map(String::as_str));
        let (_, said) = self.try_in(from, &args).await?;
        Ok(Asked::lines(&from.name, &said))
    }

    async fn kill(&self, there: &LabPod, container: &str) -> Result<()> {
        match there.containers.get(container).and_then(|all| all.first()) {
            Some(one) => self.engine.docker()?.kill(&one.id).await,
            None => Ok(()),
        }
    }

    async fn network(&self) -> Result<Vec<Proof>> {
        let mut there = Vec::new();
        for name in PODS {
            there.push(self.there(name).await?);
        }
        for claim in ["reachable", "same-port-two-pods"] {
            if self.breaks(claim) {
                for one in &there[1..] {
                    self.kill(one, SERVER).await?;
                }
            }
        }
        let urls: Vec<(String, String)> = there
            .iter()
            .map(|pod| (pod.name.clone(), format!("http://{}:{PORT}/", self.ip(pod))))
            .collect();
        let asked = there.iter().map(|from| {
            let others: Vec<String> = urls
                .iter()
                .filter(|(name, _)| *name != from.name)
                .map(|(_, url)| url.clone())
                .collect();
            async move { self.ask(from, &others).await }
        });
        let asked: Vec<Asked> = try_join_all(asked).await?.into_iter().flatten().collect();
        let names = PODS.map(str::to_owned);
        Ok(vec![
            claim::unique_ip(&names, &asked),
            claim::reachable(&names, &asked),
            claim::same_port_two_pods(PORT, &asked),
        ])
    }

    async fn localhost(&self) -> Result<Proof> {
        let there = self.there(PODS[0]).await?;
        if self.breaks("localhost") {
            self.kill(&there, SERVER).await?;
        }
        let asked = self
            .ask(&there, &[format!("http://127.0.0.1:{PORT}/")])
            .await?;
        Ok(claim::localhost(PODS[0], &asked))
    }

    async fn collision(&self) -> Result<Proof> {
        let there = self.there(PODS[0]).await?;
        if self.breaks("same-port-one-pod") {
            self.kill(&there, SERVER).await?;
        }
        let port = PORT.to_string();
        let (code, said) = self.try_in(&there, &["serve", &port]).await?;
        let last = said.lines().last().unwrap_or_default();
        Ok(claim::same_port_one_pod(PORT, code, last))
    }

    /// A pod now: its address as it is, and its network namespace as a process in it says.
    async fn moment(&self, name: &str, container: Option<&str>) -> Result<Moment> {
        let there = self.there(name).await?;
        let net = match container {
            Some(container) => self.announced(&there, container).await?,
            None => claim::inodes(&self.try_in(&there, &["namespaces"]).await?.1),
        };
        // another process of the pod is asked under the address; what it saw is the pod's
        let asked = self.source(&there).await?;
        Ok(Moment {
            sandbox: there
                .sandbox()
                .map(|one| one.id.clone())
                .unwrap_or_default(),
            ip: asked.unwrap_or_default(),
            net: net.get("net").copied(),
        })
    }

    /// The address under which another pod sees this one.
    async fn source(&self, there: &LabPod) -> Result<Option<String>> {
        let mut witness = self.there(PODS[0]).await?;
        if witness.name == there.name {
            witness = self.there(PODS[1]).await?;
        }
        let asked = self
            .ask(there, &[format!("http://{}:{PORT}/", self.ip(&witness))])
            .await?;
        Ok(asked
            .first()
            .and_then(|one| one.source().map(str::to_owned)))
    }

    async fn announced(&self, there: &LabPod, container: &str) -> Result<Inodes> {
        let found = if container == "POD" {
            there.sandbox()
        } else {
            there.containers.get(container).and_then(|all| all.first())
        };
        let Some(found) = found else {
            return Ok(Inodes::new());
        };
        // it announces itself right after its start
        for _ in 0..100 {
            let inodes = claim::inodes(&self.engine.runtime.printed(&found.id, 1000).await?);
            if !inodes.is_empty() {
                return Ok(inodes);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Inodes::new())
    }

    async fn container_death(&self) -> Result<Proof> {
        let before = self.moment(PODS[0], Some(SERVER)).await?;
        let there = self.there(PODS[0]).await?;
        if self.breaks("container-death") {
            replace::renew(self.engine, &there, replace::Ending::Kill).await?;
        } else {
            replace::replace(self.engine, &there, SERVER).await?;
        }
        let after = self.moment(PODS[0], Some(SERVER)).await?;
        Ok(claim::container_death(&before, &after))
    }

    async fn pause_holds(&self) -> Result<Proof> {
        let before = self.moment(PODS[1], Some(SERVER)).await?;
        let there = self.there(PODS[1]).await?;
        for container in [CLIENT, SERVER] {
            self.kill(&there, container).await?;
        }
        if self.breaks("pause-holds") {
            replace::renew(self.engine, &there, replace::Ending::Kill).await?;
        }
        let after = self.moment(PODS[1], None).await?;
        Ok(claim::pause_holds(&before, &after))
    }

    async fn sandbox_death(&self) -> Result<Proof> {
        let before = self.moment(PODS[2], Some(SERVER)).await?;
        let there = self.there(PODS[2]).await?;
        // the kernel gives a namespace's number out again at once: while this one holds the old
        // namespace, another number means another namespace
        if let Some(sandbox) = there.sandbox() {
            self.lab.hold(&there.uid, &sandbox.id).await?;
        }
        if self.breaks("sandbox-death") {
            replace::replace(self.engine, &there, SERVER).await?;
        } else {
            replace::renew(self.engine, &there, replace::Ending::Kill).await?;
        }
        let after = self.moment(PODS[2], Some(SERVER)).await?;
        Ok(claim::sandbox_death(&before, &after))
    }

    async fn shares(&self) -> Result<Vec<Proof>> {
        let there = self.there(PODS[2]).await?;
        if self.breaks("shares-net") || self.breaks("shares-ipc") {
            // what joins from now on is in other namespaces than what was there
            if let Some(sandbox) = there.sandbox() {
                self.engine.docker()?.restart(&sandbox.id).await?;
            }
            replace::replace(self.engine, &there, SERVER).await?;
        }
        let there = self.there(PODS[2]).await?;
        // no engine lets containers share these: one container that goes by every name does
        let one_for_all = self.breaks("own-mnt") || self.breaks("shares-uts");
        let asked = |name| if one_for_all { SERVER } else { name };
        let sandbox = self.announced(&there, asked("POD")).await?;
        let mut containers = BTreeMap::new();
        for name in [CLIENT, SERVER] {
            containers.insert(name.to_owned(), self.announced(&there, asked(name)).await?);
        }
        Ok(claim::shares(&sandbox, &containers))
    }
}
