//! The part that commands share: the context of a run, who it talks to, and every node at once.

pub(crate) mod ask_minikube;
pub(crate) mod comeback;
mod cri_nodes;
pub(crate) mod docker_contexts;
pub(crate) mod environment;
pub(crate) mod every_node;
pub(crate) mod format;
pub(crate) mod forwarded;
pub(crate) mod host_engine;
pub(crate) mod interruption;
pub(crate) mod journal;
pub(crate) mod node_engine;
pub(crate) mod older_images;
pub(crate) mod one_pod;
pub(crate) mod output;
pub(crate) mod pod_choice;
mod podman_login;
pub(crate) mod profiles;
pub(crate) mod proofs;
pub(crate) mod question;
pub(crate) mod restarts;
pub(crate) mod snapshot;
pub(crate) mod target;
pub(crate) mod used_cluster;

use crate::settings::Settings;
use crate::ui::Ui;

/// The context that a command is handed: the settings, the terminal, and the way to engines
/// (`target.rs`).
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) ui: Ui,
    pub(crate) interruption: interruption::Interruption,
}

impl Context {
    pub(crate) fn new(settings: Settings, ui: Ui) -> Self {
        Self {
            settings,
            ui,
            interruption: interruption::Interruption::default(),
        }
    }

    /// The same, as if this profile had been named on the command line.
    pub(crate) fn for_profile(&self, profile: Option<String>) -> Self {
        let mut settings = self.settings.clone();
        settings.global.profile = profile.or(settings.global.profile);
        let ui = Ui::new(&settings.terminal_options());
        Self::new(settings, ui)
    }
}
