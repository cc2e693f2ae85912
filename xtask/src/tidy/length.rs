//! No god files, no god functions.

use syn::visit::{self, Visit};

use super::source::Source;
use super::tree::{Tree, Violation};

/// The most lines of code (neither blank nor only comment) of a file.
const FILE_LINES_MAX: usize = 500;

/// The most lines of code of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Every file and every function is short.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let length = source.length();
        if length > FILE_LINES_MAX {
            let what = format!("{length} lines of code, at most {FILE_LINES_MAX} are allowed");
            violations.push(source.violation(1, what));
        }
        let mut functions = Functions { source, violations: Vec::new() };
        functions.visit_file(&source.syntax);
        violations.extend(functions.violations);
    }
    violations
}

struct Functions<'a> {
    source: &'a Source,
    violations: Vec<Violation>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        let length = self.source.code_lines(first..=last);
        if length > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let what = format!(
                "`{name}` has {length} lines of code, at most {FUNCTION_LINES_MAX} are allowed"
            );
            self.violations.push(self.source.violation(first, what));
        }
    }
}

impl Visit<'_> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Violation> {
        check(&Tree::planted(&[("a/examples/b.rs", text)]))
    }

    #[test]
    fn a_file_may_have_so_many_lines_of_code_and_no_more() {
        let most = "//! Doc.\n\n".to_owned() + &"// why\nconst A: () = ();\n\n".repeat(500);
        assert_eq!(found(&most), []);
        let more = found(&(most + "const A: () = ();\n"));
        assert_eq!(more.len(), 1);
        assert_eq!(more[0].what, "501 lines of code, at most 500 are allowed");
    }

    #[test]
    fn a_function_may_have_so_many_lines_of_code_and_no_more() {
        let function = |lines: usize| {
            let body = "  // why\n\n  b();\n".repeat(lines - 2);
            format!("/// Doc.\n#[c]\npub fn a() {{\n{body}}}\n")
        };
        assert_eq!(found(&function(70)), []);
        for text in [
            function(71),
            format!("impl A {{\n{}}}\n", function(71)),
            format!("trait A {{\n{}}}\n", function(71).replace("pub ", "")),
            format!("fn outer() {{}} mod a {{ {} }}", function(71)),
        ] {
            let found = found(&text);
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].what.starts_with("`a` has 71 lines"), "{}", found[0].what);
        }
    }
}
