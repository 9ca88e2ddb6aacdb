//! The claims about pods that devnet proves, by experiments in the lab and by reading what is there: each
//! holds, and a broken one is noticed.

use serde_json::Value;

use crate::support::lab::{Lab, container};

#[test]
fn the_claims_are_proved_and_each_experiment_notices_a_broken_one() {
    let Some(lab) = Lab::new() else { return };
    let proved: Value = serde_json::from_str(&lab.run(&["prove", "-o", "json"]).ok()).unwrap();
    let claims = proved["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 13);
    for claim in claims {
        // Docker has no shared UTS namespace
        assert_eq!(claim["holds"], claim["id"] != "shares-uts", "{claim:#}");
        assert!(!claim["evidence"].as_array().unwrap().is_empty());
    }
    for claim in claims.iter().filter_map(|claim| claim["id"].as_str()) {
        let said = lab.run(&["prove", claim, "--sabotage", claim]).fails(1);
        assert!(
            said.contains(&format!("not as expected: {claim}")),
            "{said}"
        );
    }
    let said = lab.run(&["prove", "nonsense"]).fails(2);
    assert!(said.contains("there are: unique-ip"), "{said}");
    lab.assert_clean();
}

#[test]
fn what_is_there_is_proved_by_reading_and_a_split_pod_is_noticed() {
    let Some(lab) = Lab::new() else { return };
    let two = lab
        .sandbox
        .devnet(&["new", "pod", "--set", "name=two"])
        .ok();
    let file = lab.write("two.yaml", &two);
    lab.run(&["up"]).ok();
    lab.run(&["up", &file]).ok();
    lab.until_it_says(&container(&lab.pod("two"), "client")["id"], "answered");
    lab.run(&["kill", "web", "-c", "server"]).ok();
    lab.until_it_says(&container(&lab.pod("web"), "client")["id"], "answered");
    let host = lab.host();
    let read = || lab.sandbox.devnet(&["-H", &host, "prove", "-o", "json"]);
    let verdict = |text: &str, id: &str| -> Value {
        let document: Value = serde_json::from_str(text).unwrap();
        let claims = document["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["id"] == id).unwrap();
        claim["holds"].clone()
    };
    let said = read().ok();
    for id in [
        "unique-ip",
        "same-port-two-pods",
        "same-port-one-pod",
        "container-death",
        "shares-net",
        "shares-ipc",
    ] {
        assert_eq!(verdict(&said, id), true, "{id} in {said}");
    }
    assert_eq!(verdict(&said, "shares-uts"), false);
    lab.run(&["break", "split", "two"]).ok();
    let broken = read();
    assert_eq!(broken.code, 1, "{broken}");
    assert_eq!(verdict(&broken.stdout, "shares-net"), false);
}
