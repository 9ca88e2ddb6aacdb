//! `devnet config`: each value and who said it; a config file that says nonsense is told.

use std::fs;

use serde_json::Value;

use crate::support::Sandbox;

/// A home with minikube's choice of a profile.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::bare();
    let home = sandbox.home().join(".minikube/config");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("config.json"), r#"{"profile":"chosen"}"#).unwrap();
    sandbox
}

fn config_file(sandbox: &Sandbox, text: &str) {
    let folder = sandbox.home().join("config/devnet");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yaml"), text).unwrap();
}

fn settings(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let all = [arguments, &["config", "-o", "json"]].concat();
    let document: Value = serde_json::from_str(&sandbox.devnet(&all).ok()).unwrap();
    assert_eq!(document["schema"], 1);
    document["settings"].clone()
}

fn said(settings: &Value, name: &str) -> (String, String) {
    let setting = &settings[name];
    let origin = &setting["origin"];
    let detail = ["name", "line", "key"]
        .iter()
        .find_map(|field| origin.get(*field))
        .map_or(String::new(), |value| format!(" {value}").replace('"', ""));
    (
        setting["value"].as_str().unwrap_or("-").into(),
        format!("{}{detail}", origin["kind"].as_str().unwrap()),
    )
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.into(), origin.into())
}

#[test]
fn the_profile_tells_who_named_it_from_the_default_up_to_the_flag() {
    let bare = Sandbox::bare();
    assert_eq!(
        said(&settings(&bare, &[]), "profile"),
        pair("minikube", "default")
    );
    let sandbox = sandbox();
    assert_eq!(
        said(&settings(&sandbox, &[]), "profile"),
        pair("chosen", "minikube profile")
    );
    config_file(&sandbox, "# mine\nprofile: filed\n");
    assert_eq!(
        said(&settings(&sandbox, &[]), "profile"),
        pair("filed", "config 2")
    );
    let sandbox = sandbox.env("MINIKUBE_PROFILE", "theirs");
    assert_eq!(
        said(&settings(&sandbox, &[]), "profile"),
        pair("theirs", "variable MINIKUBE_PROFILE")
    );
    let sandbox = sandbox.env("DEVNET_PROFILE", "ours");
    assert_eq!(
        said(&settings(&sandbox, &[]), "profile"),
        pair("ours", "variable DEVNET_PROFILE")
    );
    assert_eq!(
        said(&settings(&sandbox, &["-p", "now"]), "profile"),
        pair("now", "flag --profile")
    );
}

#[test]
fn colour_progress_hosts_and_folders_tell_it_too() {
    let sandbox = Sandbox::bare();
    let all = settings(&sandbox, &[]);
    assert_eq!(said(&all, "color"), pair("auto", "default"));
    assert_eq!(said(&all, "progress"), pair("auto", "default"));
    assert_eq!(said(&all, "host"), pair("-", "default"));
    config_file(&sandbox, "color: always\nprogress: plain\n");
    let all = settings(&sandbox, &[]);
    assert_eq!(said(&all, "color"), pair("always", "config 1"));
    assert_eq!(said(&all, "progress"), pair("plain", "config 2"));
    let painted = sandbox.devnet(&["config"]).ok();
    assert!(painted.contains("\x1b["), "the file's colour holds");

    let sandbox = sandbox
        .env("NO_COLOR", "1")
        .env("BUILDKIT_PROGRESS", "rawjson")
        .env("DOCKER_HOST", "ssh://me:secret@far.example")
        .env("DOCKER_CERT_PATH", "/certs")
        .env("DOCKER_CONFIG", "/dockers");
    let all = settings(&sandbox, &[]);
    assert_eq!(said(&all, "color"), pair("never", "variable NO_COLOR"));
    assert_eq!(
        said(&all, "progress"),
        pair("rawjson", "variable BUILDKIT_PROGRESS")
    );
    assert_eq!(
        said(&all, "host"),
        pair("ssh://me:***@far.example", "variable DOCKER_HOST")
    );
    assert_eq!(
        said(&all, "tls_cert_path"),
        pair("/certs", "variable DOCKER_CERT_PATH")
    );
    assert_eq!(
        said(&all, "docker_config"),
        pair("/dockers", "variable DOCKER_CONFIG")
    );
    let outcome = sandbox.devnet(&["config"]);
    assert!(!outcome.to_string().contains("secret"), "{outcome}");
    assert!(!outcome.to_string().contains("\x1b["), "{outcome}");

    let sandbox = sandbox.env("DEVNET_HOST", "tcp://a:1");
    assert_eq!(
        said(&settings(&sandbox, &[]), "host"),
        pair("tcp://a:1", "variable DEVNET_HOST")
    );
    let all = settings(
        &sandbox,
        &["-H", "tcp://b:1", "--tls-cert-path", "/c", "--color=never"],
    );
    assert_eq!(said(&all, "host"), pair("tcp://b:1", "flag --host"));
    assert_eq!(
        said(&all, "tls_cert_path"),
        pair("/c", "flag --tls-cert-path")
    );
    assert_eq!(said(&all, "color"), pair("never", "flag --color"));
}

#[test]
fn the_host_engine_tells_dockers_own_choice() {
    let sandbox = Sandbox::bare();
    let folder = sandbox.home().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    // a context that is not there is docker's own mistake: the rest is still told
    fs::write(folder.join("config.json"), r#"{"currentContext":"gone"}"#).unwrap();
    let outcome = sandbox.devnet(&["config", "-o", "json"]);
    assert!(
        outcome.stderr.contains("there is no docker context `gone`"),
        "{outcome}"
    );
    assert!(outcome.ok().contains("\"profile\""));
    // a context of devnet's own is no host engine
    fs::write(
        folder.join("config.json"),
        r#"{"currentContext":"devnet-dev"}"#,
    )
    .unwrap();
    let (value, origin) = said(&settings(&sandbox, &[]), "host_engine");
    assert!(value.starts_with("unix://"), "{value}");
    assert_eq!(origin, "default");
}

#[test]
fn a_config_file_that_says_nonsense_is_told_with_file_line_and_field() {
    let sandbox = Sandbox::bare();
    for (text, said) in [
        (
            "profile: a\ncolour: never\n",
            "config.yaml:2: colour: devnet does not know this field",
        ),
        (
            "profile: [x]\n",
            "config.yaml:1: profile: a profile's name is expected here",
        ),
        ("profile: {\n", "config.yaml:2:"),
        ("color: 3\n", "config.yaml:1: color: `always`"),
    ] {
        config_file(&sandbox, text);
        for command in [&["config"][..], &["status"], &["new", "pod"]] {
            let stderr = sandbox.devnet(command).fails(2);
            assert!(stderr.contains(said), "{command:?}: {stderr}");
        }
        let outcome = sandbox.devnet(&["env", "--unset", "--shell", "bash"]);
        assert_eq!(outcome.code, 0, "a shell is given back: {outcome}");
    }
    fs::write(sandbox.home().join("config/devnet/config.yaml"), [0xff]).unwrap();
    let stderr = sandbox.devnet(&["config"]).fails(2);
    assert!(stderr.contains("can't be read"), "{stderr}");
}

#[test]
fn text_json_and_yaml_say_the_same() {
    let sandbox = sandbox();
    let text = sandbox.devnet(&["config"]).ok();
    let place = sandbox.home().join(".minikube/config/config.json");
    assert!(
        text.contains(&format!("minikube's active profile: {}", place.display())),
        "{text}"
    );
    let yaml = sandbox.devnet(&["config", "-o", "yaml"]).ok();
    for (name, setting) in settings(&sandbox, &[]).as_object().unwrap() {
        assert!(text.contains(name.as_str()), "{name}");
        assert!(yaml.contains(&format!("  {name}:\n")), "{name}: {yaml}");
        assert!(setting["origin"]["kind"].is_string(), "{setting}");
    }
}
