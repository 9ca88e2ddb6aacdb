//! `devnet --version [-o json]`, and what clap says about a command line that it could not take.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::error::Error;
use crate::settings::{Environment, Settings};
use crate::ui::Ui;

/// Answers `--version` (also `-o json`) and `--help`, or tells what is wrong with the command line.
pub(crate) fn answer(arguments: &[OsString], error: &clap::Error) {
    if error.kind() == ErrorKind::DisplayVersion && wants_json(arguments) {
        let ui = Ui::new(
            &Settings::new(crate::cli::Global::default(), Environment::of_process()).look(),
        );
        if let Err(error) = ui.data(&format!("{}\n", document())) {
            ui.error(&Error::failed("could not write to stdout").because(error));
        }
        return;
    }
    // a closed stdout or stderr leaves nobody to tell
    let _gone = error.print();
}

/// Whether `-o json` stands among the arguments, in any of clap's spellings.
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

/// What this devnet is, for scripts.
fn document() -> serde_json::Value {
    serde_json::json!({
        "name": "devnet",
        "version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
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
}
