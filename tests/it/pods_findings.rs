//! Pods on a real engine, broken in every way that has a finding: each is found in one look, with
//! its evidence, and nothing else is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::made::{Made, found, inode, tool};
use crate::support::rewriting::Rewriting;
use crate::support::{Sandbox, testbed, until};

#[test]
fn a_sandbox_that_was_restarted_alone_splits_its_pod() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "split");
    let app = made.add_sleeper("app");
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
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "orphan");
    made.add_sleeper("app");
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
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "frozen");
    let app = made.add_sleeper("app");
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
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "conflict");
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
    until("the port is open", open);
    let loser = made.add("loser", &[], &["/bin/busybox", "httpd", "-f", "-p", "8080"]);
    made.docker(&["wait", &loser]);
    let pod = made.finds(&["port-conflict"]);
    assert_eq!(pod["findings"][0]["subjects"], json!([holder, loser]));
    assert!(
        pod["findings"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("8080 is held by `holder`")
    );
}

#[test]
fn who_loses_a_port_of_the_node_is_told_whose_pod_holds_it() {
    let Some(testbed) = testbed() else { return };
    let serve = ["/bin/busybox", "httpd", "-f", "-p", "47211"];
    let mut holds = Made::with_network(&testbed, "host-holds", "host");
    let holder = holds.add("web", &[], &serve);
    until_it_listens(&holds, &holder, 47211);
    let mut loses = Made::with_network(&testbed, "host-loses", "host");
    let loser = loses.add("late", &[], &serve);
    loses.docker(&["wait", &loser]);
    let pod = loses.finds(&["port-conflict"]);
    assert_eq!(pod["findings"][0]["subjects"], json!([holder, loser]));
    let message = pod["findings"][0]["message"].as_str().unwrap();
    let said = "47211 is held by `web` of default/host-holds (busybox ";
    assert!(message.starts_with(said), "{message}");
    holds.finds(&[]);
}

#[test]
fn of_a_split_pod_those_that_rejoined_and_those_that_stayed_are_told_apart() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "halves");
    let old = made.add_sleeper("old");
    let new = made.add_sleeper("new");
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    made.docker(&["restart", "-t", "0", &new]);
    let pod = made.finds(&["split-pod"]);
    assert_eq!(
        pod["findings"][0]["subjects"],
        json!([old, made.sandbox.clone()])
    );
    for container in pod["containers"].as_array().unwrap() {
        let joined = container["name"] == "new";
        assert_eq!(container["shares"]["net"], joined);
        let same = inode(&container["pid"], "net") == inode(&pod["sandbox"]["pid"], "net");
        assert_eq!(joined, same);
    }
}

#[test]
fn a_killed_container_and_its_next_attempt_are_no_finding() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "restarted");
    let first = made.add_sleeper("app");
    let before = made.finds(&[]);
    made.docker(&["kill", &first]);
    let pod = made.finds(&[]);
    assert_eq!(pod["state"], "degraded");
    assert_eq!(pod["containers"][0]["exit_code"], 137);
    let second = made.add_attempt("app", 1, &[], &["/bin/busybox", "sleep", "3600"]);
    let pod = made.finds(&[]);
    assert_eq!(pod["state"], "running");
    assert_eq!(pod["containers"][0]["id"], second.as_str());
    assert_eq!(pod["containers"][0]["restarts"], 1);
    assert_eq!(pod["containers_before"][0]["id"], first.as_str());
    assert_eq!(pod["sandbox"]["netns"], before["sandbox"]["netns"]);
    assert_eq!(pod["containers"][0]["shares"]["net"], true);
}

#[test]
fn a_pod_whose_killed_sandbox_was_replaced_is_well_and_remembers_the_one_before() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "replaced");
    let old_app = made.add_sleeper("app");
    let old = made.sandbox.clone();
    made.docker(&["kill", &old]);
    made.finds(&["orphan-container"]);
    // what the kubelet does next: it kills the rest, and begins anew
    made.docker(&["kill", &old_app]);
    made.add_sandbox("none");
    made.add_attempt("app", 1, &[], &["/bin/busybox", "sleep", "3600"]);
    let pod = made.finds(&[]);
    assert_eq!(pod["state"], "running");
    assert_eq!(pod["sandbox"]["attempt"], 1);
    assert_eq!(pod["sandboxes_before"][0]["id"], old.as_str());
    assert_eq!(pod["sandboxes_before"][0]["state"], "exited");
}

#[test]
fn two_sandboxes_that_run_for_one_pod_are_one_too_many() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "twice");
    made.add_sleeper("app");
    let old = made.sandbox.clone();
    let new = made.add_sandbox("none");
    let pod = made.finds(&["duplicate-sandbox"]);
    assert_eq!(pod["findings"][0]["subjects"], json!([new, old]));
    assert_eq!(pod["state"], "degraded");
}

#[test]
fn an_address_that_two_pods_have_is_told_once_with_both() {
    let Some(testbed) = testbed() else { return };
    let mut one = Made::new(&testbed, "same-one");
    let mut other = Made::new(&testbed, "same-other");
    for made in [&mut one, &mut other] {
        made.add_sleeper("app");
        made.finds(&[]);
    }
    one.give_address("10.99.0.7/32");
    other.give_address("10.99.0.8/32");
    assert_eq!(one.finds(&[])["ips"], json!(["10.99.0.7"]));
    other.give_address("10.99.0.7/32");
    let document = one.document();
    assert_eq!(found(&document), ["duplicate-ip"]);
    let finding = &document["findings"][0];
    assert_eq!(
        finding["subjects"],
        json!([one.sandbox.clone(), other.sandbox.clone()])
    );
    assert!(finding["message"].as_str().unwrap().contains("10.99.0.7 "));
}

#[test]
fn a_declared_port_that_listens_on_loopback_alone_is_told() {
    let Some(testbed) = testbed() else { return };
    let ports = r#"--label=annotation.io.kubernetes.container.ports=[{"containerPort":9090,"protocol":"TCP"}]"#;
    let serve = ["/bin/busybox", "httpd", "-f", "-p", "127.0.0.1:9090"];
    let mut declared = Made::new(&testbed, "declared");
    let mut silent = Made::new(&testbed, "undeclared");
    let app = declared.add("app", &[ports], &serve);
    let other = silent.add("app", &[], &serve);
    for (made, id) in [(&declared, &app), (&silent, &other)] {
        until_it_listens(made, id, 9090);
    }
    silent.finds(&[]);
    let pod = declared.finds(&["loopback-only"]);
    assert_eq!(pod["findings"][0]["severity"], "info");
    assert_eq!(pod["findings"][0]["subjects"], json!([app]));
    assert_eq!(pod["state"], "running");
}

#[test]
fn an_address_is_of_a_network_and_not_of_the_pod_whose_sandbox_had_it() {
    let Some(testbed) = testbed() else { return };
    let serve = ["/bin/busybox", "httpd", "-f", "-p", "8080"];
    let mut made = Made::new(&testbed, "moved");
    let stays = made.add("stays", &[], &serve);
    let joins = made.add_sleeper("joins");
    made.give_address("10.99.1.7/32");
    until_it_listens(&made, &stays, 8080);
    let host = made.host();
    let say = |verb: &[&str]| {
        let all = [&["-H", host.as_str()], verb, &["default/moved"]].concat();
        Sandbox::bare().devnet(&all).ok()
    };
    assert!(say(&["inspect"]).contains("pod, cluster"));
    // the page explains its signs with such ports too
    let page = say(&["graph", "-o", "html"]);
    let open = "<strong>stays</strong> running <span class=\"pill\">8080</span>";
    assert!(page.contains(open), "{page}");
    // the new network has no address; the old one is still there, with the one that it had
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    let card = say(&["inspect"]);
    assert!(
        card.contains("none: its network namespace has no address"),
        "{card}"
    );
    assert!(
        card.contains("cluster, at 10.99.1.7") && !card.contains("pod, cluster"),
        "{card}"
    );
    assert!(say(&["ports"]).contains("10.99.1.7"));
    let page = say(&["graph", "-o", "html"]);
    assert!(!page.contains(open), "{page}");
    assert!(
        page.contains("in another network namespace <span class=\"pill own\">8080</span>"),
        "{page}"
    );
    // one port in both parts is no port that is shared
    made.docker(&["rm", "-f", &joins]);
    let other = made.add_attempt("joins", 1, &[], &serve);
    until_it_listens(&made, &other, 8080);
    made.finds(&["split-pod"]);
    let card = say(&["inspect"]);
    assert!(
        card.contains("pod only") && card.contains("cluster, at"),
        "{card}"
    );
}

#[test]
fn what_is_left_of_a_deleted_pod_is_no_pod_and_its_history_is_known() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "deleted");
    let app = made.add_sleeper("app");
    let (sandbox, host) = (Sandbox::bare(), made.host());
    let devnet = |arguments: &[&str]| {
        let all = [&["-H", host.as_str()], arguments].concat();
        sandbox.devnet(&all)
    };
    assert!(
        devnet(&["pods", "-o", "name"])
            .ok()
            .contains("default/deleted\n")
    );
    made.docker(&["kill", &app, &made.sandbox]);
    made.docker(&["rm", &app]);
    let left = devnet(&["pods", "-o", "name"]).ok();
    assert!(!left.contains("default/deleted\n"), "{left}");
    devnet(&["inspect", "default/deleted"]).fails(4);
    let history = devnet(&["history", "default/deleted"]).ok();
    assert!(
        history.contains("sandbox #0") && history.contains("ended exit 137"),
        "{history}"
    );
}

#[test]
fn one_that_was_added_to_look_at_a_pod_makes_it_no_worse() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "looked-at");
    let app = made.add_sleeper("app");
    let pid = format!("--pid=container:{app}");
    let look = made.add("debugger", &[&pid], &["/bin/busybox", "sh", "-c", "exit 9"]);
    made.docker(&["wait", &look]);
    let pod = made.finds(&[]);
    assert_eq!(pod["containers"][1]["kind"], "ephemeral");
    assert_eq!(pod["state"], "running");
}

/// Waits until a port is open in a container's network.
fn until_it_listens(made: &Made<'_>, id: &str, port: u16) {
    let pid = made.pid(id);
    let wanted = format!(":{port:04X} ");
    let open = || {
        ["tcp", "tcp6"].iter().any(|table| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
            text.lines()
                .any(|line| line.contains(&wanted) && line.contains(" 0A "))
        })
    };
    until("the port is open", open);
}

#[test]
fn a_container_that_ends_again_and_again_is_a_crash_loop_from_the_third_restart_on() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "crashes");
    let fails = ["/bin/busybox", "sh", "-c", "exit 3"];
    let second = made.add_attempt("app", 2, &[], &fails);
    made.docker(&["wait", &second]);
    made.finds(&[]);
    let third = made.add_attempt("app", 3, &[], &fails);
    made.docker(&["wait", &third]);
    let pod = made.finds(&["crash-loop"]);
    assert_eq!(pod["findings"][0]["subjects"], json!([third]));
    let message = pod["findings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("3 times") && message.contains("exit 3"),
        "{message}"
    );
    // ten minutes later it is past
    let later = Clock::ahead(&testbed, 601);
    assert!(found(&made.document_by(&later.host())).is_empty());
}

#[test]
fn a_sandbox_without_containers_is_told_after_two_minutes() {
    let Some(testbed) = testbed() else { return };
    let made = Made::new(&testbed, "empty");
    // young: its images may be on their way
    assert_eq!(made.finds(&[])["state"], "pending");
    let later = Clock::ahead(&testbed, 121);
    let document = made.document_by(&later.host());
    assert_eq!(found(&document), ["empty-sandbox"], "{document:#}");
    assert_eq!(
        document["pods"][0]["findings"][0]["subjects"],
        json!([made.sandbox.clone()])
    );
}

#[test]
fn what_has_done_its_work_is_no_finding() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "job");
    let work = made.add("work", &[], &["/bin/busybox", "true"]);
    made.docker(&["wait", &work]);
    made.docker(&["kill", &made.sandbox]);
    let pod = made.finds(&[]);
    assert_eq!(pod["state"], "completed");
    // nor is it one hours later
    let later = Clock::ahead(&testbed, 7200);
    assert!(found(&made.document_by(&later.host())).is_empty());
}

#[test]
fn a_network_that_only_a_mount_keeps_is_leaked_after_a_minute_and_the_nodes_own_never() {
    let Some(testbed) = testbed() else { return };
    // the engine pins the node's own network as soon as a container uses it
    let mut host = Made::with_network(&testbed, "host-network", "host");
    host.add_sleeper("app");
    let pin = Pin::new(&testbed);
    let own = inode(&std::process::id().into(), "net");
    let leaks = |host: &str| -> Vec<Value> {
        let output = Sandbox::bare().devnet(&["-H", host, "pods", "-o", "json"]);
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        let findings = document["findings"].as_array().unwrap().clone();
        findings
            .into_iter()
            .filter(|finding| finding["code"] == "leaked-netns")
            .collect()
    };
    // young: it may be on its way to a container
    assert_eq!(leaks(&host.host()), Vec::<Value>::new());
    // a minute later
    let folder = tempfile::tempdir().unwrap();
    let shifted = Arc::new(Mutex::new(BTreeSet::new()));
    let (seen, pinned) = (shifted.clone(), [pin.inode, own]);
    let engine = testbed.join("node.sock");
    let later = Rewriting::with_streams(folder.path(), engine, move |path, said| {
        let all = said.get_mut("pinned").and_then(Value::as_array_mut);
        for one in all
            .into_iter()
            .flatten()
            .filter(|_| path.ends_with("/attach"))
        {
            let inode = one["inode"].as_u64().unwrap();
            // one that went while it was looked at has no age
            if let (true, Some(age)) = (pinned.contains(&inode), one["age"].as_u64()) {
                one["age"] = Value::from(age + 61);
                seen.lock().unwrap().insert(inode);
            }
        }
    });
    let mut told = Vec::new();
    until("one look sees both networks", || {
        shifted.lock().unwrap().clear();
        told = leaks(&later.url());
        *shifted.lock().unwrap() == BTreeSet::from(pinned)
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["subjects"], json!([pin.path.display().to_string()]));
    assert!(
        told[0]["message"]
            .as_str()
            .unwrap()
            .contains(&pin.inode.to_string()),
        "{told:?}"
    );
}

/// A network namespace that no process is in, kept by a mount; gone with the test.
struct Pin {
    path: std::path::PathBuf,
    inode: u64,
}

impl Pin {
    fn new(testbed: &std::path::Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let path = testbed.join("leaked-netns");
        std::fs::write(&path, "").unwrap();
        let mount = format!("mount --bind /proc/self/ns/net {}", path.display());
        // a mount namespace of its own would keep it from the node
        tool("unshare", &["--net", "sh", "-c", &mount]);
        let inode = std::fs::metadata(&path).unwrap().ino();
        Self { path, inode }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        tool("umount", &[&self.path.display().to_string()]);
    }
}

/// The engine, with a clock that is ahead of itself.
struct Clock {
    _folder: tempfile::TempDir,
    proxy: Rewriting,
}

impl Clock {
    fn ahead(testbed: &std::path::Path, seconds: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy = Rewriting::new(
            folder.path(),
            testbed.join("node.sock"),
            move |path, body| {
                if path.ends_with("/info") {
                    shift_system_time(body, seconds);
                }
            },
        );
        Self {
            _folder: folder,
            proxy,
        }
    }

    fn host(&self) -> String {
        self.proxy.url()
    }
}

/// No crate of the tests reckons with calendars: date(1) does.
fn shift_system_time(info: &mut Value, seconds: i64) {
    let at = format!("now {seconds:+} seconds");
    info["SystemTime"] =
        Value::from(tool("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &at]).trim());
}
