//! The real cri-o: `DEVNET_TESTBED_CRIO` names its program (`node-crio.sh` says what lies
//! beside it). Tests then have it in place of the stand-in.

use std::path::{Path, PathBuf};

use super::ground;
use super::ground::Ground;

/// A cri-o that runs on a node.
pub(crate) struct RealCrio {
    ground: Ground,
    program: PathBuf,
    infra: bool,
}

impl RealCrio {
    /// On the node with this folder in the testbed; `None` where this computer has none.
    #[expect(
        clippy::disallowed_methods,
        reason = "what the testbed was started with"
    )]
    pub(crate) fn on(folder: &Path, infra: bool) -> Option<Self> {
        let program = std::env::var_os("DEVNET_TESTBED_CRIO")?;
        Some(Self {
            ground: ground(folder),
            program: program.into(),
            infra,
        })
    }

    /// Starts it with the node's images.
    pub(super) fn begin(&self) {
        self.script("begin", false);
    }

    /// Starts it: its pods and images are those that it had.
    pub(crate) fn start(&self) {
        self.script("start", false);
    }

    pub(super) fn kill(&self) {
        self.script("kill", false);
    }

    pub(super) fn tells_events(&self) {
        self.kill();
        self.script("start", true);
    }

    fn script(&self, verb: &str, events: bool) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/node-crio.sh");
        let program = self.program.display().to_string();
        let words = [
            script,
            verb,
            &program,
            &self.infra.to_string(),
            &events.to_string(),
        ];
        // what it starts would hold a pipe open for as long as it lives
        self.ground
            .run(r#""$@" > /var/log/crio-script.log 2>&1 || { cat /var/log/crio-script.log >&2; tail -n 20 /var/log/crio.log >&2; exit 1; }"#, &words)
            .ok();
    }
}
