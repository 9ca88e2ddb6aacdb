//! The folders of a scope one by one, for a system that watches no trees.

use std::io;
use std::path::{Path, PathBuf};

use super::Scope;
use crate::image::ignore::Matched;

impl Scope {
    /// Every folder in which something that matters is or may come to be.
    ///
    /// # Errors
    /// When the context's own folder can't be read.
    pub(crate) fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            found.push(root.clone());
            self.below(root, "", None, &mut found)?;
        }
        found.extend(self.apart());
        Ok(found)
    }

    fn below(
        &self,
        folder: &Path,
        relative: &str,
        matched: Option<&Matched>,
        found: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // a link's target is not part of the context
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let relative = match relative {
                "" => name.into_owned(),
                relative => format!("{relative}/{name}"),
            };
            let (excluded, matched) = self.exclude.matches(&relative, matched);
            if excluded && !self.exclude.may_take_back_below(&relative) {
                continue;
            }
            found.push(entry.path());
            // what vanishes meanwhile, or can't be read, is not looked into
            let _gone = self.below(&entry.path(), &relative, Some(&matched), found);
        }
        Ok(())
    }
}
