//! `devnet doctor` in a shell: variables, proxies, contexts and the config file.

use std::fs;

use crate::doctor::{NODE, codes, findings, has, healthy, only};
use crate::support::relay::Relay;
use crate::support::{Sandbox, testbed};

/// A shell that `eval $(devnet env)` pointed at an address.
fn pointed(sandbox: Sandbox, host: &str, profile: &str) -> Sandbox {
    let certs = sandbox.home().join(".minikube/certs").display().to_string();
    sandbox
        .env("DOCKER_HOST", host)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &certs)
        .env("MINIKUBE_ACTIVE_DOCKERD", profile)
}

#[test]
fn a_port_that_is_stale_is_told_and_the_command_that_mends_it() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, old, name) = healthy(&testbed);
    let was = old.url();
    let new = Relay::to(NODE);
    cluster.at(new.port);
    drop(old);
    let sandbox = pointed(sandbox, &was, &name);
    let finding = only(&sandbox, &[], "stale-port");
    has(&finding, "evidence", &was);
    has(&finding, "evidence", &new.url());
    has(&finding, "fix", &format!("devnet -p {name} env"));
    // the same shell's own profile is looked at, whichever minikube would take
    let sandbox = sandbox.env("DEVNET_PROFILE", "");
    only(&sandbox, &[], "stale-port");
    // mended
    let sandbox = pointed(sandbox, &new.url(), &name);
    assert!(findings(&sandbox, &[]).is_empty());
}

#[test]
fn another_node_where_a_shell_points_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, relay, name) = healthy(&testbed);
    // the profile that this shell came from is gone; its port is another's now
    let sandbox = pointed(sandbox, &relay.url(), "gone").env("DEVNET_PROFILE", "");
    let found = findings(&sandbox, &[]);
    assert_eq!(codes(&found), ["no-profile", "other-node"], "{found:#?}");
    has(&found[1], "message", &name);
    has(&found[1], "fix", "env --unset");
    let sandbox = pointed(sandbox, &relay.url(), &name);
    assert!(findings(&sandbox, &[]).is_empty());
}

#[test]
fn a_shell_that_forgot_tls_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, relay, name) = healthy(&testbed);
    let sandbox = pointed(sandbox, &relay.url(), &name).env("DOCKER_TLS_VERIFY", "");
    let finding = only(&sandbox, &[], "no-tls");
    assert_eq!(finding["severity"], "error");
    has(&finding, "fix", &format!("-p {name} env"));
    // without a profile, and not on the port of TLS, it may be meant
    let sandbox = sandbox
        .env("MINIKUBE_ACTIVE_DOCKERD", "")
        .env("DOCKER_HOST", "tcp://127.0.0.7:2375");
    let finding = only(&sandbox, &[], "no-tls");
    assert_eq!(finding["severity"], "warning");
    has(&finding, "fix", "DOCKER_TLS_VERIFY");
    let sandbox = sandbox.env("DOCKER_HOST", "tcp://127.0.0.2:2376");
    assert_eq!(only(&sandbox, &[], "no-tls")["severity"], "error");
}

#[test]
fn an_address_that_is_none_and_a_context_that_is_gone_are_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    let sandbox = sandbox.env("DOCKER_HOST", "ftp://127.0.0.1:2376");
    let finding = only(&sandbox, &[], "docker-host");
    has(&finding, "fix", "DOCKER_HOST");
    let sandbox = sandbox.env("DOCKER_HOST", "").env("DOCKER_CONTEXT", "gone");
    let finding = only(&sandbox, &[], "no-context");
    has(&finding, "evidence", "DOCKER_CONTEXT");
    let sandbox = sandbox.env("DOCKER_CONTEXT", "");
    assert!(findings(&sandbox, &[]).is_empty());
}

#[test]
fn a_hidden_and_a_stale_context_are_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, old, name) = healthy(&testbed);
    sandbox.devnet(&["context", "--use"]).ok();
    assert!(findings(&sandbox, &[]).is_empty());
    let new = Relay::to(NODE);
    cluster.at(new.port);
    let finding = only(&sandbox, &[], "stale-context");
    has(&finding, "evidence", &old.url());
    has(&finding, "fix", &format!("devnet -p {name} context"));
    // the doctor only looks
    only(&sandbox, &[], "stale-context");
    sandbox.devnet(&["context"]).ok();
    let sandbox = sandbox.env("DOCKER_HOST", "unix:///var/run/other.sock");
    let finding = only(&sandbox, &[], "hidden-context");
    has(&finding, "message", &format!("devnet-{name}"));
    has(&finding, "fix", "DOCKER_HOST");
    let sandbox = sandbox.env("DOCKER_HOST", "");
    assert!(findings(&sandbox, &[]).is_empty());
}

#[test]
fn a_proxy_that_does_not_leave_the_node_out_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    // an address where nobody is: for loopback no program asks a proxy
    let folder = sandbox.home().join(".minikube/profiles/far");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("config.json"),
        r#"{"Name":"far","Driver":"kvm2","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"192.0.2.7","ControlPlane":true}]}"#,
    )
    .unwrap();
    let found = |sandbox: &Sandbox| {
        let found = findings(sandbox, &["-p", "far"]);
        assert!(codes(&found).contains(&"stopped"), "{found:#?}");
        found.into_iter().find(|finding| finding["code"] == "proxy")
    };
    assert!(found(&sandbox).is_none());
    let sandbox = sandbox
        .env("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
        .env("NO_PROXY", "localhost,10.0.0.0/8");
    let finding = found(&sandbox).unwrap();
    has(&finding, "fix", "-p far env --no-proxy");
    has(&finding, "evidence", "NO_PROXY=localhost,10.0.0.0/8");
    assert!(!finding.to_string().contains("secret"), "{finding}");
    let sandbox = sandbox.env("NO_PROXY", "192.0.2.0/24");
    assert!(found(&sandbox).is_none());
}

#[test]
fn a_config_file_that_says_nonsense_is_told_with_its_line() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    let folder = sandbox.home().join("config/devnet");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yaml"), "color: never\nprofil: x\n").unwrap();
    let finding = only(&sandbox, &[], "config-file");
    has(&finding, "message", "config.yaml:2: profil");
    fs::write(folder.join("config.yaml"), "color: never\n").unwrap();
    assert!(findings(&sandbox, &[]).is_empty());
}
