//! `devnet check` on every runtime: the matrix against connections that this test makes from each pod's
//! network, and what breaks a promise.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::test_pod::{OwnNodes, Script, TestPod};
use crate::support::testbed;

/// Serves 8080 to everybody and 9090 to itself.
const WEB: &str = "busybox httpd -p 127.0.0.1:9090; exec busybox httpd -f -p 8080";
/// Tries each `ADDRESS PORT`, and says how it came out.
const TRY: &str = "while [ $# -gt 0 ]; do \
     if (exec 3<>\"/dev/tcp/$1/$2\") 2>/dev/null; then echo ok; else echo refused; fi; shift 2; done";

/// The report of a check of all pods of the node.
#[track_caller]
fn report(pod: &TestPod<'_>, content: bool) -> Value {
    let output = pod.devnet(&["check", "-o", "json"]);
    assert_eq!(output.code, i32::from(!content), "{output}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["kept"], content, "{report:#}");
    report
}

fn verdict<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut promises = report["promises"].as_array().unwrap().iter();
    &promises.find(|one| one["id"] == id).unwrap()["holds"]
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| one["code"].as_str().unwrap()).collect()
}

#[test]
fn the_matrix_is_what_each_pod_finds_and_broken_promises_are_named() {
    let Some(testbed) = testbed() else { return };
    let nodes = OwnNodes::start(&testbed, "any-check", 77);
    for node in nodes.all() {
        let web = node.pod("web", &[Script::new("app", WEB), Script::idle("side")]);
        let api = node.pod(
            "api",
            &[Script::new("app", "exec busybox httpd -f -p 8080")],
        );
        let ask = node.pod("ask", &[Script::idle("app")]);
        let pods = BTreeMap::from([
            ("default/web", &web),
            ("default/api", &api),
            ("default/ask", &ask),
        ]);
        web.until_it_listens("app", 8080);
        web.until_it_listens("app", 9090);
        api.until_it_listens("app", 8080);
        let content = report(&ask, true);
        for id in [
            "unique-ip",
            "shares-net",
            "localhost",
            "reachable",
            "same-port-two-pods",
        ] {
            assert_eq!(verdict(&content, id), true, "{id} {}", node.runtime());
        }
        let cells = content["cells"].as_array().unwrap();
        let between = cells.iter().filter(|cell| cell["from"] != cell["to"]);
        assert_eq!(between.count(), 4, "{content:#}");
        // loopback is asked by its own pod alone
        let own = cells.iter().filter(|cell| cell["port"] == 9090);
        let own: Vec<&Value> = own.map(|cell| &cell["from"]).collect();
        assert_eq!(own, ["default/web"], "{content:#}");
        for cell in cells {
            let port = cell["port"].to_string();
            let target = [cell["address"].as_str().unwrap(), port.as_str()];
            let words = [&["bash", "-c", TRY, "bash"][..], &target].concat();
            let from = pods[cell["from"].as_str().unwrap()];
            let truth = from.in_network("app", &words);
            assert_eq!(cell["outcome"], truth.trim(), "{cell:#}");
        }

        web.freeze("app", true);
        let frozen = report(&ask, false);
        assert!(codes(&frozen).contains(&"frozen"), "{frozen:#}");
        web.freeze("app", false);
        report(&ask, true);

        for pod in [&web, &api] {
            pod.give_address("app", "10.99.2.9/32");
        }
        let twins = report(&ask, false);
        assert!(codes(&twins).contains(&"duplicate-ip"), "{twins:#}");
        assert_eq!(verdict(&twins, "unique-ip"), false);
        drop((web, api));

        let lonely = node.pod("lonely", &[Script::new("app", WEB).port(9090)]);
        lonely.until_it_listens("app", 8080);
        lonely.until_it_listens("app", 9090);
        assert_eq!(codes(&report(&ask, false)), ["loopback-only"]);
    }
}
