//! Logs of containerd nodes as their files have them: rotated, replaced and long ones.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use crate::support::Output;
use crate::support::containerd_node::{ContainerdNode, containerd_node};
use crate::support::node_kubelet::{Pod, Wanted};

fn logs(node: &ContainerdNode, words: &[&str]) -> Output {
    node.sandbox()
        .devnet(&[&["-p", "ctr", "logs"], words].concat())
}

/// A line of a log's file.
fn line(second: u32, text: &str) -> String {
    format!("2026-11-28T10:00:{second:02}.000000000Z stdout F {text}\n")
}

fn packed(path: &Path, text: &str) {
    let file = std::fs::File::create(path).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap();
}

#[test]
fn a_log_is_read_and_followed_across_its_rotations() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(node, Wanted::pod("turned").sleeper("web"));
    let newest = pod.log_file("web");
    let beside = |end: &str| newest.with_file_name(format!("0.log.{end}"));
    packed(&beside("20261128-100900.gz"), &line(1, "packed"));
    packed(&beside("20261128-101000.gz"), &line(2, "packed later"));
    std::fs::write(beside("20261128-101010"), line(3, "rotated")).unwrap();
    // one that is being packed
    packed(&beside("20261128-101010.gz"), &line(3, "rotated"));
    std::fs::write(beside("20261128-101010.tmp"), line(3, "rotated")).unwrap();
    std::fs::write(&newest, line(4, "newest")).unwrap();
    let all = "packed\npacked later\nrotated\nnewest\n";
    assert_eq!(logs(node, &["turned"]).ok(), all);
    assert_eq!(
        logs(node, &["turned", "--tail", "2"]).ok(),
        "rotated\nnewest\n"
    );

    let sandbox = node.sandbox();
    let mut follow = sandbox.devnet_command(&["-p", "ctr", "logs", "-f", "turned"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || output.next().unwrap().unwrap();
    for text in all.lines() {
        assert_eq!(next(), text);
    }
    let append = |path: &Path, text: &str| {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    };
    append(&newest, &line(5, "before"));
    assert_eq!(next(), "before");
    for turn in 0..3 {
        let away = beside(&format!("20261128-10202{turn}"));
        std::fs::rename(&newest, &away).unwrap();
        // the runtime writes to the old one until it is told
        append(&away, &line(6 + turn, &format!("late {turn}")));
        append(&newest, &line(6 + turn, &format!("new {turn}")));
        assert_eq!(next(), format!("late {turn}"));
        assert_eq!(next(), format!("new {turn}"));
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn long_logs_of_one_pod_are_merged_whole_and_in_order() {
    let Some(node) = containerd_node() else {
        return;
    };
    let script = "busybox seq 100000 | busybox sed 's/.*/line & of a log as a server may write it/'; exec sleep 100000";
    let names = ["one", "two", "three"];
    let wanted = names
        .iter()
        .fold(Wanted::pod("loud"), |pod, name| pod.script(name, script));
    let pod = Pod::up(node, wanted);
    for name in names {
        pod.until_it_says(name, "line 100000 of");
    }
    // in the order of their times: where one is far behind, its others wait for it
    let read = logs(node, &["loud", "--timestamps"]).ok();
    assert_eq!(read.lines().count(), 300_000);
    let mut last = "";
    for line in read.lines() {
        let time = line.split(' ').find(|word| word.starts_with("20")).unwrap();
        // ending zeros are left out
        let time = time.trim_end_matches('Z');
        assert!(last <= time, "{last} {line}");
        last = time;
    }
}
