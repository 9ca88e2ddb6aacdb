//! The person's own terminal while a command in a container has it: raw keys, and its size.

use crate::error::{Error, Result};
use crate::ui::Ui;

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
            Error::failed("the terminal would not go into raw mode").caused_by(error)
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

/// A screen of its own on the person's terminal, drawn again and again in place; what stood there
/// before comes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Screen<'a> {
    ui: &'a Ui,
}

impl<'a> Screen<'a> {
    pub(crate) fn enter(ui: &'a Ui) -> Self {
        // the other screen, no cursor, and lines that are too long are cut by the terminal
        put(ui, "\x1b[?1049h\x1b[?25l\x1b[?7l");
        Self { ui }
    }

    /// Draws a text from the top, and lines that must be seen at the bottom.
    pub(crate) fn show(&self, text: &str, below: &[String]) {
        put(self.ui, &frame(text, below, self.ui.rows()));
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        put(self.ui, "\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

fn put(ui: &Ui, text: &str) {
    // nothing is left to do if the terminal is gone
    let _gone = ui.stream_bytes(text.as_bytes());
}

fn frame(text: &str, below: &[String], rows: usize) -> String {
    let room = rows.saturating_sub(below.len()).max(1);
    let all: Vec<&str> = text.lines().collect();
    let mut lines: Vec<String> = all.iter().take(room).map(|&line| line.to_owned()).collect();
    if all.len() > room {
        lines.truncate(room - 1);
        lines.push(format!("... {} more lines", all.len() - lines.len()));
    }
    lines.extend(below.iter().map(|line| crate::visible::one_line(line)));
    // each line's rest is cleared, so that nothing flickers
    let body = lines.join("\x1b[K\r\n");
    format!("\x1b[H{body}\x1b[K\x1b[J")
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

/// Resolves with the signal's number when the terminal is closed (SIGHUP) or someone presses the
/// key for SIGQUIT elsewhere: the terminal must be given back first.
pub(crate) async fn told_to_end() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut hangup), Ok(mut quit)) =
            (signal(SignalKind::hangup()), signal(SignalKind::quit()))
        {
            return tokio::select! {
                _ = hangup.recv() => 1,
                _ = quit.recv() => 3,
            };
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_frame_is_never_higher_than_the_terminal() {
        let text = "a\nb\nc\nd\n";
        assert_eq!(frame(text, &[], 4).matches("\r\n").count(), 3);
        let cut = frame(text, &["lost".into()], 3);
        assert_eq!(cut.matches("\r\n").count(), 2);
        assert!(
            cut.contains("... 3 more lines") && cut.contains("lost"),
            "{cut:?}"
        );
    }
}
