//! The start of the Docker engine that devnet runs on a containerd node: what stands in its way is named,
//! and nothing is half there.

use serde_json::Value;

use crate::support::devnets_engine::{devnet, engine, node, same_traces, traces};
use crate::support::until;

#[test]
fn a_node_whose_engine_can_not_be_started_says_why() {
    let Some(node) = node("old", None, "20.10") else {
        return;
    };
    let before = traces(&node);
    let said = devnet(&node, &["engine", "start"]).fails(3);
    assert!(said.contains("dockerd is 20.10."), "{said}");
    let out = devnet(&node, &["env", "--shell", "bash"]);
    assert_eq!(out.stdout, "false;\n");
    assert!(out.fails(3).contains("dockerd is 20.10."));
    let none = node
        .sandbox()
        .devnet(&["-p", "old-none", "engine", "start"])
        .fails(3);
    assert!(none.contains("this computer's own"), "{none}");
    same_traces(&node, &before);
}

#[test]
fn what_stands_in_its_way_is_named_and_nothing_is_half_there() {
    let Some(node) = node("way", None, "28") else {
        return;
    };
    let before = traces(&node);
    let taken = node.sandbox();
    let address = format!("TCP-LISTEN:2376,bind={},fork", node.own_address());
    let mut other = node.command(&taken, "socat");
    let mut other = other.arg(address).arg("EXEC:true").spawn().unwrap();
    until("the port is taken", || {
        !node.run(&["ss", "-Hltn", "sport = :2376"]).ok().is_empty()
    });
    let said = devnet(&node, &["engine", "start"]).fails(1);
    assert!(
        said.contains(&format!("listens at {}:2376", node.own_address())),
        "{said}"
    );
    // what entered the node's processes is its child
    node.run(&["pkill", "-x", "socat"]).ok();
    other.wait().unwrap();
    until("the port is free", || {
        node.run(&["ss", "-Htan", "sport = :2376"]).ok().is_empty()
    });

    let own = node.path("/etc/docker/server.pem");
    let good = std::fs::read(&own).unwrap();
    let names = format!("IP:{}", node.address());
    for (days, names, why) in [
        ("-1", names.as_str(), "Expired"),
        ("9", "DNS:elsewhere", "not valid for name"),
    ] {
        node.certify(days, names);
        let said = devnet(&node, &["engine", "start"]).fails(3);
        assert!(
            said.contains("minikube start -p way") && said.contains(why),
            "{said}"
        );
        assert_eq!(engine(&node, &["status"])["running"], false);
    }
    std::fs::remove_file(&own).unwrap();
    let said = devnet(&node, &["engine", "start"]).fails(3);
    assert!(
        said.contains("/etc/docker/server.pem") && said.contains("minikube start -p way"),
        "{said}"
    );
    std::fs::write(&own, good).unwrap();
    same_traces(&node, &before);

    // two people at once
    let sandbox = node.sandbox();
    let start = || {
        let mut command = sandbox.devnet_command(&["-p", "way", "engine", "start", "-o", "json"]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let pids = [start(), start()].map(|child| {
        let text = crate::support::ended(child).ok();
        let document: Value = serde_json::from_str(&text).unwrap();
        document["engines"][0]["pid"].as_u64().unwrap()
    });
    assert_eq!(pids[0], pids[1]);
    // a user of the node is not let in
    for socket in [
        "/run/docker/plugins/devnet-guard.sock",
        "/run/devnet/docker.sock",
    ] {
        let said = node.ssh(&format!(
            "curl -s -m 5 --unix-socket {socket} http://d/_ping"
        ));
        assert_ne!(said.code, 0, "{said}");
    }
    engine(&node, &["stop"]);
    same_traces(&node, &before);
}
