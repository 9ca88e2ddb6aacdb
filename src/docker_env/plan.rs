//! The changes in an environment that point it at an engine, and give it back as it was.
//!
//! What is replaced is kept in minikube's own `MINIKUBE_EXISTING_*`, once: a second `env` keeps
//! nothing, so that `--unset` goes back to the beginning. What those names can't say (a variable
//! that was set but empty, `NO_PROXY`) is kept in `DEVNET_EXISTING`, a JSON object.

use std::collections::BTreeMap;

use crate::docker_env::DockerEnv;
use crate::error::{Error, Result};

/// The profile that a shell points at; `minikube status` looks at it too.
pub(crate) const ACTIVE: &str = "MINIKUBE_ACTIVE_DOCKERD";
/// The variable for what minikube's own names for the old values can't say.
pub(crate) const EXISTING: &str = "DEVNET_EXISTING";
/// The variable for what `devnet use` was asked for, for the prompt hook.
pub(crate) const USE: &str = "DEVNET_USE";

const TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
pub(crate) const HOST: &str = "DOCKER_HOST";
const CERT_PATH: &str = "DOCKER_CERT_PATH";
const KEPT_BY_MINIKUBE: [&str; 3] = [TLS_VERIFY, HOST, CERT_PATH];
/// The variables that point a shell at an engine.
pub(crate) const POINTS: [&str; 4] = [TLS_VERIFY, HOST, CERT_PATH, ACTIVE];
/// Windows tells no upper case from lower.
const NO_PROXY: &[&str] = if cfg!(windows) {
    &["NO_PROXY"]
} else {
    &["NO_PROXY", "no_proxy"]
};

/// One variable's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    /// `None` takes the variable away.
    pub(crate) value: Option<String>,
}

/// The variables of now that matter here, by name; a name that is not there is not set.
pub(crate) type Current = BTreeMap<String, String>;

/// The names whose present values a plan depends on.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = KEPT_BY_MINIKUBE
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    names.extend(KEPT_BY_MINIKUBE.iter().map(|name| kept(name)));
    names.extend([ACTIVE, EXISTING, USE].map(str::to_owned));
    names.extend(NO_PROXY.iter().map(|name| (*name).to_owned()));
    names
}

fn kept(name: &str) -> String {
    format!("MINIKUBE_EXISTING_{name}")
}

/// Old values by name; `None` is a variable that was not set.
type Saved = BTreeMap<String, Option<String>>;

fn saved(current: &Current) -> Result<Saved> {
    match current.get(EXISTING).filter(|text| !text.is_empty()) {
        None => Ok(Saved::new()),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Error::failed(format!("`{EXISTING}` does not hold what devnet put there"))
                .caused_by(error)
                .hint(format!(
                    "take it away (`unset {EXISTING}`) and run this again"
                ))
        }),
    }
}

/// The changes that point an environment at an engine. `no_proxy` is the host to be reached without
/// a proxy.
///
/// # Errors
/// When `DEVNET_EXISTING` was changed by someone else.
pub(crate) fn set(
    current: &Current,
    env: &DockerEnv,
    no_proxy: Option<&str>,
) -> Result<Vec<Change>> {
    let mut saved = saved(current)?;
    let first = current.get(ACTIVE).is_none_or(String::is_empty);
    let mut changes = Vec::new();
    let mut set = |name: &str, value: Option<String>| {
        changes.push(Change {
            name: name.into(),
            value,
        });
    };
    set(TLS_VERIFY, env.cert_path.is_some().then(|| "1".into()));
    set(HOST, Some(env.host.clone()));
    set(
        CERT_PATH,
        env.cert_path
            .as_ref()
            .map(|path| path.display().to_string()),
    );
    if first {
        for name in KEPT_BY_MINIKUBE {
            // left over from somewhere else: `--unset` must not take it for ours
            if let Some(stray) = current.get(&kept(name)) {
                saved.insert(kept(name), Some(stray.clone()));
            }
            match current.get(name) {
                Some(value) if value.is_empty() => {
                    saved.insert(name.into(), Some(String::new()));
                    set(&kept(name), None);
                }
                Some(value) => set(&kept(name), Some(value.clone())),
                None => set(&kept(name), None),
            }
        }
        if current.contains_key(ACTIVE) {
            saved.insert(ACTIVE.into(), Some(String::new()));
        }
    }
    set(ACTIVE, Some(env.profile.clone()));
    if let Some(host) = no_proxy {
        // the lower-case name is the one that more programs read; both are kept in step
        let list = NO_PROXY
            .iter()
            .find_map(|name| current.get(*name).filter(|list| !list.is_empty()));
        let with_host = add_to_list(list.map_or("", String::as_str), host);
        for &name in NO_PROXY {
            if current.get(name) != Some(&with_host) {
                saved
                    .entry(name.into())
                    .or_insert_with(|| current.get(name).cloned());
                set(name, Some(with_host.clone()));
            }
        }
    }
    if !saved.is_empty() {
        let text = serde_json::to_string(&saved).map_err(|error| {
            Error::failed(format!("`{EXISTING}` could not be written")).caused_by(error)
        })?;
        set(EXISTING, Some(text));
    }
    Ok(only_real(changes, current))
}

/// The changes that give an environment back as it was before [`set`]; nothing where devnet (or
/// minikube) had set nothing. No cluster is asked.
///
/// # Errors
/// When `DEVNET_EXISTING` was changed by someone else.
pub(crate) fn unset(current: &Current) -> Result<Vec<Change>> {
    let saved = saved(current)?;
    let mut changes = BTreeMap::from([(USE.to_owned(), None)]);
    if saved.is_empty() && current.get(ACTIVE).is_none_or(String::is_empty) {
        return Ok(only_real(listed(changes), current));
    }
    for name in KEPT_BY_MINIKUBE {
        changes.insert(
            name.into(),
            current
                .get(&kept(name))
                .filter(|value| !value.is_empty())
                .cloned(),
        );
        changes.insert(kept(name), None);
    }
    changes.insert(ACTIVE.into(), None);
    changes.insert(EXISTING.into(), None);
    changes.extend(saved);
    Ok(only_real(listed(changes), current))
}

fn listed(changes: BTreeMap<String, Option<String>>) -> Vec<Change> {
    changes
        .into_iter()
        .map(|(name, value)| Change { name, value })
        .collect()
}

/// The variables of now without a host in the proxy lists that was put there by [`set`]: a cluster
/// that moved leaves no trace.
pub(crate) fn without_host(current: &Current, host: &str) -> Current {
    let mut now = current.clone();
    let saved = saved(current).unwrap_or_default();
    for &name in NO_PROXY {
        let Some(old) = saved.get(name) else { continue };
        let had = |list: &str| list.split(',').any(|entry| entry.trim() == host);
        if let Some(list) = now.get_mut(name)
            && !old.as_deref().is_some_and(had)
        {
            let kept: Vec<_> = list
                .split(',')
                .filter(|entry| entry.trim() != host)
                .collect();
            *list = kept.join(",");
        }
    }
    now
}

/// Drops what would take away a variable that is not there.
fn only_real(changes: Vec<Change>, current: &Current) -> Vec<Change> {
    changes
        .into_iter()
        .filter(|change| change.value.is_some() || current.contains_key(&change.name))
        .collect()
}

/// Adds a host to a comma-separated list, unless an entry of the list is that host.
fn add_to_list(list: &str, host: &str) -> String {
    if list.split(',').any(|entry| entry.trim() == host) {
        list.into()
    } else if list.is_empty() {
        host.into()
    } else {
        format!("{list},{host}")
    }
}

/// The environment of a shell that took these changes.
#[cfg(any(test, fuzzing))]
pub(crate) fn apply(current: &Current, changes: &[Change]) -> Current {
    let mut next = current.clone();
    for change in changes {
        match &change.value {
            Some(value) => next.insert(change.name.clone(), value.clone()),
            None => next.remove(&change.name),
        };
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(profile: &str, tls: bool) -> DockerEnv {
        DockerEnv {
            host: if tls {
                "tcp://127.0.0.2:2376".into()
            } else {
                "ssh://docker@127.0.0.2".into()
            },
            cert_path: tls.then(|| "/certs".into()),
            profile: profile.into(),
        }
    }

    #[test]
    fn an_entry_that_only_contains_the_host_is_another_host() {
        assert_eq!(
            add_to_list("192.168.49.200", "192.168.49.2"),
            "192.168.49.200,192.168.49.2"
        );
        assert_eq!(
            add_to_list("a, 192.168.49.2", "192.168.49.2"),
            "a, 192.168.49.2"
        );
    }

    #[test]
    fn a_cluster_that_moved_leaves_no_trace_in_the_proxy_lists() {
        let before = Current::from([("no_proxy".to_owned(), "a,10.0.0.1".to_owned())]);
        let first = apply(
            &before,
            &set(&before, &env("p", true), Some("10.0.0.2")).unwrap(),
        );
        assert_eq!(first["NO_PROXY"], "a,10.0.0.1,10.0.0.2");
        let now = without_host(&first, "10.0.0.2");
        let second = apply(&now, &set(&now, &env("p", true), Some("10.0.0.3")).unwrap());
        assert_eq!(second["no_proxy"], "a,10.0.0.1,10.0.0.3");
        // what a person had stays
        assert_eq!(
            without_host(&first, "10.0.0.1")["no_proxy"],
            "a,10.0.0.1,10.0.0.2"
        );
        assert_eq!(apply(&second, &unset(&second).unwrap()), before);
    }

    #[test]
    fn unset_touches_nothing_that_was_not_set_here() {
        let current = Current::from([(HOST.to_owned(), "tcp://mine".to_owned())]);
        assert_eq!(unset(&current).unwrap(), []);
    }

    #[test]
    fn a_plain_shell_gets_what_minikube_would_set() {
        let changes = set(&Current::new(), &env("dev", true), None).unwrap();
        let names: Vec<_> = changes.iter().map(|change| change.name.as_str()).collect();
        assert_eq!(names, [TLS_VERIFY, HOST, CERT_PATH, ACTIVE]);
    }

    proptest! {
        #[test]
        fn a_shell_ends_as_it_began(
            before in proptest::collection::btree_map(
                proptest::sample::select(names().into_iter().filter(|name| ![EXISTING, ACTIVE, USE].contains(&name.as_str())).collect::<Vec<_>>()),
                ".{0,12}", 0..8),
            active_empty: bool,
            steps in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..4),
        ) {
            let mut before = before;
            if active_empty { before.insert(ACTIVE.into(), String::new()); }
            let mut now = before.clone();
            for (index, (tls, proxy)) in steps.into_iter().enumerate() {
                let env = env(&format!("p{index}"), tls);
                let changes = set(&now, &env, proxy.then_some("10.0.0.1")).unwrap();
                now = apply(&now, &changes);
                prop_assert_eq!(&now[HOST], &env.host);
                prop_assert_eq!(now.contains_key(CERT_PATH), tls);
            }
            let changes = unset(&now).unwrap();
            prop_assert_eq!(apply(&now, &changes), before);
        }
    }
}
