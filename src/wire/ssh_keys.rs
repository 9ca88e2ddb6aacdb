//! The keys of a login: the agent's, and files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(unix)]
use russh::keys::PublicKey;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};

use crate::text_file;
use crate::wire::ssh::Session;
use crate::wire::ssh_config::HostConfig;

/// The keys that ssh itself tries when none is named.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// The word of a configuration for no agent, and that for the environment's.
const NO_AGENT: &str = "none";
const USUAL_AGENT: &str = "SSH_AUTH_SOCK";

/// The keys that a login may show to its host.
#[derive(Debug)]
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "an agent is asked at its unix socket")
)]
pub(super) struct Keys {
    /// The socket of the ssh agent.
    agent: Option<PathBuf>,
    files: Vec<PathBuf>,
    /// True where the agent's keys are shown only if they are those of the files.
    only_files: bool,
}

impl Keys {
    /// This one and no other.
    pub(super) fn only(file: &Path) -> Self {
        Self {
            agent: None,
            files: vec![file.to_owned()],
            only_files: true,
        }
    }

    /// Those of a person who names the host; `agent` is the environment's.
    pub(super) fn of(
        config: Option<&HostConfig>,
        home: Option<&Path>,
        agent: Option<PathBuf>,
    ) -> Self {
        let usual = || {
            let folder = home.map(|home| home.join(".ssh"));
            let files = USUAL_KEYS
                .iter()
                .filter_map(|name| Some(folder.as_ref()?.join(name)));
            files.filter(|file| file.exists()).collect()
        };
        let Some(config) = config else {
            return Self {
                agent,
                files: usual(),
                only_files: false,
            };
        };
        Self {
            agent: match &config.agent {
                Some(word) if word == Path::new(NO_AGENT) => None,
                Some(socket) if socket != Path::new(USUAL_AGENT) => Some(socket.clone()),
                _ => agent,
            },
            files: if config.keys.is_empty() {
                usual()
            } else {
                config.keys.clone()
            },
            only_files: config.only_these_keys,
        }
    }

    /// True where the host may see this key of the agent's.
    #[cfg(unix)]
    fn may_be_shown(&self, key: &PublicKey) -> bool {
        let public = |file: &PathBuf| {
            let mut name = file.clone().into_os_string();
            name.push(".pub");
            let text = text_file::read(Path::new(&name)).ok()?;
            PublicKey::from_openssh(text.trim()).ok()
        };
        let is_it = |one: PublicKey| one.key_data() == key.key_data();
        !self.only_files || self.files.iter().filter_map(public).any(is_it)
    }

    /// Shows them to the host until it accepts one: the agent's first, as ssh does. Those that were
    /// tried are told.
    pub(super) async fn show(
        &self,
        session: &mut Session,
        user: &str,
        tried: &mut Vec<String>,
    ) -> Result<bool, russh::Error> {
        #[cfg(unix)]
        if let Some(agent) = &self.agent
            && self.try_agent(session, user, agent, tried).await?
        {
            return Ok(true);
        }
        for file in &self.files {
            if try_file(session, user, file, tried).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[cfg(unix)]
    async fn try_agent(
        &self,
        session: &mut Session,
        user: &str,
        agent: &Path,
        tried: &mut Vec<String>,
    ) -> Result<bool, russh::Error> {
        use russh::keys::agent::AgentIdentity;
        use russh::keys::agent::client::AgentClient;
        let identities = match AgentClient::connect_uds(agent).await {
            Ok(mut client) => client.request_identities().await.map(|all| (client, all)),
            Err(error) => Err(error),
        };
        // an agent that is gone is none; the files are still there
        let Ok((mut client, identities)) = identities else {
            tried.push("the ssh agent (it does not answer)".into());
            return Ok(false);
        };
        for identity in identities {
            let AgentIdentity::PublicKey { key, comment } = identity else {
                continue;
            };
            if !self.may_be_shown(&key) {
                continue;
            }
            tried.push(format!("the agent's `{comment}`"));
            let hash = hash(session, &key.algorithm()).await?;
            match session
                .authenticate_publickey_with(user, key, hash, &mut client)
                .await
            {
                Ok(result) if result.success() => return Ok(true),
                Ok(_) => {}
                Err(_) if !session.is_closed() => {}
                Err(_) => return Err(russh::Error::Disconnect),
            }
        }
        Ok(false)
    }
}

/// Shows the key of a file to the host.
async fn try_file(
    session: &mut Session,
    user: &str,
    file: &Path,
    tried: &mut Vec<String>,
) -> Result<bool, russh::Error> {
    let key = text_file::read(file)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            russh::keys::decode_secret_key(&text, None).map_err(|error| match error {
                russh::keys::Error::KeyIsEncrypted => {
                    "it has a passphrase: give it to an agent with `ssh-add`".to_owned()
                }
                other => other.to_string(),
            })
        });
    let key = match key {
        Ok(key) => key,
        Err(why) => {
            tried.push(format!("`{}` ({why})", file.display()));
            return Ok(false);
        }
    };
    tried.push(format!("`{}`", file.display()));
    let hash = hash(session, &key.algorithm()).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    Ok(session.authenticate_publickey(user, key).await?.success())
}

/// The hash with which an RSA key signs: SHA-2, except where the server knows only SHA-1.
async fn hash(session: &Session, key: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
    if !key.clone().is_rsa() {
        return Ok(None);
    }
    Ok(session
        .best_supported_rsa_hash()
        .await?
        .unwrap_or(Some(HashAlg::Sha256)))
}
