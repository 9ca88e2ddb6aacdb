//! Pods on a real engine, as its kernel sees them: compared with docker, nsenter and ss.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::archive::{Files, Pack, layer};
use crate::support::engines::Engine;
use crate::support::made::{Made, inode};
use crate::support::{Sandbox, busybox_image, docker, testbed};

#[test]
fn a_live_pod_is_what_docker_inspect_and_the_kernel_say() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "facts");
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

/// Listens in every way that has surprised someone; prints a line when all of it is open. `first`
/// hands one of its listeners to `second` through a unix socket, which the pod's network holds.
const LISTENERS: &str = r#"
use Socket qw(:all); use POSIX;
sub l { my ($f, $t, $addr, $reuse, $v6) = @_;
  socket(my $s, $f, $t, 0) or die "socket: $!";
  setsockopt($s, SOL_SOCKET, SO_REUSEPORT, 1) if $reuse;
  setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, $v6) if $f == AF_INET6;
  bind($s, $addr) or die "bind: $!"; if ($t == SOCK_STREAM) { listen($s, 5) or die "listen: $!" } $s }
sub v4 { pack_sockaddr_in($_[0], inet_aton($_[1])) }
sub v6 { pack_sockaddr_in6($_[0], inet_pton(AF_INET6, $_[1])) }
my ($send, $receive) = (POSIX::uname())[4] eq "x86_64" ? (46, 47) : (211, 212);
my $place = pack_sockaddr_un("\0devnet-test"); my ($byte, $iov, $fds, $message);
# sendmsg(2): a message of one byte with one file beside it
sub parcel { $byte = "x"; $iov = pack("P Q", $byte, 1); $fds = pack("Q l l l x4", 20, 1, 1, $_[0]);
  $message = pack("Q L x4 P Q P Q l x4", 0, 0, $iov, 1, $fds, 24, 0) }
my @keep = l(AF_INET, SOCK_STREAM, v4(7005, "0.0.0.0"), 1);
if ($ARGV[0] eq "first") {
  push @keep, l(AF_INET, SOCK_STREAM, v4(7001, "0.0.0.0")), l(AF_INET, SOCK_STREAM, v4(7002, "0.0.0.0")),
    l(AF_INET, SOCK_DGRAM, v4(7003, "0.0.0.0")), l(AF_INET, SOCK_STREAM, v4(7004, "127.0.0.1")),
    l(AF_INET, SOCK_STREAM, v4(7008, "127.0.0.2")), l(AF_INET, SOCK_STREAM, v4(7008, "127.0.0.3"));
  push @keep, l(AF_INET6, SOCK_STREAM, v6(7002, "::"), 0, 1), l(AF_INET6, SOCK_STREAM, v6(7006, "::"), 0, 0),
    l(AF_INET6, SOCK_DGRAM, v6(7003, "::"), 0, 1) if -e "/proc/net/if_inet6";
  for (1, 2) { if (!fork) { sleep 3600; exit } }
  socket(my $door, AF_UNIX, SOCK_STREAM, 0); bind($door, $place) or die "bind: $!"; listen($door, 1);
  print STDERR "door\n"; accept(my $other, $door) or die "accept: $!";
  my $parcel = l(AF_INET, SOCK_STREAM, v4(7007, "0.0.0.0")); push @keep, $parcel; parcel(fileno($parcel));
  syscall($send, fileno($other), $message, 0) == 1 or die "sendmsg: $!";
} else {
  socket(my $door, AF_UNIX, SOCK_STREAM, 0); connect($door, $place) or die "connect: $!";
  parcel(-1); syscall($receive, fileno($door), $message, 0) == 1 or die "recvmsg: $!";
}
$| = 1; print "open\n"; sleep 3600;
"#;

/// Everything that a container needs to run this computer's perl.
fn with_perl() -> Vec<String> {
    ["/usr", "/lib", "/lib64"]
        .map(|folder| format!("-v={folder}:{folder}:ro"))
        .to_vec()
}

#[test]
fn every_listener_has_the_owners_that_ss_names() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "listeners");
    let system = with_perl();
    let flags: Vec<&str> = system.iter().map(String::as_str).collect();
    let perl = ["/usr/bin/perl", "-e", LISTENERS];
    let first = made.add("first", &flags, &[&perl[..], &["first"]].concat());
    made.until_it_says(&first, "door");
    let second = made.add("second", &flags, &[&perl[..], &["second"]].concat());
    for id in [&first, &second] {
        made.until_it_says(id, "open");
    }
    let pod = made.finds(&["shared-listener"]);
    let mut ours = BTreeSet::new();
    for socket in pod["sockets"].as_array().unwrap() {
        if !matches!(socket["state"].as_str().unwrap(), "LISTEN" | "UNCONN") {
            continue;
        }
        let owners = socket["owners"].as_array().unwrap();
        let pids: BTreeSet<u64> = owners.iter().map(|o| o["pid"].as_u64().unwrap()).collect();
        let names: BTreeSet<&str> = owners
            .iter()
            .map(|o| o["container"].as_str().unwrap())
            .collect();
        if socket["port"] == 7007 {
            // handed over: one socket, held in both containers, and no finding
            assert_eq!(names, BTreeSet::from(["first", "second"]));
        }
        ours.insert(Listener {
            proto: socket["proto"].as_str().unwrap().to_owned(),
            family: socket["family"].as_u64().unwrap(),
            address: socket["address"].as_str().unwrap().to_owned(),
            port: socket["port"].as_u64().unwrap(),
            inode: socket["inode"].as_u64().unwrap(),
            pids,
        });
        for owner in owners {
            let name = owner["container"].as_str().unwrap();
            let id = if name == "first" { &first } else { &second };
            let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", owner["pid"])).unwrap();
            assert!(cgroup.contains(id.as_str()), "{owner} {cgroup}");
        }
    }
    let pid = pod["sandbox"]["pid"].to_string();
    let ss = |family: u64| {
        let flags = format!("-{family}Htulnpe");
        let told = crate::support::Output::of(
            Sandbox::bare()
                .command("nsenter")
                .args(["-t", &pid, "-n", "ss", &flags]),
        );
        let told = told.ok();
        told.lines()
            .map(|line| parsed(line, family))
            .collect::<Vec<_>>()
    };
    let theirs: BTreeSet<_> = ss(4).into_iter().chain(ss(6)).collect();
    assert!(theirs.len() >= 8, "{theirs:?}");
    assert_eq!(ours, theirs);
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listener {
    proto: String,
    family: u64,
    address: String,
    port: u64,
    inode: u64,
    pids: BTreeSet<u64>,
}

/// A line of `ss -Htulnpe`.
fn parsed(line: &str, family: u64) -> Listener {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields[4].rsplit_once(':').unwrap();
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let after = |key: &str| {
        line.split(key)
            .skip(1)
            .map(|rest| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u64>().unwrap()
            })
            .collect::<Vec<_>>()
    };
    Listener {
        proto: fields[0].into(),
        family,
        // a socket of both families is shown as `*`
        address: if address == "*" { "::" } else { address }.into(),
        port: port.parse().unwrap(),
        inode: after(" ino:")[0],
        pids: after("pid=").into_iter().collect(),
    }
}

#[test]
fn a_range_of_exposed_ports_is_no_more_than_a_pod_or_an_image_may_tell() {
    let Some(testbed) = testbed() else { return };
    // of its own: another test's probe may run from any image of an engine that is shared
    let engine = Engine::start(&testbed, "exposed");
    let other = Engine::start(&testbed, "exposed-other");
    let from = busybox_image(&testbed, &engine.name);
    let name = "devnet-test/calls:latest";
    let made = docker(&testbed, &engine.name, &["create", &from, "/bin/busybox"]).ok();
    let change = [
        "commit",
        "--change",
        "EXPOSE 16384-32768/udp",
        made.trim(),
        name,
    ];
    docker(&testbed, &engine.name, &change).ok();
    docker(&testbed, &engine.name, &["rm", made.trim()]).ok();
    let mut pod = Made::of_image(&testbed, &engine.name, "calls", "none", name.into());
    let speaks = ["/bin/busybox", "sh", "-c", "echo spoken; exec sleep 3600"];
    let app = pod.add("app", &[], &speaks);
    pod.until_it_says(&app, "spoken");
    let host = pod.host();
    let sandbox = Sandbox::bare();
    let devnet = |words: &[&str]| sandbox.devnet(&[&["-H", &host], words].concat()).ok();
    let pods: Value =
        serde_json::from_str(&devnet(&["pods", "-o", "json", "default/calls"])).unwrap();
    assert_eq!(pods["pods"][0]["state"], "running", "{pods:#}");
    assert_eq!(
        devnet(&["exec", "calls", "--", "/bin/busybox", "echo", "so"]),
        "so\n"
    );
    assert!(devnet(&["logs", "calls", "app"]).contains("spoken"));
    assert!(devnet(&["history", "calls"]).contains("calls"));
    assert!(devnet(&["images"]).contains("devnet-test/calls"));
    // who sends layers asks for those of every image
    let archive = sandbox.home().join("small.tar");
    let files = Files::oci(
        "devnet-test/small:latest",
        &[layer(&[("a", b"b")])],
        Pack::Plain,
    );
    std::fs::write(archive, files.tar()).unwrap();
    devnet(&["load", "./small.tar"]);
    // and an archive's configuration may tell as much
    let saved = sandbox.home().join("calls.tar").display().to_string();
    docker(&testbed, &engine.name, &["save", "-o", &saved, name]).ok();
    sandbox.devnet(&["-H", &other.url(), "load", &saved]).ok();
    drop(pod);
}
