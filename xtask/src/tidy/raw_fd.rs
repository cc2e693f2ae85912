//! Descriptors are owned or borrowed, never a number, in every public signature.

use syn::Visibility;
use syn::visit::{self, Visit};

use super::source::Source;
use super::tree::{Tree, Violation};

/// No public function, trait, field, alias, constant or re-export names the raw type.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let mut public = Public { source, violations: Vec::new() };
        public.visit_file(&source.syntax);
        violations.extend(public.violations);
    }
    violations
}

/// Walks the items and looks into the signatures of the public ones.
struct Public<'a> {
    source: &'a Source,
    violations: Vec<Violation>,
}

impl Public<'_> {
    fn judge(&mut self, visibility: &Visibility, look: impl FnOnce(&mut RawNames)) {
        if matches!(visibility, Visibility::Public(_)) {
            let mut names = RawNames { lines: Vec::new() };
            look(&mut names);
            let what = "`RawFd` in a public signature: take or give an owned or a borrowed one";
            let found = names.lines.into_iter().map(|line| self.source.violation(line, what));
            self.violations.extend(found);
        }
    }
}

impl Visit<'_> for Public<'_> {
    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        self.judge(&item.vis, |names| names.visit_signature(&item.sig));
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        self.judge(&item.vis, |names| names.visit_signature(&item.sig));
    }

    fn visit_item_trait(&mut self, item: &syn::ItemTrait) {
        self.judge(&item.vis, |names| {
            for part in &item.items {
                match part {
                    syn::TraitItem::Fn(function) => names.visit_signature(&function.sig),
                    other => names.visit_trait_item(other),
                }
            }
        });
    }

    fn visit_item_struct(&mut self, item: &syn::ItemStruct) {
        if matches!(item.vis, Visibility::Public(_)) {
            visit::visit_item_struct(self, item);
        }
    }

    fn visit_field(&mut self, field: &syn::Field) {
        self.judge(&field.vis, |names| names.visit_type(&field.ty));
    }

    fn visit_item_enum(&mut self, item: &syn::ItemEnum) {
        self.judge(&item.vis, |names| names.visit_item_enum(item));
    }

    fn visit_item_type(&mut self, item: &syn::ItemType) {
        self.judge(&item.vis, |names| names.visit_item_type(item));
    }

    fn visit_item_const(&mut self, item: &syn::ItemConst) {
        self.judge(&item.vis, |names| names.visit_type(&item.ty));
    }

    fn visit_item_static(&mut self, item: &syn::ItemStatic) {
        self.judge(&item.vis, |names| names.visit_type(&item.ty));
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.judge(&item.vis, |names| names.visit_item_use(item));
    }
}

/// Collects where the raw type is named.
struct RawNames {
    lines: Vec<usize>,
}

impl Visit<'_> for RawNames {
    fn visit_ident(&mut self, name: &proc_macro2::Ident) {
        if name == "RawFd" {
            self.lines.push(name.span().start().line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let tree = Tree::planted(&[("cluster-sys/src/lib.rs", text)]);
        check(&tree).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn every_public_signature_is_judged() {
        for text in [
            "\npub fn a(b: std::os::fd::RawFd) {}",
            "\npub fn a() -> Option<RawFd> { None }",
            "impl A {\n pub fn a(b: &[RawFd]) {} }",
            "pub trait A {\n fn a(&self) -> RawFd; }",
            "pub trait A {\n const B: RawFd; }",
            "pub struct A {\n pub b: RawFd }",
            "pub struct A(\n pub RawFd);",
            "pub enum A {\n B(RawFd) }",
            "\npub type A = RawFd;",
            "\npub const A: RawFd = 3;",
            "\npub static A: RawFd = 3;",
            "pub use std::os::fd::{\nRawFd};",
            "pub mod a {\n pub fn b(c: RawFd) {} }",
        ] {
            assert_eq!(found(text), [2], "{text}");
        }
    }

    #[test]
    fn what_is_not_public_or_no_signature_is_free() {
        for text in [
            "use std::os::fd::RawFd;",
            "fn a(b: RawFd) {}",
            "pub(crate) fn a(b: RawFd) {}",
            "pub fn a(b: OwnedFd) { let c: RawFd = 3; }",
            "pub struct A { b: RawFd }",
            "pub struct A { pub(crate) b: RawFd }",
            "struct A { pub b: RawFd }",
            "impl A { fn b(c: RawFd) {} }",
            "/// RawFd\npub fn a() -> &'static str { \"RawFd\" }",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
