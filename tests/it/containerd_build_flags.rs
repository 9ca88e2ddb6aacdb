//! The flags of `devnet build` on a node that runs containerd, where its own builder builds.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::support::archive::here;
use crate::support::containerd_node::{ContainerdNode, building_node};
use crate::support::node_build::NodeBuild;
use crate::support::registry::Registry;
use crate::support::{Output, testbed};

#[test]
fn a_target_a_named_context_and_an_agent_come_to_the_steps() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(
        node,
        &[
            (
                "Dockerfile",
                "FROM scratch AS first\nCOPY bin /bin\nARG WHICH=none\nENV WHICH=$WHICH\n\
                 FROM first AS wanted\nCOPY --from=other said /said\n\
                 RUN --mount=type=ssh,required=true --network=none \
                 [\"/bin/busybox\", \"test\", \"-S\", \"/run/buildkit/ssh_agent.0\"]\n\
                 FROM first AS unwanted\nCOPY absent /\n",
            ),
            ("other/said", "by another context"),
        ],
    )
    .with_busybox();
    let key = build.sandbox.home().join("key");
    let mut keygen = build.sandbox.command("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key);
    Output::of(&mut keygen).ok();
    let ssh = format!("default={}", key.display());
    let other = format!("other={}", build.context().join("other").display());
    let flags = [
        "--target",
        "wanted",
        "--build-context",
        &other,
        "-t",
        "ctr-flags:1",
    ];
    build.run(&[&flags[..], &["--ssh", &ssh]].concat()).ok();
    let name = "docker.io/library/ctr-flags:1";
    assert_eq!(
        build.in_a_pod("ctr-flags-1", name, "/said"),
        "by another context"
    );
    build
        .run(&["--target", "absent", "-t", "ctr-flags:2"])
        .fails(1);
    build.nothing_is_left("ctr-flags:2");
}

#[test]
fn an_image_for_another_platform_gets_no_name_on_the_node_and_may_leave_it() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(
        node,
        &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")],
    );
    let own = format!("linux/{}", here());
    let other = if here() == "arm64" {
        "linux/amd64"
    } else {
        "linux/arm64"
    };
    let said = build
        .run(&["--platform", other, "-t", "ctr-foreign-build:1"])
        .fails(1);
    assert!(
        said.contains(&format!("the image is for {other}"))
            && said.contains(&format!("the node runs {own}")),
        "{said}"
    );
    build.nothing_is_left("ctr-foreign-build");
    // nor is it left without a name: no other image here is for that platform
    let listed = build.node.ctr(&["images", "list"]).ok();
    assert!(!listed.contains(other), "{listed}");
    build
        .run(&[
            "--platform",
            other,
            "-t",
            "ctr-foreign-build:1",
            "-o",
            "type=oci,dest=foreign.tar",
        ])
        .ok();
    assert!(build.sandbox.home().join("foreign.tar").exists());
    build.nothing_is_left("ctr-foreign-build");
    build
        .run(&["--platform", &own, "-t", "ctr-own-build:1"])
        .ok();
    assert!(
        build
            .names()
            .iter()
            .any(|name| name.ends_with("/ctr-own-build:1"))
    );
}

#[test]
fn a_cache_in_a_folder_serves_another_node() {
    let (Some(testbed), Some(node)) = (testbed(), building_node()) else {
        return;
    };
    let Some(second) = ContainerdNode::building(Path::new(&testbed), "ctrcache") else {
        return;
    };
    let build = NodeBuild::new(
        node,
        &[
            ("Dockerfile", "FROM scratch\nCOPY a /a\n"),
            ("a", "of the cache's test"),
        ],
    );
    let cache = build.sandbox.home().join("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    build.run(&["-t", "ctr-cached:1", "--cache-to", &to]).ok();
    let index = fs::read_to_string(cache.join("index.json")).unwrap();
    assert!(index.contains("sha256:"), "{index}");
    let there = second.sandbox();
    let from = format!("type=local,src={}", cache.display());
    let mut command = there.devnet_command(&["build", "--progress", "plain", "-t", "ctr-cached:1"]);
    command.args(["--cache-from", &from]).arg(build.context());
    let out = Output::of(&mut command);
    assert_eq!(out.code, 0, "{out}");
    assert!(out.stderr.contains("CACHED"), "{out}");
}

/// Leads a port of a node's own loopback to a registry of this computer, as a registry that the node
/// reaches without TLS; gives the address by which the node knows it.
pub(crate) fn registry_of(node: &ContainerdNode) -> (Registry, String) {
    let address: IpAddr = format!("192.168.{}.1", 48 + node.number()).parse().unwrap();
    let registry = Registry::at(address, "");
    let port = registry.address.port();
    let relay = format!(
        "setsid socat TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr TCP:{} > /dev/null 2>&1 < /dev/null &",
        registry.address
    );
    node.run(&["sh", "-c", &relay]).ok();
    let listens = format!(
        "until socat -u OPEN:/dev/null TCP:127.0.0.1:{port} 2> /dev/null; do sleep 0.05; done"
    );
    node.run(&["timeout", "60", "sh", "-c", &listens]).ok();
    (registry, format!("127.0.0.1:{port}"))
}

#[test]
fn an_image_is_pushed_by_the_builder_and_a_registry_is_asked_anew() {
    let Some(node) = building_node() else {
        return;
    };
    let (registry, address) = registry_of(node);
    let build = NodeBuild::new(
        node,
        &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")],
    );
    let name = format!("{address}/team/pushed:1");
    build.run(&["-t", &name, "--push"]).ok();
    assert!(registry.has("team/pushed/manifests/1"), "it was not pushed");
    assert!(build.names().contains(&name), "{:?}", build.names());
    let said = build.run(&["--push"]).fails(2);
    assert!(said.contains("no name to push to"), "{said}");
    // the registry's image of a name, whatever the node has under it
    build.write("Dockerfile", &format!("FROM {name}\nCOPY b /\n"));
    build.write("b", "2");
    let tag = format!("{address}/team/upon:1");
    build.run(&["-t", &tag, "--pull"]).ok();
    build.write(
        "Dockerfile",
        &format!("FROM {address}/team/absent:1\nCOPY b /\n"),
    );
    let said = build.run(&["-t", "ctr-absent-base:1", "--pull"]).fails(1);
    assert!(said.contains("team/absent:1"), "{said}");
    build.nothing_is_left("ctr-absent-base");
}
