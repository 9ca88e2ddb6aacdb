//! `devnet doctor` at a cluster: each finding shown on a real engine, and none where all is well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::relay::{Cluster, Relay};
use crate::support::replay::Replay;
use crate::support::{Output, Sandbox, docker, missing, testbed};
use crate::transport::{Running, free_port, wait_for};

pub(crate) const NODE: &str = "127.0.0.2:2376";

/// A sandbox in which minikube and docker are on PATH, and a healthy cluster: its profile has the
/// name that its engine's machine has.
pub(crate) fn healthy(testbed: &Path) -> (Sandbox, Cluster, Relay, String) {
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        testbed.join("fake-bin").display()
    );
    let name = docker(testbed, "node", &["info", "-f", "{{.Name}}"]).ok();
    let name = name.trim().to_owned();
    let sandbox = Sandbox::bare()
        .env("PATH", &path)
        .env("DEVNET_PROFILE", &name);
    let cluster = Cluster::new(&sandbox, testbed, &name);
    let relay = Relay::to(NODE);
    cluster.at(relay.port);
    (sandbox, cluster, relay, name)
}

/// The findings, once no other test's transfer is under way on that engine.
pub(crate) fn findings(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Value> {
    let all = [arguments, &["doctor", "-o", "json"]].concat();
    for _ in 0..100 {
        let output = sandbox.devnet(&all);
        let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {output}");
        });
        assert_eq!(report["schema"], 1);
        let found = report["findings"].as_array().unwrap().clone();
        let errors = found.iter().any(|finding| finding["severity"] == "error");
        assert_eq!(output.code, i32::from(errors), "{output}");
        for finding in &found {
            let evidence = finding["evidence"].as_array().unwrap();
            assert!(!evidence.is_empty(), "{finding}");
            assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
        }
        if !found.iter().any(|finding| finding["code"] == "leftovers") {
            return found;
        }
    }
    panic!("other tests' transfers do not end");
}

pub(crate) fn codes(findings: &[Value]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

/// The one finding that there is.
#[track_caller]
pub(crate) fn only(sandbox: &Sandbox, arguments: &[&str], code: &str) -> Value {
    let found = findings(sandbox, arguments);
    assert_eq!(codes(&found), [code], "{found:#?}");
    found[0].clone()
}

#[track_caller]
pub(crate) fn has(finding: &Value, field: &str, words: &str) {
    assert!(finding[field].to_string().contains(words), "{finding:#}");
}

fn shell(sandbox: &Sandbox, script: &str, arguments: &[&Path]) {
    let mut command = sandbox.command("sh");
    command.args(["-ec", script, "sh"]).args(arguments);
    Output::of(&mut command).ok();
}

#[test]
fn a_healthy_cluster_gives_no_finding() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, relay, name) = healthy(&testbed);
    assert_eq!(findings(&sandbox, &[]), Vec::<Value>::new());
    let text = sandbox.devnet(&["doctor"]).ok();
    assert!(text.contains(&relay.url()), "{text}");
    assert!(
        text.starts_with(&format!(
            "minikube profile `{name}` (DEVNET_PROFILE)
"
        )),
        "{text}"
    );
    // and neither does a shell that points at it, with and without a docker context
    let certs = sandbox.home().join(".minikube/certs");
    let shell = sandbox
        .env("DOCKER_HOST", &relay.url())
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &certs.display().to_string())
        .env("MINIKUBE_ACTIVE_DOCKERD", &name)
        .env("HTTPS_PROXY", "http://127.0.0.1:9");
    assert_eq!(findings(&shell, &[]), Vec::<Value>::new());
    shell.devnet(&["context", "--use"]).ok();
    assert_eq!(findings(&shell, &[]), Vec::<Value>::new());
}

#[test]
fn a_stopped_cluster_and_a_stopped_node_are_told_apart() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, relay, name) = healthy(&testbed);
    drop(relay);
    let finding = only(&sandbox, &[], "stopped");
    has(&finding, "fix", &format!("minikube start -p {name}"));
    has(&finding, "evidence", "refused");
    // back again
    let relay = Relay::to(NODE);
    cluster.at(relay.port);
    assert_eq!(findings(&sandbox, &[]), Vec::<Value>::new());

    let sandbox = sandbox.env(
        "MINIKUBE_HOME",
        &testbed.join("minikube/.minikube").display().to_string(),
    );
    let found = findings(&sandbox, &["-p", "half"]);
    // the first node answers, though under this computer's own name
    assert_eq!(codes(&found), ["other-node", "stopped", "multi-node"]);
    assert_eq!(found[1]["node"], "half-m02");
    has(&found[2], "message", "2 nodes");
}

#[test]
fn another_node_at_the_address_of_minikubes_files_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, relay, name) = healthy(&testbed);
    let other = Cluster::new(&sandbox, &testbed, "q");
    other.at(relay.port);
    let finding = only(&sandbox, &["-p", "q"], "other-node");
    has(&finding, "message", &name);
    has(&finding, "evidence", &relay.url());
    assert_eq!(finding["node"], "q");
}

#[test]
fn certificates_foreign_refused_missing_and_for_another_address_are_told_apart() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, relay, _name) = healthy(&testbed);
    let right = testbed.join("minikube/.minikube/certs");
    let foreign = testbed.join("foreign-certs");
    let certs = sandbox.home().join(".minikube/certs");
    cluster.certs(&foreign);
    let finding = only(&sandbox, &[], "certificate-foreign");
    has(&finding, "message", "another CA");
    // the engine's CA, another's client
    fs::copy(right.join("ca.pem"), certs.join("ca.pem")).unwrap();
    let finding = only(&sandbox, &[], "certificate-foreign");
    has(&finding, "message", "does not accept");
    fs::remove_file(certs.join("cert.pem")).unwrap();
    let finding = only(&sandbox, &[], "certificate-unusable");
    has(&finding, "message", "cert.pem");
    cluster.certs(&right);
    assert_eq!(findings(&sandbox, &[]), Vec::<Value>::new());
    drop(relay);
    // a way to the node that its certificate does not name
    let listener = TcpListener::bind("127.0.0.9:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || crate::support::relay::pass(client, NODE));
        }
    });
    let host = format!("tcp://127.0.0.9:{port}");
    let explicit =
        ["-H", &host, "--tls-cert-path", &certs.display().to_string()].map(str::to_owned);
    let explicit: Vec<&str> = explicit.iter().map(String::as_str).collect();
    only(&sandbox, &explicit, "certificate-name");
}

#[test]
fn certificates_that_end_soon_or_have_ended_are_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, _relay, name) = healthy(&testbed);
    let right = testbed.join("minikube/.minikube/certs");
    let certs = sandbox.home().join(".minikube/certs");
    let client = |days: &str| {
        shell(
            &sandbox,
            &format!(
                "openssl req -new -key \"$1/key.pem\" -subj /O=minikube -out request.pem
                 echo extendedKeyUsage=clientAuth >extensions
                 openssl x509 -req -in request.pem -CA \"$1/ca.pem\" -CAkey \"$1/ca-key.pem\" -set_serial 9 \
                   -days {days} -extfile extensions -out \"$2/cert.pem\""
            ),
            &[&right, &certs],
        );
    };
    client("10");
    let finding = only(&sandbox, &[], "certificate-expiring");
    assert_eq!(finding["severity"], "warning");
    has(&finding, "message", "cert.pem");
    has(&finding, "fix", &format!("minikube delete -p {name} &&"));
    client("-1");
    let found = findings(&sandbox, &[]);
    assert!(codes(&found).contains(&"certificate-expired"), "{found:?}");
    has(&found[0], "message", "`cert.pem` has expired");
    cluster.certs(&right);
    assert_eq!(findings(&sandbox, &[]), Vec::<Value>::new());
}

#[test]
fn an_engine_whose_certificate_has_expired_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    let right = testbed.join("minikube/.minikube/certs");
    shell(
        &sandbox,
        "openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -subj /O=node -out request.pem
         echo 'subjectAltName=IP:127.0.0.4' >extensions
         openssl x509 -req -in request.pem -CA \"$1/ca.pem\" -CAkey \"$1/ca-key.pem\" -set_serial 7 \
           -days -1 -extfile extensions -out cert.pem",
        &[&right],
    );
    let address = format!("127.0.0.4:{}", free_port());
    let mut server = sandbox.command("openssl");
    server
        .args(["s_server", "-quiet", "-accept", &address])
        .args(["-cert", "cert.pem", "-key", "key.pem"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Running(server.spawn().unwrap());
    wait_for(&address);
    let host = format!("tcp://{address}");
    let certs = right.display().to_string();
    let finding = only(
        &sandbox,
        &["-H", &host, "--tls-cert-path", &certs],
        "certificate-expired",
    );
    has(&finding, "message", "the engine's certificate");
}

#[test]
fn what_is_no_engine_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, cluster, _relay, _name) = healthy(&testbed);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.at(listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut hello = [0; 16];
            let _asked = client.read(&mut hello);
            let _answered = client.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let finding = only(&sandbox, &[], "not-an-engine");
    has(&finding, "message", "no TLS");
}

#[test]
fn profiles_that_can_have_no_engine_are_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    let finding = only(&sandbox, &["-p", "nope"], "no-profile");
    has(&finding, "fix", "minikube start -p nope");
    fs::create_dir_all(sandbox.home().join(".minikube/profiles/torn")).unwrap();
    fs::write(
        sandbox.home().join(".minikube/profiles/torn/config.json"),
        "{\"Name\":\"torn\",",
    )
    .unwrap();
    only(&sandbox, &["-p", "torn"], "unreadable-profile");
    sandbox.devnet(&["-p", "../x", "doctor"]).fails(2);

    let sandbox = sandbox.env(
        "MINIKUBE_HOME",
        &testbed.join("minikube/.minikube").display().to_string(),
    );
    // nobody listens for its login
    let found = findings(&sandbox, &["-p", "containerd"]);
    assert_eq!(codes(&found), ["stopped"], "{found:#?}");
    // a node in a container, whose port only the host engine knows
    let sandbox = sandbox.env("WSL_DISTRO_NAME", "x");
    let sandbox = sandbox.env(
        "DOCKER_HOST",
        &format!("unix://{}", testbed.join("host.sock").display()),
    );
    let finding = only(&sandbox, &["-p", "kic"], "stopped");
    has(&finding, "evidence", "no container `kic`");
    let sandbox = sandbox.env("DOCKER_HOST", "unix:///nowhere.sock");
    only(&sandbox, &["-p", "kic"], "host-engine");
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    // an engine whose clock stands still since it was recorded
    let node = Replay::start();
    let finding = only(&sandbox, &["-H", &node.host], "clock-skew");
    has(&finding, "message", "behind");
}

#[test]
fn what_a_killed_devnet_left_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    let image = crate::support::busybox_image(&testbed, "host");
    let left = "127.0.0.1:9/devnet-transfer/doctors-test:x";
    let host = format!("unix://{}", testbed.join("host.sock").display());
    let told = (0..50).any(|_| {
        // another test may clean at the same time
        docker(&testbed, "host", &["tag", &image, left]).ok();
        let output = sandbox.devnet(&["-H", &host, "doctor"]);
        assert_eq!(output.code, 0, "a warning is no error: {output}");
        output.stdout.contains(&format!("seen  image {left}"))
    });
    assert!(told);
    docker(&testbed, "host", &["rmi", left]);
    let text = sandbox.devnet(&["-H", &host, "doctor"]).ok();
    assert!(!text.contains("doctors-test"), "{text}");
}

#[test]
fn a_docker_command_that_does_not_fit_is_told() {
    let Some(testbed) = testbed() else { return };
    let (sandbox, _cluster, _relay, _name) = healthy(&testbed);
    if !Path::new("/usr/bin/docker").exists() {
        missing("docker in /usr/bin");
        return;
    }
    // the real docker, made to speak what the engine does not
    for (version, words) in [("1.99", "too new"), ("1.0", "")] {
        let sandbox = Sandbox::bare().env("DOCKER_API_VERSION", version).env(
            "PATH",
            &format!("{}:/usr/bin", testbed.join("fake-bin").display()),
        );
        let host = format!("unix://{}", testbed.join("node.sock").display());
        let found = findings(&sandbox, &["-H", &host]);
        assert_eq!(codes(&found), ["docker-client"], "{found:#?}");
        has(&found[0], "fix", "unset DOCKER_API_VERSION");
        has(&found[0], "evidence", words);
    }
    // one of a time that no package of this system has
    let folder = sandbox.home().join("old");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("docker"),
        "#!/bin/sh\necho '{\"Version\":\"1.7.1\",\"ApiVersion\":\"1.9\"}'\necho 'client version 1.9 is too old' >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(folder.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}:/bin",
        testbed.join("fake-bin").display(),
        folder.display()
    );
    let old = sandbox.env("PATH", &path);
    let finding = only(&old, &[], "docker-client");
    has(&finding, "message", "too old");
    has(&finding, "evidence", "1.7.1");
    // none at all is no failure: devnet needs none
    let none = old.env("PATH", &testbed.join("fake-bin").display().to_string());
    let finding = only(&none, &[], "no-docker");
    assert_eq!(finding["severity"], "info");
    let path = sandboxed_docker(&none);
    let finding = only(&none.env("PATH", &path), &[], "no-minikube");
    assert_eq!(finding["severity"], "info");
}

/// A folder with the real docker and nothing else.
fn sandboxed_docker(sandbox: &Sandbox) -> String {
    let folder = sandbox.home().join("docker-alone");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("/usr/bin/docker", folder.join("docker")).unwrap();
    folder.display().to_string()
}
