//! A container's place in a pod of the lab, read from its labels; and devnet's own helpers.

use super::label;
use crate::pod::{ContainerFacts, Member, Origin, Part, PodKey};

/// True where devnet made it for its own use: no pod, whatever it shares. (Of devnet's labels,
/// facts have only those that are proved.)
pub(crate) fn is_helper(facts: &ContainerFacts) -> bool {
    let role = facts.labels.get(label::ROLE).map(String::as_str);
    role.is_some_and(|role| !matches!(role, label::SANDBOX | label::CONTAINER))
}

/// The pod of the lab that a container was made for.
pub(crate) fn member(facts: &ContainerFacts) -> Option<Member> {
    let text = |name: &str| facts.labels.get(name).cloned();
    let part = match text(label::ROLE)?.as_str() {
        label::SANDBOX => Part::Sandbox,
        label::CONTAINER => Part::Container(text(label::CONTAINER_NAME)?),
        _ => return None,
    };
    let attempt = text(label::ATTEMPT).and_then(|attempt| attempt.parse().ok());
    let container = matches!(part, Part::Container(_));
    Some(Member {
        origin: Origin::Lab,
        pod: PodKey {
            namespace: text(label::POD_NAMESPACE)?,
            name: text(label::POD_NAME)?,
            uid: text(label::POD_UID)?,
        },
        part,
        attempt,
        restarts: attempt.filter(|_| container),
        sandbox_id: text(label::SANDBOX_ID)
            .or_else(|| facts.joins.network.container().cloned())
            .filter(|_| container),
    })
}
