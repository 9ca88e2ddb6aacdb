//! Images that containers of the node have, in any state: containerd's own client tells. It is asked at
//! most once a second, and of each container only once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::engine::output::{Limits, output};
use crate::engine::unix_http;
use crate::guard::decision::{Facts, Image, Used};
use crate::json::Value;

/// The time for which what was found holds.
const HOLDS: Duration = Duration::from_secs(1);
/// The time and size of an answer of containerd's client.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    bytes: 8 << 20,
};
/// Containers that are asked for at once.
const AT_ONCE: usize = 4;

/// A container's image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Container {
    user: String,
    /// The name by which it was made, which may be another image's now.
    name: String,
    /// The digest of the configuration, which the kubelet's runtime calls the image by.
    configuration: Option<String>,
}

/// A look at the node.
#[derive(Clone, Debug)]
struct Look {
    containers: Vec<Container>,
    /// From each name to the digest that it has.
    names: BTreeMap<String, String>,
}

/// The last look, and the containers that were asked for.
#[derive(Default)]
struct Kept {
    known: BTreeMap<String, Container>,
    last: Option<(Instant, Look)>,
}

/// The images that the node's containers have.
pub(super) struct InUse {
    /// The engine's socket.
    engine: &'static str,
    kept: Mutex<Kept>,
}

impl InUse {
    pub(super) fn new(engine: &'static str) -> Self {
        Self {
            engine,
            kept: Mutex::default(),
        }
    }

    fn look(&self) -> Result<Look, String> {
        let mut kept = self.kept.lock().map_err(|_| "a look at them failed")?;
        let Kept { known, last } = &mut *kept;
        if let Some((at, look)) = last.as_ref()
            && at.elapsed() < HOLDS
        {
            return Ok(look.clone());
        }
        let ids = rows(&ctr(&["containers", "list", "--quiet"])?);
        known.retain(|id, _| ids.contains(id));
        let new: Vec<&String> = ids.iter().filter(|id| !known.contains_key(*id)).collect();
        for some in new.chunks(AT_ONCE) {
            let found = std::thread::scope(|scope| {
                let asking: Vec<_> = some
                    .iter()
                    .map(|id| scope.spawn(|| ((*id).clone(), container(id))))
                    .collect();
                let found = asking.into_iter().map(std::thread::ScopedJoinHandle::join);
                found.collect::<Result<Vec<_>, _>>()
            });
            for (id, container) in found.map_err(|_| "a look at them failed")? {
                if let Some(container) = container? {
                    known.insert(id, container);
                }
            }
        }
        let look = Look {
            containers: known.values().cloned().collect(),
            names: names(&ctr(&["images", "list"])?),
        };
        *last = Some((Instant::now(), look.clone()));
        Ok(look)
    }

    fn inspect(&self, raw: &str) -> Result<Option<Value>, String> {
        let path = format!("/images/{raw}/json");
        let failed = |error| format!("the engine does not answer: {error}");
        let (status, body) = unix_http::get(self.engine, &path, LIMITS.time).map_err(failed)?;
        match (status, Value::parse(&body)) {
            (404, _) => Ok(None),
            (200, Some(value)) => Ok(Some(value)),
            _ => Err(format!("the engine does not say what `{raw}` is")),
        }
    }
}

impl Facts for InUse {
    fn image(&self, raw: &str) -> Result<Option<Image>, String> {
        let Some(image) = self.inspect(raw)? else {
            return Ok(None);
        };
        let id = image.get("Id").and_then(Value::text).unwrap_or_default();
        let names = image.get("RepoTags").map(Value::list).unwrap_or_default();
        let names = names.iter().filter_map(|name| name.text());
        let names = names.map(str::to_owned).collect();
        let look = self.look()?;
        let mut user = look.user_of(id).map(str::to_owned);
        if user.is_none() && look.has_unknown() {
            user = look.user_by(&configurations(id)?).map(str::to_owned);
        }
        Ok(Some(Image { names, user }))
    }

    fn used(&self) -> Result<Vec<Used>, String> {
        let look = self.look()?;
        let mut found = BTreeMap::new();
        for one in &look.containers {
            if let Some(id) = look.digest_of(one) {
                found.entry(id).or_insert(one.user.as_str());
            }
        }
        if look.has_unknown() {
            // an image whose own name is gone may have others
            let digests: BTreeSet<&String> = look.names.values().collect();
            for id in digests {
                if let Some(user) = look.user_by(&configurations(id)?) {
                    found.entry(id).or_insert(user);
                }
            }
        }
        let mut all = Vec::new();
        for (id, user) in found {
            for configuration in configurations(id)? {
                all.push(Used {
                    user: user.to_owned(),
                    labels: labels(&configuration)?,
                });
            }
        }
        Ok(all)
    }
}

impl Look {
    /// The digest of a container's image; `None` where no name tells it any more.
    fn digest_of(&self, one: &Container) -> Option<&String> {
        match &one.configuration {
            Some(configuration) => self.names.get(configuration),
            None => self.names.get(&one.name),
        }
    }

    fn user_of(&self, id: &str) -> Option<&str> {
        let has = |one: &&Container| self.digest_of(one).is_some_and(|digest| digest == id);
        self.containers
            .iter()
            .find(has)
            .map(|one| one.user.as_str())
    }

    fn user_by(&self, configurations: &[String]) -> Option<&str> {
        let has_it = |one: &&Container| {
            let its = one.configuration.as_ref();
            its.is_some_and(|its| configurations.contains(its))
        };
        self.containers
            .iter()
            .find(has_it)
            .map(|one| one.user.as_str())
    }

    /// True where a container's image has lost the name that tells it.
    fn has_unknown(&self) -> bool {
        self.containers
            .iter()
            .any(|one| self.digest_of(one).is_none())
    }
}

/// Runs containerd's client in the namespace of the cluster's pods.
fn ctr(words: &[&str]) -> Result<String, String> {
    let all = [&["-n", "k8s.io"], words].concat();
    output("ctr", &all, LIMITS)
}

fn rows(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// A container by its ID; `None` when it has gone meanwhile.
fn container(id: &str) -> Result<Option<Container>, String> {
    match ctr(&["containers", "info", id]) {
        Ok(text) => of_info(id, &text).map(Some),
        Err(why) if why.contains("not found") => Ok(None),
        Err(why) => Err(why),
    }
}

fn of_info(id: &str, text: &str) -> Result<Container, String> {
    let unreadable = || format!("containerd's client says of {id} what can't be read");
    let value = Value::parse(text).ok_or_else(unreadable)?;
    let field = |name: &str| value.get(name).and_then(Value::text);
    let label = |name: &str| value.get("Labels")?.get(name)?.text();
    let pod = label("io.kubernetes.pod.namespace").zip(label("io.kubernetes.pod.name"));
    let user = match pod {
        Some((namespace, name)) => format!("pod {namespace}/{name}"),
        None => format!("container {id:.12}"),
    };
    Ok(Container {
        user,
        name: field("Image").ok_or_else(unreadable)?.to_owned(),
        configuration: value.get("Extensions").and_then(of_extensions),
    })
}

/// The image in what the kubelet's runtime keeps with a container: JSON in base64.
fn of_extensions(extensions: &Value) -> Option<String> {
    let kept = extensions.get("io.cri-containerd.container.metadata")?;
    let text = String::from_utf8(base64(kept.get("value")?.text()?)?).ok()?;
    let value = Value::parse(&text)?;
    let image = value.get("Metadata")?.get("ImageRef")?.text()?;
    Some(image.to_owned())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

/// From each name of the table to its digest.
fn names(table: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let (name, digest) = (columns.next()?, columns.nth(1)?);
        digest
            .starts_with("sha256:")
            .then(|| (name.to_owned(), digest.to_owned()))
    };
    table.lines().filter_map(row).collect()
}

/// The digests of the configurations of an image: one, or one for each platform that is here.
fn configurations(digest: &str) -> Result<Vec<String>, String> {
    let unknown = || format!("the manifest {digest} names no configuration");
    let manifest = Value::parse(&ctr(&["content", "get", digest])?).ok_or_else(unknown)?;
    let mut all: Vec<String> = configuration(&manifest).into_iter().collect();
    let platforms = manifest
        .get("manifests")
        .map(Value::list)
        .unwrap_or_default();
    for platform in platforms {
        let digest = platform.get("digest").and_then(Value::text);
        // those of other platforms are not here
        let text = digest.and_then(|digest| ctr(&["content", "get", digest]).ok());
        all.extend(text.and_then(|text| configuration(&Value::parse(&text)?)));
    }
    if all.is_empty() {
        Err(unknown())
    } else {
        Ok(all)
    }
}

fn configuration(manifest: &Value) -> Option<String> {
    Some(manifest.get("config")?.get("digest")?.text()?.to_owned())
}

/// The labels of an image. The engine does not tell those of images whose layers the node has thrown
/// away, as it does with all that it unpacks.
fn labels(configuration: &str) -> Result<Vec<(String, String)>, String> {
    let text = ctr(&["content", "get", configuration])?;
    let unknown = || format!("the configuration {configuration} can't be read");
    let value = Value::parse(&text).ok_or_else(unknown)?;
    let labels = value.get("config").and_then(|config| config.get("Labels"));
    let labels = labels.map(Value::fields).unwrap_or_default().iter();
    let text = |value: &Value| value.text().unwrap_or_default().to_owned();
    Ok(labels
        .map(|(name, value)| (name.clone(), text(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_names_are_read_as_containerds_client_prints_them() {
        let table = "REF TYPE DIGEST SIZE PLATFORMS LABELS \n\
            docker.io/library/app:dev application/vnd.oci.image.manifest.v1+json sha256:aa 1.2 KiB linux/amd64 - \n\
            sha256:cc application/vnd.oci.image.manifest.v1+json sha256:aa 1.2 KiB linux/amd64 io.cri-containerd.image=managed \n";
        let names = names(table);
        assert_eq!(names.len(), 2);
        assert_eq!(names["sha256:cc"], "sha256:aa");
        // {"Version":"v1","Metadata":{"ID":"x","ImageRef":"sha256:cc"}}
        let kept =
            "eyJWZXJzaW9uIjoidjEiLCJNZXRhZGF0YSI6eyJJRCI6IngiLCJJbWFnZVJlZiI6InNoYTI1NjpjYyJ9fQ==";
        let info = format!(
            r#"{{"ID":"x","Labels":{{"io.kubernetes.pod.name":"web","io.kubernetes.pod.namespace":"default"}},
            "Image":"docker.io/library/app:dev","Extensions":{{"io.cri-containerd.container.metadata":{{"type_url":"u","value":"{kept}"}}}}}}"#
        );
        let container = of_info("x", &info).unwrap();
        assert_eq!(container.user, "pod default/web");
        assert_eq!(container.configuration.as_deref(), Some("sha256:cc"));
        // the name has moved on to another image since
        let mut look = Look {
            containers: vec![container],
            names,
        };
        look.names
            .insert("docker.io/library/app:dev".into(), "sha256:bb".into());
        assert_eq!(look.user_of("sha256:aa"), Some("pod default/web"));
        assert_eq!(look.user_of("sha256:bb"), None);
        look.names.remove("sha256:cc");
        assert!(look.has_unknown());
        let other = of_info("0123456789abcdef", r#"{"Image":"a","Extensions":null}"#).unwrap();
        assert_eq!(other.user, "container 0123456789ab");
        assert!(of_info("x", "nonsense").is_err());
    }
}
