//! A devnet that is interrupted or killed in the middle of a look: what it made in an engine is gone.

use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::made::{Made, tool};
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Sandbox, docker, ground, until};

/// The moments of a look, in their order.
const MOMENTS: [Hold; 7] = [
    Hold::Request("POST", "/containers/create"),
    Hold::Answer("POST", "/containers/create"),
    Hold::Request("PUT", "/archive"),
    Hold::Request("POST", "/attach"),
    Hold::Answer("POST", "/attach"),
    Hold::Request("POST", "/start"),
    Hold::Answer("POST", "/start"),
];

/// A devnet whose look is held up at one moment.
struct Caught {
    ground: PathBuf,
    child: Child,
    proxy: Rewriting,
    _sandbox: Sandbox,
}

impl Caught {
    fn at(ground: &Path, hold: Hold, command: &[&str], no_image: bool) -> Self {
        let sandbox = Sandbox::bare();
        let proxy = Rewriting::holding(
            sandbox.home(),
            ground.join("node.sock"),
            Some(hold),
            move |path, body| {
                // an engine without images is one that has nothing to borrow
                if no_image
                    && (path.ends_with("/images/json") || path.ends_with("/containers/json"))
                {
                    *body = serde_json::json!([]);
                }
            },
        );
        let url = proxy.url();
        let mut all = vec!["-H", url.as_str()];
        all.extend(command);
        let child = sandbox
            .devnet_command(&all)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        proxy.until_held();
        Self {
            ground: ground.into(),
            child,
            proxy,
            _sandbox: sandbox,
        }
    }

    /// What its engine has of it now, with its state.
    fn left(&self) -> String {
        // the name ends in its process's number: other tests look at the same engine
        let name = format!("name=devnet-look-.*-{}$", self.child.id());
        let all = ["ps", "-a", "--format", "{{.Names}} {{.State}}", "-f", &name];
        docker(&self.ground, "node", &all).ok()
    }

    fn images(&self) -> String {
        let all = docker(
            &self.ground,
            "node",
            &["images", "--format", "{{.Repository}}"],
        )
        .ok();
        let own = format!("-{}", self.child.id());
        let names = all
            .lines()
            .filter(|name| name.starts_with("devnet-look-") && name.ends_with(&own));
        names.collect::<Vec<_>>().join(" ")
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn another(&self, command: &[&str]) {
        let host = format!("unix://{}", self.ground.join("node.sock").display());
        Sandbox::bare()
            .devnet(&[&["-H", &host], command].concat())
            .ok();
    }
}

#[test]
fn of_a_killed_devnet_what_ran_ends_and_what_never_started_goes_with_the_next_command() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "killed");
    made.add_sleeper("app");
    for command in [
        &["pods"][..],
        &["inspect", "killed"],
        &["ports", "killed"],
        &["prove"],
    ] {
        for moment in MOMENTS {
            let mut caught = Caught::at(&ground, moment, command, false);
            caught.kill();
            caught.proxy.release();
            if let Hold::Answer(_, "/start") = moment {
                until("the engine has removed it", || caught.left().is_empty());
                continue;
            }
            // a request that was held up reaches the engine when it is released
            until("the engine has removed it", || {
                caught.another(&["status"]);
                caught.left().is_empty()
            });
        }
    }
    made.finds(&[]);
}

#[test]
fn a_container_that_a_killed_devnet_never_started_is_gone_after_one_command() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "never-started");
    made.add_sleeper("app");
    let host = format!("unix://{}", ground.join("node.sock").display());
    for command in [
        &["pods"][..],
        &["status"],
        &["exec", "never-started", "--", "/bin/busybox", "true"],
    ] {
        let mut caught = Caught::at(&ground, Hold::Request("POST", "/start"), &["pods"], false);
        caught.kill();
        assert!(
            caught.left().trim().ends_with(" created"),
            "{}",
            caught.left()
        );
        let output = Sandbox::bare().devnet(&[&["-H", &host], command].concat());
        output.ok();
        assert_eq!(caught.left(), "", "after {command:?}");
    }
}

#[test]
fn an_image_that_was_brought_for_one_look_goes_with_it() {
    let Some(ground) = ground() else { return };
    // as it should be: nothing stays
    let mut caught = Caught::at(&ground, Hold::Request("POST", "/start"), &["pods"], true);
    assert_ne!(caught.images(), "");
    caught.proxy.release();
    assert_eq!(caught.child.wait().unwrap().code(), Some(0));
    assert_eq!(caught.images(), "");
    // killed: the next look takes it away
    for moment in MOMENTS
        .into_iter()
        .chain([Hold::Answer("POST", "/images/load")])
    {
        if matches!(moment, Hold::Request("PUT", _)) {
            continue; // the image holds the program
        }
        let mut caught = Caught::at(&ground, moment, &["pods"], true);
        assert_ne!(caught.images(), "");
        caught.kill();
        caught.proxy.release();
        until("the engine has removed it", || {
            caught.another(&["pods"]);
            caught.left().is_empty() && caught.images().is_empty()
        });
    }
}

#[test]
fn an_interrupted_devnet_has_taken_everything_away_when_it_ends() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "interrupted");
    made.add_sleeper("app");
    for no_image in [false, true] {
        for moment in MOMENTS {
            if no_image && matches!(moment, Hold::Request("PUT", _)) {
                continue;
            }
            for signal in ["-INT", "-TERM"] {
                let mut caught = Caught::at(&ground, moment, &["pods"], no_image);
                tool("kill", &[signal, &caught.child.id().to_string()]);
                caught.proxy.release();
                let status = caught.child.wait().unwrap();
                assert_eq!(status.code(), Some(130));
                assert_eq!(caught.left(), "");
                assert_eq!(caught.images(), "");
            }
        }
    }
}

#[test]
fn a_look_leaves_nothing_in_the_engine() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "tidy");
    made.add_sleeper("app");
    let mut caught = Caught::at(&ground, Hold::Request("POST", "/start"), &["pods"], false);
    let name = caught.left().split(' ').next().unwrap().to_owned();
    let format = "{{range .Mounts}}{{.Name}}{{end}}";
    let volume = made.docker(&["inspect", "-f", format, &name]);
    assert_ne!(volume.trim(), "", "the program is in a volume");
    caught.proxy.release();
    assert_eq!(caught.child.wait().unwrap().code(), Some(0));
    // the engine removes the look's container itself, a moment after its end
    until("the engine has removed it", || caught.left().is_empty());
    until("the engine has removed it", || {
        docker(&ground, "node", &["volume", "inspect", volume.trim()]).code != 0
    });
}
