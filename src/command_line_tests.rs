//! Tests of `command_line.rs`: words through the quoting and back through a real shell.

use super::*;

#[test]
fn plain_words_stay_as_they_are() {
    assert_eq!(
        with("devnet logs", ["shop/web-1", "app", "--previous"]),
        "devnet logs shop/web-1 app --previous"
    );
    assert_eq!(
        of(["devnet", "logs", "s/x$(touch PWN)"]),
        "devnet logs 's/x$(touch PWN)'"
    );
    assert_eq!(of(["a", "", "it's"]), "a '' 'it'\\''s'");
    assert_eq!(
        of(["a", "b\u{9b}\n", "c\td"]),
        "w1=\"$(printf 'b\\302\\233\\012.')\"; a \"${w1%.}\" \"$(printf 'c\\011d')\""
    );
}

/// The words that dash makes of command lines, one list for each.
#[cfg(unix)]
fn words_of(lines: &[String]) -> Vec<Vec<String>> {
    let mut script = String::from("show() { printf '%s\\0' \"$@\"; printf '\\377\\0'; }\n");
    script.push_str(&lines.join("\n"));
    let caught = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(crate::host::process::catch_fed(
            std::ffi::OsStr::new("/usr/bin/env"),
            &["PATH=/usr/bin:/bin", "dash"],
            script.as_bytes(),
            &[],
            std::time::Duration::from_mins(1),
        ))
        .unwrap()
        .expect("it ends");
    let said = String::from_utf8_lossy(&caught.stderr);
    assert_eq!((caught.code, &*said), (0, ""), "{script}");
    let mut all = vec![Vec::new()];
    for word in caught.stdout.split(|byte| *byte == 0) {
        if word == b"\xff" {
            all.push(Vec::new());
        } else if let Some(last) = all.last_mut() {
            last.push(String::from_utf8_lossy(word).into_owned());
        }
    }
    all.truncate(lines.len());
    all
}

#[cfg(unix)]
#[test]
fn a_shell_gives_back_the_words_that_were_meant() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let word = prop_oneof![
        "[ -~]{0,12}",
        "[a'\"$`\\\\!*?~;&|<>(){}\\[\\] %#=\n\t\r\u{1b}\u{9b}\u{202e}\u{200b}é-]{0,8}",
        // no program can be given a NUL
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ];
    let calls = proptest::collection::vec(proptest::collection::vec(word, 1..5), 1..80);
    let config = Config {
        cases: 16,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&calls, |calls| {
            let lines: Vec<String> = calls.iter().map(|words| with("show", words)).collect();
            for line in &lines {
                prop_assert!(!line.contains(is_hidden), "{:?}", line);
            }
            prop_assert_eq!(words_of(&lines), calls);
            Ok(())
        })
        .unwrap();
}
