//! The only one who writes to stdout and stderr: data on the one, talk on the other.
//!
//! Colour, quiet and the terminal's width are decided once, here. Text that comes from a daemon
//! goes through `visible.rs` before it reaches a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;

use crate::error::{Error, Kind};
use crate::visible::{indented, of_a_program, one_line};

/// The choice of when to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Always,
    #[default]
    Auto,
    Never,
}

/// The voice of devnet in this run.
#[derive(Debug)]
pub(crate) struct Ui {
    quiet: bool,
    silent: bool,
    verbose: u8,
    color_stdout: bool,
    color_stderr: bool,
    keeps_colors: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    draws: bool,
    unicode: bool,
    columns: Option<usize>,
    /// Notes that are said once however often they arise.
    said: Mutex<Vec<String>>,
}

/// The settings of the environment and the flags for the terminal; read in `settings/`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TerminalOptions {
    pub(crate) quiet: bool,
    /// Nothing at all on stderr: nobody reads it.
    pub(crate) silent: bool,
    pub(crate) verbose: u8,
    pub(crate) color: Color,
    pub(crate) no_color: bool,
    pub(crate) dumb: bool,
    pub(crate) utf8: bool,
    pub(crate) columns: Option<usize>,
}

impl Ui {
    pub(crate) fn new(options: &TerminalOptions) -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        let stderr_is_terminal = io::stderr().is_terminal();
        let draws = !options.dumb && takes_escapes();
        let wanted = |terminal: bool| match options.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !options.no_color && draws,
        };
        Self {
            quiet: options.quiet,
            silent: options.silent,
            verbose: options.verbose,
            color_stdout: wanted(stdout_is_terminal),
            color_stderr: wanted(stderr_is_terminal),
            keeps_colors: match options.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => !options.no_color,
            },
            stdout_is_terminal,
            stderr_is_terminal,
            draws: stderr_is_terminal && draws,
            unicode: options.utf8 && !options.dumb,
            columns: options.columns,
            said: Mutex::default(),
        }
    }

    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    pub(crate) fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// True where stderr is a terminal whose lines can be drawn again.
    pub(crate) fn draws(&self) -> bool {
        self.draws
    }

    /// True where text for stdout may carry colour.
    pub(crate) fn color_stdout(&self) -> bool {
        self.color_stdout
    }

    /// True where text for stderr may carry colour.
    pub(crate) fn color_stderr(&self) -> bool {
        self.color_stderr
    }

    /// True where colours that a program wrote itself may stay in what is not painted, as in a log
    /// file.
    pub(crate) fn keeps_colors(&self) -> bool {
        self.keeps_colors
    }

    /// True where lines, bullets and arrows may be drawn with more than ASCII.
    pub(crate) fn unicode(&self) -> bool {
        self.unicode
    }

    /// The width to lay text out for: the terminal's, else `COLUMNS`, else 100.
    pub(crate) fn columns(&self) -> usize {
        let width = || {
            (self.stdout_is_terminal || self.stderr_is_terminal)
                .then(terminal_size)
                .flatten()
                .map(|(columns, _)| usize::from(columns))
        };
        self.columns.or_else(width).unwrap_or(100)
    }

    /// The height of the terminal.
    #[expect(clippy::unused_self, reason = "whoever speaks has the Ui")]
    pub(crate) fn rows(&self) -> usize {
        terminal_size().map_or(24, |(_, rows)| usize::from(rows))
    }

    /// Writes data to stdout as it is. A reader that has gone away (`| head`) is no failure.
    pub(crate) fn data(&self, text: &str) -> io::Result<()> {
        self.data_bytes(text.as_bytes())
    }

    /// Writes one line of data to stdout; no text of an engine in it makes another.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.data(&format!("{}\n", one_line(text)))
    }

    /// Writes data to stdout as it is.
    #[expect(clippy::unused_self, reason = "whoever speaks has the Ui")]
    pub(crate) fn data_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a piece of a stream to stdout; `false` says that nobody reads it any more.
    #[expect(clippy::unused_self, reason = "whoever speaks has the Ui")]
    pub(crate) fn stream_bytes(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes to stderr as it is: a child's own stderr, or a progress display.
    pub(crate) fn talk_bytes(&self, bytes: &[u8]) {
        if self.silent {
            return;
        }
        let mut stderr = io::stderr().lock();
        // stderr is where a failure would be told; when it is gone there is nobody to tell
        let _gone = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }

    /// Says something to the person; silent under `-q`.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.talk_bytes(format!("{}\n", indented(text)).as_bytes());
        }
    }

    /// Says something only when asked for more (`-v`).
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.talk_bytes(format!("{}\n", indented(text)).as_bytes());
        }
    }

    /// Says `note: ...` once, however often it comes.
    pub(crate) fn note(&self, text: &str) {
        if self.first_time(text) {
            self.labelled("note:", "36", text);
        }
    }

    /// The same of what happens more than once, each time that it comes.
    pub(crate) fn note_each(&self, text: &str) {
        self.labelled("note:", "36", text);
    }

    /// Says `warning: ...` once; also under `-q`, since it may explain a later failure.
    pub(crate) fn warn(&self, text: &str) {
        if self.first_time(text) {
            let line = format!("{} {}\n", self.paint("warning:", "33"), indented(text));
            self.talk_bytes(line.as_bytes());
        }
    }

    /// Says `hint: ...` once.
    pub(crate) fn hint(&self, text: &str) {
        if self.first_time(text) {
            self.labelled("hint:", "36", text);
        }
    }

    /// Tells a failure: what, why, what to do next. A child's own exit code says nothing more.
    pub(crate) fn error(&self, error: &Error) {
        if let Kind::Child(_) = error.kind() {
            return;
        }
        let mut text = format!(
            "{} {}\n",
            self.paint("error:", "1;31"),
            indented(&error.to_string())
        );
        for cause in error.causes() {
            let _infallible = writeln!(text, "caused by: {}", indented(&cause));
        }
        for hint in error.hints() {
            let _infallible = writeln!(text, "{} {}", self.paint("hint:", "36"), indented(hint));
        }
        self.talk_bytes(text.as_bytes());
    }

    fn labelled(&self, label: &str, code: &str, text: &str) {
        if !self.quiet {
            let line = format!("{} {}\n", self.paint(label, code), indented(text));
            self.talk_bytes(line.as_bytes());
        }
    }

    fn first_time(&self, text: &str) -> bool {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.iter().any(|before| before == text) {
            return false;
        }
        said.push(text.into());
        true
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color_stderr {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}

/// Stdout for a long stream of data that a thread of its own writes.
pub(crate) fn data_writer() -> impl io::Write + Send {
    io::stdout()
}

/// A line that some program wrote: its colours are kept (and ended) or taken out, every other
/// control character is made visible.
pub(crate) fn log_text(line: &str, color: bool) -> String {
    let mut text = String::new();
    let mut rest = line;
    let mut colored = false;
    while let Some((before, body)) = rest.split_once("\x1b[") {
        text.push_str(&of_a_program(before));
        let after = body.trim_start_matches(|c: char| matches!(c, '0'..='9' | ';' | ':'));
        let number = body.strip_suffix(after).unwrap_or_default();
        if let Some(after) = after.strip_prefix('m') {
            if color {
                text.extend(["\x1b[", number, "m"]);
                colored = !matches!(number, "" | "0");
            }
            rest = after;
        } else {
            text.push_str(&of_a_program("\x1b["));
            rest = body;
        }
    }
    text.push_str(&of_a_program(rest));
    if colored {
        text.push_str("\x1b[0m");
    }
    text
}

/// True where a terminal knows escape sequences; a console of Windows does when it is asked to.
fn takes_escapes() -> bool {
    #[cfg(windows)]
    let takes = crossterm::ansi_support::supports_ansi();
    #[cfg(not(windows))]
    let takes = true;
    takes
}

/// Columns and rows, when there is a terminal.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    // crossterm's `size` runs `tput` where there is none: devnet starts no programs unasked
    #[cfg(unix)]
    let size = crossterm::terminal::window_size().map(|window| (window.columns, window.rows));
    #[cfg(not(unix))]
    let size = crossterm::terminal::size();
    size.ok()
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_colours_pass_and_its_cursor_moves_do_not() {
        let line = "\x1b[1;31mred\x1b[0m \x1b[2Jgone";
        assert_eq!(log_text(line, false), "red \\u{1b}[2Jgone");
        assert_eq!(log_text(line, true), "\x1b[1;31mred\x1b[0m \\u{1b}[2Jgone");
        // what a line leaves on is ended with it
        assert_eq!(log_text("\x1b[1mbold", true), "\x1b[1mbold\x1b[0m");
    }
}
