//! A devnet that is held up at one moment, so that a test can end it there; and what its engine has of
//! it then.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::rewriting::{Hold, Rewriting};
use super::{Sandbox, docker};

/// The moments of a look, in their order.
pub(crate) const MOMENTS: [Hold; 7] = [
    Hold::Request("POST", "/containers/create"),
    Hold::Answer("POST", "/containers/create"),
    Hold::Request("PUT", "/archive"),
    Hold::Request("POST", "/attach"),
    Hold::Answer("POST", "/attach"),
    Hold::Request("POST", "/start"),
    Hold::Answer("POST", "/start"),
];

/// A devnet whose look is held up at one moment.
pub(crate) struct Caught {
    testbed: PathBuf,
    /// The name of its engine.
    engine: String,
    pub(crate) child: Child,
    pub(crate) proxy: Rewriting,
    _sandbox: Sandbox,
}

impl Caught {
    pub(crate) fn at(testbed: &Path, hold: Hold, command: &[&str], no_image: bool) -> Self {
        Self::after(testbed, 0, hold, command, no_image)
    }

    /// At the moment after so many of its kind.
    pub(crate) fn after(
        testbed: &Path,
        passing: usize,
        hold: Hold,
        command: &[&str],
        no_image: bool,
    ) -> Self {
        Self::on(testbed, "node", passing, hold, command, no_image)
    }

    /// On another engine than the one that tests share.
    pub(crate) fn on(
        testbed: &Path,
        engine: &str,
        passing: usize,
        hold: Hold,
        command: &[&str],
        no_image: bool,
    ) -> Self {
        let sandbox = Sandbox::bare();
        let proxy = Rewriting::holding_after(
            sandbox.home(),
            testbed.join(format!("{engine}.sock")),
            passing,
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
        let mut child = sandbox
            .devnet_command(&all)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        super::until("it is held up", || {
            let is_held = proxy.is_held();
            if !is_held && child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                let stderr = child.stderr.as_mut().unwrap();
                stderr.read_to_string(&mut said).unwrap();
                panic!("{command:?} ended before {hold:?}: {said}");
            }
            is_held
        });
        Self {
            testbed: testbed.into(),
            engine: engine.into(),
            child,
            proxy,
            _sandbox: sandbox,
        }
    }

    /// The containers that its engine still has of it, with their states.
    pub(crate) fn left(&self) -> String {
        // the name ends in its process's number: other tests look at the same engine
        let name = format!("name=devnet-.*-{}$", self.child.id());
        let all = ["ps", "-a", "--format", "{{.Names}} {{.State}}", "-f", &name];
        docker(&self.testbed, &self.engine, &all).ok()
    }

    pub(crate) fn images(&self) -> String {
        let all = docker(
            &self.testbed,
            &self.engine,
            &["images", "--format", "{{.Repository}}"],
        )
        .ok();
        let own = format!("-{}", self.child.id());
        let names = all
            .lines()
            .filter(|name| name.starts_with("devnet-look-") && name.ends_with(&own));
        names.collect::<Vec<_>>().join(" ")
    }

    /// All that it said, once it has ended.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        let (stdout, stderr) = (self.child.stdout.as_mut(), self.child.stderr.as_mut());
        stdout.unwrap().read_to_string(&mut said).unwrap();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        said
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn another(&self, command: &[&str]) {
        let host = format!(
            "unix://{}",
            self.testbed.join(format!("{}.sock", self.engine)).display()
        );
        Sandbox::bare()
            .devnet(&[&["-H", &host], command].concat())
            .ok();
    }
}
