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
fn every_file_says_what_it_is_for_in_its_first_line() {
    for (name, text) in source::files() {
        assert!(
            text.starts_with("//! "),
            "src/{name} does not begin with `//! `"
        );
    }
}

/// The doc comments of a text whose first line begins with a question word, each as `LINE: TEXT`.
fn questions(text: &str) -> Vec<String> {
    let words = [
        "What", "Who", "Whose", "Whom", "Where", "How", "Which", "Whether", "Why", "When",
    ];
    source::doc_openings(text)
        .filter(|(_, first)| {
            let word = first.split(|c: char| !c.is_alphabetic()).next();
            word.is_some_and(|word| words.contains(&word))
        })
        .map(|(line, first)| format!("{line}: {first}"))
        .collect()
}

#[test]
fn a_doc_comment_begins_with_a_statement_of_what_the_thing_is() {
    let mut read = 0;
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for (name, text) in source::files_under(folder) {
            read += source::doc_openings(&text).count();
            let here = questions(&text);
            found.extend(here.iter().map(|one| format!("{folder}/{name}:{one}")));
        }
    }
    assert!(read > 2000, "the comments are not where this test looks");
    assert!(
        found.is_empty(),
        "doc comments that begin with a question instead of a statement:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_doc_comment_that_begins_with_a_question_is_found() {
    let text = [
        "//! What a file holds.",
        "",
        "/// A thing.",
        "/// When it is full.",
        "struct A {",
        "    /// Whether it is full.",
        "    full: bool,",
        "    // How it grows.",
        "    /// Whichever came last.",
        "    last: u8,",
        "}",
        "//! A module.",
        "/// Why's that?",
        "fn f() {}",
    ]
    .join("\n");
    assert_eq!(
        questions(&text),
        [
            "1: What a file holds.",
            "6: Whether it is full.",
            "13: Why's that?"
        ]
    );
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

/// A source without its tests and comments, with its texts.
fn without_tests(name: &str, text: &str) -> String {
    if source::is_tests(name) {
        return String::new();
    }
    source::program(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The texts in quotes of a piece of code, without those that hold quotes themselves.
fn texts(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .flat_map(|line| line.split('"').skip(1).step_by(2))
}

#[test]
fn a_command_that_is_shown_is_quoted_at_one_door() {
    let starts = [
        "devnet -",
        "devnet lab ",
        "devnet logs",
        "devnet load",
        "devnet ports",
        "devnet inspect",
        "minikube start",
        "minikube delete",
        "minikube ssh",
        "minikube -",
        "docker kill",
        "docker rm",
        "docker restart",
        "docker unpause",
        "docker context rm",
        "docker -",
        "kubectl ",
    ];
    for (name, text) in source::files() {
        let code = without_tests(&name, &text);
        for text in texts(&code) {
            let whole = starts.iter().any(|start| text.starts_with(start)) && text.contains('{');
            let in_ticks = text.split('`').skip(1).step_by(2).any(|ticked| {
                let program = ticked.split(' ').next().unwrap_or_default();
                ["devnet", "docker", "kubectl", "minikube"].contains(&program)
                    && ticked.contains('{')
            });
            assert!(
                !whole && !in_ticks,
                "src/{name} says `{text}`: command_line.rs quotes the words of a command"
            );
        }
    }
}

#[test]
fn what_is_shown_as_json_goes_through_one_door() {
    // those write what only machines read: files, labels, layers, variables
    let others = [
        "commands/build/podman.rs",
        "commands/load/memory.rs",
        "commands/invocation/used_cluster.rs",
        "docker_env/plan.rs",
        "host/journal.rs",
        "image/oci/written.rs",
        "json.rs",
        "lab/plan.rs",
        "load/transfer_store.rs",
        "render/inspect.rs",
    ];
    for (name, text) in source::files() {
        let code = without_tests(&name, &text);
        let shows = code.contains("serde_json::to_") || code.contains(":#}");
        assert!(
            !shows || others.contains(&name.replace('\\', "/").as_str()),
            "src/{name} writes JSON: json.rs does, without characters that a terminal obeys"
        );
    }
}

#[test]
fn a_path_is_joined_part_by_part() {
    for (name, text) in source::files() {
        let code = without_tests(&name, &text);
        for part in code.split(".join(\"").skip(1) {
            let part = part.split('"').next().unwrap_or_default();
            assert!(
                part == "/" || !part.contains('/'),
                "src/{name} joins `{part}`: under Windows it would be shown with both slashes"
            );
        }
    }
}

#[test]
fn tests_neither_sleep_nor_measure_time_and_none_is_ignored() {
    // the limits of waits; a runtime's stand-in, which ends containers after their time; a kill at a random
    // moment of a load, whose length is measured; and what is no test, but the ground of a bench
    let others = [
        "tests/it/support/mod.rs",
        "tests/it/support/crio/mod.rs",
        "tests/it/support/crio/ground.rs",
        "tests/it/support/crio/store.rs",
        "tests/it/support/watchdog.rs",
        "tests/it/load_kills.rs",
        "tests/it/containerd_load_kills.rs",
        "tests/it/containerd_build_kills.rs",
        "tests/it/crio_bench.rs",
    ];
    let tests = source::tests();
    assert!(
        tests
            .values()
            .map(|code| code.matches("#[test]").count())
            .sum::<usize>()
            > 500
    );
    for (name, code) in tests {
        let words = [
            "::sleep",
            "time.sleep",
            "elapsed()",
            "duration_since(",
            "Instant",
            "thread::yield_now",
            "#[ignore",
        ];
        for word in words {
            assert!(
                others.contains(&name.as_str()) || !code.contains(word),
                "a test in {name} says `{word}`: `until` waits, and a clock is handed in"
            );
        }
    }
}

/// The code before a place in it, from the brace on that opens the block around the place.
fn block(before: &str) -> &str {
    let mut depth = 0;
    for (at, c) in before.char_indices().rev() {
        match c {
            '}' => depth += 1,
            '{' if depth == 0 => return &before[..=at],
            '{' => depth -= 1,
            _ => {}
        }
    }
    ""
}

#[test]
fn a_test_that_returns_early_has_said_why() {
    // those say what is missing themselves
    let say = [
        "testbed()",
        "here(",
        "Build::new(",
        "checkout()",
        "build()",
        "Lab::new()",
        "Tried::new(",
        "Sshd::start(",
        "Podman::named(",
        "Podman::start(",
        "containerd_node()",
        "building_node()",
        "ContainerdNode::building(",
        "CrioNode::start(",
        "node(",
        "works(",
        "pod(",
        "calls(",
        "same(",
    ];
    let mut seen = 0;
    for (name, code) in source::tests() {
        for test in code.split("#[test]").skip(1) {
            let test = test.split("\n}\n").next().unwrap_or_default();
            for (at, _) in test
                .match_indices("return;")
                .chain(test.match_indices("return }"))
            {
                seen += 1;
                let opening = block(&test[..at]);
                let inside = &test[opening.len()..at];
                let condition = opening.rsplit([';', '}']).next().unwrap_or_default();
                let why = ["missing(", "assert", ".fails("]
                    .iter()
                    .any(|word| inside.contains(word));
                assert!(
                    why || say.iter().any(|word| condition.contains(word)),
                    "a test in {name} returns without a word after `{}`",
                    condition.trim()
                );
            }
        }
    }
    assert!(seen > 200, "the returns are not where this test looks");
}
