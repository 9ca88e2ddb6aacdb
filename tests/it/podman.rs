//! The Docker API of a real podman, where it differs from Docker's.

use serde_json::{Value, json};

use crate::support::podman::Podman;
use crate::support::rewriting::Rewriting;
use crate::support::{Output, Sandbox, docker, testbed};

#[test]
fn containers_on_which_others_depend_are_removed_after_those() {
    let Some(testbed) = testbed() else { return };
    let Some(podman) = Podman::named(&testbed, "podman-removes") else {
        return;
    };
    let up = podman.devnet(&["lab", "up"]).ok();
    assert!(up.contains("pod/default/web up"), "{up}");
    assert_eq!(
        podman.devnet(&["lab", "down"]).ok(),
        "pod/default/web down\n"
    );
    assert_eq!(podman.podman(&["ps", "-aq"]), "");
    assert_eq!(podman.podman(&["images", "-q"]), "");
    podman.devnet(&["lab", "up"]).ok();
    podman.devnet(&["clean"]).ok();
    assert_eq!(podman.podman(&["ps", "-aq"]), "");
}

#[test]
fn states_that_only_podman_knows_hide_neither_images_nor_pods() {
    let Some(testbed) = testbed() else { return };
    let Some(podman) = Podman::named(&testbed, "podman-tells") else {
        return;
    };
    let image = podman.busybox();
    podman.podman(&["run", "-d", "--name", "runs", "--network=none", &image]);
    podman.podman(&["create", "--name", "waits", &image]);
    let new = podman.podman(&["create", &image]);
    let all = podman.devnet(&["images", "-o", "json"]).ok();
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all[0]["names"], json!([image]), "{all:#}");
    let users = all[0]["containers"].as_array().unwrap();
    for name in ["runs", "waits"] {
        assert!(users.contains(&json!(name)), "{all:#}");
    }
    let (folder, socket) = (tempfile::tempdir().unwrap(), podman.socket.clone());
    let short = new.trim()[..12].to_owned();
    // between an end and its tidying up podman says `stopped`, of a new one `configured`
    let proxy = Rewriting::new(folder.path(), socket, move |path, body| {
        if path.ends_with("/containers/json") {
            for one in body.as_array_mut().unwrap() {
                one["State"] = json!("stopped");
            }
        } else if path.contains("/containers/") && body["State"].is_object() {
            let is_new = body["Id"].as_str().unwrap().starts_with(&short);
            body["State"]["Status"] = json!(if is_new { "configured" } else { "stopped" });
        }
    });
    let devnet = |arguments: &[&str]| {
        Sandbox::bare()
            .devnet(&[&["-H", &proxy.url()], arguments].concat())
            .ok()
    };
    assert!(devnet(&["images"]).contains(&image));
    let pods: Value =
        serde_json::from_str(&devnet(&["pods", "--all", "--no-probe", "-o", "json"])).unwrap();
    let state = |name: &str| {
        let pods = pods["pods"].as_array().unwrap();
        let pod = pods.iter().find(|pod| pod["name"] == name).unwrap();
        pod["containers"][0]["state"].clone()
    };
    assert_eq!(state("runs"), "exited");
}

#[test]
fn no_filter_that_podman_refuses_is_asked_of_it() {
    let Some(testbed) = testbed() else { return };
    let Some(podman) = Podman::named(&testbed, "podman-filters") else {
        return;
    };
    let image = podman.busybox();
    podman.podman(&["run", "-d", "--name", "runs", "--network=none", &image]);
    // the refusal that this is about
    let socket = podman.socket.display().to_string();
    let filters =
        "http://d/v1.41/containers/json?all=true&filters=%7B%22status%22%3A%5B%22dead%22%5D%7D";
    let sandbox = Sandbox::bare();
    let mut curl = sandbox.command("curl");
    let answer = Output::of(curl.args(["-s", "--unix-socket", &socket, filters])).ok();
    assert!(answer.contains("dead"), "{answer}");
    // devnet's own that a killed one left, which a command looks for by their state
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let gone = format!("{}/{}/4194305/1", boot.trim(), space.display());
    let name = "devnet-read-1795845227-0123456789abcdef-00ff-12-34";
    let labels = [("role", "store-reader"), ("name", name), ("owner", &gone)];
    let labels = labels.map(|(key, value)| format!("--label=dev.devnet.{key}={value}"));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let create = ["create", "--name", name, "--network=none", "--entrypoint=-"];
    podman.podman(&[&create[..], &labels, &["localhost/busybox:test"]].concat());
    let lists = || podman.podman(&["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(lists().lines().count(), 2);
    let devnet = |words: &[&str]| {
        let out = podman.devnet(words);
        let said = format!("{}{}", out.stdout, out.stderr);
        assert!(
            !said.contains("500") && !said.contains("invalid status"),
            "{words:?}: {out}"
        );
    };
    devnet(&["images"]);
    assert_eq!(lists(), "runs\n", "every command sweeps what was left");
    for words in [
        &["pods", "--all"][..],
        &["images", "prune", "--yes"],
        &["history"],
        &["prove"],
        &["check"],
        &["lab", "ps"],
        &["status"],
        &["clean"],
    ] {
        devnet(words);
    }
    assert_eq!(lists(), "runs\n");
}

#[test]
fn a_state_that_docker_has_no_word_for_hides_no_image() {
    let Some(testbed) = testbed() else {
        return;
    };
    let image = crate::support::busybox_image(&testbed, "node");
    let id = docker(
        &testbed,
        "node",
        &["create", &image, "/bin/busybox", "true"],
    )
    .ok();
    let folder = tempfile::tempdir().unwrap();
    let proxy = Rewriting::new(folder.path(), testbed.join("node.sock"), |path, body| {
        if path.ends_with("/containers/json") {
            for one in body.as_array_mut().unwrap() {
                one["State"] = json!("stopped");
            }
        } else if path.contains("/containers/") && body["State"].is_object() {
            body["State"]["Status"] = json!("stopped");
        }
    });
    let output = Sandbox::bare().devnet(&["-H", &proxy.url(), "images"]);
    docker(&testbed, "node", &["rm", id.trim()]).ok();
    assert!(output.ok().contains(&image));
}
