//! YAML as a tree that knows where each value stands, for messages that name line and field.
//! `serde_yaml`'s values carry no positions.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::{Error, Result};

/// Aliases may repeat aliases; a small file must not become a large tree.
const MOST_NODES: usize = 100_000;
/// The bytes of a text that are about as heavy as a value.
const TEXT: usize = 256;
/// No manifest is that deep; deeper ones would exhaust the stack.
const DEEPEST: usize = 100;

/// A value and its place, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct YamlNode {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) value: Value,
}

/// The content of a value. Plain scalars stay text; whoever reads them knows what they should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    List(Vec<YamlNode>),
    /// In the file's order; keys are unique.
    Map(Vec<(Key, YamlNode)>),
    Null,
    Scalar {
        text: String,
        /// Written in quotes or as a block: never a number or a boolean.
        quoted: bool,
    },
}

/// A mapping's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// Reads every document of a text; `name` says where it came from.
///
/// # Errors
/// A usage error with line and column: broken YAML, a key that is there twice or is no text.
pub(crate) fn documents(name: &str, text: &str) -> Result<Vec<YamlNode>> {
    let mut reader = Reader {
        name,
        anchors: HashMap::new(),
        nodes: 0,
        depth: 0,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    while let Some(event) = parser.next_event() {
        match reader.event(event)? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), _) => {
                let next = reader.next(&mut parser)?;
                documents.push(reader.node(next, &mut parser)?);
            }
            _ => {}
        }
    }
    Ok(documents)
}

struct Reader<'n> {
    name: &'n str,
    anchors: HashMap<usize, YamlNode>,
    nodes: usize,
    depth: usize,
}

type Parsed<'t> = Result<(Event<'t>, Span), saphyr_parser::ScanError>;

impl Reader<'_> {
    fn event<'t>(&self, event: Parsed<'t>) -> Result<(Event<'t>, Span)> {
        event.map_err(|error| {
            let at = error.marker();
            self.wrong(at.line(), at.col() + 1, error.info())
        })
    }

    fn wrong(&self, line: usize, column: usize, why: &str) -> Error {
        Error::usage(format!("{}:{line}:{column}: {why}", self.name))
    }

    fn next<'t>(
        &self,
        parser: &mut Parser<'t, saphyr_parser::StrInput<'t>>,
    ) -> Result<(Event<'t>, Span)> {
        match parser.next_event() {
            Some(event) => self.event(event),
            None => Err(self.wrong(1, 1, "the text ends in the middle")),
        }
    }

    fn node<'t>(
        &mut self,
        (event, span): (Event<'t>, Span),
        parser: &mut Parser<'t, saphyr_parser::StrInput<'t>>,
    ) -> Result<YamlNode> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        self.count(1, line, column)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(line, column, "too deep"));
        }
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let Some(weight) = self.anchors.get(&id).map(weight) else {
                    return Err(self.wrong(line, column, "an alias stands inside its own anchor"));
                };
                self.count(weight, line, column)?;
                let mut node = self.anchors[&id].clone();
                (node.line, node.column) = (line, column);
                self.depth -= 1;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Scalar {
                        text: text.into_owned(),
                        quoted,
                    }
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                loop {
                    match self.next(parser)? {
                        (Event::SequenceEnd, _) => break,
                        next => list.push(self.node(next, parser)?),
                    }
                }
                (Value::List(list), anchor)
            }
            Event::MappingStart(anchor, _) => (self.map(parser)?, anchor),
            _ => return Err(self.wrong(line, column, "a value was expected here")),
        };
        self.depth -= 1;
        let node = YamlNode {
            line,
            column,
            value,
        };
        if anchor > 0 {
            self.count(weight(&node), line, column)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map<'t>(&mut self, parser: &mut Parser<'t, saphyr_parser::StrInput<'t>>) -> Result<Value> {
        let mut map: Vec<(Key, YamlNode)> = Vec::new();
        let mut merged: Vec<YamlNode> = Vec::new();
        loop {
            let next = match self.next(parser)? {
                (Event::MappingEnd, _) => break,
                next => next,
            };
            let key = self.node(next, parser)?;
            let Value::Scalar { text: name, quoted } = key.value else {
                return Err(self.wrong(key.line, key.column, "a key must be a word"));
            };
            if name == "<<" && !quoted {
                let next = self.next(parser)?;
                let value = self.node(next, parser)?;
                merged.extend(self.to_merge(value)?);
                continue;
            }
            if let Some((before, _)) = map.iter().find(|(before, _)| before.name == name) {
                let why = format!("`{name}` stands on line {} already", before.line);
                return Err(self.wrong(key.line, key.column, &why));
            }
            let next = self.next(parser)?;
            let value = self.node(next, parser)?;
            let line = key.line;
            map.push((Key { name, line }, value));
        }
        // what stands here itself wins, then what was merged first
        for node in merged {
            let Value::Map(fields) = node.value else {
                continue;
            };
            for (key, value) in fields {
                if !map.iter().any(|(before, _)| before.name == key.name) {
                    map.push((key, value));
                }
            }
        }
        Ok(Value::Map(map))
    }

    /// The mappings that a `<<` names: one, or a list of them.
    fn to_merge(&self, value: YamlNode) -> Result<Vec<YamlNode>> {
        let nodes = match value.value {
            Value::List(list) => list,
            _ => vec![value],
        };
        match nodes
            .iter()
            .find(|node| !matches!(node.value, Value::Map(_)))
        {
            None => Ok(nodes),
            Some(other) => {
                let why = "`<<` takes fields, or a list of them";
                Err(self.wrong(other.line, other.column, why))
            }
        }
    }

    fn count(&mut self, more: usize, line: usize, column: usize) -> Result<()> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return Err(self.wrong(line, column, "too many values"));
        }
        Ok(())
    }
}

/// The values that a copy of this one counts as. A long text is as heavy as many short ones.
fn weight(node: &YamlNode) -> usize {
    let text = |text: &str| text.len() / TEXT;
    match &node.value {
        Value::List(list) => 1 + list.iter().map(weight).sum::<usize>(),
        Value::Map(map) => {
            let field = |(key, node): &(Key, YamlNode)| text(&key.name) + weight(node);
            1 + map.iter().map(field).sum::<usize>()
        }
        Value::Scalar { text: scalar, .. } => 1 + text(scalar),
        Value::Null => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines_and_documents_are_apart() {
        let nodes = documents("f", "a: 1\nb:\n  - x\n---\nc: '2'\n").unwrap();
        let Value::Map(first) = &nodes[0].value else {
            panic!("{nodes:?}")
        };
        assert_eq!((first[1].0.name.as_str(), first[1].0.line), ("b", 2));
        let Value::Map(second) = &nodes[1].value else {
            panic!("{nodes:?}")
        };
        assert_eq!((second[0].1.line, second[0].1.column), (5, 4));
    }

    #[test]
    fn broken_yaml_names_file_line_and_column() {
        let error = documents("pod.yaml", "a: [1,\nb: 2").unwrap_err();
        assert!(error.to_string().starts_with("pod.yaml:"), "{error}");
        let error = documents("pod.yaml", "a: 1\na: 2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "pod.yaml:2:1: `a` stands on line 1 already"
        );
    }

    #[test]
    fn fields_are_merged_and_what_stands_there_itself_wins() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd:\n  <<: *a\n  z: 4\ne: {'<<': 5}\nf: {x: 6, <<: *a, <<: *b}\n";
        let nodes = documents("f", text).unwrap();
        let Value::Map(map) = &nodes[0].value else {
            panic!("{nodes:?}")
        };
        let fields = |name: &str| {
            let (_, node) = map.iter().find(|(key, _)| key.name == name).unwrap();
            let Value::Map(fields) = &node.value else {
                panic!("{node:?}")
            };
            let field = |(key, node): &(Key, YamlNode)| match &node.value {
                Value::Scalar { text, .. } => format!("{}={text}", key.name),
                other => panic!("{other:?}"),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(fields("c"), "x=3 y=1 z=2");
        assert_eq!(fields("d"), "z=4 x=1 y=1");
        assert_eq!(fields("e"), "<<=5");
        assert_eq!(fields("f"), "x=6 y=1 z=2");
        for wrong in ["a: {<<: 1}", "a: {<<: [{b: 1}, 2]}"] {
            let error = documents("f", wrong).unwrap_err();
            assert!(error.to_string().contains("`<<`"), "{error}");
        }
        let fields = (0..2_000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>();
        let fields = fields.join(", ");
        let many = vec!["*a"; 100].join(", ");
        let error = documents("f", &format!("a: &a {{{fields}}}\nb: {{<<: [{many}]}}\n"));
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("too many values"), "{error}");
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (before, name) in [('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'e'), ('e', 'f')] {
            let many = vec![format!("*{before}"); 9].join(",");
            text = format!("{text}{name}: &{name} [{many}]\n");
        }
        let error = documents("f", &text).unwrap_err();
        assert!(error.to_string().ends_with("too many values"), "{error}");
    }

    #[test]
    fn anchors_and_long_texts_that_multiply_are_refused() {
        // each anchor keeps all that stands in it
        let nested: Vec<String> = (0..90).map(|n| format!("&a{n} [")).collect();
        let nested = format!("{}{}{}", nested.concat(), "1,".repeat(2000), "]".repeat(90));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(200_000), "*a,".repeat(1000));
        for text in [nested, long] {
            let error = documents("f", &text).unwrap_err();
            assert!(error.to_string().ends_with("too many values"), "{error}");
        }
        let few = format!("a: &a {}\nb: [*a, *a]", "x".repeat(200_000));
        assert!(documents("f", &few).is_ok());
    }
}
