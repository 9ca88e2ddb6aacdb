//! Pods on a real engine, as its kernel sees them: compared with docker, nsenter and ss, and broken
//! in every way that has a finding.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::{Sandbox, busybox_image, docker, ground};

/// A pod shaped as the kubelet makes it, gone with the test.
struct Made<'a> {
    ground: &'a Path,
    name: &'a str,
    image: String,
    sandbox: String,
    containers: Vec<String>,
}

impl<'a> Made<'a> {
    fn new(ground: &'a Path, name: &'a str) -> Self {
        let image = busybox_image(ground, "node");
        let mut made = Self {
            ground,
            name,
            image,
            sandbox: String::new(),
            containers: Vec::new(),
        };
        let labels = made.labels("podsandbox", "POD");
        let mut arguments = vec![
            "run",
            "-d",
            "--network",
            "none",
            "--ipc",
            "shareable",
            "--user",
            "65535:65535",
        ];
        arguments.extend(labels.iter().map(String::as_str));
        arguments.extend([made.image.as_str(), "/bin/busybox", "sleep", "3600"]);
        docker(ground, "node", &arguments)
            .ok()
            .trim()
            .clone_into(&mut made.sandbox);
        made
    }

    fn labels(&self, kind: &str, container: &str) -> Vec<String> {
        let number = if kind == "podsandbox" {
            0
        } else {
            self.containers.len()
        };
        vec![
            format!(
                "--name=k8s_{container}_{0}_default_uid-{0}_{number}",
                self.name
            ),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={container}"),
            format!("--label=io.kubernetes.pod.name={}", self.name),
            "--label=io.kubernetes.pod.namespace=default".into(),
            format!("--label=io.kubernetes.pod.uid=uid-{}", self.name),
        ]
    }

    /// Adds a container; `more` are flags of `docker run`.
    fn add(&mut self, container: &str, more: &[&str], command: &[&str]) -> String {
        let mut all = vec!["run".to_owned(), "-d".into()];
        all.extend(self.labels("container", container));
        all.push(format!("--label=io.kubernetes.sandbox.id={}", self.sandbox));
        all.push(format!("--network=container:{}", self.sandbox));
        all.push(format!("--ipc=container:{}", self.sandbox));
        all.extend(more.iter().map(|flag| (*flag).to_owned()));
        all.push(self.image.clone());
        all.extend(command.iter().map(|word| (*word).to_owned()));
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        let id = docker(self.ground, "node", &arguments)
            .ok()
            .trim()
            .to_owned();
        self.containers.push(id.clone());
        id
    }

    fn docker(&self, arguments: &[&str]) -> String {
        docker(self.ground, "node", arguments).ok()
    }

    /// What devnet says of this pod now.
    fn look(&self) -> Value {
        let host = format!("unix://{}", self.ground.join("node.sock").display());
        let name = format!("default/{}", self.name);
        let output = Sandbox::bare().devnet(&["-H", &host, "inspect", &name, "-o", "json"]);
        assert!(output.stderr.is_empty(), "{}", output.stderr);
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        assert_eq!(document["pods"].as_array().unwrap().len(), 1);
        document["pods"][0].clone()
    }

    #[track_caller]
    fn finds(&self, codes: &[&str]) -> Value {
        let pod = self.look();
        let found: Vec<&str> = pod["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap())
            .collect();
        assert_eq!(found, codes, "{pod:#}");
        pod
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let mut arguments = vec!["rm", "-f", self.sandbox.as_str()];
        arguments.extend(self.containers.iter().map(String::as_str));
        // a failed test has told its reason already
        let _done = docker(self.ground, "node", &arguments);
    }
}

fn inode(pid: &Value, kind: &str) -> u64 {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let text = link.display().to_string();
    text[text.find('[').unwrap() + 1..text.len() - 1]
        .parse()
        .unwrap()
}

#[test]
fn a_live_pod_is_what_docker_inspect_and_the_kernel_say() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "facts");
    made.add(
        "app",
        &["--user", "1000"],
        &["/bin/busybox", "sleep", "3600"],
    );
    made.add(
        "side",
        &[&format!("--pid=container:{}", made.sandbox)],
        &["/bin/busybox", "sleep", "3600"],
    );
    let pod = made.finds(&[]);
    assert_eq!(pod["state"], "running");
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    for one in containers.iter().chain([&pod["sandbox"]]) {
        let id = one["id"].as_str().unwrap();
        let truth: Value = serde_json::from_str(&made.docker(&["inspect", id])).unwrap();
        let truth = &truth[0];
        assert_eq!(one["pid"], truth["State"]["Pid"]);
        assert_eq!(one["started_at"], truth["State"]["StartedAt"]);
        assert_eq!(one["network_mode"], truth["HostConfig"]["NetworkMode"]);
        assert_eq!(one["image"], truth["Config"]["Image"]);
        for kind in ["net", "ipc", "uts", "pid", "mnt", "user"] {
            assert_eq!(one["namespaces"][kind], inode(&one["pid"], kind), "{kind}");
        }
        for kind in ["net", "ipc", "uts", "pid"] {
            if let Some(shared) = one["shares"][kind].as_bool() {
                let same = inode(&one["pid"], kind) == inode(&pod["sandbox"]["pid"], kind);
                assert_eq!(shared, same, "{kind}");
            }
        }
    }
    let shares =
        |name: &str| containers.iter().find(|c| c["name"] == name).unwrap()["shares"].clone();
    assert_eq!(
        shares("app"),
        serde_json::json!({"net": true, "ipc": true, "uts": false, "pid": false})
    );
    assert_eq!(shares("side")["pid"], true);
}

/// Listens in every way that has surprised someone; prints a line when all of it is open.
const LISTENERS: &str = r#"
use Socket qw(:all);
sub l { my ($f, $t, $addr, $reuse, $v6) = @_;
  socket(my $s, $f, $t, 0) or die "socket: $!";
  setsockopt($s, SOL_SOCKET, SO_REUSEPORT, 1) if $reuse;
  setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, $v6) if $f == AF_INET6;
  bind($s, $addr) or die "bind: $!"; if ($t == SOCK_STREAM) { listen($s, 5) or die "listen: $!" } $s }
sub v4 { pack_sockaddr_in($_[0], inet_aton($_[1])) }
sub v6 { pack_sockaddr_in6($_[0], inet_pton(AF_INET6, $_[1])) }
my @keep = (l(AF_INET, SOCK_STREAM, v4(7005, "0.0.0.0"), 1));
if ($ARGV[0] eq "all") {
  push @keep, l(AF_INET, SOCK_STREAM, v4(7001, "0.0.0.0")), l(AF_INET, SOCK_STREAM, v4(7002, "0.0.0.0")),
    l(AF_INET, SOCK_DGRAM, v4(7003, "0.0.0.0")), l(AF_INET, SOCK_STREAM, v4(7004, "127.0.0.1"));
  push @keep, l(AF_INET6, SOCK_STREAM, v6(7002, "::"), 0, 1), l(AF_INET6, SOCK_STREAM, v6(7006, "::"), 0, 0) if -e "/proc/net/if_inet6";
  for (1, 2) { if (!fork) { sleep 3600; exit } }
}
$| = 1; print "open\n"; sleep 3600;
"#;

#[test]
fn every_listener_has_the_owners_that_ss_names() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "listeners");
    let system = ["/usr", "/lib", "/lib64"].map(|folder| format!("-v={folder}:{folder}:ro"));
    let mut flags: Vec<&str> = system.iter().map(String::as_str).collect();
    let perl = ["/usr/bin/perl", "-e", LISTENERS];
    let first = made.add("first", &flags, &[&perl[..], &["all"]].concat());
    flags.push("--init=false");
    let second = made.add("second", &flags, &[&perl[..], &["one"]].concat());
    for id in [&first, &second] {
        while !made.docker(&["logs", id]).contains("open") {
            let state = made.docker(&["inspect", "-f", "{{.State.Status}}", id]);
            assert_eq!(state.trim(), "running");
        }
    }
    let pod = made.finds(&["shared-listener"]);
    let mut ours = BTreeSet::new();
    for socket in pod["sockets"].as_array().unwrap() {
        if !matches!(socket["state"].as_str().unwrap(), "LISTEN" | "UNCONN") {
            continue;
        }
        let owners = socket["owners"].as_array().unwrap();
        let pids: BTreeSet<u64> = owners.iter().map(|o| o["pid"].as_u64().unwrap()).collect();
        ours.insert((
            socket["proto"].as_str().unwrap().to_owned(),
            socket["port"].as_u64().unwrap(),
            socket["inode"].as_u64().unwrap(),
            pids,
        ));
        for owner in owners {
            let name = owner["container"].as_str().unwrap();
            let id = if name == "first" { &first } else { &second };
            let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", owner["pid"])).unwrap();
            assert!(cgroup.contains(id.as_str()), "{owner} {cgroup}");
        }
    }
    let pid = pod["sandbox"]["pid"].to_string();
    let ss = crate::support::Output::of(
        Sandbox::bare()
            .command("nsenter")
            .args(["-t", &pid, "-n", "ss", "-Htulnpe"]),
    )
    .ok();
    let theirs: BTreeSet<_> = ss.lines().map(parsed).collect();
    assert!(theirs.len() >= 6, "{ss}");
    assert_eq!(ours, theirs, "{ss}");
}

/// A line of `ss -Htulnpe`.
fn parsed(line: &str) -> (String, u64, u64, BTreeSet<u64>) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = fields[4].rsplit(':').next().unwrap().parse().unwrap();
    let after = |key: &str| {
        line.split(key)
            .skip(1)
            .map(|rest| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u64>().unwrap()
            })
            .collect::<Vec<_>>()
    };
    (
        fields[0].into(),
        port,
        after(" ino:")[0],
        after("pid=").into_iter().collect(),
    )
}

#[test]
fn a_sandbox_that_was_restarted_alone_splits_its_pod() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "split");
    let app = made.add("app", &[], &["/bin/busybox", "sleep", "3600"]);
    made.finds(&[]);
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    let pod = made.finds(&["split-pod"]);
    assert_eq!(pod["state"], "degraded");
    let (own, of_sandbox) = (
        inode(&pod["containers"][0]["pid"], "net"),
        inode(&pod["sandbox"]["pid"], "net"),
    );
    let message = pod["findings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(&own.to_string()) && message.contains(&of_sandbox.to_string()),
        "{message}"
    );
    // and once it has joined the new network, all is well
    made.docker(&["restart", "-t", "0", &app]);
    made.finds(&[]);
}

#[test]
fn a_container_without_its_sandbox_is_an_orphan() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "orphan");
    made.add("app", &[], &["/bin/busybox", "sleep", "3600"]);
    made.docker(&["kill", &made.sandbox]);
    let pod = made.finds(&["orphan-container"]);
    assert_eq!(
        pod["containers"][0]["namespaces"]["net"],
        inode(&pod["containers"][0]["pid"], "net")
    );
    made.docker(&["rm", &made.sandbox]);
    let pod = made.finds(&["orphan-container"]);
    assert_eq!(pod["sandbox"], Value::Null);
}

#[test]
fn a_frozen_container_is_told() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "frozen");
    let app = made.add("app", &[], &["/bin/busybox", "sleep", "3600"]);
    made.docker(&["pause", &app]);
    let pod = made.finds(&["frozen"]);
    assert_eq!(pod["state"], "paused");
    made.docker(&["unpause", &app]);
    made.finds(&[]);
    // stopped by a signal: the engine says that it runs
    made.docker(&["kill", "-s", "STOP", &app]);
    let pod = made.finds(&["frozen"]);
    assert_eq!(pod["containers"][0]["state"], "running");
    made.docker(&["kill", "-s", "CONT", &app]);
    made.finds(&[]);
}

#[test]
fn the_loser_of_a_port_is_told_with_its_holder() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "conflict");
    let holder = made.add(
        "holder",
        &[],
        &["/bin/busybox", "httpd", "-f", "-p", "8080"],
    );
    // the holder has its port when its socket is there
    let pid = made.docker(&["inspect", "-f", "{{.State.Pid}}", &holder]);
    let open = || {
        std::fs::read_to_string(format!("/proc/{}/net/tcp6", pid.trim()))
            .unwrap()
            .contains(":1F90 ")
            || std::fs::read_to_string(format!("/proc/{}/net/tcp", pid.trim()))
                .unwrap()
                .contains(":1F90 ")
    };
    while !open() {
        std::thread::yield_now();
    }
    let loser = made.add("loser", &[], &["/bin/busybox", "httpd", "-f", "-p", "8080"]);
    made.docker(&["wait", &loser]);
    let pod = made.finds(&["port-conflict"]);
    assert_eq!(
        pod["findings"][0]["subjects"],
        serde_json::json!([holder, loser])
    );
    assert!(
        pod["findings"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("8080 is held by `holder`")
    );
}

#[test]
fn a_look_leaves_nothing_in_the_engine() {
    let Some(ground) = ground() else { return };
    let made = Made::new(&ground, "tidy");
    made.finds(&[]);
    // the engine removes the look's container itself, a moment after its end
    // other tests look at the same engine: their containers come and go meanwhile, and those
    // whose devnet was killed before it could start them stay for a minute
    let there = || {
        let of_looks = "label=dev.devnet.role=probe";
        let states = ["running", "exited", "dead"].map(|state| format!("status={state}"));
        let [a, b, c] = states.each_ref();
        made.docker(&["ps", "-aq", "-f", of_looks, "-f", a, "-f", b, "-f", c])
    };
    let ours = there();
    let left = || ours.lines().any(|id| there().contains(id));
    let begun = std::time::Instant::now();
    while left() {
        assert!(begun.elapsed().as_secs() < 90, "{ours}");
    }
}

#[test]
fn a_look_whose_devnet_was_killed_ends_by_itself() {
    let Some(ground) = ground() else { return };
    let made = Made::new(&ground, "killed");
    let host = format!("unix://{}", ground.join("node.sock").display());
    for delay in [20, 60, 100, 150, 200] {
        let sandbox = Sandbox::bare();
        let mut child = sandbox
            .devnet_command(&["-H", &host, "pods"])
            .spawn()
            .unwrap();
        // killed somewhere in its work: which moment is hit is not what the test is about
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < delay {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let running = || made.docker(&["ps", "-q", "--filter", "label=dev.devnet.role=probe"]);
    let begun = std::time::Instant::now();
    while !running().is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "{}", running());
    }
    // what never started goes with the next command, once it is a minute old; here it is no finding
    made.finds(&[]);
}
