//! `devnet hook` at the prompts of the real shells: the cluster restarts elsewhere, the shell follows.

use std::path::Path;

use crate::support::{Output, Sandbox, busybox_image, docker, missing, testbed};

/// A shell at a prompt, how it takes the hook, sets a variable, and names the last exit code.
struct Shell {
    start: &'static [&'static str],
    /// Without a prompt; empty where that can't be.
    run: &'static [&'static str],
    take: &'static str,
    set: &'static str,
    /// Empty where there is none to be hidden.
    code: &'static str,
    /// Calls devnet for a profile that is not there, and goes on.
    fail: &'static str,
}

const SHELLS: [Shell; 7] = [
    Shell {
        start: &["bash", "--norc", "--noprofile", "-i"],
        run: &["bash", "-c"],
        take: "eval \"$({} hook bash)\"",
        set: "export DOCKER_HOST=tcp://mine",
        code: "$?",
        fail: "devnet use nope || echo failed > failed",
    },
    Shell {
        start: &["zsh", "-f", "-i"],
        run: &["zsh", "-f", "-c"],
        take: "eval \"$({} hook zsh)\"",
        set: "export DOCKER_HOST=tcp://mine",
        code: "$?",
        fail: "devnet use nope || echo failed > failed",
    },
    Shell {
        start: &["fish", "--no-config", "-i"],
        run: &["fish", "--no-config", "-c"],
        take: "{} hook fish | source",
        set: "set -gx DOCKER_HOST tcp://mine",
        code: "$status",
        fail: "devnet use nope || echo failed > failed",
    },
    Shell {
        start: &["elvish", "-norc"],
        run: &[],
        take: "eval ({} hook elvish | slurp)",
        set: "set-env DOCKER_HOST tcp://mine",
        code: "",
        fail: "try { devnet use nope } catch e { echo failed > failed }",
    },
    Shell {
        start: &["xonsh", "--no-rc", "-i"],
        // it would expand the variable in that folder's name on PATH itself
        run: &[],
        take: "execx($({} hook xonsh))",
        set: "$DOCKER_HOST = 'tcp://mine'",
        code: "",
        fail: "devnet use nope || echo failed > failed",
    },
    Shell {
        start: &["tcsh", "-f"],
        run: &["tcsh", "-f", "-c"],
        take: "eval \"`{} hook tcsh`\"",
        set: "setenv DOCKER_HOST tcp://mine",
        code: "$status",
        fail: "devnet use nope || echo failed > failed",
    },
    // reads no text but files
    Shell {
        start: &["nu", "--no-config-file", "--no-std-lib"],
        run: &[],
        take: "",
        set: "$env.DOCKER_HOST = 'tcp://mine'",
        code: "",
        fail: "try { devnet use nope } catch { \"failed\\n\" | save failed }",
    },
];

fn here(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        missing(program);
    }
    found
}

/// The start of a shell, and the line with which it takes the hook at its prompt.
fn start_of(sandbox: &Sandbox, shell: &Shell) -> (Vec<String>, String) {
    let mut start: Vec<String> = shell.start.iter().map(ToString::to_string).collect();
    if shell.start[0] != "nu" {
        return (
            start,
            shell.take.replace("{}", env!("CARGO_BIN_EXE_devnet")),
        );
    }
    let file = sandbox.home().join("hook.nu");
    let hook = sandbox.devnet(&["hook", "nu"]).ok();
    std::fs::write(&file, hook).unwrap();
    start.extend(["-e".into(), format!("source {}", file.display())]);
    (start, "true".into())
}

/// A person types these lines at the shell's prompt; what was on the screen.
fn typed(sandbox: &Sandbox, start: &[String], lines: &[String], extra: &[(&str, &str)]) -> Output {
    std::fs::write(sandbox.home().join("lines"), lines.join("\n")).unwrap();
    let prompt = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/prompt.py");
    let mut command = sandbox.command("python3");
    command
        .args([prompt, "lines"])
        .args(start)
        .envs(of_the_testbed())
        .envs(extra.iter().copied());
    Output::of(&mut command)
}

fn of_the_testbed() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the testbed says which engine this is"
    )]
    std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("DEVNET_TESTBED"))
        .collect()
}

/// A qemu profile `q`, whose engine's port stands in the machine's record and moves.
fn cluster(sandbox: &Sandbox, testbed: &Path) {
    let home = sandbox.home().join(".minikube");
    for folder in ["profiles/q", "machines/q"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    std::os::unix::fs::symlink(testbed.join("minikube/.minikube/certs"), home.join("certs"))
        .unwrap();
    std::fs::write(
        home.join("profiles/q/config.json"),
        r#"{"Name":"q","Driver":"qemu2","Network":"builtin","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"10.0.2.15","ControlPlane":true}]}"#,
    )
    .unwrap();
    let engine = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/engine.sh");
    let write = |name: &str, text: String| std::fs::write(sandbox.home().join(name), text).unwrap();
    write(
        "record.sh",
        "printf '{\"Driver\":{\"IPAddress\":\"127.0.0.1\",\"EnginePort\":%d,\"SSHPort\":1}}' $1 > .minikube/machines/q/config.json\n".into(),
    );
    write(
        "restart.sh",
        format!(
            "set -e\n{engine} stop moving\nsh record.sh $1\nDEVNET_TESTBED_PORT=$1 {engine} start moving\n"
        ),
    );
    write(
        "answer.sh",
        "docker version --format '{{.Server.Os}}' > answered\n".into(),
    );
    write(
        "dump.sh",
        "env | grep -iE '^(DOCKER_|MINIKUBE_|DEVNET_E|DEVNET_U|NO_PROXY)' | sort > $1\n".into(),
    );
}

#[test]
fn a_shell_follows_its_cluster_to_another_port_and_is_given_back() {
    let Some(testbed) = testbed() else { return };
    for (shell, port) in SHELLS.iter().zip((21_771..).step_by(2)) {
        let name = shell.start[0];
        if !here(name) {
            continue;
        }
        let sandbox = Sandbox::bare()
            .env("MINIKUBE_PROFILE", "q")
            .env("TERM", "dumb");
        cluster(&sandbox, &testbed);
        let (first, second) = (port, port + 1);
        let mut start = sandbox.command("sh");
        start.args(["restart.sh", &first.to_string()]);
        Output::of(start.envs(of_the_testbed())).ok();
        let (start, take) = start_of(&sandbox, shell);
        let lines = [
            format!("{take}; DONE"),
            "sh dump.sh before; DONE".into(),
            "devnet use --no-proxy; DONE".into(),
            "sh dump.sh used; DONE".into(),
            format!("sh restart.sh {second}; DONE"),
            "sh dump.sh followed; DONE".into(),
            "sh answer.sh; DONE".into(),
            "sh -c 'DONE; exit 3'".into(),
            format!("echo {} > code; DONE", shell.code),
            format!("{}; DONE", shell.fail),
            format!("{}; DONE", shell.set),
            format!("sh record.sh {first}; DONE"),
            "sh dump.sh by-hand; DONE".into(),
            "devnet off; DONE".into(),
            "sh dump.sh after; DONE".into(),
        ];
        let old = [("DOCKER_HOST", "ssh://me@old"), ("DOCKER_TLS_VERIFY", "")];
        let screen = typed(&sandbox, &start, &lines, &old);
        let read = |file: &str| {
            std::fs::read_to_string(sandbox.home().join(file))
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}\n{screen}"))
        };
        let at = |port: u16| format!("DOCKER_HOST=tcp://127.0.0.1:{port}\n");
        assert!(read("used").contains(&at(first)), "{name}: {screen}");
        assert!(read("followed").contains(&at(second)), "{name}: {screen}");
        assert!(
            read("used").contains("\nNO_PROXY=127.0.0.1\n"),
            "{name}: {screen}"
        );
        assert_eq!(
            read("followed"),
            read("used").replace(&format!(":{first}"), &format!(":{second}")),
            "{name}: nothing else has changed"
        );
        assert_eq!(read("answered"), "linux\n", "{name}: {screen}");
        assert!(
            screen
                .stdout
                .contains(&format!("`q` is now at tcp://127.0.0.1:{second}")),
            "{name}: {screen}"
        );
        assert_eq!(
            screen.stdout.matches("is now at").count(),
            1,
            "{name}: said once, and only when it moved: {screen}"
        );
        if !shell.code.is_empty() {
            assert_eq!(read("code"), "3\n", "{name}: the prompt hides no exit code");
        }
        assert_eq!(read("failed"), "failed\n", "{name}: {screen}");
        assert!(
            read("by-hand").contains("DOCKER_HOST=tcp://mine\n"),
            "{name}: {screen}"
        );
        assert_eq!(read("after"), read("before"), "{name}: {screen}");
        let mut stop = sandbox.command(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/testbed/engine.sh"
        ));
        Output::of(stop.args(["stop", "moving"]).envs(of_the_testbed())).ok();
    }
}

#[test]
fn a_prompt_is_told_nothing_where_nothing_can_be_said() {
    let sandbox = Sandbox::bare();
    for used in [
        "",
        "{",
        "7",
        r#"{"host":"tcp://a:1","profile":"gone","no_proxy":false,"ssh_host":false,"node":null}"#,
    ] {
        for shell in [
            "bash", "zsh", "fish", "elvish", "xonsh", "tcsh", "nu", "pwsh",
        ] {
            let mut command = sandbox.devnet_command(&["hook", "--prompt", shell]);
            command
                .env("DEVNET_USE", used)
                .env("DOCKER_HOST", "tcp://a:1");
            let out = Output::of(&mut command);
            assert_eq!(
                (out.code, out.stdout.as_str(), out.stderr.as_str()),
                (0, "", ""),
                "{shell} {used}"
            );
        }
    }
    sandbox.devnet(&["hook", "command.com"]).fails(2);
}

#[test]
fn at_a_node_s_own_address_a_prompt_asks_with_a_connection_alone() {
    let Some(_testbed) = testbed() else { return };
    // an address of this ground's own that is no loopback one: no port of it is forwarded
    let sandbox = Sandbox::bare();
    let mut add = sandbox.command("ip");
    Output::of(add.args(["address", "replace", "192.0.2.76/32", "dev", "lo"])).ok();
    let listener = std::net::TcpListener::bind("192.0.2.76:2376").unwrap();
    listener.set_nonblocking(true).unwrap();
    let home = sandbox.home().join(".minikube");
    let write = |path: &str, value: serde_json::Value| {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    write(
        "profiles/own/config.json",
        serde_json::json!({"Name": "own", "Driver": "kvm2",
            "KubernetesConfig": {"ContainerRuntime": "containerd"},
            "Nodes": [{"IP": "192.0.2.76", "ControlPlane": true, "Worker": true}]}),
    );
    write(
        "machines/own/config.json",
        serde_json::json!({"DriverName": "kvm2", "Driver": {"IPAddress": "192.0.2.76"}}),
    );
    let mut prompt = sandbox.devnet_command(&["hook", "--prompt", "bash"]);
    prompt
        .env("MINIKUBE_HOME", &home)
        .env("DOCKER_HOST", "tcp://192.0.2.76:2376")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", home.join("certs"))
        .env("MINIKUBE_ACTIVE_DOCKERD", "own")
        .env(
            "DEVNET_USE",
            r#"{"host":"tcp://192.0.2.76:2376","profile":"own","no_proxy":false,"ssh_host":false,"node":null}"#,
        );
    let said = Output::of(&mut prompt);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (0, "", "")
    );
    // it has ended: what it sent is there
    let (mut stream, _from) = listener.accept().expect("it connected");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    assert_eq!(bytes, Vec::<u8>::new());
    let more = listener.accept().map(drop).unwrap_err();
    assert_eq!(more.kind(), std::io::ErrorKind::WouldBlock, "and once");
}

#[test]
fn the_hook_calls_devnet_by_its_name_on_path_whatever_the_folder_is_called() {
    let sandbox = Sandbox::bare();
    let folder = sandbox.home().join("it's $HOME `id` \"x\"  é");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_devnet"), folder.join("devnet")).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let sandbox = sandbox.env("PATH", &path);
    for shell in &SHELLS {
        if !here(shell.start[0]) || shell.run.is_empty() {
            continue;
        }
        let script = format!(
            "{}\ndevnet --version; devnet use a b; echo {}",
            shell.take.replace("{}", "devnet"),
            shell.code
        );
        let (program, arguments) = shell.run.split_first().unwrap();
        let out = Output::of(sandbox.command(program).args(arguments).arg(&script));
        assert!(out.stdout.starts_with("devnet "), "{program}: {out}");
        // tcsh can't tell why its `eval` failed
        let code = if *program == "tcsh" { "\n1\n" } else { "\n2\n" };
        assert!(out.stdout.ends_with(code), "{program}: {out}");
        assert!(
            out.stderr
                .starts_with("error: unexpected argument 'b' found"),
            "{program}: {out}"
        );
        let hook = Output::of(sandbox.command("devnet").args(["hook", program])).ok();
        assert!(!hook.contains("DEVNET_PROGRAM"), "{hook}");
    }
}

#[test]
fn without_the_hook_use_and_off_say_what_is_missing() {
    let sandbox = Sandbox::bare();
    for line in [&["use", "other"][..], &["off"], &["-p", "other", "use"]] {
        let said = sandbox.devnet(line).fails(2);
        assert!(said.contains("devnet hook --help"), "{said}");
    }
    // a hook's function evaluates what stands on stdout
    let out = sandbox.devnet(&["use", "--shell", "bash", "--help"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{out}");
    assert!(out.stderr.contains("Usage: devnet use"), "{out}");
    let out = sandbox.devnet(&["off", "--shell", "tcsh", "--nope"]);
    assert_eq!((out.code, out.stdout.as_str()), (2, "false;\n"), "{out}");
}

/// A docker-driver profile whose container publishes its engine's port, as on a Mac or WSL.
fn forwarded(sandbox: &Sandbox, testbed: &Path, name: &str) {
    let home = sandbox.home().join(".minikube");
    for folder in ["profiles", "machines"] {
        std::fs::create_dir_all(home.join(folder).join(name)).unwrap();
    }
    let certs = testbed.join("minikube/.minikube/certs");
    std::os::unix::fs::symlink(certs, home.join("certs")).unwrap();
    std::fs::write(
        home.join(format!("profiles/{name}/config.json")),
        format!(
            r#"{{"Name":"{name}","Driver":"docker","KubernetesConfig":{{"ContainerRuntime":"docker"}},"Nodes":[{{"Name":"","IP":"192.168.49.2","ControlPlane":true}}]}}"#
        ),
    )
    .unwrap();
    std::fs::write(
        home.join(format!("machines/{name}/config.json")),
        r#"{"Driver":{"SSHUser":"docker"},"DriverName":"docker"}"#,
    )
    .unwrap();
}

/// The port of this computer at which a container's port is published.
fn published(testbed: &Path, container: &str, port: u16) -> String {
    let out = docker(testbed, "host", &["port", container, &port.to_string()]).ok();
    out.trim().to_owned()
}

#[test]
fn a_forwarded_port_is_drawn_anew_and_a_hooked_shell_follows_it() {
    let Some(testbed) = testbed() else { return };
    let image = busybox_image(&testbed, "host");
    let socket = format!("unix://{}", testbed.join("host.sock").display());
    let network = [
        "network",
        "create",
        "--subnet",
        "10.203.77.0/24",
        "forwarded",
    ];
    docker(&testbed, "host", &network).ok();
    for shell in &SHELLS {
        let name = shell.start[0];
        if !here(name) {
            continue;
        }
        let profile = format!("forwarded-{name}");
        let sandbox = Sandbox::bare()
            .env("MINIKUBE_PROFILE", &profile)
            .env("WSL_DISTRO_NAME", "here")
            .env("TERM", "dumb");
        forwarded(&sandbox, &testbed, &profile);
        let run = [
            "run",
            "-d",
            "--network",
            "forwarded",
            "--name",
            &profile,
            "-p",
            "127.0.0.1::2376",
            "-p",
            "127.0.0.1::22",
            &image,
            "/bin/busybox",
            "sleep",
            "1000",
        ];
        docker(&testbed, "host", &run).ok();
        std::fs::write(
            sandbox.home().join("dump.sh"),
            "env | grep -E '^(DOCKER_|MINIKUBE_|DEVNET_U)' | sort > $1\n",
        )
        .unwrap();
        let (start, take) = start_of(&sandbox, shell);
        let restart = format!("docker -H {socket} restart -t 0 {profile}; DONE");
        let lines = [
            format!("{take}; DONE"),
            "sh dump.sh before; DONE".into(),
            "devnet use; DONE".into(),
            "sh dump.sh used; DONE".into(),
            restart.clone(),
            "sh dump.sh followed; DONE".into(),
            // it keeps the form that was asked for
            format!("devnet use {profile} --ssh-host; DONE"),
            "sh dump.sh used-ssh; DONE".into(),
            restart,
            "sh dump.sh followed-ssh; DONE".into(),
            "devnet off; DONE".into(),
            "sh dump.sh after; DONE".into(),
        ];
        let first = published(&testbed, &profile, 2376);
        let screen = typed(&sandbox, &start, &lines, &[("DOCKER_HOST", &socket)]);
        let read = |file: &str| {
            std::fs::read_to_string(sandbox.home().join(file))
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}\n{screen}"))
        };
        let host = |file: &str| {
            let text = read(file);
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("DOCKER_HOST="));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(host("used"), format!("tcp://{first}"), "{name}: {screen}");
        let last = published(&testbed, &profile, 22);
        assert!(
            host("used-ssh").starts_with("ssh://docker@127.0.0.1:"),
            "{name}: {screen}"
        );
        assert_eq!(
            host("followed-ssh"),
            format!("ssh://docker@{last}"),
            "{name}: {screen}"
        );
        for (before, after) in [("used", "followed"), ("used-ssh", "followed-ssh")] {
            assert_ne!(host(before), host(after), "{name}: {screen}");
            assert_eq!(
                read(after),
                read(before).replace(&host(before), &host(after)),
                "{name}: nothing else has changed"
            );
        }
        assert_eq!(read("after"), read("before"), "{name}: {screen}");
        docker(&testbed, "host", &["rm", "-f", &profile]).ok();
    }
}

#[test]
fn powershells_hook_takes_a_word_for_devnet_and_lines_it_can_invoke() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::with_minikube(&testbed);
    let hook = sandbox.devnet(&["hook", "pwsh"]).ok();
    let word = format!(
        "$global:_devnet_program = '{}'\n",
        env!("CARGO_BIN_EXE_devnet")
    );
    assert!(hook.contains(&word), "{hook}");
    for part in [
        "& $global:_devnet_program $args[0] --shell pwsh @rest",
        "hook --prompt pwsh",
        "function global:prompt {",
    ] {
        assert!(hook.contains(part), "{part}: {hook}");
    }
    let script = sandbox
        .devnet(&["use", "multi", "--shell", "pwsh", "--no-proxy"])
        .ok();
    let certs = testbed.join("minikube/.minikube/certs");
    assert_eq!(
        script,
        format!(
            "$Env:DOCKER_TLS_VERIFY = '1'
$Env:DOCKER_HOST = 'tcp://127.0.0.2:2376'
$Env:DOCKER_CERT_PATH = '{}'
$Env:MINIKUBE_ACTIVE_DOCKERD = 'multi'
$Env:NO_PROXY = '127.0.0.2'
$Env:no_proxy = '127.0.0.2'
$Env:DEVNET_EXISTING = '{{\"NO_PROXY\":null,\"no_proxy\":null}}'
$Env:DEVNET_USE = '{{\"host\":\"tcp://127.0.0.2:2376\",\"profile\":\"multi\",\"stamp\":null,\"no_proxy\":true,\"ssh_host\":false,\"node\":null}}'
",
            certs.display()
        )
    );
}
