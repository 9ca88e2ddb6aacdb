//! The release of what `make dist` made: with gh and Cargo's publishing as fake programs, and Homebrew's
//! formulas in a repository here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::packages::{checkout, package, with_cargo};
use crate::support::{Output, Sandbox, tool};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checkout with artefacts, and what a release asks.
struct Release {
    checkout: Sandbox,
}

impl Release {
    fn of(checkout: Sandbox) -> Self {
        let home = checkout.home();
        let dist = home.join("target/dist");
        let crate_bytes = package(&checkout);
        fs::create_dir_all(&dist).unwrap();
        fs::write(dist.join(format!("devnet-{VERSION}.crate")), crate_bytes).unwrap();
        let archive = format!("devnet-{VERSION}-x86_64-pc-windows-gnu.zip");
        fs::write(dist.join(archive), "an archive").unwrap();
        Output::of(checkout.command(".dist/manifests.sh").arg(&dist)).ok();

        let tap = "git init -q --bare tap.git && git clone -q tap.git tap 2>/dev/null && cd tap &&
          git -c user.name=a -c user.email=a@b commit -q --allow-empty -m a && git push -q origin HEAD";
        Output::of(
            checkout
                .command("sh")
                .args(["-c", tap])
                .current_dir(home.join("target")),
        )
        .ok();
        let instead = format!(
            "[url \"file://{}\"]\n\tinsteadOf = https://github.com/devnet-cli/homebrew-tap\n",
            home.join("target/tap.git").display()
        );
        fs::write(home.join("target/gitconfig"), instead).unwrap();

        let fakes = home.join("target/fakes");
        fs::create_dir(&fakes).unwrap();
        let gh = "#!/bin/sh\necho \"gh $*\" >> target/calls\n\
                  case $2 in view) cat target/draft ;; create) echo true > target/draft ;; \
                  edit) echo false > target/draft ;; esac\n";
        // the registry is a file
        let cargo = format!(
            "#!/bin/sh\nregistry={0}/published\ncase $1 in\n\
             fetch) brought=$CARGO_HOME/registry/cache/one; mkdir -p $brought && cp $registry $brought/devnet-{VERSION}.crate ;;\n\
             publish) echo 'cargo publish' >> target/calls; [ -z \"$REFUSED\" ] && cp {0}/package/devnet-{VERSION}.crate $registry ;;\n\
             *) exec {1} \"$@\" ;;\nesac\n",
            home.join("target").display(),
            tool("cargo").display()
        );
        for (name, text) in [("gh", gh), ("cargo", &cargo)] {
            let program = fakes.join(name);
            fs::write(&program, text).unwrap();
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { checkout }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.checkout.home().join("target").join(name)
    }

    fn run(&self, tag: &str, more: &[(&str, &str)]) -> Output {
        let mut script = with_cargo(&self.checkout, ".dist/release.sh");
        let path = script.get_envs().find(|(name, _)| *name == "PATH");
        let path = path.and_then(|(_, value)| value).unwrap().to_owned();
        let fakes = self.file("fakes");
        script.env(
            "PATH",
            format!("{}:{}", fakes.display(), path.to_str().unwrap()),
        );
        script.env("GIT_CONFIG_GLOBAL", self.file("gitconfig"));
        for name in ["GH_TOKEN", "CARGO_REGISTRY_TOKEN", "TAP_TOKEN"] {
            script.env(name, "secret");
        }
        Output::of(script.arg(tag).envs(more.iter().copied()))
    }

    /// The programs that were called since this was asked before.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file("calls")).unwrap_or_default();
        fs::write(self.file("calls"), "").unwrap();
        calls.lines().map(str::to_owned).collect()
    }

    /// The formulas that Homebrew has.
    fn formulas(&self) -> String {
        let git = "git log --format=%s --name-only HEAD";
        Output::of(
            self.checkout
                .command("sh")
                .args(["-c", git])
                .current_dir(self.file("tap.git")),
        )
        .ok()
    }
}

#[test]
fn a_release_is_public_once_all_of_it_is_there_and_one_that_was_broken_off_goes_on() {
    let Some(checkout) = checkout() else { return };
    let release = Release::of(checkout);
    let tag = format!("v{VERSION}");
    let said = release.run(&tag, &[("REFUSED", "1")]);
    assert_ne!(said.code, 0, "the registry refuses the crate");
    let calls = release.calls();
    let create = format!("gh release create {tag} --draft --verify-tag --generate-notes");
    assert_eq!(calls[1], create, "{calls:#?}");
    let sent = &calls[2];
    for name in [
        "SHA256SUMS",
        &format!("devnet-{VERSION}.crate"),
        "homebrew/devnet.rb",
        "scoop/devnet.json",
        "krew/devnet.yaml",
        "winget/devnet-cli.devnet.yaml",
    ] {
        assert!(sent.contains(name), "{name} is not sent: {sent}");
    }
    assert_eq!(calls[3..], ["cargo publish"]);
    assert!(!release.formulas().contains("devnet.rb"));

    release.run(&tag, &[]).ok();
    let calls = release.calls();
    let public = format!("gh release edit {tag} --draft=false");
    assert!(calls[1].starts_with("gh release upload"), "{calls:#?}");
    assert_eq!(calls[2..], ["cargo publish".to_owned(), public.clone()]);
    let formulas = release.formulas();
    assert!(
        formulas.starts_with(&format!("devnet {VERSION}\n\nFormula/devnet.rb\n")),
        "{formulas}"
    );

    // all of it is there, and is left
    release.run(&tag, &[]).ok();
    let calls = release.calls();
    assert!(
        calls.len() == 1 && calls[0].starts_with("gh release view"),
        "{calls:#?}"
    );
    assert_eq!(release.formulas(), formulas);
}

#[test]
fn what_would_be_half_a_release_or_another_is_refused_before_anything_is_sent() {
    let Some(checkout) = checkout() else { return };
    let release = Release::of(checkout);
    let tag = format!("v{VERSION}");
    let said = release.run("v9.9.9", &[]).fails(1);
    assert!(said.contains("is not version"), "{said}");
    for token in ["GH_TOKEN", "CARGO_REGISTRY_TOKEN", "TAP_TOKEN"] {
        let said = release.run(&tag, &[(token, "")]).fails(1);
        assert!(said.contains(&format!("no {token}")), "{said}");
    }
    // a crate of other sources than this checkout's
    let git = "echo >> src/main.rs && git -c user.name=a -c user.email=a@b commit -qam b";
    Output::of(release.checkout.command("sh").args(["-c", git])).ok();
    let said = release.run(&tag, &[]).fails(1);
    assert!(said.contains("another crate"), "{said}");
    fs::write(release.file(&format!("dist/devnet-{VERSION}.crate")), "").unwrap();
    assert_ne!(release.run(&tag, &[]).code, 0, "its sum is another");
    assert_eq!(release.calls(), Vec::<String>::new());
}

#[test]
fn a_crate_of_this_version_that_is_another_keeps_a_release_from_becoming_public() {
    let Some(checkout) = checkout() else { return };
    let release = Release::of(checkout);
    fs::write(release.file("published"), "another").unwrap();
    let said = release.run(&format!("v{VERSION}"), &[]).fails(1);
    assert!(said.contains("another crate was published"), "{said}");
    let calls = release.calls();
    assert!(
        !calls.iter().any(|call| call.contains("edit")),
        "{calls:#?}"
    );
    assert!(!calls.contains(&"cargo publish".to_owned()), "{calls:#?}");
    assert!(!release.formulas().contains("devnet.rb"));
}
