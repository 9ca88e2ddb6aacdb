//! Engines whose texts and numbers are not what they should be: none breaks a verb that reads.

use serde_json::Value;

use crate::hostile::json_head;
use crate::hostile_stalls::ends;
use crate::support::hostile::{APP, Deed, Hostile, listed};
use crate::support::random::Random;
use crate::support::replay::Replay;
use crate::support::{Sandbox, recorded_probe};
/// A text that nobody expects.
fn strange(random: &mut Random) -> String {
    const WORDS: [&str; 12] = [
        "",
        "\u{0}",
        "\u{9b}31m",
        "\u{1b}[2J",
        "\u{202e}",
        "é",
        "日本",
        "👩‍👩‍👧",
        "\n",
        "../..",
        "\"'`$(x)",
        "container:",
    ];
    let mut text = String::new();
    for _ in 0..random.next_u32() % 24 {
        match random.next_u32() % 4 {
            0 => text.push_str(WORDS[random.next_u32() as usize % WORDS.len()]),
            1 => text.extend(char::from_u32(random.next_u32() % 0x11_0000)),
            2 => text.push_str(&random.next_u32().to_string()),
            _ => text.push(char::from(random.next_u32().to_le_bytes()[0])),
        }
    }
    text
}

/// Puts strange text in place of some of the texts, keys included.
fn disturb(value: &mut Value, random: &mut Random, one_of: u32) {
    match value {
        Value::String(text) if random.next_u32().is_multiple_of(one_of) => *text = strange(random),
        Value::Array(all) => all.iter_mut().for_each(|one| disturb(one, random, one_of)),
        Value::Object(all) => {
            for (key, mut one) in std::mem::take(all) {
                disturb(&mut one, random, one_of);
                // the API's own keys begin with a capital letter
                let own = key.starts_with(|c: char| c.is_ascii_uppercase());
                let stays = own || !random.next_u32().is_multiple_of(one_of);
                all.insert(if stays { key } else { strange(random) }, one);
            }
        }
        _ => {}
    }
}

/// Verbs that read.
const VERBS: &[&[&str]] = &[
    &["pods", "-A"],
    &["pods", "-A", "-o", "wide", "--ns"],
    &["pods", "-A", "-o", "json"],
    &["pods", "-A", "-o", "yaml"],
    &["pods", "-A", "-o", "tsv"],
    &["inspect", "coredns"],
    &["inspect", "a"],
    &["ports"],
    &["history", "coredns"],
    &["check"],
    &["graph"],
    &["graph", "-o", "html"],
    &["graph", "-o", "dot"],
    &["images"],
    &["images", "-o", "json"],
    &["logs", "coredns"],
    &["exec", "coredns", "--", "true"],
    &["lab", "ps"],
    &["status"],
    &["prove"],
];

#[test]
fn no_text_of_an_engine_breaks_any_verb_that_reads() {
    for seed in 0..8_u8 {
        let one_of = [2, 5, 20, 60][usize::from(seed % 4)];
        let random = move |more: u8| Random::new(u64::from(seed) << 8 | u64::from(more));
        let mut probe: Value = serde_json::from_str(&recorded_probe::document()).unwrap();
        disturb(&mut probe, &mut random(0x80), one_of);
        let node = Replay::changing(probe.to_string(), move |path, answer| {
            // the same each time it is asked
            let more = path.bytes().fold(0, |sum: u8, byte| sum.wrapping_add(byte));
            disturb(answer, &mut random(more), one_of);
        });
        for verb in VERBS {
            let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "5");
            let output = ends(&sandbox, &node.host, verb);
            assert!(
                matches!(output.code, 0..=5 | 125..=127) && !output.stderr.contains("panicked"),
                "seed {seed}, {verb:?}: {output}"
            );
            let raw = |text: &str| text.contains(['\u{9b}', '\u{202e}', '\0']);
            assert!(!raw(&output.stderr), "seed {seed}, {verb:?}: {output}");
        }
    }
}

/// Puts the largest number in place of each, and of each attempt and count in names and labels.
fn enlarge(value: &mut Value) {
    match value {
        Value::Number(_) => *value = i64::MAX.into(),
        Value::String(text) => {
            let attempt = |name: &str| Some(name.rsplit_once('_')?.0.to_owned());
            if text.starts_with("/k8s_") {
                *text = format!("{}_{}", attempt(text).unwrap(), u32::MAX);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(enlarge),
        Value::Object(all) => {
            for (key, one) in all.iter_mut() {
                if key.ends_with(".restartCount") {
                    *one = u32::MAX.to_string().into();
                // of 16 bits; what is no such number is refused as such
                } else if !key.ends_with("Port") && key != "BlkioWeight" {
                    enlarge(one);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn no_number_of_an_engine_breaks_any_verb_that_reads() {
    let node = Replay::changing(recorded_probe::document(), |path, answer| {
        if !path.contains("/exec") && !path.ends_with("/wait") {
            enlarge(answer);
        }
    });
    for verb in VERBS {
        let sandbox = Sandbox::bare().env("DEVNET_TIMEOUT", "5");
        let output = ends(&sandbox, &node.host, verb);
        assert!(
            matches!(output.code, 0..=5 | 125..=127) && !output.stderr.contains("panicked"),
            "{verb:?}: {output}"
        );
    }
    let pods = Sandbox::bare()
        .devnet(&["-H", &node.host, "pods", "-A"])
        .ok();
    assert!(pods.contains("429496729"), "{pods}");
}

#[test]
fn a_container_s_id_that_is_no_ascii_is_only_a_name() {
    let sandbox = Sandbox::bare();
    let id = "ééééééééééééééééé日本日本日本日本日本日本";
    let hostile = Hostile::start(sandbox.home(), move |_, path| {
        let text = match path {
            "/containers/json" => serde_json::json!([listed(id, "container")]).to_string(),
            _ if path.ends_with("/json") && path.contains("containers") => {
                let mut one = listed(id, "container");
                one["State"] = serde_json::json!({ "Status": "running" });
                one["Created"] = Value::Null;
                one.to_string()
            }
            _ => return None,
        };
        Some(Deed::Repeat(json_head(), text.into_bytes(), 1))
    });
    for verb in ["logs", "pods", "inspect", "history"] {
        let output = ends(&sandbox, &hostile.url(), &[verb, "web"]);
        assert!(!output.stderr.contains("panicked"), "{verb}: {output}");
        assert!((0..=5).contains(&output.code), "{verb}: {output}");
    }
    assert_eq!(APP.len(), 64);
}
