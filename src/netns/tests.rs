//! Tests of how processes, namespaces and pods are joined.

use super::*;
use crate::pod::{ContainerFacts, Join, Node, PlainContainers, Pod, pods};

const SANDBOX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const APP: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn facts() -> Vec<ContainerFacts> {
    let one = |id: &str, container: &str, pid: u32, sandbox: &str| ContainerFacts {
        id: id.into(),
        state: "running".into(),
        pid: Some(pid),
        created_at: Some(format!("2026-01-01T00:00:{pid}Z")),
        ..ContainerFacts::of_kubelet(container, "default/web/uid", 0, sandbox)
    };
    vec![one(SANDBOX, "POD", 10, ""), one(APP, "app", 20, SANDBOX)]
}

const MARKS: RuntimeMarks = RuntimeMarks {
    programs: &["runtimed"],
    resolver: None,
    is_own_netns: |path| path.ends_with("/own"),
};

fn process(pid: u32, parent: u32, containers: &str, net: u64, mnt: u64, sockets: &str) -> String {
    format!(
        r#"{{"pid":{pid},"parent":{parent},"state":"S","command":"c{pid}","containers":[{containers}],
        "namespaces":{{"net":{net},"ipc":5,"uts":{pid},"pid":{pid},"mnt":{mnt},"user":1}},"sockets":{sockets}}}"#
    )
}

const LISTENER: &str = r#"{"proto":"tcp","family":4,"address":"0.0.0.0","port":80,"remote":null,"state":"LISTEN","inode":77}"#;

fn joined(processes: &[String], pinned: &str) -> (Pod, Vec<crate::finding::Finding>) {
    let text = format!(
        r#"{{"schema":1,"processes":[{}],"networks":[{{"inode":100,"addresses":["10.0.0.9"],"primary":[],"sockets":[{LISTENER}]}}],"pinned":[{pinned}]}}"#,
        processes.join(",")
    );
    let view = read_look(&text).unwrap();
    let facts = facts();
    let mut pods = pods("n", &facts, PlainContainers::Hide);
    let leaks = join(&mut pods, &mut Node::default(), &view, &facts, MARKS);
    (pods.remove(0), leaks)
}

fn id(of: &str) -> String {
    format!("\"{of}\"")
}

#[test]
fn a_socket_belongs_to_the_container_of_every_process_that_holds_it() {
    let (pod, _) = joined(
        &[
            process(10, 1, &id(SANDBOX), 100, 1, "[]"),
            process(20, 1, &id(APP), 100, 2, "[77]"),
            process(21, 20, &id(APP), 100, 2, "[77]"),
        ],
        "",
    );
    let sockets = pod.sockets.unwrap();
    let owners: Vec<u32> = sockets[0].owners.iter().map(|owner| owner.pid).collect();
    assert_eq!(owners, [20, 21]);
    assert!(
        sockets[0]
            .owners
            .iter()
            .all(|o| o.container.as_deref() == Some("app"))
    );
    assert_eq!(pod.ips, ["10.0.0.9"]);
    assert_eq!(pod.containers[0].shares.net, Some(true));
    assert_eq!(pod.containers[0].shares.uts, Some(false));
}

#[test]
fn without_cgroups_the_mount_namespace_and_the_parent_tell_the_container() {
    let (pod, _) = joined(
        &[
            process(10, 1, "", 100, 1, "[]"),
            process(20, 1, "", 100, 2, "[]"),
            process(21, 1, "", 100, 2, "[77]"),
            process(22, 21, "", 100, 3, "[77]"),
        ],
        "",
    );
    let sockets = pod.sockets.unwrap();
    assert_eq!(sockets[0].owners.len(), 2);
    assert!(
        sockets[0]
            .owners
            .iter()
            .all(|o| o.container.as_deref() == Some("app"))
    );
}

#[test]
fn a_pid_that_is_another_containers_by_now_proves_nothing() {
    let (pod, _) = joined(
        &[
            process(10, 1, &id(SANDBOX), 100, 1, "[]"),
            process(20, 1, &id(&"c".repeat(64)), 555, 2, "[]"),
        ],
        "",
    );
    assert_eq!(pod.containers[0].namespaces, None);
    assert_eq!(pod.containers[0].shares.net, None);
}

#[test]
fn only_an_old_namespace_that_nobody_is_in_is_leaked() {
    let processes = [process(10, 1, &id(SANDBOX), 100, 1, "[]")];
    let codes = |pinned: &str| joined(&processes, pinned).1.len();
    let pin = |inode: u64, path: &str, age: u64| {
        format!(r#"{{"kind":"net","inode":{inode},"path":"{path}","age":{age}}}"#)
    };
    assert_eq!(codes(&pin(900, "/run/netns/0123456789ab", 61)), 1);
    assert_eq!(codes(&pin(900, "/run/netns/0123456789ab", 60)), 0, "young");
    assert_eq!(
        codes(&pin(100, "/run/netns/0123456789ab", 999)),
        0,
        "in use"
    );
    assert_eq!(codes(&pin(900, "/run/netns/own", 999)), 0, "the node's own");
    let of_messages = pin(900, "/run/ipcns/0123456789ab", 999).replace("net", "ipc");
    assert_eq!(codes(&of_messages), 0, "another kind");
    assert_eq!(
        codes(r#"{"kind":"net","inode":900,"path":"/run/x","age":null}"#),
        0,
        "unknown age"
    );
}

/// A sandbox whose namespaces files pin, and its app, which joins them; joined with what is pinned.
fn without_a_process(change: impl Fn(&mut ContainerFacts), pinned: &str) -> (Pod, usize) {
    let processes = [process(20, 1, &id(APP), 100, 2, "[77]")];
    let text = format!(
        r#"{{"schema":1,"processes":[{}],"networks":[{{"inode":100,"addresses":["10.0.0.9"],"primary":[],"sockets":[{LISTENER}]}}],"pinned":[{pinned}]}}"#,
        processes.join(",")
    );
    let view = read_look(&text).unwrap();
    let mut facts = facts();
    facts[0].pid = None;
    facts[0].netns_path = Some("/var/run/netns/a".into());
    facts[0].joins.network = Join::Path("/var/run/netns/a".into());
    facts[0].joins.ipc = Join::Path("/var/run/ipcns/a".into());
    facts[0].joins.uts = Join::Path("/var/run/utsns/a".into());
    change(&mut facts[0]);
    let mut pods = pods("n", &facts, PlainContainers::Hide);
    let leaks = join(&mut pods, &mut Node::default(), &view, &facts, MARKS);
    (pods.remove(0), leaks.len())
}

#[test]
fn a_sandbox_without_a_process_is_what_files_pin_and_no_leak() {
    let pin = |kind: &str, inode: u64| {
        format!(r#"{{"kind":"{kind}","inode":{inode},"path":"/run/{kind}ns/a","age":999}}"#)
    };
    let pinned = [pin("net", 100), pin("ipc", 5), pin("uts", 8)].join(",");
    let (pod, leaks) = without_a_process(|_| {}, &pinned);
    let sandbox = pod.sandbox.as_ref().unwrap();
    assert_eq!((sandbox.pid, sandbox.netns.inode), (None, Some(100)));
    assert_eq!(sandbox.netns.path.as_deref(), Some("/var/run/netns/a"));
    assert_eq!(pod.ips, ["10.0.0.9"]);
    let shares = &pod.containers[0].shares;
    assert_eq!((shares.net, shares.ipc), (Some(true), Some(true)));
    assert_eq!((shares.uts, shares.pid), (Some(false), None));
    assert_eq!(leaks, 0);
    // where all its containers have ended too, the file is all that holds it
    let alone = [pin("net", 900), pin("ipc", 901)].join(",");
    let (pod, leaks) = without_a_process(|_| {}, &alone);
    assert_eq!(pod.sandbox.unwrap().netns.inode, Some(900));
    assert_eq!(pod.containers[0].shares.net, Some(false));
    assert_eq!(leaks, 0);
    // a mount that is gone holds nothing
    let (pod, _) = without_a_process(|_| {}, "");
    assert_eq!(pod.sandbox.unwrap().netns.inode, None);
    let ended = |facts: &mut ContainerFacts| facts.state = "exited".into();
    let (pod, _) = without_a_process(ended, &pinned);
    assert_eq!(pod.sandbox.and_then(|sandbox| sandbox.netns.inode), None);
}

#[test]
fn an_answer_that_is_cut_off_or_of_another_version_is_refused() {
    assert!(read_look(r#"{"schema":1,"processes":["#).is_err());
    let other = r#"{"schema":2,"processes":[],"networks":[],"pinned":[]}"#;
    assert!(read_look(other).is_err());
}

#[test]
fn who_lost_a_port_may_have_done_so_any_number_of_times() {
    let processes = [process(20, 1, &id(APP), 100, 1, "[77]")];
    let (mut pod, _) = joined(&processes, "");
    let mut loser = pod.containers[0].clone();
    loser.name = "loser".into();
    loser.restarts = Some(u32::MAX);
    pod.containers.push(loser.clone());
    let nobody = Neighbours {
        pods: &[],
        strangers: &[],
    };
    let log = "bind 0.0.0.0:80: address already in use";
    let finding = conflict(&pod, &loser, &ContainerFacts::default(), log, nobody).unwrap();
    assert!(
        finding.message.contains("`loser` failed 4294967295 times"),
        "{}",
        finding.message
    );
}
