//! Every kind of engine as source and as target: what `devnet load` brings is what a full
//! `docker save | docker load` brings. `make engines` fetches the engines' programs.

use std::path::Path;

use crate::support::engines::Engine;
use crate::support::{Output, Sandbox, missing, testbed};

const VERSIONS: [&str; 4] = ["20.10", "26", "28", "28c"];

/// Engines of every version; one whose programs are not here is named as missing.
fn engines(testbed: &Path, role: &str) -> Vec<(&'static str, Engine)> {
    let engine = |version| {
        let name = format!("{role}-{version}");
        let engine = Engine::of_version(testbed, &name, Some(version));
        if engine.is_none() {
            missing(&format!("engine {version} (`make engines`)"));
        }
        Some((version, engine?))
    };
    VERSIONS.into_iter().filter_map(engine).collect()
}

/// An image whose layers are no plain ones: files in another order than that of a walk, hard
/// links, long and foreign names, and a layer that removes and replaces.
fn tricky(source: &Engine, sandbox: &Sandbox) {
    let script = r#"
        set -e
        mkdir -p tree/bin tree/b tree/gone tree/proc
        cp "$(command -v busybox)" tree/bin/busybox
        echo z > tree/z; echo a > tree/b/a; ln tree/b/a tree/b/hard; ln -s ../z tree/b/soft
        echo ue > tree/b/ü; : > tree/b/empty
        echo long > "tree/b/$(printf 'n%.0s' $(seq 180))"
        echo gone > tree/gone/file
        (cd tree; find . -mindepth 1 | sort -r) | tar -C tree --no-recursion -cf tree.tar -T -
        docker -H "$0" import tree.tar tricky-base:1
        docker -H "$0" run --name tricky --network none tricky-base:1 \
            /bin/busybox sh -c 'rm /z; rm -r /gone; mkdir /gone; echo new > /gone/other'
        docker -H "$0" commit tricky tricky:1
        docker -H "$0" rm tricky
        rm -r tree tree.tar
    "#;
    Output::of(sandbox.command("sh").args(["-c", script, &source.url()])).ok();
}

/// All that is to be equal.
fn facts(engine: &Engine, image: &str) -> String {
    let format = "{{json .RootFS.Layers}} {{json .Config.Env}} {{.Architecture}} {{.Created}}";
    engine
        .docker(&["image", "inspect", "-f", format, image])
        .ok()
}

fn id(engine: &Engine, image: &str) -> String {
    engine
        .docker(&["image", "inspect", "-f", "{{.Id}}", image])
        .ok()
}

/// Every file of a container, with its content.
fn files(engine: &Engine, image: &str) -> String {
    let list = "cd / && /bin/busybox find bin b z gone top base -exec /bin/busybox ls -lnd --full-time {} + -type f -exec /bin/busybox md5sum {} + 2>/dev/null | /bin/busybox sort";
    engine
        .docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            image,
            "/bin/busybox",
            "sh",
            "-c",
            list,
        ])
        .ok()
}

#[test]
fn what_arrives_is_what_a_full_load_brings_between_all_pairs_of_engines() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let sources = engines(&testbed, "pairs-from");
    for (_, source) in &sources {
        source.image("app:1", 1, "one");
        source.image("app:2", 1, "two");
        tricky(source, &sandbox);
    }
    let targets = engines(&testbed, "pairs-to");
    for (from, source) in &sources {
        for (to, target) in &targets {
            let pair = format!("{from} to {to}");
            for image in ["app:1", "app:2", "tricky:1"] {
                let url = source.url();
                let arguments = ["-H", &target.url(), "load", "--from-host", &url, image];
                let out = sandbox.devnet(&arguments);
                assert_eq!(out.code, 0, "{pair}: {out}");
                let whole = !out.stderr.contains("sending the whole image");
                assert!(whole, "{pair}, {image}: {out}");
                let (ours, our_id) = (facts(target, image), id(target, image));
                let there = files(target, image);
                assert_eq!(there, files(source, image), "{pair}, {image}");
                target.docker(&["rmi", "-f", image]).ok();
                if image == "app:2" {
                    target.docker(&["rmi", "-f", "app:1"]).ok();
                }
                let full = format!(
                    "docker -H {url} save {image} | docker -H {} load",
                    target.url()
                );
                Output::of(sandbox.command("sh").args(["-c", &full])).ok();
                assert_eq!(ours, facts(target, image), "{pair}, {image}");
                assert_eq!(there, files(target, image), "{pair}, {image}");
                // an old engine's archive has no manifest, whose digest is the ID in containerd's store
                if *to != "28c" || !matches!(*from, "20.10" | "28c") {
                    assert_eq!(our_id, id(target, image), "{pair}, {image}");
                }
                if image != "app:1" {
                    target.docker(&["rmi", "-f", image]).ok();
                }
            }
        }
    }
}
