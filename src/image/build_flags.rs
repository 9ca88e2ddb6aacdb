//! The little languages of `docker build`'s flags: `type=local,dest=out`, `id=key,src=file`,
//! `nofile=1024:2048`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::image::docker_words::yes_or_no;

/// Something with a type and attributes: an output, a cache.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Attributed {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The source of a secret's value.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecretSource {
    Env(String),
    Src(PathBuf),
    /// The variable of that name, else the file of that name.
    Either(String),
}

/// `--secret`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) from: SecretSource,
}

/// `--ssh`: an agent's socket or keys, by ID; none means the agent of this shell.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Ssh {
    pub(crate) id: String,
    pub(crate) paths: Vec<PathBuf>,
}

/// `-o`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Output {
    #[serde(flatten)]
    pub(crate) what: Attributed,
    /// The file on this computer that it goes to; `-` is stdout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dest: Option<PathBuf>,
}

/// Comma separated fields as `encoding/csv` reads them: a field may stand in double quotes.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut field = String::new();
    let mut chars = text.chars().peekable();
    let mut begun = false;
    while let Some(c) = chars.next() {
        match c {
            ',' => {
                found.push(std::mem::take(&mut field));
                begun = false;
                continue;
            }
            '"' if !begun => loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => {
                        if chars.peek().is_some_and(|next| *next != ',') {
                            return None;
                        }
                        break;
                    }
                    c => field.push(c),
                }
            },
            '"' => return None,
            c => field.push(c),
        }
        begun = true;
    }
    found.push(field);
    Some(found)
}

/// Fields as `key=value`, keys in lower case.
fn pairs(flag: &str, text: &str) -> Result<Vec<(String, String)>> {
    let malformed = || Error::usage(format!("`{flag} {text}` is not `key=value,key=value`"));
    fields(text)
        .ok_or_else(malformed)?
        .into_iter()
        .map(|field| {
            let (key, value) = field.split_once('=').ok_or_else(malformed)?;
            Ok((key.trim().to_lowercase(), value.to_owned()))
        })
        .collect()
}

fn unknown(flag: &str, text: &str, key: &str) -> Error {
    Error::usage(format!("`{flag} {text}`: `{key}` is not known"))
}

/// Reads one `--secret`.
pub(crate) fn secret(text: &str) -> Result<Secret> {
    let (mut id, mut kind, mut src, mut env) = (None, None, None, None);
    for (key, value) in pairs("--secret", text)? {
        match key.as_str() {
            "id" => id = Some(value),
            "type" if value == "file" || value == "env" => kind = Some(value),
            "src" | "source" => src = Some(value),
            "env" => env = Some(value),
            key => return Err(unknown("--secret", text, key)),
        }
    }
    let id = id.or_else(|| env.clone());
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
        Error::usage(format!("`--secret {text}` has no `id=`"))
            .hint("as `--secret id=token,src=token.txt` or `--secret id=token,env=TOKEN`")
    })?;
    let from = match (kind.as_deref(), src, env) {
        (Some("env"), Some(name), None) | (None | Some("env"), None, Some(name)) => {
            SecretSource::Env(name)
        }
        (Some("env"), None, None) => SecretSource::Env(id.clone()),
        (None | Some("file"), Some(path), None) => SecretSource::Src(path.into()),
        (Some("file"), None, None) => SecretSource::Src(id.clone().into()),
        (None, None, None) => SecretSource::Either(id.clone()),
        _ => {
            return Err(Error::usage(format!("`--secret {text}` names two sources")));
        }
    };
    Ok(Secret { id, from })
}

/// Reads one `--ssh`: `default`, `ID`, `ID=SOCKET` or `ID=KEY,KEY`.
pub(crate) fn ssh(text: &str) -> Ssh {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    Ssh {
        id: if id.is_empty() { "default" } else { id }.to_owned(),
        paths: paths
            .split(',')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect(),
    }
}

/// Reads one `-o`: a folder, `-` for a tar on stdout, or `type=…,dest=…`.
pub(crate) fn output(text: &str) -> Result<Output> {
    let plain = |kind: &str, dest: &str| Output {
        what: Attributed {
            kind: kind.to_owned(),
            ..Attributed::default()
        },
        dest: Some(dest.into()),
    };
    if text == "-" {
        return Ok(plain("tar", "-"));
    }
    if !text.contains('=') {
        return Ok(plain("local", text));
    }
    let mut attributes: BTreeMap<String, String> = pairs("--output", text)?.into_iter().collect();
    let kind = attributes.remove("type").ok_or_else(|| {
        Error::usage(format!("`--output {text}` has no `type=`"))
            .hint("local, tar, docker, oci, image or registry")
    })?;
    let dest = attributes.remove("dest").filter(|dest| !dest.is_empty());
    let needs_dest = matches!(kind.as_str(), "local" | "tar" | "oci");
    match (kind.as_str(), &dest) {
        ("local" | "tar" | "oci" | "docker" | "image" | "registry" | "cacheonly", _) => {}
        (kind, _) => return Err(unknown("--output", text, &format!("type={kind}"))),
    }
    if needs_dest && dest.is_none() {
        return Err(Error::usage(format!("`--output {text}` has no `dest=`")));
    }
    if kind == "local" && dest.as_deref() == Some("-") {
        return Err(Error::usage("a folder can't be written to stdout").hint("`-o -` writes a tar"));
    }
    Ok(Output {
        what: Attributed { kind, attributes },
        dest: dest.map(PathBuf::from),
    })
}

/// Reads one `--cache-from` or `--cache-to`: a reference, or `type=…,…`.
pub(crate) fn cache(flag: &str, text: &str) -> Result<Attributed> {
    if !text.contains('=') {
        return Ok(Attributed {
            kind: "registry".to_owned(),
            attributes: [("ref".to_owned(), text.to_owned())].into(),
        });
    }
    let mut attributes: BTreeMap<String, String> = pairs(flag, text)?.into_iter().collect();
    let kind = attributes
        .remove("type")
        .ok_or_else(|| Error::usage(format!("`{flag} {text}` has no `type=`")))?;
    let place = if flag == "--cache-to" { "dest" } else { "src" };
    if kind == "local" && attributes.get(place).is_none_or(String::is_empty) {
        return Err(Error::usage(format!("`{flag} {text}` has no `{place}=`")));
    }
    Ok(Attributed { kind, attributes })
}

/// Reads one `--ulimit`: `name=soft` or `name=soft:hard`.
pub(crate) fn ulimit(text: &str) -> Result<String> {
    let malformed = || {
        Error::usage(format!("`--ulimit {text}` is not `name=soft[:hard]`"))
            .hint("as `nofile=1024:2048`")
    };
    let (name, values) = text.split_once('=').ok_or_else(malformed)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<i64>().map_err(|_error| malformed());
    let (soft, hard) = (number(soft)?, number(hard)?);
    if name.is_empty() || (hard != -1 && (soft > hard || soft == -1)) {
        return Err(malformed());
    }
    Ok(format!("{name}={soft}:{hard}"))
}

/// Reads one `--add-host`: `name:address` or `name=address`, an IPv6 address also in brackets.
pub(crate) fn host(text: &str) -> Result<(String, String)> {
    let malformed = || Error::usage(format!("`--add-host {text}` is not `name:address`"));
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(malformed)?;
    let address = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'))
        .unwrap_or(address);
    if name.is_empty()
        || (address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err())
    {
        return Err(malformed());
    }
    Ok((name.to_owned(), address.to_owned()))
}

/// A named context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NamedContext {
    Folder(PathBuf),
    /// An image in an OCI layout: the folder, and `:TAG` or `@DIGEST`.
    Layout(String),
    /// `docker-image://…`, `https://…`: for the engine to fetch.
    Remote(String),
}

/// Reads one `--build-context NAME=PATH|URL`.
pub(crate) fn build_context(text: &str) -> Result<(String, NamedContext)> {
    let malformed = || Error::usage(format!("`--build-context {text}` is not `name=place`"));
    let (name, place) = text.split_once('=').ok_or_else(malformed)?;
    if name.is_empty() || place.is_empty() {
        return Err(malformed());
    }
    // the frontend compares with names as it writes them itself
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let name = name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let context = if place.starts_with("docker-image://") || is_remote(place) {
        NamedContext::Remote(place.to_owned())
    } else if let Some(layout) = place.strip_prefix("oci-layout://") {
        NamedContext::Layout(layout.to_owned())
    } else {
        NamedContext::Folder(place.into())
    };
    Ok((name, context))
}

/// True where a context is fetched by the engine: a Git repository, or a file from the web.
pub(crate) fn is_remote(place: &str) -> bool {
    [
        "https://",
        "http://",
        "git://",
        "ssh://",
        "git@",
        "github.com/",
    ]
    .iter()
    .any(|prefix| place.starts_with(prefix))
        && !Path::new(place).exists()
}

/// True where a context is a Git repository that is fetched with ssh.
pub(crate) fn is_git_over_ssh(place: &str) -> bool {
    is_remote(place) && (place.starts_with("ssh://") || place.starts_with("git@"))
}

/// One `--annotation`: its exporter attribute and the value.
pub(crate) fn annotation(text: &str) -> Result<(String, String)> {
    let malformed = || Error::usage(format!("`--annotation {text}` is not `[type:]key=value`"));
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let (kind, key) = match key.split_once(':') {
        Some((kind, key)) => (format!("annotation-{kind}"), key),
        None => ("annotation".to_owned(), key),
    };
    if key.is_empty() {
        return Err(malformed());
    }
    Ok((format!("{kind}.{key}"), value.to_owned()))
}

/// The value with which `--provenance` or `--sbom` is attached; `None` is not at all.
///
/// # Errors
/// Usage, for a word that is neither yes, no nor `key=value`, as a path that a flag without its
/// value has swallowed.
pub(crate) fn attestation(kind: &str, how: &str) -> Result<Option<String>> {
    Ok(match yes_or_no(how) {
        Some(false) => None,
        Some(true) if kind == "provenance" => Some("mode=min".to_owned()),
        Some(true) => Some(String::new()),
        None => {
            pairs(&format!("--{kind}"), how)
                .map_err(|error| error.hint(format!("as `--{kind} true` or `--{kind} false`")))?;
            Some(how.to_owned())
        }
    })
}

/// Reads one `--attest`: its kind, and how it is to be attached as [`attestation`] says it.
pub(crate) fn attest(text: &str) -> Result<(String, Option<String>)> {
    let (mut kind, mut disabled, mut how) = (None, false, Vec::new());
    for (key, value) in pairs("--attest", text)? {
        match key.as_str() {
            "type" => kind = Some(value),
            "disabled" => disabled = yes_or_no(&value).unwrap_or(false),
            key => how.push(format!("{key}={value}")),
        }
    }
    let kind = kind.filter(|kind| !kind.is_empty()).ok_or_else(|| {
        Error::usage(format!("`--attest {text}` has no `type=`"))
            .hint("as `--attest type=provenance,mode=max` or `--attest type=sbom`")
    })?;
    Ok((kind, (!disabled).then(|| how.join(","))))
}

/// Checks a name for an image before anything is built under it.
///
/// # Errors
/// Usage, when no registry or engine would take it.
pub(crate) fn image_name(text: &str) -> Result<()> {
    const PATH: &str = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*";
    const HOST: &str =
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?";
    let shape =
        format!(r"^(?:{HOST}/)?{PATH}(?:/{PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?$");
    let fits = regex_lite::Regex::new(&shape).is_ok_and(|shape| shape.is_match(text));
    if fits && text.len() <= 255 + 128 {
        return Ok(());
    }
    let said = Error::usage(format!("`{text}` is no name for an image"));
    let (name, _tag) = text.rsplit_once(':').unwrap_or((text, ""));
    Err(if text.contains('@') {
        said.hint("a digest is what the image gets, not a name for it")
    } else if name.contains(|c: char| c.is_ascii_uppercase()) {
        said.hint("names are in lower case; tags may be in upper case")
    } else {
        said.hint("as `app`, `app:dev` or `registry.example/team/app:1.2`")
    })
}

/// The registry of a name: its first part where that can only be a host, else Docker Hub.
pub(crate) fn registry(name: &str) -> &str {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_or_a_variable() {
        let from = |text: &str| secret(text).unwrap().from;
        assert_eq!(from("id=a,src=b"), SecretSource::Src("b".into()));
        assert_eq!(from("id=a,\"source=b,c\""), SecretSource::Src("b,c".into()));
        assert_eq!(from("id=a,env=B"), SecretSource::Env("B".into()));
        assert_eq!(from("type=env,id=a"), SecretSource::Env("a".into()));
        assert_eq!(from("type=env,id=a,src=B"), SecretSource::Env("B".into()));
        assert_eq!(from("id=a"), SecretSource::Either("a".into()));
        for bad in [
            "",
            "a",
            "src=x",
            "id=a,src=b,env=c",
            "id=a,mode=7",
            "id=a,src=\"x",
        ] {
            assert_eq!(secret(bad).unwrap_err().kind().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn an_output_is_a_folder_a_tar_or_what_its_type_says() {
        let kind = |text: &str| output(text).map(|output| (output.what.kind, output.dest));
        assert_eq!(kind("out").unwrap(), ("local".into(), Some("out".into())));
        assert_eq!(kind("-").unwrap(), ("tar".into(), Some("-".into())));
        let tar = kind("type=tar,dest=a.tar").unwrap();
        assert_eq!(tar, ("tar".into(), Some("a.tar".into())));
        assert_eq!(kind("type=docker").unwrap(), ("docker".into(), None));
        for bad in ["type=tar", "dest=x", "type=zip,dest=x", "type=local,dest=-"] {
            assert!(kind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_and_hosts_are_read_as_docker_reads_them() {
        assert_eq!(ulimit("nofile=1").unwrap(), "nofile=1:1");
        assert_eq!(ulimit("core=1:-1").unwrap(), "core=1:-1");
        assert!(ulimit("nofile=2:1").is_err());
        assert_eq!(host("a:::1").unwrap(), ("a".into(), "::1".into()));
        assert_eq!(host("a=[::1]").unwrap(), ("a".into(), "::1".into()));
        assert!(host("a:b").is_err());
    }

    #[test]
    fn a_named_context_is_a_folder_unless_it_says_otherwise() {
        let (name, context) = build_context("docker.io/library/alpine:latest=../x").unwrap();
        assert_eq!(name, "alpine");
        assert_eq!(context, NamedContext::Folder("../x".into()));
        let (_, context) = build_context("a=docker-image://b:1").unwrap();
        assert_eq!(context, NamedContext::Remote("docker-image://b:1".into()));
        let (_, context) = build_context("a=oci-layout:///x/y:1").unwrap();
        assert_eq!(context, NamedContext::Layout("/x/y:1".into()));
        assert!(build_context("a").is_err());
    }

    #[test]
    fn a_name_that_no_engine_takes_is_refused_before_the_build() {
        for good in [
            "app",
            "app:Dev_1",
            "127.0.0.1:5000/a/b-c:1",
            "Reg.example/a__b",
            "[::1]:5000/a",
        ] {
            assert!(image_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "App",
            "a:",
            "a b",
            "a@sha256:x",
            "a:-x",
            "-a",
            "a/",
            "a___b",
        ] {
            assert!(image_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_attached_is_said_in_two_ways() {
        let how = |kind: &str, how: &str| attestation(kind, how).unwrap();
        assert_eq!(how("provenance", "f"), None);
        assert_eq!(how("provenance", "T").unwrap(), "mode=min");
        assert_eq!(how("sbom", "1").unwrap(), "");
        assert_eq!(how("sbom", "generator=x").unwrap(), "generator=x");
        assert!(attestation("sbom", "./context").is_err());
        let of = |text: &str| attest(text).unwrap();
        assert_eq!(
            of("type=provenance,mode=max"),
            ("provenance".into(), Some("mode=max".into()))
        );
        assert_eq!(of("type=sbom"), ("sbom".into(), Some(String::new())));
        assert_eq!(of("type=sbom,disabled=true"), ("sbom".into(), None));
        assert!(attest("mode=max").is_err());
    }

    #[test]
    fn a_registry_is_told_from_a_folder_on_docker_hub() {
        assert_eq!(registry("reg.example/a:1"), "reg.example");
        assert_eq!(registry("localhost/a"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/a"), "127.0.0.1:5000");
        assert_eq!(registry("team/a"), "docker.io");
        assert_eq!(registry("a"), "docker.io");
    }

    #[test]
    fn an_annotation_may_say_what_it_is_put_on() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(annotation("k=v=w").unwrap(), pair("annotation.k", "v=w"));
        assert_eq!(
            annotation("index:k=v").unwrap(),
            pair("annotation-index.k", "v")
        );
    }
}
