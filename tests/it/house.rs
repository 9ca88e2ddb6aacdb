//! The house rules, read from the source: which way imports point, and who may name bollard, print,
//! spawn, read the environment, the clock or a disk.

use std::collections::BTreeSet;

use crate::support::source;

fn only(words: &[&str], allowed: impl Fn(&str) -> bool, rule: &str) {
    for (name, text) in source::files() {
        let code = source::code(&text);
        for word in words {
            assert!(
                allowed(&name) || !code.contains(word),
                "src/{name} says `{word}`: {rule}"
            );
        }
    }
}

/// The folder of a file, as `engine/docker`; of a file at the top, nothing.
fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Files of the domain, which takes text or values and gives values.
fn is_domain(file: &str) -> bool {
    ["docker_env/", "image/", "pod/", "netns/", "lab/"]
        .iter()
        .any(|folder| file.starts_with(folder))
}

#[test]
fn no_circle_of_imports_leaves_one_folder() {
    let imports = source::imports();
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(edges > 500, "the imports are not where this test looks");
    for circle in source::circles(&imports) {
        let folders: BTreeSet<&str> = circle.iter().map(|file| folder(file)).collect();
        assert!(
            folders.len() == 1,
            "{} files import each other in a circle across {folders:?}: {circle:?}",
            circle.len()
        );
    }
}

#[test]
fn imports_point_one_way() {
    // who must not know whom: (the importer's folders, those that it may not import, the reason)
    let rules: [(&[&str], &[&str], &str); 6] = [
        (
            &["engine/", "load/", "wire/"],
            &["render/", "commands/"],
            "adapters never render",
        ),
        (
            &["wire/"],
            &["engine/", "load/"],
            "dialling knows nothing of what is dialled",
        ),
        (
            &["engine/"],
            &["load/"],
            "a transfer uses engines, not the other way round",
        ),
        (
            &["render/", "shell/"],
            &["engine/", "load/", "wire/", "host/", "commands/"],
            "presentation asks nobody",
        ),
        (
            &["docker_env/", "image/", "pod/", "netns/", "lab/"],
            &[
                "engine/",
                "load/",
                "wire/",
                "host/",
                "commands/",
                "render/",
                "shell/",
                "settings/",
                "ui.rs",
            ],
            "the domain is pure",
        ),
        (
            &[
                "engine/",
                "load/",
                "wire/",
                "host/",
                "settings/",
                "render/",
                "shell/",
                "context/",
                "probe/",
                "commands/",
            ],
            &["cli.rs", "dispatch.rs"],
            "nobody below the command line knows it",
        ),
    ];
    for (file, imported) in source::imports() {
        for (from, to, reason) in rules {
            if !from.iter().any(|folder| file.starts_with(folder)) {
                continue;
            }
            let wrong = imported
                .iter()
                .find(|other| to.iter().any(|folder| other.starts_with(folder)));
            assert_eq!(wrong, None, "src/{file} imports it: {reason}");
        }
    }
}

#[test]
fn a_verb_calls_no_other_verb() {
    let imports = source::imports();
    let verb = |file: &str| -> Option<String> {
        let path = file.strip_prefix("commands/")?;
        let name = path.split('/').next()?.trim_end_matches(".rs");
        Some(name.to_owned())
    };
    // what the command line dispatches to
    let mut verbs: BTreeSet<String> = imports["dispatch.rs"]
        .iter()
        .filter_map(|file| verb(file))
        .collect();
    verbs.remove("mod");
    verbs.remove("invocation");
    assert!(
        verbs.len() > 20,
        "the verbs are not where this test looks: {verbs:?}"
    );
    for (file, imported) in &imports {
        let Some(own) = verb(file).filter(|own| verbs.contains(own)) else {
            continue;
        };
        let other = imported
            .iter()
            .find(|other| verb(other).is_some_and(|other| other != own && verbs.contains(&other)));
        assert_eq!(
            other, None,
            "src/{file} imports another verb: what several need is in commands/invocation/ or below"
        );
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
        &["bollard_buildkit_proto"],
        |name| name.starts_with("engine/buildkit/"),
        "BuildKit's protocol stays in engine/buildkit/",
    );
    only(
        &["tonic::", "prost::"],
        |name| {
            let services = ["buildkit", "containerd", "cri", "kubelet"];
            let is_of = |service| name.starts_with(&format!("engine/{service}/"));
            name == "engine/grpc.rs" || services.into_iter().any(is_of)
        },
        "gRPC stays in engine/grpc.rs and the folders of its services",
    );
}

#[test]
fn printing_spawning_reading_the_environment_and_yaml_have_one_door_each() {
    let probe = |name: &str| name.starts_with("probe/") || name.starts_with("bin/");
    only(
        &[
            "println!",
            "eprintln!",
            "print!(",
            "io::stdout()",
            "io::stderr()",
        ],
        |name| name == "ui.rs" || probe(name),
        "ui.rs speaks",
    );
    only(
        &["process::Command", "Command::new"],
        |name| name == "host/process.rs" || probe(name),
        "host/process.rs spawns",
    );
    only(
        &["env::var", "env::vars", "env::set_var"],
        |name| name == "settings/environment.rs" || probe(name),
        "settings/ reads the environment",
    );
    only(
        &["serde_yaml", "saphyr"],
        |name| name.starts_with("yaml/"),
        "yaml/ is the door to serde_yaml",
    );
}

/// The rule for the program alone, without the tests that stand beside it.
fn only_in_the_program(words: &[&str], allowed: impl Fn(&str) -> bool, rule: &str) {
    for (name, text) in source::files() {
        if source::is_tests(&name)
            || name.starts_with("probe/")
            || name.starts_with("bin/")
            || allowed(&name)
        {
            continue;
        }
        let code = source::code_of_the_program(&text);
        for word in words {
            assert!(!code.contains(word), "src/{name} says `{word}`: {rule}");
        }
    }
}

#[test]
fn files_are_read_and_replaced_through_one_door() {
    only_in_the_program(
        &[
            "fs::read(",
            "fs::read_to_string(",
            "File::open(",
            ".read(true)",
        ],
        |name| ["regular_file.rs", "host/journal.rs"].contains(&name),
        "regular_file.rs opens what is read: regular files, without waiting, within limits",
    );
    only_in_the_program(
        &["fs::write(", "fs::rename(", "File::create("],
        |name| {
            [
                "host/replace.rs",
                "host/journal.rs",
                "context/oci_layout.rs",
            ]
            .contains(&name)
        },
        "host/replace.rs writes files: whole or not at all, and never over a device or a pipe",
    );
}

#[test]
fn the_domain_knows_no_adapter_no_terminal_no_disk_and_no_clock() {
    for (name, text) in source::files() {
        let is_domain = is_domain(&name) || name == "finding.rs";
        if !is_domain || source::is_tests(&name) {
            continue;
        }
        let code = source::code_of_the_program(&text);
        for word in [
            "bollard",
            "clap::",
            "tokio::",
            "std::process",
            "std::env",
            "std::fs",
            "crossterm",
            "Instant::now",
            "SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
        ] {
            assert!(
                !code.contains(word),
                "src/{name} says `{word}`: the domain is pure"
            );
        }
    }
}

#[test]
fn what_hides_behind_a_url_or_in_a_comment_is_told_apart() {
    let text = "let a = \"http://x\"; println!(\"y\"); // print!(z)\nlet b = r#\"eprintln!(\"q\")\"#; let c = '\"'; /* spawn */ f::<'a>(\"\\\"//\"); done()";
    let code = source::code(text);
    assert!(code.contains("println!"), "{code}");
    assert!(code.contains("done()"), "{code}");
    for hidden in ["print!(z)", "eprintln!", "spawn", "http"] {
        assert!(!code.contains(hidden), "{hidden}: {code}");
    }
}

#[test]
fn a_circle_is_found() {
    let graph = [
        ("a/x.rs", "b/y.rs"),
        ("b/y.rs", "a/z.rs"),
        ("a/z.rs", "a/x.rs"),
        ("a/z.rs", "c.rs"),
    ];
    let mut imports = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    for (from, to) in graph {
        imports.entry(from.into()).or_default().insert(to.into());
    }
    let circles = source::circles(&imports);
    let expected = ["a/x.rs", "a/z.rs", "b/y.rs"].map(str::to_owned);
    assert_eq!(circles, [BTreeSet::from(expected)]);
}

#[test]
fn the_domain_says_no_word_of_one_runtime() {
    // the lab is Docker's alone, and says so
    let is_neutral =
        |file: &str| is_domain(file) && !file.starts_with("lab/") || file == "finding.rs";
    let acts = [
        "exec", "inspect", "kill", "logs", "pause", "ps", "restart", "rm", "run", "start", "stop",
        "unpause",
    ];
    let mut seen = 0;
    for (name, text) in source::files() {
        if !is_neutral(&name) {
            continue;
        }
        seen += 1;
        let code = source::code(&text);
        for word in ["network_mode", "sandbox_key", "hosts_path"] {
            assert!(
                !code.contains(word),
                "src/{name} says `{word}`: the adapter tells facts in words of no runtime"
            );
        }
        let lines = text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.starts_with("//")) {
            for quoted in texts(line) {
                let foreign = ["k8s_", "io.kubernetes.docker", "container:"];
                let command = acts.iter().map(|act| format!("docker {act}"));
                let word = foreign
                    .map(str::to_owned)
                    .into_iter()
                    .chain(command)
                    .find(|word| quoted.contains(word.as_str()));
                assert_eq!(
                    word, None,
                    "src/{name} says \"{quoted}\": an adapter reads a runtime's words, and \
                     render/remedy.rs says its commands"
                );
            }
        }
    }
    assert!(seen > 40, "the domain is not where this test looks");
}

/// The texts in quotes of a piece of code, without those that hold quotes themselves.
pub(crate) fn texts(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .flat_map(|line| line.split('"').skip(1).step_by(2))
}
