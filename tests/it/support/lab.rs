//! A lab for a test, on an engine that is its own meanwhile.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::engines::Engine;
use super::{Output, Sandbox, docker, testbed, until};

/// Engines for the lab's tests, one for each that runs: what `clean` takes away and what must be clean
/// in the end is a test's own alone. Whoever is done gives its engine to the next.
static FREE: Mutex<Vec<Engine>> = Mutex::new(Vec::new());
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// An engine with no pods on it.
pub(crate) struct Lab {
    pub(crate) testbed: PathBuf,
    pub(crate) sandbox: Sandbox,
    engine: Option<Engine>,
}

impl Lab {
    pub(crate) fn new() -> Option<Self> {
        let testbed = testbed()?;
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let engine = free.unwrap_or_else(|| {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            Engine::start(&testbed, &format!("lab-{number}"))
        });
        let lab = Self {
            testbed,
            sandbox: Sandbox::bare(),
            engine: Some(engine),
        };
        lab.run(&["down"]).ok();
        Some(lab)
    }

    /// The name of its engine.
    pub(crate) fn engine(&self) -> &str {
        &self.engine.as_ref().unwrap().name
    }

    pub(crate) fn host(&self) -> String {
        self.engine.as_ref().unwrap().url()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let host = self.host();
        let mut all = vec!["-H", &host, "lab"];
        all.extend(arguments);
        self.sandbox.devnet(&all)
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        docker(&self.testbed, self.engine(), arguments).ok()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.sandbox.home().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn pod(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.run(&["ps", "-o", "json"]).ok()).unwrap();
        all.as_array()
            .unwrap()
            .iter()
            .find(|pod| pod["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {all:#}"))
            .clone()
    }

    /// Nothing of devnet's is in that engine.
    pub(crate) fn assert_clean(&self) {
        let label = "label=dev.devnet.role";
        for what in [
            &["ps", "-aq", "--filter", label][..],
            &["network", "ls", "-q", "--filter", label],
            &["volume", "ls", "-q", "--filter", label],
            &["images", "-q", "--filter", label],
        ] {
            assert_eq!(self.docker(what), "", "{what:?}");
        }
    }

    /// The engine's own description of a container.
    pub(crate) fn inspect(&self, id: &Value) -> Value {
        let said = self.docker(&["inspect", id.as_str().unwrap()]);
        serde_json::from_str::<Value>(&said).unwrap()[0].clone()
    }

    /// Waits until a container has printed a line with `wanted` in it.
    pub(crate) fn until_it_says(&self, id: &Value, wanted: &str) -> String {
        let says = || {
            let logs = ["logs", id.as_str().unwrap()];
            let both = docker(&self.testbed, self.engine(), &logs);
            both.stdout + &both.stderr
        };
        until(&format!("container {id} says `{wanted}`"), || {
            says().contains(wanted)
        });
        says()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.run(&["down"]);
        let free = FREE.lock();
        free.unwrap_or_else(PoisonError::into_inner)
            .extend(self.engine.take());
    }
}

pub(crate) fn container<'v>(pod: &'v Value, name: &str) -> &'v Value {
    pod["containers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|container| container["name"] == name)
        .unwrap()
}
