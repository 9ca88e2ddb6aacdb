//! Engines that mean harm, and engines that hang: no answer takes more memory than devnet has for it,
//! none is waited for without end, and no text breaks anything.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use crate::support::hostile::{APP, Deed, Hostile, described, head, listed, upgraded};
use crate::support::random::Random;
use crate::support::replay::Replay;
use crate::support::{Output, Sandbox, recorded_probe, testbed};

/// KiB.
pub(crate) const MOST_MEMORY: u64 = 64 << 10;
const MIB: usize = 1 << 20;

/// Words in which `@` is an engine. What is loaded from it goes to another one, which is the target.
fn words<'a>(arguments: &[&'a str], url: &'a str) -> Vec<&'a str> {
    let words = arguments.iter();
    words
        .map(|word| if *word == "@" { url } else { *word })
        .collect()
}

/// The engine that a command talks with: the hostile one, or where that is a source, a good one.
fn target(sandbox: &Sandbox, arguments: &[&str], url: &str) -> String {
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

fn json_head() -> Vec<u8> {
    head("Content-Type: application/json\r\n")
}

fn with(mut first: Vec<u8>, more: &[u8]) -> Vec<u8> {
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

/// Runs devnet, which must end by itself, and gives how.
#[track_caller]
fn ends(sandbox: &Sandbox, host: &str, arguments: &[&str]) -> Output {
    let mut command = sandbox.command("timeout");
    command
        .args(["120", env!("CARGO_BIN_EXE_devnet"), "-H", host])
        .args(arguments);
    let output = Output::of(&mut command);
    assert_ne!(output.code, 124, "it has no end: {arguments:?} {output}");
    output
}

#[test]
fn an_answer_that_stops_after_its_head_ends_the_command() {
    const STALLS: &[(&[&str], &str, &str)] = &[
        (&["pods"], "GET", "/_ping"),
        (&["pods"], "GET", "/containers/json"),
        (&["pods"], "GET", "/images/json"),
        (&["pods"], "GET", "/json"),
        (&["history", "web"], "GET", "/events"),
        (&["logs", "web"], "GET", "/logs"),
        (&["exec", "web", "--", "true"], "POST", "/exec"),
        (&["check"], "GET", "/containers/json"),
        (&["clean"], "GET", "/containers/json"),
        (&["lab", "ps"], "GET", "/containers/json"),
        (&["images"], "GET", "/images/json"),
        (
            &["load", "app:dev", "--from-host", "@"],
            "GET",
            "/app:dev/json",
        ),
    ];
    for (arguments, method, path) in STALLS {
        for answered in [true, false] {
            let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
            let hostile = Hostile::start(sandbox.home(), move |asked, at| {
                let first = if answered { json_head() } else { Vec::new() };
                (asked == *method && at.ends_with(path)).then_some(Deed::Stall(first))
            });
            let url = hostile.url();
            let host = target(&sandbox, arguments, &url);
            let output = ends(&sandbox, &host, &words(arguments, &url));
            // history does without
            let ended = output.code != 0 || output.stderr.contains("are left out");
            assert!(ended, "{arguments:?} {path}: {output}");
            assert!(
                output.stderr.contains("stalled") || output.stderr.contains("no answer within"),
                "{arguments:?} {path} {answered}: {output}"
            );
        }
    }
}

/// An engine's words for a list that it gave up, for one of those on it has just been removed.
const GIVEN_UP: &[(&str, &str)] = &[
    ("404 Not Found", "content digest sha256:113f: not found"),
    ("500 Internal Server Error", "layer does not exist"),
];

#[test]
fn a_list_that_an_engine_gave_up_for_what_has_just_gone_is_asked_for_again() {
    for (status, words) in GIVEN_UP {
        for (arguments, path) in [(["images"], "/images/json"), (["pods"], "/containers/json")] {
            for (times, code) in [(2, 0), (u32::MAX, 1)] {
                let sandbox = Sandbox::bare();
                let given_up = Mutex::new(0);
                let hostile = Hostile::start(sandbox.home(), move |_, at| {
                    let mut given_up = given_up.lock().unwrap();
                    if at != path || *given_up >= times {
                        return None;
                    }
                    *given_up += 1;
                    let said = format!(
                        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n{{\"message\":\"{words}\"}}"
                    );
                    Some(Deed::Repeat(said.into_bytes(), Vec::new(), 0))
                });
                let output = ends(&sandbox, &hostile.url(), &arguments);
                let as_it_should = if code == 0 {
                    output.code == 0 && !output.stderr.contains(words)
                } else {
                    output.code != 0 && output.stderr.contains(words)
                };
                assert!(as_it_should, "{arguments:?} {status} {times}: {output}");
            }
        }
    }
}

#[test]
fn an_engine_that_looks_long_through_a_log_and_answers_pings_is_waited_for() {
    let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
    let pings = Arc::new((Mutex::new(None), Condvar::new()));
    let hostile = Hostile::start(sandbox.home(), move |_, at| {
        let (count, more) = &*pings;
        if at == "/_ping" {
            if let Some(count) = &mut *count.lock().unwrap() {
                *count += 1;
            }
            more.notify_all();
        }
        if !at.ends_with("/logs") {
            return None;
        }
        *count.lock().unwrap() = Some(0);
        let pings = pings.clone();
        let wait = move || {
            let (count, more) = &*pings;
            let few = |count: &mut Option<u32>| count.is_some_and(|count| count < 4);
            let _many = more.wait_while(count.lock().unwrap(), few).unwrap();
        };
        let line = b"2026-01-01T00:00:01.000000000Z found\n";
        let length = u8::try_from(line.len()).unwrap();
        let frame = [&[1, 0, 0, 0, 0, 0, 0, length][..], line].concat();
        Some(Deed::After(head(""), Box::new(wait), frame))
    });
    let output = ends(
        &sandbox,
        &hostile.url(),
        &["logs", "web", "--since", "2026-01-01T00:00:00Z"],
    );
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("found"), "{output}");
}

#[test]
fn an_engine_that_stalls_over_a_container_s_files_is_not_waited_for() {
    // the one that brings the program, and the one that asks for a pod's address
    for (method, container) in [("PUT", "new"), ("GET", APP)] {
        for (verb, first) in [("pods", json_head()), ("inspect", Vec::new())] {
            let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
            let archive = format!("/containers/{container}/archive");
            let hostile = Hostile::start(sandbox.home(), move |asked, at| {
                if asked == method && at == archive {
                    return Some(Deed::Stall(first.clone()));
                }
                if asked == "POST" && at == "/containers/create" {
                    let made = serde_json::json!({ "Id": "new", "Warnings": [] }).to_string();
                    return Some(Deed::Repeat(json_head(), made.into_bytes(), 1));
                }
                let is_app = at.strip_prefix("/containers/") == Some(&format!("{APP}/json"));
                is_app.then(|| {
                    let mut one = described(APP, "container");
                    one["HostsPath"] = "/var/lib/kubelet/pods/1/etc-hosts".into();
                    Deed::Repeat(json_head(), one.to_string().into_bytes(), 1)
                })
            });
            let web: &[&str] = if verb == "inspect" { &["web"] } else { &[] };
            let output = ends(&sandbox, &hostile.url(), &[&[verb], web].concat());
            assert_eq!(output.code, 0, "{method} {verb}: {output}");
            assert!(output.stdout.contains("web"), "{output}");
        }
    }
}

#[test]
fn an_engine_that_freezes_amid_a_program_s_output_is_noticed_and_said() {
    let program = with(upgraded(), b"\x01\0\0\0\0\0\0\x06first\n");
    let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
    let hostile = Hostile::start(sandbox.home(), move |_, at| {
        at.ends_with("/start")
            .then(|| Deed::Freeze(program.clone()))
    });
    let output = ends(&sandbox, &hostile.url(), &["exec", "web", "--", "true"]);
    assert_eq!(output.stdout, "first\n", "{output}");
    assert_ne!(output.code, 0, "{output}");
    for said in ["nothing comes from the engine", "fell silent"] {
        assert!(output.stderr.contains(said), "{output}");
    }
}

#[test]
fn who_follows_says_that_an_engine_is_silent_and_goes_on() {
    let cases: [(&[&str], &str, Vec<u8>); 2] = [
        (&["watch"], "/events", json_head()),
        (&["logs", "web", "-f"], "/logs", head("")),
    ];
    for (arguments, path, first) in cases {
        let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
        let hostile = Hostile::start(sandbox.home(), move |_, at| {
            at.ends_with(path).then(|| Deed::Freeze(first.clone()))
        });
        let url = hostile.url();
        let words = [&["-H", &url], arguments].concat();
        let mut child = sandbox
            .devnet_command(&words)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let noted = lines
            .map_while(Result::ok)
            .any(|line| line.contains("nothing comes from the engine"));
        assert!(noted, "{arguments:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_builder_that_does_not_answer_ends_the_build() {
    for path in ["/grpc", "/session"] {
        for answered in [true, false] {
            let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "1");
            std::fs::write(sandbox.home().join("Dockerfile"), "FROM scratch\n").unwrap();
            let hostile = Hostile::start(sandbox.home(), move |_, at| {
                // the other one is silent after its upgrade
                let upgrades = answered || !at.ends_with(path);
                let first = if upgrades { upgraded() } else { Vec::new() };
                matches!(at, "/grpc" | "/session").then_some(Deed::Stall(first))
            });
            let output = ends(&sandbox, &hostile.url(), &["build", "."]);
            assert_eq!(output.code, 1, "{path} {answered}: {output}");
        }
    }
}

#[test]
fn what_listens_and_is_no_docker_engine_is_named() {
    if testbed().is_none() {
        return;
    }
    let sandbox = Sandbox::bare();
    let program = ["/usr/bin/containerd", "/usr/sbin/containerd"];
    let program = program
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let socket = sandbox.home().join("containerd.sock");
    let config = sandbox.home().join("containerd.toml");
    let text = format!(
        "version = 2\nroot = \"{home}/root\"\nstate = \"{home}/state-of-it\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{}\"\n",
        socket.display(),
        home = sandbox.home().display(),
    );
    std::fs::write(&config, text).unwrap();
    let program = program.expect("containerd comes with the engines");
    let mut command = sandbox.command(program);
    let _running = crate::transport::Running(
        command
            .arg("--config")
            .arg(&config)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    crate::support::until("containerd listens", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let url = format!("unix://{}", socket.display());
    let said = sandbox.devnet(&["-H", &url, "pods"]).fails(3);
    assert!(said.contains("containerd 1."), "{said}");
    assert!(!said.contains("hyper"), "{said}");
}

#[test]
fn what_closes_at_once_is_said_without_our_libraries_names() {
    let sandbox = Sandbox::bare();
    let socket = sandbox.home().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let url = format!("unix://{}", socket.display());
    let said = sandbox.devnet(&["-H", &url, "pods"]).fails(3);
    assert!(
        !said.contains("hyper") && !said.contains("legacy"),
        "{said}"
    );
    assert!(said.contains("is it a Docker engine"), "{said}");
}

/// A text that nobody expects.
fn strange(random: &mut Random) -> String {
    const WORDS: [&str; 12] = [
        "",
        "\u{0}",
        "\u{9b}31m",
        "\u{1b}[2J",
        "\u{202e}",
        "é",
        "日本",
        "👩‍👩‍👧",
        "\n",
        "../..",
        "\"'`$(x)",
        "container:",
    ];
    let mut text = String::new();
    for _ in 0..random.next_u32() % 24 {
        match random.next_u32() % 4 {
            0 => text.push_str(WORDS[random.next_u32() as usize % WORDS.len()]),
            1 => text.extend(char::from_u32(random.next_u32() % 0x11_0000)),
            2 => text.push_str(&random.next_u32().to_string()),
            _ => text.push(char::from(random.next_u32().to_le_bytes()[0])),
        }
    }
    text
}

/// Puts strange text in place of some of the texts, keys included.
fn disturb(value: &mut Value, random: &mut Random, one_of: u32) {
    match value {
        Value::String(text) if random.next_u32().is_multiple_of(one_of) => *text = strange(random),
        Value::Array(all) => all.iter_mut().for_each(|one| disturb(one, random, one_of)),
        Value::Object(all) => {
            for (key, mut one) in std::mem::take(all) {
                disturb(&mut one, random, one_of);
                // the API's own keys begin with a capital letter
                let own = key.starts_with(|c: char| c.is_ascii_uppercase());
                let stays = own || !random.next_u32().is_multiple_of(one_of);
                all.insert(if stays { key } else { strange(random) }, one);
            }
        }
        _ => {}
    }
}

/// Verbs that read.
const VERBS: &[&[&str]] = &[
    &["pods", "-A"],
    &["pods", "-A", "-o", "wide", "--ns"],
    &["pods", "-A", "-o", "json"],
    &["pods", "-A", "-o", "yaml"],
    &["pods", "-A", "-o", "tsv"],
    &["inspect", "coredns"],
    &["inspect", "a"],
    &["ports"],
    &["history", "coredns"],
    &["check"],
    &["graph"],
    &["graph", "-o", "html"],
    &["graph", "-o", "dot"],
    &["images"],
    &["images", "-o", "json"],
    &["logs", "coredns"],
    &["exec", "coredns", "--", "true"],
    &["lab", "ps"],
    &["status"],
    &["prove"],
];

#[test]
fn no_text_of_an_engine_breaks_any_verb_that_reads() {
    for seed in 0..8_u8 {
        let one_of = [2, 5, 20, 60][usize::from(seed % 4)];
        let random = move |more: u8| Random::new(u64::from(seed) << 8 | u64::from(more));
        let mut probe: Value = serde_json::from_str(&recorded_probe::document()).unwrap();
        disturb(&mut probe, &mut random(0x80), one_of);
        let node = Replay::changing(probe.to_string(), move |path, answer| {
            // the same each time it is asked
            let more = path.bytes().fold(0, |sum: u8, byte| sum.wrapping_add(byte));
            disturb(answer, &mut random(more), one_of);
        });
        for verb in VERBS {
            let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "5");
            let output = ends(&sandbox, &node.host, verb);
            assert!(
                matches!(output.code, 0..=5 | 125..=127) && !output.stderr.contains("panicked"),
                "seed {seed}, {verb:?}: {output}"
            );
            let raw = |text: &str| text.contains(['\u{9b}', '\u{202e}', '\0']);
            assert!(!raw(&output.stderr), "seed {seed}, {verb:?}: {output}");
        }
    }
}

/// Puts the largest number in place of each, and of each attempt and count in names and labels.
fn enlarge(value: &mut Value) {
    match value {
        Value::Number(_) => *value = i64::MAX.into(),
        Value::String(text) => {
            let attempt = |name: &str| Some(name.rsplit_once('_')?.0.to_owned());
            if text.starts_with("/k8s_") {
                *text = format!("{}_{}", attempt(text).unwrap(), u32::MAX);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(enlarge),
        Value::Object(all) => {
            for (key, one) in all.iter_mut() {
                if key.ends_with(".restartCount") {
                    *one = u32::MAX.to_string().into();
                // of 16 bits; what is no such number is refused as such
                } else if !key.ends_with("Port") && key != "BlkioWeight" {
                    enlarge(one);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn no_number_of_an_engine_breaks_any_verb_that_reads() {
    let node = Replay::changing(recorded_probe::document(), |path, answer| {
        if !path.contains("/exec") && !path.ends_with("/wait") {
            enlarge(answer);
        }
    });
    for verb in VERBS {
        let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "5");
        let output = ends(&sandbox, &node.host, verb);
        assert!(
            matches!(output.code, 0..=5 | 125..=127) && !output.stderr.contains("panicked"),
            "{verb:?}: {output}"
        );
    }
    let pods = Sandbox::bare()
        .devnet(&["-H", &node.host, "pods", "-A"])
        .ok();
    assert!(pods.contains("429496729"), "{pods}");
}

#[test]
fn a_container_s_id_that_is_no_ascii_is_only_a_name() {
    let sandbox = Sandbox::bare();
    let id = "ééééééééééééééééé日本日本日本日本日本日本";
    let hostile = Hostile::start(sandbox.home(), move |_, path| {
        let text = match path {
            "/containers/json" => serde_json::json!([listed(id, "container")]).to_string(),
            _ if path.ends_with("/json") && path.contains("containers") => {
                let mut one = listed(id, "container");
                one["State"] = serde_json::json!({ "Status": "running" });
                one["Created"] = Value::Null;
                one.to_string()
            }
            _ => return None,
        };
        Some(Deed::Repeat(json_head(), text.into_bytes(), 1))
    });
    for verb in ["logs", "pods", "inspect", "history"] {
        let output = ends(&sandbox, &hostile.url(), &[verb, "web"]);
        assert!(!output.stderr.contains("panicked"), "{verb}: {output}");
        assert!((0..=5).contains(&output.code), "{verb}: {output}");
    }
    assert_eq!(APP.len(), 64);
}
