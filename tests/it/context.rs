//! `devnet context`: docker itself uses what devnet wrote; it follows its cluster; it goes again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::relay::{Cluster, Relay};
use crate::support::{Output, Sandbox, testbed};

const NODE: &str = "127.0.0.2:2376";
/// A configuration as docker's own tools and people write it, as bytes.
const CONFIG: &str = "{\n\t\"auths\": {\n\t\t\"far.example\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t},\n\t\"HttpHeaders\":  {\"X\": \"}\\\"{\"},\n\t\"detachKeys\": \"ctrl-e,e\"\n}\n\n";

/// docker with this sandbox's own configuration.
fn docker(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    Output::of(sandbox.command("docker").args(arguments))
}

fn config(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.home().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    folder.join("config.json")
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let mut inner = all_files(&path);
                inner.push(path);
                inner
            } else {
                vec![path]
            }
        })
        .collect();
    found.sort();
    found
}

fn report(output: Output) -> Value {
    serde_json::from_str(&output.ok()).unwrap()
}

#[test]
fn docker_itself_reaches_the_node_through_it() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let name = sandbox.devnet(&["context"]).ok();
    assert_eq!(name, "devnet-minikube\n");
    let version = docker(
        &sandbox,
        &[
            "--context",
            "devnet-minikube",
            "version",
            "-f",
            "{{.Server.Version}}",
        ],
    )
    .ok();
    assert!(version.starts_with(char::is_numeric), "{version}");
    let listed = docker(&sandbox, &["context", "inspect", "devnet-minikube"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        listed[0]["Endpoints"]["docker"]["Host"],
        "tcp://127.0.0.2:2376"
    );
    assert_eq!(
        listed[0]["TLSMaterial"]["docker"],
        serde_json::json!(["ca.pem", "cert.pem", "key.pem"])
    );
    let contexts = docker(&sandbox, &["context", "ls"]).ok();
    assert!(
        contexts.contains("minikube profile minikube, kept right by devnet"),
        "{contexts}"
    );
    for file in all_files(&sandbox.home().join(".docker/contexts/tls")) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        let wanted = if file.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}", file.display());
    }
    // once more: nothing to do, and docker's own choice was never touched
    let again = report(sandbox.devnet(&["context", "-o", "json"]));
    assert_eq!(again["state"], "unchanged");
    assert_eq!(again["current_context"], "default");
    assert!(!sandbox.home().join(".docker/config.json").exists());
    // docker takes away what devnet made
    docker(&sandbox, &["context", "rm", "devnet-minikube"]).ok();
    sandbox.devnet(&["context", "--rm"]).fails(4);
}

#[test]
fn use_and_rm_leave_dockers_own_file_as_it_was() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let file = config(&sandbox);
    fs::write(&file, CONFIG).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let used = report(sandbox.devnet(&["context", "--use", "-o", "json"]));
    assert_eq!(used["current_context"], "devnet-minikube");
    let shown = docker(&sandbox, &["context", "show"]);
    // docker 20.10 has no `context show`
    assert!(
        shown.code != 0 || shown.stdout == "devnet-minikube\n",
        "{shown}"
    );
    let name = docker(&sandbox, &["info", "-f", "{{.Name}}"]).ok();
    let direct = docker(
        &sandbox,
        &[
            "-H",
            &format!("unix://{}", testbed.join("node.sock").display()),
            "info",
            "-f",
            "{{.Name}}",
        ],
    )
    .ok();
    assert_eq!(name, direct);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        text.replace(",\n\t\"currentContext\": \"devnet-minikube\"", ""),
        CONFIG
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let removed = report(sandbox.devnet(&["context", "--rm", "-o", "json"]));
    assert_eq!(removed["state"], "removed");
    assert_eq!(removed["current_context"], "default");
    assert_eq!(fs::read_to_string(&file).unwrap(), CONFIG);
    assert_eq!(
        all_files(&sandbox.home().join(".docker/contexts"))
            .iter()
            .filter(|path| path.is_file())
            .count(),
        0
    );
}

#[test]
fn rm_goes_back_to_the_context_that_was_used_before() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    docker(
        &sandbox,
        &[
            "context",
            "create",
            "mine",
            "--docker",
            "host=tcp://127.0.0.7:1",
        ],
    )
    .ok();
    docker(&sandbox, &["context", "use", "mine"]).ok();
    let before = fs::read_to_string(config(&sandbox)).unwrap();
    sandbox.devnet(&["context", "--use"]).ok();
    sandbox.devnet(&["context", "--use"]).ok();
    let removed = sandbox.devnet(&["context", "--rm"]);
    assert!(removed.stderr.contains("`mine` again"), "{removed}");
    assert_eq!(fs::read_to_string(config(&sandbox)).unwrap(), before);
}

#[test]
fn it_follows_its_cluster_to_another_port_with_a_note() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare().env("DEVNET_PROFILE", "q");
    let cluster = Cluster::new(&sandbox, &testbed, "q");
    let ping = |sandbox: &Sandbox| docker(sandbox, &["--context", "devnet-q", "version"]).code;
    let mut relay = Relay::to(NODE);
    cluster.at(relay.port);
    let written = report(sandbox.devnet(&["context", "-o", "json"]));
    assert_eq!(written["state"], "written");
    assert_eq!(ping(&sandbox), 0);

    let restart = |old: Relay| {
        let new = Relay::to(NODE);
        drop(old);
        cluster.at(new.port);
        assert_ne!(ping(&sandbox), 0, "the context is stale now");
        new
    };
    let was = relay.url();
    relay = restart(relay);
    // what only prints an environment changes nothing
    let before = all_files(&sandbox.home().join(".docker"));
    sandbox.devnet(&["env", "--shell", "bash"]).ok();
    assert_eq!(all_files(&sandbox.home().join(".docker")), before);
    assert_ne!(ping(&sandbox), 0);
    let healed = sandbox.devnet(&["context", "-o", "json"]);
    let note = format!(
        "note: docker context `devnet-q` was at {was}: profile `q` is at {} now",
        relay.url()
    );
    assert!(healed.stderr.contains(&note), "{healed}");
    let healed = report(healed);
    assert_eq!(healed["state"], "healed");
    assert_eq!(healed["was"], was.as_str());
    assert_eq!(ping(&sandbox), 0);

    // and without being asked, by whatever finds the cluster
    for command in [
        &["run", "--", "true"][..],
        &["status"],
        &["pods", "--no-probe"],
    ] {
        relay = restart(relay);
        let outcome = sandbox.devnet(command);
        assert!(
            outcome.stderr.contains("docker context `devnet-q` was at"),
            "{command:?}: {outcome}"
        );
        assert_eq!(ping(&sandbox), 0, "{command:?}");
        let again = sandbox.devnet(command);
        assert!(!again.stderr.contains("docker context"), "{again}");
    }

    // at the prompt of a shell that uses the cluster
    let used = Output::of(sandbox.command("bash").args([
        "--norc",
        "-c",
        &format!(
            "eval \"$({} hook bash)\"; devnet use q; env | grep -E '^(DOCKER|MINIKUBE|DEVNET)_'",
            env!("CARGO_BIN_EXE_devnet")
        ),
    ]))
    .ok();
    assert!(used.contains(&relay.url()), "{used}");
    relay = restart(relay);
    let variables = used.lines().filter_map(|line| line.split_once('='));
    let mut prompt = sandbox.devnet_command(&["hook", "--prompt", "bash"]);
    let outcome = Output::of(prompt.envs(variables));
    assert!(
        outcome.stderr.contains("docker context `devnet-q` was at"),
        "{outcome}"
    );
    assert!(outcome.stdout.contains(&relay.url()), "{outcome}");
    assert_eq!(ping(&sandbox), 0);

    // other certificates are followed too
    cluster.certs(&testbed.join("foreign-certs"));
    let healed = sandbox.devnet(&["context"]);
    assert!(
        healed.stderr.contains("has the certificates of now"),
        "{healed}"
    );
    assert_ne!(ping(&sandbox), 0);
}

#[test]
fn nodes_ssh_logins_and_dockers_own_folder() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let elsewhere = sandbox.home().join("elsewhere");
    let sandbox = sandbox.env("DOCKER_CONFIG", &elsewhere.display().to_string());
    let one = |arguments: &[&str]| {
        let all = [&["-p", "multi", "context", "-o", "json"], arguments].concat();
        let report = report(sandbox.devnet(&all));
        (
            report["context"].as_str().unwrap().to_owned(),
            report["endpoint"].as_str().unwrap_or("-").to_owned(),
        )
    };
    let pair = |name: &str, url: &str| (name.to_owned(), url.to_owned());
    assert_eq!(one(&[]), pair("devnet-multi", "tcp://127.0.0.2:2376"));
    assert_eq!(
        one(&["--node", "m02"]),
        pair("devnet-multi-m02", "tcp://127.0.0.3:2376")
    );
    assert_eq!(
        one(&["--ssh-host"]),
        pair("devnet-multi", "ssh://docker@127.0.0.2")
    );
    let tls = all_files(&elsewhere.join("contexts/tls"));
    assert_eq!(
        tls.iter().filter(|path| path.is_file()).count(),
        3,
        "the second node's alone: {tls:?}"
    );
    // a profile may be called as another's node
    let stderr = sandbox
        .devnet(&["-p", "multi-m02", "context", "--rm"])
        .fails(1);
    assert!(stderr.contains("is of profile `multi`"), "{stderr}");
    assert_eq!(
        one(&["--rm", "-n", "multi-m02"]),
        pair("devnet-multi-m02", "-")
    );
    assert_eq!(one(&["--rm"]), pair("devnet-multi", "-"));
    assert!(!sandbox.home().join(".docker").exists());
}

#[test]
fn what_can_not_be_done_is_told_and_leaves_nothing() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let fails = |arguments: &[&str], code: i32, said: &str| {
        let stderr = sandbox.devnet(arguments).fails(code);
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    };
    fails(&["-p", "nope", "context"], 4, "no minikube profile `nope`");
    fails(
        &["-H", "tcp://127.0.0.2:2376", "context"],
        2,
        "of a minikube profile",
    );
    fails(&["context", "--rm", "--use"], 2, "cannot be used with");
    fails(&["context", "--node", "nope"], 4, "no node `nope`");
    fails(
        &["context", "--rm"],
        4,
        "no docker context `devnet-minikube`",
    );
    assert!(!sandbox.home().join(".docker").exists());

    // someone else's context of that name stays
    docker(
        &sandbox,
        &[
            "context",
            "create",
            "devnet-minikube",
            "--docker",
            "host=tcp://127.0.0.7:1",
        ],
    )
    .ok();
    fails(&["context"], 1, "devnet did not write");
    fails(&["context", "--rm"], 1, "devnet did not write");
    docker(&sandbox, &["context", "rm", "devnet-minikube"]).ok();

    // a choice that can't be written: docker's file is no JSON
    fs::write(config(&sandbox), "{ not json").unwrap();
    fails(&["context", "--use"], 1, "can't be changed");
    assert_eq!(fs::read_to_string(config(&sandbox)).unwrap(), "{ not json");
    fs::remove_dir_all(sandbox.home().join(".docker")).unwrap();

    // a folder that is a file
    fs::create_dir_all(sandbox.home().join(".docker/contexts")).unwrap();
    fs::write(sandbox.home().join(".docker/contexts/meta"), "").unwrap();
    fails(&["context"], 1, "can't be written");
    let left = all_files(&sandbox.home().join(".docker"));
    assert!(
        !left.iter().any(|path| path.ends_with("key.pem")),
        "{left:?}"
    );
    // and does not stop who did not ask for a context
    sandbox.devnet(&["run", "--", "true"]).ok();
}

#[test]
fn a_hidden_choice_and_a_broken_context_are_told() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed).env("DOCKER_HOST", "tcp://127.0.0.7:1");
    let outcome = sandbox.devnet(&["context", "--use"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("`DOCKER_HOST` is set in this shell"),
        "{outcome}"
    );
    let meta = all_files(&sandbox.home().join(".docker/contexts/meta"))
        .into_iter()
        .find(|path| path.ends_with("meta.json"))
        .unwrap();
    fs::write(&meta, "{\"Name\":").unwrap();
    let written = report(sandbox.devnet(&["context", "-o", "json"]));
    assert_eq!(written["state"], "written");
    assert!(fs::read_to_string(&meta).unwrap().contains("127.0.0.2"));
}
