//! The ways in which people say a thing to `docker build`: devnet's build understands them alike.

use std::fs;

use serde_json::Value;

use crate::habits::sandbox;
use crate::support::Sandbox;

/// The plan that a dry run of a build shows.
fn plan(sandbox: &Sandbox, line: &str) -> Value {
    let words: Vec<&str> = ["build", "--dry-run"]
        .into_iter()
        .chain(line.split(' '))
        .collect();
    serde_json::from_str(&sandbox.devnet(&words).ok()).unwrap()
}

#[test]
fn a_build_takes_dockers_ways_to_say_a_thing() {
    let sandbox = sandbox();
    let options = |line: &str| plan(&sandbox, line)["options"].clone();
    let plain = options("context");
    for nothing in [
        "--pull --no-cache --pull=false --no-cache=F context",
        "--rm=true --force-rm=1 --compress=t --load=false -q=false context",
        "--provenance false --sbom=0 --attest type=sbom,disabled=true context",
        "--target a --target= context",
    ] {
        let mut options = options(nothing);
        if options["target"] == "" {
            options["target"] = Value::Null;
        }
        assert_eq!(options, plain, "{nothing}");
    }
    for (line, pointer, value) in [
        ("--pull=1 context", "/pull", Value::from(true)),
        (
            "--no-cache=false --no-cache context",
            "/no_cache",
            Value::from(true),
        ),
        (
            "--platform linux/s390x --platform arm64 context",
            "/platforms/1",
            "linux/arm64".into(),
        ),
        ("--shm-size 1.5g context", "/shm_size", (3_u64 << 29).into()),
        (
            "--shm-size 1g --shm-size 2m context",
            "/shm_size",
            (2 << 20).into(),
        ),
        ("--target a --target b context", "/target", "b".into()),
        (
            "--network host --network none context",
            "/network",
            "none".into(),
        ),
        (
            "-m 1g -m 64m --memory-swap -1 context",
            "/limits/memory",
            (64 << 20).into(),
        ),
        (
            "-m 64m --memory-swap -1 context",
            "/limits/memory_swap",
            (-1).into(),
        ),
        ("--rm=false context", "/limits/keep_containers", true.into()),
        (
            "--attest type=provenance,mode=max context",
            "/attestations/provenance",
            "mode=max".into(),
        ),
        (
            "--provenance T context",
            "/attestations/provenance",
            "mode=min".into(),
        ),
        (
            "-f context/none -f context/Dockerfile context",
            "/filename",
            "Dockerfile".into(),
        ),
    ] {
        assert_eq!(options(line).pointer(pointer), Some(&value), "{line}");
    }
    let own = if cfg!(target_arch = "aarch64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    assert_eq!(options("--platform local context")["platforms"][0], own);
    for (wrong, named) in [
        ("--pull=maybe", "--pull"),
        ("--shm-size 1.5x", "--shm-size"),
        ("--memory x", "--memory"),
        ("--platform nonsense", "nonsense"),
        ("--isolation hyperv", "--isolation"),
        ("--disable-content-trust=false", "--disable-content-trust"),
        ("--attest mode=max", "--attest"),
        ("--provenance context", "--provenance"),
    ] {
        let line = format!("build --dry-run {wrong} context");
        let said = sandbox
            .devnet(&line.split(' ').collect::<Vec<_>>())
            .fails(2);
        assert!(said.contains(named), "{line}: {said}");
    }
}

#[test]
fn a_dockerfile_in_lower_case_is_found_where_the_other_is_not() {
    let sandbox = sandbox();
    let context = sandbox.home().join("context");
    let found = |line: &str| plan(&sandbox, line)["options"]["filename"].clone();
    fs::write(context.join("dockerfile"), "FROM scratch\n").unwrap();
    assert_eq!(found("context"), "Dockerfile");
    fs::remove_file(context.join("Dockerfile")).unwrap();
    assert_eq!(found("context"), "dockerfile");
    assert_eq!(found("-f context/Dockerfile context"), "dockerfile");
    fs::rename(context.join("dockerfile"), context.join("DOCKERFILE")).unwrap();
    let said = sandbox.devnet(&["build", "--dry-run", "context"]).fails(1);
    assert!(
        said.contains("no Dockerfile at `context/Dockerfile`"),
        "{said}"
    );
}

#[test]
fn an_agent_is_lent_to_a_repository_that_is_fetched_with_ssh() {
    let without = sandbox();
    let with = sandbox().env("SSH_AUTH_SOCK", "/nowhere/agent");
    let lent = |sandbox: &Sandbox, line: &str| plan(sandbox, line)["ssh"].clone();
    let default = serde_json::json!([{"id": "default", "paths": []}]);
    for line in [
        "git@example.invalid:x.git",
        "ssh://git@example.invalid/x.git",
        "--build-context x=git@example.invalid:x.git context",
    ] {
        assert_eq!(lent(&with, line), default, "{line}");
        assert_eq!(lent(&without, line), serde_json::json!([]), "{line}");
    }
    let own = serde_json::json!([{"id": "own", "paths": []}]);
    assert_eq!(lent(&with, "--ssh own git@example.invalid:x.git"), own);
    for line in ["context", "https://example.invalid/x.git"] {
        assert_eq!(lent(&with, line), serde_json::json!([]), "{line}");
    }
}

#[test]
fn proxies_of_an_engine_are_read_by_its_address() {
    let sandbox = sandbox();
    let folder = sandbox.home().join(".docker");
    fs::create_dir(&folder).unwrap();
    let nowhere = format!("unix://{}/nowhere.sock", sandbox.home().display());
    let config = serde_json::json!({"proxies": {
        "default": {"httpProxy": "http://default:1", "noProxy": "a"},
        nowhere.as_str(): {"httpsProxy": "http://own:1"},
        "tcp://127.0.0.9:2375": {"ftpProxy": "http://other:1"},
    }});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let args = |line: &str| {
        let plan = plan(&sandbox, line);
        let args = plan["options"]["build_args"].as_object().unwrap().clone();
        args.keys()
            .filter(|name| name.starts_with(char::is_uppercase))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(args("context"), ["HTTPS_PROXY"]);
    assert_eq!(args("-H tcp://127.0.0.9:2375 context"), ["FTP_PROXY"]);
    assert_eq!(
        args("-H 127.0.0.9 context"),
        ["FTP_PROXY"],
        "as docker writes it in short"
    );
    assert_eq!(
        args("-H tcp://127.0.0.9:2376 context"),
        ["HTTP_PROXY", "NO_PROXY"]
    );
    // what is named on the command line is nobody else's, even when it is set nowhere
    assert!(args("--build-arg HTTPS_PROXY context").is_empty());
}
