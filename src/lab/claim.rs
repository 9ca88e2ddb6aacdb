//! The claims of a Kubernetes networking course about pods, which an experiment decides: each judge
//! takes what was seen and says whether the claim holds, with the evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The claims that there are to prove.
pub(crate) const IDS: [&str; 13] = [
    "unique-ip",
    "reachable",
    "same-port-two-pods",
    "localhost",
    "same-port-one-pod",
    "container-death",
    "pause-holds",
    "sandbox-death",
    "shares-net",
    "shares-ipc",
    "shares-uts",
    "own-pid",
    "own-mnt",
];

/// A claim, decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Proof {
    /// As `unique-ip`.
    pub(crate) id: &'static str,
    pub(crate) claim: &'static str,
    /// `None` where nothing was there to decide it.
    pub(crate) holds: Option<bool>,
    /// True where it should hold on this kind of engine.
    pub(crate) expected: bool,
    /// The observations, in short sentences.
    pub(crate) evidence: Vec<String>,
}

impl Proof {
    pub(super) fn new(
        id: &'static str,
        claim: &'static str,
        holds: impl Into<Option<bool>>,
        evidence: Vec<String>,
    ) -> Self {
        Self {
            id,
            claim,
            holds: holds.into(),
            expected: true,
            evidence,
        }
    }

    /// True where it came out as it should, or could not be decided.
    pub(crate) fn is_as_expected(&self) -> bool {
        self.holds.is_none_or(|holds| holds == self.expected)
    }
}

/// The answer that the probe's `ask` printed of one try.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The pod that asked.
    pub(crate) from: String,
    pub(crate) url: String,
    /// Milliseconds and the answer, or why there was none.
    pub(crate) answer: Result<(f64, String), String>,
}

impl Asked {
    /// Reads the probe's lines.
    pub(crate) fn lines(from: &str, printed: &str) -> Vec<Self> {
        printed
            .lines()
            .filter_map(|line| {
                let (url, rest) = line.split_once(' ')?;
                let answer = if let Some(rest) = rest.strip_prefix("ok ") {
                    let (took, body) = rest.split_once(' ')?;
                    Ok((took.parse().ok()?, body.to_owned()))
                } else {
                    Err(rest.strip_prefix("failed ")?.to_owned())
                };
                Some(Self {
                    from: from.into(),
                    url: url.into(),
                    answer,
                })
            })
            .collect()
    }

    fn word(&self, before: &str) -> Option<&str> {
        let (_, body) = self.answer.as_ref().ok()?;
        let rest = body.split_once(before)?.1;
        rest.split([' ', ',']).next()
    }

    /// The pod that answered.
    pub(crate) fn by(&self) -> Option<&str> {
        self.word("hello from pod ")
    }

    /// The address that the answering kernel was reached at.
    pub(crate) fn at(&self) -> Option<&str> {
        self.word(" at ")
    }

    /// The asker's address as the answering kernel saw it, without the port.
    pub(crate) fn source(&self) -> Option<&str> {
        self.word("you are ")?.rsplit_once(':').map(|(ip, _)| ip)
    }

    fn sentence(&self) -> String {
        match &self.answer {
            Ok((took, _)) => format!(
                "{} asked {}: {} answered at {} in {took:.1} ms, and saw {}",
                self.from,
                self.url,
                self.by().unwrap_or("somebody"),
                self.at().unwrap_or("?"),
                self.source().unwrap_or("?"),
            ),
            Err(why) => format!("{} asked {}: {why}", self.from, self.url),
        }
    }
}

/// Inode numbers of a process's namespaces, by kind, as the probe announces them.
pub(crate) type Inodes = BTreeMap<String, u64>;

/// Reads the probe's `namespaces net=… ipc=…` line out of what a container printed.
pub(crate) fn inodes(printed: &str) -> Inodes {
    printed
        .lines()
        .find_map(|line| line.strip_prefix("namespaces "))
        .unwrap_or_default()
        .split(' ')
        .filter_map(|pair| {
            let (kind, inode) = pair.split_once('=')?;
            Some((kind.to_owned(), inode.parse().ok()?))
        })
        .collect()
}

/// Every pod was asked at its own address, and saw its askers under theirs.
pub(crate) fn unique_ip(pods: &[String], asked: &[Asked]) -> Proof {
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in asked {
        if let (Some(pod), Some(at)) = (one.by(), one.at()) {
            let ip = at.rsplit_once(':').map_or(at, |(ip, _)| ip);
            of.entry(pod).or_default().insert(ip);
        }
        if let Some(source) = one.source() {
            of.entry(&one.from).or_default().insert(source);
        }
    }
    let all: BTreeSet<&str> = of.values().flatten().copied().collect();
    let holds = pods
        .iter()
        .all(|pod| of.get(pod.as_str()).is_some_and(|ips| ips.len() == 1))
        && all.len() == pods.len();
    let evidence = of
        .iter()
        .map(|(pod, ips)| {
            let ips: Vec<&str> = ips.iter().copied().collect();
            format!("{pod} is {}", ips.join(" and "))
        })
        .collect();
    Proof::new(
        "unique-ip",
        "every pod has one IP of its own",
        holds,
        evidence,
    )
}

/// From every pod to every other: an answer, by the pod that was meant, and without translation.
pub(crate) fn reachable(pods: &[String], asked: &[Asked]) -> Proof {
    let pairs: BTreeSet<(&str, &str)> = asked
        .iter()
        .filter_map(|one| Some((one.from.as_str(), one.by()?)))
        .filter(|(from, to)| from != to)
        .collect();
    let holds = pairs.len() == pods.len() * pods.len().saturating_sub(1);
    Proof::new(
        "reachable",
        "every pod reaches every other by its IP",
        holds,
        asked.iter().map(Asked::sentence).collect(),
    )
}

/// Different pods answer on one and the same port.
pub(crate) fn same_port_two_pods(port: u16, asked: &[Asked]) -> Proof {
    let suffix = format!(":{port}");
    let at: BTreeMap<&str, &str> = asked
        .iter()
        .filter_map(|one| Some((one.by()?, one.at()?)))
        .filter(|(_, at)| at.ends_with(&suffix))
        .collect();
    Proof::new(
        "same-port-two-pods",
        "two pods can listen on the same port",
        at.len() >= 2,
        at.iter()
            .map(|(pod, at)| format!("{pod} listens at {at}"))
            .collect(),
    )
}

/// Judges the end of a second server for a port of the same pod: its exit code, or that it still
/// runs.
pub(crate) fn same_port_one_pod(port: u16, ended: Option<i64>, said: &str) -> Proof {
    let holds = ended.is_some_and(|code| code != 0) && said.contains("in use");
    let evidence = match ended {
        Some(code) => format!("a second server for {port} ended with code {code}: {said}"),
        None => format!("a second server for {port} runs"),
    };
    Proof::new(
        "same-port-one-pod",
        "two containers of one pod can't listen on the same port",
        holds,
        vec![evidence],
    )
}

/// A container asked 127.0.0.1 and another container of its pod answered.
pub(crate) fn localhost(pod: &str, asked: &[Asked]) -> Proof {
    let holds = asked.iter().any(|one| {
        one.by() == Some(pod) && one.at().is_some_and(|at| at.starts_with("127.0.0.1:"))
    });
    Proof::new(
        "localhost",
        "containers of one pod talk over localhost",
        holds,
        asked.iter().map(Asked::sentence).collect(),
    )
}

/// A pod at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Moment {
    pub(crate) sandbox: String,
    /// As another pod saw it, or as the engine says.
    pub(crate) ip: String,
    pub(crate) net: Option<u64>,
}

impl Moment {
    fn sentence(&self, when: &str) -> String {
        format!(
            "{when}: sandbox {}, IP {}, net namespace {}",
            self.sandbox.get(..12).unwrap_or(&self.sandbox),
            self.ip,
            self.net
                .map_or_else(|| "unknown".into(), |net| net.to_string())
        )
    }
}

fn is_same(before: &Moment, after: &Moment) -> bool {
    before == after && before.net.is_some() && !before.ip.is_empty()
}

pub(crate) fn container_death(before: &Moment, after: &Moment) -> Proof {
    Proof::new(
        "container-death",
        "a container's death keeps the pod's IP and network namespace",
        is_same(before, after),
        vec![
            before.sentence("before"),
            after.sentence("after a container was killed and replaced"),
        ],
    )
}

/// The old namespace must have been kept alive meanwhile: the kernel gives the number of a freed
/// one out again at once.
pub(crate) fn sandbox_death(before: &Moment, after: &Moment) -> Proof {
    Proof::new(
        "sandbox-death",
        "the sandbox's death gives the pod a new network namespace and a new IP",
        before.sandbox != after.sandbox
            && before.ip != after.ip
            && !after.ip.is_empty()
            && after.net.is_some()
            && before.net != after.net,
        vec![
            before.sentence("before"),
            after.sentence("after the sandbox was killed"),
        ],
    )
}

pub(crate) fn pause_holds(before: &Moment, after: &Moment) -> Proof {
    Proof::new(
        "pause-holds",
        "the pause container holds the network namespace when every other container is gone",
        is_same(before, after),
        vec![
            before.sentence("before"),
            after.sentence("all containers killed, then a new one joined"),
        ],
    )
}

/// Judges which namespaces containers of a pod share with their sandbox, one claim for each kind.
pub(crate) fn shares(sandbox: &Inodes, containers: &BTreeMap<String, Inodes>) -> Vec<Proof> {
    let kinds = [
        (
            "net",
            "shares-net",
            "containers of one pod share the network namespace",
            true,
            true,
        ),
        (
            "ipc",
            "shares-ipc",
            "containers of one pod share the IPC namespace",
            true,
            true,
        ),
        // Docker can't let containers join each other's UTS namespace: it copies the name
        (
            "uts",
            "shares-uts",
            "containers of one pod share the UTS namespace",
            true,
            false,
        ),
        (
            "pid",
            "own-pid",
            "every container has a PID namespace of its own",
            false,
            true,
        ),
        (
            "mnt",
            "own-mnt",
            "every container has a mount namespace of its own",
            false,
            true,
        ),
    ];
    kinds
        .into_iter()
        .map(|(kind, id, claim, shared, expected)| {
            let pause = sandbox.get(kind);
            let others: Vec<Option<&u64>> = containers.values().map(|one| one.get(kind)).collect();
            let known = pause.is_some() && !others.is_empty() && others.iter().all(Option::is_some);
            let holds = known
                && if shared {
                    others.iter().all(|one| *one == pause)
                } else {
                    let mut seen = BTreeSet::from([pause]);
                    others.iter().all(|one| seen.insert(*one))
                };
            let number = |one: Option<&u64>| one.map_or_else(|| "unknown".into(), u64::to_string);
            let mut evidence = vec![format!("{kind} of the sandbox: {}", number(pause))];
            evidence.extend(
                containers
                    .iter()
                    .map(|(name, one)| format!("{kind} of {name}: {}", number(one.get(kind)))),
            );
            if !expected {
                evidence.push("Docker copies the host name instead".into());
            }
            Proof {
                expected,
                ..Proof::new(id, claim, holds, evidence)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn answer(from: &str, by: &str, at: &str, source: &str) -> Asked {
        let printed = format!(
            "http://{at}/ ok 0.512 hello from pod {by} container web ip 10.0.0.9 at {at}, you are {source}:4321"
        );
        Asked::lines(from, &printed).remove(0)
    }

    fn healthy() -> Vec<Asked> {
        vec![
            answer("a", "b", "10.0.0.3:8080", "10.0.0.2"),
            answer("b", "a", "10.0.0.2:8080", "10.0.0.3"),
        ]
    }

    #[test]
    fn a_healthy_network_proves_its_claims() {
        let pods = names(&["a", "b"]);
        assert!(unique_ip(&pods, &healthy()).holds == Some(true));
        assert!(reachable(&pods, &healthy()).holds == Some(true));
        assert!(same_port_two_pods(8080, &healthy()).holds == Some(true));
        let local = [answer("a", "a", "127.0.0.1:8080", "127.0.0.1")];
        assert!(localhost("a", &local).holds == Some(true));
    }

    #[test]
    fn two_pods_with_one_ip_are_noticed() {
        let pods = names(&["a", "b"]);
        let same = [
            answer("a", "b", "10.0.0.2:8080", "10.0.0.2"),
            answer("b", "a", "10.0.0.2:8080", "10.0.0.2"),
        ];
        assert!(unique_ip(&pods, &same).holds == Some(false));
        // and one that shows another address than it has, as behind NAT
        let translated = [
            answer("a", "b", "10.0.0.3:8080", "10.0.0.1"),
            answer("b", "a", "10.0.0.2:8080", "10.0.0.3"),
        ];
        assert!(unique_ip(&pods, &translated).holds == Some(false));
    }

    #[test]
    fn a_pod_that_does_not_answer_is_noticed() {
        let pods = names(&["a", "b"]);
        let mut asked = healthy();
        asked[0].answer = Err("Connection refused".into());
        let proof = reachable(&pods, &asked);
        assert!(proof.holds == Some(false));
        assert!(proof.evidence[0].contains("Connection refused"));
        assert!(same_port_two_pods(8080, &asked).holds == Some(false));
        assert!(localhost("a", &asked).holds == Some(false));
        assert!(unique_ip(&pods, &asked[..1]).holds == Some(false));
    }

    #[test]
    fn two_servers_on_one_port_of_a_pod_must_collide() {
        assert!(same_port_one_pod(80, Some(1), "bind: Address in use").holds == Some(true));
        assert!(same_port_one_pod(80, None, "").holds == Some(false));
        assert!(same_port_one_pod(80, Some(1), "no such program").holds == Some(false));
        assert!(same_port_one_pod(80, Some(0), "Address in use").holds == Some(false));
    }

    #[test]
    fn deaths_are_told_apart_by_what_stays() {
        let before = Moment {
            sandbox: "s0".into(),
            ip: "10.0.0.2".into(),
            net: Some(7),
        };
        let other = Moment {
            sandbox: "s1".into(),
            ip: "10.0.0.3".into(),
            net: Some(8),
        };
        assert!(container_death(&before, &before).holds == Some(true));
        assert!(container_death(&before, &other).holds == Some(false));
        assert!(pause_holds(&before, &before).holds == Some(true));
        assert!(pause_holds(&before, &other).holds == Some(false));
        assert!(sandbox_death(&before, &other).holds == Some(true));
        assert!(sandbox_death(&before, &before).holds == Some(false));
        let unknown = Moment::default();
        assert!(
            container_death(&unknown, &unknown).holds == Some(false),
            "nothing was seen"
        );
        assert!(sandbox_death(&before, &unknown).holds == Some(false));
    }

    #[test]
    fn shared_namespaces_are_told_by_inode() {
        let pause = inodes("pause\nnamespaces net=1 ipc=2 uts=3 pid=4 mnt=5 user=6\n");
        let app = inodes("namespaces net=1 ipc=2 uts=9 pid=10 mnt=11 user=6");
        let side = inodes("namespaces net=1 ipc=2 uts=12 pid=13 mnt=14 user=6");
        let pod = BTreeMap::from([("app".to_owned(), app.clone()), ("side".to_owned(), side)]);
        let proofs = shares(&pause, &pod);
        assert!(proofs.iter().all(Proof::is_as_expected), "{proofs:#?}");
        assert!(proofs.iter().find(|p| p.id == "shares-uts").unwrap().holds == Some(false));

        let mut split = pod.clone();
        split.get_mut("app").unwrap().insert("net".into(), 99);
        let proofs = shares(&pause, &split);
        assert!(proofs.iter().find(|p| p.id == "shares-net").unwrap().holds == Some(false));
        let joined = BTreeMap::from([("a".to_owned(), app.clone()), ("b".to_owned(), app)]);
        let proofs = shares(&pause, &joined);
        assert!(proofs.iter().find(|p| p.id == "own-pid").unwrap().holds == Some(false));
        assert!(
            shares(&Inodes::new(), &pod)
                .iter()
                .all(|p| p.holds == Some(false))
        );
    }
}
