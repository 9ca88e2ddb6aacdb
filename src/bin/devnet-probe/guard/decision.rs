//! The guard's decision: a request that would take what pods need is refused with a sentence, all else
//! is allowed. Pure: what is in use, and how the engine understands a name, is looked up by others.

use crate::guard::request::Effect;

/// An image that some container has, and the container as a person knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// As `pod default/web`.
    pub(super) user: String,
    /// `NAME=VALUE` each.
    pub(super) labels: Vec<(String, String)>,
}

/// An image that is to go, as the engine understands the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// All its names, as the engine shows them.
    pub(super) names: Vec<String>,
    /// The container that has it.
    pub(super) user: Option<String>,
}

/// The facts that a decision needs.
pub(super) trait Facts {
    /// The image of a path's name; `None` when the engine has none.
    ///
    /// # Errors
    /// When it can't be known.
    fn image(&self, raw: &str) -> Result<Option<Image>, String>;

    /// The images that containers have.
    ///
    /// # Errors
    /// When it can't be known.
    fn used(&self) -> Result<Vec<Used>, String>;
}

/// Decides on a request; the failure is the sentence that refuses it.
pub(super) fn decide(effect: &Effect, facts: &impl Facts) -> Result<(), String> {
    match effect {
        Effect::Harmless => Ok(()),
        Effect::Unclear => Err(
            "devnet's guard does not understand this request, and it may remove images that pods run"
                .into(),
        ),
        Effect::Prune { labels, more } => prune(labels, *more, facts),
        Effect::Image { raw, name, plain } => {
            match facts.image(raw).map_err(|why| unknown(&why))? {
                Some(image) => remove(name, *plain, &image),
                // the engine says so itself
                None => Ok(()),
            }
        }
    }
}

fn unknown(why: &str) -> String {
    format!("devnet's guard can't tell which images pods run ({why}), so nothing is removed")
}

fn prune(labels: &[String], more: bool, facts: &impl Facts) -> Result<(), String> {
    if labels.is_empty() || more {
        return Err(
            "the engine does not know which images the cluster's pods run and would remove them all: `devnet images prune` removes those that no pod needs"
                .into(),
        );
    }
    let carries = |used: &Used, wanted: &String| {
        used.labels
            .iter()
            .any(|(name, value)| match wanted.split_once('=') {
                Some((wanted, its)) => wanted == name && its == value,
                None => wanted == name,
            })
    };
    let used = facts.used().map_err(|why| unknown(&why))?;
    let hit = |used: &&Used| labels.iter().all(|wanted| carries(used, wanted));
    match used.iter().find(hit) {
        Some(used) => Err(format!(
            "an image with this label is in use ({} runs it): `devnet images prune` removes those that no pod needs",
            used.user
        )),
        None => Ok(()),
    }
}

fn remove(name: &str, plain: bool, image: &Image) -> Result<(), String> {
    let Some(user) = &image.user else {
        return Ok(());
    };
    let real = || image.names.iter().filter(|name| !is_alias(name));
    let meant = real().find(|its| is_name_of(name, its));
    // by its ID an image goes with all its names
    let left = meant.filter(|_| plain).map_or(0, |_| real().count() - 1);
    if left > 0 {
        return Ok(());
    }
    let shown = real().next().map_or(name, String::as_str);
    Err(format!(
        "{user} runs it, and this would take the last name of `{shown}`: remove the pod first, or give the image another name"
    ))
}

/// A name that is no person's: the kubelet's runtime calls images by their configuration, the engine
/// those without a name by their digest.
fn is_alias(name: &str) -> bool {
    name.starts_with("moby-dangling@")
        || name.strip_prefix("sha256:").is_some_and(|digits| {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// True where a person's word means an engine's name.
fn is_name_of(word: &str, name: &str) -> bool {
    let short = |text: &str| {
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        let text = text.strip_prefix("index.docker.io/").unwrap_or(text);
        let text = text.strip_prefix("library/").unwrap_or(text);
        let last = text.rsplit('/').next().unwrap_or_default();
        if last.contains(':') || text.contains('@') {
            text.to_owned()
        } else {
            format!("{text}:latest")
        }
    };
    short(word) == short(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::request::effect;

    /// A node where pod default/web runs `app:dev`, which has the label `team=a`, pod default/two runs an
    /// image with two names, and `idle:v1` is nobody's.
    struct Node {
        known: bool,
    }

    impl Facts for Node {
        fn image(&self, raw: &str) -> Result<Option<Image>, String> {
            if !self.known {
                return Err("no containerd".into());
            }
            let of = |names: &[&str], user: Option<&str>| Image {
                names: names.iter().map(|&name| name.into()).collect(),
                user: user.map(str::to_owned),
            };
            let alias = format!("sha256:{}", "a".repeat(64));
            Ok(match raw {
                "app:dev"
                | "docker.io/library/app:dev"
                | "0123456789ab"
                | "sha256:0123456789ab"
                | "app@sha256:01" => Some(of(&["app:dev", &alias], Some("pod default/web"))),
                "two" | "two:v2" | "fedcba" => {
                    Some(of(&["two:latest", "two:v2"], Some("pod default/two")))
                }
                "old" => Some(of(&[&alias], Some("pod default/old"))),
                "idle:v1" => Some(of(&["idle:v1"], None)),
                _ => None,
            })
        }

        fn used(&self) -> Result<Vec<Used>, String> {
            let used = Used {
                user: "pod default/web".into(),
                labels: vec![("team".into(), "a".into()), ("x".into(), String::new())],
            };
            self.known.then(|| vec![used]).ok_or("no containerd".into())
        }
    }

    #[test]
    fn what_pods_need_stays_and_all_else_goes() {
        let prune = |filters: &str| format!("/v1.47/images/prune?filters={filters}");
        let all = r#"{"dangling":{"false":true}"#;
        for (method, uri, refused) in [
            (
                "POST",
                prune(&format!("{all}}}")),
                Some("`devnet images prune`"),
            ),
            (
                "POST",
                prune(&format!(r#"{all},"label":{{"team=a":true}}}}"#)),
                Some("pod default/web runs it"),
            ),
            (
                "POST",
                prune(&format!(r#"{all},"label":{{"team":true}}}}"#)),
                Some("pod default/web runs it"),
            ),
            (
                "POST",
                prune(&format!(r#"{all},"label":{{"team":true,"x":true}}}}"#)),
                Some("pod default/web"),
            ),
            // an image that goes has all of them
            (
                "POST",
                prune(&format!(r#"{all},"label":{{"team":true,"y":true}}}}"#)),
                None,
            ),
            (
                "POST",
                prune(&format!(r#"{all},"label":{{"team=b":true}}}}"#)),
                None,
            ),
            (
                "POST",
                prune(&format!(
                    r#"{all},"label":{{"team=b":true}},"until":{{"1h":true}}}}"#
                )),
                Some("`devnet images prune`"),
            ),
            (
                "POST",
                prune(&format!(r#"{all},"label!":{{"team=b":true}}}}"#)),
                Some("`devnet images prune`"),
            ),
            ("POST", prune(r#"{"dangling":{"true":true}}"#), None),
            ("POST", "/images/prune".into(), None),
            ("POST", prune("{"), Some("does not understand")),
            ("POST", "/build/prune".into(), None),
            ("POST", "/images/load".into(), None),
            ("POST", "/images/idle:v1/tag?repo=app&tag=dev".into(), None),
            ("POST", "/build?t=app:dev".into(), None),
            ("POST", "/grpc".into(), None),
            (
                "DELETE",
                "/images/app:dev".into(),
                Some("pod default/web runs it"),
            ),
            (
                "DELETE",
                "/images/app:dev?force=1".into(),
                Some("the last name of `app:dev`"),
            ),
            (
                "DELETE",
                "/images/docker.io/library/app:dev".into(),
                Some("pod default/web runs it"),
            ),
            (
                "DELETE",
                "/images/0123456789ab".into(),
                Some("pod default/web runs it"),
            ),
            (
                "DELETE",
                "/images/sha256:0123456789ab?force=1".into(),
                Some("pod default/web runs it"),
            ),
            (
                "DELETE",
                "/images/app@sha256:01".into(),
                Some("pod default/web runs it"),
            ),
            ("DELETE", "/images/two".into(), None),
            ("DELETE", "/images/two:v2".into(), None),
            (
                "DELETE",
                "/images/two:v2?platforms=x".into(),
                Some("pod default/two runs it"),
            ),
            (
                "DELETE",
                "/images/fedcba?force=1".into(),
                Some("pod default/two runs it"),
            ),
            (
                "DELETE",
                "/images/old".into(),
                Some("pod default/old runs it"),
            ),
            ("DELETE", "/images/idle:v1?force=1".into(), None),
            ("DELETE", "/images/absent".into(), None),
            ("DELETE", "/unheard/of".into(), Some("does not understand")),
            ("DELETE", "/containers/x".into(), None),
        ] {
            let said = decide(&effect(method, &uri, false), &Node { known: true });
            match refused {
                None => assert_eq!(said, Ok(()), "{method} {uri}"),
                Some(word) => {
                    let why = said.expect_err(&uri);
                    assert!(why.contains(word), "{method} {uri}: {why}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_removed_where_it_is_not_known_what_is_in_use() {
        let unknown = Node { known: false };
        for (method, uri, allowed) in [
            ("DELETE", "/images/idle:v1", false),
            (
                "POST",
                r#"/images/prune?filters={"dangling":["false"],"label":["a"]}"#,
                false,
            ),
            ("POST", "/images/prune", true),
            ("POST", "/images/load", true),
            ("DELETE", "/containers/x", true),
        ] {
            let said = decide(&effect(method, uri, false), &unknown);
            assert_eq!(said.is_ok(), allowed, "{method} {uri}");
        }
    }
}
