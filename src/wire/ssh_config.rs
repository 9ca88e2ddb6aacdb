//! A person's `~/.ssh/config`: what it says of a host that the person names.

use std::path::{Path, PathBuf};

use ssh2_config::{HostParams, ParseRule, SshConfig};

use crate::error::{Error, Result};
use crate::text_file;

/// The words of a person's configuration on one host.
#[derive(Debug)]
pub(super) struct HostConfig {
    /// Its name or address in the network.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    /// The keys to log in with instead of the usual ones.
    pub(super) keys: Vec<PathBuf>,
    /// True where the agent's other keys are not to be shown to the host.
    pub(super) only_these_keys: bool,
    /// The agent's socket; `none` is none.
    pub(super) agent: Option<PathBuf>,
    /// The files with the keys of hosts; none are the usual.
    pub(super) known_hosts: Vec<PathBuf>,
    /// The name under which its key is known.
    pub(super) known_as: Option<String>,
}

impl HostConfig {
    /// Reads the configuration below a home folder, with all that it includes.
    ///
    /// # Errors
    /// Usage: it can't be read, or wants what devnet does not do on the way to this host.
    pub(super) fn read(home: &Path, host: &str) -> Result<Self> {
        let file = home.join(".ssh").join("config");
        let text = match text_file::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unreadable(&file).caused_by(error)),
        };
        Self::parse(&text, &file, home, host)
    }

    fn parse(text: &str, file: &Path, home: &Path, host: &str) -> Result<Self> {
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        let config = SshConfig::default()
            .home_dir(home)
            .parse(&mut before_match(text).as_bytes(), rules)
            .map_err(|error| unreadable(file).caused_by(error))?;
        // lines below a `Match` would be taken for the host's above it
        let conditional = |params: &HostParams| {
            let mut fields = params.ignored_fields.keys();
            fields.any(|field| field.eq_ignore_ascii_case("match"))
        };
        if config
            .get_hosts()
            .iter()
            .any(|one| conditional(&one.params))
        {
            return Err(unreadable(file)
                .caused_by("a file that it includes has a `Match`, which devnet does not judge")
                .hint("write what holds for this host below a `Host` in the file itself"));
        }
        let params = config.query(host);
        let field = |name: &str| {
            let values = params.unsupported_fields.get(name)?;
            values
                .first()
                .map(|value| value.trim_matches('"').to_owned())
        };
        if let Some(jump) = params.proxy_jump.as_ref().filter(|jump| *jump != &["none"]) {
            return Err(not_done(host, "ProxyJump", &jump.join(",")));
        }
        if let Some(command) = field("proxycommand").filter(|command| command != "none") {
            return Err(not_done(host, "ProxyCommand", &command));
        }
        let path = |text: &str| expanded(text, home);
        let known_hosts = params.unsupported_fields.get("userknownhostsfile");
        let name = params.host_name.clone().unwrap_or_else(|| host.to_owned());
        Ok(Self {
            host: name.replace("%h", host),
            port: params.port,
            user: params.user.clone(),
            keys: params
                .identity_file
                .iter()
                .flatten()
                .map(|key| path(&key.to_string_lossy()))
                .collect(),
            only_these_keys: field("identitiesonly").is_some_and(|word| word == "yes"),
            agent: field("identityagent").map(|agent| path(&agent)),
            known_hosts: known_hosts
                .into_iter()
                .flatten()
                .map(|one| path(one.trim_matches('"')))
                .collect(),
            known_as: field("hostkeyalias"),
        })
    }
}

/// The text above the first `Match`: what follows holds under conditions that devnet does not judge.
fn before_match(text: &str) -> &str {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        let word = line.trim_start().split([' ', '\t', '=', '\n']).next();
        if word.is_some_and(|word| word.eq_ignore_ascii_case("match")) {
            break;
        }
        length += line.len();
    }
    text.get(..length).unwrap_or(text)
}

/// A path as it is meant: below the home folder where it begins with `~` or `%d`.
fn expanded(text: &str, home: &Path) -> PathBuf {
    match text.strip_prefix("~/").or(text.strip_prefix("%d/")) {
        Some(rest) => home.join(rest),
        None => PathBuf::from(text),
    }
}

fn unreadable(file: &Path) -> Error {
    Error::usage(format!("`{}` can't be used", file.display()))
}

fn not_done(host: &str, field: &str, value: &str) -> Error {
    Error::usage(format!(
        "`~/.ssh/config` reaches {host} by `{field} {value}`, which devnet does not do"
    ))
    .hint(
        "open a way with `ssh -N -L PORT:localhost:22 HOST`, and name `ssh://USER@localhost:PORT`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, host: &str) -> Result<HostConfig> {
        let home = Path::new("/home/me");
        HostConfig::parse(text, &home.join(".ssh/config"), home, host)
    }

    #[test]
    fn the_first_value_that_holds_for_a_host_is_taken() {
        let text = "Host dev-*  !dev-old\n  HostName %h.example\n  User me\n  Port=2222\n  IdentityFile ~/.ssh/dev\n  IdentitiesOnly yes\n\
                    Host *\n  User other\n  UserKnownHostsFile ~/.ssh/known /etc/known\n  HostKeyAlias dev\n";
        let found = read(text, "dev-one").unwrap();
        assert_eq!(
            (found.host.as_str(), found.port, found.user.as_deref()),
            ("dev-one.example", Some(2222), Some("me"))
        );
        assert_eq!(found.keys, [Path::new("/home/me/.ssh/dev")]);
        assert!(found.only_these_keys);
        assert_eq!(
            found.known_hosts,
            [Path::new("/home/me/.ssh/known"), Path::new("/etc/known")]
        );
        assert_eq!(found.known_as.as_deref(), Some("dev"));
        let other = read(text, "dev-old").unwrap();
        assert_eq!(
            (other.host.as_str(), other.port, other.user.as_deref()),
            ("dev-old", None, Some("other"))
        );
        assert!(other.keys.is_empty() && !other.only_these_keys);
    }

    #[test]
    fn what_devnet_does_not_do_is_refused_by_name_where_it_holds() {
        let text = "Host far\n  ProxyJump door\nHost odd\n  ProxyCommand nc %h %p\nHost plain\n  ProxyJump none\n";
        for (host, words) in [("far", "ProxyJump door"), ("odd", "ProxyCommand nc")] {
            let error = read(text, host).unwrap_err().in_one_line();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(read(text, "plain").unwrap().host, "plain");
        assert_eq!(read(text, "else").unwrap().host, "else");
    }

    #[test]
    fn what_holds_under_conditions_is_left_out() {
        let text = "Host a\n  User me\nMatch host b exec \"true\"\n  User other\n  Port 9\n";
        let found = read(text, "a").unwrap();
        assert_eq!((found.user.as_deref(), found.port), (Some("me"), None));
        assert_eq!(read(text, "b").unwrap().user, None);
        let error = read("Host a\n  Port none\n", "a")
            .unwrap_err()
            .in_one_line();
        assert!(error.contains(".ssh/config"), "{error}");
    }
}
