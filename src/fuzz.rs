//! Entry points for the fuzzer (`tests/fuzz`, built with `--cfg fuzzing`): every parser of text
//! that others wrote. None may panic, and what must hold of what they give is asserted.

use std::io;
use std::path::Path;

use clap::ValueEnum as _;

use crate::docker_env::plan::{self, Current};
use crate::docker_env::profile::{Machine, Profile};
use crate::docker_env::published::Published;
use crate::docker_env::{endpoint, parse};
use crate::image::{credentials, dockerfile, ignore, oci_archive, reference};
use crate::lab::manifest;
use crate::settings::config_file::ConfigFile;
use crate::shell::{Format, Shell};

/// Output of `minikube docker-env`; an environment that it sets is given back as it was.
pub fn docker_env(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    drop(endpoint::Address::parse(&text));
    let Ok(env) = parse::parse(&text) else { return };
    for before in [
        Current::new(),
        Current::from([("DOCKER_HOST".to_owned(), text.to_string())]),
    ] {
        let changes = plan::set(&before, &env, Some("127.0.0.1")).expect("nothing is saved yet");
        for shell in Shell::value_variants() {
            drop(shell.script(&changes));
        }
        for format in Format::value_variants() {
            drop(format.set(&changes));
        }
        let now = plan::apply(&before, &changes);
        let back = plan::unset(&now).expect("devnet wrote what it reads");
        assert_eq!(plan::apply(&now, &back), before);
    }
}

/// minikube's records, devnet's and docker's configuration, pod manifests.
pub fn records(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    drop(Machine::parse("machine", &text));
    drop(Published::of_podman(&text));
    if let Ok(profile) = Profile::parse("profile", &text) {
        for (_, node) in profile.machines() {
            for reachable in [false, true] {
                drop(profile.route(node, None, reachable));
            }
        }
    }
    drop(ConfigFile::parse(Path::new("config.yaml"), &text));
    drop(credentials::helper_answer(&text));
    if let Ok(config) = credentials::DockerConfig::parse(&text) {
        drop(config.place("registry.example"));
        drop(config.proxy_args());
    }
    drop(manifest::read(&[("pod.yaml".into(), text.into_owned())]));
}

/// A Dockerfile's lines, ignore patterns and the paths that they meet, image names.
pub fn patterns(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (patterns, paths) = text.split_once('\0').unwrap_or((&text, "a/b/c"));
    if let Ok(patterns) = ignore::Matcher::new(&ignore::lines(patterns)) {
        for path in paths.lines() {
            let path = ignore::clean(path);
            let (_, matched) = patterns.matches(&path, None);
            drop(patterns.matches(&format!("{path}/below"), Some(&matched)));
            let _below = patterns.may_cover_below(&path);
        }
    }
    let _place = dockerfile::locate(patterns, paths);
    let _line = dockerfile::line_in_message(patterns);
    drop(reference::split(&text));
    drop(reference::canonical(&text));
}

/// Archives as `docker save` sends them.
pub fn archives(data: &[u8]) {
    drop(oci_archive::places(&mut io::Cursor::new(data)));
}
