//! Flags for images: of `docker build`, `load`, `pull`, `save`, `images`, `rmi`, and of `minikube image`
//! and `minikube cache`.

use super::{Foreign, of};

pub(super) const IMAGES: &[Foreign] = &[
    of(
        &["load"],
        &["--format"],
        "there is one form for people and one for programs",
        "`-o json`",
    ),
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
];
