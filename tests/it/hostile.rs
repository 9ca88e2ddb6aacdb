//! Engines that mean harm by size: no answer takes more memory than devnet has for it.

use serde_json::Value;

use crate::support::hostile::{Deed, Hostile, head, listed, upgraded};
use crate::support::{Output, Sandbox};

/// KiB.
pub(crate) const MOST_MEMORY: u64 = 64 << 10;
const MIB: usize = 1 << 20;

/// Words in which `@` is an engine. What is loaded from it goes to another one, which is the target.
pub(crate) fn words<'a>(arguments: &[&'a str], url: &'a str) -> Vec<&'a str> {
    let words = arguments.iter();
    words
        .map(|word| if *word == "@" { url } else { *word })
        .collect()
}

/// The engine that a command talks with: the hostile one, or where that is a source, a good one.
pub(crate) fn target(sandbox: &Sandbox, arguments: &[&str], url: &str) -> String {
    if !arguments.contains(&"@") {
        return url.to_owned();
    }
    let folder = sandbox.home().join("good");
    std::fs::create_dir(&folder).unwrap();
    Hostile::named(&folder, "another", |_, path| {
        // it lacks what is loaded
        let of_an_image = path.starts_with("/images/") && path != "/images/json";
        let lacks = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{}";
        of_an_image.then(|| Deed::Repeat(lacks.to_vec(), Vec::new(), 0))
    })
    .url()
}

/// Runs devnet against an engine, and gives how it ended and the most memory that it had (KiB).
fn measured(sandbox: &Sandbox, host: &str, arguments: &[&str]) -> (Output, u64) {
    measured_after(sandbox, "", host, arguments)
}

/// The same with the output of a shell's command as its input.
pub(crate) fn measured_after(
    sandbox: &Sandbox,
    before: &str,
    host: &str,
    arguments: &[&str],
) -> (Output, u64) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/peak.py");
    let peak = sandbox.home().join("peak");
    let mut command = sandbox.command("sh");
    command
        .args(["-c", &format!("{before} exec \"$@\""), "sh"])
        .args(["timeout", "300", "python3", script])
        .arg(&peak)
        .args([env!("CARGO_BIN_EXE_devnet"), "-H", host])
        .args(arguments);
    let output = Output::of(&mut command);
    let peak = std::fs::read_to_string(peak).expect("it ended by itself");
    (output, peak.parse().unwrap())
}

/// A way to harm: what is asked for, what comes instead, what devnet says then.
struct Harm {
    name: &'static str,
    arguments: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    deed: fn() -> Deed,
    says: &'static str,
}

pub(crate) fn json_head() -> Vec<u8> {
    head("Content-Type: application/json\r\n")
}

pub(crate) fn with(mut first: Vec<u8>, more: &[u8]) -> Vec<u8> {
    first.extend_from_slice(more);
    first
}

/// A frame that claims 4 GiB, and 200 MiB of it.
fn long_frame(first: Vec<u8>) -> Deed {
    let first = with(first, b"\x01\0\0\0\xff\xff\xff\xff");
    Deed::Repeat(first, vec![b'x'; MIB], 200)
}

const HARMS: &[Harm] = &[
    Harm {
        name: "a ping without an end",
        arguments: &["pods"],
        method: "GET",
        path: "/_ping",
        deed: || Deed::Repeat(head(""), vec![b'O'; MIB], 1000),
        says: "larger than devnet reads (64 KiB)",
    },
    Harm {
        name: "a head without an end",
        arguments: &["pods"],
        method: "GET",
        path: "/_ping",
        deed: || {
            Deed::Repeat(
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"A: b\r\n".to_vec(),
                10_000_000,
            )
        },
        says: "no engine answered",
    },
    Harm {
        name: "a refusal without an end",
        arguments: &["pods"],
        method: "GET",
        path: "/containers/json",
        deed: || {
            let head = b"HTTP/1.1 500 no\r\nConnection: close\r\n\r\n".to_vec();
            Deed::Repeat(head, vec![b'x'; MIB], 1000)
        },
        says: "larger than devnet reads (64 KiB)",
    },
    Harm {
        name: "1 GiB of text in a list",
        arguments: &["pods"],
        method: "GET",
        path: "/containers/json",
        deed: || Deed::Repeat(with(json_head(), b"[{\"Id\":\""), vec![b'x'; MIB], 1024),
        says: "`GET /containers/json` is larger than devnet reads (6 MiB)",
    },
    Harm {
        name: "a list of a million containers that say nothing",
        arguments: &["pods"],
        method: "GET",
        path: "/containers/json",
        deed: || Deed::Repeat(with(json_head(), b"[{}"), b",{}".repeat(1000), 1000),
        says: "larger than devnet reads",
    },
    Harm {
        name: "a list just below the limit",
        arguments: &["pods"],
        method: "GET",
        path: "/containers/json",
        deed: || {
            let first = with(json_head(), b"[{\"Labels\":{\"a\":\"");
            let mut text = vec![b'x'; 5 * MIB + MIB / 2];
            text.extend_from_slice(b"\"}}]");
            Deed::Repeat(first, text, 1)
        },
        says: "",
    },
    Harm {
        name: "images without an end",
        arguments: &["images"],
        method: "GET",
        path: "/images/json",
        deed: || Deed::Repeat(with(json_head(), b"[{}"), b",[{}]".repeat(1000), 100_000),
        says: "larger than devnet reads",
    },
    Harm {
        name: "a container that has 1 GiB to tell",
        arguments: &["pods"],
        method: "GET",
        path: "/json",
        deed: || Deed::Repeat(with(json_head(), b"{\"Id\":\""), vec![b'x'; MIB], 1024),
        says: "larger than devnet reads",
    },
    Harm {
        name: "ports without an end, at the price of ports",
        arguments: &["pods"],
        method: "GET",
        path: "/json",
        deed: || {
            let first = with(json_head(), b"{\"NetworkSettings\":{\"Ports\":{\"0\":[]");
            let port = |port: u32| format!(",\"{port}\":[{{}}]");
            let ports: Vec<String> = (0..9999).map(port).collect();
            Deed::Repeat(first, ports.concat().into_bytes(), 1000)
        },
        says: "larger than devnet reads",
    },
    Harm {
        name: "an info without an end",
        arguments: &["status"],
        method: "GET",
        path: "/info",
        deed: || Deed::Repeat(with(json_head(), b"{\"ID\":\""), vec![b'x'; MIB], 1024),
        says: "",
    },
    Harm {
        name: "an event without an end",
        arguments: &["history", "web"],
        method: "GET",
        path: "/events",
        deed: || {
            Deed::Repeat(
                with(json_head(), b"{\"a\":["),
                b"1,\n".repeat(10_000),
                10_000,
            )
        },
        says: "events are left out",
    },
    Harm {
        name: "events by the million",
        arguments: &["history", "web"],
        method: "GET",
        path: "/events",
        deed: || {
            let event = br#"{"Type":"container","Action":"die","Actor":{"ID":"x"},"timeNano":1}"#;
            Deed::Repeat(
                json_head(),
                [&event[..], b"\n"].concat().repeat(1000),
                100_000,
            )
        },
        says: "events are left out",
    },
    Harm {
        name: "a frame of a log that claims 4 GiB",
        arguments: &["logs", "web"],
        method: "GET",
        path: "/logs",
        deed: || long_frame(head("")),
        says: "",
    },
    Harm {
        name: "a log of a terminal without a line's end",
        arguments: &["logs", "web"],
        method: "GET",
        path: "/logs",
        deed: || Deed::Repeat(head(""), vec![b'x'; MIB], 200),
        says: "",
    },
    Harm {
        name: "a frame of an exec that claims 4 GiB",
        arguments: &["exec", "web", "--", "true"],
        method: "POST",
        path: "/start",
        deed: || long_frame(upgraded()),
        says: "",
    },
    Harm {
        name: "an archive whose header has no end",
        arguments: &["load", "app:dev", "--from-host", "@"],
        method: "GET",
        path: "/get",
        deed: || {
            let mut block = vec![0; 512];
            block[..4].copy_from_slice(b"long");
            block[124..136].copy_from_slice(b"77777777777\0");
            block[156] = b'x';
            block[257..263].copy_from_slice(b"ustar\0");
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            Deed::Repeat(with(head(""), &block), vec![b'1'; MIB], 1000)
        },
        says: "",
    },
];

#[test]
fn no_answer_takes_more_memory_than_devnet_has_for_it() {
    let mut table = Vec::new();
    for harm in HARMS {
        let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "5");
        let (method, path, deed) = (harm.method, harm.path, harm.deed);
        let hostile = Hostile::start(sandbox.home(), move |asked, at| {
            let one = path != "/json" || at.len() > "/containers/json".len();
            (asked == method && at.ends_with(path) && one).then(deed)
        });
        let url = hostile.url();
        let host = target(&sandbox, harm.arguments, &url);
        let (output, peak) = measured(&sandbox, &host, &words(harm.arguments, &url));
        table.push(format!("{peak} KiB, exit {}: {}", output.code, harm.name));
        assert!(
            output.stderr.contains(harm.says),
            "{}: {}",
            harm.name,
            output.stderr
        );
        assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
        assert!(
            peak <= MOST_MEMORY,
            "{}\n{}",
            table.join("\n"),
            output.stderr
        );
    }
    // shown with `--nocapture`
    println!("{}", table.join("\n"));
}

#[test]
fn many_containers_that_each_have_much_to_tell_take_no_more_either() {
    let sandbox = Sandbox::bare();
    let hostile = Hostile::start(sandbox.home(), |_, path| {
        if path == "/containers/json" {
            let all: Vec<Value> = (0..2000)
                .map(|number| listed(&format!("{number:064}"), "container"))
                .collect();
            let all = Value::from(all).to_string();
            return Some(Deed::Repeat(json_head(), all.into_bytes(), 1));
        }
        let id = path.strip_prefix("/containers/")?.strip_suffix("/json")?;
        let mut one = listed(id, "container");
        one["Config"]["Labels"]["a"] = "x".repeat(MIB / 2).into();
        one["State"] = serde_json::json!({ "Status": "running" });
        one["Created"] = Value::Null;
        Some(Deed::Repeat(json_head(), one.to_string().into_bytes(), 1))
    });
    let (output, peak) = measured(&sandbox, &hostile.url(), &["pods", "--no-probe"]);
    assert!(output.stderr.contains("more to tell"), "{output}");
    assert!(peak <= MOST_MEMORY, "{peak} KiB");
}

/// A container with a range of ports, some of them published, as programs for calls have them.
fn with_ports(id: &str, kind: &str, exposed: usize, published: usize) -> Value {
    let mut one = listed(id, kind);
    let port = |place: usize| format!("{}/udp", 16384 + place);
    let bound = |place: usize, host: &str| serde_json::json!({ "HostIp": host, "HostPort": (16384 + place).to_string() });
    let exposes = (0..exposed).map(|place| (port(place), serde_json::json!({})));
    one["Config"]["ExposedPorts"] = exposes.collect();
    let asked = (0..published).map(|place| (port(place), Value::from(vec![bound(place, "")])));
    one["HostConfig"]["PortBindings"] = asked.collect();
    let opened = (0..exposed).map(|place| {
        let bound = || Value::from(vec![bound(place, "0.0.0.0"), bound(place, "::")]);
        (port(place), Value::from((place < published).then(bound)))
    });
    one["NetworkSettings"]["Ports"] = opened.collect();
    one["State"] = serde_json::json!({ "Status": "running" });
    one["Created"] = Value::Null;
    one
}

#[test]
fn ports_by_the_thousand_are_read_and_take_no_more_memory_either() {
    let sandbox = Sandbox::bare();
    let kind = |id: &str| {
        let is_first = id.bytes().all(|byte| byte == b'0');
        if is_first { "podsandbox" } else { "container" }
    };
    let hostile = Hostile::start(sandbox.home(), move |_, path| {
        let text = if path == "/containers/json" {
            let container = |number| {
                let id = format!("{number:064}");
                let mut one = listed(&id, kind(&id));
                let port = |port| serde_json::json!({ "PrivatePort": port, "Type": "udp" });
                one["Ports"] = (16384..32769).map(port).collect();
                one
            };
            (0..8).map(container).collect::<Value>().to_string()
        } else {
            let id = path.strip_prefix("/containers/")?.strip_suffix("/json")?;
            with_ports(id, kind(id), 16385, 2000).to_string()
        };
        Some(Deed::Repeat(json_head(), text.into_bytes(), 1))
    });
    let arguments = ["pods", "--no-probe", "--all", "-o", "json"];
    let (output, peak) = measured(&sandbox, &hostile.url(), &arguments);
    assert!(peak <= MOST_MEMORY, "{peak} KiB");
    let document: Value = serde_json::from_str(&output.ok()).unwrap();
    let ports = document["pods"][0]["host_ports"].as_array().unwrap();
    assert!(ports.len() >= 2000 * 2, "{}", ports.len());
}
