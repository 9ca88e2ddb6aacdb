//! Every template is used: each pod comes up in the lab and does what it says, each Dockerfile is
//! built, with stand-ins for the toolchains since no image can be pulled.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::lab::{self, Lab};
use crate::support::{Output, Sandbox, docker, testbed};

#[test]
fn templates_are_listed_with_a_line_each_and_unknown_ones_are_refused() {
    let sandbox = Sandbox::bare();
    let listed = sandbox.devnet(&["new", "pod", "--list"]).ok();
    assert!(listed.contains("two-containers  Two containers that talk over localhost"));
    assert!(listed.contains("--set port=8080"), "{listed}");
    let said = sandbox
        .devnet(&["new", "pod", "--template", "none"])
        .fails(2);
    assert!(said.contains("there is no pod template `none`"), "{said}");
    let said = sandbox.devnet(&["new", "dockerfile"]).fails(2);
    assert!(said.contains("--list"), "{said}");
    std::fs::write(sandbox.home().join("go.mod"), "module x").unwrap();
    let written = sandbox
        .devnet(&["new", "dockerfile", "--set", "port=9000"])
        .ok();
    assert!(written.contains("go build") && written.contains("EXPOSE 9000"));
}

/// A folder that looks like the root of an image: busybox, and scripts in place of toolchains.
fn root(folder: &Path, scripts: &[(&str, &str)]) {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    std::fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    for applet in ["sh", "cat", "cp", "mkdir", "ls", "sleep", "tail", "test"] {
        let link = bin.join(applet);
        if !link.exists() {
            std::os::unix::fs::symlink("busybox", link).unwrap();
        }
    }
    let certificates = folder.join("etc/ssl/certs");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::write(certificates.join("ca-certificates.crt"), "none").unwrap();
    for (name, script) in scripts {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

pub(crate) fn import(
    sandbox: &Sandbox,
    testbed: &Path,
    engine: &str,
    name: &str,
    scripts: &[(&str, &str)],
) {
    let folder = sandbox.home().join("root");
    root(&folder, scripts);
    let archive = sandbox.home().join("root.tar").display().to_string();
    let tar = sandbox
        .command("tar")
        .args(["-C", &folder.display().to_string(), "-cf", &archive, "."])
        .status();
    assert!(tar.unwrap().success());
    docker(testbed, engine, &["import", &archive, name]).ok();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_pod_template_comes_up_and_does_what_it_says() {
    let Some(lab) = Lab::new() else { return };
    import(&lab.sandbox, &lab.testbed, lab.engine(), "busybox:1", &[]);
    for (template, pod, container, says) in [
        ("two-containers", "web", "client", "hello from pod web"),
        ("sidecar", "sidecar-demo", "shipper", "line 2"),
        (
            "server-client",
            "server-client",
            "client",
            "hello from pod server",
        ),
        (
            "init-container",
            "init-demo",
            "app",
            "prepared for init-demo",
        ),
        ("port-clash", "clash", "second", "Address in use"),
        (
            "distroless",
            "distroless",
            "app",
            "listening on 0.0.0.0:8080",
        ),
    ] {
        let text = lab
            .sandbox
            .devnet(&["new", "pod", "--template", template])
            .ok();
        let file = lab.write("pod.yaml", &text);
        lab.run(&["up", &file]).ok();
        let there = lab.pod(pod);
        lab.until_it_says(&lab::container(&there, container)["id"], says);
        lab.run(&["down"]).ok();
    }
    docker(&lab.testbed, lab.engine(), &["rmi", "busybox:1"]).ok();
}

#[test]
fn every_dockerfile_template_builds_and_does_not_run_as_root() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let host = format!("unix://{}", testbed.join("host.sock").display());
    for (template, bases, files) in [
        (
            "rust",
            &[
                (
                    "rust:1-slim-bookworm",
                    &[(
                        "cargo",
                        "test -f Cargo.toml; mkdir -p target/release; echo built > target/release/app",
                    )][..],
                ),
                ("debian:bookworm-slim", &[]),
            ][..],
            &["Cargo.toml"][..],
        ),
        (
            "go",
            &[(
                "golang:1",
                &[("go", "test -f go.mod; echo built > /program")],
            )],
            &["go.mod"],
        ),
        (
            "node",
            &[("node:22-slim", &[("npm", "test -f package-lock.json")])],
            &["package.json", "package-lock.json", "server.js"],
        ),
        (
            "python",
            &[(
                "python:3.13-slim",
                &[
                    (
                        "python3",
                        "test \"$*\" = '-m venv /venv'; mkdir -p /venv/bin",
                    ),
                    ("pip", "test -f requirements.txt"),
                ],
            )],
            &["requirements.txt", "main.py"],
        ),
        (
            "java",
            &[
                (
                    "maven:3-eclipse-temurin-21",
                    &[(
                        "mvn",
                        "test -f pom.xml; mkdir -p target; echo built > target/app.jar",
                    )],
                ),
                ("eclipse-temurin:21-jre", &[]),
            ],
            &["pom.xml"],
        ),
        ("static", &[("busybox:1", &[])], &["public/index.html"]),
    ] {
        for (name, scripts) in bases {
            import(&sandbox, &testbed, "host", name, scripts);
        }
        let project = sandbox.home().join(template);
        for file in files {
            let path = project.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        // what `.dockerignore` leaves out must not be missed
        for (kind, file) in [
            ("dockerfile", "Dockerfile"),
            ("dockerignore", ".dockerignore"),
        ] {
            let mut new = sandbox.devnet_command(&["new", kind, "--template", template]);
            let text = Output::of(&mut new).ok();
            std::fs::write(project.join(file), text).unwrap();
        }
        let tag = format!("template-{template}:1");
        let folder = project.display().to_string();
        sandbox
            .devnet(&[
                "-H",
                &host,
                "build",
                "--network",
                "none",
                "-t",
                &tag,
                &folder,
            ])
            .ok();
        let user = docker(
            &testbed,
            "host",
            &["inspect", "--format", "{{.Config.User}}", &tag],
        );
        assert_eq!(user.ok().trim(), "65532:65532", "{template}");
        docker(&testbed, "host", &["rmi", &tag]).ok();
        for (name, _) in bases {
            docker(&testbed, "host", &["rmi", "-f", name]).ok();
        }
    }
}
