//! Manifests in the lab, with the fields that the examples of the Kubernetes documentation use: each comes up
//! with all its containers and runs as it says, or is refused for a reason that has its place.

use crate::new::import;
use crate::support::lab::{Lab, container};
use crate::support::{Output, docker};

#[test]
fn a_manifest_with_volumes_inits_and_host_ports_runs_as_it_says() {
    let Some(lab) = Lab::new() else { return };
    let archive = lab.sandbox.home().join("busybox.tar");
    let archive = archive.display().to_string();
    let tar = lab
        .sandbox
        .command("tar")
        .args(["-C", "/bin", "-cf", &archive, "busybox"])
        .status();
    assert!(tar.unwrap().success());
    lab.docker(&["import", &archive, "lab-busybox:1"]);
    let file = lab.write(
        "broad.yaml",
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: shop}
data: {page: "from the map", other: "not mounted"}
---
apiVersion: v1
kind: Pod
metadata: {name: broad, namespace: shop, labels: {app: x}}
spec:
  shareProcessNamespace: true
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: one
    image: lab-busybox:1
    command: [/busybox, sh, -c, "echo first > /shared/log; echo kept > /memory/log"]
    volumeMounts: [{name: disk, mountPath: /shared}, {name: memory, mountPath: /memory}]
  - name: two
    image: lab-busybox:1
    command: [/busybox, sh, -c, "echo second >> /shared/log"]
    volumeMounts: [{name: disk, mountPath: /shared}]
  containers:
  - name: main
    image: lab-busybox:1
    command: [/busybox, sh, -c]
    args:
    - |
      b=/busybox; $b cat /shared/log /memory/log /conf/www/index.html; echo
      echo ip $(IP) app $(APP); $b id; $b stat -c 'pid 1 is %C' / 2>/dev/null
      $b tr '\0' ' ' < /proc/1/cmdline; echo; $b touch /conf/x; echo done; $b sleep 1000
    env:
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts:
    - {name: disk, mountPath: /shared}
    - {name: memory, mountPath: /memory}
    - {name: conf, mountPath: /conf}
    ports: [{containerPort: 8080, hostPort: 18087}]
  - {name: server, image: devnet-probe, args: [serve, "8080"]}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: conf, configMap: {name: conf, items: [{key: page, path: www/index.html}]}}
"#,
    );
    lab.run(&["up", &file]).ok();
    let pod = lab.pod("broad");
    let main = &container(&pod, "main")["id"];
    let said = lab.until_it_says(main, "done");
    for wanted in [
        "first\nsecond\nkept\nfrom the map\n",
        &format!("ip {} app x\n", pod["ip"].as_str().unwrap()),
        "uid=1000 gid=0 groups=0,2000",
        "/devnet-probe pause",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
    let facts = lab.inspect(main);
    assert_eq!(facts["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(facts["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(
        facts["HostConfig"]["PidMode"],
        facts["HostConfig"]["NetworkMode"]
    );
    let said = Output::of(lab.sandbox.command("curl").args(["-s", "127.0.0.1:18087"])).ok();
    assert!(said.starts_with("hello from pod broad"), "{said}");
    // the volumes outlive the sandbox: the init containers run again and write once more
    lab.run(&["kill", "shop/broad"]).ok();
    let main = container(&lab.pod("broad"), "main")["id"].clone();
    lab.until_it_says(&main, "done");
    lab.run(&["down", "shop/broad"]).ok();
    lab.assert_clean();
    lab.docker(&["rmi", "lab-busybox:1"]);
}

#[test]
fn a_field_that_the_lab_lacks_is_named_before_anything_starts() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.write(
        "wrong.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: app\n    \
         image: devnet-probe\n    ports:\n    - containerPort: 123456\n    tolerance: 3\n",
    );
    let said = lab.run(&["up", &file]).fails(2);
    assert!(
        said.contains("wrong.yaml:10: spec.containers[0].ports[0].containerPort: 123456"),
        "{said}"
    );
    assert!(
        said.contains("wrong.yaml:11: spec.containers[0].tolerance"),
        "{said}"
    );
    lab.assert_clean();
}

#[test]
fn manifests_as_people_write_them_come_up_or_are_refused_for_a_named_reason() {
    let Some(lab) = Lab::new() else { return };
    let images = ["busybox:2", "debian:lab", "nginx:1.27", "redis:7"];
    for image in images {
        import(&lab.sandbox, &lab.testbed, lab.engine(), image, &[]);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pods");
    let mut seen = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // names of their own: other tests on this engine make and remove images meanwhile
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("busybox:1", "busybox:2")
            .replace("image: debian\n", "image: debian:lab\n");
        let file = lab.write(&name, &text);
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let came = lab.run(&["up", &file]);
        if let Some(why) = expected.strip_prefix("refused: ") {
            let said = came.fails(2);
            assert!(said.contains(why), "{said}");
            seen.1 += 1;
        } else {
            came.ok();
            // what ends at once shows in one of the next looks
            for _ in 0..3 {
                let pod = lab.pod(name.trim_end_matches(".yaml"));
                assert_eq!(pod["ready"], true, "{name}: {pod:#}");
            }
            seen.0 += 1;
        }
        lab.run(&["down"]).ok();
    }
    assert!(seen.0 >= 10 && seen.1 >= 3, "{seen:?}");
    for image in images {
        docker(&lab.testbed, lab.engine(), &["rmi", image]).ok();
    }
}
