//! `devnet hook` at the prompts of the real shells: the cluster restarts elsewhere, the shell follows.

use std::path::Path;

use crate::support::{Output, Sandbox, ground, missing};

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

const SHELLS: [Shell; 5] = [
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
];

fn here(program: &str) -> bool {
    let found = Path::new("/usr/bin").join(program).exists();
    if !found {
        missing(program);
    }
    found
}

/// A qemu profile `q`, whose engine's port stands in the machine's record and moves.
fn cluster(sandbox: &Sandbox, ground: &Path) {
    let home = sandbox.home().join(".minikube");
    for folder in ["profiles/q", "machines/q"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    std::os::unix::fs::symlink(ground.join("minikube/.minikube/certs"), home.join("certs"))
        .unwrap();
    std::fs::write(
        home.join("profiles/q/config.json"),
        r#"{"Name":"q","Driver":"qemu2","Network":"builtin","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"10.0.2.15","ControlPlane":true}]}"#,
    )
    .unwrap();
    let engine = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ground/engine.sh");
    let write = |name: &str, text: String| std::fs::write(sandbox.home().join(name), text).unwrap();
    write(
        "record.sh",
        "printf '{\"Driver\":{\"IPAddress\":\"127.0.0.1\",\"EnginePort\":%d,\"SSHPort\":1}}' $1 > .minikube/machines/q/config.json\n".into(),
    );
    write(
        "restart.sh",
        format!(
            "set -e\n{engine} stop moving\nsh record.sh $1\nDEVNET_GROUND_PORT=$1 {engine} start moving\n"
        ),
    );
    write(
        "dump.sh",
        "env | grep -E '^(DOCKER_|MINIKUBE_ACTIVE|MINIKUBE_EXISTING|DEVNET_EXISTING)' | sort > $1\n"
            .into(),
    );
}

#[test]
fn a_shell_follows_its_cluster_to_another_port_and_is_given_back() {
    let Some(ground) = ground() else { return };
    #[expect(
        clippy::disallowed_methods,
        reason = "the ground says which engine this is"
    )]
    let of_the_ground: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("DEVNET_GROUND"))
        .collect();
    for (shell, port) in SHELLS.iter().zip((32_771..).step_by(2)) {
        let name = shell.start[0];
        if !here(name) {
            continue;
        }
        let sandbox = Sandbox::bare()
            .env("MINIKUBE_PROFILE", "q")
            .env("TERM", "dumb");
        cluster(&sandbox, &ground);
        let (first, second) = (port, port + 1);
        let mut start = sandbox.command("sh");
        start.args(["restart.sh", &first.to_string()]);
        Output::of(start.envs(of_the_ground.iter().cloned())).ok();
        let lines = [
            shell.take.replace("{}", env!("CARGO_BIN_EXE_devnet")) + "; DONE",
            "sh dump.sh before; DONE".into(),
            "devnet use; DONE".into(),
            "sh dump.sh used; DONE".into(),
            format!("sh restart.sh {second}; DONE"),
            "sh dump.sh followed; DONE".into(),
            "docker version --format '{{.Server.Os}}' > answered; DONE".into(),
            "sh -c 'DONE; exit 3'".into(),
            format!("echo {} > code; DONE", shell.code),
            format!("{}; DONE", shell.fail),
            format!("{}; DONE", shell.set),
            format!("sh record.sh {first}; DONE"),
            "sh dump.sh by-hand; DONE".into(),
            "devnet off; DONE".into(),
            "sh dump.sh after; DONE".into(),
        ];
        let file = sandbox.home().join("lines");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let prompt = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/prompt.py");
        let mut command = sandbox.command("python3");
        command
            .args([prompt, "lines"])
            .args(shell.start)
            .envs(of_the_ground.iter().cloned())
            .env("DOCKER_HOST", "ssh://me@old")
            .env("DOCKER_TLS_VERIFY", "");
        let screen = Output::of(&mut command);
        let read = |file: &str| {
            std::fs::read_to_string(sandbox.home().join(file))
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}\n{screen}"))
        };
        let at = |port: u16| format!("DOCKER_HOST=tcp://127.0.0.1:{port}\n");
        assert!(read("used").contains(&at(first)), "{name}: {screen}");
        assert!(read("followed").contains(&at(second)), "{name}: {screen}");
        assert_eq!(
            read("followed"),
            read("used").replace(&at(first), &at(second)),
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
            "/tests/ground/engine.sh"
        ));
        Output::of(
            stop.args(["stop", "moving"])
                .envs(of_the_ground.iter().cloned()),
        )
        .ok();
    }
}

#[test]
fn a_prompt_is_told_nothing_where_nothing_can_be_said() {
    let sandbox = Sandbox::bare();
    for shell in ["bash", "zsh", "fish", "elvish", "xonsh"] {
        let out = sandbox.devnet(&["-p", "gone", "hook", "--prompt", shell]);
        assert_eq!(
            (out.code, out.stdout.as_str(), out.stderr.as_str()),
            (0, "", ""),
            "{shell}"
        );
    }
    sandbox.devnet(&["hook", "command.com"]).fails(2);
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
        assert!(out.stdout.ends_with("\n2\n"), "{program}: {out}");
        assert_eq!(out.stderr, "usage: devnet use [PROFILE]\n", "{program}");
        let hook = Output::of(sandbox.command("devnet").args(["hook", program])).ok();
        assert!(!hook.contains("DEVNET_PROGRAM"), "{hook}");
    }
}
