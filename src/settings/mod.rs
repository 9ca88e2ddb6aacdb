//! What the flags, the environment and the config file say, read once. Nobody else reads the
//! environment; devnet never changes it.

pub(crate) mod config_file;
pub(crate) mod origin;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::settings::config_file::ConfigFile;
use crate::settings::origin::Origin;
use crate::text_file;
use crate::ui::{Color, Look};

/// The environment of this run, as a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment that devnet was started with.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(k, v)| (OsString::from(k), OsString::from(v)))
                .collect(),
        )
    }

    /// A variable, also when it is empty.
    pub(crate) fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable that is set and not empty.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// A variable that is set and not empty, as text.
    ///
    /// # Errors
    /// A usage error when it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.os(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| {
                Error::usage(format!("the environment variable `{name}` is not UTF-8"))
            }),
        }
    }

    /// Whether a variable is set and not empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.os(name).is_some_and(|value| !value.is_empty())
    }

    /// Every variable.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

/// What holds for a whole run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) global: crate::cli::Global,
    pub(crate) environment: Environment,
    /// The config file, once it was read and made sense.
    config: OnceLock<ConfigFile>,
}

impl Settings {
    pub(crate) fn new(global: crate::cli::Global, environment: Environment) -> Self {
        Self {
            global,
            environment,
            config: OnceLock::new(),
        }
    }

    /// How to speak to the terminal.
    pub(crate) fn look(&self) -> Look {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| self.environment.os(name).filter(|value| !value.is_empty()))
            .map(|value| value.to_string_lossy().to_lowercase());
        Look {
            quiet: self.global.quiet,
            silent: false,
            verbose: self.global.verbose,
            color: self.color().0,
            no_color: self.environment.has("NO_COLOR"),
            dumb: self
                .environment
                .os("TERM")
                .is_some_and(|term| term == "dumb"),
            // Windows and macOS terminals are UTF-8 whatever the locale says
            utf8: cfg!(any(windows, target_os = "macos"))
                || locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8")),
            columns: self
                .environment
                .text("COLUMNS")
                .ok()
                .flatten()
                .and_then(|columns| columns.parse().ok()),
        }
    }

    /// When to colour, and who said so. A config file that can't be read says nothing here; whoever
    /// needs it tells.
    pub(crate) fn color(&self) -> (Color, Origin) {
        if let Some(color) = self.global.color {
            return (color, Origin::flag("--color"));
        }
        if self.environment.has("NO_COLOR") {
            return (Color::Never, Origin::variable("NO_COLOR"));
        }
        match self.config_file().map(|config| config.color) {
            Ok(Some(entry)) => (entry.value, self.config_origin("color", entry.line)),
            _ => (Color::Auto, Origin::Default),
        }
    }

    /// How builds show themselves where no flag says it, and who said so.
    ///
    /// # Errors
    /// When the variable or the config file can't be read.
    pub(crate) fn progress(&self) -> Result<Option<(String, Origin)>> {
        const VARIABLE: &str = "BUILDKIT_PROGRESS";
        if let Some(word) = self.environment.text(VARIABLE)? {
            return Ok(Some((word.into(), Origin::variable(VARIABLE))));
        }
        Ok(self
            .config_file()?
            .progress
            .map(|entry| (entry.value, self.config_origin("progress", entry.line))))
    }

    /// A place in the config file.
    pub(crate) fn config_origin(&self, key: &'static str, line: usize) -> Origin {
        Origin::Config {
            file: self.config_path().unwrap_or_default(),
            line,
            key,
        }
    }

    /// Where the config file stands or would stand: `$XDG_CONFIG_HOME/devnet/config.yaml`, the
    /// platform's folder elsewhere.
    pub(crate) fn config_path(&self) -> Option<PathBuf> {
        self.environment
            .path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(dirs::config_dir)
            .map(|folder| folder.join("devnet/config.yaml"))
    }

    /// What the config file says.
    ///
    /// # Errors
    /// A usage error that names the file and the place, when it is not what was expected.
    pub(crate) fn config_file(&self) -> Result<ConfigFile> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = self.read_config_file()?;
        Ok(self.config.get_or_init(|| config).clone())
    }

    fn read_config_file(&self) -> Result<ConfigFile> {
        let Some(file) = self.config_path() else {
            return Ok(ConfigFile::default());
        };
        let unreadable = || {
            Error::usage(format!(
                "devnet's config file `{}` can't be read",
                file.display()
            ))
        };
        match text_file::read(&file) {
            Ok(text) => ConfigFile::parse(&file, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConfigFile::default()),
            Err(error) => Err(unreadable().because(error)),
        }
    }

    /// devnet's own folder for what it remembers between runs (journal, pinned host keys).
    ///
    /// # Errors
    /// When neither `XDG_STATE_HOME` nor a home folder is known.
    pub(crate) fn state_folder(&self) -> Result<PathBuf> {
        self.environment
            .path("XDG_STATE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(dirs::state_dir)
            .or_else(dirs::data_local_dir)
            .map(|folder| folder.join("devnet"))
            .ok_or_else(|| {
                Error::failed("no home folder is known").hint("set `HOME` or `XDG_STATE_HOME`")
            })
    }

    /// devnet's own folder for what can be thrown away.
    ///
    /// # Errors
    /// When neither `XDG_CACHE_HOME` nor a home folder is known.
    pub(crate) fn cache_folder(&self) -> Result<PathBuf> {
        self.environment
            .path("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(dirs::cache_dir)
            .map(|folder| folder.join("devnet"))
            .ok_or_else(|| {
                Error::failed("no home folder is known").hint("set `HOME` or `XDG_CACHE_HOME`")
            })
    }

    /// The home folder.
    ///
    /// # Errors
    /// When none is known.
    pub(crate) fn home(&self) -> Result<PathBuf> {
        self.environment
            .path("HOME")
            .or_else(dirs::home_dir)
            .ok_or_else(|| Error::failed("no home folder is known").hint("set `HOME`"))
    }

    /// Who works here: the user of an ssh login when the address names none.
    pub(crate) fn login_name(&self) -> Option<String> {
        ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| self.environment.text(name).ok().flatten())
            .map(str::to_owned)
    }
}
