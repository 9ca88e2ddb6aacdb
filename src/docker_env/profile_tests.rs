//! minikube's records, broken at random: nothing panics, and what can't be read is told with its file.

use proptest::prelude::*;

use crate::docker_env::endpoint::Address;
use crate::docker_env::profile::{Machine, Profile, Route};
use crate::error::Error;

/// As minikube 1.38 writes them, shortened.
const RECORDED: &str = r#"{"Name":"dev","KeepContext":false,"Memory":4000,"Driver":"qemu2","DockerEnv":null,
    "KubernetesConfig":{"KubernetesVersion":"v1.35.1","ClusterName":"dev","APIServerNames":null,"ContainerRuntime":"docker","ExtraOptions":null},
    "Nodes":[{"Name":"","IP":"10.0.2.15","Port":8443,"ContainerRuntime":"docker","ControlPlane":true,"Worker":true},
             {"Name":"m02","IP":"fd00::2","Port":8443,"ContainerRuntime":"docker","ControlPlane":false,"Worker":true}],
    "Addons":{"storage-provisioner":true},"StartHostTimeout":360000000000,"Network":"builtin","MultiNodeRequested":true,"CertExpiration":94608000000000000}"#;
const RECORDED_MACHINE: &str = r#"{"ConfigVersion":3,"Driver":{"IPAddress":"127.0.0.1","MachineName":"dev","SSHUser":"docker","SSHPort":52345,
    "SSHKeyPath":"/home/u/.minikube/machines/dev/id_rsa","SwarmMaster":false,"EnginePort":52346,"FirstQuery":true,"Network":"builtin"},
    "DriverName":"qemu2","HostOptions":{"Driver":"","Memory":0,"EngineOptions":{"ArbitraryFlags":null,"Dns":null,"Env":[]}},"Name":"dev"}"#;

#[test]
fn a_node_that_was_added_has_the_runtime_of_its_cluster() {
    let cluster = RECORDED.replacen(r#""docker""#, r#""containerd""#, 1);
    let added = r#""Port":8443,"ContainerRuntime":"","ControlPlane":false"#;
    let of_node = r#""Port":8443,"ContainerRuntime":"docker","ControlPlane":false"#;
    let text = cluster.replace(of_node, added);
    assert!(text.contains(added), "{text}");
    let profile = Profile::parse("profiles/dev/config.json", &text).unwrap();
    assert_eq!(
        (profile.runtime(), profile.machines().len()),
        ("containerd", 2)
    );
}

/// Reads both records as far as a command does. What can't be read is told with its file.
fn read(profile: &str, machine: &str) -> Result<(), String> {
    let told = |file: &str, error: &Error| match error.to_string() {
        said if said.contains(file) => Ok(()),
        said => Err(said),
    };
    let machine = match Machine::parse("machines/dev/config.json", machine) {
        Ok(machine) => Some(machine),
        Err(error) => {
            told("machines/dev/config.json", &error)?;
            None
        }
    };
    match Profile::parse("profiles/dev/config.json", profile) {
        Err(error) => told("profiles/dev/config.json", &error),
        Ok(profile) => {
            for (_, node) in profile.machines() {
                for reachable in [false, true] {
                    // an address that comes out is one, also to who reads it from a variable
                    if let Ok(Route::Direct(address)) =
                        profile.route(node, machine.as_ref(), reachable)
                        && Address::parse(&address.to_string()).ok().as_ref() != Some(&address)
                    {
                        return Err(format!("{address} is no address"));
                    }
                }
            }
            Ok(())
        }
    }
}

/// The value at the `place`th place of a document, counted through, becomes another.
fn swap(value: &mut serde_json::Value, place: &mut usize, with: &serde_json::Value) {
    if *place == 0 {
        *value = with.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        serde_json::Value::Array(items) => {
            for item in items {
                swap(item, place, with);
            }
        }
        serde_json::Value::Object(members) => {
            for item in members.values_mut() {
                swap(item, place, with);
            }
        }
        _ => {}
    }
}

fn other_value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::json!(null)),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        "[0-9a-f.:%\\[\\]@/-]{0,20}".prop_map(Into::into),
        Just(serde_json::json!([])),
        Just(serde_json::json!([{}])),
        Just(serde_json::json!({})),
    ]
}

proptest! {
    #[test]
    fn a_record_that_ends_too_soon_is_named(at in 0..RECORDED.len(), of_machine in 0..RECORDED_MACHINE.len()) {
        let error = Profile::parse("profiles/dev/config.json", &RECORDED[..at]).unwrap_err();
        prop_assert!(error.to_string().contains("profiles/dev/config.json"));
        let error = Machine::parse("machines/dev/config.json", &RECORDED_MACHINE[..of_machine]).unwrap_err();
        prop_assert!(error.to_string().contains("machines/dev/config.json"));
    }

    #[test]
    fn a_value_of_any_other_type_is_read_or_named(
        place in 0_usize..40,
        of_machine in 0_usize..26,
        with in other_value(),
    ) {
        let swapped = |text: &str, mut place: usize| {
            let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
            swap(&mut value, &mut place, &with);
            value.to_string()
        };
        let told = read(&swapped(RECORDED, place), &swapped(RECORDED_MACHINE, of_machine));
        prop_assert_eq!(told, Ok(()));
    }

    #[test]
    fn bytes_that_changed_are_read_or_named(
        changes in proptest::collection::vec((0.0..1.0_f64, proptest::char::any()), 1..6),
    ) {
        let changed = |text: &str| {
            let mut letters: Vec<char> = text.chars().collect();
            for (place, letter) in &changes {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
                let at = (place * letters.len() as f64) as usize;
                letters[at] = *letter;
            }
            letters.into_iter().collect::<String>()
        };
        let told = read(&changed(RECORDED), &changed(RECORDED_MACHINE));
        prop_assert_eq!(told, Ok(()));
    }
}
