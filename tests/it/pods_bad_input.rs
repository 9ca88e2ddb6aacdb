//! Pods of engines and kernels that behave badly: nothing is lost, nothing is invented, nothing hangs.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::made::{Made, found};
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Sandbox, testbed};

/// The engine whose answers are changed on their way.
fn through(
    testbed: &std::path::Path,
    change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
) -> (tempfile::TempDir, Rewriting) {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Rewriting::new(folder.path(), testbed.join("node.sock"), change);
    (folder, proxy)
}

#[test]
fn a_container_that_vanishes_between_list_and_inspect_is_left_out() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "vanishes");
    made.add_sleeper("app");
    // one that was listed and is gone when it is asked about
    let (_folder, proxy) = through(&testbed, |path, body| {
        if path.ends_with("/containers/json") {
            body.as_array_mut()
                .unwrap()
                .push(json!({"Id": "f".repeat(64), "Names": ["/gone"]}));
        }
    });
    let document = made.document_by(&proxy.url());
    assert!(found(&document).is_empty());
    assert_eq!(document["pods"][0]["state"], "running");
    // and one that goes for good while devnet looks
    let folder = tempfile::tempdir().unwrap();
    let hold = Hold::Answer("GET", "/containers/json");
    let proxy = Rewriting::holding(
        folder.path(),
        testbed.join("node.sock"),
        Some(hold),
        |_, _| {},
    );
    let mut short = Made::new(&testbed, "short-lived");
    let gone = short.add_sleeper("gone");
    let sandbox = Sandbox::bare();
    let child = sandbox
        .devnet_command(&[
            "-H",
            &proxy.url(),
            "pods",
            "-o",
            "json",
            "default/short-lived",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // the first list is that of things to sweep
    proxy.until_held();
    proxy.release();
    proxy.until_held();
    short.docker(&["rm", "-f", &gone]);
    proxy.release();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["pods"][0]["containers"], json!([]));
}

#[test]
fn a_pid_that_the_engine_tells_wrongly_proves_nothing() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "wrong-pid");
    let app = made.add_sleeper("app");
    let of_another = Mutex::new(Made::new(&testbed, "right-pid"));
    let other = {
        let another = of_another.lock().unwrap();
        another.pid(&another.sandbox)
    };
    // the number was given to a process of another container since
    let (wrong, id) = (other.clone(), app.clone());
    let (_folder, proxy) = through(&testbed, move |path, body| {
        if path.ends_with("/json") && body["Id"] == id.as_str() {
            body["State"]["Pid"] = wrong.clone();
        }
    });
    let document = made.document_by(&proxy.url());
    let container = &document["pods"][0]["containers"][0];
    assert_eq!(container["namespaces"], Value::Null);
    assert_eq!(
        container["shares"],
        json!({"net": null, "ipc": null, "uts": null, "pid": null})
    );
    assert!(found(&document).is_empty(), "{document:#}");
    // nor does a number that nobody has
    let (_folder, proxy) = through(&testbed, move |path, body| {
        if path.ends_with("/json") && body["Id"] == app.as_str() {
            body["State"]["Pid"] = json!(4_194_000);
        }
    });
    let document = made.document_by(&proxy.url());
    assert_eq!(
        document["pods"][0]["containers"][0]["namespaces"],
        Value::Null
    );
    assert!(found(&document).is_empty(), "{document:#}");
}

#[test]
fn an_engine_that_answers_nonsense_is_told_and_nothing_is_made_up() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "nonsense");
    made.add_sleeper("app");
    let fails = |change: fn(&str, &mut Value)| {
        let (_folder, proxy) = through(&testbed, change);
        let output = Sandbox::bare().devnet(&["-H", &proxy.url(), "pods", "--no-probe"]);
        assert_eq!(output.stdout, "", "{output}");
        output.fails(1)
    };
    let said = fails(|path, body| {
        if path.ends_with("/containers/json") {
            *body = json!({"message": "hello"});
        }
    });
    assert!(said.contains("listing containers"), "{said}");
    fails(|path, body| {
        if path.contains("/containers/") && body["State"].is_object() {
            body["State"] = json!(["no", "state"]);
        }
    });
    // where only a detail is missing, it is unknown
    let (_folder, proxy) = through(&testbed, |path, body| {
        if path.contains("/containers/") && body["State"].is_object() {
            for key in ["Pid", "StartedAt", "FinishedAt", "OOMKilled"] {
                body["State"].as_object_mut().unwrap().remove(key);
            }
            body.as_object_mut().unwrap().remove("NetworkSettings");
        }
        if path.ends_with("/info") {
            body["SystemTime"] = json!("yesterday");
        }
    });
    let document = made.document_by(&proxy.url());
    let container = &document["pods"][0]["containers"][0];
    for key in [
        "pid",
        "started_at",
        "finished_at",
        "oom_killed",
        "namespaces",
    ] {
        assert_eq!(container[key], Value::Null, "{key}");
    }
    assert_eq!(document["pods"][0]["sockets"], Value::Null);
    assert!(found(&document).is_empty(), "{document:#}");
}

#[test]
fn a_slow_engine_is_waited_for() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "slow");
    made.add_sleeper("app");
    let folder = tempfile::tempdir().unwrap();
    let hold = Hold::Answer("GET", "/containers/json");
    let engine = testbed.join("node.sock");
    let proxy = Rewriting::holding(folder.path(), engine, Some(hold), |_, _| {});
    let url = proxy.url();
    let document = std::thread::scope(|scope| {
        let asked = scope.spawn(|| made.document_by(&url));
        proxy.until_held();
        // from here on nothing is held
        drop(proxy);
        asked.join().unwrap()
    });
    assert_eq!(document["pods"][0]["containers"][0]["shares"]["net"], true);
}

/// True where a terminal would obey a character, or show nothing of it.
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
        || matches!(c, '\u{200b}' | '\u{2028}' | '\u{202e}' | '\u{2066}')
}

#[test]
fn a_command_in_a_hint_names_what_was_meant_and_runs_nothing_else() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "hinted");
    let id = made.add("app", &[], &["/bin/busybox", "false"]);
    made.docker(&["wait", &id]);
    let evil = "app $(touch PWN)`touch PWN`;'\"\u{9b}\n";
    let named = id.clone();
    let (_folder, proxy) = through(&testbed, move |path, body| {
        if path.ends_with("/json") && body["Id"] == named.as_str() {
            body["Config"]["Labels"]["io.kubernetes.container.name"] = json!(evil);
            body["RestartCount"] = json!(5);
        }
    });
    let sandbox = Sandbox::bare();
    let output = sandbox.devnet(&["-H", &proxy.url(), "exec", "hinted", "-c", evil, "--", "x"]);
    let hint = output
        .stderr
        .lines()
        .find(|line| line.starts_with("hint: `"));
    let hint = hint.unwrap_or_else(|| panic!("{output}"));
    assert!(!hint.contains(is_obeyed), "{hint:?}");
    let (command, _) = hint["hint: `".len()..].rsplit_once("` may").unwrap();
    let script = format!("devnet() {{ printf '%s\\0' \"$@\"; }}\n{command}");
    let shell = sandbox
        .command("dash")
        .args(["-c", &script])
        .output()
        .unwrap();
    let words = String::from_utf8(shell.stdout).unwrap();
    assert_eq!(words, format!("logs\0hinted\0{evil}\0"), "{script}");
    assert!(!sandbox.home().join("PWN").exists());
    assert!(!std::path::Path::new("PWN").exists());
}

#[test]
fn labels_and_names_can_not_move_the_cursor_or_break_lines() {
    let Some(testbed) = testbed() else { return };
    let evil = "a\u{1b}[2Jb\nerror: c\td\u{202e}e\u{7}\u{7f}\u{9b}\u{9d}\u{2066}\u{200b}\u{2028}";
    let mut made = Made::new(&testbed, "evil");
    made.add(
        "app",
        &[&format!("--label=evil={evil}")],
        &["/bin/busybox", "sleep", "3600"],
    );
    let (_folder, proxy) = through(&testbed, move |path, body| {
        // an engine may say of names whatever it likes
        if path.contains("/containers/")
            && body["Config"]["Labels"]["io.kubernetes.pod.name"] == "evil"
        {
            body["Config"]["Labels"]["io.kubernetes.pod.name"] = json!(format!("evil{evil}"));
            body["Config"]["Image"] = json!(evil);
            if body["Config"]["Labels"]["io.kubernetes.docker.type"] == "podsandbox" {
                body["Config"]["Labels"]["team"] = json!(evil);
            }
        }
    });
    let devnet =
        |arguments: &[&str]| Sandbox::bare().devnet(&[&["-H", &proxy.url()], arguments].concat());
    for arguments in [
        &["pods", "evil"][..],
        &["pods", "-o", "wide", "evil"],
        &["pods", "-o", "tsv", "evil"],
        &["pods", "-o", "name", "evil"],
        &["inspect", "evil"],
        &["pods", "--ns", "evil"],
    ] {
        let shown = devnet(arguments).ok();
        assert!(!shown.contains(is_obeyed), "{arguments:?}: {shown:?}");
        assert!(!shown.contains("\nerror:"), "{arguments:?}: {shown}");
    }
    // also where a program reads it, since it may be a terminal's program: an escape is the same text
    for arguments in [
        &["pods", "-o", "json"][..],
        &["pods", "-o", "yaml"],
        &["inspect", "evil", "-o", "json"],
        &["ports", "-o", "json"],
        &["history", "evil"],
        &["history", "evil", "-o", "json"],
        &["graph", "-o", "dot"],
        &["graph", "-o", "mermaid"],
        &["graph", "-o", "svg"],
        &["graph", "-o", "html"],
        &["graph", "-o", "json"],
        &["images"],
        &["images", "-o", "json"],
        &["check", "evil"],
        &["check", "evil", "-o", "json"],
        &["logs", "evil"],
    ] {
        let output = devnet(arguments);
        for shown in [&output.stdout, &output.stderr] {
            assert!(!shown.contains(is_obeyed), "{arguments:?}: {shown:?}");
            let forged = shown.lines().any(|line| line.starts_with("error: c"));
            assert!(!forged, "{arguments:?}: {shown}");
        }
    }
    let names = devnet(&["pods", "-o", "name", "evil"]).ok();
    assert_eq!(names.lines().count(), 1, "{names:?}");
    let tsv = devnet(&["pods", "-o", "tsv", "evil"]).ok();
    for line in tsv.lines() {
        assert_eq!(line.split('\t').count(), 13, "{line:?}");
    }
    // a program gets them as they are
    let document: Value =
        serde_json::from_str(&devnet(&["inspect", "evil", "-o", "json"]).ok()).unwrap();
    assert_eq!(document["pods"][0]["name"], format!("evil{evil}"));
    assert_eq!(document["pods"][0]["labels"]["team"], evil);
}

#[test]
fn a_name_of_253_characters_is_never_cut() {
    let Some(testbed) = testbed() else { return };
    let name = format!("{}.{}", "n".repeat(126), "m".repeat(126));
    let mut made = Made::new(&testbed, &name);
    made.add_sleeper("app");
    let host = made.host();
    let devnet = |arguments: &[&str]| {
        Sandbox::bare()
            .devnet(&[&["-H", &host], arguments].concat())
            .ok()
    };
    for arguments in [
        &["pods"][..],
        &["inspect", &name],
        &["pods", "--ns"],
        &["pods", "-o", "name"],
    ] {
        assert!(devnet(arguments).contains(&name), "{arguments:?}");
    }
    assert_eq!(made.finds(&[])["name"], name.as_str());
}

/// 5,000 sockets, half of them in a process that nobody but root may look into.
const MANY: &str = r#"
use Socket qw(:all); use POSIX; my @keep; my $n = $ARGV[0];
for my $i (1 .. $n) { socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
  bind($s, pack_sockaddr_in(10000 + $i, INADDR_ANY)) or die "bind: $!"; push @keep, $s }
# prctl(PR_SET_DUMPABLE, 0): /proc of it belongs to root from now on
my $prctl = (POSIX::uname())[4] eq "x86_64" ? 157 : 167;
syscall($prctl, 4, 0, 0, 0, 0) == 0 or die "prctl: $!";
$| = 1; print "open\n"; sleep 3600;
"#;

#[test]
fn five_thousand_sockets_of_a_process_that_is_not_root_and_can_not_be_dumped_are_all_its() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "many-sockets");
    let mut flags: Vec<String> = ["/usr", "/lib", "/lib64"]
        .map(|folder| format!("-v={folder}:{folder}:ro"))
        .to_vec();
    flags.extend(
        [
            "--user=1234:1234",
            "--ulimit=nofile=6000:6000",
            "--env=PATH=/usr/bin:/bin",
        ]
        .map(str::to_owned),
    );
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let app = made.add("app", &flags, &["/usr/bin/perl", "-e", MANY, "5000"]);
    made.until_it_says(&app, "open");
    let pod = made.finds(&[]);
    let sockets = pod["sockets"].as_array().unwrap();
    assert_eq!(sockets.len(), 5000);
    let ports: std::collections::BTreeSet<u64> = sockets
        .iter()
        .map(|socket| socket["port"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, (10_001..=15_000).collect());
    for socket in sockets {
        assert_eq!(socket["owners"][0]["container"], "app", "{socket}");
    }
}

#[test]
fn a_probe_that_answers_nonsense_leaves_its_part_out_and_says_so() {
    use crate::support::replay::Replay;
    for (prints, why) in [
        ("", "said nothing"),
        ("{\"schema\":1,\"processes\":[", "can't be read"),
        (
            "{\"schema\":7,\"processes\":[],\"networks\":[],\"pinned\":[]}",
            "version 7",
        ),
        ("hello", "can't be read"),
    ] {
        let replay = Replay::with_probe(prints.to_owned());
        let output = Sandbox::bare().devnet(&["-H", &replay.host, "pods", "-o", "json"]);
        assert_eq!(output.stderr.matches("note:").count(), 1, "{output}");
        assert!(output.stderr.contains(why), "{output}");
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        for pod in document["pods"].as_array().unwrap() {
            assert_eq!(pod["sockets"], Value::Null);
            assert_eq!(pod["sandbox"]["namespaces"], Value::Null);
        }
    }
}
