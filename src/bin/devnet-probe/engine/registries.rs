//! The registries of a node as its containerd reaches them, in the words of a Docker engine: mirrors of
//! docker.io, hosts without TLS or whose certificate is not looked at, CAs. What such an engine can't do
//! is a note.

use std::fs;
use std::path::Path;

/// No such file is longer, in bytes.
const LONGEST: u64 = 1 << 20;
/// More registries than any node has.
const MOST: usize = 256;

/// The registries in a Docker engine's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registries {
    /// URLs, first is asked first.
    pub(super) mirrors: Vec<String>,
    /// Without TLS, or with any certificate.
    pub(super) insecure: Vec<String>,
    /// A registry and the file of its CA.
    pub(super) cas: Vec<(String, String)>,
    /// Settings that are not carried over, for a person.
    pub(super) notes: Vec<String>,
}

impl Registries {
    /// Reads containerd's configuration in its folder.
    pub(super) fn of_containerd(folder: &Path) -> Self {
        let config = read(&folder.join("config.toml"));
        let mut all = Self::default();
        all.inline(&config);
        for path in config_paths(&config, folder) {
            let mut hosts: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().collect();
            hosts.sort_by_key(fs::DirEntry::file_name);
            for entry in hosts.into_iter().take(MOST) {
                let registry = entry.file_name().to_string_lossy().into_owned();
                let text = read(&entry.path().join("hosts.toml"));
                all.host(&registry, &text, &entry.path());
            }
        }
        for list in [&mut all.mirrors, &mut all.insecure, &mut all.notes] {
            let mut seen = Vec::new();
            list.retain(|one| {
                !seen.contains(one) && {
                    seen.push(one.clone());
                    true
                }
            });
        }
        all
    }

    /// Adds what stands in the main file, as older minikubes write it.
    fn inline(&mut self, config: &str) {
        for (section, entries) in sections(config) {
            let registry = |kind: &str| {
                let (_, name) = section.split_once(&format!(".registry.{kind}."))?;
                let quoted = name
                    .strip_prefix('"')
                    .and_then(|name| name.split('"').next());
                Some(quoted.or_else(|| name.split('.').next())?.to_owned())
            };
            if let Some(name) = registry("mirrors") {
                for url in entries.values("endpoint") {
                    self.place(&name, &url, false);
                }
            } else if let Some(name) = registry("configs") {
                if entries.is_true("insecure_skip_verify") {
                    self.insecure.push(name.clone());
                }
                let cas = entries.values("ca_file").into_iter();
                self.cas.extend(cas.map(|file| (name.clone(), file)));
                if entries.has("auth") || section.rsplit('.').next() == Some("auth") {
                    self.notes.push(format!("the login to {name}"));
                }
            }
        }
    }

    /// Adds a registry's own file.
    fn host(&mut self, registry: &str, text: &str, folder: &Path) {
        let registry = match registry {
            "_default" => {
                return self
                    .notes
                    .push("the hosts of every registry (_default)".into());
            }
            // how a port is written where colons can't be
            name => name.strip_suffix('_').map_or(name.to_owned(), |name| {
                name.rsplit_once('_')
                    .map_or(name.to_owned(), |(host, port)| format!("{host}:{port}"))
            }),
        };
        for (section, entries) in sections(text) {
            if let Some(url) = section.strip_prefix("host.").map(unquoted) {
                self.place(&registry, url, entries.is_true("skip_verify"));
                if entries.is_true("override_path") || entries.has("header") {
                    self.notes
                        .push(format!("what {url} is told for {registry}"));
                }
            } else if section.is_empty() {
                for url in entries.values("server") {
                    self.place(&registry, &url, entries.is_true("skip_verify"));
                }
            }
            for file in entries.values("ca") {
                let file = folder.join(&file).display().to_string();
                self.cas.push((registry.clone(), file));
            }
            if entries.has("client") {
                self.notes
                    .push(format!("the client's certificate for {registry}"));
            }
        }
    }

    /// Adds a place at which a registry is reached.
    fn place(&mut self, registry: &str, url: &str, unverified: bool) {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return;
        }
        let docker_io = registry == "docker.io";
        let its_own = host == registry || docker_io && host.ends_with("docker.io");
        if !its_own && !docker_io {
            return self.notes.push(format!("the mirror {host} of {registry}"));
        }
        if scheme == "http" || unverified {
            self.insecure.push(host.to_owned());
        }
        if !its_own {
            let path = rest.split_once('/').map_or("", |(_, path)| path);
            match path.trim_end_matches('/') {
                "" => self.mirrors.push(format!("{scheme}://{host}")),
                _ => self
                    .notes
                    .push(format!("the mirror {rest} of docker.io, which has a path")),
            }
        }
    }
}

fn read(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(about) if about.is_file() && about.len() <= LONGEST => {
            fs::read_to_string(path).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The folders of registries' own files.
fn config_paths(config: &str, folder: &Path) -> Vec<String> {
    for (section, entries) in sections(config) {
        if section.ends_with(".registry") {
            let paths = entries.values("config_path");
            let paths: Vec<String> = paths
                .iter()
                .flat_map(|path| path.split(':'))
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect();
            if !paths.is_empty() {
                return paths;
            }
        }
    }
    vec![folder.join("certs.d").display().to_string()]
}

/// The lines of a section.
struct Entries<'t>(Vec<(&'t str, &'t str)>);

impl Entries<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(its, _)| *its == name)
    }

    fn is_true(&self, name: &str) -> bool {
        self.0.contains(&(name, "true"))
    }

    /// A text, or each of a list of them.
    fn values(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(its, _)| *its == name);
        of_name
            .flat_map(|(_, value)| value.trim_matches(['[', ']']).split(','))
            .map(|one| unquoted(one.trim()).to_owned())
            .filter(|one| !one.is_empty())
            .collect()
    }
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

/// The sections of such a file, each with its lines; lists stand in one line.
fn sections(text: &str) -> Vec<(&str, Entries<'_>)> {
    let mut all = vec![("", Entries(Vec::new()))];
    for line in text.lines().map(str::trim) {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.starts_with('#') {
            continue;
        }
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            all.push((section.trim(), Entries(Vec::new())));
        } else if let (Some((name, value)), Some((_, entries))) =
            (line.split_once('='), all.last_mut())
        {
            entries.0.push((name.trim(), value.trim()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_carried_over_and_what_can_not_be_is_named() {
        let mut all = Registries::default();
        let hub = r#"server = "https://registry-1.docker.io"
            [host."https://mirror.test"]
              capabilities = ["pull"]
            [host."http://cache.test:5000"] # in the house
            [host."https://harbor.test/v2/hub"]
              override_path = true"#;
        all.host("docker.io", hub, Path::new("/c/docker.io"));
        all.host(
            "192.168.49.1:5000",
            "server = \"http://192.168.49.1:5000\"\n[host.\"http://192.168.49.1:5000\"]\n skip_verify = true",
            Path::new("/c/x"),
        );
        all.host(
            "own.test",
            "[host.\"https://own.test\"]\n  ca = [\"ca.crt\"]\n  client = [\"a\", \"b\"]\n[host.\"https://else.test\"]",
            Path::new("/c/own.test"),
        );
        assert_eq!(
            all.mirrors,
            ["https://mirror.test", "http://cache.test:5000"]
        );
        assert!(all.insecure.contains(&"cache.test:5000".to_owned()));
        assert!(all.insecure.contains(&"192.168.49.1:5000".to_owned()));
        assert_eq!(
            all.cas,
            [("own.test".to_owned(), "/c/own.test/ca.crt".to_owned())]
        );
        for note in [
            "the mirror harbor.test/v2/hub of docker.io, which has a path",
            "what https://harbor.test/v2/hub is told for docker.io",
            "the client's certificate for own.test",
            "the mirror else.test of own.test",
        ] {
            assert!(all.notes.contains(&note.to_owned()), "{:?}", all.notes);
        }

        let mut old = Registries::default();
        old.inline(
            "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n endpoint = [\"https://a.test\", \"https://registry-1.docker.io\"]\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"b.test\".tls]\n insecure_skip_verify = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"b.test\".auth]\n username = \"x\"",
        );
        assert_eq!(old.mirrors, ["https://a.test"]);
        assert_eq!(old.insecure, ["b.test"]);
        assert_eq!(old.notes, ["the login to b.test"]);
    }

    #[test]
    fn the_folder_of_registries_is_containerds_own() {
        let config =
            "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/a:/b\"\n";
        assert_eq!(
            config_paths(config, Path::new("/etc/containerd")),
            ["/a", "/b"]
        );
        assert_eq!(
            config_paths("", Path::new("/etc/containerd")),
            ["/etc/containerd/certs.d"]
        );
    }
}
