//! Flags of docker, kubectl and minikube that devnet does not have: each is refused with its reason
//! and with what does the same here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Error;

/// Some flags of one tool that have the same answer.
struct Foreign {
    /// The verbs that people try them on; none is every verb.
    verbs: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const fn of(
    verbs: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
) -> Foreign {
    Foreign {
        verbs,
        flags,
        why,
        instead,
    }
}

/// The first that fits a flag answers, so what is of one verb stands before what is of all.
const ALL: &[Foreign] = &[
    of(
        &["build"],
        &["--builder"],
        "images are built by the cluster's own engine",
        "`-p PROFILE`, `--context NAME` or `-H URL` names another engine",
    ),
    of(
        &["build"],
        &["--squash"],
        "BuildKit has no such thing",
        "a last stage that copies what is wanted (`COPY --from=build / /`) is one layer",
    ),
    of(
        &["build"],
        &["--print"],
        "buildx itself has given it up",
        "`--check` checks the Dockerfile, `--dry-run` shows what would be sent",
    ),
    of(
        &["build"],
        &["--policy"],
        "policies for sources are not read",
        "name base images by their digest, as `FROM alpine@sha256:…`",
    ),
    of(
        &["build"],
        &[
            "--detach",
            "--invoke",
            "--on",
            "--root",
            "--server-config",
            "--stream",
        ],
        "it is an experiment of docker's, and none of devnet's",
        "`--progress plain` shows everything that a step says",
    ),
    of(
        &["build"],
        &["--all"],
        "every node gets the image as it is",
        "`--node NAME` builds for one node alone",
    ),
    of(
        &["build"],
        &["--build-opt"],
        "flags need no wrapping here",
        "give the flag itself, as `--no-cache` for `--build-opt no-cache`",
    ),
    of(
        &["build"],
        &["--build-env"],
        "a build gets no environment but its own",
        "`--build-arg NAME` passes a variable on, `--secret id=NAME,env=NAME` one that must not stay",
    ),
    of(
        &["load"],
        &["-i", "--input"],
        "archives are named without a flag",
        "`devnet load FILE`, or `devnet load -` for stdin",
    ),
    of(
        &["load"],
        &["-a", "--all-tags"],
        "it is called `--all` here",
        "`devnet load --all REPOSITORY` brings every tag",
    ),
    of(
        &["load"],
        &["--daemon"],
        "images come from this computer's engine anyway",
        "leave it away; `--from-host URL` names another engine",
    ),
    of(
        &["load"],
        &["--disable-content-trust", "--pull", "--remote"],
        "devnet pulls nothing from registries",
        "`docker pull NAME`, then `devnet load NAME`",
    ),
    of(
        &["load"],
        &["--overwrite"],
        "a name on the nodes always moves to what was loaded last",
        "leave it away; `--tag NEW` loads under another name",
    ),
    of(
        &["images"],
        &["-a", "--all"],
        "every image that a node shows is listed anyway; `prune` takes only what nothing names",
        "leave it away",
    ),
    of(
        &["images"],
        &["--filter"],
        "images are chosen by their names",
        "`devnet images PART` shows those with PART in a name; for the rest, `-o json`",
    ),
    of(
        &["images"],
        &[
            "-f",
            "--format",
            "--digests",
            "--no-trunc",
            "--tree",
            "--no-prune",
            "--platform",
        ],
        "the table has one form",
        "`devnet images -o json` has everything in full",
    ),
    of(
        &["images"],
        &["--force"],
        "showing images removes none",
        "`devnet images prune --yes` removes what nothing names",
    ),
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
        &["pods", "ports", "netstat", "inspect"],
        &["--watch-only"],
        "what is there stands first",
        "`devnet watch` tells only what changes",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &["--no-headers"],
        "forms for scripts are made for scripts",
        "`-o name`, `-o tsv` or `-o json`",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &["-L", "--label-columns", "--show-labels", "--show-kind"],
        "tables have no column for it",
        "`-o json` has every label; `-l SELECTOR` chooses by them",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &["--field-selector"],
        "pods are chosen by name, namespace, node and label",
        "`POD`, `-n NS`, `--node NAME`, `-l SELECTOR`; for the rest, `-o json`",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &["--sort-by"],
        "tables have one order",
        "`-o tsv | sort -k COLUMN`, or `-o json`",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &[
            "-f",
            "-s",
            "--format",
            "--filter",
            "--last",
            "--latest",
            "--no-trunc",
            "--size",
            "--template",
            "--type",
        ],
        "there are no templates and filters",
        "`-o json` has everything in full, `-o name` the names alone",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &["-a"],
        "dead sandboxes and containers are part of their pod as it is",
        "`--all` of `devnet pods` also shows plain containers that share nothing",
    ),
    of(
        &["pods", "ports", "netstat", "inspect"],
        &[
            "--allow-missing-template-keys",
            "--chunk-size",
            "--filename",
            "--ignore-not-found",
            "-k",
            "--kustomize",
            "--output-watch-events",
            "-R",
            "--raw",
            "--recursive",
            "--server-print",
            "--show-events",
            "--show-managed-fields",
            "--subresource",
        ],
        NO_KUBERNETES,
        "`kubectl get pods` asks it; what nodes know is in `devnet inspect POD -o json`",
    ),
    of(
        &["ports", "netstat"],
        &["--address", "--pod-running-timeout"],
        "ports are shown, and none is forwarded",
        "`kubectl port-forward POD PORT`",
    ),
    of(
        &[],
        &["--tls", "--tlsverify"],
        "TLS is spoken where a folder with certificates is named",
        "`-H tcp://HOST:PORT --tls-cert-path DIR`, or `DOCKER_HOST` with `DOCKER_TLS_VERIFY=1`",
    ),
    of(
        &[],
        &["--tlscacert", "--tlscert", "--tlskey"],
        "the three files stand in one folder",
        "`--tls-cert-path DIR` names the folder with ca.pem, cert.pem and key.pem",
    ),
    of(
        &[],
        &["--config"],
        "docker's configuration is found as docker finds it",
        "`DOCKER_CONFIG=DIR` names its folder",
    ),
    of(
        &[],
        &[
            "-D",
            "--debug",
            "-l",
            "--log-level",
            "--add_dir_header",
            "--alsologtostderr",
            "--log-flush-frequency",
            "--log_backtrace_at",
            "--log_dir",
            "--log_file",
            "--log_file_max_size",
            "--logtostderr",
            "--one_output",
            "--skip_headers",
            "--skip_log_headers",
            "--stderrthreshold",
            "--v",
            "--vmodule",
        ],
        "devnet keeps no log",
        "`-v` says more on stderr, `-q` only what went wrong",
    ),
    of(
        &[],
        &["-c"],
        "docker's short form is taken by other flags here",
        "`--context NAME`",
    ),
    of(
        &[],
        &["--kubeconfig", "--cluster", "--user"],
        NO_KUBERNETES,
        "`-p PROFILE` names the cluster; `--context` is a context of docker's",
    ),
    of(
        &[],
        &[
            "--as",
            "--as-group",
            "--as-uid",
            "--cache-dir",
            "--certificate-authority",
            "--client-certificate",
            "--client-key",
            "--disable-compression",
            "--insecure-skip-tls-verify",
            "--match-server-version",
            "--password",
            "--profile-output",
            "--request-timeout",
            "-s",
            "--server",
            "--tls-server-name",
            "--token",
            "--username",
            "--warnings-as-errors",
        ],
        NO_KUBERNETES,
        "leave it away; `-p`, `--context` or `-H` says which engine is asked",
    ),
    of(
        &[],
        &[
            "-b",
            "--bootstrapper",
            "--driver",
            "--rootless",
            "--skip-audit",
        ],
        "it is a matter of how the cluster was made",
        "`minikube start` takes it",
    ),
];

const NO_KUBERNETES: &str = "no Kubernetes API is asked: everything comes from the nodes' engines";

/// What to say of a command line that was refused for a flag of another tool; `None` when it was
/// refused for something else.
pub(crate) fn refusal(verb: Option<&str>, error: &clap::Error) -> Option<Error> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = flag.split('=').next().unwrap_or(flag);
    let foreign = ALL.iter().find(|foreign| {
        foreign.flags.contains(&flag)
            && (foreign.verbs.is_empty() || verb.is_some_and(|verb| foreign.verbs.contains(&verb)))
    })?;
    let who = verb.map_or_else(|| "devnet".to_owned(), |verb| format!("devnet {verb}"));
    Some(Error::usage(format!("`{who}` has no `{flag}`: {}", foreign.why)).hint(foreign.instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_flag_has_two_answers_and_none_of_devnets_own_is_refused() {
        use clap::CommandFactory as _;
        let tree = Cli::command();
        let has = |command: &clap::Command, flag: &str| {
            command.get_arguments().any(|arg| {
                arg.get_long()
                    .is_some_and(|long| flag == format!("--{long}"))
                    || arg
                        .get_short()
                        .is_some_and(|short| flag == format!("-{short}"))
            })
        };
        let mut seen = std::collections::HashSet::new();
        for Foreign { verbs, flags, .. } in ALL {
            for flag in *flags {
                assert!(!has(&tree, flag), "{flag} is a global flag");
                if verbs.is_empty() {
                    assert!(seen.insert(("", *flag)), "{flag} twice");
                }
                for verb in *verbs {
                    assert!(seen.insert((*verb, *flag)), "{verb} {flag} twice");
                    let known = tree.find_subcommand(verb).unwrap();
                    assert!(!has(known, flag), "{verb} has {flag}");
                }
            }
        }
    }
}
