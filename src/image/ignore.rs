//! The paths of a build context that a list of patterns covers: `.dockerignore`'s rules.
//!
//! Not gitignore's: a pattern is anchored at the context's root, the last one that matches wins,
//! and what matches a folder matches all below it unless a later `!` pattern takes it back.

use std::fmt;

/// The reason why a pattern can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern(pub(crate) String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ignore pattern `{}` is malformed", self.0)
    }
}

impl std::error::Error for BadPattern {}

/// The patterns of a `.dockerignore` file, in order: comments, blank lines and a byte order mark
/// are dropped, each pattern is made relative to the context's root.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (mark, pattern) = match line.strip_prefix('!') {
                Some(rest) => ("!", rest.trim()),
                None => ("", line),
            };
            if pattern.is_empty() {
                return mark.to_owned();
            }
            let cleaned = clean(pattern);
            let relative = match cleaned.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => &cleaned,
            };
            format!("{mark}{relative}")
        })
        .collect()
}

/// Shortens a slash path: no `.`, no `x/..`, no doubled or trailing slash.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// A list of patterns, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matcher {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
    /// Below a folder that is not included, only these prefixes can matter.
    prefixes_only: bool,
    /// The same for what `!` patterns take back.
    exception_prefixes_only: bool,
}

/// The patterns that matched a folder; everything below it inherits them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched(Vec<bool>);

impl Matcher {
    /// Reads patterns; a leading `!` takes back.
    ///
    /// # Errors
    /// The first malformed pattern.
    pub(crate) fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadPattern> {
        let mut matcher = Self {
            prefixes_only: true,
            exception_prefixes_only: true,
            ..Self::default()
        };
        for text in patterns {
            let text = text.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            let pattern = Pattern::new(text)?;
            let globs = pattern
                .literal_prefix()
                .contains(['*', '?', '[', ']', '^', '\\']);
            if pattern.exception {
                matcher.has_exceptions = true;
                matcher.exception_prefixes_only &= !globs;
            } else {
                matcher.prefixes_only &= !globs;
            }
            matcher.patterns.push(pattern);
        }
        Ok(matcher)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// True where a path is covered, given the patterns that matched its folder (`None` at the
    /// root), and the patterns to hand on to those below it.
    pub(crate) fn matches(&self, path: &str, folder: Option<&Matched>) -> (bool, Matched) {
        let mut covered = false;
        let mut each = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = folder.is_some_and(|folder| folder.0[index]);
            let hit = inherited || {
                // only what could change the answer is looked at
                if pattern.exception != covered {
                    continue;
                }
                pattern.matches(path)
                    || (folder.is_none() && parents(path).any(|parent| pattern.matches(parent)))
            };
            each[index] = hit;
            if hit {
                covered = !pattern.exception;
            }
        }
        (covered, Matched(each))
    }

    /// True where a path, or a folder above it, is covered: for a path seen alone.
    #[cfg(test)]
    fn covers(&self, path: &str) -> bool {
        self.matches(path, None).0
    }

    /// For include patterns: whether something below a folder that is not covered could be.
    pub(crate) fn may_cover_below(&self, folder: &str) -> bool {
        !self.prefixes_only || self.any_prefix_below(folder, false)
    }

    /// For exclude patterns: whether something below a covered folder could be taken back.
    pub(crate) fn may_take_back_below(&self, folder: &str) -> bool {
        self.has_exceptions
            && (!self.exception_prefixes_only || self.any_prefix_below(folder, true))
    }

    fn any_prefix_below(&self, folder: &str, exception: bool) -> bool {
        self.patterns
            .iter()
            .filter(|pattern| pattern.exception == exception)
            .any(|pattern| {
                let prefix = pattern.literal_prefix();
                prefix == folder
                    || prefix
                        .strip_prefix(folder)
                        .is_some_and(|rest| rest.starts_with('/'))
            })
    }
}

/// The folders above a path, outermost first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    exception: bool,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// No wildcard.
    Exact,
    /// `x/**`: the text before the stars.
    Prefix(usize),
    /// `**x` with no other wildcard.
    Suffix,
    /// Everything else: fixed text at both ends, and what stands between.
    Glob {
        head: String,
        middle: Vec<Token>,
        tail: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**/`: nothing, or anything that ends in a slash.
    Folders,
    /// `**` at the end.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    fn new(text: &str) -> Result<Self, BadPattern> {
        let cleaned = clean(text);
        let (exception, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return Err(BadPattern(text.to_owned())),
            Some(rest) => (true, rest.to_owned()),
            None => (false, cleaned),
        };
        let shape = Shape::of(&cleaned).ok_or_else(|| BadPattern(text.to_owned()))?;
        Ok(Self {
            text: cleaned,
            exception,
            shape,
        })
    }

    /// The pattern without a last `/**` or `/*`.
    fn literal_prefix(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }

    fn matches(&self, path: &str) -> bool {
        match &self.shape {
            Shape::Exact => path == self.text,
            Shape::Prefix(length) => {
                let prefix = self.text.get(..*length);
                prefix.is_some_and(|prefix| path.starts_with(prefix))
            }
            Shape::Suffix => {
                let suffix = self.text.get(2..).unwrap_or_default();
                // `**/x` also matches `x` at the root
                path.ends_with(suffix) || suffix.strip_prefix('/').is_some_and(|name| name == path)
            }
            Shape::Glob { head, middle, tail } => path
                .strip_prefix(head.as_str())
                .and_then(|rest| rest.strip_suffix(tail.as_str()))
                .is_some_and(|rest| matches(middle, rest)),
        }
    }
}

impl Shape {
    /// `None` when the pattern is malformed.
    fn of(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        let mut globs = 0;
        let mut escapes = false;
        let (mut starts_deep, mut ends_deep) = (false, false);
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    starts_deep |= tokens.is_empty();
                    let _slash = chars.next_if_eq(&'/');
                    ends_deep = chars.peek().is_none();
                    globs += 1;
                    tokens.push(if ends_deep {
                        Token::Rest
                    } else {
                        Token::Folders
                    });
                }
                '*' => {
                    globs += 1;
                    tokens.push(Token::Many);
                }
                '?' => {
                    globs += 1;
                    tokens.push(Token::One);
                }
                '[' => {
                    globs += 1;
                    tokens.push(class(&mut chars)?);
                }
                '\\' => {
                    escapes = true;
                    tokens.push(Token::Char(chars.next()?));
                }
                c => tokens.push(Token::Char(c)),
            }
        }
        Some(match (globs, escapes) {
            (0, false) => Self::Exact,
            (1, false) if starts_deep => Self::Suffix,
            (1, false) if ends_deep => Self::Prefix(text.len() - 2),
            _ => {
                let is_text = |token: &Token| matches!(token, Token::Char(_));
                let text = |tokens: &[Token]| {
                    tokens
                        .iter()
                        .filter_map(|token| match token {
                            Token::Char(c) => Some(*c),
                            _ => None,
                        })
                        .collect::<String>()
                };
                let first = tokens.iter().position(|token| !is_text(token));
                let first = first.unwrap_or(tokens.len());
                let last = tokens.iter().rposition(|token| !is_text(token));
                let last = last.map_or(first, |last| last + 1);
                Self::Glob {
                    head: text(&tokens[..first]),
                    tail: text(&tokens[last..]),
                    middle: tokens[first..last].to_vec(),
                }
            }
        })
    }
}

/// The rest of a `[...]`; `None` when it is malformed.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    fn one(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
        match chars.next()? {
            '-' | ']' => None,
            '\\' => chars.next(),
            c => Some(c),
        }
    }
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = one(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => one(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

/// True where tokens match a whole text. Every reachable position is kept, so that a pattern full
/// of stars costs tokens times characters and never more.
fn matches(tokens: &[Token], text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let end = chars.len();
    let mut reached = vec![false; end + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; end + 1];
        // `Many`, `Folders`, `Rest`: whether some position before this one was reached
        let mut open = false;
        for at in 0..=end {
            match token {
                Token::Char(_) | Token::One | Token::Class { .. } => {
                    if reached[at] && at < end && token.takes(chars[at]) {
                        next[at + 1] = true;
                    }
                }
                Token::Many => {
                    open |= reached[at];
                    next[at] = open;
                    open &= at < end && chars[at] != '/';
                }
                Token::Folders => {
                    next[at] = reached[at] || (open && at > 0 && chars[at - 1] == '/');
                    open |= reached[at];
                }
                Token::Rest => {
                    open |= reached[at];
                    next[at] = open;
                }
            }
        }
        reached = next;
    }
    reached[end]
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::Many | Self::Folders | Self::Rest => false,
        }
    }
}

#[cfg(test)]
#[path = "ignore_tests.rs"]
mod tests;
