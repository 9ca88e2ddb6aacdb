//! The house rules for tests, read from their source: none sleeps, measures time or is ignored, and none is
//! skipped without a word.

use crate::support::source;

#[test]
fn tests_neither_sleep_nor_measure_time_and_none_is_ignored() {
    // the limits of waits; a runtime's stand-in, which ends containers after their time; a kill at a random
    // moment of a load, whose length is measured; and what is no test, but the ground of a bench
    let others = [
        "tests/it/support/mod.rs",
        "tests/it/support/crio/mod.rs",
        "tests/it/support/crio/ground.rs",
        "tests/it/support/crio/store.rs",
        "tests/it/support/watchdog.rs",
        "tests/it/load_kills.rs",
        "tests/it/containerd_load_kills.rs",
        "tests/it/containerd_build_kills.rs",
        "tests/it/crio_bench.rs",
    ];
    let tests = source::tests();
    assert!(
        tests
            .values()
            .map(|code| code.matches("#[test]").count())
            .sum::<usize>()
            > 500
    );
    for (name, code) in tests {
        let words = [
            "::sleep",
            "time.sleep",
            "elapsed()",
            "duration_since(",
            "Instant",
            "thread::yield_now",
            "#[ignore",
        ];
        for word in words {
            assert!(
                others.contains(&name.as_str()) || !code.contains(word),
                "a test in {name} says `{word}`: `until` waits, and a clock is handed in"
            );
        }
    }
}

/// The code before a place in it, from the brace on that opens the block around the place.
fn block(before: &str) -> &str {
    let mut depth = 0;
    for (at, c) in before.char_indices().rev() {
        match c {
            '}' => depth += 1,
            '{' if depth == 0 => return &before[..=at],
            '{' => depth -= 1,
            _ => {}
        }
    }
    ""
}

#[test]
fn a_test_that_returns_early_has_said_why() {
    // those say what is missing themselves
    let say = [
        "testbed()",
        "here(",
        "Build::new(",
        "checkout()",
        "build()",
        "Lab::new()",
        "Tried::new(",
        "Sshd::start(",
        "Podman::named(",
        "Podman::start(",
        "containerd_node()",
        "building_node()",
        "ContainerdNode::building(",
        "CrioNode::start(",
        "node(",
        "works(",
        "pod(",
        "calls(",
        "same(",
    ];
    let mut seen = 0;
    for (name, code) in source::tests() {
        for test in code.split("#[test]").skip(1) {
            let test = test.split("\n}\n").next().unwrap_or_default();
            for (at, _) in test
                .match_indices("return;")
                .chain(test.match_indices("return }"))
            {
                seen += 1;
                let opening = block(&test[..at]);
                let inside = &test[opening.len()..at];
                let condition = opening.rsplit([';', '}']).next().unwrap_or_default();
                let why = ["missing(", "assert", ".fails("]
                    .iter()
                    .any(|word| inside.contains(word));
                assert!(
                    why || say.iter().any(|word| condition.contains(word)),
                    "a test in {name} returns without a word after `{}`",
                    condition.trim()
                );
            }
        }
    }
    assert!(seen > 200, "the returns are not where this test looks");
}
