//! The variables of docker, kubectl and minikube: each is read, or changes nothing.

use std::fs;

use crate::habits::sandbox;
use crate::support::{Output, Sandbox};

/// The effect of a variable.
enum Does {
    /// The line then says this, on stdout or stderr.
    Says(&'static str),
    /// Nothing that anyone could see.
    Nothing,
}

const BUILDS: &str = "build --dry-run context";

const VARIABLES: &[(&str, &str, &str, Does)] = &[
    (
        "DOCKER_HOST",
        "unix:///nowhere/own.sock",
        "pods",
        Does::Says("/nowhere/own.sock"),
    ),
    (
        "DOCKER_HOST",
        "127.0.0.9:1",
        "pods",
        Does::Says("tcp://127.0.0.9:1"),
    ),
    (
        "DOCKER_HOST",
        "ftp://a",
        "pods",
        Does::Says("`ftp://a` is not an engine's address"),
    ),
    ("DOCKER_CONFIG", "dockers", BUILDS, Does::Says("FTP_PROXY")),
    (
        "DOCKER_DEFAULT_PLATFORM",
        "arm64",
        BUILDS,
        Does::Says("\"linux/arm64\""),
    ),
    (
        "DOCKER_DEFAULT_PLATFORM",
        "nonsense",
        BUILDS,
        Does::Says("`DOCKER_DEFAULT_PLATFORM` names no platform"),
    ),
    (
        "BUILDKIT_PROGRESS",
        "nonsense",
        BUILDS,
        Does::Says("`BUILDKIT_PROGRESS=nonsense`"),
    ),
    (
        "SOURCE_DATE_EPOCH",
        "77",
        BUILDS,
        Does::Says("\"SOURCE_DATE_EPOCH\": \"77\""),
    ),
    ("MINIKUBE_PROFILE", "mine", "-q env", Does::Says("`mine`")),
    (
        "MINIKUBE_HOME",
        "elsewhere",
        "config -o json",
        Does::Says("elsewhere"),
    ),
    ("DEVNET_PROFILE", "mine", "pods", Does::Says("`mine`")),
    (
        "DEVNET_HOST",
        "unix:///nowhere/devnet.sock",
        "pods",
        Does::Says("/nowhere/devnet.sock"),
    ),
    ("NO_COLOR", "1", "config -o json", Does::Says("NO_COLOR")),
    // buildx's and BuildKit's own programs, which devnet does not run
    ("BUILDKIT_COLORS", "run=green", BUILDS, Does::Nothing),
    (
        "BUILDKIT_HOST",
        "unix:///nowhere/buildkitd.sock",
        BUILDS,
        Does::Nothing,
    ),
    ("BUILDKIT_TTY_LOG_LINES", "2", BUILDS, Does::Nothing),
    ("BUILDX_BAKE_GIT_SSH", "a", BUILDS, Does::Nothing),
    ("BUILDX_BUILDER", "other", BUILDS, Does::Nothing),
    ("BUILDX_CONFIG", "elsewhere", BUILDS, Does::Nothing),
    ("BUILDX_EXPERIMENTAL", "1", BUILDS, Does::Nothing),
    ("BUILDX_GIT_CHECK_DIRTY", "1", BUILDS, Does::Nothing),
    ("BUILDX_GIT_INFO", "0", BUILDS, Does::Nothing),
    ("BUILDX_GIT_LABELS", "full", BUILDS, Does::Nothing),
    ("BUILDX_METADATA_PROVENANCE", "max", BUILDS, Does::Nothing),
    ("BUILDX_METADATA_WARNINGS", "1", BUILDS, Does::Nothing),
    ("BUILDX_NO_DEFAULT_ATTESTATIONS", "1", BUILDS, Does::Nothing),
    ("BUILDX_NO_DEFAULT_LOAD", "1", BUILDS, Does::Nothing),
    (
        "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY",
        "a",
        BUILDS,
        Does::Nothing,
    ),
    // the docker command's, about itself: the API version is agreed on with each engine
    ("DOCKER_API_VERSION", "1.24", "pods", Does::Nothing),
    ("DOCKER_CONTENT_TRUST", "1", BUILDS, Does::Nothing),
    (
        "DOCKER_CONTENT_TRUST_SERVER",
        "https://a",
        BUILDS,
        Does::Nothing,
    ),
    ("DOCKER_CUSTOM_HEADERS", "a=b", "pods", Does::Nothing),
    ("DOCKER_HIDE_LEGACY_COMMANDS", "1", "pods", Does::Nothing),
    ("DOCKER_STACK_ORCHESTRATOR", "swarm", "pods", Does::Nothing),
    ("DOCKER_TMPDIR", "elsewhere", BUILDS, Does::Nothing),
    // engines are dialled directly, as minikube's NO_PROXY means it
    ("HTTP_PROXY", "http://127.0.0.9:1", "pods", Does::Nothing),
    ("HTTPS_PROXY", "http://127.0.0.9:1", BUILDS, Does::Nothing),
    // no Kubernetes API is asked
    ("KUBECONFIG", "elsewhere", "pods", Does::Nothing),
    ("KUBECTL_EXTERNAL_DIFF", "diff", "pods", Does::Nothing),
    ("KUBECTL_KUBERC", "false", "pods", Does::Nothing),
    (
        "KUBERNETES_SERVICE_HOST",
        "127.0.0.9",
        "pods",
        Does::Nothing,
    ),
    // how minikube makes clusters and speaks
    (
        "CHANGE_MINIKUBE_NONE_USER",
        "true",
        "config -o json",
        Does::Nothing,
    ),
    (
        "MINIKUBE_CONTAINER_RUNTIME",
        "containerd",
        "config -o json",
        Does::Nothing,
    ),
    ("MINIKUBE_CPUS", "2", "config -o json", Does::Nothing),
    ("MINIKUBE_DRIVER", "docker", "config -o json", Does::Nothing),
    (
        "MINIKUBE_ENABLE_PROFILING",
        "1",
        "config -o json",
        Does::Nothing,
    ),
    (
        "MINIKUBE_IN_STYLE",
        "false",
        "config -o json",
        Does::Nothing,
    ),
    ("MINIKUBE_MEMORY", "2g", "config -o json", Does::Nothing),
    (
        "MINIKUBE_REMINDERWAITPERIODINHOURS",
        "1",
        "config -o json",
        Does::Nothing,
    ),
    ("MINIKUBE_ROOTLESS", "true", "config -o json", Does::Nothing),
    (
        "MINIKUBE_SUPPRESS_DOCKER_PERFORMANCE",
        "true",
        "config -o json",
        Does::Nothing,
    ),
    (
        "MINIKUBE_WANTUPDATENOTIFICATION",
        "false",
        "config -o json",
        Does::Nothing,
    ),
];

#[test]
fn variables_of_docker_kubectl_and_minikube_are_read_or_change_nothing() {
    let prepared = || {
        let sandbox = sandbox();
        let folder = sandbox.home().join("dockers");
        fs::create_dir(&folder).unwrap();
        let proxies = r#"{"proxies": {"default": {"ftpProxy": "http://a:1"}}}"#;
        fs::write(folder.join("config.json"), proxies).unwrap();
        sandbox
    };
    let sandbox = prepared();
    for (name, value, line, does) in VARIABLES {
        let words: Vec<&str> = line.split(' ').collect();
        let run = |set: bool| {
            let mut command = sandbox.devnet_command(&words);
            if set {
                command.env(name, value);
            }
            let Output {
                code,
                stdout,
                stderr,
            } = Output::of(&mut command);
            format!("{stdout}{stderr}{code}")
        };
        let (without, with) = (run(false), run(true));
        match does {
            Does::Says(text) => {
                assert!(with.contains(text), "{name}={value} {line}: {with}");
                assert!(!without.contains(text), "{line}: {without}");
            }
            Does::Nothing => assert_eq!(with, without, "{name}={value} {line}"),
        }
    }
}

#[test]
fn who_names_an_engine_in_tls_alone_is_told_what_that_means() {
    let sandbox = Sandbox::bare().env("DOCKER_HOST", "127.0.0.9:1");
    let said = sandbox.devnet(&["pods"]).fails(3);
    assert!(said.contains("neither encrypted nor verified"), "{said}");
    let sandbox = sandbox.env("DOCKER_TLS", "1");
    let said = sandbox.devnet(&["pods"]).fails(3);
    assert!(
        said.contains("encrypted, and who answers is not verified"),
        "{said}"
    );
    let sandbox = sandbox
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", "/nowhere");
    let said = sandbox.devnet(&["pods"]).fails(3);
    assert!(said.contains("`/nowhere/ca.pem` can't be used"), "{said}");
}
