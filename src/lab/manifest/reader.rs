//! Reads values out of a manifest's tree and collects what is wrong, each with file, line and field.

use crate::yaml::node::{Value, YamlNode};

/// A value and the way to it.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    /// As `spec.containers[0].env`.
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) node: &'a YamlNode,
}

impl<'a> At<'a> {
    pub(super) fn root(file: &'a str, node: &'a YamlNode) -> Self {
        Self {
            file,
            path: String::new(),
            line: node.line,
            node,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }
}

/// Everything that reading has found wrong or unneeded so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) refused: Vec<String>,
    pub(super) notes: Vec<String>,
}

fn say(at: &At<'_>, what: &str) -> String {
    let (file, line, path) = (at.file, at.line, &at.path);
    if path.is_empty() {
        format!("{file}:{line}: {what}")
    } else {
        format!("{file}:{line}: {path}: {what}")
    }
}

impl Reader {
    /// The manifest can't be run because of this.
    pub(super) fn refuse(&mut self, at: &At<'_>, why: &str) {
        self.refused.push(say(at, why));
    }

    /// This changes nothing here.
    pub(super) fn note(&mut self, at: &At<'_>, why: &str) {
        self.notes.push(say(at, why));
    }

    /// A field that nobody here knows.
    pub(super) fn unknown(&mut self, at: &At<'_>) {
        self.refuse(at, "the lab does not know this field");
    }

    /// The fields of a mapping; those without a value are left out, as Kubernetes does.
    pub(super) fn fields<'a>(&mut self, at: &At<'a>) -> Option<Vec<(&'a str, At<'a>)>> {
        match &at.node.value {
            Value::Map(map) => Some(
                map.iter()
                    .filter(|(_, node)| node.value != Value::Null)
                    .map(|(key, node)| {
                        let dot = if at.path.is_empty() { "" } else { "." };
                        let inner = At {
                            file: at.file,
                            path: format!("{}{dot}{}", at.path, key.name),
                            line: key.line,
                            node,
                        };
                        (key.name.as_str(), inner)
                    })
                    .collect(),
            ),
            Value::Null => Some(Vec::new()),
            _ => {
                self.refuse(at, "fields are expected here");
                None
            }
        }
    }

    /// The items of a list.
    pub(super) fn list<'a>(&mut self, at: &At<'a>) -> Vec<At<'a>> {
        match &at.node.value {
            Value::List(list) => list
                .iter()
                .enumerate()
                .map(|(n, node)| At {
                    file: at.file,
                    path: format!("{}[{n}]", at.path),
                    line: node.line,
                    node,
                })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                self.refuse(at, "a list is expected here");
                Vec::new()
            }
        }
    }

    /// A text. As with kubectl, a bare number or boolean is no text.
    pub(super) fn text(&mut self, at: &At<'_>) -> Option<String> {
        let Value::Scalar { text, quoted } = &at.node.value else {
            self.refuse(at, "text is expected here");
            return None;
        };
        let bare = matches!(&**text, "true" | "false") || text.parse::<f64>().is_ok();
        if bare && !quoted {
            self.refuse(at, &format!("text is expected here: write \"{text}\""));
            return None;
        }
        Some(text.clone())
    }

    /// Text or a bare number: quantities.
    pub(super) fn scalar(&mut self, at: &At<'_>) -> Option<String> {
        if let Value::Scalar { text, .. } = &at.node.value {
            return Some(text.clone());
        }
        self.refuse(at, "a number is expected here");
        None
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, at: &At<'_>, from: i64, to: i64) -> Option<i64> {
        let number = match &at.node.value {
            Value::Scalar {
                text,
                quoted: false,
            } => integer(text),
            _ => None,
        };
        match number {
            Some(number) if (from..=to).contains(&number) => Some(number),
            Some(number) => {
                let bounds = if to == i64::MAX {
                    format!("at least {from}")
                } else {
                    format!("{from} to {to}")
                };
                self.refuse(at, &format!("{number} is out of range ({bounds})"));
                None
            }
            None => {
                self.refuse(at, "a whole number is expected here");
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        match &at.node.value {
            Value::Scalar {
                text,
                quoted: false,
            } if text == "true" => Some(true),
            Value::Scalar {
                text,
                quoted: false,
            } if text == "false" => Some(false),
            _ => {
                self.refuse(at, "true or false is expected here");
                None
            }
        }
    }

    pub(super) fn texts(&mut self, at: &At<'_>) -> Vec<String> {
        let items = self.list(at);
        items.iter().filter_map(|item| self.text(item)).collect()
    }

    /// A mapping of text to text.
    pub(super) fn text_map(&mut self, at: &At<'_>) -> Vec<(String, String)> {
        let fields = self.fields(at).unwrap_or_default();
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), self.text(&value)?)))
            .collect()
    }

    /// A name as Kubernetes wants it (RFC 1123): a label, or with dots a subdomain.
    pub(super) fn name(&mut self, at: &At<'_>, dots: bool) -> Option<String> {
        let name = self.text(at)?;
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = if dots {
            name.len() <= 253 && name.split('.').all(label)
        } else {
            name.len() <= 63 && label(&name)
        };
        if !fits {
            let why =
                "a name is lower case letters, digits and `-`, with a letter or digit at both ends";
            self.refuse(at, &format!("`{name}`: {why}"));
            return None;
        }
        Some(name)
    }
}

/// YAML's whole numbers: decimal, `0o17`, `0x1f`; and `0644`, which Kubernetes reads as octal.
fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok();
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => i64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}
