//! Builds on a node that runs containerd that do not come to their end, and nodes that can't build.

use std::path::Path;
use std::process::Stdio;

use crate::support::containerd_node::{ContainerdNode, building_node};
use crate::support::forgetful_builder::ForgetfulBuilder;
use crate::support::node_build::NodeBuild;
use crate::support::{Output, ended, testbed, until};

/// A step that goes on until it is ended.
fn endless(tag: &str) -> String {
    format!(
        "FROM scratch\nCOPY bin /bin\nENV TAG={tag}\nRUN --network=none [\"/bin/busybox\", \"sleep\", \"3333\"]\n"
    )
}

#[test]
fn a_build_that_fails_leaves_no_name() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(node, &[("Dockerfile", "FROM scratch\nCOPY absent /\n")]);
    let said = build.run(&["-t", "ctr-fails:1"]).fails(1);
    assert!(said.contains("absent"), "{said}");
    build.nothing_is_left("ctr-fails");
    build.write("Dockerfile", "FROM scratch\nNONSENSE\n");
    build.run(&["-t", "ctr-fails:1"]).fails(1);
    build.write("Dockerfile", "FROM nowhere.invalid/absent:1\n");
    build.run(&["-t", "ctr-fails:1"]).fails(1);
    build.nothing_is_left("ctr-fails");
}

/// The processes of the node that run a step.
fn steps(node: &ContainerdNode) -> usize {
    let all = node.run(&["pgrep", "-fc", "^/bin/busybox sleep 3333"]);
    all.stdout.trim().parse().unwrap()
}

#[test]
fn a_build_that_is_cancelled_or_killed_ends_in_the_node_and_leaves_no_name() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrcancel") else {
        return;
    };
    let build = NodeBuild::new(&node, &[("Dockerfile", &endless("c"))]).with_busybox();
    for signal in ["INT", "KILL"] {
        let child = build
            .command(&["-t", "ctr-cancelled:1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until("the step runs", || steps(&node) == 1);
        let kill = [format!("-{signal}"), child.id().to_string()];
        Output::of(build.sandbox.command("kill").args(kill)).ok();
        let end = ended(child);
        assert_eq!(end.code, if signal == "INT" { 130 } else { -1 }, "{end}");
        until("the step has ended", || steps(&node) == 0);
        build.nothing_is_left("ctr-cancelled");
    }
}

#[test]
fn a_node_is_built_on_by_whatever_way_its_builder_lets_in() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrways") else {
        return;
    };
    let build = NodeBuild::new(
        &node,
        &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")],
    );
    // straight, as minikube's user is in the socket's group
    build.run(&["-t", "ctr-ways:1"]).ok();
    // on the node itself
    let context = node.path("/var/tmp/context");
    Output::of(
        build
            .sandbox
            .command("cp")
            .arg("-r")
            .arg(build.context())
            .arg(&context),
    )
    .ok();
    node.devnet_on_it(&[
        "-p",
        "ctrways-none",
        "build",
        "-t",
        "ctr-ways:2",
        "/var/tmp/context",
    ])
    .ok();
    // as root does, where it is not
    node.run(&["gpasswd", "-d", "docker", "buildkit"]).ok();
    build.run(&["-t", "ctr-ways:3"]).ok();
    let names = build.names().join(" ");
    for tag in 1..=3 {
        assert!(
            names.contains(&format!("docker.io/library/ctr-ways:{tag}")),
            "{names}"
        );
    }
    // the engine that devnet starts there stands in where no buildkitd runs
    node.run(&["sh", "-c", "rm /run/buildkit/buildkitd.sock; mkdir -p /run/devnet; ln -s /var/lib/buildkit/docker.sock /run/devnet/docker.sock"]).ok();
    build.run(&["-t", "ctr-ways:4"]).ok();
    node.run(&["rm", "/run/devnet/docker.sock"]).ok();
    let said = build.run(&["-t", "ctr-ways:5"]).fails(3);
    assert!(
        said.contains("no BuildKit runs on ")
            && said.contains("buildkit.socket")
            && said.contains("`devnet engine start`"),
        "{said}"
    );
    // one that nobody serves any more
    node.run(&["sh", "-c", "socat UNIX-LISTEN:/run/buildkit/buildkitd.sock - < /dev/null & pid=$!; until [ -S /run/buildkit/buildkitd.sock ]; do :; done; kill -KILL $pid"]).ok();
    let said = build.run(&["-t", "ctr-ways:5"]).fails(3);
    assert!(said.contains("no BuildKit runs on "), "{said}");
    build.nothing_is_left("ctr-ways:5");
}

#[test]
fn a_builder_that_makes_no_images_for_pods_is_said_to() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrplain") else {
        return;
    };
    node.buildkitd(&["stop"]);
    node.buildkitd(&["start", "plain"]);
    let build = NodeBuild::new(
        &node,
        &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")],
    );
    let said = build.run(&["-t", "ctr-plain:1"]).fails(1);
    assert!(
        said.contains("makes no images for pods") && said.contains("k8s.io"),
        "{said}"
    );
    build.nothing_is_left("ctr-plain");
    build.run(&["-o", "folder"]).ok();
    assert!(build.sandbox.home().join("folder/a").is_file());
}

#[test]
fn a_builder_that_dies_amid_a_build_is_lost_and_the_next_build_goes_on() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrdies") else {
        return;
    };
    let build = NodeBuild::new(&node, &[("Dockerfile", &endless("d"))]).with_busybox();
    let child = build
        .command(&["-t", "ctr-dies:1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the step runs", || steps(&node) == 1);
    node.buildkitd(&["kill"]);
    let said = ended(child).fails(1);
    assert!(said.contains("was lost during the build"), "{said}");
    build.nothing_is_left("ctr-dies");
    node.buildkitd(&["start"]);
    build.write("Dockerfile", "FROM scratch\nCOPY bin /bin\n");
    build.run(&["-t", "ctr-dies:1"]).ok();
}

#[test]
fn an_image_that_another_engines_start_has_robbed_gets_no_name() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrrobbed") else {
        return;
    };
    let build = NodeBuild::new(&node, &[("Dockerfile", "")]).with_busybox();
    for round in 0..5 {
        let text = format!(
            "FROM scratch\nENV R={round}\nCOPY bin /bin\nRUN --network=none [\"/bin/busybox\", \"dd\", \"if=/dev/urandom\", \"of=/big\", \"bs=1M\", \"count=40\"]\n"
        );
        build.write("Dockerfile", &text);
        let child = build
            .command(&["--progress", "plain", "-t", "ctr-robbed:1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // a second engine on the same containerd removes what it takes for leases of its own
        node.second_engine();
        let end = ended(child);
        let known = node.cri().image("docker.io/library/ctr-robbed:1").unwrap();
        if end.code == 0 {
            let size = build.in_a_pod(
                &format!("ctr-robbed-{round}"),
                "docker.io/library/ctr-robbed:1",
                "/proc/self/mounts",
            );
            assert!(known.is_some() && !size.is_empty(), "{end}");
        } else {
            assert_eq!(end.code, 1, "{end}");
        }
        build.nothing_is_left("devnet-transfer");
    }
}

#[test]
fn a_build_that_lost_a_layer_to_whoever_removed_an_image_is_asked_for_once_more() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(node) = ContainerdNode::building(Path::new(&testbed), "ctrforgets") else {
        return;
    };
    let text = "FROM scratch\nCOPY bin /bin\nCOPY a /a\n";
    let build = NodeBuild::new(&node, &[("Dockerfile", text), ("a", "1")]).with_busybox();
    let builder = ForgetfulBuilder::before(&node);
    let said_once_more = |said: &str| said.matches("building once more").count();

    builder.loses(1);
    let done = build.run(&["--no-cache", "-t", "ctr-forgets:1"]);
    assert_eq!((done.code, said_once_more(&done.stderr)), (0, 1), "{done}");
    assert_eq!(builder.builds(), 2);
    let name = "docker.io/library/ctr-forgets:1";
    assert_eq!(build.in_a_pod("ctr-forgets", name, "/a"), "1");

    // once, and no more
    build.write("a", "2");
    builder.loses(2);
    let done = build.run(&["-t", "ctr-forgets:2"]);
    assert_eq!((done.code, said_once_more(&done.stderr)), (1, 1), "{done}");
    assert!(done.stderr.contains("parent snapshot"), "{done}");
    assert_eq!(builder.builds(), 2);
    build.nothing_is_left("ctr-forgets:2");

    // what has come to this computer by then is not asked for again
    builder.loses(1);
    let done = build.run(&["-t", "ctr-forgets:3", "-o", "folder"]);
    assert_eq!((done.code, said_once_more(&done.stderr)), (1, 0), "{done}");
    assert_eq!(builder.builds(), 1);
}
