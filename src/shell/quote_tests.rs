//! Random values through the quoting: read back by the real shells where they are here, else by
//! what their manuals say about a quoted word.

#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::quote;
use crate::host::process;
#[cfg(unix)]
use crate::settings::Environment;

/// Values that shells trip over, more often than chance would bring it.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "([\\PC\t\n\r]|[ *?\\[\\]{}~=#$`'\"\\\\!%&;|<>()-]|\\$\\(id\\)|  |\n\n){0,12}",
        // what may look harmless enough to go without quotes
        1 => "[=~+@:,./_a-]{0,5}",
        // bytes that shells of old keep for themselves, in characters of two, three and four
        1 => "[\\\\\"$ \u{a0}àĠ†杠👠\u{7f}\u{80}\u{ff}]{0,6}",
    ]
}

/// A shell of this computer; in CI, one that is not here fails the test.
#[cfg(unix)]
fn here(shell: &str) -> Option<std::path::PathBuf> {
    let found = which::which(shell).ok();
    let ci = Environment::of_process().has("CI");
    assert!(found.is_some() || !ci, "this test needs {shell}");
    found
}

/// The answer of a shell to a script; one that does not end (csh has such words) fails the case.
#[cfg(unix)]
async fn run(program: &Path, arguments: &[&str], script: &str) -> process::Caught {
    let environment = [
        ("PATH".into(), "/usr/bin:/bin".into()),
        ("LANG".into(), "C.UTF-8".into()),
    ];
    let running = process::catch_fed(
        program.as_os_str(),
        arguments,
        script.as_bytes(),
        &environment,
        Duration::from_mins(1),
    );
    let Some(caught) = running.await.unwrap() else {
        panic!("{} does not end on: {script}", program.display());
    };
    caught
}

/// Each value twice through a shell, as `eval "$(...)"` and as `eval $(...)` take it.
#[cfg(unix)]
fn through(shell: &str, statement: impl Fn(&str) -> String) {
    let Some(program) = here(shell) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let cases = proptest::collection::vec(value(), 1..60);
    let config = Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&cases, |values| {
            let mut script = String::new();
            let mut wanted = String::new();
            for value in &values {
                let statement = statement(value);
                for eval in ["eval \"$(cat <<'THE END'\n", "eval $(cat <<'THE END'\n"] {
                    let close = if eval.contains('"') { ")\"" } else { ")" };
                    let shown = "\nprintf '%s\\0' \"$A\"\n";
                    script.extend([eval, &statement, "\nTHE END\n", close, shown]);
                    wanted.extend([value, "\0"]);
                }
            }
            let caught = runtime.block_on(run(&program, &[], &script));
            prop_assert_eq!(String::from_utf8_lossy(&caught.stderr), "");
            prop_assert_eq!(String::from_utf8_lossy(&caught.stdout), wanted);
            Ok(())
        })
        .unwrap();
}

#[cfg(unix)]
#[test]
fn bash_zsh_and_ksh_read_back_what_was_quoted() {
    for shell in ["bash", "zsh", "ksh"] {
        through(shell, |value| format!("export A={};", quote::ansi_c(value)));
    }
}

#[cfg(unix)]
#[test]
fn a_posix_shell_reads_back_what_was_quoted() {
    for shell in ["dash", "bash", "ksh"] {
        through(shell, |value| quote::posix_export("A", value));
    }
}

/// csh and tcsh take a file's lines, quoted and unquoted; the file holds one statement.
#[cfg(unix)]
#[test]
fn csh_and_tcsh_read_back_what_was_quoted() {
    let folder = tempfile::tempdir().unwrap();
    // an unquoted `eval` that expands a glob finds something
    for name in ["a*b", "axb", "?", "*", "x"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for shell in ["tcsh", "bsd-csh"] {
        let Some(program) = here(shell) else {
            continue;
        };
        let config = Config {
            cases: 12,
            failure_persistence: None,
            ..Config::default()
        };
        let cases = proptest::collection::vec(value(), 1..30);
        TestRunner::new(config)
            .run(&cases, |values| {
                let mut script = format!("cd {}\n", folder.path().display());
                let mut wanted = String::new();
                for (number, value) in values.iter().enumerate() {
                    let value = value.replace(['\n', '\r'], "*");
                    let file = folder.path().join(format!("{number}.sh"));
                    let statement = format!("setenv A {};\nsetenv B x;\n", quote::csh(&value));
                    std::fs::write(&file, statement).unwrap();
                    for quote in ["\"", ""] {
                        let line = format!("eval {quote}`cat {number}.sh`{quote}\n");
                        script.extend([&line, "sh -c 'printf \"%s\\0\" \"$A\"'\n"]);
                        wanted.extend([value.as_str(), "\0"]);
                    }
                }
                let caught = runtime.block_on(run(&program, &["-f"], &script));
                prop_assert_eq!(String::from_utf8_lossy(&caught.stderr), "");
                prop_assert_eq!(String::from_utf8_lossy(&caught.stdout), wanted);
                Ok(())
            })
            .unwrap();
    }
}

/// Single quotes in which `escape` gives what stands for a character.
fn single(word: &str, escape: impl Fn(&mut std::str::Chars<'_>, char) -> Option<char>) -> String {
    let inner = &word[1..word.len() - 1];
    let mut chars = inner.chars();
    let mut value = String::new();
    while let Some(c) = chars.next() {
        value.push(escape(&mut chars, c).expect("the quote does not end early"));
    }
    value
}

/// A doubled quote stands for one; a lone one would end the word.
fn doubled(quotes: &'static [char]) -> impl Fn(&mut std::str::Chars<'_>, char) -> Option<char> {
    move |rest, c| {
        if quotes.contains(&c) {
            rest.next().filter(|next| quotes.contains(next))?;
        }
        Some(c)
    }
}

fn behind_backslashes(word: &str) -> String {
    single(word, |rest, c| match c {
        '\\' => Some(match rest.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c => c,
        }),
        '"' => None,
        c => Some(c),
    })
}

/// All of these quote for `PowerShell`.
const POWERSHELL: &[char] = &['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];

proptest! {
    #[test]
    fn fish_ends_at_the_last_quote_only(value in value()) {
        let quoted = quote::fish(&value);
        prop_assert!(!quoted.contains('\n'));
        let read = single(&quoted.replace("'\\n'", "\n"), |rest, c| match c {
            '\\' => rest.next().filter(|c| matches!(c, '\\' | '\'')),
            '\'' => None,
            c => Some(c),
        });
        prop_assert_eq!(read, value);
    }

    #[test]
    fn elvish_ends_at_the_last_quote_only(value in value()) {
        prop_assert_eq!(single(&quote::elvish(&value), doubled(&['\''])), value);
    }

    #[test]
    fn powershell_ends_at_the_last_quote_only(value in "([\\PC]|['\u{2018}\u{2019}\u{201a}\u{201b}$`]){0,12}") {
        prop_assert_eq!(single(&quote::powershell(&value), doubled(POWERSHELL)), value);
    }

    #[test]
    fn powershell_gets_every_statement_on_one_line(value in value()) {
        let quoted = quote::powershell(&value);
        prop_assert!(!quoted.contains(['\n', '\r']));
        let joined = quoted.replace("' + [char]10 + '", "\n").replace("' + [char]13 + '", "\r");
        prop_assert_eq!(single(&joined, doubled(POWERSHELL)), value);
    }

    #[test]
    fn nu_xonsh_and_emacs_end_at_the_last_quote_only(value in value()) {
        prop_assert_eq!(behind_backslashes(&quote::double(&value)), value.as_str());
        let read = single(&quote::emacs(&value), |rest, c| match c {
            '\\' => rest.next().filter(|c| matches!(c, '\\' | '"')),
            '"' => None,
            c => Some(c),
        });
        prop_assert_eq!(read, value);
    }
}
