//! The lab on a real engine: pods come up, die and come back as they do under a kubelet.

use serde_json::Value;

use crate::support::lab::{Lab, container};

#[test]
fn the_built_in_pod_talks_over_localhost_and_leaves_nothing_behind() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let pod = lab.pod("web");
    assert_eq!(pod["ready"], true, "{pod:#}");
    let ip = pod["ip"].as_str().unwrap();
    let sandbox = lab.inspect(&pod["sandbox"]["id"]);
    assert_eq!(sandbox["HostConfig"]["IpcMode"], "shareable");
    assert_eq!(
        sandbox["NetworkSettings"]["Networks"]["devnet-lab"]["IPAddress"],
        ip
    );
    let joined = format!("container:{}", pod["sandbox"]["id"].as_str().unwrap());
    for name in ["server", "client"] {
        let app = lab.inspect(&container(&pod, name)["id"]);
        assert_eq!(app["HostConfig"]["NetworkMode"], joined);
        assert_eq!(app["HostConfig"]["IpcMode"], joined);
    }
    let said = lab.until_it_says(&container(&pod, "client")["id"], "answered in");
    assert!(
        said.contains(&format!("hello from pod web container server ip {ip}")),
        "{said}"
    );
    // a second time there is nothing to do
    let again = lab.run(&["up"]);
    assert!(again.stderr.contains("is up already"), "{again}");
    // who is named twice goes once
    assert_eq!(
        lab.run(&["down", "web", "default/web"]).ok(),
        "pod/default/web down\n"
    );
    lab.assert_clean();
}

#[test]
fn a_killed_container_keeps_the_pods_address_and_a_killed_sandbox_gets_the_next() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let before = lab.pod("web");
    lab.run(&["kill", "web", "-c", "server"]).ok();
    let after = lab.pod("web");
    assert_eq!(after["sandbox"], before["sandbox"]);
    assert_eq!(after["ip"], before["ip"]);
    assert_eq!(container(&after, "server")["attempt"], 1);
    assert_eq!(container(&after, "client"), container(&before, "client"));
    let old = lab.inspect(&container(&before, "server")["id"]);
    assert_eq!(old["State"]["ExitCode"], 137, "the dead one is kept");
    lab.until_it_says(&container(&after, "server")["id"], "GET / HTTP/1.1");

    let mut addresses = vec![before["ip"].clone()];
    for attempt in 1..=3 {
        lab.run(&["kill", "web"]).ok();
        let pod = lab.pod("web");
        assert_eq!(pod["sandbox"]["attempt"], attempt);
        assert_eq!(pod["ready"], true);
        assert!(!addresses.contains(&pod["ip"]), "an address came back");
        addresses.push(pod["ip"].clone());
    }
    let kept = lab.docker(&["ps", "-aq", "--filter", "label=dev.devnet.role=lab-sandbox"]);
    assert_eq!(kept.lines().count(), 2, "the newest and the one before");
    let kept = lab.docker(&[
        "ps",
        "-aq",
        "--filter",
        "label=dev.devnet.role=lab-container",
    ]);
    assert_eq!(kept.lines().count(), 4);
}

#[test]
fn every_way_to_break_a_pod_shows_and_a_restart_repairs_it() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let state = |id: &Value| lab.inspect(id)["State"]["Status"].clone();

    let said = lab.run(&["break", "conflict", "web"]).ok();
    assert!(
        said.contains("wanted 8080 and ended with code 1") && said.contains("Address in use"),
        "{said}"
    );
    lab.run(&["restart", "web"]).ok();
    let pod = lab.pod("web");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 2, "{pod:#}");

    lab.run(&["break", "freeze", "web"]).ok();
    assert_eq!(state(&container(&pod, "server")["id"]), "paused");
    lab.run(&["restart", "web"]).ok();

    let pod = lab.pod("web");
    lab.run(&["break", "split", "web"]).ok();
    let started = |id: &Value| lab.inspect(id)["State"]["StartedAt"].clone();
    let (sandbox, web) = (&pod["sandbox"]["id"], &container(&pod, "server")["id"]);
    assert!(started(sandbox).as_str() > started(web).as_str());
    lab.run(&["restart", "web"]).ok();

    let pod = lab.pod("web");
    lab.run(&["break", "orphan", "web"]).ok();
    assert_eq!(state(&pod["sandbox"]["id"]), "exited");
    assert_eq!(state(&container(&pod, "server")["id"]), "running");
    // nothing is left to break
    let said = lab.run(&["break", "split", "web"]).fails(1);
    assert!(said.contains("lab restart"), "{said}");
    lab.run(&["restart", "web"]).ok();
    assert_eq!(lab.pod("web")["ready"], true);
    assert_eq!(state(&container(&pod, "server")["id"]), "exited");
}

#[test]
fn a_labs_pause_has_no_power() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let id = lab.pod("web")["sandbox"]["id"].as_str().unwrap().to_owned();
    let format = "{{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} {{.HostConfig.ReadonlyRootfs}}";
    assert_eq!(
        lab.docker(&["inspect", "-f", format, &id]).trim(),
        "[ALL] [] true"
    );
}
