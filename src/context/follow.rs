//! The paths of a context that a `COPY` source really needs: the path itself and what the symlinks
//! on its way lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::image::ignore::{Matcher, clean};

/// Symlinks on one way before it counts as a loop.
const MOST_LINKS: usize = 255;

/// Paths to include so that every given path (with wildcards) can be read in the copy. Empty when
/// the root itself is asked for: everything is meant then.
pub(crate) fn targets(root: &Path, paths: &[String]) -> Vec<String> {
    let mut follow = Follow {
        root,
        found: BTreeSet::new(),
    };
    for path in paths {
        follow.add(path, 0);
    }
    if follow.found.contains(".") {
        return Vec::new();
    }
    let mut kept: Vec<String> = Vec::new();
    for path in follow.found {
        let below = kept.last().is_some_and(|last| {
            path.strip_prefix(last.as_str())
                .is_some_and(|r| r.starts_with('/'))
        });
        if !below {
            kept.push(path);
        }
    }
    kept
}

struct Follow<'a> {
    root: &'a Path,
    found: BTreeSet<String>,
}

impl Follow<'_> {
    fn add(&mut self, path: &str, links: usize) {
        // rooted, so that `..` can't leave the context
        let path = clean(&format!("/{path}"));
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        let mut current = String::new();
        if parts.peek().is_none() {
            self.found.insert(".".into());
        }
        while let Some(part) = parts.next() {
            if !current.is_empty() {
                current.push('/');
            }
            current.push_str(part);
            let targets = self.links(&current, true);
            let last = parts.peek().is_none();
            if (last || targets.is_empty()) && self.found.contains(&current) {
                return;
            }
            if !targets.is_empty() {
                self.found.insert(current);
                let rest: Vec<&str> = parts.collect();
                if links < MOST_LINKS {
                    for target in targets {
                        self.add(&format!("{target}/{}", rest.join("/")), links + 1);
                    }
                }
                return;
            }
            if last {
                self.found.insert(current.clone());
            }
        }
    }

    /// The targets of a path (whose last part may have wildcards) where it is a symlink.
    fn links(&self, path: &str, wildcards: bool) -> Vec<String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if wildcards && name.contains(['*', '?', '[', '\\']) {
            let (Ok(pattern), Ok(entries)) =
                (Matcher::new(&[name]), fs::read_dir(self.root.join(folder)))
            else {
                return Vec::new();
            };
            let mut names: Vec<String> = entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| pattern.matches(name, None).0)
                .collect();
            names.sort_unstable();
            return names
                .iter()
                .flat_map(|name| {
                    let path = if folder.is_empty() {
                        name.clone()
                    } else {
                        format!("{folder}/{name}")
                    };
                    self.links(&path, false)
                })
                .collect();
        }
        let Some(target) = fs::read_link(self.root.join(path))
            .ok()
            .and_then(|target| Some(target.to_str()?.replace(std::path::MAIN_SEPARATOR, "/")))
        else {
            return Vec::new();
        };
        if target.starts_with('/') {
            return vec![clean(&target)];
        }
        vec![clean(&format!("/{folder}/{target}"))]
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn found(root: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        targets(root, &paths)
    }

    #[test]
    fn links_are_followed_within_the_context_only_and_loops_end() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        symlink("../../etc/passwd", at("out")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("grow/more", at("grow")).unwrap();
        assert_eq!(found(root.path(), &["out"]), ["etc/passwd", "out"]);
        assert_eq!(found(root.path(), &["loop"]), ["loop"]);
        assert!(found(root.path(), &["grow/x"]).contains(&"grow".to_owned()));
        assert_eq!(found(root.path(), &["a", "a/b", "ab"]), ["a", "ab"]);
        assert_eq!(found(root.path(), &[".", "a"]), Vec::<String>::new());
    }

    #[test]
    fn a_wildcard_brings_the_targets_of_the_links_it_matches() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        symlink("../real/tool", root.path().join("bin/tool")).unwrap();
        assert_eq!(found(root.path(), &["bin/t*"]), ["bin/t*", "real/tool"]);
    }
}
