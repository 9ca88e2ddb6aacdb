//! Flags for environments and contexts: of `minikube docker-env` and `status`, `docker context`, and what
//! shows settings.

use super::{Foreign, of};

pub(super) const SHELLS: &[Foreign] = &[
    of(
        &["env", "docker-env"],
        &["--ssh-add"],
        "devnet starts no agent and needs none: it finds the node's key itself",
        "`ssh-add \"$(minikube ssh-key)\"` adds the key to your agent",
    ),
    of(
        &["context"],
        &[
            "--default-stack-orchestrator",
            "--description",
            "--docker",
            "--from",
            "--kubernetes",
        ],
        "devnet writes the context of a minikube profile, as its files say it",
        "`docker context create` makes any other",
    ),
    of(
        &["context"],
        &["-f", "--force"],
        "what is devnet's own is taken away without asking",
        "`devnet context --rm`",
    ),
    of(
        &["context", "config"],
        &["--format"],
        "there are two forms, text and JSON",
        "`-o json`",
    ),
    of(
        &["config"],
        &[
            "--allow-missing-template-keys",
            "--flatten",
            "--merge",
            "--minify",
            "--raw",
            "--show-managed-fields",
            "--template",
        ],
        "no kubeconfig is read",
        "`devnet config` shows devnet's own settings, and who said each",
    ),
    of(
        &["completions"],
        &["--no-descriptions"],
        "descriptions are shown where the shell shows them",
        "leave it away; `--static` completes without calling devnet",
    ),
    of(
        &["status"],
        &["-f", "--format"],
        "there are no templates",
        "`-o json` has everything, for `jq`",
    ),
    of(
        &["status"],
        &["-l", "--layout"],
        "every node has its line",
        "leave it away; `-n NODE` shows one node alone",
    ),
    of(
        &["status"],
        &["-w", "--watch"],
        "it answers once",
        "`watch devnet status` asks again and again; `devnet watch` tells what happens to pods",
    ),
];
