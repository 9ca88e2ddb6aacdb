//! `devnet env` where minikube's files are broken or hostile, and what it touches while it works:
//! a clear error, the exit code, and one line that makes what evaluates it fail.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Output, Sandbox, missing, testbed};

const PROFILE: &str = r#"{"Name":"q","Driver":"kvm2","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"127.0.0.1","ControlPlane":true}]}"#;
const QEMU: &str = r#"{"Name":"q","Driver":"qemu2","Network":"builtin","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"10.0.2.15","ControlPlane":true}]}"#;
const KIC: &str = r#"{"Name":"q","Driver":"docker","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"192.168.49.2","ControlPlane":true}]}"#;

/// A home with one profile `q` and its machine, and minikube's settings.
fn home(profile: &str, machine: &str) -> Sandbox {
    let sandbox = Sandbox::bare();
    let home = sandbox.home().join(".minikube");
    for folder in ["profiles/q", "machines/q", "config", "certs"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    for (file, text) in [
        ("profiles/q/config.json", profile),
        ("machines/q/config.json", machine),
        ("config/config.json", r#"{"profile":"q"}"#),
    ] {
        std::fs::write(home.join(file), text).unwrap();
    }
    sandbox
}

/// A way to break a file.
type Fault = (&'static str, fn(&Path));

const FAULTS: [Fault; 10] = [
    ("empty", |file| std::fs::write(file, "").unwrap()),
    ("truncated", |file| {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, &text[..text.len() / 2]).unwrap();
    }),
    ("not JSON", |file| {
        std::fs::write(file, "Name: q\n").unwrap();
    }),
    ("an array", |file| std::fs::write(file, "[1]").unwrap()),
    ("not UTF-8", |file| {
        std::fs::write(file, b"{\"Name\":\"\xff\"}").unwrap();
    }),
    // sparse: 200 MB that are never read
    ("huge", |file| {
        let open = std::fs::File::options().write(true).open(file).unwrap();
        open.set_len(200 << 20).unwrap();
    }),
    ("deep", |file| {
        std::fs::write(file, "[".repeat(500_000)).unwrap();
    }),
    ("a folder", |file| {
        std::fs::remove_file(file).unwrap();
        std::fs::create_dir(file).unwrap();
    }),
    ("a pipe", |file| {
        std::fs::remove_file(file).unwrap();
        let sandbox = Sandbox::bare();
        Output::of(sandbox.command("mkfifo").arg(file)).ok();
    }),
    ("a symlink loop", |file| {
        std::fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink(file, file).unwrap();
    }),
];

/// Exit code, exactly one failing line, and a message that names what is wrong.
#[track_caller]
fn refused(out: &Output, code: i32, said: &str, what: &str) {
    assert_eq!(
        (out.code, out.stdout.as_str()),
        (code, "false;\n"),
        "{what}: {out}"
    );
    assert!(out.stderr.contains(said), "{what}: {out}");
    assert!(out.stderr.starts_with("error: "), "{what}: {out}");
}

const ENV: [&str; 4] = ["env", "--shell", "sh", "--from"];

fn env(sandbox: &Sandbox, from: &str) -> Output {
    sandbox.devnet(&[&ENV[..], &[from]].concat())
}

#[test]
fn every_broken_file_is_named_and_nothing_is_guessed() {
    let machine = r#"{"Driver":{"EnginePort":2376,"SSHPort":1}}"#;
    for (fault, break_it) in FAULTS {
        for (file, profile) in [
            ("profiles/q/config.json", PROFILE),
            ("machines/q/config.json", QEMU),
            ("config/config.json", PROFILE),
        ] {
            let sandbox = home(profile, machine);
            let path = sandbox.home().join(".minikube").join(file);
            break_it(&path);
            let out = env(&sandbox, "files");
            refused(&out, 1, file, &format!("{file} is {fault}"));
        }
    }
}

#[test]
fn what_is_missing_is_said() {
    let machine = r#"{"Driver":{"EnginePort":2376}}"#;
    for (gone, profile, code, said) in [
        (
            "profiles/q/config.json",
            PROFILE,
            4,
            "no minikube profile `q`",
        ),
        ("profiles/q", PROFILE, 4, "no minikube profile `q`"),
        ("profiles", PROFILE, 4, "no minikube profile `q`"),
        ("machines/q/config.json", QEMU, 1, "machines/q/config.json"),
        ("machines", QEMU, 1, "machines/q/config.json"),
        // without settings the profile is `minikube`
        ("config", PROFILE, 4, "no minikube profile `minikube`"),
        ("", PROFILE, 4, "no minikube profile `minikube`"),
    ] {
        let sandbox = home(profile, machine);
        let path = sandbox.home().join(".minikube").join(gone);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        refused(&env(&sandbox, "files"), code, said, gone);
    }
}

#[test]
fn wrong_types_and_hostile_values_are_refused() {
    let of = |from: &str, to: &str| PROFILE.replace(from, to);
    for (profile, code, said) in [
        (of(r#""Name":"q""#, r#""Name":7"#), 1, "invalid type"),
        (of(r#""127.0.0.1""#, "[]"), 1, "invalid type"),
        (of(r#""docker""#, "{}"), 1, "invalid type"),
        (
            of(r#""Nodes":["#, r#""Nodes":{"#).replace("}]}", "}}}"),
            1,
            "config.json",
        ),
        (
            of(r#"{"Name":"","IP":"127.0.0.1","ControlPlane":true}"#, ""),
            1,
            "names no node",
        ),
        (of("127.0.0.1", ""), 3, "has no address yet"),
        (of("127.0.0.1", "a b; id"), 1, "an address that is none"),
        (of("127.0.0.1", "$(id)"), 1, "an address that is none"),
        (of("127.0.0.1", "u@h/x?y"), 1, "an address that is none"),
        (of("127.0.0.1", "\\u001b[2J"), 1, "an address that is none"),
        (of("kvm2", "none"), 3, "its engine is this computer's own"),
        (
            of(r#""docker""#, r#""cri-o""#),
            3,
            "--container-runtime=docker",
        ),
        (
            r#"{"ClusterConfig":{"KubernetesConfig":{}}}"#.into(),
            1,
            "before 1.8",
        ),
        (QEMU.into(), 1, "names no engine port"),
        // no engine of this computer is there to be asked
        (KIC.into(), 3, "no answer from"),
    ] {
        let sandbox = home(&profile, r#"{"Driver":{"EnginePort":0}}"#);
        let sandbox = sandbox
            .env("WSL_DISTRO_NAME", "x")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let out = env(&sandbox, "files");
        refused(&out, code, said, &profile);
        assert!(!out.stderr.contains('\u{1b}'), "{profile}: {out}");
    }
    for port in ["-1", "70000", "\"2376\"", "1.5"] {
        let sandbox = home(QEMU, &format!(r#"{{"Driver":{{"EnginePort":{port}}}}}"#));
        refused(&env(&sandbox, "files"), 1, "machines/q/config.json", port);
    }
}

#[test]
fn a_profile_with_a_hostile_name_is_data() {
    for (name, code) in [
        ("..", 2),
        ("../q", 2),
        ("q/../q", 2),
        (".", 2),
        ("", 2),
        ("a\\b", 2),
        ("$(touch pwned)", 4),
        ("`touch pwned`", 4),
        ("a'; touch pwned; '", 4),
        ("\u{1b}]0;x\u{7}\n", 4),
        ("é漢 ", 4),
        ("--unset", 4),
        (&"x".repeat(5000), 2),
    ] {
        let sandbox = home(PROFILE, "{}");
        let named = format!("--profile={name}");
        let out = sandbox.devnet(&[&[named.as_str()], &ENV[..], &["files"]].concat());
        assert_eq!(
            (out.code, out.stdout.as_str()),
            (code, "false;\n"),
            "{name:?}: {out}"
        );
        assert!(!out.stderr.contains('\u{1b}'), "{out}");
        // as a profile that is there its name is one value, in every way of taking it
        let hostile = code == 4 && name.len() < 100 && !name.contains('\n');
        if hostile {
            let folder = sandbox.home().join(".minikube/profiles").join(name);
            std::fs::create_dir(&folder).unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let record = QEMU.replace(r#""q""#, &serde_json::to_string(name).unwrap());
            std::fs::write(folder.join("config.json"), record).unwrap();
            let machine = sandbox.home().join(".minikube/machines").join(name);
            std::fs::create_dir(&machine).unwrap();
            std::fs::write(
                machine.join("config.json"),
                format!(r#"{{"Driver":{{"EnginePort":{port}}}}}"#),
            )
            .unwrap();
            let script = format!(
                "eval $({} \"$1\" env --shell bash); printf %s \"$MINIKUBE_ACTIVE_DOCKERD\"",
                env!("CARGO_BIN_EXE_devnet")
            );
            let mut bash = sandbox.command("bash");
            let out = Output::of(bash.args(["-c", &script, "bash", &named])).ok();
            assert_eq!(out, name);
        }
        assert!(!sandbox.home().join("pwned").exists(), "{name:?}");
    }
}

#[test]
fn an_environment_that_is_not_utf8_is_an_error_only_where_it_matters() {
    let bytes = OsString::from_vec(b"/x\xff".to_vec());
    let sandbox = home(PROFILE, "{}");
    let run = |name: &str| {
        let mut command: Command = sandbox.devnet_command(&[&ENV[..], &["files"]].concat());
        Output::of(command.env(name, &bytes))
    };
    for (name, code) in [
        ("DEVNET_PROFILE", 2),
        ("DEVNET_HOST", 2),
        ("MINIKUBE_PROFILE", 2),
    ] {
        refused(&run(name), code, name, name);
    }
    // what it says comes first: nothing listens at this profile's address
    refused(&run("SOMEONE_ELSES"), 3, "is not running", "not devnet's");
    for name in [
        "DOCKER_HOST",
        "DOCKER_CERT_PATH",
        "NO_PROXY",
        "DEVNET_EXISTING",
    ] {
        let mut command = sandbox.devnet_command(&["env", "--unset", "--shell", "sh"]);
        let out = Output::of(command.env(name, &bytes));
        refused(&out, 1, &format!("`{name}` is not UTF-8"), name);
    }
    let mut command = sandbox.devnet_command(&[&ENV[..], &["files"]].concat());
    let out = Output::of(command.env("MINIKUBE_HOME", &bytes));
    refused(&out, 4, "no minikube profile", "MINIKUBE_HOME");
    let mut command = sandbox.devnet_command(&["env", "--unset", "--shell", "sh"]);
    let out = Output::of(
        command
            .env("DEVNET_EXISTING", "{nonsense")
            .env("MINIKUBE_ACTIVE_DOCKERD", "q"),
    );
    refused(
        &out,
        1,
        "does not hold what devnet put there",
        "DEVNET_EXISTING",
    );
}

#[test]
fn stdin_that_is_huge_or_nothing_is_refused() {
    let sandbox = Sandbox::bare();
    for (make, said) in [
        ("head -c 100000000 /dev/zero", "larger than 1 MB"),
        ("true", "it sets no `DOCKER_HOST`"),
        ("printf '\\377\\376'", "stdin can't be read"),
        (
            "printf 'export DOCKER_HOST=\"tcp://a:99999\"\\nexport MINIKUBE_ACTIVE_DOCKERD=\"q\"\\n'",
            "the port",
        ),
        (
            "printf '[\"DOCKER_HOST\",\"MINIKUBE_ACTIVE_DOCKERD\"]\\n'",
            "it sets no `DOCKER_HOST`",
        ),
        (
            "printf -- '- DOCKER_HOST\\n- MINIKUBE_ACTIVE_DOCKERD\\n'",
            "it sets no `DOCKER_HOST`",
        ),
        (
            "printf 'DOCKER_HOST\\nMINIKUBE_ACTIVE_DOCKERD\\n'",
            "it sets no `DOCKER_HOST`",
        ),
    ] {
        let script = format!(
            "{make} | {} env --shell sh --from -",
            env!("CARGO_BIN_EXE_devnet")
        );
        let out = Output::of(sandbox.command("sh").args(["-c", &script]));
        assert_eq!(out.stdout, "false;\n", "{make}: {out}");
        assert!(out.stderr.contains(said), "{make}: {out}");
    }
    for (code, exit) in [
        (10, 1),
        (14, 3),
        (38, 1),
        (50, 3),
        (51, 3),
        (70, 3),
        (80, 3),
        (81, 3),
        (83, 3),
        (85, 4),
        (90, 3),
        (7, 1),
    ] {
        let script = format!(
            "echo 'false exit code {code}' | {} env --shell sh --from -; exit $?",
            env!("CARGO_BIN_EXE_devnet")
        );
        let out = Output::of(sandbox.command("sh").args(["-c", &script]));
        refused(
            &out,
            exit,
            &format!("exit code {code}"),
            "minikube's own failure",
        );
    }
}

/// The system calls of a run that concern processes and files.
fn traced(sandbox: &Sandbox, arguments: &[&str], log: &Path) -> Vec<String> {
    let mut command = sandbox.command("strace");
    command
        .args(["-f", "-qq", "-o"])
        .arg(log)
        .args([
            "-e",
            "trace=execve,execveat,clone,clone3,fork,vfork,open,openat,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,truncate,ftruncate,link,linkat,symlink,symlinkat,chmod,fchmodat,kill",
        ])
        .arg(env!("CARGO_BIN_EXE_devnet"))
        .args(arguments);
    Output::of(&mut command).ok();
    let log = std::fs::read_to_string(log).unwrap();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn nothing_is_spawned_written_or_changed_while_the_files_are_read() {
    let Some(testbed) = testbed() else { return };
    let strace = Path::new("/usr/bin/strace").exists();
    if !strace {
        return missing("strace");
    }
    let sandbox = Sandbox::with_minikube(&testbed);
    let folder = sandbox.home().join("trap");
    std::fs::create_dir(&folder).unwrap();
    for program in ["minikube", "docker", "ssh", "ps"] {
        let file: PathBuf = folder.join(program);
        std::fs::write(&file, "#!/bin/sh\nexit 9\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let sandbox = sandbox.env("PATH", &path).env(
        "DOCKER_HOST",
        &format!("unix://{}", testbed.join("host.sock").display()),
    );
    let log = sandbox.home().join("log");
    for arguments in [
        &["env", "--from", "files"][..],
        &["env", "--from", "files", "--shell", "bash"],
        &["env"],
        &["-p", "kic", "env", "--from", "files", "-o", "json"],
        &[
            "-p",
            "multi",
            "env",
            "--from",
            "files",
            "--ssh-host",
            "--no-proxy",
        ],
        &["env", "--unset"],
        &["hook", "--prompt", "bash"],
    ] {
        let lines = traced(&sandbox, arguments, &log);
        let (mut programs, mut forbidden) = (0, Vec::new());
        for line in &lines {
            let call = line
                .split_once(' ')
                .map_or("", |(_, call)| call.trim_start());
            if call.starts_with("execve(") {
                programs += 1;
            } else if call.starts_with("open") {
                // the terminal's own device is no file
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
                    .iter()
                    .any(|flag| call.contains(flag));
                if writes && !call.contains("\"/dev/") {
                    forbidden.push(line);
                }
            } else if call.starts_with("clone") {
                // a thread shares the process; a child does not
                if !call.contains("CLONE_THREAD") {
                    forbidden.push(line);
                }
            } else if !call.starts_with("+++")
                && !call.starts_with("---")
                && !call.starts_with("<...")
            {
                forbidden.push(line);
            }
        }
        assert_eq!(programs, 1, "{arguments:?}: devnet itself: {lines:#?}");
        assert!(forbidden.is_empty(), "{arguments:?}: {forbidden:#?}");
    }
}
