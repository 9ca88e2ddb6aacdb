//! `devnet env` as data (json, yaml, dotenv, GitHub's file), what it makes of every form of
//! `minikube docker-env`, and what it says on stdout when its command line is wrong.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::support::{Output, Sandbox, missing};

const OLD: [(&str, &str); 3] = [
    ("DOCKER_HOST", "tcp://it's $5 \\ \"x\" `y`"),
    ("DOCKER_CERT_PATH", "/a $b `c` \\d \"e\"\nDEVNET_END_0\nf"),
    ("DOCKER_TLS_VERIFY", ""),
];

fn devnet(sandbox: &Sandbox, arguments: &[&str], extra: &[(&str, &str)], input: &str) -> Output {
    let mut child = sandbox
        .devnet_command(arguments)
        .envs(extra.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const TLS: [(&str, &str); 4] = [
    ("DOCKER_TLS_VERIFY", "1"),
    ("DOCKER_HOST", "tcp://127.0.0.1:32842"),
    ("DOCKER_CERT_PATH", "/home/u/.minikube/certs"),
    ("MINIKUBE_ACTIVE_DOCKERD", "minikube"),
];
const SSH: [(&str, &str); 4] = [
    ("DOCKER_HOST", "ssh://docker@127.0.0.1:32770"),
    ("MINIKUBE_ACTIVE_DOCKERD", "minikube"),
    ("SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1"),
    ("SSH_AGENT_PID", "1234"),
];

type Form = (
    &'static str,
    fn(&str, &str) -> String,
    fn(&str) -> String,
    &'static str,
);

/// minikube's forms: a variable that is set, one that goes, and what stands behind them.
const FORMS: [Form; 8] = [
    (
        "bash",
        |k, v| format!("export {k}=\"{v}\"\n"),
        |k| format!("unset {k};\n"),
        "\n# To point your shell to minikube's docker-daemon, run:\n# eval $(minikube -p minikube docker-env)\n",
    ),
    (
        "fish",
        |k, v| format!("set -gx {k} \"{v}\";\n"),
        |k| format!("set -e {k};\n"),
        "\n# To point your shell to minikube's docker-daemon, run:\n# minikube -p minikube docker-env | source\n",
    ),
    (
        "powershell",
        |k, v| format!("$Env:{k} = \"{v}\"\r\n"),
        |k| format!("Remove-Item Env:\\\\{k}\r\n"),
        "# To point your shell to minikube's docker-daemon, run:\r\n# & minikube -p minikube docker-env --shell powershell | Invoke-Expression\r\n",
    ),
    (
        "cmd",
        |k, v| format!("SET {k}={v}\r\n"),
        |k| format!("SET {k}=\r\n"),
        "REM To point your shell to minikube's docker-daemon, run:\r\nREM @FOR /f \"tokens=*\" %i IN ('minikube -p minikube docker-env --shell cmd') DO @%i\r\n",
    ),
    (
        "tcsh",
        |k, v| format!("setenv {k} \"{v}\";\n"),
        |k| format!("unsetenv {k};\n"),
        "\n: \"To point your shell to minikube's docker-daemon, run:\"\n: eval `minikube -p minikube docker-env`\n",
    ),
    (
        "emacs",
        |k, v| format!("(setenv \"{k}\" \"{v}\")\n"),
        |k| format!("(setenv \"{k}\" nil)\n"),
        ";; To point your shell to minikube's docker-daemon, run:\n;; (with-temp-buffer (shell-command \"minikube -p minikube docker-env\" (current-buffer)) (eval-buffer))\n",
    ),
    (
        "none",
        |k, v| format!("{k}={v}\n"),
        |k| format!("{k}=\n"),
        "",
    ),
    (
        "yaml",
        |k, v| format!("{k}: '{v}'\n"),
        |k| format!("{k}: \"\"\n"),
        "",
    ),
];

#[test]
fn every_form_of_minikubes_answer_is_taken_from_stdin() {
    let sandbox = Sandbox::bare();
    let json = |pairs: &[(&str, &str)]| -> String {
        let wanted: BTreeMap<_, _> = pairs
            .iter()
            .filter(|(name, _)| !name.starts_with("SSH_"))
            .copied()
            .collect();
        serde_json::to_string(&wanted).unwrap() + "\n"
    };
    for pairs in [TLS, SSH] {
        let mut texts: Vec<(&str, String)> = FORMS
            .iter()
            .map(|(name, set, _, hint)| {
                let lines: String = pairs.iter().map(|(k, v)| set(k, v)).collect();
                (*name, lines + hint)
            })
            .collect();
        let all: BTreeMap<_, _> = pairs.iter().copied().collect();
        texts.push(("json", serde_json::to_string(&all).unwrap()));
        for (name, text) in texts {
            let out = devnet(&sandbox, &["env", "--from", "-", "-o", "json"], &[], &text);
            assert_eq!(out.stdout, json(&pairs), "{name}: {out}");
            assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{name}");
        }
    }
}

#[test]
fn an_answer_that_unsets_is_refused_in_every_form() {
    let sandbox = Sandbox::bare();
    for (name, _, unset, hint) in FORMS {
        let text: String = TLS.iter().map(|(k, _)| unset(k)).collect::<String>() + hint;
        let out = devnet(
            &sandbox,
            &["env", "--from", "-", "--shell", "sh"],
            &[],
            &text,
        );
        assert_eq!(
            (out.code, out.stdout.as_str()),
            (1, "false;\n"),
            "{name}: {out}"
        );
        assert!(
            out.stderr.contains("it sets no `DOCKER_HOST`"),
            "{name}: {out}"
        );
    }
}

#[test]
fn cmd_is_told_of_its_code_page_where_that_matters() {
    let sandbox = Sandbox::bare();
    for (home, hinted) in [("u", false), ("J\u{fc}rgen", true)] {
        let text: String = TLS.map(|(k, v)| format!("{k}={v}\n")).concat();
        let text = text.replace("/home/u/", &format!("/home/{home}/"));
        let out = devnet(
            &sandbox,
            &["env", "--from", "-", "--shell", "cmd"],
            &[],
            &text,
        );
        assert_eq!(out.code, 0, "{out}");
        assert!(out.stdout.contains(&format!("/home/{home}/")), "{out}");
        assert_eq!(out.stderr.contains("chcp 65001"), hinted, "{out}");
    }
}

#[test]
fn yaml_with_quotes_and_escapes_is_read_as_yaml() {
    let sandbox = Sandbox::bare();
    for (written, value) in [
        ("'/it''s'", "/it's"),
        (r#""/a\\b\"c\te""#, "/a\\b\"c\te"),
        ("/plain # comment", "/plain"),
    ] {
        let text = format!(
            "DOCKER_CERT_PATH: {written}\nDOCKER_HOST: tcp://127.0.0.1:1\nDOCKER_TLS_VERIFY: \"1\"\nMINIKUBE_ACTIVE_DOCKERD: minikube\n"
        );
        let out = devnet(&sandbox, &["env", "--from", "-", "-o", "json"], &[], &text).ok();
        let read: BTreeMap<String, String> = serde_json::from_str(&out).unwrap();
        assert_eq!(read["DOCKER_CERT_PATH"], value);
    }
}

/// The variables of a shell after it took a file of assignments.
fn sourced(sandbox: &Sandbox, file: &Path) -> BTreeMap<String, String> {
    let script = format!("set -a; . '{}'; env -0", file.display());
    Output::of(sandbox.command("bash").args(["-c", &script]))
        .ok()
        .split_terminator('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn dotenv_yaml_and_json_say_the_same() {
    let sandbox = Sandbox::bare();
    let text: String = TLS.map(|(k, v)| format!("{k}={v}\n")).concat();
    let written =
        |form: &str| devnet(&sandbox, &["env", "--from", "-", "-o", form], &OLD, &text).ok();
    let mut wanted: BTreeMap<String, String> = TLS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for (name, value) in &OLD[..2] {
        wanted.insert(format!("MINIKUBE_EXISTING_{name}"), (*value).into());
    }
    let json: BTreeMap<String, String> = serde_json::from_str(&written("json")).unwrap();
    assert_eq!(json, wanted);
    let yaml: BTreeMap<String, String> = serde_yaml::from_str(&written("yaml")).unwrap();
    assert_eq!(yaml, wanted);
    let file = sandbox.home().join("dotenv");
    std::fs::write(&file, written("dotenv")).unwrap();
    let read = sourced(&sandbox, &file);
    for (name, value) in &wanted {
        assert_eq!(read.get(name), Some(value), "{name}");
    }
    let github = written("github");
    assert!(
        github.contains("DOCKER_HOST=tcp://127.0.0.1:32842\n"),
        "{github}"
    );
    assert!(
        github.contains(
            "MINIKUBE_EXISTING_DOCKER_CERT_PATH<<DEVNET_END_1\n/a $b `c` \\d \"e\"\nDEVNET_END_0\nf\nDEVNET_END_1\n"
        ),
        "{github}"
    );
}

#[test]
fn taking_back_as_json_says_what_comes_back_and_what_goes() {
    let sandbox = Sandbox::bare();
    let now = [
        ("DOCKER_HOST", "tcp://127.0.0.1:1"),
        ("MINIKUBE_EXISTING_DOCKER_HOST", "ssh://old"),
        ("MINIKUBE_ACTIVE_DOCKERD", "minikube"),
        ("DEVNET_EXISTING", "{\"DOCKER_TLS_VERIFY\":\"\"}"),
    ];
    assert_eq!(
        devnet(&sandbox, &["env", "-u", "-o", "json"], &now, "").ok(),
        "{\"DEVNET_EXISTING\":null,\"DOCKER_HOST\":\"ssh://old\",\"DOCKER_TLS_VERIFY\":\"\",\"MINIKUBE_ACTIVE_DOCKERD\":null,\"MINIKUBE_EXISTING_DOCKER_HOST\":null}\n"
    );
    assert_eq!(
        devnet(&sandbox, &["env", "-u", "-o", "json"], &[], "").ok(),
        "{}\n"
    );
}

#[test]
fn a_success_is_one_also_after_something_else_failed() {
    let sandbox = Sandbox::bare();
    for (shell, take) in [
        ("bash", "false; eval \"$({})\" && echo ok"),
        ("zsh", "false; eval \"$({})\" && echo ok"),
        ("dash", "false; eval \"$({})\" && echo ok"),
        ("fish", "false; {} | source; and echo ok"),
    ] {
        if !Path::new("/bin").join(shell).exists() {
            missing(shell);
            continue;
        }
        for now in [
            &[][..],
            &[("MINIKUBE_ACTIVE_DOCKERD", "q"), ("DOCKER_HOST", "tcp://a")],
        ] {
            let call = format!(
                "{} env --unset --shell {shell}",
                env!("CARGO_BIN_EXE_devnet")
            );
            let mut command = sandbox.command(shell);
            command.args(["-c", &take.replace("{}", &call)]);
            let out = Output::of(command.envs(now.iter().copied()));
            assert_eq!(
                (out.code, out.stdout.as_str()),
                (0, "ok\n"),
                "{shell}: {out}"
            );
        }
    }
}

#[test]
fn a_wrong_command_line_makes_what_evaluates_it_fail() {
    let sandbox = Sandbox::bare();
    for (line, stdout) in [
        ("env --shell bash --nope", "false;\n"),
        ("env --nope --shell=fish", "false;\n"),
        (
            "-p x docker-env --shell elvish extra",
            "fail 'devnet env failed'\n",
        ),
        (
            "env --shell nu -o json",
            "error make {msg: 'devnet env failed'}\n",
        ),
        ("env --shell bogus", "false;\n"),
        ("env -o toml", "false;\n"),
        // nobody evaluates data, and no other verb is evaluated
        ("env -o json --nope", ""),
        ("env --output=yaml --nope", ""),
        ("pods --nope", ""),
        ("-p env --nope", ""),
    ] {
        // bash stays there, to be found as the calling shell
        let script = format!("{} {line}; exit $?", env!("CARGO_BIN_EXE_devnet"));
        let out = Output::of(sandbox.command("bash").args(["-c", &script]));
        assert_eq!(
            (out.code, out.stdout.as_str()),
            (2, stdout),
            "{line}: {out}"
        );
    }
    let help = sandbox.devnet(&["env", "--help"]).ok();
    assert!(!help.starts_with("false"), "{help}");
}
