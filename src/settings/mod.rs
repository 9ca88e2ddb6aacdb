//! The settings from the flags, the environment and the config file, read once. Nobody else reads
//! the environment; devnet never changes it.

pub(crate) mod config_file;
mod environment;
pub(crate) mod flags;
pub(crate) mod origin;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::notices::Notices;
use crate::settings::config_file::ConfigFile;
pub(crate) use crate::settings::environment::Environment;
use crate::settings::flags::GlobalFlags;
use crate::settings::origin::Origin;
use crate::text_file;
use crate::ui::{Color, TerminalOptions};

/// The time that an engine may be silent amid an answer.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings that hold for a whole run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) global: GlobalFlags,
    pub(crate) environment: Environment,
    /// The notices that lower rooms have for a person.
    pub(crate) notices: Notices,
    /// The config file, once it was read and made sense.
    config: OnceLock<ConfigFile>,
}

impl Settings {
    pub(crate) fn new(global: GlobalFlags, environment: Environment) -> Self {
        Self {
            global,
            environment,
            notices: Notices::default(),
            config: OnceLock::new(),
        }
    }

    /// The options of the terminal.
    pub(crate) fn terminal_options(&self) -> TerminalOptions {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| self.environment.os(name).filter(|value| !value.is_empty()))
            .map(|value| value.to_string_lossy().to_lowercase());
        TerminalOptions {
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

    /// The setting of when to colour, and who said so. A config file that can't be read says
    /// nothing here; whoever needs it tells.
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

    /// The way builds show themselves where no flag says it, and who said so.
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

    /// The time that an engine may be silent amid an answer: `DEVNET_TIMEOUT`, in seconds.
    ///
    /// # Errors
    /// A usage error when it is no number of seconds.
    pub(crate) fn patience(&self) -> Result<Duration> {
        const VARIABLE: &str = "DEVNET_TIMEOUT";
        let Some(text) = self.environment.text(VARIABLE)? else {
            return Ok(ENGINE_TIMEOUT);
        };
        let seconds = text.trim().trim_end_matches('s').parse::<f64>().ok();
        seconds
            .filter(|seconds| (0.1..=86_400.0).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| {
                Error::usage(format!("`{VARIABLE}={text}` is no number of seconds"))
                    .hint("from 0.1 to 86400; without it an engine may be silent for 20 s")
            })
    }

    /// A place in the config file.
    pub(crate) fn config_origin(&self, key: &'static str, line: usize) -> Origin {
        Origin::Config {
            file: self.config_path().unwrap_or_default(),
            line,
            key,
        }
    }

    /// The place at which the config file stands or would stand:
    /// `$XDG_CONFIG_HOME/devnet/config.yaml`, the platform's folder elsewhere.
    pub(crate) fn config_path(&self) -> Option<PathBuf> {
        self.environment
            .path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(dirs::config_dir)
            .map(|folder| folder.join("devnet").join("config.yaml"))
    }

    /// The content of the config file.
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
            Err(error) => Err(unreadable().caused_by(error)),
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

    /// The name of who works here: the user of an ssh login when the address names none.
    pub(crate) fn login_name(&self) -> Option<String> {
        ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| self.environment.text(name).ok().flatten())
            .map(str::to_owned)
    }
}
