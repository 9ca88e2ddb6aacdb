//! States of containers for which other engines have words that Docker has not: podman's API says
//! `stopped` between a container's end and its tidying up.

use bollard::errors::Error as Why;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The words that bollard's models know.
const KNOWN: [&str; 9] = [
    "",
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
    "stopping",
];

/// An answer about containers that could not be read, read again with Docker's words for their
/// states.
///
/// # Errors
/// The same error, when that is not what was wrong.
pub(super) fn read_again<T: DeserializeOwned>(error: Why) -> Result<T, Why> {
    let Why::JsonDataError { contents, .. } = &error else {
        return Err(error);
    };
    let Ok(mut answer) = serde_json::from_str::<Value>(contents) else {
        return Err(error);
    };
    let states: Vec<&mut Value> = match &mut answer {
        Value::Array(all) => all
            .iter_mut()
            .filter_map(|one| one.get_mut("State"))
            .collect(),
        one => one
            .get_mut("State")
            .and_then(|state| state.get_mut("Status"))
            .into_iter()
            .collect(),
    };
    states.into_iter().for_each(translate);
    serde_json::from_value(answer).map_err(|_| error)
}

fn translate(state: &mut Value) {
    let Value::String(word) = state else { return };
    if !KNOWN.contains(&word.as_str()) {
        *word = match word.as_str() {
            "configured" | "initialized" => "created",
            "stopped" => "exited",
            _ => "",
        }
        .into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerInspectResponse, ContainerSummary};

    fn error(answer: &Value) -> Why {
        Why::JsonDataError {
            message: "unknown variant".into(),
            contents: answer.to_string(),
            column: 0,
        }
    }

    #[test]
    fn words_of_other_engines_become_dockers_and_others_are_unknown() {
        let states = ["stopped", "configured", "odd", "running"];
        let list: Vec<Value> = states
            .iter()
            .map(|state| serde_json::json!({"Id": "a", "State": state}))
            .collect();
        let read: Vec<ContainerSummary> = read_again(error(&list.into())).unwrap();
        let read: Vec<String> = read
            .iter()
            .map(|one| one.state.map(|state| state.to_string()).unwrap_or_default())
            .collect();
        assert_eq!(read, ["exited", "created", "", "running"]);
        let one = serde_json::json!({"Id": "a", "State": {"Status": "stopped", "ExitCode": 7}});
        let read: ContainerInspectResponse = read_again(error(&one)).unwrap();
        assert_eq!(read.state.unwrap().exit_code, Some(7));
    }

    #[test]
    fn what_is_wrong_in_another_way_stays_so() {
        for answer in [
            serde_json::json!({"message": "hello"}),
            serde_json::json!([{"Id": 1, "State": "stopped"}]),
            serde_json::json!({"State": ["no", "state"]}),
            serde_json::json!(["no container", 1, null]),
            serde_json::json!("no list"),
        ] {
            assert!(
                read_again::<Vec<ContainerSummary>>(error(&answer)).is_err(),
                "{answer}"
            );
        }
    }
}
