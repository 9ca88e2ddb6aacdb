//! `devnet images`: what a node has, who uses it, what it takes, and removing what nobody misses.

use std::path::Path;

use serde_json::Value;

use crate::support::archive::{Files, Pack, base, layer};
use crate::support::{Output, Sandbox, docker, testbed};

/// An engine that no other test looks at: here images come and go.
fn engine(sandbox: &Sandbox, verb: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/engine.sh");
    let mut command = sandbox.command(script);
    #[expect(
        clippy::disallowed_methods,
        reason = "the testbed says which engine this is"
    )]
    let of_the_testbed = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("DEVNET_TESTBED"));
    command.envs(of_the_testbed);
    Output::of(command.args([verb, "spare"])).ok();
}

fn devnet(testbed: &Path, sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let host = format!("unix://{}", testbed.join("spare.sock").display());
    let mut all = vec!["-H", &host];
    all.extend_from_slice(arguments);
    sandbox.devnet(&all)
}

fn load(testbed: &Path, sandbox: &Sandbox, name: &str, layers: &[Vec<u8>]) -> String {
    let file = sandbox.home().join("image.tar");
    std::fs::write(&file, Files::oci(name, layers, Pack::Plain).tar()).unwrap();
    devnet(testbed, sandbox, &["load", "./image.tar"]).ok();
    let id = ["image", "inspect", "-f", "{{.Id}}", name];
    docker(testbed, "spare", &id).ok().trim().to_owned()
}

fn images(testbed: &Path, sandbox: &Sandbox, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["images", "-o", "json"];
    arguments.extend_from_slice(more);
    serde_json::from_str(&devnet(testbed, sandbox, &arguments).ok()).unwrap()
}

#[test]
fn what_a_node_has_is_told_with_its_users_and_only_what_nobody_misses_is_pruned() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    engine(&sandbox, "start");
    let below = base(800, 500_000);
    let fill = vec![7; 100_000];
    let top = |text: &str| layer(&[("top", text.as_bytes()), ("fill", &fill)]);
    let stack = |text: &str| vec![below.clone(), top(text)];

    let in_pod = load(&testbed, &sandbox, "images-app:v1", &stack("pod"));
    let pod = [
        "create",
        "--name",
        "k8s_app_web_default_u1_0",
        "--label",
        "io.kubernetes.docker.type=container",
        "--label",
        "io.kubernetes.pod.name=web",
        "--label",
        "io.kubernetes.pod.namespace=default",
        "--label",
        "io.kubernetes.pod.uid=u1",
        "--label",
        "io.kubernetes.container.name=app",
        "images-app:v1",
        "/bin/busybox",
    ];
    docker(&testbed, "spare", &pod).ok();
    // the next image takes the name of the one before
    let in_container = load(&testbed, &sandbox, "images-app:v1", &stack("container"));
    let lone = ["create", "--name", "lone", "images-app:v1", "/bin/busybox"];
    docker(&testbed, "spare", &lone).ok();
    let spare = load(&testbed, &sandbox, "images-app:v1", &stack("spare"));
    let named = load(&testbed, &sandbox, "images-app:v1", &stack("named"));
    docker(
        &testbed,
        "spare",
        &["tag", "images-app:v1", "images-other:v2"],
    )
    .ok();

    let all = images(&testbed, &sandbox, &[]);
    let of = |id: &str| all.iter().find(|image| image["id"] == id);
    let kept = of(&named).unwrap();
    assert_eq!(kept["node"], "host");
    assert_eq!(
        kept["names"],
        serde_json::json!(["images-app:v1", "images-other:v2"])
    );
    assert_eq!(kept["dangling"], false);
    let unique = kept["unique"].as_u64().unwrap();
    assert!((100_000..200_000).contains(&unique), "{kept}");
    let text = devnet(&testbed, &sandbox, &["images", "images-"]).ok();
    assert!(
        text.starts_with("IMAGE ") && text.contains("images-other:v2"),
        "{text}"
    );
    assert!(!text.contains("NODE"), "one node needs no column: {text}");
    let found = images(&testbed, &sandbox, &["images-other"]);
    assert_eq!(found.len(), 1);
    devnet(&testbed, &sandbox, &["images", "no-such"]).fails(4);

    // containerd's store keeps no image that has lost its name, unless a container uses it
    let without_name = of(&spare).is_some();
    if without_name {
        let of = |id: &str| of(id).unwrap();
        assert_eq!(of(&in_pod)["pods"], serde_json::json!(["default/web"]));
        assert_eq!(of(&in_pod)["containers"], serde_json::json!([]));
        assert_eq!(of(&in_container)["containers"], serde_json::json!(["lone"]));
        assert_eq!(of(&spare)["dangling"], true);
        assert!(of(&spare)["shared"].as_u64().unwrap() > 500_000, "{all:?}");

        let said = devnet(&testbed, &sandbox, &["images", "prune"]).fails(2);
        assert!(said.contains("--yes"), "{said}");
        let plan = devnet(&testbed, &sandbox, &["images", "prune", "--dry-run"]).ok();
        assert!(
            plan.contains(&spare[7..19]) && plan.contains("host: 1 image to remove, which frees 1"),
            "{plan}"
        );
        assert!(!plan.contains(&in_pod[7..19]), "{plan}");
        docker(&testbed, "spare", &["image", "inspect", &spare]).ok();
    }
    let out = devnet(
        &testbed,
        &sandbox,
        &["images", "prune", "--yes", "-o", "json"],
    );
    let pruned: Vec<Value> = serde_json::from_str(&out.ok()).unwrap();
    if without_name {
        assert_eq!(pruned[0]["removed"], serde_json::json!([spare]));
        let freed = pruned[0]["bytes_freed"].as_u64().unwrap();
        assert!((100_000..200_000).contains(&freed), "{pruned:?}");
        docker(&testbed, "spare", &["image", "inspect", &in_pod]).ok();
        docker(&testbed, "spare", &["image", "inspect", &in_container]).ok();
    } else {
        assert_eq!(pruned[0]["removed"], serde_json::json!([]));
    }
    docker(&testbed, "spare", &["image", "inspect", &spare]).fails(1);
    for name in ["images-app:v1", "images-other:v2"] {
        docker(&testbed, "spare", &["image", "inspect", name]).ok();
    }
    let out = devnet(&testbed, &sandbox, &["images", "prune"]);
    assert!(
        out.code == 0 && out.stderr.contains("no image that nobody would miss"),
        "{out}"
    );
    engine(&sandbox, "stop");
    devnet(&testbed, &sandbox, &["images"]).fails(3);
}

#[test]
fn a_node_that_is_away_is_told_and_the_others_are_shown() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    crate::support::busybox_image(&testbed, "node");
    let out = sandbox.devnet(&["-p", "half", "images", "devnet-test/busybox"]);
    assert_eq!(out.code, 5, "{out}");
    assert!(
        out.stdout.contains("devnet-test/busybox:latest") && out.stdout.contains("NODE"),
        "{out}"
    );
    assert!(out.stderr.contains("half-m02"), "{out}");
    let out = sandbox.devnet(&["-p", "half", "images", "no-such"]);
    assert_eq!(out.code, 5, "{out}");
    let out = sandbox.devnet(&["-p", "half", "images", "prune", "--dry-run", "-o", "json"]);
    assert_eq!(out.code, 5, "{out}");
    let planned: Vec<Value> = serde_json::from_str(&out.stdout).unwrap();
    let away = planned.iter().find(|row| row["node"] == "half-m02");
    assert!(away.unwrap()["error"].is_string(), "{planned:?}");
    sandbox
        .devnet(&["-p", "half", "images", "-n", "nobody"])
        .fails(4);
}
