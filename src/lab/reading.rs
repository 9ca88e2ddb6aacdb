//! The claims of `claim.rs` that can be decided by reading alone, from pods as they are found.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::Proof;
use crate::pod::{Container, Event, EventKind, Pod, timestamp};

/// The most sentences of evidence; counterexamples come first.
const ENOUGH: usize = 6;

/// Decides the claims that these pods and their known past can decide.
///
/// `joins_uts`: their runtime lets containers join each other's UTS namespace, which Docker can't.
pub(crate) fn claims(pods: &[Pod], past: &[Event], joins_uts: bool) -> Vec<Proof> {
    let live: Vec<&Pod> = pods
        .iter()
        .filter(|pod| pod.sandbox.as_ref().is_some_and(|one| one.state.is_up()))
        .collect();
    let uts = Proof {
        expected: joins_uts,
        ..shares(
            "shares-uts",
            "containers of one pod share the UTS namespace",
            &live,
            |one| one.shares.uts,
        )
    };
    vec![
        unique_ip(&live),
        same_port_two_pods(&live),
        same_port_one_pod(&live),
        container_death(&live, past),
        sandbox_death(&live, past),
        shares(
            "shares-net",
            "containers of one pod share the network namespace",
            &live,
            |one| one.shares.net,
        ),
        shares(
            "shares-ipc",
            "containers of one pod share the IPC namespace",
            &live,
            |one| one.shares.ipc,
        ),
        uts,
    ]
}

fn name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// A verdict from examples: `None` without any, `false` with one that speaks against it.
fn decide(
    id: &'static str,
    claim: &'static str,
    against: Vec<String>,
    examples: Vec<String>,
) -> Proof {
    let holds = match (against.is_empty(), examples.is_empty()) {
        (false, _) => Some(false),
        (true, false) => Some(true),
        (true, true) => None,
    };
    let all = against.len() + examples.len();
    let mut evidence: Vec<String> = against.into_iter().chain(examples).take(ENOUGH).collect();
    if all > ENOUGH {
        evidence.push(format!("and {} more like these", all - ENOUGH));
    }
    if all == 0 {
        evidence.push("nothing here decides it".into());
    }
    Proof::new(id, claim, holds, evidence)
}

fn unique_ip(live: &[&Pod]) -> Proof {
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pod in live.iter().filter(|pod| !pod.host_network) {
        for ip in &pod.ips {
            of.entry(ip).or_default().push(name(pod));
        }
    }
    let (mut against, mut examples) = (Vec::new(), Vec::new());
    for (ip, pods) in of {
        let line = format!("{ip} is {}", pods.join(" and "));
        if pods.len() > 1 {
            &mut against
        } else {
            &mut examples
        }
        .push(line);
    }
    decide(
        "unique-ip",
        "every pod has an IP of its own",
        against,
        examples,
    )
}

/// Container, or what else holds a socket.
fn owners(socket: &crate::pod::Socket) -> BTreeSet<String> {
    let of = |owner: &crate::pod::Owner| {
        owner
            .container
            .clone()
            .unwrap_or_else(|| format!("pid {}", owner.pid))
    };
    socket.owners.iter().map(of).collect()
}

fn same_port_two_pods(live: &[&Pod]) -> Proof {
    let mut on: BTreeMap<(&str, u16), BTreeSet<String>> = BTreeMap::new();
    for pod in live.iter().filter(|pod| !pod.host_network) {
        let sockets = pod.sockets.iter().flatten();
        for socket in sockets.filter(|socket| socket.is_listening()) {
            let listeners = on.entry((&socket.proto, socket.port)).or_default();
            listeners.insert(name(pod));
        }
    }
    let examples = on
        .into_iter()
        .filter(|(_, pods)| pods.len() > 1)
        .map(|((proto, port), pods)| {
            let pods: Vec<String> = pods.into_iter().collect();
            format!("{} all listen on {port}/{proto}", pods.join(", "))
        })
        .collect();
    let claim = "two pods can listen on the same port";
    decide("same-port-two-pods", claim, Vec::new(), examples)
}

/// No address and port of a pod is listened on by two of its containers.
fn same_port_one_pod(live: &[&Pod]) -> Proof {
    let (mut against, mut examples) = (Vec::new(), Vec::new());
    for pod in live {
        let mut on: BTreeMap<(&str, &str, u16), BTreeSet<String>> = BTreeMap::new();
        let sockets = pod.sockets.iter().flatten();
        for socket in sockets.filter(|socket| socket.is_listening()) {
            on.entry((&socket.proto, &socket.address, socket.port))
                .or_default()
                .extend(owners(socket));
        }
        let shared = on.iter().filter(|(_, owners)| owners.len() > 1);
        against.extend(shared.map(|((proto, address, port), owners)| {
            let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
            let pod = name(pod);
            format!(
                "{pod}: {address}:{port}/{proto} is held by {}",
                owners.join(" and ")
            )
        }));
        if !on.is_empty() {
            examples.push(format!("{}: every port has one holder", name(pod)));
        }
    }
    let claim = "one port of a pod has one container";
    decide("same-port-one-pod", claim, against, examples)
}

/// Restarts of a pod's parts, with what became of its address.
fn restarts<'e>(
    past: &'e [Event],
    pod: &'e Pod,
    kind: EventKind,
) -> impl Iterator<Item = (&'e Event, &'e crate::pod::Restart)> {
    past.iter()
        .filter(move |event| event.uid == pod.uid && event.kind == kind)
        .filter_map(|event| Some((event, event.restart.as_ref()?)))
}

/// Containers that were restarted while their sandbox stayed: the dead attempts that are there, what
/// was seen before, and counts of restarts in a first sandbox.
fn container_death(live: &[&Pod], past: &[Event]) -> Proof {
    let mut examples = Vec::new();
    for pod in live {
        let Some(sandbox) = &pod.sandbox else {
            continue;
        };
        let in_it = |one: &&Container| one.sandbox_id.as_deref() == Some(sandbox.id.as_str());
        for now in pod.containers.iter().filter(in_it) {
            let mut before = pod.containers_before.iter().filter(in_it);
            let seen = restarts(past, pod, EventKind::ContainerStarted)
                .filter(|(event, restart)| {
                    restart.same_sandbox && event.container.as_ref() == Some(&now.name)
                })
                .last();
            if let Some(before) = before.find(|before| before.name == now.name) {
                examples.push(format!(
                    "{}: attempt {} of {} ended, attempt {} is in the same sandbox {}",
                    name(pod),
                    attempt(before.attempt),
                    now.name,
                    attempt(now.attempt),
                    short(&sandbox.id),
                ));
            } else if let Some((event, restart)) = seen {
                examples.push(format!(
                    "{}: attempt {} of {} began at {}: {}",
                    name(pod),
                    attempt(event.attempt),
                    now.name,
                    event.time,
                    restart.verdict,
                ));
            } else if let Some(count) = restarts_in_first_sandbox(pod, sandbox, now) {
                examples.push(format!(
                    "{}: {} was restarted {count} times, and the sandbox is still the first",
                    name(pod),
                    now.name,
                ));
            }
        }
    }
    let claim = "a container's death keeps the pod's sandbox, and with it its IP";
    decide("container-death", claim, Vec::new(), examples)
}

/// A container begins this soon after its sandbox, unless it was restarted in it.
const WITH_ITS_SANDBOX: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// The number of restarts of a container in the pod's first sandbox. One that was removed by hand
/// is followed by another first one, whose containers begin with it.
fn restarts_in_first_sandbox(
    pod: &Pod,
    sandbox: &crate::pod::Sandbox,
    container: &Container,
) -> Option<u32> {
    let first = sandbox.attempt == Some(0) && pod.sandboxes_before.is_empty();
    let began = timestamp(sandbox.started_at.as_deref())?;
    let made = timestamp(container.created_at.as_deref())?;
    let count = container.restarts.filter(|count| *count > 0)?;
    (first && made.duration_since(began) > WITH_ITS_SANDBOX).then_some(count)
}

/// Sandboxes that were replaced, where both addresses are known.
fn sandbox_death(live: &[&Pod], past: &[Event]) -> Proof {
    let (mut against, mut examples) = (Vec::new(), Vec::new());
    for pod in live.iter().filter(|pod| !pod.host_network) {
        let Some(sandbox) = &pod.sandbox else {
            continue;
        };
        let mut lines = BTreeMap::new();
        for before in &pod.sandboxes_before {
            let Some(ip) = &before.ip else { continue };
            if pod.ips.is_empty() {
                continue;
            }
            let line = format!(
                "{}: sandbox {} had {ip}, sandbox {} has {}",
                name(pod),
                attempt(before.attempt),
                attempt(sandbox.attempt),
                pod.ips.join(" and ")
            );
            lines.insert(sandbox.id.clone(), (pod.ips.contains(ip), line));
        }
        for (event, restart) in restarts(past, pod, EventKind::SandboxStarted) {
            let Some(kept) = restart.ip_kept.filter(|_| !restart.same_sandbox) else {
                continue;
            };
            let line = format!(
                "{}: sandbox {} began at {}: {}",
                name(pod),
                attempt(event.attempt),
                event.time,
                restart.verdict
            );
            lines.entry(event.id.clone()).or_insert((kept, line));
        }
        for (same, line) in lines.into_values() {
            if same { &mut against } else { &mut examples }.push(line);
        }
    }
    let claim = "the sandbox's death gives the pod a new IP";
    decide("sandbox-death", claim, against, examples)
}

fn shares(
    id: &'static str,
    claim: &'static str,
    live: &[&Pod],
    of: impl Fn(&Container) -> Option<bool>,
) -> Proof {
    let (mut against, mut examples) = (Vec::new(), Vec::new());
    for pod in live {
        let up = pod.containers.iter().filter(|one| one.state.is_up());
        let known: Vec<(&str, bool)> = up
            .filter_map(|one| Some((one.name.as_str(), of(one)?)))
            .collect();
        let apart: Vec<&str> = known
            .iter()
            .filter(|(_, same)| !same)
            .map(|(name, _)| *name)
            .collect();
        if !apart.is_empty() {
            against.push(format!(
                "{}: {} has another than the sandbox",
                name(pod),
                apart.join(", ")
            ));
        } else if !known.is_empty() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            examples.push(format!(
                "{}: the sandbox's is that of {}",
                name(pod),
                names.join(", ")
            ));
        }
    }
    decide(id, claim, against, examples)
}

fn attempt(attempt: Option<u32>) -> String {
    attempt.map_or_else(|| "?".into(), |attempt| format!("#{attempt}"))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::membership;
    use crate::pod::{ContainerFacts, Joins, Membership};

    /// A lab pod as an engine lists it: one sandbox and the attempts of one container.
    fn facts(pod: &str, ip: &str, attempts: &[(&str, &str)]) -> Vec<ContainerFacts> {
        let labels = |role: &str, attempt: &str| -> BTreeMap<String, String> {
            [
                ("dev.devnet.role", role),
                ("dev.devnet.pod.name", pod),
                ("dev.devnet.pod.namespace", "default"),
                ("dev.devnet.pod.uid", pod),
                ("dev.devnet.container.name", "app"),
                ("dev.devnet.attempt", attempt),
                ("dev.devnet.address", ip),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
        };
        let sandbox = ContainerFacts {
            id: format!("{pod}-sandbox"),
            labels: labels("lab-sandbox", "0"),
            state: "running".into(),
            ips: vec![ip.into()],
            ..ContainerFacts::default()
        };
        let joined = |(attempt, state): &(&str, &str)| ContainerFacts {
            id: format!("{pod}-app-{attempt}"),
            labels: labels("lab-container", attempt),
            state: (*state).into(),
            joins: Joins::of_network(&format!("{pod}-sandbox")),
            ..ContainerFacts::default()
        };
        let mut all: Vec<ContainerFacts> = std::iter::once(sandbox)
            .chain(attempts.iter().map(joined))
            .collect();
        for facts in &mut all {
            facts.membership = Membership::Pod(membership::member(facts).unwrap());
        }
        all
    }

    fn pods(facts: &[Vec<ContainerFacts>]) -> Vec<Pod> {
        crate::pod::pods("node", &facts.concat(), crate::pod::PlainContainers::Hide)
    }

    fn verdict(pods: &[Pod], id: &str) -> Option<bool> {
        let claims = claims(pods, &[], false);
        claims.iter().find(|proof| proof.id == id).unwrap().holds
    }

    #[test]
    fn an_address_that_two_pods_have_speaks_against_unique_ips() {
        let one = facts("one", "10.0.0.2", &[("0", "running")]);
        let apart = pods(&[one.clone(), facts("two", "10.0.0.3", &[("0", "running")])]);
        assert_eq!(verdict(&apart, "unique-ip"), Some(true));
        let same = pods(&[one, facts("two", "10.0.0.2", &[("0", "running")])]);
        assert_eq!(verdict(&same, "unique-ip"), Some(false));
    }

    #[test]
    fn a_replaced_container_in_the_same_sandbox_is_evidence_and_without_one_nothing_is_known() {
        let calm = pods(&[facts("one", "10.0.0.2", &[("0", "running")])]);
        assert_eq!(verdict(&calm, "container-death"), None);
        let attempts = [("0", "exited"), ("1", "running")];
        let replaced = pods(&[facts("one", "10.0.0.2", &attempts)]);
        assert_eq!(verdict(&replaced, "container-death"), Some(true));
    }

    #[test]
    fn what_nobody_looked_at_is_unknown() {
        let pods = pods(&[facts("one", "10.0.0.2", &[("0", "running")])]);
        for id in [
            "shares-net",
            "shares-uts",
            "same-port-one-pod",
            "same-port-two-pods",
        ] {
            assert_eq!(verdict(&pods, id), None, "{id}");
        }
    }

    #[test]
    fn a_container_in_another_network_than_its_sandbox_speaks_against_sharing() {
        let mut pods = pods(&[facts("one", "10.0.0.2", &[("0", "running")])]);
        pods[0].containers[0].shares.net = Some(true);
        assert_eq!(verdict(&pods, "shares-net"), Some(true));
        pods[0].containers[0].shares.net = Some(false);
        assert_eq!(verdict(&pods, "shares-net"), Some(false));
    }
}
