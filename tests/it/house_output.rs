//! The house rules for output, read from the source: who may quote a command or write JSON, and how a path
//! is joined.

use crate::house::texts;
use crate::support::source;

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
