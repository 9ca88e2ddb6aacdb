//! Reads what `minikube docker-env` prints, in any of its forms: every shell's, text, json, yaml;
//! set and unset; TCP and ssh; and the line by which it tells a shell that it failed.

use std::collections::BTreeMap;

use crate::docker_env::DockerEnv;
use crate::error::{Error, Kind, Result};
use crate::yaml::node::{self, Value};

/// Reads one output of `minikube docker-env`.
///
/// # Errors
/// When minikube says that it failed (with what its exit code stands for), when the text sets
/// nothing (an unset script, say), or when it is none of minikube's forms.
pub(crate) fn parse(text: &str) -> Result<DockerEnv> {
    let text = text.trim_start_matches('\u{feff}');
    if let Some(code) = failure(text) {
        return Err(of_exit_code(code));
    }
    let variables: BTreeMap<String, String> = if text.trim_start().starts_with('{') {
        let values: BTreeMap<String, Option<String>> = serde_json::from_str(text.trim())
            .map_err(|error| nothing("its JSON can't be read").caused_by(error))?;
        values
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    } else if is_yaml(text) {
        yaml(text)?
    } else {
        text.lines().filter_map(line).collect()
    };
    let get = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let host = get("DOCKER_HOST").ok_or_else(|| nothing("it sets no `DOCKER_HOST`"))?;
    let profile = get("MINIKUBE_ACTIVE_DOCKERD")
        .ok_or_else(|| nothing("it sets no `MINIKUBE_ACTIVE_DOCKERD`"))?;
    crate::docker_env::endpoint::Address::parse(host)?;
    Ok(DockerEnv {
        host: host.clone(),
        cert_path: get("DOCKER_CERT_PATH").map(Into::into),
        profile: profile.clone(),
    })
}

fn nothing(why: &str) -> Error {
    Error::failed(format!(
        "this is no output of `minikube docker-env` that sets anything: {why}"
    ))
    .hint("pipe in what `minikube docker-env` prints, without `--unset`")
}

/// `false exit code N`: what minikube prints into an `eval` when it fails.
fn failure(text: &str) -> Option<u8> {
    text.lines().find_map(|line| {
        line.trim()
            .strip_prefix("false exit code ")?
            .trim()
            .parse()
            .ok()
    })
}

/// True where the first line that says anything is a name and a colon, as no shell's form has it.
fn is_yaml(text: &str) -> bool {
    text.lines()
        .map(str::trim_end)
        .find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---")
        .and_then(|line| line.split_once(':'))
        .is_some_and(|(name, value)| is_name(name) && (value.is_empty() || value.starts_with(' ')))
}

/// A YAML mapping of names to scalars, each as text; `null` is not set.
fn yaml(text: &str) -> Result<BTreeMap<String, String>> {
    let unread = |error: Error| nothing("its YAML can't be read").caused_by(error);
    let mut values = BTreeMap::new();
    for document in node::documents("stdin", text).map_err(unread)? {
        if let Value::Map(entries) = document.value {
            for (key, entry) in entries {
                if let Value::Scalar { text, .. } = entry.value {
                    values.insert(key.name, text);
                }
            }
        }
    }
    Ok(values)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One line of any shell's form.
fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim_end_matches('\r').trim();
    let (name, value) = if let Some(rest) = line.strip_prefix("export ") {
        rest.trim_end_matches(';').split_once('=')?
    } else if let Some(rest) = line.strip_prefix("set -gx ") {
        rest.trim_end_matches(';').split_once(' ')?
    } else if let Some(rest) = line.strip_prefix("$Env:") {
        rest.split_once(" = ")?
    } else if let Some(rest) = line.strip_prefix("SET ") {
        rest.split_once('=')?
    } else if let Some(rest) = line.strip_prefix("setenv ") {
        rest.trim_end_matches(';').split_once(' ')?
    } else if let Some(rest) = line.strip_prefix("(setenv ") {
        let (name, value) = rest.trim_end_matches(')').split_once(' ')?;
        // emacs takes a variable away by setting it to nil
        (
            name.trim_matches('"'),
            Some(value).filter(|value| *value != "nil")?,
        )
    } else {
        line.split_once('=')?
    };
    // hints (`# eval $(...)`, `REM ...`) have no name of a variable
    is_name(name).then(|| (name.to_owned(), unquoted(value).to_owned()))
}

/// minikube puts quotes round values and escapes nothing inside them.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}

/// The error that an exit code of `minikube docker-env` stands for; minikube hides the reason when
/// its output is not a terminal.
pub(crate) fn of_exit_code(code: u8) -> Error {
    let (kind, why, hint) = match code {
        10 => (
            Kind::Failed,
            "it does not know the output form that was asked for",
            "is this another `minikube`? `devnet env --from files` needs none",
        ),
        14 => (
            Kind::Unreachable,
            "this cluster's runtime or driver has no Docker engine for the host",
            "minikube start --container-runtime=docker",
        ),
        38 => (
            Kind::Failed,
            "minikube can't read its own record of the profile",
            "`minikube profile list` shows which are broken",
        ),
        50 => (
            Kind::Unreachable,
            "the node's container publishes no port for its engine",
            "start the cluster again: `minikube stop` and `minikube start`",
        ),
        51 => (
            Kind::Unreachable,
            "the driver `none` uses this computer's own engine",
            "use docker as it is",
        ),
        70 => (
            Kind::Unreachable,
            "the node's ssh login does not answer",
            "`minikube status` tells more",
        ),
        80 => (
            Kind::Unreachable,
            "the node is gone, or the engine that runs it does not answer",
            "`minikube start` makes it anew",
        ),
        81 => (
            Kind::Unreachable,
            "minikube's docker-env refuses clusters of several nodes",
            "devnet does not: `devnet env --from files`",
        ),
        83 => (
            Kind::Unreachable,
            "the cluster is not running",
            "`minikube start` starts it",
        ),
        85 => (
            Kind::NotFound,
            "there is no such profile or machine",
            "`minikube profile list` lists them",
        ),
        90 => (
            Kind::Unreachable,
            "minikube can't start an ssh agent on Windows",
            "minikube start --container-runtime=docker",
        ),
        _ => (
            Kind::Failed,
            "minikube did not say why",
            "`minikube docker-env` at a terminal may tell",
        ),
    };
    Error::new(
        kind,
        format!("`minikube docker-env` failed with exit code {code}"),
    )
    .caused_by(why)
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected() -> DockerEnv {
        DockerEnv {
            host: "tcp://127.0.0.1:32842".into(),
            cert_path: Some("/home/u/.minikube/certs".into()),
            profile: "minikube".into(),
        }
    }

    #[test]
    fn every_form_says_the_same() {
        let pairs = [
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_HOST", "tcp://127.0.0.1:32842"),
            ("DOCKER_CERT_PATH", "/home/u/.minikube/certs"),
            ("MINIKUBE_ACTIVE_DOCKERD", "minikube"),
        ];
        let forms: [fn(&str, &str) -> String; 9] = [
            |k, v| format!("export {k}=\"{v}\"\n"),
            |k, v| format!("set -gx {k} \"{v}\";\n"),
            |k, v| format!("$Env:{k} = \"{v}\"\r\n"),
            |k, v| format!("SET {k}={v}\r\n"),
            |k, v| format!("setenv {k} \"{v}\";\n"),
            |k, v| format!("(setenv \"{k}\" \"{v}\")\n"),
            |k, v| format!("{k}={v}\n"),
            |k, v| format!("{k}: {v}\n"),
            |k, v| format!("{k}: '{v}'\n"),
        ];
        for form in forms {
            let mut text: String = pairs.iter().map(|(k, v)| form(k, v)).collect();
            text += "\n# To point your shell to minikube's docker-daemon, run:\n# eval $(minikube -p minikube docker-env)\n";
            assert_eq!(parse(&text).unwrap(), expected(), "{text}");
        }
        let json = r#"{"DOCKER_CERT_PATH":"/home/u/.minikube/certs","DOCKER_HOST":"tcp://127.0.0.1:32842","DOCKER_TLS_VERIFY":"1","MINIKUBE_ACTIVE_DOCKERD":"minikube","SSH_AGENT_PID":"","SSH_AUTH_SOCK":""}"#;
        assert_eq!(parse(json).unwrap(), expected());
    }

    #[test]
    fn yaml_is_read_with_its_quotes_and_escapes() {
        for (written, value) in [
            ("'/it''s: $x'", "/it's: $x"),
            ("\"/a\\\\b\\\"c\\td\\u00e9\"", "/a\\b\"c\td\u{e9}"),
            ("/plain with blanks # a comment", "/plain with blanks"),
            ("|-\n  /a\n  b", "/a\nb"),
            ("'/folded\n  here'", "/folded here"),
        ] {
            let text = format!(
                "DOCKER_CERT_PATH: {written}\nDOCKER_HOST: tcp://127.0.0.1:1\nDOCKER_TLS_VERIFY: \"1\"\nMINIKUBE_ACTIVE_DOCKERD: 2024\nSSH_AGENT_PID: \"\"\n"
            );
            let env = parse(&text).unwrap();
            assert_eq!(env.cert_path, Some(value.into()), "{text}");
            assert_eq!(env.profile, "2024");
        }
        assert!(parse("DOCKER_HOST: \"tcp://x\n").is_err());
        assert!(parse("DOCKER_HOST: null\nMINIKUBE_ACTIVE_DOCKERD: null\n").is_err());
    }

    #[test]
    fn an_ssh_form_has_no_certificates() {
        let text = "export DOCKER_HOST=\"ssh://docker@127.0.0.1:32770\"\nexport MINIKUBE_ACTIVE_DOCKERD=\"minikube\"\nexport SSH_AUTH_SOCK=\"/tmp/agent.1\"\nexport SSH_AGENT_PID=\"12\"\n";
        assert_eq!(
            parse(text).unwrap(),
            DockerEnv {
                host: "ssh://docker@127.0.0.1:32770".into(),
                cert_path: None,
                profile: "minikube".into(),
            }
        );
    }

    #[test]
    fn a_failure_that_minikube_hides_is_named() {
        let error = parse("false exit code 83\n").unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.causes()[0].contains("not running"));
        assert_eq!(
            parse("false exit code 85\n").unwrap_err().kind(),
            Kind::NotFound
        );
    }

    #[test]
    fn every_exit_code_that_docker_env_has_is_explained() {
        for code in [10, 14, 38, 50, 51, 70, 80, 81, 83, 85, 90] {
            let error = of_exit_code(code);
            assert!(!error.causes()[0].contains("did not say why"), "{code}");
        }
        assert_eq!(of_exit_code(38).kind(), Kind::Failed);
        assert_eq!(of_exit_code(10).kind(), Kind::Failed);
        assert_eq!(of_exit_code(7).kind(), Kind::Failed);
    }

    #[test]
    fn an_unset_script_sets_nothing() {
        let forms: [fn(&str) -> String; 8] = [
            |k| format!("unset {k};\n"),
            |k| format!("set -e {k};\n"),
            |k| format!("Remove-Item Env:\\\\{k}\n"),
            |k| format!("SET {k}=\n"),
            |k| format!("unsetenv {k};\n"),
            |k| format!("(setenv \"{k}\" nil)\n"),
            |k| format!("{k}=\n"),
            |k| format!("{k}: \"\"\n"),
        ];
        for form in forms {
            let text = form("DOCKER_HOST") + &form("MINIKUBE_ACTIVE_DOCKERD");
            let error = parse(&text).unwrap_err();
            assert!(error.to_string().contains("it sets no"), "{text}: {error}");
        }
        assert!(parse("{\"DOCKER_HOST\":null,\"MINIKUBE_ACTIVE_DOCKERD\":null}").is_err());
        // the old value that comes back is no cluster's
        assert!(
            parse("unset MINIKUBE_ACTIVE_DOCKERD;\nexport DOCKER_HOST=\"tcp://old:1\"\n").is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _outcome = parse(&text);
        }
    }
}
