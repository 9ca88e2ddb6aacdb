//! Promises that hold on every runtime, on an engine with Docker, on a node with containerd and on one
//! with cri-o: the same test for all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::test_pod::{Script, TestNode};
use crate::support::{ended, testbed};

const SERVE: &str = "exec busybox httpd -f -p";

#[test]
fn a_container_whose_sandbox_died_is_an_orphan() {
    for node in TestNode::all() {
        let pod = node.pod("any-orphan", &[Script::idle("app")]);
        pod.finds(&[]);
        pod.kill_sandbox();
        let seen = pod.finds(&["orphan-container"]);
        assert_eq!(seen["state"], "degraded", "{}", node.runtime());
        let container = &seen["containers"][0];
        assert_eq!(container["namespaces"]["net"], pod.inode("app", "net"));
        assert_eq!(
            seen["findings"][0]["subjects"],
            json!([pod.id("app"), pod.sandbox_id()])
        );
    }
}

#[test]
fn two_sandboxes_that_run_for_one_pod_are_one_too_many() {
    for node in TestNode::all() {
        let pod = node.pod("any-twice", &[Script::idle("app")]);
        let old = pod.sandbox_id();
        pod.finds(&[]);
        let new = pod.make_second_sandbox();
        let seen = pod.finds(&["duplicate-sandbox"]);
        assert_eq!(seen["findings"][0]["subjects"], json!([new, old]));
        assert_eq!(seen["state"], "degraded", "{}", node.runtime());
    }
}

#[test]
fn an_address_that_two_pods_have_is_told_once_with_both() {
    for node in TestNode::all() {
        let pods = ["any-same-one", "any-same-other"];
        let [one, other] = pods.map(|name| node.pod(name, &[Script::idle("app")]));
        one.give_address("app", "10.99.1.7/32");
        other.give_address("app", "10.99.1.8/32");
        let seen = one.finds(&[]);
        let ips = seen["ips"].as_array().unwrap();
        assert!(ips.contains(&json!("10.99.1.7")), "{seen:#}");
        other.give_address("app", "10.99.1.7/32");
        one.finds(&["duplicate-ip"]);
        let document = other.document();
        let findings = document["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{document:#}");
        let subjects = json!([one.sandbox_id(), other.sandbox_id()]);
        assert_eq!(findings[0]["subjects"], subjects);
        let message = findings[0]["message"].as_str().unwrap();
        assert!(message.contains("10.99.1.7 "), "{message}");
    }
}

#[test]
fn a_container_that_left_the_network_it_is_said_to_share_splits_its_pod() {
    let leaves = Script::new("app", "exec busybox unshare -n busybox sleep 3600");
    let scripts = [leaves.capability("SYS_ADMIN"), Script::idle("stays")];
    for node in TestNode::all() {
        let pod = node.pod("any-split", &scripts);
        crate::support::until("it has left", || {
            pod.inode("app", "net") != pod.inode("stays", "net")
        });
        let seen = pod.finds(&["split-pod"]);
        assert_eq!(seen["state"], "degraded", "{}", node.runtime());
        let message = seen["findings"][0]["message"].as_str().unwrap();
        for container in ["app", "stays"] {
            let inode = pod.inode(container, "net").to_string();
            assert!(message.contains(&inode), "{message}");
        }
        let shares = |name: &str| {
            let all = seen["containers"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap()["shares"]["net"].clone()
        };
        assert_eq!(
            (shares("app"), shares("stays")),
            (json!(false), json!(true))
        );
    }
}

#[test]
fn a_container_whose_users_are_its_own_is_shown_with_them() {
    let apart = Script::new("app", "exec busybox unshare -U busybox sleep 3600");
    let scripts = [apart.capability("SYS_ADMIN"), Script::idle("stays")];
    for node in TestNode::all() {
        let pod = node.pod("any-users", &scripts);
        crate::support::until("it has users of its own", || {
            pod.inode("app", "user") != pod.inode("stays", "user")
        });
        let seen = pod.finds(&[]);
        for container in seen["containers"].as_array().unwrap() {
            let inode = pod.inode(container["name"].as_str().unwrap(), "user");
            assert_eq!(container["namespaces"]["user"], inode, "{}", node.runtime());
        }
        assert_eq!(
            seen["sandbox"]["namespaces"]["user"],
            pod.inode("stays", "user")
        );
    }
}

#[test]
fn a_frozen_container_is_told_whoever_froze_it() {
    for node in TestNode::all() {
        let pod = node.pod("any-frozen", &[Script::idle("app")]);
        // cri-o does not know what its OCI runtime froze
        if node.runtime() != "cri-o" {
            pod.freeze("app", true);
            let seen = pod.finds(&["frozen"]);
            assert_eq!(seen["state"], "paused", "{}", node.runtime());
            pod.freeze("app", false);
            pod.finds(&[]);
        }
        // by a signal: the runtime says that it runs
        pod.signal("app", "STOP");
        let seen = pod.finds(&["frozen"]);
        assert_eq!(seen["containers"][0]["state"], "running");
        pod.signal("app", "CONT");
        pod.finds(&[]);
    }
}

/// A script that serves a port once another process has it.
fn too_late(name: &'static str, port: u16) -> Script {
    let tables = "/proc/net/tcp /proc/net/tcp6";
    let wait = format!("until busybox grep -q ':{port:04X} .* 0A ' {tables}; do :; done");
    Script::new(name, &format!("{wait}; {SERVE} {port}"))
}

#[test]
fn the_loser_of_a_port_is_told_with_the_ports_holder() {
    for node in TestNode::all() {
        let holder = Script::new("holder", &format!("{SERVE} 8080"));
        let pod = node.pod("any-conflict", &[holder, too_late("loser", 8080)]);
        pod.until_ended("loser");
        let seen = pod.finds(&["port-conflict"]);
        let finding = &seen["findings"][0];
        assert_eq!(
            finding["subjects"],
            json!([pod.id("holder"), pod.id("loser")])
        );
        let message = finding["message"].as_str().unwrap();
        assert!(message.starts_with("8080 is held by `holder`"), "{message}");
    }
}

#[test]
fn the_loser_of_a_port_of_the_node_is_told_whose_pod_holds_it() {
    for node in TestNode::all() {
        let holder = Script::new("web", &format!("{SERVE} 47311"));
        let holds = node.pod_of_host("any-holds", &[holder]);
        let loses = node.pod_of_host("any-loses", &[too_late("late", 47311)]);
        loses.until_ended("late");
        let seen = loses.finds(&["port-conflict"]);
        let finding = &seen["findings"][0];
        assert_eq!(
            finding["subjects"],
            json!([holds.id("web"), loses.id("late")])
        );
        let message = finding["message"].as_str().unwrap();
        let said = "47311 is held by `web` of default/any-holds (busybox ";
        assert!(message.starts_with(said), "{message}");
        holds.finds(&[]);
    }
}

#[test]
fn a_declared_port_that_listens_on_loopback_alone_is_told_and_any_other_is_not() {
    for node in TestNode::all() {
        let serve = format!("{SERVE} 127.0.0.1:9090");
        let declared = node.pod("any-declared", &[Script::new("app", &serve).port(9090)]);
        let silent = node.pod("any-silent", &[Script::new("app", &serve)]);
        for pod in [&declared, &silent] {
            pod.until_it_listens("app", 9090);
        }
        silent.finds(&[]);
        let seen = declared.finds(&["loopback-only"]);
        assert_eq!(seen["findings"][0]["severity"], "info");
        assert_eq!(seen["findings"][0]["subjects"], json!([declared.id("app")]));
        assert_eq!(seen["state"], "running", "{}", node.runtime());
    }
}

#[test]
fn a_container_that_ends_again_and_again_is_a_crash_loop_from_its_third_restart_on() {
    for node in TestNode::all() {
        let crashes = Script::new("app", "exit 3");
        let pod = node.pod("any-crashes", &[crashes, Script::idle("other")]);
        for _restart in 0..2 {
            pod.until_ended("app");
            pod.again("app");
        }
        pod.until_ended("app");
        pod.finds(&[]);
        pod.again("app");
        pod.until_ended("app");
        let seen = pod.finds(&["crash-loop"]);
        assert_eq!(seen["findings"][0]["subjects"], json!([pod.id("app")]));
        let message = seen["findings"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("3 times") && message.contains("exit 3"),
            "{message}"
        );
    }
}

#[test]
fn a_killed_container_and_its_next_attempt_are_one_restart_and_no_finding() {
    for node in TestNode::all() {
        let pod = node.pod("any-killed", &[Script::idle("app")]);
        let before = pod.finds(&[]);
        let first = pod.id("app");
        pod.signal("app", "KILL");
        pod.until_ended("app");
        let seen = pod.finds(&[]);
        assert_eq!(seen["state"], "degraded", "{}", node.runtime());
        assert_eq!(seen["containers"][0]["exit_code"], 137);
        pod.again("app");
        let seen = pod.finds(&[]);
        assert_eq!(seen["state"], "running", "{}", node.runtime());
        let container = &seen["containers"][0];
        assert_eq!(container["id"], pod.id("app"));
        assert_eq!(container["restarts"], 1);
        assert_eq!(container["shares"]["net"], true);
        assert_eq!(seen["containers_before"][0]["id"], first);
        assert_eq!(seen["sandbox"]["id"], pod.sandbox_id());
        assert_eq!(
            seen["sandbox"]["netns"]["inode"],
            before["sandbox"]["netns"]["inode"]
        );
        assert_eq!(seen["ips"], before["ips"]);
        assert_eq!(container["namespaces"]["net"], pod.inode("app", "net"));
    }
}

/// Listens on a port that others may take too, and on others; waits.
const LISTEN: &str = r#"exec /usr/bin/perl -e '
use Socket qw(:all); $| = 1;
sub l { my ($f, $t, $at) = @_; socket(my $s, $f, $t, 0) or die $!; setsockopt($s, SOL_SOCKET, SO_REUSEPORT, 1);
  setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $f == AF_INET6; bind($s, $at) or die $!; listen($s, 5) if $t == SOCK_STREAM; $s }
my @keep = l(AF_INET, SOCK_STREAM, pack_sockaddr_in(7005, INADDR_ANY));
push @keep, l(AF_INET, SOCK_DGRAM, pack_sockaddr_in(7003, INADDR_ANY)), l(AF_INET, SOCK_STREAM, pack_sockaddr_in(7004, INADDR_LOOPBACK)) if $ARGV[0];
push @keep, l(AF_INET6, SOCK_STREAM, pack_sockaddr_in6(7006, IN6ADDR_ANY)) if $ARGV[0] && -e "/proc/net/if_inet6";
print "open\n"; sleep 3600' "#;

#[test]
fn every_listener_has_the_owners_that_ss_names_and_one_port_of_two_containers_is_told() {
    for node in TestNode::all() {
        let scripts = [("first", "1"), ("second", "")]
            .map(|(name, how)| Script::new(name, &format!("{LISTEN}{how}")).with_programs());
        let pod = node.pod("any-listeners", &scripts);
        for name in ["first", "second"] {
            pod.until_it_says(name, "open");
        }
        let seen = pod.finds(&["shared-listener"]);
        assert_eq!(
            seen["findings"][0]["subjects"],
            json!([pod.id("first"), pod.id("second")])
        );
        let mut ours: BTreeMap<u64, (String, u64, BTreeSet<u64>)> = BTreeMap::new();
        for socket in seen["sockets"].as_array().unwrap() {
            if !matches!(socket["state"].as_str().unwrap(), "LISTEN" | "UNCONN") {
                continue;
            }
            let owners = socket["owners"].as_array().unwrap();
            let pids = owners.iter().map(|owner| owner["pid"].as_u64().unwrap());
            let place = format!("{}/{}", socket["proto"].as_str().unwrap(), socket["port"]);
            let family = socket["family"].as_u64().unwrap();
            ours.insert(
                socket["inode"].as_u64().unwrap(),
                (place, family, pids.collect()),
            );
        }
        let mut theirs: BTreeMap<u64, (String, u64, BTreeSet<u64>)> = BTreeMap::new();
        for (flags, family) in [("-4Htulnpe", 4), ("-6Htulnpe", 6)] {
            for line in pod.in_network("first", &["ss", flags]).lines() {
                let (inode, listener) = parsed(line, family);
                theirs.insert(inode, listener);
            }
        }
        assert!(theirs.len() >= 4, "{theirs:?}");
        assert_eq!(ours, theirs, "{}", node.runtime());
    }
}

/// A line of `ss -Htulnpe`.
fn parsed(line: &str, family: u64) -> (u64, (String, u64, BTreeSet<u64>)) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = fields[4].rsplit_once(':').unwrap().1;
    let number = |after: &str| {
        let rest = line.split(after).nth(1).unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap()
    };
    let pids = line.split("pid=").skip(1).map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap()
    });
    (
        number("ino:"),
        (format!("{}/{port}", fields[0]), family, pids.collect()),
    )
}

#[test]
fn a_command_has_its_streams_its_code_and_its_place() {
    for node in TestNode::all() {
        let pod = node.pod("any-worked", &[Script::idle("app")]);
        let exec = |flags: &[&str], command: &[&str]| {
            pod.devnet(&[&["exec"], flags, &["any-worked", "--"], command].concat())
        };
        let script = "echo out; echo err >&2; exit 7";
        let run = exec(&[], &["/bin/busybox", "sh", "-c", script]);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (7, "out\n"),
            "{}",
            node.runtime()
        );
        assert!(run.stderr.contains("err\n"), "{run}");
        assert_eq!(exec(&[], &["no-such-program"]).code, 127);
        assert_eq!(exec(&[], &["/etc"]).code, 126);
        let flags = ["-e", "A=b c", "-w", "/tmp", "-u", "12:34"];
        let script = "echo $A $PWD; busybox id -u; busybox id -g";
        let run = exec(&flags, &["/bin/busybox", "sh", "-c", script]);
        assert_eq!(run.ok(), "b c /tmp\n12\n34\n");
        let sandbox = pod.sandbox();
        let words = ["exec", "-i", "any-worked", "--", "/bin/busybox", "wc", "-c"];
        let mut wc = pod.command(&sandbox, &words);
        let wc = wc.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut wc = wc.spawn().unwrap();
        let mut input = wc.stdin.take().unwrap();
        input.write_all(&vec![b'x'; 1 << 20]).unwrap();
        drop(input);
        assert_eq!(ended(wc).ok().trim(), (1 << 20).to_string());
    }
}

#[test]
fn logs_come_in_time_order_by_range_and_of_the_attempt_before() {
    for node in TestNode::all() {
        let script = "for n in 1 2 3; do echo out $n; done; busybox sleep 0.2; echo err >&2; exec busybox sleep 3600";
        let pod = node.pod("any-said", &[Script::new("talker", script)]);
        pod.until_it_says("talker", "err");
        let logs = |flags: &[&str]| pod.devnet(&[&["logs", "any-said"], flags].concat());
        let all = logs(&[]);
        assert_eq!(all.stdout, "out 1\nout 2\nout 3\nerr\n", "{all}");
        assert_eq!(logs(&["--tail", "2"]).ok(), "out 3\nerr\n");
        let stamped = logs(&["--timestamps"]).ok();
        assert!(
            stamped
                .lines()
                .all(|line| line.starts_with("20") && line.contains("Z ")),
            "{stamped}"
        );
        pod.signal("talker", "KILL");
        pod.until_ended("talker");
        pod.again("talker");
        pod.until_it_says("talker", "err");
        assert_eq!(logs(&["--previous"]).ok(), all.stdout);
        assert_eq!(logs(&[]).ok(), all.stdout);
    }
}

#[test]
fn what_happens_is_told_as_it_happens_and_remembered() {
    for node in TestNode::all() {
        let pod = node.pod("any-watched", &[Script::idle("app")]);
        let sandbox = pod.sandbox();
        let mut watch = pod.command(&sandbox, &["watch", "any-watched"]);
        let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watch = watch.spawn().unwrap();
        let mut said = BufReader::new(watch.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        if line.contains("tells no events") {
            assert_eq!(node.runtime(), "cri-o", "{line}");
            line.clear();
            said.read_line(&mut line).unwrap();
        }
        assert_eq!(line, "watching 1 node\n");
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
        pod.signal("app", "KILL");
        pod.until_ended("app");
        pod.again("app");
        let mut told = Vec::new();
        while !told
            .last()
            .is_some_and(|line: &String| line.contains("app #1") && line.contains("started"))
        {
            told.push(lines.next().expect("it goes on").unwrap());
        }
        assert!(
            told.iter()
                .any(|line| line.contains("app #0") && line.contains("exit 137")),
            "{told:#?}"
        );
        watch.kill().unwrap();
        watch.wait().unwrap();
        let text = pod.devnet_by(&sandbox, &["history", "any-watched"]).ok();
        for words in ["ended exit 137", "app #1"] {
            assert_eq!(text.matches(words).count(), 1, "{text}");
        }
        let events = pod.devnet_by(&sandbox, &["history", "any-watched", "-o", "json"]);
        let events: Value = serde_json::from_str(&events.ok()).unwrap();
        let started = events["pods"][0]["events"].as_array().unwrap().iter();
        let mut started = started.filter(|event| event["event"] == "container-started");
        let last = &started.next_back().unwrap()["restart"];
        assert_eq!(last["netns"], pod.inode("app", "net"), "{last}");
        assert_eq!(last["netns"], last["netns_before"], "{last}");
        assert_eq!(last["same_sandbox"], true, "{last}");
    }
}

#[test]
fn the_graph_shows_the_pod_with_its_containers() {
    for node in TestNode::all() {
        let serve = Script::new("web", &format!("{SERVE} 8080"));
        let pod = node.pod("any-drawn", &[serve, Script::idle("side")]);
        pod.until_it_listens("web", 8080);
        let dot = pod.devnet(&["graph", "any-drawn", "-o", "dot"]).ok();
        for words in ["any-drawn", "web", "side", "8080"] {
            assert!(dot.contains(words), "{}: {dot}", node.runtime());
        }
        let graph = pod.devnet(&["graph", "any-drawn", "-o", "json"]).ok();
        let graph: Value = serde_json::from_str(&graph).unwrap();
        assert!(graph.to_string().contains("any-drawn"), "{graph}");
    }
}

#[test]
fn the_testbed_has_a_node_of_each_runtime() {
    let all: Vec<_> = TestNode::all().into_iter().map(TestNode::runtime).collect();
    let expected: &[&str] = if testbed().is_some() {
        &["docker", "containerd", "cri-o"]
    } else {
        &[]
    };
    assert_eq!(all, expected);
}
