//! A request to the Docker engine, read for what it would remove of images. Whatever could remove and
//! can't be understood is told apart from what removes nothing.

use crate::json::Value;

/// The effect of a request on images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It takes no name from an image, or none that pods need.
    Harmless,
    /// One image, or one name of it, goes.
    Image {
        /// As it stands in the path.
        raw: String,
        name: String,
        /// False when it says more than how to do it.
        plain: bool,
    },
    /// All images go that no container of the engine's own uses, and that have these labels.
    Prune {
        /// `NAME` or `NAME=VALUE` each: an image that goes has all of them.
        labels: Vec<String>,
        /// True when other words say which go too.
        more: bool,
    },
    /// It may remove, and can't be understood.
    Unclear,
}

/// Other things that may be removed of an engine, which never takes an image.
const OTHERS: [&str; 9] = [
    "containers",
    "networks",
    "volumes",
    "plugins",
    "services",
    "secrets",
    "configs",
    "nodes",
    "swarm",
];

/// Reads a request: its method, its URI, and whether it has a form for its body.
pub(super) fn effect(method: &str, uri: &str, form: bool) -> Effect {
    let method = method.to_ascii_uppercase();
    if matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        return Effect::Harmless;
    }
    let (raw, query) = uri.split_once('?').unwrap_or((uri, ""));
    let Some(raw) = without_authority(raw) else {
        return Effect::Unclear;
    };
    let Some(path) = decoded(raw, false) else {
        return Effect::Unclear;
    };
    let odd = |part: &str| matches!(part, "" | "." | "..");
    let mut parts = path.split('/').skip(1).peekable();
    if parts.clone().any(odd) || !path.starts_with('/') {
        return Effect::Unclear;
    }
    let versioned = parts.next_if(|part| is_version(part)).is_some();
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    match (method.as_str(), first) {
        ("POST", "images") if rest.first() == Some(&"prune") => {
            if form || rest.len() > 1 {
                Effect::Unclear
            } else {
                prune(query)
            }
        }
        ("POST" | "PUT", _) => Effect::Harmless,
        ("DELETE", "images") if !rest.is_empty() => {
            // the name as the path has it: what is before it has no escapes worth keeping
            let skipped = if versioned { 3 } else { 2 };
            let raw = raw.splitn(skipped + 1, '/').nth(skipped);
            let plain = query.is_empty() || pairs(query).is_some_and(|all| all.iter().all(is_how));
            Effect::Image {
                raw: raw.unwrap_or_default().to_owned(),
                name: rest.join("/"),
                plain,
            }
        }
        ("DELETE", other) if OTHERS.contains(&other) => Effect::Harmless,
        _ => Effect::Unclear,
    }
}

/// Words of a removal that say how it is done.
fn is_how((name, _): &(String, String)) -> bool {
    name == "force" || name == "noprune"
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| {
        !number.is_empty()
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// The path of a URI that may name the engine too.
fn without_authority(raw: &str) -> Option<&str> {
    if raw.starts_with('/') {
        return Some(raw);
    }
    let (_, rest) = raw.split_once("://")?;
    rest.find('/').and_then(|slash| rest.get(slash..))
}

/// Escapes of a URL resolved; `None` when they are none, or no UTF-8.
fn decoded(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    if query.contains(';') {
        return None;
    }
    let all = query.split('&').filter(|pair| !pair.is_empty());
    all.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name, true)?, decoded(value, true)?))
    })
    .collect()
}

/// A prune takes dangling images only, unless its filters say that it takes all.
fn prune(query: &str) -> Effect {
    let Some(all) = pairs(query) else {
        return Effect::Unclear;
    };
    let mut filters = all.iter().filter(|(name, _)| name == "filters");
    let text = match (filters.next(), filters.next()) {
        (None, _) => return Effect::Harmless,
        (Some((_, text)), None) => text,
        (Some(_), Some(_)) => return Effect::Unclear,
    };
    if text.is_empty() {
        return Effect::Harmless;
    }
    let Some(Value::Object(filters)) = Value::parse(text) else {
        return Effect::Unclear;
    };
    let mut takes_all = false;
    let (mut labels, mut more) = (Vec::new(), false);
    for (name, values) in &filters {
        let Some(values) = words(values) else {
            return Effect::Unclear;
        };
        match name.as_str() {
            "dangling" => takes_all |= !values.iter().all(|word| word == "true" || word == "1"),
            "label" => labels.extend(values),
            _ => more = true,
        }
    }
    if takes_all {
        Effect::Prune { labels, more }
    } else {
        Effect::Harmless
    }
}

/// The values of a filter, as newer clients write them (`{"a":true}`) and older ones (`["a"]`).
fn words(values: &Value) -> Option<Vec<String>> {
    match values {
        Value::Object(fields) => Some(fields.iter().map(|(word, _)| word.clone()).collect()),
        Value::List(list) => list
            .iter()
            .map(|word| word.text().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(raw: &str, name: &str, plain: bool) -> Effect {
        Effect::Image {
            raw: raw.into(),
            name: name.into(),
            plain,
        }
    }

    fn pruned(labels: &[&str], more: bool) -> Effect {
        Effect::Prune {
            labels: labels.iter().map(|&label| label.into()).collect(),
            more,
        }
    }

    #[test]
    fn requests_are_read_for_what_they_would_remove() {
        let all = "%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D";
        let labelled = "%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%2C%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D";
        for (method, uri, expected) in [
            ("GET", "/v1.47/images/json".to_owned(), Effect::Harmless),
            ("GET", "//x/../images/prune".into(), Effect::Harmless),
            ("POST", "/v1.47/images/prune".into(), Effect::Harmless),
            ("POST", "/images/prune?filters=".into(), Effect::Harmless),
            (
                "POST",
                "/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D".into(),
                Effect::Harmless,
            ),
            (
                "POST",
                format!("/v1.47/images/prune?filters={all}"),
                pruned(&[], false),
            ),
            (
                "POST",
                format!("/images/prune?filter%73={all}"),
                pruned(&[], false),
            ),
            (
                "POST",
                format!("http://docker/v1.24/images/prune?filters={all}"),
                pruned(&[], false),
            ),
            (
                "POST",
                "/images/prune?filters={\"dangling\":[\"0\"]}".into(),
                pruned(&[], false),
            ),
            (
                "POST",
                "/images/prune?filters={\"dangling\":[\"no\"]}".into(),
                pruned(&[], false),
            ),
            (
                "POST",
                format!("/images/prune?filters={labelled}"),
                pruned(&["a=b"], false),
            ),
            (
                "POST",
                "/images/prune?filters={\"dangling\":[\"false\"],\"label!\":[\"k\"]}".into(),
                pruned(&[], true),
            ),
            (
                "POST",
                "/images/prune?filters={\"dangling\":[\"false\"],\"until\":[\"1h\"]}".into(),
                pruned(&[], true),
            ),
            ("POST", "/images/prune?filters={".into(), Effect::Unclear),
            (
                "POST",
                "/images/prune?filters={\"dangling\":true}".into(),
                Effect::Unclear,
            ),
            (
                "POST",
                "/images/prune?filters={}&filters={}".into(),
                Effect::Unclear,
            ),
            ("POST", "/images/prune?filters={};x".into(), Effect::Unclear),
            ("POST", "/images/prune/".into(), Effect::Unclear),
            ("POST", "/v1.47//images/prune".into(), Effect::Unclear),
            ("POST", "/v1.47/./images/prune".into(), Effect::Unclear),
            ("POST", "/%zz".into(), Effect::Unclear),
            ("POST", "images/prune".into(), Effect::Unclear),
            (
                "post",
                format!("/%69mages/prune?filters={all}"),
                pruned(&[], false),
            ),
            ("POST", "/v1.47/build/prune".into(), Effect::Harmless),
            ("POST", "/v1.47/build?t=app:dev".into(), Effect::Harmless),
            (
                "POST",
                "/v1.47/images/load?quiet=1".into(),
                Effect::Harmless,
            ),
            (
                "POST",
                "/v1.47/images/a/b:c/tag?repo=x".into(),
                Effect::Harmless,
            ),
            ("POST", "/v1.47/containers/prune".into(), Effect::Harmless),
            ("POST", "/grpc".into(), Effect::Harmless),
            ("POST", "/session".into(), Effect::Harmless),
            (
                "PUT",
                "/v1.47/containers/x/archive?path=/".into(),
                Effect::Harmless,
            ),
            (
                "DELETE",
                "/v1.47/images/app:dev".into(),
                image("app:dev", "app:dev", true),
            ),
            (
                "DELETE",
                "/v1.47/images/a.b:5/c/d:e?force=1".into(),
                image("a.b:5/c/d:e", "a.b:5/c/d:e", true),
            ),
            (
                "DELETE",
                "/images/a%2Fb?noprune=1".into(),
                image("a%2Fb", "a/b", true),
            ),
            (
                "DELETE",
                "/images/app?platforms=x".into(),
                image("app", "app", false),
            ),
            (
                "DELETE",
                "/images/prune".into(),
                image("prune", "prune", true),
            ),
            (
                "DELETE",
                "/v1.47/containers/x?force=1".into(),
                Effect::Harmless,
            ),
            ("DELETE", "/v1.47/networks/x".into(), Effect::Harmless),
            ("DELETE", "/v1.47/images".into(), Effect::Unclear),
            ("DELETE", "/v1.47/images/".into(), Effect::Unclear),
            ("DELETE", "/v1.47/new/x".into(), Effect::Unclear),
            ("DELETE", "/v1.47/images//x".into(), Effect::Unclear),
            ("PURGE", "/v1.47/images/x".into(), Effect::Unclear),
        ] {
            assert_eq!(effect(method, &uri, false), expected, "{method} {uri}");
        }
        // a form would go before the query
        assert_eq!(effect("POST", "/images/prune", true), Effect::Unclear);
    }
}
