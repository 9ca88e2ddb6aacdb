//! devnet's own source as text: its files, its code without comments and strings, its imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file under `src/`, by its path from there.
pub(crate) fn files() -> BTreeMap<String, String> {
    files_under("src")
}

/// Every Rust file under a folder of the repository, by its path from there.
pub(crate) fn files_under(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 20, "the source is not where this test looks");
    found
}

/// The code of a file: comments are left out, and of strings only the quotes are left, so that a
/// word in prose is no use of it and `//` in a URL hides nothing.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_string(rest) {
            code.push_str("\"\"");
            end
        } else if first == '"' {
            code.push_str("\"\"");
            string(rest)
        } else if let Some(end) = character(rest) {
            code.push_str("' '");
            end
        } else if first.is_alphanumeric() || first == '_' {
            // a whole word, so that the `r` at its end begins no raw string
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            code.push_str(&rest[..end]);
            end
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// The length of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let body = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix('r'))?
        .trim_start_matches('#');
    let start = text.len() - body.len();
    let hashes = text[..start].matches('#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = body.strip_prefix('"')?;
    Some(start + 1 + inside.find(&end)? + end.len())
}

/// The length of the string literal that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let mut letters = inside.char_indices();
    let (_, first) = letters.next()?;
    if first == '\\' {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let (end, quote) = letters.next()?;
    (quote == '\'').then_some(end + 2)
}

/// A file's text before its unit tests.
pub(crate) fn program(text: &str) -> &str {
    let tests = [
        "#[cfg(test)]\nmod tests",
        "#[cfg(test)]\n#[",
        "#[cfg(all(test",
    ];
    let end = tests.iter().filter_map(|mark| text.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// The code of a file without its unit tests.
pub(crate) fn code_of_the_program(text: &str) -> String {
    code(program(text))
}

/// The first lines of doc comments, with their line numbers.
pub(crate) fn doc_openings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut before = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.trim_start();
        let kind = ["///", "//!"]
            .into_iter()
            .find(|kind| line.starts_with(kind));
        let opens = kind.filter(|_| kind != before);
        before = kind;
        Some((at + 1, line.strip_prefix(opens?)?.trim()))
    })
}

/// True where a file is unit tests alone.
pub(crate) fn is_tests(file: &str) -> bool {
    file.ends_with("tests.rs")
}

/// The imports of each file of devnet's library: by `use`, and by paths in its code.
pub(crate) fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<String, String> = files()
        .into_iter()
        .filter(|(name, _)| {
            !name.starts_with("bin/") && name != "probe/build.rs" && !is_tests(name)
        })
        .collect();
    let modules: BTreeMap<String, String> = files
        .keys()
        .map(|name| (module(name), name.clone()))
        .collect();
    let roots = ["lib.rs", "main.rs", "fuzz.rs"];
    files
        .iter()
        .filter(|(name, _)| !roots.contains(&name.as_str()))
        .map(|(name, text)| {
            let mut imported = imports_of(&module(name), &code_of_the_program(text), &modules);
            imported.remove(name);
            (name.clone(), imported)
        })
        .collect()
}

/// The module that a file is, as `engine::docker`.
fn module(file: &str) -> String {
    let path = file.trim_end_matches(".rs").replace('/', "::");
    let path = path.strip_suffix("::mod").unwrap_or(&path);
    if path == "lib" { "" } else { path }.to_owned()
}

fn imports_of(mine: &str, code: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    // how far something is seen is no import
    let code = &code.replace("pub(in crate::engine)", "pub");
    // the file of the innermost module on a path
    let file = |path: &str| {
        let mut path = path;
        loop {
            if let Some(file) = modules.get(path).filter(|_| !path.is_empty()) {
                return Some(file.clone());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut imported = BTreeSet::new();
    // names by which modules are called in this file
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for declaration in code.split("mod ").skip(1) {
        if let Some((name, _)) = declaration.split_once(';')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        {
            let path = [mine, name].join("::");
            names.insert(name.to_owned(), path.trim_start_matches(':').to_owned());
        }
    }
    for statement in code.split("use ").skip(1) {
        let Some((tree, _)) = statement.split_once(';') else {
            continue;
        };
        for (path, name) in leaves("", tree) {
            let Some(path) = absolute(mine, &path) else {
                continue;
            };
            imported.extend(file(&path));
            if modules.contains_key(&path) {
                names.insert(name, path);
            }
        }
    }
    for path in paths(code) {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        let path = match names.get(first) {
            Some(module) => format!("{module}::{rest}"),
            None => match absolute(mine, path) {
                Some(path) => path,
                None => continue,
            },
        };
        imported.extend(file(&path));
    }
    imported
}

/// Every `a::b::c` in a text.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .map(|word| word.trim_matches(':'))
        .filter(|word| word.contains("::"))
}

/// The paths that a `use` tree brings, each with the name that it gets.
fn leaves(prefix: &str, tree: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut depth = 0;
    for branch in tree.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    }) {
        let branch = branch.trim();
        if let Some((path, inner)) = branch.split_once('{') {
            let inner = inner.trim_end().trim_end_matches('}');
            found.extend(leaves(&format!("{prefix}{path}"), inner));
        } else if !branch.is_empty() {
            let (path, name) = branch.split_once(" as ").unwrap_or((branch, ""));
            let path = format!("{prefix}{path}");
            let path = path.strip_suffix("::self").unwrap_or(&path).to_owned();
            let name = match name {
                "" => path.rsplit("::").next().unwrap_or_default().to_owned(),
                name => name.to_owned(),
            };
            found.push((path, name));
        }
    }
    found
}

/// A path from the crate's root, if it is one of this crate's.
fn absolute(mine: &str, path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    if let Some(rest) = path.strip_prefix("self::") {
        return Some(format!("{mine}::{rest}"));
    }
    let mut here = mine;
    let mut rest = path;
    while let Some(above) = rest.strip_prefix("super::") {
        here = here.rsplit_once("::").map_or("", |(above, _)| above);
        rest = above;
    }
    (rest != path).then(|| format!("{here}::{rest}").trim_start_matches(':').to_owned())
}

/// Circles in a graph: its strongly connected parts of more than one file, largest first.
pub(crate) fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|start| {
            let mut seen = BTreeSet::new();
            let mut open = vec![start];
            while let Some(file) = open.pop() {
                for next in graph.get(file).into_iter().flatten() {
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
            (start, seen)
        })
        .collect();
    let mut found: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (file, seen) in &reached {
        let circle: BTreeSet<String> = seen
            .iter()
            .filter(|other| reached.get(**other).is_some_and(|back| back.contains(file)))
            .map(|other| (*other).clone())
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

/// The code of every test: the files of these tests, and the unit tests beside the program.
pub(crate) fn tests() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found = BTreeMap::new();
    for folder in ["", "support"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let code = match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => code(&fs::read_to_string(&path).unwrap()),
                Some("py") => fs::read_to_string(&path).unwrap(),
                _ => continue,
            };
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            found.insert(format!("tests/it/{name}"), code);
        }
    }
    for (name, text) in files() {
        let program = if is_tests(&name) {
            0
        } else {
            code_of_the_program(&text).len()
        };
        let tests = code(&text)[program..].to_owned();
        found.insert(format!("src/{name}"), tests);
    }
    found
}
