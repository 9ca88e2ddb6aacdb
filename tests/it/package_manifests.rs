//! The manifests of package managers: each names every archive with its sum.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::packages::manifest;
use crate::support::{Output, Sandbox};

const VERSION: &str = env!("CARGO_PKG_VERSION");

const ARCHIVES: [(&str, &str); 5] = [
    ("x86_64-unknown-linux-musl", "tar.gz"),
    ("aarch64-unknown-linux-musl", "tar.gz"),
    ("aarch64-apple-darwin", "tar.gz"),
    ("x86_64-apple-darwin", "tar.gz"),
    ("x86_64-pc-windows-gnu", "zip"),
];

fn file_name(target: &str, kind: &str) -> String {
    format!("devnet-{VERSION}-{target}.{kind}")
}

/// A folder with archives that hold their own names, and the manifests that are made of them.
fn manifests(archives: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::bare();
    for (target, kind) in archives {
        let name = file_name(target, kind);
        fs::write(sandbox.home().join(&name), &name).unwrap();
    }
    let mut script =
        sandbox.command(Path::new(env!("CARGO_MANIFEST_DIR")).join(".dist/manifests.sh"));
    Output::of(script.arg(sandbox.home())).ok();
    sandbox
}

fn made(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.home().join("manifests").join(name)).unwrap()
}

#[test]
fn each_manifest_names_every_archive_with_its_sum_and_this_version() {
    let sandbox = manifests(&ARCHIVES);
    let sums = fs::read_to_string(sandbox.home().join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), ARCHIVES.len(), "{sums}");
    let link = format!(
        "{}/releases/download/v{VERSION}",
        env!("CARGO_PKG_REPOSITORY")
    );
    let of = |target: &str, kind: &str| {
        let name = file_name(target, kind);
        let sum = sums
            .lines()
            .find_map(|line| line.strip_suffix(&format!("  {name}")));
        (format!("{link}/{name}"), sum.unwrap().to_owned())
    };
    let (zip, zip_sum) = of("x86_64-pc-windows-gnu", "zip");

    let scoop: Value = serde_json::from_str(&made(&sandbox, "scoop/devnet.json")).unwrap();
    assert_eq!(scoop["version"], VERSION);
    assert_eq!(scoop["architecture"]["64bit"]["url"], zip.as_str());
    assert_eq!(scoop["architecture"]["64bit"]["hash"], zip_sum.as_str());

    for part in ["", ".locale.en-US", ".installer"] {
        let part = made(&sandbox, &format!("winget/devnet-cli.devnet{part}.yaml"));
        let part: Value = serde_yaml::from_str(&part).unwrap();
        assert_eq!(part["PackageIdentifier"], "devnet-cli.devnet");
        assert_eq!(part["PackageVersion"], VERSION);
        if let Some(installers) = part["Installers"].as_array() {
            assert_eq!(installers[0]["InstallerUrl"], zip.as_str());
            assert_eq!(installers[0]["InstallerSha256"], zip_sum.as_str());
        }
    }

    let krew: Value = serde_yaml::from_str(&made(&sandbox, "krew/devnet.yaml")).unwrap();
    assert_eq!(krew["metadata"]["name"], "devnet", "kubectl devnet");
    assert_eq!(krew["spec"]["version"], format!("v{VERSION}"));
    let platforms = krew["spec"]["platforms"].as_array().unwrap();
    let mut named: BTreeSet<(String, String)> = platforms
        .iter()
        .map(|one| {
            ["uri", "sha256"]
                .map(|key| one[key].as_str().unwrap().to_owned())
                .into()
        })
        .collect();
    for (target, kind) in ARCHIVES {
        assert!(named.remove(&of(target, kind)), "krew knows {target}");
    }
    assert!(named.is_empty(), "{named:?}");

    let formula = made(&sandbox, "homebrew/devnet.rb");
    for (target, kind) in ARCHIVES.into_iter().filter(|(_, kind)| *kind != "zip") {
        let (link, sum) = of(target, kind);
        let lines = format!("      url \"{link}\"\n      sha256 \"{sum}\"\n");
        assert!(formula.contains(&lines), "{formula}");
    }
    let opened = formula.matches(" do\n").count() + formula.matches("  def ").count() + 1;
    assert_eq!(
        opened,
        formula.lines().filter(|line| line.trim() == "end").count(),
        "{formula}"
    );
}

#[test]
fn an_archive_that_was_not_made_is_in_no_manifest() {
    let without = ARCHIVES.map(|(target, kind)| (target, kind));
    let without: Vec<_> = without
        .into_iter()
        .filter(|(target, _)| !target.contains("x86_64-apple"))
        .collect();
    let sandbox = manifests(&without);
    for name in ["homebrew/devnet.rb", "krew/devnet.yaml"] {
        let text = made(&sandbox, name);
        assert!(text.contains("aarch64-apple-darwin"), "{text}");
        assert!(
            !text.contains("x86_64-apple-darwin") && !text.contains("#if"),
            "{text}"
        );
    }
}

#[test]
fn binstall_finds_the_archives() {
    let metadata = &manifest()["metadata"]["binstall"];
    for (target, kind) in ARCHIVES {
        let settings = &metadata["overrides"][target];
        let setting = |key: &str| settings[key].as_str().or(metadata[key].as_str()).unwrap();
        let link = [
            ("{ repo }", env!("CARGO_PKG_REPOSITORY")),
            ("{ name }", "devnet"),
            ("{ version }", VERSION),
            ("{ target }", target),
        ]
        .iter()
        .fold(setting("pkg-url").to_owned(), |link, (word, value)| {
            link.replace(word, value)
        });
        assert!(
            link.ends_with(&format!("/v{VERSION}/{}", file_name(target, kind))),
            "{link}"
        );
        let packed = if kind == "zip" { "zip" } else { "tgz" };
        assert_eq!(setting("pkg-fmt"), packed);
    }
}

#[test]
fn deb_and_rpm_bring_the_same_files() {
    let metadata = manifest()["metadata"].clone();
    let places =
        |list: &Value, source: &dyn Fn(&Value) -> (String, String)| -> BTreeSet<(String, String)> {
            let list = list.as_array().unwrap().iter();
            list.map(source)
                .filter(|(from, _)| !from.contains("LICENSE") && !from.contains("/_devnet"))
                .collect()
        };
    let word = |value: &Value| value.as_str().unwrap().trim_start_matches('/').to_owned();
    let deb = places(&metadata["deb"]["assets"], &|one| {
        let (from, to) = (word(&one[0]), word(&one[1]));
        let name = from.rsplit('/').next().unwrap_or_default();
        let to = if to == "usr/bin/" {
            format!("{to}{name}")
        } else {
            to
        };
        (from, to)
    });
    let rpm = places(&metadata["generate-rpm"]["assets"], &|one| {
        (word(&one["source"]), word(&one["dest"]))
    });
    assert_eq!(deb, rpm);
    assert!(deb.contains(&("target/release/devnet".into(), "usr/bin/devnet".into())));
}
