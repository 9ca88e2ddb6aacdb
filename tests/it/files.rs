//! Files that are none: devices, pipes, endless and swapped ones, where devnet reads and where it
//! writes; disks that are full; what editors put into a context for a moment.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::archive::{Files, Pack, base, layer};
use crate::support::build::{Build, exists};
use crate::support::{Output, Sandbox, docker, testbed};

/// The command in a shell that sets a limit first.
fn limited(sandbox: &Sandbox, limit: &str, command: &Command) -> Output {
    let mut shell = sandbox.command("sh");
    shell.args(["-c", &format!("{limit}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Output::of(&mut shell)
}

/// Address space in which devnet works and nothing endless fits.
const ROOM: &str = "ulimit -v 2000000";

fn made(sandbox: &Sandbox, program: &str, arguments: &[&str]) {
    Output::of(sandbox.command(program).args(arguments)).ok();
}

/// The files that are left on their way.
fn parts(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("devnet-part"))
        .collect()
}

#[test]
fn a_result_is_written_into_a_device_or_a_pipe_and_through_a_link_and_never_over_it() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    let home = build.sandbox.home().to_owned();
    made(&build.sandbox, "mknod", &["full", "c", "1", "7"]);
    made(&build.sandbox, "mknod", &["null", "c", "1", "3"]);
    made(&build.sandbox, "mkfifo", &["pipe"]);
    symlink("target", home.join("link")).unwrap();
    symlink("null", home.join("to-null")).unwrap();
    let kind = |name: &str| fs::symlink_metadata(home.join(name)).unwrap().file_type();
    for flag in ["--iidfile", "--metadata-file"] {
        let stderr = build.run(&["-q", flag, "full"]).fails(1);
        assert!(stderr.contains("No space left on device"), "{stderr}");
        build.run(&["-q", flag, "null"]).ok();
        build.run(&["-q", flag, "to-null"]).ok();
        build.run(&["-q", flag, "link"]).ok();
        assert!(!fs::read(home.join("target")).unwrap().is_empty());
        let mut cat = build.sandbox.command("cat");
        let reader = cat.arg("pipe").stdout(Stdio::piped()).spawn().unwrap();
        build.run(&["-q", flag, "pipe"]).ok();
        let read = reader.wait_with_output().unwrap().stdout;
        assert!(read.starts_with(if flag == "--iidfile" {
            b"sha256:"
        } else {
            b"{"
        }));
        assert!(kind("full").is_char_device() && kind("null").is_char_device());
        assert!(kind("pipe").is_fifo());
        assert!(kind("link").is_symlink() && kind("to-null").is_symlink());
    }
    for what in ["tar", "oci"] {
        let output = |name: &str| format!("type={what},dest={name}");
        let stderr = build.run(&["-o", &output("full")]).fails(1);
        assert!(stderr.contains("No space left on device"), "{stderr}");
        build.run(&["-o", &output("to-null")]).ok();
        assert!(kind("full").is_char_device() && kind("null").is_char_device());
    }
    assert_eq!(parts(&home), Vec::<String>::new());
}

#[test]
fn a_file_that_may_not_grow_or_a_disk_that_is_full_is_told_and_leaves_nothing_half() {
    let Some(build) = Build::new(&[
        ("Dockerfile", "FROM scratch\nCOPY a /d/a\n"),
        ("a", &"text".repeat(50_000)),
    ]) else {
        return;
    };
    let home = build.sandbox.home().to_owned();
    // 8 blocks: a signal says that a file would be larger, and ends who does not expect it
    for output in ["type=tar,dest=out.tar", "type=oci,dest=out.tar", "out"] {
        let command = build.command(&["--progress", "quiet", "-o", output]);
        let stderr = limited(&build.sandbox, "ulimit -f 8", &command).fails(1);
        assert!(stderr.contains("File too large"), "{output}: {stderr}");
        assert!(!exists(&home.join("out.tar")), "{output}");
        assert!(!exists(&home.join("out/d/a")), "{output}");
        assert_eq!(parts(&home), Vec::<String>::new(), "{output}");
    }
    let full = home.join("disk");
    fs::create_dir(&full).unwrap();
    made(
        &build.sandbox,
        "mount",
        &["-t", "tmpfs", "-o", "size=64k", "none", "disk"],
    );
    let attempt = |arguments: &[&str]| build.run(arguments);
    let local = attempt(&["-o", "disk"]);
    fs::write(full.join("filling"), vec![b'x'; 128 << 10]).unwrap_err();
    let iid = attempt(&["-q", "--iidfile", "disk/id"]);
    let left = exists(&full.join("id"));
    let parts_left = parts(&full);
    made(&build.sandbox, "umount", &["disk"]);
    for output in [local, iid] {
        let stderr = output.fails(1);
        assert!(stderr.contains("No space left on device"), "{stderr}");
    }
    assert!(!left, "an empty ID is none");
    assert_eq!(parts_left, Vec::<String>::new());
}

#[test]
fn what_is_no_file_is_refused_where_a_file_is_meant_and_takes_no_memory() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")]) else {
        return;
    };
    let context = build.context();
    let refused = |arguments: &[&str], why: &str| {
        let stderr = limited(&build.sandbox, ROOM, &build.command(arguments)).fails(1);
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    };
    let not_a_file = "not a regular file";
    refused(&["--secret", "id=s,src=/dev/zero"], not_a_file);
    refused(&["--ssh", "default=/dev/zero"], not_a_file);
    refused(&["-f", "/dev/zero"], not_a_file);
    made(&build.sandbox, "mkfifo", &["context/.dockerignore"]);
    refused(&[], not_a_file);
    fs::remove_file(context.join(".dockerignore")).unwrap();
    let ignore = fs::File::create(context.join(".dockerignore")).unwrap();
    ignore.set_len(200 << 20).unwrap();
    refused(&[], "larger than 1 MB");
    fs::remove_file(context.join(".dockerignore")).unwrap();
    fs::rename(context.join("Dockerfile"), context.join("good")).unwrap();
    symlink("/dev/zero", context.join("Dockerfile")).unwrap();
    refused(&[], not_a_file);
    fs::remove_file(context.join("Dockerfile")).unwrap();
    made(&build.sandbox, "mkfifo", &["context/Dockerfile"]);
    refused(&[], not_a_file);
    let mut lab = build.sandbox.devnet_command(&["lab", "up", "/dev/zero"]);
    lab.env(
        "DOCKER_HOST",
        format!("unix://{}/node.sock", build.testbed.display()),
    );
    let stderr = limited(&build.sandbox, ROOM, &lab).fails(2);
    assert!(stderr.contains(not_a_file), "{stderr}");
    // what the shell hands over is a pipe, and read
    let mut substituted = build.sandbox.command("bash");
    let command = build.command(&["-q", "--secret", "id=s,src=/dev/fd/4"]);
    substituted.args([
        "-c",
        "exec \"$@\" -f /dev/fd/3 3< <(echo 'FROM scratch') 4< <(echo s)",
    ]);
    substituted
        .arg("bash")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        substituted.env(name, value.unwrap_or_default());
    }
    Output::of(&mut substituted).ok();
}

#[test]
fn a_journal_that_is_none_holds_nobody() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let state = sandbox.home().join("state");
    let sandbox = sandbox.env("XDG_STATE_HOME", state.to_str().unwrap());
    let folder = state.join("devnet");
    fs::create_dir_all(&folder).unwrap();
    made(&sandbox, "mkfifo", &["state/devnet/journal.1.jsonl"]);
    let journal = fs::File::create(folder.join("journal.jsonl")).unwrap();
    journal.set_len(3 << 30).unwrap();
    let command = sandbox.devnet_command(&["pods", "--no-probe", "-o", "json"]);
    limited(&sandbox, ROOM, &command).ok();
    let kind = fs::metadata(folder.join("journal.1.jsonl")).unwrap();
    assert!(kind.file_type().is_fifo() || kind.is_file());
}

#[test]
fn files_that_come_and_go_do_not_fail_a_build_and_are_no_part_of_it() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]) else {
        return;
    };
    for number in 0..200 {
        build.write(&format!("kept/{number}"), &number.to_string());
    }
    let ended = AtomicBool::new(false);
    let context = build.context();
    let outcomes = std::thread::scope(|scope| {
        // as an editor saves: a file beside, renamed over, and gone again
        scope.spawn(|| {
            let mut round = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                round += 1;
                for number in 0..20 {
                    let swap = context.join(format!("kept/.{number}.swp"));
                    let _full = fs::write(&swap, round.to_string());
                }
                for number in 0..20 {
                    let _gone = fs::remove_file(context.join(format!("kept/.{number}.swp")));
                }
            }
        });
        let outcomes: Vec<Output> = (0..8)
            .map(|_| build.run(&["-q", "--no-cache", "-t", "coming-and-going:1"]))
            .collect();
        ended.store(true, Ordering::Relaxed);
        outcomes
    });
    for outcome in outcomes {
        outcome.ok();
    }
    let kept = build.files("coming-and-going:1");
    for number in 0..200 {
        assert!(kept.contains(&format!("kept/{number}")), "{number}");
    }
}

#[test]
fn pipes_of_a_result_arrive_as_pipes_over_whatever_an_older_one_left() {
    let script = "b=/bin/busybox; $b mkdir /out; cd /out; $b mkfifo pipe; eval \\\"$S\\\"";
    let dockerfile = format!(
        "FROM scratch\nCOPY bin /bin\nARG S\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"
    );
    let Some(build) = Build::new(&[("Dockerfile", dockerfile.as_str())]) else {
        return;
    };
    let build = build.with_busybox();
    let out = build.sandbox.home().join("out");
    let shapes = [
        ("file", "echo text > x"),
        ("link", "$b ln -s nowhere x"),
        ("folder", "$b mkdir x; echo in > x/in"),
        ("file", "echo text > x"),
        ("folder", "$b mkdir x; echo in > x/in"),
        ("link", "$b ln -s nowhere x"),
        ("file", "echo text > x"),
    ];
    for (shape, script) in shapes {
        let argument = format!("S={script}");
        build
            .run(&[
                "-q",
                "--network",
                "none",
                "--build-arg",
                &argument,
                "-o",
                "out",
            ])
            .ok();
        let kind = fs::symlink_metadata(out.join("out/x")).unwrap().file_type();
        let is = if kind.is_symlink() {
            "link"
        } else if kind.is_dir() {
            "folder"
        } else {
            "file"
        };
        assert_eq!(is, shape);
        let pipe = fs::symlink_metadata(out.join("out/pipe"))
            .unwrap()
            .file_type();
        assert!(pipe.is_fifo());
    }
}

#[test]
fn an_archive_in_a_named_pipe_or_packed_otherwise_is_loaded_and_so_is_an_empty_layer() {
    use std::io::Write as _;
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let has = |name: &str| docker(&testbed, "node", &["image", "inspect", name]).ok();
    let image = |name: &str| {
        let layers = [base(900, 10_000), layer(&[("top", name.as_bytes())])];
        Files::docker(name, &layers, Pack::Plain).tar()
    };
    let file = sandbox.home().join("packed");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&image("packed-bzip2:1")).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(6);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&image("packed-xz:1")).unwrap();
    for (name, bytes) in [
        ("packed-bzip2:1", bzip2.finish().unwrap()),
        ("packed-xz:1", xz.finish().unwrap()),
    ] {
        fs::write(&file, bytes).unwrap();
        sandbox.devnet(&["load", "./packed"]).ok();
        has(name);
    }
    fs::write(&file, image("from-a-pipe:1")).unwrap();
    made(&sandbox, "mkfifo", &["pipe"]);
    let mut writer = sandbox.command("sh");
    let mut writer = writer.args(["-c", "cat packed > pipe"]).spawn().unwrap();
    sandbox.devnet(&["load", "./pipe"]).ok();
    assert!(writer.wait().unwrap().success());
    has("from-a-pipe:1");
    // what no archive could be is read by nobody
    let said = sandbox.devnet(&["load", "/dev/zero"]).fails(1);
    assert!(said.contains("neither a file nor a folder"), "{said}");
    let empty = [layer(&[("top", b"x")]), Vec::new()];
    let bytes = Files::docker("empty-layer:1", &empty, Pack::Plain).tar();
    let by_file = {
        fs::write(&file, &bytes).unwrap();
        sandbox.devnet(&["load", "./packed", "--tag", "empty-layer:file"])
    };
    let mut load = sandbox.devnet_command(&["load", "-"]);
    let by_pipe = crate::support::archive::piped(&mut load, bytes);
    // an engine may refuse such a layer: then by both ways
    assert_eq!(by_file.code, by_pipe.code, "{by_file}\n{by_pipe}");
    assert!(!by_pipe.stderr.contains("is no JSON"), "{by_pipe}");
}
