//! Engines that hang, that give up, or that are none: none is waited for without end.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Condvar, Mutex};

use crate::hostile::{json_head, target, with, words};
use crate::support::hostile::{APP, Deed, Hostile, described, head, upgraded};
use crate::support::{Output, Sandbox, testbed};

/// Runs devnet, which must end by itself, and gives how.
#[track_caller]
pub(crate) fn ends(sandbox: &Sandbox, host: &str, arguments: &[&str]) -> Output {
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

/// An engine's answer that it does not do what was asked, and why.
fn refusal(status: &str, words: &str) -> Deed {
    let said = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n{{\"message\":\"{words}\"}}"
    );
    Deed::Repeat(said.into_bytes(), Vec::new(), 0)
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
                    Some(refusal(status, words))
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
fn a_container_that_goes_while_it_is_asked_for_is_left_out_and_another_failure_is_told() {
    const ANSWERS: &[(&str, &str, i32)] = &[
        ("404 Not Found", "No such container: web", 0),
        // podman's
        (
            "500 Internal Server Error",
            "container df75 does not exist in database: no such container",
            0,
        ),
        ("500 Internal Server Error", "layer does not exist", 1),
    ];
    for (status, words, code) in ANSWERS {
        let sandbox = Sandbox::bare();
        let hostile = Hostile::start(sandbox.home(), move |_, at| {
            let asked = at == format!("/containers/{APP}/json");
            asked.then(|| refusal(status, words))
        });
        let output = ends(&sandbox, &hostile.url(), &["pods", "--no-probe"]);
        assert_eq!(output.code, *code, "{status} {words}: {output}");
        assert_eq!(output.stderr.contains(words), *code != 0, "{output}");
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
