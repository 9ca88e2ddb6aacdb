//! Log files that no runtime writes, on nodes with containerd and cri-o: lines without an end, and what is
//! no file of the pod's.

use std::io::Write as _;

use crate::cri_hostile::MEMORY;
use crate::support::Output;
use crate::support::cri_nodes::shared_nodes;
use crate::support::node_kubelet::{Pod, Wanted};

/// A line of a log's file, as either runtime may have written it.
fn line(second: u32, text: &str) -> String {
    format!("2026-11-28T10:00:{second:02}.000000000Z stdout F {text}\n")
}

#[test]
fn a_line_of_a_gigabyte_passes_through_little_memory() {
    for node in shared_nodes() {
        let pod = Pod::up(node, Wanted::pod("endless").sleeper("web"));
        let newest = pod.log_file("web");
        let mut file = std::fs::File::create(&newest).unwrap();
        let zone = if node.crio.is_some() { "+00:00" } else { "Z" };
        let start = format!("2026-11-28T00:00:00.000000001{zone} stdout F ");
        file.write_all(start.as_bytes()).unwrap();
        // its middle has no place on the disk
        let length = 1_u64 << 30;
        file.set_len(start.len() as u64 + length).unwrap();
        drop(file);
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&newest)
            .unwrap();
        let end = format!("\n2026-11-28T00:00:01.000000000{zone} stdout F after\n");
        file.write_all(end.as_bytes()).unwrap();
        let sandbox = node.sandbox();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/peak.py");
        let peak = sandbox.home().join("peak");
        let count = format!(
            "python3 {script} {} {} -p {} logs endless | tee >(tail -c 6 >&2) | wc -c; exit ${{PIPESTATUS[0]}}",
            peak.display(),
            env!("CARGO_BIN_EXE_devnet"),
            node.name
        );
        let mut bash = sandbox.command("bash");
        let output = Output::of(bash.args(["-c", &count]));
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(output.stdout.trim(), (length + 1 + 6).to_string());
        assert!(output.stderr.ends_with("after\n"), "{output}");
        let peak: u64 = std::fs::read_to_string(peak).unwrap().parse().unwrap();
        assert!(peak < MEMORY, "{peak} KiB");
        // the last line is found from the end
        let words = ["-p", &node.name, "logs", "endless", "--tail", "1"];
        assert_eq!(sandbox.devnet(&words).ok(), "after\n");
    }
}

#[test]
fn what_is_no_file_of_the_pods_own_is_not_read() {
    for node in shared_nodes() {
        let pod = Pod::up(node, Wanted::pod("lured").sleeper("web"));
        let newest = pod.log_file("web");
        let secret = line(1, "secret");
        node.run(&[
            "sh",
            "-c",
            &format!("printf '{}' > /etc/secret", secret.trim()),
        ])
        .ok();
        for lure in [
            "ln -s /etc/secret",
            "ln -s ../../../../../etc/secret",
            "mkfifo",
            "mkdir",
        ] {
            let inside = newest.display().to_string();
            let inside = inside.split_once("/var/log/").unwrap().1;
            let script = format!("rm -rf '/var/log/{inside}'; {lure} '/var/log/{inside}'");
            node.run(&["sh", "-c", &script]).ok();
            let output = node.sandbox().devnet(&["-p", &node.name, "logs", "lured"]);
            assert_eq!(
                (output.code, output.stdout.as_str()),
                (1, ""),
                "{lure}: {output}"
            );
            assert!(output.stderr.contains("can't be read"), "{lure}: {output}");
        }
        // the folder itself leads elsewhere
        let inside = newest.parent().unwrap().display().to_string();
        let inside = inside.split_once("/var/log/").unwrap().1;
        let script = format!(
            "cd /var/log; rm -rf '{inside}' /etc/other; mkdir /etc/other; \
             cp /etc/secret /etc/other/0.log; ln -s /etc/other '{inside}'"
        );
        node.run(&["sh", "-c", &script]).ok();
        let output = node.sandbox().devnet(&["-p", &node.name, "logs", "lured"]);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output}");
    }
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    for node in shared_nodes() {
        let pod = Pod::up(node, Wanted::pod("longest").sleeper("web"));
        let newest = pod.log_file("web");
        let long = "x".repeat(20 << 20);
        let after = line(2, "after");
        std::fs::write(&newest, format!("{}{after}no log at all\n", line(1, &long))).unwrap();
        let sandbox = node.sandbox();
        let mut limited = sandbox.command("prlimit");
        limited.args(["--data=134217728", env!("CARGO_BIN_EXE_devnet")]);
        let read = Output::of(limited.args(["-p", &node.name, "logs", "longest"])).ok();
        let (first, rest) = read.split_once('\n').unwrap();
        assert!(
            first.len() == long.len() && first == long,
            "{}",
            first.len()
        );
        assert_eq!(rest, "after\n");
    }
}
