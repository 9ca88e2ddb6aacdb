//! Manifests as people write them, and what is said of those that can't be run.

use super::*;
use crate::lab::{Port, Pull, Text, VolumeSource};

fn read_one(text: &str) -> Result<Manifests> {
    read(&[("pod.yaml".into(), text.into())])
}

fn refusal(text: &str) -> String {
    read_one(text).unwrap_err().to_string()
}

const SMALL: &str = "apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: app
    image: app:dev
";

#[test]
fn a_pod_with_everything_the_lab_knows_is_read() {
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {greeting: "hi $(X)", page: "<p>"}
---
apiVersion: v1
kind: Pod
metadata:
  name: web.v1
  namespace: shop
  labels: {app: web}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 3
  initContainers:
  - {name: first, image: a, command: [/bin/true]}
  - {name: side, image: a, restartPolicy: Always}
  containers:
  - name: app
    image: app:dev
    imagePullPolicy: Never
    command: ["/app"]
    args: ["--port", "8080"]
    env:
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    workingDir: /srv
    ports:
    - {containerPort: 8080, hostPort: 18080, protocol: UDP}
    volumeMounts:
    - {name: data, mountPath: /data, readOnly: true}
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}
  volumes:
  - {name: data, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: /srv}}
"#;
    let read = read_one(text).unwrap();
    let pod = &read.pods[0];
    assert_eq!(pod.full_name(), "shop/web.v1");
    assert!(pod.share_process_namespace);
    assert!(pod.init_containers[1].sidecar && !pod.init_containers[0].sidecar);
    let app = &pod.containers[0];
    assert_eq!(app.pull, Pull::Never);
    assert_eq!(app.environment[0].1, Text::Field("status.podIP".into()));
    assert_eq!(
        (app.cpu_limit, app.memory_limit),
        (Some(500), Some(64 << 20))
    );
    assert_eq!(
        app.ports,
        [Port {
            container: 8080,
            host: Some(18080),
            host_ip: None,
            protocol: "udp".into()
        }]
    );
    assert_eq!(pod.volumes[0].source, VolumeSource::Memory(Some(1 << 20)));
    assert_eq!(pod.volumes[1].source, VolumeSource::Host("/srv".into()));
    assert!(read.notes.is_empty(), "{:?}", read.notes);
}

#[test]
fn config_maps_of_the_same_files_fill_volumes_and_variables() {
    let text = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: app
    image: a
    envFrom: [{configMapRef: {name: conf}, prefix: C_}]
    env: [{name: G, valueFrom: {configMapKeyRef: {name: conf, key: greeting}}}]
  volumes:
  - {name: v, configMap: {name: conf, items: [{key: page, path: www/index.html, mode: 0600}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {greeting: "hi $(X)", page: "<p>"}
"#;
    let pod = read_one(text).unwrap().pods.remove(0);
    assert_eq!(
        pod.volumes[0].source,
        VolumeSource::Files(vec![("www/index.html".into(), "<p>".into(), 0o600)])
    );
    let names: Vec<&str> = pod.containers[0]
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["C_greeting", "C_page", "G"]);
    // what a ConfigMap says is taken as it is, not expanded
    assert_eq!(
        pod.containers[0].environment[2].1,
        Text::Literal("hi $$(X)".into())
    );
}

#[test]
fn what_changes_nothing_here_is_noted_with_its_place() {
    let text =
        format!("{SMALL}    livenessProbe: {{httpGet: {{port: 80}}}}\n  restartPolicy: Always\n");
    let notes = read_one(&text).unwrap().notes;
    assert_eq!(
        notes[0],
        "pod.yaml:8: spec.containers[0].livenessProbe: the lab runs no probes"
    );
    assert!(notes[1].starts_with("pod.yaml:9: spec.restartPolicy: "));
}

#[test]
fn what_would_change_what_runs_is_refused_with_file_line_and_field() {
    let with = |more: &str| refusal(&format!("{SMALL}{more}"));
    assert_eq!(
        with("    lifecycle: {}\n"),
        "pod.yaml:8: spec.containers[0].lifecycle: the lab runs no hooks"
    );
    assert_eq!(
        with("    ports:\n    - containerPort: 80800\n"),
        "pod.yaml:9: spec.containers[0].ports[0].containerPort: 80800 is out of range (1 to 65535)"
    );
    assert_eq!(
        with("    imagePulPolicy: Never\n"),
        "pod.yaml:8: spec.containers[0].imagePulPolicy: the lab does not know this field"
    );
    assert_eq!(
        with("    env: [{name: A, value: 1}]\n"),
        "pod.yaml:8: spec.containers[0].env[0].value: text is expected here: write \"1\""
    );
    assert_eq!(
        with("    volumeMounts: [{name: v, mountPath: /v}]\n"),
        "pod.yaml:8: spec.containers[0].volumeMounts[0].name: the pod has no volume `v`"
    );
    assert_eq!(
        with("    securityContext: {privileged: true}\n"),
        "pod.yaml:8: spec.containers[0].securityContext.privileged: the lab makes no privileged containers"
    );
    assert_eq!(
        with("  runtimeClassName: gvisor\n"),
        "pod.yaml:8: spec.runtimeClassName: the lab does not know this field"
    );
}

#[test]
fn other_kinds_and_what_is_no_manifest_are_refused() {
    assert_eq!(
        refusal("apiVersion: apps/v1\nkind: Deployment\n"),
        "pod.yaml:1: the lab runs v1/Pod (with v1/ConfigMap and v1/Secret), not apps/v1/Deployment"
    );
    assert_eq!(
        refusal("hello: world\n"),
        "pod.yaml:1: this is no manifest: it has no `apiVersion` and `kind`"
    );
    assert_eq!(refusal(""), "no pod stands in the manifests");
    assert_eq!(refusal("- a\n"), "pod.yaml:1: fields are expected here");
    assert!(refusal("a: [\n").starts_with("pod.yaml:"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: Web}\nspec:\n  containers:\n  - {name: app}\n";
    let said = refusal(text);
    assert!(said.contains("2 fields"), "{said}");
    assert!(
        said.contains("pod.yaml:3: metadata.name: `Web`: "),
        "{said}"
    );
    assert!(said.contains("pod.yaml:6: spec.containers[0]: the container has no `image`"));
}

#[test]
fn two_pods_of_one_name_are_refused() {
    let said = refusal(&format!("{SMALL}---\n{SMALL}"));
    assert_eq!(said, "pod.yaml:1: two pods are called default/web");
}

#[test]
fn secrets_are_decoded_and_said_to_be_readable() {
    let text = r#"
apiVersion: v1
kind: Secret
metadata: {name: login}
type: Opaque
data: {user: YWRtaW4=}
stringData: {password: "s3c$(x)"}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: app
    image: a
    env: [{name: U, valueFrom: {secretKeyRef: {name: login, key: user}}}]
    envFrom: [{secretRef: {name: login}}]
    volumeMounts: [{name: v, mountPath: /etc/login}]
  volumes:
  - {name: v, secret: {secretName: login, defaultMode: 0400}}
"#;
    let read = read_one(text).unwrap();
    let files = |name: &str, text: &str| (name.to_owned(), text.to_owned(), 0o400);
    assert_eq!(
        read.pods[0].volumes[0].source,
        VolumeSource::Files(vec![files("password", "s3c$(x)"), files("user", "admin")])
    );
    let last = read.pods[0].containers[0].environment.last().unwrap();
    assert_eq!(*last, ("U".to_owned(), Text::Literal("admin".into())));
    assert!(
        read.notes[0].contains("can read it there"),
        "{:?}",
        read.notes
    );
    let broken = text.replace("YWRtaW4=", "not base64!");
    assert_eq!(
        refusal(&broken),
        "pod.yaml:6: data: `user` is not the base64 of a text"
    );
}
