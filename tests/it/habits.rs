//! The flags of docker, kubectl and minikube, verb by verb: each is taken, refused by its name with what
//! does the same here, or not devnet's. The file is long because one table holds them all.

use std::fs;
use std::path::Path;

use crate::support::{Output, Sandbox, missing};

/// One of their verbs against the verb of devnet that people try its flags on.
struct Verb {
    /// As it is typed, for the help that lists its flags.
    theirs: &'static [&'static str],
    ours: &'static [&'static str],
    /// Flags that mean here what they mean there.
    taken: &'static [&'static str],
    /// Flags that devnet has with a meaning of its own.
    own: &'static [&'static str],
    refused: &'static [&'static str],
}

const BUILD: &[&str] = &[
    "--add-host a:127.0.0.1",
    "--allow network.host",
    "--annotation a=b",
    "--attest type=sbom",
    "--build-arg A=b",
    "--build-context a=.",
    "--cache-from a:1",
    "--cache-to type=inline",
    "--call check",
    "--cgroup-parent a",
    "--check",
    "--compress",
    "--cpu-period 100000",
    "--cpu-quota -1",
    "-c 5",
    "--cpu-shares 5",
    "--cpuset-cpus 0",
    "--cpuset-mems 0",
    "--disable-content-trust",
    "-f context/Dockerfile",
    "--file context/Dockerfile",
    "--force-rm",
    "--iidfile id",
    "--isolation default",
    "--label a=b",
    "--load",
    "-m 1g",
    "--memory 1.5g",
    "--memory-swap -1",
    "--metadata-file meta",
    "--network none",
    "--no-cache",
    "--no-cache-filter a,b",
    "-o out",
    "--output type=tar,dest=out.tar",
    "--platform arm64",
    "--progress none",
    "--provenance false",
    "--pull",
    "--push -t a",
    "-q",
    "--quiet",
    "--rm",
    "--sbom false",
    "--secret id=a,src=context/Dockerfile",
    "--security-opt seccomp=unconfined",
    "--shm-size 1.5g",
    "--ssh default",
    "-t a:1",
    "--tag a:1",
    "--target a",
    "--ulimit nofile=1:2",
];

const NO_KUBERNETES: &[&str] = &[
    "--allow-missing-template-keys",
    "--chunk-size 5",
    "--field-selector a=b",
    "--filename a",
    "-f a",
    "--ignore-not-found",
    "-k a",
    "--kustomize a",
    "-L a",
    "--label-columns a",
    "--no-headers",
    "--output-watch-events",
    "--raw a",
    "-R",
    "--recursive",
    "--server-print",
    "--show-events",
    "--show-kind",
    "--show-labels",
    "--show-managed-fields",
    "--sort-by a",
    "--subresource a",
    "--template a",
    "--watch-only",
];

const TABLE: &[Verb] = &[
    Verb {
        theirs: &["docker", "build"],
        ours: &["build"],
        taken: BUILD,
        own: &[],
        refused: &["--squash", "--stream"],
    },
    Verb {
        theirs: &["docker-buildx", "build"],
        ours: &["build"],
        taken: BUILD,
        own: &[],
        refused: &[
            "--builder a",
            "-D",
            "--debug",
            "--detach",
            "--invoke a",
            "--on error",
            "--policy a",
            "--print outline",
            "--root a",
            "--server-config a",
        ],
    },
    Verb {
        theirs: &["minikube", "image", "build"],
        ours: &["build"],
        taken: &[
            "-f context/Dockerfile",
            "--file context/Dockerfile",
            "--push -t a",
            "-t a",
            "--tag a",
        ],
        // an engine that is named with -H is one node, whatever it is called
        own: &["-n a", "--node a"],
        refused: &["--all", "--build-env a", "--build-opt a"],
    },
    Verb {
        theirs: &["docker", "load"],
        ours: &["load", "a"],
        taken: &["-q", "--quiet", "--platform linux/amd64"],
        own: &[],
        refused: &["-i a", "--input a"],
    },
    Verb {
        theirs: &["docker", "save"],
        ours: &["load", "a"],
        taken: &["--platform arm64"],
        own: &["-o json", "--output json"],
        refused: &[],
    },
    Verb {
        theirs: &["docker", "pull"],
        ours: &["load", "a"],
        taken: &["--platform local", "-q", "--quiet"],
        own: &[],
        refused: &["-a", "--all-tags", "--disable-content-trust"],
    },
    Verb {
        theirs: &["minikube", "image", "load"],
        ours: &["load", "a"],
        taken: &[],
        own: &[],
        refused: &["--daemon", "--overwrite", "--pull", "--remote"],
    },
    Verb {
        theirs: &["minikube", "image", "save"],
        ours: &["load", "a"],
        taken: &[],
        own: &[],
        refused: &["--daemon", "--remote"],
    },
    Verb {
        theirs: &["minikube", "cache", "add"],
        ours: &["load", "a"],
        taken: &[],
        // of a repository every tag
        own: &["--all"],
        refused: &[],
    },
    Verb {
        theirs: &["minikube", "cache", "list"],
        ours: &["images"],
        taken: &[],
        own: &[],
        refused: &["--format a"],
    },
    Verb {
        theirs: &["docker", "images"],
        ours: &["images"],
        taken: &[],
        own: &["-q", "--quiet"],
        refused: &[
            "-a",
            "--all",
            "--digests",
            "-f a",
            "--filter a",
            "--format a",
            "--no-trunc",
            "--tree",
        ],
    },
    Verb {
        theirs: &["docker", "rmi"],
        ours: &["images"],
        taken: &[],
        own: &[],
        refused: &["-f", "--force", "--no-prune", "--platform a"],
    },
    Verb {
        theirs: &["docker", "image", "prune"],
        ours: &["images", "prune"],
        taken: &["-f", "--force"],
        own: &[],
        refused: &["-a", "--all", "--filter a"],
    },
    Verb {
        theirs: &["minikube", "image", "ls"],
        ours: &["images"],
        taken: &[],
        own: &[],
        refused: &["--format table"],
    },
    Verb {
        theirs: &["minikube", "docker-env"],
        ours: &["env"],
        taken: &[
            "--no-proxy",
            "-o json",
            "-o text",
            "--output yaml",
            "--shell none",
            "--ssh-host",
            "-u",
            "--unset",
        ],
        own: &[],
        refused: &["--ssh-add"],
    },
    Verb {
        theirs: &["minikube", "podman-env"],
        ours: &["env"],
        taken: &["--shell none", "-u", "--unset"],
        own: &[],
        refused: &[],
    },
    Verb {
        theirs: &["docker", "context", "create"],
        ours: &["context"],
        taken: &[],
        own: &[],
        refused: &[
            "--default-stack-orchestrator a",
            "--description a",
            "--docker a",
            "--from a",
            "--kubernetes a",
        ],
    },
    Verb {
        theirs: &["docker", "context", "rm"],
        ours: &["context", "--rm"],
        taken: &[],
        own: &[],
        refused: &["-f", "--force"],
    },
    Verb {
        theirs: &["docker", "context", "ls"],
        ours: &["context"],
        taken: &[],
        own: &["-q", "--quiet"],
        refused: &["--format a"],
    },
    Verb {
        theirs: &["kubectl", "get", "pods"],
        ours: &["pods"],
        taken: &[
            "-A",
            "--all-namespaces",
            "-l a=b",
            "--selector a=b",
            "-o json",
            "--output name",
            "-w",
            "--watch",
        ],
        own: &[],
        refused: NO_KUBERNETES,
    },
    Verb {
        theirs: &["docker", "ps"],
        ours: &["pods"],
        taken: &[],
        own: &["--all", "-n a", "-q", "--quiet"],
        refused: &[
            "-a",
            "-f a",
            "--filter a",
            "--format a",
            "--last 1",
            "-s",
            "--size",
            "--latest",
            "--no-trunc",
        ],
    },
    Verb {
        theirs: &["kubectl", "describe", "pods"],
        ours: &["inspect", "a"],
        taken: &["-A", "--all-namespaces", "-l a=b", "--selector a=b"],
        own: &[],
        refused: NO_KUBERNETES,
    },
    Verb {
        theirs: &["docker", "inspect"],
        ours: &["inspect", "a"],
        taken: &[],
        own: &[],
        refused: &["-f a", "--format a", "-s", "--size", "--type a"],
    },
    Verb {
        theirs: &["kubectl", "port-forward"],
        ours: &["ports", "a"],
        taken: &[],
        own: &[],
        refused: &["--address a", "--pod-running-timeout 1s"],
    },
    Verb {
        theirs: &["kubectl", "config", "view"],
        ours: &["config"],
        taken: &["-o json", "--output yaml"],
        own: &[],
        refused: &[
            "--allow-missing-template-keys",
            "--flatten",
            "--merge",
            "--minify",
            "--raw",
            "--show-managed-fields",
            "--template a",
        ],
    },
    Verb {
        theirs: &["minikube", "config", "view"],
        ours: &["config"],
        taken: &[],
        own: &[],
        refused: &["--format a"],
    },
    Verb {
        theirs: &["docker", "completion", "bash"],
        ours: &["completions", "bash"],
        taken: &[],
        own: &[],
        refused: &["--no-descriptions"],
    },
    Verb {
        theirs: &["docker", "exec"],
        ours: &["exec", "a"],
        taken: &[
            "--detach-keys ctrl-x",
            "-e A=1",
            "--env A",
            "--env-file /dev/null",
            "-i",
            "--interactive",
            "-t",
            "--tty",
            "-u 1",
            "--user 1",
            "-w /",
            "--workdir /",
        ],
        own: &[],
        refused: &["-d", "--detach", "--privileged"],
    },
    Verb {
        theirs: &["kubectl", "exec"],
        ours: &["exec", "a"],
        taken: &["-c a", "--container a", "-i", "--stdin", "-t", "--tty"],
        own: &["-q", "--quiet"],
        refused: &["-f a", "--filename a", "--pod-running-timeout 1s"],
    },
    Verb {
        theirs: &["docker", "logs"],
        ours: &["logs", "a"],
        taken: &[
            "-f",
            "--follow",
            "--since 5m",
            "--tail all",
            "-t",
            "--timestamps",
            "--until 5m",
        ],
        own: &["-n a"],
        refused: &["--details"],
    },
    Verb {
        theirs: &["kubectl", "logs"],
        ours: &["logs", "a"],
        taken: &[
            "--all-containers",
            "-c a",
            "--container a",
            "-f",
            "--follow",
            "--ignore-errors",
            "--prefix",
            "--previous",
            "--since 5m",
            "--since-time 2026-11-28T04:10:39Z",
            "--tail -1",
            "--timestamps",
        ],
        own: &["-p lab"],
        refused: &[
            "--all-pods",
            "--insecure-skip-tls-verify-backend",
            "-l a=b",
            "--limit-bytes 5",
            "--max-log-requests 5",
            "--pod-running-timeout 1s",
            "--selector a=b",
        ],
    },
    Verb {
        theirs: &["minikube", "logs"],
        ours: &["logs", "a"],
        taken: &["-f", "--follow"],
        own: &["-n a"],
        refused: &[
            "--audit",
            "--file a",
            "--last-start-only",
            "--length 5",
            "--problems",
        ],
    },
    Verb {
        theirs: &["kubectl", "debug"],
        ours: &["shell", "a"],
        taken: &[
            "-c a",
            "--container a",
            "--image a",
            "-i",
            "--stdin",
            "-t",
            "--tty",
        ],
        // a profile is minikube's
        own: &["--profile lab", "-q", "--quiet"],
        refused: &[
            "--arguments-only",
            "--attach",
            "--copy-to a",
            "--custom a",
            "--env A=1",
            "-f a",
            "--filename a",
            "--image-pull-policy a",
            "--keep-annotations",
            "--keep-init-containers",
            "--keep-labels",
            "--keep-liveness",
            "--keep-readiness",
            "--keep-startup",
            "--replace",
            "--same-node",
            "--set-image a=b",
            "--share-processes",
            "--target a",
        ],
    },
    Verb {
        theirs: &["docker", "history"],
        ours: &["history"],
        taken: &[],
        // -H names an engine
        own: &["-H unix:///nowhere/a.sock", "-q", "--quiet"],
        refused: &["--format a", "--human", "--no-trunc", "--platform a"],
    },
    Verb {
        theirs: &["docker", "events"],
        ours: &["watch"],
        taken: &[],
        own: &[],
        refused: &[
            "-f a",
            "--filter a",
            "--format a",
            "--since 5m",
            "--until 5m",
        ],
    },
    Verb {
        theirs: &["kubectl", "events"],
        ours: &["watch"],
        taken: &["-A", "--all-namespaces", "-o json", "--output json"],
        own: &[],
        refused: &[
            "--allow-missing-template-keys",
            "--chunk-size 5",
            "--for a",
            "--no-headers",
            "--show-managed-fields",
            "--template a",
            "--types a",
            "-w",
            "--watch",
        ],
    },
    Verb {
        theirs: &["docker", "system", "prune"],
        ours: &["clean"],
        taken: &[],
        own: &[],
        refused: &["-a", "--all", "-f", "--filter a", "--force", "--volumes"],
    },
    Verb {
        theirs: &["minikube", "status"],
        ours: &["status"],
        taken: &["-n a", "--node a", "-o json", "--output text"],
        own: &[],
        refused: &[
            "-f a",
            "--format a",
            "-l a",
            "--layout a",
            "-w",
            "--watch=1s",
        ],
    },
    // `kubectl apply` and `delete` have many more, and lab knows no server
    Verb {
        theirs: &["kubectl-apply"],
        ours: &["lab", "up"],
        taken: &[],
        own: &[],
        refused: &["--dry-run=client", "-f a", "--filename a", "--wait"],
    },
    Verb {
        theirs: &["compose-up"],
        ours: &["lab", "up"],
        taken: &[],
        own: &[],
        refused: &["-d", "--detach", "--file a", "--wait"],
    },
    Verb {
        theirs: &["kubectl-delete"],
        ours: &["lab", "down"],
        taken: &[],
        own: &[],
        refused: &["-f a", "--force", "--grace-period 0", "--now", "--wait"],
    },
    Verb {
        theirs: &["docker", "run"],
        ours: &["run"],
        taken: &[],
        own: &["-v a:b"],
        refused: &["--rm", "-it", "-d", "--name a"],
    },
    // what stands before every verb
    Verb {
        theirs: &["docker"],
        ours: &["pods"],
        taken: &[
            "-H unix:///nowhere/a.sock",
            "--host unix:///nowhere/a.sock",
            "--context default",
        ],
        // -l is a selector, -v says more, and the version is `devnet --version`
        own: &["-l a", "-v"],
        refused: &[
            "-c a",
            "--config a",
            "-D",
            "--debug",
            "--log-level debug",
            "--tls",
            "--tlscacert a",
            "--tlscert a",
            "--tlskey a",
            "--tlsverify",
        ],
    },
    Verb {
        theirs: &["kubectl", "options"],
        ours: &["pods"],
        taken: &["-n a", "--namespace a"],
        // a context is docker's, a profile minikube's
        own: &["--context default", "--profile lab", "-v"],
        refused: &[
            "--as a",
            "--as-group a",
            "--as-uid a",
            "--cache-dir a",
            "--certificate-authority a",
            "--client-certificate a",
            "--client-key a",
            "--cluster a",
            "--disable-compression",
            "--insecure-skip-tls-verify",
            "--kubeconfig a",
            "--log-flush-frequency 1s",
            "--match-server-version",
            "--password a",
            "--profile-output a",
            "--request-timeout 1s",
            "-s a",
            "--server a",
            "--tls-server-name a",
            "--token a",
            "--user a",
            "--username a",
            "--v 5",
            "--vmodule a",
            "--warnings-as-errors",
        ],
    },
    Verb {
        theirs: &["minikube"],
        ours: &["pods"],
        taken: &["-p lab", "--profile lab"],
        own: &["-v"],
        refused: &[
            "--add_dir_header",
            "--alsologtostderr",
            "--alsologtostderrthreshold 1",
            "-b a",
            "--bootstrapper a",
            "--legacy_stderr_threshold_behavior",
            "--log_backtrace_at a",
            "--log_dir a",
            "--log_file a",
            "--log_file_max_size 1",
            "--logtostderr",
            "--one_output",
            "--rootless",
            "--skip-audit",
            "--skip_headers",
            "--skip_log_headers",
            "--stderrthreshold 1",
            "--user a",
            "--v 5",
            "--vmodule a",
        ],
    },
];

/// A sandbox with a context to build, whose engines are not there.
pub(crate) fn sandbox() -> Sandbox {
    let sandbox = Sandbox::bare();
    let nowhere = format!("unix://{}/nowhere.sock", sandbox.home().display());
    let sandbox = sandbox.env("DOCKER_HOST", &nowhere);
    let context = sandbox.home().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\n").unwrap();
    sandbox
}

#[test]
fn flags_of_docker_kubectl_and_minikube_are_taken_or_refused_by_name() {
    let sandbox = sandbox();
    for verb in TABLE {
        let line = |flag: &str| {
            let mut words = verb.ours.to_vec();
            words.extend(flag.split(' '));
            if verb.ours == ["build"] {
                words.extend(["--dry-run", "context"]);
            }
            words.join(" ")
        };
        let run = |line: &str| sandbox.devnet(&line.split(' ').collect::<Vec<_>>());
        for flag in verb.taken.iter().chain(verb.own) {
            let line = line(flag);
            let ended = run(&line);
            // what was read goes on to its work: a plan, or an engine that is not there
            match verb.ours[0] {
                "build" if verb.taken.contains(flag) => {
                    assert_eq!(ended.code, 0, "{line}: {ended}");
                }
                "load" | "images" | "pods" | "inspect" | "ports" if !line.contains("default") => {
                    assert!([3, 4].contains(&ended.code), "{line}: {ended}");
                }
                _ => assert_ne!(ended.code, 2, "{line}: {ended}"),
            }
        }
        for flag in verb.refused {
            let line = line(flag);
            let said = run(&line).fails(2);
            let name = flag.split([' ', '=']).next().unwrap();
            assert!(said.starts_with("error: `devnet"), "{line}: {said}");
            assert!(said.contains(&format!("no `{name}`: ")), "{line}: {said}");
            assert!(said.contains("\nhint: "), "{line}: {said}");
            assert!(!said.contains("Usage:"), "{line}: {said}");
        }
    }
}

/// The flags that a help text lists.
fn listed(help: &str) -> Vec<String> {
    help.lines()
        .filter(|line| line.starts_with("  ") && line.trim_start().starts_with('-'))
        .flat_map(|line| {
            line.trim_start()
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .take_while(|word| word.starts_with('-'))
                // kubectl shows what each has without it, as `--tail=-1:`
                .filter_map(|word| word.split(['=', ':']).next())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|flag| !["-h", "--help", "--version"].contains(&flag.as_str()))
        .collect()
}

#[test]
fn every_flag_that_the_tools_here_list_stands_in_the_table() {
    let sandbox = Sandbox::bare();
    #[expect(
        clippy::disallowed_methods,
        reason = "the testbed says which engine this is"
    )]
    let tree = std::env::var_os("DEVNET_TESTBED_TREE").unwrap_or("/".into());
    let tree = Path::new(&tree);
    let mut asked = 0;
    for verb in TABLE {
        let name = verb.theirs[0];
        let places = [
            format!("/usr/local/bin/{name}").into(),
            format!("/usr/bin/{name}").into(),
            tree.join(format!("usr/bin/{name}")),
            tree.join(format!("usr/libexec/docker/cli-plugins/{name}")),
        ];
        for program in places
            .iter()
            .filter(|place: &&std::path::PathBuf| place.exists())
        {
            let mut command = sandbox.command(program);
            command.env("DOCKER_BUILDKIT", "0").args(&verb.theirs[1..]);
            if verb.theirs != ["kubectl", "options"] {
                command.arg("--help");
            }
            let said = Output::of(&mut command);
            let flags = listed(&said.stdout);
            asked += flags.len();
            for flag in flags {
                let rows = TABLE
                    .iter()
                    .filter(|other| other.theirs[0] == name || other.theirs[0].starts_with(name))
                    .filter(|other| other.ours == verb.ours)
                    .flat_map(|other| other.taken.iter().chain(other.own).chain(other.refused));
                let known = rows.map(|row| row.split(' ').next().unwrap()).any(|own| own == flag)
                    // `docker run` is no verb of devnet's: all of its flags have one answer
                    || verb.theirs == ["docker", "run"];
                assert!(
                    known,
                    "{} {}: {flag}",
                    program.display(),
                    verb.theirs.join(" ")
                );
            }
        }
    }
    if asked < 100 {
        missing("docker and kubectl, whose help lists their flags");
    }
}
