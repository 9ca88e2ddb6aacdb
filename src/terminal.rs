//! The person's own terminal while a command in a container has it: raw keys, and its size.

use crate::error::{Error, Result};

/// Raw mode, until it is dropped: also when a command fails or is interrupted.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Hands every key to the command in the container.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn enter() -> Result<Self> {
        crossterm::terminal::enable_raw_mode().map_err(|error| {
            Error::failed("the terminal would not go into raw mode").because(error)
        })?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // nothing is left to do if the terminal is gone
        let _gone = crossterm::terminal::disable_raw_mode();
    }
}

/// Columns and rows, when there is a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    // crossterm's `size` runs `tput` where there is none: devnet starts no programs unasked
    #[cfg(unix)]
    let size = crossterm::terminal::window_size().map(|window| (window.columns, window.rows));
    #[cfg(not(unix))]
    let size = crossterm::terminal::size();
    size.ok()
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Resolves when the terminal may have another size.
pub(crate) struct Resizes {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Resizes {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())
                .ok(),
        }
    }

    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        // Windows has no signal for it
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}
