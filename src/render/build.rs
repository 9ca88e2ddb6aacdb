//! The display of a build: a picture on a terminal, plain lines, JSON lines, or nothing until it
//! fails.

use std::fmt::Write as _;
use std::time::Instant;

use super::build_graph::{Graph, Step};
use super::build_plain::Plain;
pub(crate) use super::build_tty::Size;
use super::build_tty::Tty;
use crate::progress::{Lines, SourceFile, Update};
use crate::ui::log_text;

/// `--progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Progress {
    /// A picture on a terminal, plain lines elsewhere
    #[default]
    Auto,
    Plain,
    Tty,
    #[value(alias = "none")]
    Quiet,
    Rawjson,
}

/// Lines of the Dockerfile that are shown before and after the one that failed.
const AROUND: usize = 3;
/// Last lines of a failed step's output.
const LAST_LINES: usize = 20;

/// A build on its way to the reader.
#[derive(Debug)]
pub(crate) struct Display {
    graph: Graph,
    view: BuildView,
    color: bool,
    /// Colours that steps wrote stay in plain lines.
    steps_color: bool,
}

#[derive(Debug)]
enum BuildView {
    Plain(Plain),
    Tty(Tty),
    Json,
    Quiet,
}

impl Display {
    /// `Auto` must have been decided before.
    pub(crate) fn new(progress: Progress, color: bool, steps_color: bool) -> Self {
        Self {
            graph: Graph::default(),
            view: match progress {
                Progress::Auto | Progress::Plain => BuildView::Plain(Plain::default()),
                Progress::Tty => BuildView::Tty(Tty::new(Instant::now())),
                Progress::Quiet => BuildView::Quiet,
                Progress::Rawjson => BuildView::Json,
            },
            color,
            steps_color,
        }
    }

    /// True where it wants to be painted again while nothing happens.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.view, BuildView::Tty(_))
    }

    /// Takes news in, and gives what is to be written at once.
    pub(crate) fn update(&mut self, update: &Update) -> String {
        let now = Instant::now();
        let changes = self.graph.apply(update, now);
        match &mut self.view {
            BuildView::Plain(plain) => plain.lines(&self.graph, &changes, now, self.steps_color),
            BuildView::Json => {
                crate::json::line(update).map_or_else(|_| String::new(), |line| line + "\n")
            }
            BuildView::Tty(_) | BuildView::Quiet => String::new(),
        }
    }

    /// Paints the picture anew.
    pub(crate) fn paint(&mut self, size: Size) -> String {
        match &mut self.view {
            BuildView::Tty(tty) => tty.paint(&self.graph, Instant::now(), size, self.color, false),
            BuildView::Plain(_) | BuildView::Json | BuildView::Quiet => String::new(),
        }
    }

    /// The rest that is to be shown when the build is over.
    pub(crate) fn last(&mut self, size: Size) -> String {
        let now = Instant::now();
        match &mut self.view {
            BuildView::Tty(tty) => tty.paint(&self.graph, now, size, self.color, true),
            BuildView::Plain(plain) => plain.rest(&self.graph, now),
            BuildView::Json | BuildView::Quiet => String::new(),
        }
    }

    /// Warnings of the Dockerfile's linter and the steps; nothing where it is read by machines.
    pub(crate) fn warnings(&self) -> Vec<String> {
        if matches!(self.view, BuildView::Json | BuildView::Quiet) {
            return Vec::new();
        }
        self.graph
            .warnings
            .iter()
            .map(|warning| {
                let text = log_text(&String::from_utf8_lossy(&warning.short), false);
                let place = warning.source.as_ref().zip(warning.ranges.first());
                // newer frontends say the line themselves
                match place {
                    Some((source, lines)) if !text.contains("(line ") => {
                        format!(
                            "{text} ({}:{})",
                            log_text(&source.filename, false),
                            lines.start.line
                        )
                    }
                    _ => text,
                }
            })
            .collect()
    }

    /// The names of the steps that failed.
    pub(crate) fn failed_steps(&self) -> Vec<String> {
        self.failed().map(|step| step.name.clone()).collect()
    }

    fn failed(&self) -> impl Iterator<Item = &Step> {
        self.graph
            .steps
            .iter()
            .filter(|step| !step.error.is_empty() && !step.error.ends_with("context canceled"))
    }

    /// The failed step's last lines, and the Dockerfile around it.
    pub(crate) fn failure(&self, places: &[(SourceFile, Vec<Lines>)]) -> String {
        let mut text = String::new();
        if matches!(self.view, BuildView::Json) {
            return text;
        }
        for step in self.failed() {
            let _fits = writeln!(text, "------\n > {}:", log_text(&step.name, false));
            let skip = step.lines.len().saturating_sub(LAST_LINES);
            for (at, line) in step.lines.iter().skip(skip) {
                let _fits = writeln!(text, "{at:.3} {}", log_text(line, self.color));
            }
            text.push_str("------\n");
        }
        for (source, ranges) in places {
            text.push_str(&excerpt(source, ranges));
        }
        text
    }
}

/// The lines of a file around those that are meant, which are marked.
fn excerpt(source: &SourceFile, ranges: &[Lines]) -> String {
    let number = |line: i32| usize::try_from(line).unwrap_or(0);
    let Some(first) = ranges
        .iter()
        .map(|lines| number(lines.start.line))
        .min()
        .filter(|n| *n > 0)
    else {
        return String::new();
    };
    let last = ranges
        .iter()
        .map(|lines| number(lines.end.line))
        .max()
        .unwrap_or(first)
        .max(first);
    let mut text = format!(
        "{}:{first}\n--------------------\n",
        log_text(&source.filename, false)
    );
    let content = String::from_utf8_lossy(&source.data);
    for (index, line) in content.lines().enumerate() {
        let at = index + 1;
        if at + AROUND < first || at > last + AROUND {
            continue;
        }
        let meant = ranges
            .iter()
            .any(|lines| (number(lines.start.line)..=number(lines.end.line)).contains(&at));
        let mark = if meant { ">>>" } else { "   " };
        let line = format!("{at:4} | {mark} {}", log_text(line, false));
        let _fits = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("--------------------\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Log, Position, Task, Vertex};

    fn vertex(digest: &str, name: &str, started: i64, completed: Option<i64>) -> Vertex {
        Vertex {
            digest: digest.into(),
            name: name.into(),
            started: jiff::Timestamp::from_second(started).ok(),
            completed: completed.and_then(|at| jiff::Timestamp::from_second(at).ok()),
            ..Vertex::default()
        }
    }

    fn log(digest: &str, text: &str) -> Log {
        Log {
            vertex: digest.into(),
            data: text.into(),
            timestamp: jiff::Timestamp::from_second(101).ok(),
            ..Log::default()
        }
    }

    fn updates() -> Vec<Update> {
        vec![
            Update {
                vertexes: vec![vertex("a", "[1/2] FROM base", 100, None)],
                ..Update::default()
            },
            Update {
                vertexes: vec![
                    Vertex {
                        cached: true,
                        ..vertex("a", "[1/2] FROM base", 100, Some(100))
                    },
                    vertex("b", "[2/2] RUN make", 100, None),
                ],
                statuses: vec![Task {
                    id: "extracting".into(),
                    vertex: "b".into(),
                    current: 1500,
                    total: 3000,
                    completed: jiff::Timestamp::from_second(101).ok(),
                    ..Task::default()
                }],
                logs: vec![
                    log("b", "cc -c a.c\ncc -"),
                    log("b", "c \x1b[31mb.c\x1b[0m\x07\r\nno end"),
                ],
                ..Update::default()
            },
            Update {
                vertexes: vec![Vertex {
                    error: "exit code: 2".into(),
                    ..vertex("b", "[2/2] RUN make", 100, Some(102))
                }],
                ..Update::default()
            },
        ]
    }

    #[test]
    fn plain_lines_name_the_step_and_join_what_arrives_in_pieces() {
        let mut display = Display::new(Progress::Plain, false, false);
        let mut text: String = updates()
            .iter()
            .map(|update| display.update(update))
            .collect();
        text.push_str(&display.last(Size {
            columns: 80,
            rows: 24,
        }));
        insta::assert_snapshot!(text, @r"
        #1 [1/2] FROM base
        #1 CACHED

        #2 [2/2] RUN make
        #2 extracting 1.50kB / 3.00kB done
        #2 1.000 cc -c a.c
        #2 1.000 cc -c b.c\u{7}
        #2 2.000 no end
        #2 ERROR: exit code: 2
        ");
    }

    #[test]
    fn a_failed_step_shows_its_last_lines_and_the_dockerfile_around_it() {
        let mut display = Display::new(Progress::Quiet, false, false);
        for update in updates() {
            display.update(&update);
        }
        let source = SourceFile {
            filename: "Dockerfile".into(),
            data: "FROM base\n\nRUN make\n".into(),
        };
        let at = |line| Position { line, character: 0 };
        let text = display.failure(&[(
            source,
            vec![Lines {
                start: at(3),
                end: at(3),
            }],
        )]);
        insta::assert_snapshot!(text, @r"
        ------
         > [2/2] RUN make:
        1.000 cc -c a.c
        1.000 cc -c b.c\u{7}
        2.000 no end
        ------
        Dockerfile:3
        --------------------
           1 |     FROM base
           2 |
           3 | >>> RUN make
        --------------------
        ");
    }

    #[test]
    fn the_picture_fits_the_terminal_and_keeps_its_head() {
        let mut display = Display::new(Progress::Tty, false, false);
        for update in &updates()[..2] {
            display.update(update);
        }
        let text = display.paint(Size {
            columns: 30,
            rows: 5,
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("\r[+] Building"), "{text}");
        assert_eq!(lines.len(), 5, "four lines and the clearing: {text:?}");
        assert!(lines[3].contains("# cc -c b.c"), "{text}");
        let again = display.paint(Size {
            columns: 30,
            rows: 5,
        });
        assert!(again.starts_with("\x1b[4A"), "{again:?}");
    }

    #[test]
    fn json_lines_carry_bytes_as_base64() {
        let mut display = Display::new(Progress::Rawjson, false, false);
        let text = display.update(&Update {
            logs: vec![log("b", "hi\n")],
            ..Update::default()
        });
        assert_eq!(
            text,
            "{\"logs\":[{\"vertex\":\"b\",\"stream\":0,\"data\":\"aGkK\",\"timestamp\":\"1970-01-01T00:01:41Z\"}]}\n"
        );
    }
}
