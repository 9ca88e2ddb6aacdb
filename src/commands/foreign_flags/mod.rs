//! Flags of docker, kubectl and minikube that devnet does not have: each is refused with its reason
//! and with what does the same here.

mod everywhere;
mod images;
mod pods;
mod shells;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Error;

/// Some flags of one tool that have the same answer.
struct Foreign {
    /// The verbs that people try them on; none is every verb.
    verbs: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const fn of(
    verbs: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
) -> Foreign {
    Foreign {
        verbs,
        flags,
        why,
        instead,
    }
}

/// The first that fits a flag answers, so what is of one verb stands before what is of all.
const ALL: [&[Foreign]; 4] = [
    images::IMAGES,
    shells::SHELLS,
    pods::PODS,
    everywhere::EVERYWHERE,
];

const NO_KUBERNETES: &str = "no Kubernetes API is asked: everything comes from the nodes' engines";

/// The answer to a command line that was refused for a flag of another tool; `None` when it was
/// refused for something else.
pub(crate) fn refusal(verb: Option<&str>, error: &clap::Error) -> Option<Error> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = flag.split('=').next().unwrap_or(flag);
    let foreign = ALL.into_iter().flatten().find(|foreign| {
        foreign.flags.contains(&flag)
            && (foreign.verbs.is_empty() || verb.is_some_and(|verb| foreign.verbs.contains(&verb)))
    })?;
    let who = verb.map_or_else(|| "devnet".to_owned(), |verb| format!("devnet {verb}"));
    Some(Error::usage(format!("`{who}` has no `{flag}`: {}", foreign.why)).hint(foreign.instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_flag_has_two_answers_and_none_of_devnets_own_is_refused() {
        use clap::CommandFactory as _;
        let tree = Cli::command();
        let has = |command: &clap::Command, flag: &str| {
            command.get_arguments().any(|arg| {
                arg.get_long()
                    .is_some_and(|long| flag == format!("--{long}"))
                    || arg
                        .get_short()
                        .is_some_and(|short| flag == format!("-{short}"))
            })
        };
        let mut seen = std::collections::HashSet::new();
        for Foreign { verbs, flags, .. } in ALL.into_iter().flatten() {
            for flag in *flags {
                assert!(!has(&tree, flag), "{flag} is a global flag");
                if verbs.is_empty() {
                    assert!(seen.insert(("", *flag)), "{flag} twice");
                }
                for verb in *verbs {
                    assert!(seen.insert((*verb, *flag)), "{verb} {flag} twice");
                    let known = tree.find_subcommand(verb).unwrap();
                    assert!(!has(known, flag), "{verb} has {flag}");
                }
            }
        }
    }
}
