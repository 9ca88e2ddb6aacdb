//! Facts made by hand for tests of what reads them, and tests of `facts.rs`.

use super::*;

impl Joins {
    /// A network that is its own where no container is named.
    pub(crate) fn of_network(container: &str) -> Self {
        Self {
            network: match container {
                "" => Join::Own,
                id => Join::Container(id.to_owned()),
            },
            ..Self::default()
        }
    }
}

impl ContainerFacts {
    /// A part of a pod (`namespace/name/uid`) as a runtime tells it of what a kubelet made: the
    /// sandbox (`POD`), or a container that joins the sandbox of that ID.
    pub(crate) fn of_kubelet(part: &str, pod: &str, attempt: u32, sandbox: &str) -> Self {
        Self::of_pod(Origin::Kubernetes, part, pod, attempt, sandbox)
    }

    /// The same of what a lab made.
    pub(crate) fn of_lab(part: &str, pod: &str, attempt: u32, sandbox: &str) -> Self {
        Self::of_pod(Origin::Lab, part, pod, attempt, sandbox)
    }

    fn of_pod(origin: Origin, part: &str, pod: &str, attempt: u32, sandbox: &str) -> Self {
        let mut words = pod.split('/').map(str::to_owned);
        let mut word = || words.next().unwrap();
        let is_sandbox = part == "POD";
        Self {
            name: format!("{part}_{attempt}"),
            membership: Membership::Pod(Member {
                origin,
                pod: PodKey {
                    namespace: word(),
                    name: word(),
                    uid: word(),
                },
                part: if is_sandbox {
                    Part::Sandbox
                } else {
                    Part::Container(part.to_owned())
                },
                attempt: Some(attempt),
                restarts: Some(attempt).filter(|_| !is_sandbox),
                sandbox_id: Some(sandbox.to_owned()).filter(|id| !id.is_empty()),
            }),
            joins: Joins::of_network(sandbox),
            ..Self::default()
        }
    }

    /// The same container in another sandbox.
    pub(crate) fn in_sandbox(mut self, id: &str) -> Self {
        self.joins = Joins::of_network(id);
        if let Membership::Pod(member) = &mut self.membership {
            member.sandbox_id = Some(id.to_owned());
        }
        self
    }
}

#[test]
fn a_state_is_read_from_its_word_and_written_as_it_and_a_strange_word_is_unknown() {
    for word in [
        "created",
        "running",
        "paused",
        "restarting",
        "stopping",
        "removing",
        "exited",
        "dead",
        "",
    ] {
        let state = State::from(word);
        assert_eq!(state.to_string(), word);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, format!("\"{word}\""));
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        assert_eq!(state == State::Unknown, word.is_empty(), "{word}");
    }
    assert_eq!(State::from("odd"), State::Unknown);
    let odd: State = serde_json::from_str("\"odd\"").unwrap();
    assert_eq!(odd, State::Unknown);
}
