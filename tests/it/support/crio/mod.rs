//! cri-o on a node, which is in no suite: a stand-in, or the real one where this computer has it.

mod ground;
mod messages;
mod real;
mod spec;
mod stand_in;
mod store;

use std::path::{Path, PathBuf};

use self::ground::Ground;
pub(crate) use self::real::RealCrio;
use self::stand_in::StandIn;

/// Its socket on the node.
const SOCKET: &str = "/run/crio/crio.sock";

/// The server at a node's socket, gone with the node.
pub(crate) struct Crio {
    pub(crate) socket: PathBuf,
    kind: Kind,
}

enum Kind {
    StandIn(StandIn),
    /// The program that `DEVNET_TESTBED_CRIO` names.
    Real(RealCrio),
}

impl Crio {
    /// Serves on the node with this folder in the testbed; with `infra` every sandbox has a process.
    pub(crate) fn serve(folder: &Path, infra: bool) -> Self {
        let ground = ground(folder);
        let socket = ground.path(SOCKET);
        let kind = if let Some(real) = RealCrio::on(folder, infra) {
            real.begin();
            Kind::Real(real)
        } else {
            Kind::StandIn(StandIn::serve(ground, &socket, infra))
        };
        Self { socket, kind }
    }

    /// Begins again; its pods are those that it had.
    pub(crate) fn start(&self) {
        match &self.kind {
            Kind::StandIn(stand_in) => stand_in.start(),
            Kind::Real(real) => real.start(),
        }
    }

    /// Ends as one that is killed: its socket stays.
    pub(crate) fn stop(&self) {
        match &self.kind {
            Kind::StandIn(stand_in) => stand_in.stop(),
            Kind::Real(real) => real.kill(),
        }
    }

    /// Tells of changes from now on (`enable_pod_events`).
    pub(crate) fn tells_events(&self) {
        match &self.kind {
            Kind::StandIn(stand_in) => stand_in.tells_events(),
            Kind::Real(real) => real.tells_events(),
        }
    }

    /// Refuses to tell of containers, so many times from now on, as a real one does while it removes them.
    pub(crate) fn refuses_statuses(&self, times: usize) {
        if let Kind::StandIn(stand_in) = &self.kind {
            stand_in.refuses_statuses(times);
        }
    }

    /// The number of times that somebody asked for its events; `None` of one that does not count.
    pub(crate) fn asked_for_events(&self) -> Option<usize> {
        match &self.kind {
            Kind::StandIn(stand_in) => Some(stand_in.asked_for_events()),
            Kind::Real(_) => None,
        }
    }
}

fn ground(folder: &Path) -> Ground {
    Ground {
        folder: folder.to_owned(),
        runtime: "/usr/sbin/runc",
    }
}
