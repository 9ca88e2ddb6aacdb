//! `devnet status`: which engine, who decided, what answers; and a shell whose cluster moved away.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::{Output, Sandbox, testbed};

fn report(sandbox: &Sandbox, arguments: &[&str], extra: &[(&str, &str)]) -> (Value, Output) {
    let mut command = sandbox.devnet_command(arguments);
    command
        .args(["status", "-o", "json"])
        .envs(extra.iter().copied());
    let out = Output::of(&mut command);
    let report = serde_json::from_str(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out}"));
    (report, out)
}

#[test]
fn json_says_what_answers_and_how_long_its_certificates_hold() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let (report, out) = report(&sandbox, &[], &[]);
    assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{out}");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["profile"], "minikube");
    assert_eq!(report["minikube"], Value::Null, "there is none on PATH");
    let node = &report["nodes"][0];
    for (field, wanted) in [
        ("name", Value::from("minikube")),
        ("endpoint", "tcp://127.0.0.2:2376".into()),
        ("tls", true.into()),
        ("runtime", "docker".into()),
        ("answers", true.into()),
        ("error", Value::Null),
        ("os", "linux".into()),
    ] {
        assert_eq!(node[field], wanted, "{field}: {out}");
    }
    let api = node["api_version"].as_str().unwrap();
    assert!(
        api.split_once('.')
            .is_some_and(|(major, minor)| major == "1" && minor.parse::<u32>().is_ok()),
        "{api}"
    );
    assert!(
        node["version"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    // one machine, one clock
    assert!(
        node["clock_offset_seconds"].as_i64().unwrap().abs() <= 2,
        "{out}"
    );
    assert!(node["round_trip_ms"].as_f64().unwrap() > 0.0, "{out}");
    let certificates = node["certificates"].as_array().unwrap();
    let files: Vec<_> = certificates
        .iter()
        .map(|certificate| certificate["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["ca.pem", "cert.pem"]);
    for certificate in certificates {
        let file = testbed
            .join("minikube/.minikube/certs")
            .join(certificate["file"].as_str().unwrap());
        let mut openssl = sandbox.command("openssl");
        openssl
            .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"])
            .arg(&file);
        let end = Output::of(&mut openssl).ok();
        let end = end.trim().trim_start_matches("notAfter=").replace(' ', "T");
        assert_eq!(certificate["expires"], Value::from(end));
        assert_eq!(certificate["expired"], Value::from(false));
    }
}

#[test]
fn text_says_the_same_to_a_person() {
    let Some(testbed) = testbed() else { return };
    let out = Sandbox::with_minikube(&testbed).devnet(&["-p", "half", "status"]);
    assert_eq!(out.code, 3, "its second node does not answer: {out}");
    for wanted in [
        "minikube profile `half` (--profile)\n",
        "half  tcp://127.0.0.2:2376 (TLS)\n",
        "  engine       docker ",
        ", API 1.",
        "  clock        in step with this computer\n",
        "  ca.pem       until 20",
        "  cert.pem     until 20",
        "half-m02  tcp://127.0.0.9:2376 (TLS)\n",
        "  answers      no: Connection refused",
    ] {
        assert!(out.stdout.contains(wanted), "{wanted:?}: {out}");
    }
    assert!(out.stderr.contains("no answer from `half-m02`"), "{out}");
}

#[test]
fn it_says_who_decided() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let node = format!("unix://{}", testbed.join("node.sock").display());
    let tcp = "tcp://127.0.0.2:2376";
    let certs = testbed
        .join("minikube/.minikube/certs")
        .display()
        .to_string();
    let of_a_shell = [
        ("DOCKER_HOST", tcp),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.as_str()),
        ("MINIKUBE_ACTIVE_DOCKERD", "multi"),
    ];
    // the second always stands further down in the list
    for (arguments, extra, by, endpoint) in [
        (
            &["-H", &node, "-p", "minikube"][..],
            &of_a_shell[..],
            "--host",
            node.as_str(),
        ),
        (
            &["-p", "minikube"],
            &[("DEVNET_HOST", node.as_str())],
            "--profile",
            tcp,
        ),
        (
            &[],
            &[
                ("DEVNET_HOST", node.as_str()),
                ("DEVNET_PROFILE", "minikube"),
            ],
            "DEVNET_HOST",
            node.as_str(),
        ),
        (
            &[],
            &[
                ("DEVNET_PROFILE", "minikube"),
                ("DOCKER_HOST", node.as_str()),
            ],
            "DEVNET_PROFILE",
            tcp,
        ),
        (
            &[],
            &[
                ("DOCKER_HOST", node.as_str()),
                ("MINIKUBE_PROFILE", "minikube"),
            ],
            "DOCKER_HOST",
            node.as_str(),
        ),
        (&[], &[("MINIKUBE_PROFILE", "kic")], "MINIKUBE_PROFILE", tcp),
        (&[], &[], "minikube", tcp),
    ] {
        let (report, out) = report(&sandbox, arguments, extra);
        let said = report["decided_by"].as_str().unwrap();
        assert!(said.contains(by), "{by}: {out}");
        assert_eq!(report["nodes"][0]["endpoint"], endpoint, "{by}: {out}");
        assert_eq!(out.code, 0, "{by}: {out}");
    }
    let (report, out) = report(&sandbox, &[], &of_a_shell);
    assert_eq!(
        report["decided_by"], "DOCKER_HOST, which came from minikube profile `multi`",
        "{out}"
    );
}

/// A `minikube` that does this; it notes that it ran.
fn minikube(sandbox: &Sandbox, script: &str) {
    let folder = sandbox.home().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("#!/bin/sh\ntouch {}/ran\n{script}\n", folder.display());
    std::fs::write(folder.join("minikube"), text).unwrap();
    std::fs::set_permissions(
        folder.join("minikube"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
}

fn with_minikube_on_path(testbed: &Path) -> Sandbox {
    let sandbox = Sandbox::with_minikube(testbed);
    let path = format!("{}/bin:/usr/bin:/bin", sandbox.home().display());
    sandbox.env("PATH", &path).env("ALL_PROXY", "socks://x:1")
}

#[test]
fn what_minikube_says_stands_beside_what_its_files_say() {
    let Some(testbed) = testbed() else { return };
    let sandbox = with_minikube_on_path(&testbed);
    let says = |host: &str| {
        format!(
            "[ -z \"$ALL_PROXY\" ] || exit 98\n[ \"$*\" = 'docker-env -p minikube --shell none -o json' ] || exit 99\necho '{{\"DOCKER_HOST\":\"{host}\",\"DOCKER_TLS_VERIFY\":\"1\",\"DOCKER_CERT_PATH\":\"/c\",\"MINIKUBE_ACTIVE_DOCKERD\":\"minikube\"}}'"
        )
    };
    minikube(&sandbox, &says("tcp://127.0.0.2:2376"));
    let (same, out) = report(&sandbox, &[], &[]);
    assert_eq!(
        same["minikube"]["endpoint"], "tcp://127.0.0.2:2376",
        "{out}"
    );
    assert_eq!(same["minikube"]["agrees"], true);
    assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{out}");

    minikube(&sandbox, &says("tcp://192.168.1.9:2376"));
    let (other, out) = report(&sandbox, &[], &[]);
    assert_eq!(
        other["minikube"]["endpoint"], "tcp://192.168.1.9:2376",
        "{out}"
    );
    assert_eq!(other["minikube"]["agrees"], false);
    assert_eq!(other["nodes"][0]["endpoint"], "tcp://127.0.0.2:2376");
    assert_eq!(out.code, 0, "{out}");
    assert!(
        out.stderr.contains("disagree about profile `minikube`"),
        "{out}"
    );
    let text = sandbox.devnet(&["status"]).ok();
    assert!(
        text.contains("minikube itself says tcp://192.168.1.9:2376, its files do not\n"),
        "{text}"
    );

    minikube(&sandbox, "echo 'false exit code 81'; exit 81");
    let (refused, out) = report(&sandbox, &[], &[]);
    assert_eq!(refused["minikube"]["agrees"], Value::Null, "{out}");
    let why = refused["minikube"]["error"].as_str().unwrap();
    assert!(why.contains("refuses clusters of several nodes"), "{why}");

    // one that hangs holds nobody
    minikube(&sandbox, "exec sleep 600");
    let (hangs, out) = report(&sandbox, &[], &[]);
    let why = hangs["minikube"]["error"].as_str().unwrap();
    assert!(why.contains("no answer within"), "{out}");
    assert_eq!(out.code, 0, "{out}");
}

#[test]
fn minikube_is_not_asked_where_that_could_restart_something_or_nobody_wants_it() {
    let Some(testbed) = testbed() else { return };
    let sandbox = with_minikube_on_path(&testbed);
    minikube(&sandbox, "exit 1");
    let ran = sandbox.home().join("bin/ran");
    // it would start an engine that does not answer
    sandbox.devnet(&["-p", "stopped", "status"]).fails(3);
    sandbox.devnet(&["status", "--from", "files"]).ok();
    let socket = format!("unix://{}", testbed.join("node.sock").display());
    sandbox.devnet(&["-H", &socket, "status"]).ok();
    sandbox.devnet(&["env", "--shell", "bash"]).ok();
    assert!(!ran.exists());
}

#[test]
fn a_shell_whose_cluster_moved_is_told_and_reaches_it_all_the_same() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let another = format!("unix://{}", testbed.join("host.sock").display());
    let certs = testbed
        .join("minikube/.minikube/certs")
        .display()
        .to_string();
    for (stale, why) in [
        ("tcp://127.0.0.9:2376", "nobody listens there"),
        (another.as_str(), "another engine answers there"),
    ] {
        let shell = [
            ("DOCKER_HOST", stale),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", certs.as_str()),
            ("MINIKUBE_ACTIVE_DOCKERD", "minikube"),
        ];
        let (report, out) = report(&sandbox, &[], &shell);
        assert_eq!(
            report["nodes"][0]["endpoint"], "tcp://127.0.0.2:2376",
            "{why}: {out}"
        );
        assert_eq!(
            out.stderr,
            "note: DOCKER_HOST is stale: profile `minikube` is at tcp://127.0.0.2:2376 now; `eval $(devnet env)` mends this shell\n",
            "{why}"
        );
        let mut pods = sandbox.devnet_command(&["pods", "--no-probe", "-o", "json"]);
        let out = Output::of(pods.envs(shell));
        assert!(out.stderr.contains("DOCKER_HOST is stale"), "{out}");
        out.ok();
        // what `env` prints does not depend on what it printed before
        let mut env = sandbox.devnet_command(&["env", "--shell", "none"]);
        let out = Output::of(env.envs(shell));
        assert!(
            out.stdout.contains("DOCKER_HOST=tcp://127.0.0.2:2376\n"),
            "{out}"
        );
    }
    // a DOCKER_HOST that came from nowhere else is the person's own
    let mut status = sandbox.devnet_command(&["status"]);
    Output::of(status.env("DOCKER_HOST", "tcp://127.0.0.9:2376")).fails(3);
}
