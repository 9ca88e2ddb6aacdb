//! `devnet check`: the matrix against connections that this test makes from each pod's network
//! namespace, and every kind of broken promise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Output, Sandbox, busybox_image, docker, missing, testbed, until};

/// Pods shaped as the kubelet makes them, on a network of their own, in a namespace of their own.
struct Town<'a> {
    testbed: &'a Path,
    name: &'a str,
    image: String,
    pods: BTreeMap<String, Made>,
}

struct Made {
    sandbox: String,
    containers: BTreeMap<String, String>,
}

/// Listens as its arguments say, `tcp:ADDRESS:PORT`; `udp` echoes, `mute` takes and says nothing,
/// `dns` answers every name.
const LISTEN: &str = r#"
use Socket qw(:all); use IO::Select;
my (%does, @all);
for (@ARGV) {
  my ($how, $addr, $port) = /^(\w+):\[?(.*?)\]?:(\d+)$/ or die $_;
  my $f = $addr =~ /:/ ? AF_INET6 : AF_INET;
  my $at = $f == AF_INET ? pack_sockaddr_in($port, inet_aton($addr)) : pack_sockaddr_in6($port, inet_pton(AF_INET6, $addr));
  socket(my $s, $f, $how eq "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!";
  bind($s, $at) or die "bind $_: $!"; if ($how eq "tcp") { listen($s, 99) or die "listen: $!" }
  $does{fileno $s} = $how; push @all, $s;
}
$| = 1; print "open\n";
my $select = IO::Select->new(@all);
while (1) { for my $s ($select->can_read) {
  my $how = $does{fileno $s};
  if ($how eq "tcp") { accept(my $c, $s); close $c; next }
  my $from = recv($s, my $words, 2000, 0);
  if ($how eq "dns") { substr($words, 2, 2) = "\x81\x80" }
  send($s, $words, 0, $from) if $how ne "mute";
} }
"#;

/// Tries `tcp/ADDRESS/PORT`... and says how each came out, in the words of the matrix.
const TRY: &str = r#"
use Socket qw(:all); use Errno qw(:POSIX); use Time::HiRes qw(alarm);
$| = 1;
for (@ARGV) {
  my ($proto, $addr, $port) = split "/";
  my $f = $addr =~ /:/ ? AF_INET6 : AF_INET;
  my $at = $f == AF_INET ? pack_sockaddr_in($port, inet_aton($addr)) : pack_sockaddr_in6($port, inet_pton(AF_INET6, $addr));
  socket(my $s, $f, $proto eq "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0) or die $!;
  my $how = eval {
    local $SIG{ALRM} = sub { die "late\n" }; alarm 2;
    my $fine = connect($s, $at);
    if ($fine && $proto eq "udp") { $fine = send($s, $port == 53 ? "\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1" : "\n", 0) && defined recv($s, my $words, 99, 0) }
    my $why = $!; alarm 0;
    $fine ? "ok" : $!{ECONNREFUSED} ? "refused" : $!{EHOSTUNREACH} || $!{ENETUNREACH} ? "unreachable" : "$why";
  };
  print "$_ ", $how // ($proto eq "tcp" ? "timeout" : "no-reply"), "\n";
}
"#;

impl<'a> Town<'a> {
    /// `octet` makes the network's subnets: each test has its own.
    fn new(testbed: &'a Path, name: &'a str, octet: u8) -> Self {
        let image = busybox_image(testbed, "node");
        let four = format!("--subnet=172.31.{octet}.0/24");
        let six = format!("--subnet=fd00:31:{octet:x}::/64");
        docker(
            testbed,
            "node",
            &[
                "network",
                "create",
                "--ipv6",
                &four,
                &six,
                &format!("town-{name}"),
            ],
        )
        .ok();
        Self {
            testbed,
            name,
            image,
            pods: BTreeMap::new(),
        }
    }

    fn docker(&self, arguments: &[&str]) -> String {
        docker(self.testbed, "node", arguments).ok()
    }

    fn labels(&self, kind: &str, pod: &str, container: &str) -> Vec<String> {
        let (name, uid) = (self.name, format!("uid-{}-{pod}", self.name));
        vec![
            format!("--name=k8s_{container}_{pod}_{name}_{uid}_0"),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={container}"),
            format!("--label=io.kubernetes.pod.name={pod}"),
            format!("--label=io.kubernetes.pod.namespace={name}"),
            format!("--label=io.kubernetes.pod.uid={uid}"),
        ]
    }

    fn start(&self, flags: &[String], command: &[&str]) -> String {
        let mut all = vec!["run", "-d"];
        all.extend(flags.iter().map(String::as_str));
        all.push(&self.image);
        all.extend(command);
        self.docker(&all).trim().to_owned()
    }

    /// A pod whose container `app` listens so; `more` are flags of its container.
    fn pod(&mut self, pod: &str, listens: &[&str], more: &[&str]) {
        let mut flags = self.labels("podsandbox", pod, "POD");
        flags.push(format!("--network=town-{}", self.name));
        flags.push("--ipc=shareable".into());
        let sandbox = self.start(&flags, &["/bin/busybox", "sleep", "3600"]);
        let made = Made {
            sandbox,
            containers: BTreeMap::new(),
        };
        self.pods.insert(pod.into(), made);
        self.container(pod, "app", listens, more);
    }

    fn container(&mut self, pod: &str, name: &str, listens: &[&str], more: &[&str]) {
        let sandbox = self.pods[pod].sandbox.clone();
        let mut flags = self.labels("container", pod, name);
        flags.extend([
            format!("--label=io.kubernetes.sandbox.id={sandbox}"),
            format!("--network=container:{sandbox}"),
            format!("--ipc=container:{sandbox}"),
        ]);
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let system = ["/usr", "/lib", "/lib64"];
        flags.extend(system.map(|folder| format!("-v={folder}:{folder}:ro")));
        let mut command = vec!["/usr/bin/perl", "-e", LISTEN];
        command.extend(listens);
        let id = self.start(&flags, &command);
        until("it listens", || {
            let open = self.docker(&["logs", &id]).contains("open");
            if !open {
                let state = self.docker(&["inspect", "-f", "{{.State.Status}}", &id]);
                assert_eq!(state.trim(), "running", "{}", self.docker(&["logs", &id]));
            }
            open
        });
        let made = self.pods.get_mut(pod).unwrap();
        made.containers.insert(name.into(), id);
    }

    fn app(&self, pod: &str) -> &str {
        &self.pods[pod].containers["app"]
    }

    fn pid(&self, id: &str) -> String {
        let pid = self.docker(&["inspect", "-f", "{{.State.Pid}}", id]);
        pid.trim().to_owned()
    }

    /// Runs a program in the network namespace of a pod's sandbox.
    fn inside(&self, pod: &str, program: &[&str]) -> String {
        let pid = self.pid(&self.pods[pod].sandbox);
        let sandbox = Sandbox::bare();
        let mut command = sandbox.command("nsenter");
        Output::of(command.args(["-t", &pid, "-n"]).args(program)).ok()
    }

    fn arguments(&self) -> Vec<String> {
        let host = format!("unix://{}", self.testbed.join("node.sock").display());
        ["-H", &host, "check", "-n", self.name]
            .map(str::to_owned)
            .to_vec()
    }

    fn check(&self, more: &[&str]) -> Output {
        let mut arguments = self.arguments();
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Sandbox::bare().devnet(&arguments)
    }

    /// The report of a check that comes out like this: content or not.
    #[track_caller]
    fn report(&self, content: bool) -> Value {
        let output = self.check(&["-o", "json"]);
        assert_eq!(output.code, i32::from(!content), "{output}");
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(report["kept"], content);
        report
    }

    /// Tries every cell once more, from that pod's namespace, by other means. Gives how many there
    /// are of each outcome.
    #[track_caller]
    fn agrees(&self, report: &Report) -> BTreeMap<String, usize> {
        let mut by_pod: BTreeMap<&str, Vec<(String, &str)>> = BTreeMap::new();
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for cell in report["cells"].as_array().unwrap() {
            let from = cell["from"].as_str().unwrap().rsplit('/').next().unwrap();
            let target = format!(
                "{}/{}/{}",
                cell["proto"].as_str().unwrap(),
                cell["address"].as_str().unwrap(),
                cell["port"]
            );
            let outcome = cell["outcome"].as_str().unwrap();
            by_pod.entry(from).or_default().push((target, outcome));
            *count.entry(outcome.into()).or_default() += 1;
        }
        for (pod, cells) in by_pod {
            let targets = cells.iter().map(|(target, _)| target.as_str());
            let mut program = vec!["perl", "-e", TRY];
            program.extend(targets);
            let truth = self.inside(pod, &program);
            let said: Vec<String> = cells
                .iter()
                .map(|(target, outcome)| format!("{target} {outcome}"))
                .collect();
            assert_eq!(said, truth.lines().collect::<Vec<_>>(), "from {pod}");
        }
        count
    }
}

type Report = Value;

impl Drop for Town<'_> {
    fn drop(&mut self) {
        let ids = self
            .pods
            .values()
            .flat_map(|pod| pod.containers.values().chain([&pod.sandbox]));
        let mut arguments = vec!["rm", "-f"];
        arguments.extend(ids.map(String::as_str));
        // a failed test has told its reason already
        drop(docker(self.testbed, "node", &arguments));
        let network = format!("town-{}", self.name);
        drop(docker(self.testbed, "node", &["network", "rm", &network]));
    }
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect()
}

fn verdict<'r>(report: &'r Value, id: &str) -> &'r Value {
    let promises = report["promises"].as_array().unwrap();
    &promises.iter().find(|one| one["id"] == id).unwrap()["holds"]
}

#[test]
fn the_matrix_is_what_each_pod_finds_by_itself() {
    let Some(testbed) = testbed() else { return };
    let mut town = Town::new(&testbed, "whole", 10);
    town.pod(
        "web",
        &[
            "tcp:0.0.0.0:80",
            "tcp:[::]:81",
            "udp:0.0.0.0:7000",
            "tcp:127.0.0.1:90",
        ],
        &[],
    );
    town.container("web", "side", &["mute:0.0.0.0:514", "udp:[::]:7001"], &[]);
    town.pod("api", &["tcp:0.0.0.0:80", "tcp:[::1]:82"], &[]);
    town.pod("ask", &[], &[]);
    let report = town.report(true);
    let count = town.agrees(&report);
    // the one that says nothing is asked by its own pod and by two others
    assert_eq!(count["no-reply"], 3, "{count:?}");
    assert_eq!(count.len(), 2, "{count:?}");
    for id in [
        "unique-ip",
        "shares-net",
        "localhost",
        "reachable",
        "same-port-two-pods",
    ] {
        assert_eq!(verdict(&report, id), true, "{id}");
    }
    // IPv6 was really tried from pod to pod
    assert!(report["cells"].as_array().unwrap().iter().any(|cell| {
        cell["from"] == "whole/ask" && cell["address"].as_str().unwrap().starts_with("fd00:")
    }));
    // loopback is asked by its own pod alone
    let lonely = report["cells"].as_array().unwrap();
    let asks = |port: u64| lonely.iter().filter(|cell| cell["port"] == port).count();
    assert_eq!((asks(90), asks(82)), (1, 1));
    let text = town.check(&[]).ok();
    assert!(text.starts_with("FROM \\ TO"), "{text}");
    assert!(text.contains("5 of 6 claims hold"), "{text}");
    let one = town.check(&["api"]).ok();
    assert!(one.contains("api:80") && !one.contains("web:80"), "{one}");
    town.check(&["nobody"]).fails(4);
    town.check(&["--no-probe"]).fails(2);
}

#[test]
fn what_rules_of_a_firewall_do_is_told_apart() {
    let Some(testbed) = testbed() else { return };
    if !Path::new("/usr/sbin/nft").exists() {
        missing("nft");
        return;
    }
    let mut town = Town::new(&testbed, "rules", 11);
    let listens = [
        "tcp:0.0.0.0:80",
        "tcp:0.0.0.0:81",
        "tcp:0.0.0.0:82",
        "tcp:0.0.0.0:83",
        "udp:0.0.0.0:84",
        "udp:0.0.0.0:85",
    ];
    town.pod("web", &listens, &[]);
    town.pod("ask", &[], &[]);
    town.pod("two", &[], &[]);
    let rules = "table inet town {\nchain i {\ntype filter hook input priority 0;
        iif lo accept
        tcp dport 80 drop
        tcp dport 81 reject with tcp reset
        tcp dport 82 reject with icmp host-unreachable
        udp dport 84 drop
        udp dport 85 reject with icmp port-unreachable\n}\n}\n";
    town.inside("web", &["nft", rules]);
    let report = town.report(false);
    let count = town.agrees(&report);
    for (outcome, times) in [
        ("timeout", 2),
        ("refused", 4),
        ("unreachable", 2),
        ("no-reply", 2),
    ] {
        assert_eq!(count[outcome], times, "{count:?}");
    }
    assert_eq!(
        codes(&report),
        ["timeout", "refused", "unreachable", "no-reply", "refused"]
    );
    assert_eq!(verdict(&report, "reachable"), false);
    assert_eq!(verdict(&report, "localhost"), true);
    for finding in report["findings"].as_array().unwrap() {
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains("2 of 2 other pods"), "{message}");
        assert!(!finding["evidence"].as_array().unwrap().is_empty());
        assert!(finding["hint"].is_string());
    }
    let text = town.check(&[]);
    assert!(text.stdout.contains("FAILS: every pod reaches"), "{text}");
    assert!(
        text.stderr.contains("promises are broken: 5 findings"),
        "{text}"
    );
}

#[test]
fn a_frozen_program_is_told_from_one_that_answers() {
    let Some(testbed) = testbed() else { return };
    let mut town = Town::new(&testbed, "frozen", 12);
    town.pod("web", &["tcp:0.0.0.0:80", "udp:0.0.0.0:81"], &[]);
    town.pod("ask", &[], &[]);
    town.report(true);
    let app = town.app("web").to_owned();
    let freezes = [["pause", "unpause"], ["kill -s STOP", "kill -s CONT"]];
    for [freeze, thaw] in freezes {
        let act = |verb: &str| {
            let mut words: Vec<&str> = verb.split(' ').collect();
            words.push(&app);
            town.docker(&words);
        };
        act(freeze);
        let report = town.report(false);
        assert_eq!(codes(&report), ["frozen", "frozen"], "{freeze}");
        let cells = report["cells"].as_array().unwrap();
        assert!(cells.iter().all(|cell| cell["outcome"] == "frozen"));
        act(thaw);
    }
    town.report(true);
}

#[test]
fn a_promise_that_the_pods_themselves_break_is_found() {
    let Some(testbed) = testbed() else { return };
    let mut town = Town::new(&testbed, "broken", 13);
    let declares = r#"--label=annotation.io.kubernetes.container.ports=[{"containerPort":90,"protocol":"TCP"}]"#;
    town.pod("web", &["tcp:0.0.0.0:80", "tcp:127.0.0.1:90"], &[declares]);
    town.pod("ask", &[], &[]);
    assert_eq!(codes(&town.report(false)), ["loopback-only"]);
    drop(town);

    let mut town = Town::new(&testbed, "twins", 14);
    town.pod("one", &["tcp:0.0.0.0:80"], &[]);
    town.pod("two", &["tcp:0.0.0.0:80"], &[]);
    town.report(true);
    for pod in ["one", "two"] {
        town.inside(
            pod,
            &["ip", "address", "add", "10.99.0.9/32", "dev", "eth0"],
        );
    }
    let report = town.report(false);
    assert!(codes(&report).contains(&"duplicate-ip"), "{report:#}");
    assert_eq!(verdict(&report, "unique-ip"), false);
    drop(town);

    let mut town = Town::new(&testbed, "split", 15);
    town.pod("web", &["tcp:0.0.0.0:80"], &[]);
    town.pod("ask", &["tcp:0.0.0.0:80"], &[]);
    town.report(true);
    let sandbox = town.pods["web"].sandbox.clone();
    town.docker(&["restart", "-t", "0", &sandbox]);
    let report = town.report(false);
    let found: BTreeSet<&str> = codes(&report).into_iter().collect();
    assert!(found.contains("split-pod"), "{report:#}");
    assert!(found.contains("refused"), "{report:#}");
    assert_eq!(verdict(&report, "shares-net"), false);
    let split = report["findings"].as_array().unwrap();
    let split = split.iter().find(|one| one["code"] == "split-pod").unwrap();
    assert_eq!(split["evidence"].as_array().unwrap().len(), 2, "{split:#}");
    // a pod by itself, whose only fault is another's, is content
    assert_eq!(town.check(&["ask"]).code, 0);
}

#[test]
fn each_pod_asks_the_resolver_of_its_own_resolv_conf() {
    let Some(testbed) = testbed() else { return };
    let mut town = Town::new(&testbed, "names", 16);
    town.pod("dns", &["dns:0.0.0.0:53"], &[]);
    town.pod("ask", &[], &[]);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let server = town.docker(&["inspect", "-f", format, &town.pods["dns"].sandbox]);
    // as cri-dockerd does it: into the file that the engine mounts
    let resolve = |pod: &str, server: &str| {
        let sandbox = &town.pods[pod].sandbox;
        let path = town.docker(&["inspect", "-f", "{{.ResolvConfPath}}", sandbox]);
        let text = format!("nameserver {server}\nsearch names.svc.test svc.test test\n");
        std::fs::write(path.trim(), text).unwrap();
    };
    resolve("ask", server.trim());
    let report = town.report(true);
    assert_eq!(verdict(&report, "dns"), true);
    let dns = report["dns"].as_array().unwrap();
    let ours = dns.iter().find(|one| one["pod"] == "names/ask").unwrap();
    assert_eq!(ours["server"], server.trim());
    assert_eq!(ours["name"], "kubernetes.default.svc.test");
    assert_eq!(
        (&ours["outcome"], &ours["code"]),
        (&"ok".into(), &"NOERROR".into())
    );
    assert!(ours["ms"].is_number());
    // nobody listens there
    resolve("ask", "172.31.16.1");
    let report = town.report(false);
    assert_eq!(codes(&report), ["dns"]);
    assert_eq!(verdict(&report, "dns"), false);
}

#[test]
fn a_check_that_is_stopped_leaves_nothing_and_its_probes_have_no_power() {
    let Some(testbed) = testbed() else { return };
    let mut town = Town::new(&testbed, "stopped", 17);
    town.pod("web", &["tcp:0.0.0.0:80"], &[]);
    town.pod("ask", &[], &[]);
    // no answer: the probe has to wait, and this test can look at it
    town.inside(
        "web",
        &[
            "nft",
            "table inet t {\nchain i {\ntype filter hook input priority 0;\ntcp dport 80 drop\n}\n}\n",
        ],
    );
    let probes = |states: &[&str]| -> Vec<String> {
        let mut all = vec![
            "ps",
            "-aq",
            "--no-trunc",
            "-f",
            "label=dev.devnet.role=probe",
        ];
        for state in states {
            all.extend(["-f", state]);
        }
        let ids = town.docker(&all);
        let ours = |id: &&str| {
            let mode = docker(
                &testbed,
                "node",
                &["inspect", "-f", "{{.HostConfig.NetworkMode}}", id],
            );
            // it may be gone between the two questions
            town.pods
                .values()
                .any(|pod| mode.stdout.contains(&pod.sandbox))
        };
        ids.lines().filter(ours).map(str::to_owned).collect()
    };
    for signal in ["INT", "KILL"] {
        let arguments = town.arguments();
        let sandbox = Sandbox::bare();
        let mut child = sandbox
            .devnet_command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("it asks", || {
            let ended = child.try_wait().unwrap().is_some();
            let asks = !probes(&["status=running"]).is_empty();
            assert!(asks || !ended, "it ended before it asked");
            asks
        });
        let probe = probes(&["status=running"]).remove(0);
        let seen = docker(&testbed, "node", &["inspect", &probe]);
        let kill = format!("kill -{signal} {}", child.id());
        Output::of(sandbox.command("sh").args(["-c", &kill])).ok();
        let code = child.wait().unwrap().code();
        let seen: Value = serde_json::from_str(&seen.ok()).unwrap();
        let host = &seen[0]["HostConfig"];
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["CapAdd"], Value::Null);
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!(host["PidMode"], "");
        assert_eq!(seen[0]["Config"]["User"], "65534:65534");
        assert_eq!(seen[0]["Config"]["Labels"]["dev.devnet.role"], "probe");
        if signal == "INT" {
            assert_eq!(code, Some(130));
            assert_eq!(probes(&[]), Vec::<String>::new());
        } else {
            until("the probe ends", || probes(&["status=running"]).is_empty());
        }
    }
}
