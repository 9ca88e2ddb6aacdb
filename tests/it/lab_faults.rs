//! The lab when something goes wrong, or two things happen at once: pods that can't come up, a devnet that
//! is interrupted or killed. Nothing is half there, and nothing stays.

use serde_json::Value;

use crate::support::lab::Lab;
use crate::support::{busybox_image, until};

#[test]
fn a_restart_that_fails_by_itself_is_told_once_with_its_reason() {
    let Some(lab) = Lab::new() else { return };
    let busybox = busybox_image(&lab.testbed, lab.engine());
    let once = lab.write(
        "once.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: once}}\nspec:\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  \
             initContainers:\n  - name: first\n    image: {busybox}\n    imagePullPolicy: Never\n    \
             command: [/bin/busybox, mkdir, /v/once]\n    volumeMounts: [{{name: v, mountPath: /v}}]\n  \
             containers:\n  - {{name: app, image: devnet-probe, args: [serve, \"80\"]}}\n"
        ),
    );
    lab.run(&["up", &once]).ok();
    // the second time, too, as what the first left is no other devnet's either
    for attempt in [1, 2] {
        let said = lab.run(&["restart", "once"]).fails(1);
        assert!(
            said.contains("init container `first` of default/once ended with code 1"),
            "{said}"
        );
        assert!(!said.contains("comes and goes"), "{said}");
        assert_eq!(lab.pod("once")["sandbox"]["attempt"], attempt);
    }
    lab.run(&["down", "once"]).ok();

    let port = lab.write(
        "port.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: port}\nspec:\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"], ports: [{containerPort: 80, hostPort: 18087}]}\n",
    );
    lab.run(&["up", &port]).ok();
    lab.docker(&["kill", lab.pod("port")["sandbox"]["id"].as_str().unwrap()]);
    let mut taken = None;
    until("the port is free", || {
        taken = std::net::TcpListener::bind("0.0.0.0:18087").ok();
        taken.is_some()
    });
    for attempt in [1, 2] {
        let said = lab.run(&["kill", "port"]).fails(1);
        assert!(said.contains("18087"), "{said}");
        assert!(!said.contains("comes and goes"), "{said}");
        assert_eq!(lab.pod("port")["sandbox"]["attempt"], attempt);
    }
    drop(taken);
    lab.run(&["kill", "port"]).ok();
    assert_eq!(lab.pod("port")["ready"], true);
}

#[test]
fn what_can_not_come_up_leaves_nothing_behind() {
    let Some(lab) = Lab::new() else { return };
    let missing = lab.write(
        "missing.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  \
         - {name: app, image: \"127.0.0.1:9/none:1\", imagePullPolicy: Never}\n",
    );
    let said = lab.run(&["up", &missing]).fails(4);
    assert!(said.contains("`127.0.0.1:9/none:1`"), "{said}");
    lab.assert_clean();

    let no_command = lab.write(
        "no-command.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  \
         - {name: app, image: devnet-probe, command: [/no/such/program]}\n",
    );
    let said = lab.run(&["up", &no_command]).fails(1);
    assert!(said.contains("pod/default/a did not come up"), "{said}");
    lab.assert_clean();

    let init = lab.write(
        "init.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  initContainers:\n  \
         - {name: first, image: devnet-probe, args: [client, nonsense]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n",
    );
    let said = lab.run(&["up", &init]).fails(1);
    assert!(
        said.contains("init container `first` of default/a ended with code 1"),
        "{said}"
    );
    assert!(said.contains("does not begin with http://"), "{said}");
    lab.assert_clean();
}

#[test]
fn an_interrupted_lab_up_removes_what_it_made() {
    let Some(lab) = Lab::new() else { return };
    // an init container that never ends keeps it busy
    let file = lab.write(
        "slow.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n",
    );
    let mut child = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up", &file])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let filter = "label=dev.devnet.container.name=wait";
    until("the init container runs", || {
        !lab.docker(&["ps", "-q", "--filter", filter]).is_empty()
    });
    let told = lab
        .sandbox
        .command("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    lab.assert_clean();
}

#[test]
fn two_devnets_that_bring_up_one_pod_at_once_make_one_pod() {
    let Some(lab) = Lab::new() else { return };
    let host = lab.host();
    for _ in 0..3 {
        let up = || {
            lab.sandbox
                .command(env!("CARGO_BIN_EXE_devnet"))
                .args(["-H", &host, "lab", "up"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (first, second) = (up(), up());
        let all = [first, second].map(|child| child.wait_with_output().unwrap());
        let said = all
            .iter()
            .map(|one| String::from_utf8_lossy(&one.stderr).into_owned())
            .collect::<String>();
        assert!(all.iter().any(|one| one.status.success()), "{said}");
        for one in &all {
            let code = one.status.code();
            assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
        }
        if all.iter().any(|one| !one.status.success()) {
            let known = said.contains("another devnet brings up")
                // it looked when the other was half-way
                || said.contains("not all of it runs");
            assert!(known, "{said}");
        }
        let there: Value = serde_json::from_str(&lab.run(&["ps", "-o", "json"]).ok()).unwrap();
        assert_eq!(there.as_array().unwrap().len(), 1, "{there:#}");
        assert_eq!(lab.run(&["up"]).ok(), "", "it is whole");
        lab.run(&["down"]).ok();
    }
    lab.assert_clean();
}

#[test]
fn clean_removes_what_a_killed_devnet_left_and_nothing_of_others() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.write(
        "slow.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n  volumes:\n  \
         - {name: v, emptyDir: {}}\n",
    );
    let mut child = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up", &file])
        .spawn()
        .unwrap();
    let waiting = "label=dev.devnet.container.name=wait";
    until("the init container runs", || {
        !lab.docker(&["ps", "-q", "--filter", waiting]).is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let probe = lab.docker(&["images", "-q", "--filter", "label=dev.devnet.role"]);
    let transfer = "127.0.0.1:4711/devnet-transfer/shop/app:1";
    lab.docker(&["tag", probe.trim(), "clean-other:1"]);
    lab.docker(&["network", "create", "clean-other"]);
    let archive = lab.write("empty.tar", "");
    std::fs::write(&archive, [0; 1024]).unwrap();
    lab.docker(&["import", &archive, "clean-mine:1"]);
    lab.docker(&["tag", "clean-mine:1", transfer]);
    lab.docker(&["rmi", "clean-other:1"]);

    let said = lab.sandbox.devnet(&["-H", &lab.host(), "clean"]).ok();
    assert!(said.contains("removed"), "{said}");
    lab.assert_clean();
    let images = lab.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(images.contains("clean-mine:1") && !images.contains("devnet-transfer"));
    lab.docker(&["network", "rm", "clean-other"]);
    lab.docker(&["rmi", "clean-mine:1"]);
    let said = lab.sandbox.devnet(&["-H", &lab.host(), "clean"]).ok();
    assert!(said.contains("nothing of devnet's"), "{said}");
}

#[test]
fn kills_at_the_same_time_all_succeed_and_leave_the_pod_whole() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let name = {
        let all: Value = serde_json::from_str(&lab.run(&["ps", "-o", "json"]).ok()).unwrap();
        all[0]["name"].as_str().unwrap().to_owned()
    };
    let host = lab.host();
    let first = lab.pod(&name)["containers"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let of_one = ["-H", &host, "lab", "kill", &name, "-c", &first];
    let of_all = ["-H", &host, "lab", "kill", &name];
    for (round, arguments) in [&of_one[..], &of_all, &of_one].into_iter().enumerate() {
        let children: Vec<_> = (0..3)
            .map(|_| {
                let mut command = lab.sandbox.devnet_command(arguments);
                command.stdout(std::process::Stdio::piped());
                command.stderr(std::process::Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "round {round}: {said}");
        }
        let pod = lab.pod(&name);
        let containers = pod["containers"].as_array().unwrap();
        assert!(
            containers.iter().all(|one| one["state"] == "running"),
            "round {round}: {pod:#}"
        );
        // and of each container one runs
        let running = [
            "ps",
            "-q",
            "--filter",
            "label=dev.devnet.role=lab-container",
        ];
        assert_eq!(lab.docker(&running).lines().count(), containers.len());
    }
}
