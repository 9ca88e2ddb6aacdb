//! `devnet --version [-o json]`, and what clap says about a command line that it could not take.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::commands::foreign_flags;
use crate::error::Error;
use crate::probe::carried;
use crate::settings::{Environment, Settings};
use crate::ui::Ui;

/// Answers `--version` (also `-o json`) and `--help`, or tells what is wrong with the command line.
pub(crate) fn answer(arguments: &[OsString], error: &clap::Error) {
    if error.kind() == ErrorKind::DisplayVersion && wants_json(arguments) {
        let ui = Ui::new(
            &Settings::new(
                crate::settings::flags::GlobalFlags::default(),
                Environment::of_process(),
            )
            .terminal_options(),
        );
        if let Err(error) = ui.data(&format!("{}\n", document())) {
            ui.error(&Error::stdout(error));
        }
        return;
    }
    if error.kind() == ErrorKind::DisplayHelp && asks_for_a_switch(arguments) {
        // the hook's function evaluates what stands on stdout
        Ui::new(
            &Settings::new(
                crate::settings::flags::GlobalFlags::default(),
                Environment::of_process(),
            )
            .terminal_options(),
        )
        .say(&error.render().to_string());
        return;
    }
    if let Some(refusal) = foreign_flags::refusal(verb(arguments).as_deref(), error) {
        let options = Settings::new(
            crate::settings::flags::GlobalFlags::default(),
            Environment::of_process(),
        )
        .terminal_options();
        Ui::new(&options).error(&refusal);
    } else {
        // a closed stdout or stderr leaves nobody to tell
        let _gone = error.print();
    }
    if error.use_stderr() && asks_for_env(arguments) {
        crate::commands::env::fail_evaluation(arguments);
    }
}

/// True where the verb of a command line that could not be taken is one that is evaluated.
fn asks_for_env(arguments: &[OsString]) -> bool {
    matches!(verb(arguments).as_deref(), Some("env" | "docker-env")) || asks_for_a_switch(arguments)
}

/// True where the function of a prompt hook asks, which evaluates what it gets.
fn asks_for_a_switch(arguments: &[OsString]) -> bool {
    matches!(verb(arguments).as_deref(), Some("use" | "off"))
        && arguments.iter().any(|word| word == "--shell")
}

/// The verb of a command line that could not be taken.
fn verb(arguments: &[OsString]) -> Option<String> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let takes_a_value = matches!(
            &*word,
            "-H" | "--host" | "--tls-cert-path" | "--context" | "-p" | "--profile" | "--color"
        );
        if takes_a_value {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word.into_owned());
        }
    }
    None
}

/// True where `-o json` stands among the arguments, in any of clap's spellings.
fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    words
        .windows(2)
        .any(|pair| (pair[0] == "-o" || pair[0] == "--output") && pair[1] == "json")
        || words
            .iter()
            .any(|word| word == "-ojson" || word == "-o=json" || word == "--output=json")
}

/// The description of this devnet, for scripts.
fn document() -> serde_json::Value {
    let probes: serde_json::Map<_, _> = carried::sums()
        .map(|(architecture, sum)| (architecture.to_owned(), sum.into()))
        .collect();
    // only a published package knows its commit
    let commit = Some(env!("DEVNET_COMMIT")).filter(|commit| !commit.is_empty());
    serde_json::json!({
        "name": "devnet",
        "version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "built_from": {
            "commit": commit,
            "target": env!("DEVNET_TARGET"),
            "rustc": env!("DEVNET_RUSTC"),
            "probes_sha256": probes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_every_spelling() {
        for line in [
            &["--version", "-o", "json"][..],
            &["--version", "--output=json"],
            &["--version", "-ojson"],
        ] {
            assert!(
                wants_json(&line.iter().map(OsString::from).collect::<Vec<_>>()),
                "{line:?}"
            );
        }
        assert!(!wants_json(&["--version".into()]));
    }

    #[test]
    fn the_verb_is_found_behind_the_global_flags() {
        let asks =
            |line: &str| asks_for_env(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "devnet env --nope",
            "devnet -p other docker-env x",
            "devnet -q --color=never -H tcp://a --nope env",
            "devnet -pother env x",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "devnet",
            "devnet -p env",
            "devnet pods env",
            "devnet --nope",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
