//! The parts of docker's `config.json` about registries: logins, credential helpers, proxies.

use std::collections::BTreeMap;

use crate::docker_env::endpoint::Address;
use crate::error::{Error, Result};

/// A login at a registry.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) secret: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // a log must not hold it
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The place where a login is to be had.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LoginSource {
    Here(Login),
    /// `docker-credential-NAME`, asked for this server.
    Helper {
        name: String,
        server: String,
    },
    Nowhere,
}

/// The parts of `config.json` that a build needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct DockerConfig {
    logins: BTreeMap<String, Login>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
    /// Proxies that builds get as arguments, by the engine's address or `default`.
    proxies: BTreeMap<String, BTreeMap<String, String>>,
}

/// The name of Docker Hub in `config.json`.
const HUB: &str = "https://index.docker.io/v1/";

impl DockerConfig {
    /// # Errors
    /// When it is no JSON object.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let json: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| Error::failed("docker's `config.json` is no JSON").caused_by(error))?;
        let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
        let strings = |value: Option<&serde_json::Value>| -> BTreeMap<String, String> {
            value
                .and_then(serde_json::Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
                .collect()
        };
        let logins = json
            .get("auths")
            .and_then(serde_json::Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(server, entry)| Some((server.clone(), login(entry)?)))
            .collect();
        let proxies = json
            .get("proxies")
            .and_then(serde_json::Value::as_object)
            .into_iter()
            .flatten()
            .map(|(engine, entry)| (engine.clone(), strings(Some(entry))))
            .collect();
        Ok(Self {
            logins,
            helpers: strings(json.get("credHelpers")),
            store: json
                .get("credsStore")
                .and_then(text)
                .filter(|name| !name.is_empty()),
            proxies,
        })
    }

    /// The place of the login for a registry, which BuildKit names by its host.
    pub(crate) fn login_source(&self, host: &str) -> LoginSource {
        let hub = matches!(
            host,
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        );
        let server = if hub { HUB } else { host };
        if let Some(name) = self.helpers.get(server).or_else(|| self.helpers.get(host)) {
            return LoginSource::Helper {
                name: name.clone(),
                server: server.to_owned(),
            };
        }
        if let Some(name) = &self.store {
            return LoginSource::Helper {
                name: name.clone(),
                server: server.to_owned(),
            };
        }
        let found = self.logins.get(server).or_else(|| {
            self.logins
                .iter()
                .find(|(key, _)| host_of(key) == server)
                .map(|(_, login)| login)
        });
        found.map_or(LoginSource::Nowhere, |login| {
            LoginSource::Here(login.clone())
        })
    }

    /// The build arguments that stand for the proxies of an engine, in both spellings. An entry of
    /// its own takes the place of the `default` one as a whole.
    pub(crate) fn proxy_args(&self, engine: &Address) -> BTreeMap<String, String> {
        let own = self.proxies.iter().find(|(key, _)| {
            // one address may be written in several ways; `default` is none
            *key != "default" && Address::parse(key).is_ok_and(|address| address == *engine)
        });
        let Some(proxies) = own
            .map(|(_, proxies)| proxies)
            .or_else(|| self.proxies.get("default"))
        else {
            return BTreeMap::new();
        };
        [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ]
        .iter()
        .filter_map(|(key, name)| Some((proxies.get(*key)?, name)))
        .flat_map(|(value, name)| {
            [
                ((*name).to_owned(), value.clone()),
                (name.to_lowercase(), value.clone()),
            ]
        })
        .collect()
    }
}

/// The login that a credential helper printed.
pub(crate) fn helper_answer(text: &str) -> Option<Login> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let user = json.get("Username")?.as_str()?;
    Some(Login {
        // "<token>" marks an identity token, which BuildKit takes without a name
        user: if user == "<token>" { "" } else { user }.to_owned(),
        secret: json.get("Secret")?.as_str()?.to_owned(),
    })
}

fn login(entry: &serde_json::Value) -> Option<Login> {
    use base64::Engine as _;
    let text = |key: &str| {
        entry
            .get(key)
            .and_then(serde_json::Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Some(Login {
            user: String::new(),
            secret: token.to_owned(),
        });
    }
    if let Some(auth) = text("auth") {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(auth)
            .ok()?;
        let pair = String::from_utf8(bytes).ok()?;
        let (user, secret) = pair.split_once(':')?;
        return Some(Login {
            user: user.to_owned(),
            secret: secret.trim_matches('\0').to_owned(),
        });
    }
    Some(Login {
        user: text("username")?.to_owned(),
        secret: text("password")?.to_owned(),
    })
}

/// `https://host/v1/` as `host`.
fn host_of(server: &str) -> &str {
    let rest = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_by_host_and_the_hub_by_its_old_name() {
        let config = DockerConfig::parse(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cHc="},
                "https://reg.example/v2/": {"username": "u", "password": "p"},
                "tok.example": {"auth": "bWU6cHc=", "identitytoken": "t"}},
              "credHelpers": {"helped.example": "secretservice"}}"#,
        )
        .unwrap();
        let login = |user: &str, secret: &str| {
            LoginSource::Here(Login {
                user: user.into(),
                secret: secret.into(),
            })
        };
        assert_eq!(
            config.login_source("registry-1.docker.io"),
            login("me", "pw")
        );
        assert_eq!(config.login_source("reg.example"), login("u", "p"));
        assert_eq!(config.login_source("tok.example"), login("", "t"));
        assert_eq!(config.login_source("other.example"), LoginSource::Nowhere);
        let LoginSource::Helper { name, server } = config.login_source("helped.example") else {
            panic!("a helper")
        };
        assert_eq!(
            (name.as_str(), server.as_str()),
            ("secretservice", "helped.example")
        );
    }

    #[test]
    fn a_login_is_not_printed_with_its_secret() {
        let login = Login {
            user: "u".into(),
            secret: "hush".into(),
        };
        assert!(!format!("{login:?}").contains("hush"));
    }

    #[test]
    fn proxies_become_arguments_in_both_spellings() {
        let config =
            DockerConfig::parse(r#"{"proxies": {"default": {"httpProxy": "http://p:1"}}}"#)
                .unwrap();
        let engine = Address::parse("tcp://192.168.49.2:2376").unwrap();
        let args: Vec<String> = config.proxy_args(&engine).into_keys().collect();
        assert_eq!(args, ["HTTP_PROXY", "http_proxy"]);
    }

    #[test]
    fn an_engines_own_proxies_take_the_place_of_the_default_ones() {
        let config = DockerConfig::parse(
            r#"{"proxies": {"default": {"httpProxy": "d", "noProxy": "n"},
              "tcp://192.168.49.2:2376": {"httpProxy": "own"},
              "unix:///var/run/docker.sock": {"ftpProxy": "f"}}}"#,
        )
        .unwrap();
        let of = |url: &str| {
            let engine = Address::parse(url).unwrap();
            config
                .proxy_args(&engine)
                .into_iter()
                .filter(|(name, _)| name.starts_with(|c: char| c.is_uppercase()))
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of("tcp://192.168.49.2:2376"), "HTTP_PROXY=own");
        assert_eq!(of("192.168.49.2:2376"), "HTTP_PROXY=own");
        assert_eq!(of("unix:///var/run/docker.sock"), "FTP_PROXY=f");
        assert_eq!(of("tcp://192.168.49.2:2375"), "HTTP_PROXY=d NO_PROXY=n");
    }
}
