//! `devnet env` in the real shells: every value arrives byte for byte, and the shell ends as it began.

use std::path::Path;
use std::process::Command;

use crate::support::{Output, Sandbox, missing, testbed};

/// A shell: the program, its way to take devnet's output, and to show its environment byte for
/// byte.
struct Shell {
    program: &'static str,
    /// Arguments before the script.
    arguments: &'static [&'static str],
    /// `{}` is devnet's call; several ways must give the same.
    take: &'static [&'static str],
    /// A value with a line end can be carried.
    line_ends: bool,
}

/// The whole environment but the notes that shells make of their own last command.
const DUMP: &str = "python3 -c 'import os,sys;sys.stdout.buffer.write(b\"\\0\".join(sorted(k+b\"=\"+v for k,v in os.environb.items() if k not in (b\"_\", b\"XONSH_CAPTURE_ALWAYS\", b\"LAST_EXIT_CODE\"))))' > ";

const SHELLS: [Shell; 9] = [
    Shell {
        program: "bash",
        arguments: &["-c"],
        take: &["eval $({})", "eval \"$({})\""],
        line_ends: true,
    },
    Shell {
        program: "zsh",
        arguments: &["-f", "-c"],
        take: &["eval $({})", "eval \"$({})\""],
        line_ends: true,
    },
    Shell {
        program: "dash",
        arguments: &["-c"],
        take: &["eval $({})", "eval \"$({})\""],
        line_ends: true,
    },
    Shell {
        program: "ksh",
        arguments: &["-c"],
        take: &["eval $({})", "eval \"$({})\""],
        line_ends: true,
    },
    Shell {
        program: "fish",
        arguments: &["--no-config", "-c"],
        take: &["{} | source", "eval ({})"],
        line_ends: true,
    },
    Shell {
        program: "tcsh",
        arguments: &["-f", "-c"],
        take: &["eval \"`{}`\"", "eval `{}`"],
        line_ends: false,
    },
    Shell {
        program: "bsd-csh",
        arguments: &["-f", "-c"],
        take: &["eval \"`{}`\"", "eval `{}`"],
        line_ends: false,
    },
    Shell {
        program: "elvish",
        arguments: &["-norc", "-c"],
        take: &["eval ({} | slurp)"],
        line_ends: true,
    },
    Shell {
        program: "xonsh",
        arguments: &["--no-rc", "-c"],
        take: &["execx($({}))"],
        line_ends: true,
    },
];

fn here(program: &str) -> bool {
    let found = ["/bin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        missing(program);
    }
    found
}

/// A script of steps, each a call of devnet that the shell takes or, behind a `!`, a line of its
/// own, with a dump after each.
fn run(
    sandbox: &Sandbox,
    shell: &Shell,
    take: &str,
    steps: &[&str],
    extra: &[(&str, &str)],
) -> Vec<String> {
    let devnet = env!("CARGO_BIN_EXE_devnet");
    let dump = |index: usize| sandbox.home().join(format!("dump{index}"));
    let mut script = format!("{DUMP}{}\n", dump(0).display());
    for (index, step) in steps.iter().enumerate() {
        let step = step.replace("SHELL", shell.program.trim_start_matches("bsd-"));
        script += &match step.strip_prefix('!') {
            Some(line) => line.to_owned(),
            None => take.replace("{}", &format!("{devnet} {step}")),
        };
        let shown = dump(index + 1).display().to_string();
        script.extend(["\n", DUMP, &shown, "\n"]);
    }
    // a shell may hand its place, and its level, to what stands last
    script += "true\n";
    let mut command: Command = sandbox.command(shell.program);
    command
        .args(shell.arguments)
        .arg(&script)
        .envs(extra.iter().copied());
    let output = Output::of(&mut command);
    (0..=steps.len())
        .map(|index| {
            let bytes = std::fs::read(dump(index)).unwrap_or_else(|error| {
                panic!(
                    "{} {take}: step {index}: {error}\n{script}\n{output}",
                    shell.program
                )
            });
            String::from_utf8_lossy(&bytes).replace('\0', "\n\0")
        })
        .collect()
}

/// A minikube home in the sandbox's own: what a cluster leaves when it is deleted can be shown.
fn with_a_cluster_that_can_go(testbed: &Path) -> Sandbox {
    let sandbox = Sandbox::bare();
    let home = sandbox.home().join(".minikube");
    std::os::unix::fs::symlink(testbed.join("minikube/.minikube"), home).unwrap();
    sandbox
}

/// The value of a variable in the environment of a dump.
fn variable<'d>(dump: &'d str, name: &str) -> Option<&'d str> {
    dump.split("\n\0")
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn every_shell_gets_every_value_and_ends_as_it_began() {
    let Some(testbed) = testbed() else { return };
    let hostile =
        "/a  b\t'q' \"d\" $HOME `id` \\ \\n !x %PATH% & ; | * ? [a-z] ~ # é 漢 (x) {y,z} <z>";
    for shell in SHELLS.iter().filter(|shell| here(shell.program)) {
        for (take, gone) in shell
            .take
            .iter()
            .flat_map(|take| [(take, false), (take, true)])
        {
            let with_line_ends = format!("{hostile}\nnew\n\nlines\n");
            let old_certs = if shell.line_ends {
                with_line_ends.as_str()
            } else {
                hostile
            };
            let sandbox = with_a_cluster_that_can_go(&testbed);
            let extra = [
                ("DOCKER_HOST", "ssh://me@old  host"),
                ("DOCKER_CERT_PATH", old_certs),
                ("DOCKER_TLS_VERIFY", ""),
                ("DOCKER_CONTEXT", "mine"),
                ("NO_PROXY", "127.0.0.20,*.local"),
                ("SSH_AUTH_SOCK", "/run/agent"),
                ("SSH_AGENT_PID", "7"),
            ];
            let dumps = run(
                &sandbox,
                shell,
                take,
                &[
                    "env --shell SHELL",
                    "-p multi env --shell SHELL --no-proxy",
                    "-p minikube env --shell SHELL --ssh-host",
                    "-p multi env --shell SHELL",
                    if gone { "!rm .minikube" } else { "!true" },
                    "env --shell SHELL --unset",
                    "env --shell SHELL --unset",
                ],
                &extra,
            );
            let name = format!("{} with {take}", shell.program);
            // what the shell itself passes on: xonsh expands variables in values of *_PATH
            let old_certs = variable(&dumps[0], "DOCKER_CERT_PATH").unwrap();
            let certs = sandbox.home().join(".minikube/certs").display().to_string();
            let tcp = Some("tcp://127.0.0.2:2376");
            let wanted = |host, verify, certs, profile, no_proxy| {
                [
                    ("DOCKER_HOST", host),
                    ("DOCKER_TLS_VERIFY", verify),
                    ("DOCKER_CERT_PATH", certs),
                    ("MINIKUBE_ACTIVE_DOCKERD", Some(profile)),
                    ("NO_PROXY", Some(no_proxy)),
                    // kept once: what was there before the first of them
                    ("MINIKUBE_EXISTING_DOCKER_HOST", Some("ssh://me@old  host")),
                    ("MINIKUBE_EXISTING_DOCKER_CERT_PATH", Some(old_certs)),
                    ("MINIKUBE_EXISTING_DOCKER_TLS_VERIFY", None),
                    // nobody else's business
                    ("DOCKER_CONTEXT", Some("mine")),
                    ("SSH_AUTH_SOCK", Some("/run/agent")),
                    ("SSH_AGENT_PID", Some("7")),
                    // bash's unquoted words would be exported under such a name
                    ("export", None),
                ]
            };
            let certs = Some(certs.as_str());
            let (old_list, list) = ("127.0.0.20,*.local", "127.0.0.20,*.local,127.0.0.2");
            for (step, wanted) in [
                (1, wanted(tcp, Some("1"), certs, "minikube", old_list)),
                (2, wanted(tcp, Some("1"), certs, "multi", list)),
                (
                    3,
                    wanted(Some("ssh://docker@127.0.0.2"), None, None, "minikube", list),
                ),
                (4, wanted(tcp, Some("1"), certs, "multi", list)),
            ] {
                for (variable_name, value) in wanted {
                    let found = variable(&dumps[step], variable_name);
                    assert_eq!(found, value, "{name}: step {step}: {variable_name}");
                }
            }
            assert_eq!(dumps[6], dumps[0], "{name}: unset gives back what was");
            assert_eq!(dumps[7], dumps[0], "{name}: a second unset touches nothing");
        }
    }
}

#[test]
fn a_shell_without_any_of_these_variables_has_none_of_them_afterwards() {
    let Some(testbed) = testbed() else { return };
    for shell in SHELLS.iter().filter(|shell| here(shell.program)) {
        for take in shell.take {
            let sandbox = with_a_cluster_that_can_go(&testbed);
            let dumps = run(
                &sandbox,
                shell,
                take,
                &[
                    "env --shell SHELL --ssh-host",
                    "-p kic env --shell SHELL --no-proxy --check",
                    "-p half env --shell SHELL",
                    "env --shell SHELL --unset",
                ],
                &[],
            );
            let name = format!("{} with {take}", shell.program);
            let host = |step: usize| variable(&dumps[step], "DOCKER_HOST");
            assert_eq!(host(1), Some("ssh://docker@127.0.0.2"), "{name}");
            assert_eq!(host(2), Some("tcp://127.0.0.2:2376"), "{name}");
            for list in ["NO_PROXY", "no_proxy"] {
                assert_eq!(variable(&dumps[2], list), Some("127.0.0.2"), "{name}");
            }
            assert_eq!(host(3), host(2), "{name}");
            assert_eq!(dumps[4], dumps[0], "{name}");
        }
    }
}

#[test]
fn what_a_shell_would_expand_at_the_beginning_arrives_as_it_is() {
    let Some(testbed) = testbed() else { return };
    for shell in &SHELLS {
        if !here(shell.program) {
            continue;
        }
        for values in [
            ["=ls", "~root", "-n"],
            ["~", "--help=x", "=="],
            ["-e \\!x", "%1", "@x"],
        ] {
            let names = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];
            let extra: Vec<_> = names.into_iter().zip(values).collect();
            for take in shell.take {
                let sandbox = Sandbox::with_minikube(&testbed);
                let dumps = run(
                    &sandbox,
                    shell,
                    take,
                    &["env --shell SHELL", "env --shell SHELL --unset"],
                    &extra,
                );
                let name = format!("{} with {take}", shell.program);
                for line in dumps[0].lines().filter(|line| line.contains("DOCKER_")) {
                    let line = line.trim_start_matches('\0');
                    let kept = format!("\0MINIKUBE_EXISTING_{line}\n");
                    assert!(dumps[1].contains(&kept), "{name}: {kept} {}", dumps[1]);
                }
                assert_eq!(dumps[2], dumps[0], "{name}");
            }
        }
    }
}

#[test]
fn a_home_with_a_hostile_name_arrives_as_it_is() {
    let Some(testbed) = testbed() else { return };
    for shell in &SHELLS {
        if !here(shell.program) {
            continue;
        }
        let sandbox = Sandbox::bare();
        let home = sandbox.home().join("it's $5  `x` !1 & 100% \"é\" *");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::symlink(testbed.join("minikube/.minikube"), home.join(".minikube"))
            .unwrap();
        let home = home.display().to_string();
        for take in shell.take {
            let dumps = run(
                &sandbox,
                shell,
                take,
                &["env --shell SHELL"],
                &[("MINIKUBE_HOME", home.as_str())],
            );
            let wanted = format!("DOCKER_CERT_PATH={home}/.minikube/certs\n");
            assert!(
                dumps[1].contains(&wanted),
                "{}: {}",
                shell.program,
                dumps[1]
            );
        }
    }
}

#[test]
fn the_calling_shell_is_found_without_being_told() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed).env("SHELL", "/bin/nonsense");
    for (program, sign) in [
        ("bash", "export "),
        ("zsh", "export "),
        ("fish", "set -gx "),
        ("tcsh", "setenv "),
        ("elvish", "set-env "),
    ] {
        if !here(program) {
            continue;
        }
        // a program in between, as make or sudo would be, must not hide the shell
        let call = format!("/usr/bin/env {} env | cat", env!("CARGO_BIN_EXE_devnet"));
        let out = Output::of(sandbox.command(program).args(["-c", &call])).ok();
        assert!(out.starts_with(sign), "{program}: {out}");
    }
}

#[test]
fn a_failure_makes_eval_fail_in_every_shell() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    for shell in &SHELLS {
        if !here(shell.program) {
            continue;
        }
        let name = shell.program.trim_start_matches("bsd-");
        for (call, said) in [
            (
                "-p nope env --shell SHELL",
                "there is no minikube profile `nope`",
            ),
            ("env --shell SHELL --nope", "unexpected argument '--nope'"),
            ("docker-env --bogus", "unexpected argument '--bogus'"),
        ] {
            let call = call.replace("SHELL", name);
            let call = format!("{} {call}", env!("CARGO_BIN_EXE_devnet"));
            // the shell's last command is the eval: its failure is the shell's exit code
            let script = shell.take[0].replace("{}", &call);
            let out = Output::of(
                sandbox
                    .command(shell.program)
                    .args(shell.arguments)
                    .arg(&script),
            );
            assert_ne!(out.code, 0, "{}: {out}", shell.program);
            assert!(out.stderr.contains(said), "{}: {out}", shell.program);
        }
    }
    let out = sandbox.devnet(&["-p", "stopped", "env", "--shell", "bash"]);
    assert_eq!((out.code, out.stdout.as_str()), (3, "false;\n"), "{out}");
}

#[test]
fn files_are_enough_no_program_is_run() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let trap = sandbox.home().join("trap");
    std::fs::create_dir(&trap).unwrap();
    for program in ["minikube", "docker", "ssh", "sh"] {
        let file = trap.join(program);
        std::fs::write(&file, "#!/bin/sh\ntouch \"$0.ran\"\nexit 1\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let sandbox = sandbox.env("PATH", &trap.display().to_string());
    for arguments in [
        &["env", "--shell", "bash"][..],
        &["env"],
        &["-p", "stopped", "env"],
        &["env", "-o", "json"],
    ] {
        let _outcome = sandbox.devnet(arguments);
    }
    let ran: Vec<_> = std::fs::read_dir(&trap)
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some())
        .collect();
    assert!(ran.is_empty(), "{ran:?}");
}

#[test]
fn minikubes_own_answer_is_read_from_it_or_from_stdin() {
    let Some(testbed) = testbed() else { return };
    let path = format!("{}:/usr/bin:/bin", testbed.join("fake-bin").display());
    let sandbox = Sandbox::with_minikube(&testbed).env("PATH", &path);
    let files = sandbox
        .devnet(&["env", "-o", "json", "--from", "files"])
        .ok();
    assert_eq!(
        sandbox
            .devnet(&["env", "-o", "json", "--from", "minikube"])
            .ok(),
        files
    );
    assert_eq!(
        files.trim(),
        format!(
            "{{\"DOCKER_CERT_PATH\":\"{}/minikube/.minikube/certs\",\"DOCKER_HOST\":\"tcp://127.0.0.2:2376\",\"DOCKER_TLS_VERIFY\":\"1\",\"MINIKUBE_ACTIVE_DOCKERD\":\"minikube\"}}",
            testbed.display()
        )
    );
    let said = sandbox
        .devnet(&[
            "-p", "stopped", "env", "--from", "minikube", "--shell", "bash",
        ])
        .fails(3);
    assert!(said.contains("the cluster is not running"), "{said}");
    let out = Output::of(sandbox.command("sh").args([
        "-c",
        "minikube docker-env -p minikube --shell fish | \"$0\" env --from - --shell bash",
        env!("CARGO_BIN_EXE_devnet"),
    ]))
    .ok();
    assert!(
        out.contains("export DOCKER_HOST=tcp://127.0.0.2:2376;"),
        "{out}"
    );
}

#[test]
fn run_gives_one_command_the_environment_and_passes_on_its_exit_code() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let out = sandbox.devnet(&["run", "--", "sh", "-c", "echo $DOCKER_HOST; exit 7"]);
    assert_eq!(
        (out.code, out.stdout.as_str()),
        (7, "tcp://127.0.0.2:2376\n"),
        "{out}"
    );
    let said = sandbox.devnet(&["run", "nginx:latest"]).fails(127);
    assert!(said.contains("docker run nginx:latest"), "{said}");
    // the command takes devnet's place: a shell sees it end as if it had been called itself
    let script = format!(
        "{} run -- sh -c 'kill -9 $$'; echo $?",
        env!("CARGO_BIN_EXE_devnet")
    );
    let out = Output::of(sandbox.command("sh").args(["-c", &script])).ok();
    assert_eq!(
        out,
        "137
"
    );
    sandbox
        .devnet(&["-p", "nope", "run", "--", "true"])
        .fails(125);
    sandbox.devnet(&["run", "--", "/etc"]).fails(126);
    assert_eq!(
        sandbox
            .devnet(&[
                "run",
                "--",
                "docker",
                "version",
                "--format",
                "{{.Server.Os}}"
            ])
            .ok(),
        "linux\n"
    );
}

#[test]
fn nu_takes_the_environment_as_data_and_gives_it_back() {
    let Some(testbed) = testbed() else { return };
    if !Path::new("/usr/local/bin/nu").exists() && !Path::new("/usr/bin/nu").exists() {
        missing("nu");
        return;
    }
    let sandbox = with_a_cluster_that_can_go(&testbed);
    let devnet = env!("CARGO_BIN_EXE_devnet");
    let old = [
        ("DOCKER_HOST", "ssh://me@old  host"),
        (
            "DOCKER_CERT_PATH",
            "/a  b\t'q' \"d\" $HOME `id` \\ \\n !x\nnew # é",
        ),
    ];
    let mut script = String::new();
    for (index, step) in ["", "env", "-p multi env", "env --unset"]
        .iter()
        .enumerate()
    {
        if !step.is_empty() {
            script.extend([format!("^{devnet} {step} -o json | from json | load-env\n")]);
        }
        script.extend([format!(
            "sh dump.sh {}\n",
            sandbox.home().join(format!("dump{index}")).display()
        )]);
    }
    std::fs::write(sandbox.home().join("dump.sh"), format!("{DUMP}\"$1\"\n")).unwrap();
    let mut nu = sandbox.command("nu");
    nu.args(["--no-config-file", "-c", &script]).envs(old);
    let out = Output::of(&mut nu);
    assert_eq!(out.code, 0, "{out}");
    let dump = |index: usize| {
        let bytes = std::fs::read(sandbox.home().join(format!("dump{index}"))).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', "\n\0")
    };
    let first = dump(1);
    assert_eq!(
        variable(&first, "DOCKER_HOST"),
        Some("tcp://127.0.0.2:2376")
    );
    assert_eq!(
        variable(&first, "MINIKUBE_EXISTING_DOCKER_CERT_PATH"),
        Some(old[1].1)
    );
    assert_eq!(variable(&dump(2), "MINIKUBE_ACTIVE_DOCKERD"), Some("multi"));
    assert_eq!(dump(3), dump(0));
}
