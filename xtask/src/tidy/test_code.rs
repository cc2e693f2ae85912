//! Which code is a test: it may do what the product may not, and it is what reaches the limits.

use std::ops::RangeInclusive;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::source::Source;
use super::tree::Tree;

/// The test code of a tree: everything in folders named `tests`, and every `#[cfg(test)]`
/// module, in its own file or not.
pub(crate) struct TestCode {
    /// Modules with a body, by file and lines.
    inline: Vec<(String, RangeInclusive<usize>)>,
    /// Modules in their own file, by path without `.rs`.
    files: Vec<String>,
}

impl TestCode {
    /// Finds the test code of `tree`.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut found = Self { inline: Vec::new(), files: Vec::new() };
        for source in &tree.sources {
            Modules { source, found: &mut found }.visit_file(&source.syntax);
        }
        found
    }

    /// Whether `line` of the file `path` is test code.
    pub(crate) fn covers(&self, path: &str, line: usize) -> bool {
        let below = |module: &String| {
            path.strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        path.split('/').any(|part| part == "tests")
            || self.files.iter().any(below)
            || self.inline.iter().any(|(file, lines)| file == path && lines.contains(&line))
    }
}

struct Modules<'a> {
    source: &'a Source,
    found: &'a mut TestCode,
}

impl Visit<'_> for Modules<'_> {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        if !module.attrs.iter().any(is_cfg_test) {
            return visit::visit_item_mod(self, module);
        }
        let path = &self.source.path;
        if module.content.is_some() {
            let span = module.span();
            self.found.inline.push((path.clone(), span.start().line..=span.end().line));
        } else {
            self.found.files.push(format!("{}/{}", folder_of_modules(path), module.ident));
        }
    }
}

/// Whether `attribute` keeps its item for tests: `cfg(test)` or `cfg(all(test, …))`.
fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all (test"))
}

/// The folder in which the modules that the file `path` declares have their files.
fn folder_of_modules(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_found_inline_in_files_and_in_folders() {
        let tree = Tree::planted(&[
            ("a/src/lib.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\n"),
            ("a/src/world.rs", "#[cfg(all(test, unix))]\nmod trace;\nmod other;\n"),
        ]);
        let code = TestCode::of(&tree);
        assert!(!code.covers("a/src/lib.rs", 1));
        assert!(code.covers("a/src/lib.rs", 4));
        assert!(code.covers("a/src/world/trace.rs", 1));
        assert!(code.covers("a/src/world/trace/deep.rs", 1));
        assert!(!code.covers("a/src/world/traces.rs", 1));
        assert!(!code.covers("a/src/world/other.rs", 1));
        assert!(code.covers("a/tests/any.rs", 1));
    }
}
