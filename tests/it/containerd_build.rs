//! `devnet build` on a node that runs containerd, through what stands for its buildkitd.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::build::sent;
use crate::support::containerd_node::{ContainerdNode, building_node};
use crate::support::node_build::NodeBuild;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, testbed};

const SLEEPER: &str = "FROM scratch\nCOPY bin /bin\nCOPY src /src\n";

#[test]
fn a_pod_starts_from_what_was_built_and_only_changes_cross_the_wire() {
    let Some(node) = building_node() else {
        return;
    };
    let files = [("Dockerfile", SLEEPER), ("src/a", "one"), ("src/b", "same")];
    let build = NodeBuild::new(node, &files).with_busybox();
    let name = "docker.io/library/ctr-first:dev";
    let first = build.run(&[
        "-v",
        "-t",
        "ctr-first:dev",
        "-t",
        "reg.example:5000/x/first",
    ]);
    assert_eq!(first.code, 0, "{first}");
    assert!(sent(&first.stderr).2 > 1_000_000, "{first}");
    let id = build.run(&["-q", "-t", "ctr-first:dev"]).ok();
    let known = |name: &str| node.cri().image(name).unwrap();
    assert_eq!(known(name).as_deref(), Some(id.trim()));
    let other = known("reg.example:5000/x/first:latest");
    assert_eq!(other.as_deref(), Some(id.trim()));
    assert_eq!(build.in_a_pod("ctr-first-1", name, "/src/a"), "one");

    let dockerfile = fs::metadata(build.context().join("Dockerfile"))
        .unwrap()
        .len();
    let same = build.run(&["-v", "-t", "ctr-first:dev"]);
    assert!(sent(&same.stderr).2 <= dockerfile, "{same}");
    assert_eq!(known(name).as_deref(), Some(id.trim()));

    build.write("src/a", "another");
    let changed = build.run(&["-v", "--iidfile", "id", "-t", "ctr-first:dev"]);
    assert!(sent(&changed.stderr).2 <= dockerfile + 7, "{changed}");
    let new = fs::read_to_string(build.sandbox.home().join("id")).unwrap();
    assert_ne!(new, id.trim());
    assert_eq!(known(name), Some(new));
    assert_eq!(build.in_a_pod("ctr-first-2", name, "/src/a"), "another");
    build.nothing_is_left("ctr-first@");
    // and after the runtime has thrown away what nobody holds
    node.collect();
    assert_eq!(build.in_a_pod("ctr-first-3", name, "/src/b"), "same");
}

#[test]
fn an_image_without_a_name_is_known_by_its_id() {
    let Some(node) = building_node() else {
        return;
    };
    let build =
        NodeBuild::new(node, &[("Dockerfile", SLEEPER), ("src/a", "nameless")]).with_busybox();
    let id = build.run(&["-q"]).ok();
    assert_eq!(
        node.cri().image(id.trim()).unwrap().as_deref(),
        Some(id.trim())
    );
    build.nothing_is_left("nameless");
}

/// The names in an archive.
fn listed(build: &NodeBuild<'_>, file: &str) -> String {
    Output::of(build.sandbox.command("tar").args(["-tf", file])).ok()
}

#[test]
fn results_come_to_this_computer_in_every_form() {
    let Some(node) = building_node() else {
        return;
    };
    let text = "FROM scratch\nARG A=1\nENV A=$A\nCOPY src /src\n";
    let build = NodeBuild::new(node, &[("Dockerfile", text), ("src/a", "out")]);
    let before = build.names();
    build
        .run(&["-o", "folder", "-o", "type=tar,dest=files.tar"])
        .ok();
    assert_eq!(
        fs::read_to_string(build.sandbox.home().join("folder/src/a")).unwrap(),
        "out"
    );
    assert!(listed(&build, "files.tar").contains("src/a"));
    build
        .run(&[
            "-t",
            "ctr-out:1",
            "-o",
            "type=oci,dest=oci.tar",
            "-o",
            "type=docker,dest=docker.tar",
        ])
        .ok();
    assert!(listed(&build, "oci.tar").contains("oci-layout"));
    assert!(listed(&build, "docker.tar").contains("manifest.json"));
    let tar = Output::of(
        build
            .command(&["-o", "-"])
            .stdout(fs::File::create(build.sandbox.home().join("-.tar")).unwrap()),
    );
    assert_eq!(tar.code, 0, "{tar}");
    assert!(listed(&build, "-.tar").contains("src/a"));
    // what only leaves the node has no name there
    let own = |name: &String| name.contains("ctr-out");
    assert!(!build.names().iter().any(own), "{before:?}");

    let id = build
        .run(&[
            "-q",
            "-t",
            "ctr-out:2",
            "-o",
            "type=image",
            "-o",
            "both",
            "--metadata-file",
            "said",
            "--label",
            "k=v",
            "--annotation",
            "a=b",
        ])
        .ok();
    assert_eq!(
        fs::read_to_string(build.sandbox.home().join("both/src/a")).unwrap(),
        "out"
    );
    let known = node.cri().image("docker.io/library/ctr-out:2").unwrap();
    assert_eq!(known.as_deref(), Some(id.trim()));
    let said: Value =
        serde_json::from_str(&fs::read_to_string(build.sandbox.home().join("said")).unwrap())
            .unwrap();
    assert_eq!(said["containerimage.config.digest"], id.trim());
}

#[test]
fn steps_run_with_secrets_arguments_and_hosts_on_a_base_of_the_node() {
    let Some(node) = building_node() else {
        return;
    };
    let base = NodeBuild::new(
        node,
        &[(
            "Dockerfile",
            "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"mkdir\", \"/made\"]\n",
        )],
    )
    .with_busybox();
    base.run(&["-t", "ctr-base:1", "--network", "none"]).ok();
    let text = "FROM ctr-base:1 AS build\nARG A\n\
        RUN --mount=type=secret,id=key [\"/bin/busybox\", \"cp\", \"/run/secrets/key\", \"/secret\"]\n\
        RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo $A > /a; grep one.example /etc/hosts > /hosts; ulimit -n > /files\"]\n\
        FROM ctr-base:1\nCOPY --from=build /secret /a /hosts /files /\n";
    let build = NodeBuild::new(node, &[("Dockerfile", text), ("key", "hidden")]);
    let secret = format!("id=key,src={}", build.context().join("key").display());
    build
        .run(&[
            "-t",
            "ctr-steps:1",
            "--network",
            "none",
            "--secret",
            &secret,
            "--build-arg",
            "A=given",
            "--add-host",
            "one.example:10.0.0.1",
            "--ulimit",
            "nofile=77:77",
            "--shm-size",
            "32m",
        ])
        .ok();
    let name = "docker.io/library/ctr-steps:1";
    assert_eq!(build.in_a_pod("ctr-steps-1", name, "/secret"), "hidden");
    assert_eq!(build.in_a_pod("ctr-steps-2", name, "/a"), "given\n");
    assert!(
        build
            .in_a_pod("ctr-steps-3", name, "/hosts")
            .contains("10.0.0.1")
    );
    assert_eq!(build.in_a_pod("ctr-steps-4", name, "/files"), "77\n");
}

#[test]
fn a_dockerfile_is_checked_and_a_dry_run_sends_nothing() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(node, &[("Dockerfile", "FROM scratch\ncopy . /\n")]);
    let found = build.run(&["--check"]);
    assert_eq!(found.code, 1, "{found}");
    assert!(
        found.stdout.contains("ConsistentInstructionCasing"),
        "{found}"
    );
    let plan: Value = serde_json::from_str(&build.run(&["--dry-run", "-t", "x"]).ok()).unwrap();
    assert_eq!(plan["nodes"][0]["name"], node.name.as_str());
}

/// A minikube home with a profile of these two nodes.
fn pair(build: &NodeBuild<'_>, one: &ContainerdNode, two: &ContainerdNode) -> String {
    let home = build.sandbox.home().join("pair/.minikube");
    let from = |node: &ContainerdNode| node.folder().join("minikube/.minikube");
    fs::create_dir_all(home.parent().unwrap()).unwrap();
    Output::of(
        build
            .sandbox
            .command("cp")
            .arg("-r")
            .arg(from(one))
            .arg(&home),
    )
    .ok();
    let machine = home.join("machines").join(&two.name);
    Output::of(
        build
            .sandbox
            .command("cp")
            .arg("-r")
            .arg(from(two).join("machines").join(&two.name))
            .arg(&machine),
    )
    .ok();
    let file = home.join("profiles").join(&one.name).join("config.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut profile: Value = serde_json::from_str(&text).unwrap();
    let mut second = profile["Nodes"][0].clone();
    let short = two.name.strip_prefix(&format!("{}-", one.name)).unwrap();
    second["Name"] = short.into();
    second["IP"] = two.address().into();
    second["ControlPlane"] = false.into();
    profile["Nodes"].as_array_mut().unwrap().push(second);
    profile["MultiNodeRequested"] = true.into();
    fs::write(&file, profile.to_string()).unwrap();
    home.display().to_string()
}

#[test]
fn two_nodes_get_the_image_and_one_of_them_built_it() {
    let Some(testbed) = testbed() else {
        return;
    };
    let Some(one) = ContainerdNode::building(Path::new(&testbed), "ctrpair") else {
        return;
    };
    let two = ContainerdNode::start(Path::new(&testbed), "ctrpair-m02");
    let mut build =
        NodeBuild::new(&one, &[("Dockerfile", SLEEPER), ("src/a", "spread")]).with_busybox();
    let home = pair(&build, &one, &two);
    build.sandbox = build.sandbox.env("MINIKUBE_HOME", &home);
    let id = build.run(&["-q", "-t", "ctr-spread:1"]).ok();
    for node in [&one, &two] {
        let known = node.cri().image("docker.io/library/ctr-spread:1").unwrap();
        assert_eq!(known.as_deref(), Some(id.trim()), "{}", node.name);
    }
    build.write("src/a", "spread anew");
    build.run(&["-q", "-t", "ctr-spread:1"]).ok();
    let on_two = NodeBuild::new(&two, &[]);
    let name = "docker.io/library/ctr-spread:1";
    assert_eq!(
        on_two.in_a_pod("ctr-spread-1", name, "/src/a"),
        "spread anew"
    );
    on_two.nothing_is_left("ctr-spread@");
    let only = build
        .run(&["-q", "-t", "ctr-spread:2", "--node", "ctrpair"])
        .ok();
    assert!(!only.is_empty());
    assert_eq!(
        two.cri().image("docker.io/library/ctr-spread:2").unwrap(),
        None
    );
}

#[test]
fn pods_that_run_an_older_image_are_named_and_start_the_new_one_when_asked_to() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(node, &[("Dockerfile", SLEEPER), ("src/a", "old")]).with_busybox();
    let name = "docker.io/library/ctr-restart:dev";
    build.run(&["-t", "ctr-restart:dev"]).ok();
    let sleeper = Container::of("app", name, &["/bin/busybox", "sleep", "1000"]);
    let pod = Pod::up(node, Wanted::pod("ctr-restart").with(sleeper));
    let (sandbox, ip) = (pod.sandbox().id, pod.ip());
    let same = build.run(&["-t", "ctr-restart:dev"]);
    assert!(!same.stderr.contains("an older"), "{same}");

    build.write("src/a", "new");
    let named = build.run(&["-t", "ctr-restart:dev"]);
    assert_eq!(named.code, 0, "{named}");
    assert!(
        named
            .stderr
            .contains("an older `ctr-restart:dev` runs in default/ctr-restart")
            && named
                .stderr
                .contains("`devnet restart --image ctr-restart:dev`"),
        "{named}"
    );
    assert_eq!(pod.attempts("app").len(), 1, "nothing was restarted");

    build.write("src/a", "newest");
    let restarted = build.run(&["-t", "ctr-restart:dev", "--restart"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    assert_eq!((pod.sandbox().id, pod.ip()), (sandbox, ip));
    let read = ["exec", "ctr-restart", "--", "/bin/busybox", "cat", "/src/a"];
    assert_eq!(build.sandbox.devnet(&read).ok(), "newest");
}

#[test]
fn a_watch_builds_again_and_the_pod_runs_it_in_its_sandbox() {
    let Some(node) = building_node() else {
        return;
    };
    let build = NodeBuild::new(node, &[("Dockerfile", SLEEPER), ("src/a", "first")]).with_busybox();
    let name = "docker.io/library/ctr-watch:dev";
    build.run(&["-t", "ctr-watch:dev"]).ok();
    let sleeper = Container::of("app", name, &["/bin/busybox", "sleep", "1000"]);
    let pod = Pod::up(node, Wanted::pod("ctr-watch").with(sleeper));
    let sandbox = pod.sandbox().id;
    let mut watching = build
        .command(&["--watch", "--progress", "quiet", "-t", "ctr-watch:dev"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stderr.take().unwrap()).lines();
    let mut until_it_says = |wanted: &str| {
        let line = lines.find(|line| line.as_ref().unwrap().contains(wanted));
        assert!(line.is_some(), "it ended before it said `{wanted}`");
    };
    until_it_says("watching ");
    build.write("src/a", "second");
    until_it_says("of pod/default/ctr-watch was killed");
    until_it_says("watching ");
    pod.until_attempt("app", 1);
    assert_eq!(pod.sandbox().id, sandbox);
    let read = ["exec", "ctr-watch", "--", "/bin/busybox", "cat", "/src/a"];
    assert_eq!(build.sandbox.devnet(&read).ok(), "second");
    let kill = ["-INT".to_owned(), watching.id().to_string()];
    Output::of(build.sandbox.command("kill").args(kill)).ok();
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}
