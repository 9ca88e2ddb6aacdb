//! The house rules, read from the source: who may name bollard, print, spawn, read the environment.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "the source is not where this test looks");
    found
}

/// Code without its comments; a word in prose is no use of it.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn only(words: &[&str], allowed: impl Fn(&str) -> bool, rule: &str) {
    for (name, text) in sources() {
        let code = code(&text);
        for word in words {
            assert!(
                allowed(&name) || !code.contains(word),
                "src/{name} says `{word}`: {rule}"
            );
        }
    }
}

#[test]
fn bollard_is_named_in_the_docker_adapter_only() {
    only(
        &["bollard::"],
        |name| name.starts_with("engine/docker/"),
        "the engine's types stay in engine/docker/",
    );
    only(
        &["bollard_buildkit_proto", "tonic::"],
        |name| name.starts_with("engine/buildkit/"),
        "BuildKit's protocol stays in engine/buildkit/",
    );
}

#[test]
fn printing_spawning_reading_the_environment_and_yaml_have_one_door_each() {
    only(
        &[
            "println!",
            "eprintln!",
            "print!(",
            "io::stdout()",
            "io::stderr()",
        ],
        |name| name == "ui.rs" || name.starts_with("probe/") || name == "bin/devnet-probe.rs",
        "ui.rs speaks",
    );
    only(
        &["process::Command", "Command::new"],
        |name| name == "host/process.rs" || name.starts_with("probe/"),
        "host/process.rs spawns",
    );
    only(
        &["env::var", "env::vars", "env::set_var"],
        |name| name == "settings/mod.rs" || name.starts_with("probe/"),
        "settings/ reads the environment",
    );
    only(
        &["serde_yaml", "saphyr"],
        |name| name.starts_with("yaml/"),
        "yaml/ is the door to serde_yaml",
    );
}

#[test]
fn the_domain_knows_no_adapter_and_no_terminal() {
    for (name, text) in sources() {
        let domain = ["docker_env/", "image/", "pod/", "netns/", "lab/"];
        if !domain.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let code = code(&text);
        for word in [
            "bollard",
            "clap::",
            "tokio::",
            "std::process",
            "std::env",
            "crossterm",
            "crate::engine",
            "crate::load",
            "crate::wire",
            "crate::host",
            "crate::commands",
            "crate::render",
            "crate::ui",
            "crate::settings",
        ] {
            assert!(
                !code.contains(word),
                "src/{name} says `{word}`: the domain is pure"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_in_its_first_line() {
    for (name, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "src/{name} does not begin with `//! `"
        );
    }
}
