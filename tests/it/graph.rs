//! `devnet graph`: the recorded node in every form, a page that is whole and asks for nothing, and
//! connections that are really there.

use std::path::Path;

use serde_json::Value;

use crate::support::made::Made;
use crate::support::replay::Replay;
use crate::support::{Output, Sandbox, docker, missing, testbed};

fn recorded(form: &str) -> String {
    let replay = Replay::start();
    Sandbox::bare()
        .devnet(&["-H", &replay.host, "graph", "--no-probe", "-o", form])
        .ok()
}

#[test]
fn the_recorded_node_is_drawn_for_graphviz() {
    let dot = recorded("dot");
    insta::assert_snapshot!("graph_dot", dot);
    if !Path::new("/usr/bin/dot").exists() {
        // only Graphviz itself knows whether it is its language
        missing("graphviz");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pods.dot");
    std::fs::write(&file, dot).unwrap();
    let sandbox = Sandbox::bare();
    let drawn = Output::of(sandbox.command("dot").arg("-Tsvg").arg(&file));
    assert!(drawn.stderr.is_empty(), "{drawn}");
    assert!(drawn.ok().contains("two"));
}

#[test]
fn the_recorded_node_is_drawn_for_mermaid() {
    insta::assert_snapshot!("graph_mermaid", recorded("mermaid"));
}

#[test]
fn the_recorded_node_is_drawn_as_svg() {
    let svg = recorded("svg");
    well_formed(&svg);
    insta::assert_snapshot!("graph_svg", svg);
}

/// Asserts that every element that begins ends, in order, and no `<` or `&` stands alone.
#[track_caller]
fn well_formed(text: &str) {
    const VOID: [&str; 4] = ["meta", "link", "input", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let before = &rest[..at];
        let raw = matches!(open.last(), Some(&"script" | &"style"));
        assert!(raw || !before.contains('>'), "{before}");
        for part in before.split('&').skip(1).filter(|_| !raw) {
            let entity = part.split(';').next().unwrap();
            assert!(
                matches!(entity, "amp" | "lt" | "gt" | "quot" | "#39"),
                "&{part}"
            );
        }
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if raw && tag != format!("/{}", open.last().unwrap()) {
            continue;
        }
        rest = after;
        if tag.starts_with(['?', '!']) || tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let page = recorded("html");
    well_formed(&page);
    let elsewhere = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for word in [
        "http://", "https://", "src=", "@import", "url(h", "<!--", "<link",
    ] {
        assert!(!elsewhere.contains(word), "{word}");
    }
    let articles = page.matches("<article id=\"pod-").count();
    assert_eq!(articles, 16);
    assert_eq!(page.matches("href=\"#pod-").count(), articles);
    assert!(page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("secure.v1"));
}

/// Begins or takes connections as its arguments say, `l:ADDRESS:PORT` or `c:ADDRESS:PORT`, and keeps
/// them.
const TALK: &str = r#"
use Socket; my @keep;
for (@ARGV) {
  my ($how, $addr, $port) = split ":"; socket(my $s, AF_INET, SOCK_STREAM, 0);
  my $at = pack_sockaddr_in($port, inet_aton($addr));
  if ($how eq "l") { bind($s, $at) or die "bind: $!"; listen($s, 9) } else { connect($s, $at) or die "connect: $!" }
  push @keep, $s;
}
$| = 1; print "open\n"; sleep 3600;
"#;

#[test]
fn connections_that_are_there_now_are_drawn_from_container_to_container() {
    let Some(testbed) = testbed() else { return };
    let network = "graph-net";
    let create = ["network", "create", "--subnet=172.31.40.0/24", network];
    docker(&testbed, "node", &create).ok();
    let system = ["/usr", "/lib", "/lib64"].map(|folder| format!("-v={folder}:{folder}:ro"));
    let flags: Vec<&str> = system.iter().map(String::as_str).collect();
    let talk = |made: &mut Made, container: &str, what: &[&str]| {
        let words = [&["/usr/bin/perl", "-e", TALK][..], what].concat();
        let id = made.add(container, &flags, &words);
        made.until_it_says(&id, "open");
    };
    let mut web = Made::with_network(&testbed, "graphweb", network);
    talk(&mut web, "server", &["l:0.0.0.0:8080", "l:127.0.0.1:9090"]);
    talk(&mut web, "side", &["c:127.0.0.1:9090"]);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = web.docker(&["inspect", "-f", format, &web.sandbox]);
    let mut ask = Made::with_network(&testbed, "graphask", network);
    let to = format!("c:{}:8080", address.trim());
    talk(&mut ask, "client", &[&to, &to]);
    let graph = |more: &[&str]| {
        let host = web.host();
        let mut all = vec!["-H", &host, "graph", "default/graphweb"];
        all.extend(more);
        Sandbox::bare().devnet(&all).ok()
    };
    let document: Value = serde_json::from_str(&graph(&["-o", "json"])).unwrap();
    let names: Vec<&str> = document["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["graphask", "graphweb"]);
    let mut edges: Vec<String> = document["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!(
                "{} {} {} {} {}",
                edge["from"]["pod"], edge["to"]["pod"], edge["port"], edge["count"], edge["local"]
            )
        })
        .collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "[0,\"client\"] [1,\"server\"] 8080 2 false",
            "[1,\"side\"] [1,\"server\"] 9090 1 true",
        ]
    );
    let dot = graph(&[]);
    assert!(dot.contains("p0c0 -> p1c0 [label=\":8080 x2\"]"), "{dot}");
    let page = graph(&["-o", "html"]);
    well_formed(&page);
    assert!(page.contains("data-from=\"0\" data-to=\"1\""));
    drop((web, ask));
    docker(&testbed, "node", &["network", "rm", network]).ok();
}
