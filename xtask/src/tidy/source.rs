//! One Rust source, as text, as lexemes and as syntax.

use std::ops::{Range, RangeInclusive};

use proc_macro2::{Span, TokenStream, TokenTree};

use super::tree::Violation;

/// A Rust source that parses.
pub(crate) struct Source {
    /// Where it is, relative to the root, with `/` between the parts.
    pub(crate) path: String,
    /// What syn makes of it.
    pub(crate) syntax: syn::File,
    text: String,
    lexemes: Vec<Lexeme>,
    /// For each line whether code stands on it.
    code: Vec<bool>,
}

/// A token, delimiters included, comments and their documenting kind excluded. Unlike syn's
/// tree, the sequence of them also shows what stands inside macros.
struct Lexeme {
    bytes: Range<usize>,
    lines: RangeInclusive<usize>,
}

impl Source {
    /// Parses `text`, the content of `path`.
    pub(crate) fn parse(path: &str, text: String) -> Result<Self, Violation> {
        let broken = |span: Span, error: String| {
            let what = format!("does not parse: {error}");
            Violation { path: path.to_owned(), line: span.start().line, what }
        };
        let tokens: TokenStream =
            text.parse().map_err(|e: proc_macro2::LexError| broken(e.span(), e.to_string()))?;
        let mut lexemes = Vec::new();
        flatten(&text, tokens.clone(), &mut lexemes);
        let syntax = syn::parse2(tokens).map_err(|e| broken(e.span(), e.to_string()))?;
        let code = code_lines(&text, &lexemes);
        Ok(Self { path: path.to_owned(), syntax, text, lexemes, code })
    }

    /// A violation on `line` of this source.
    pub(crate) fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// How many of `lines` (counted from 1) hold code: neither blank nor only comment.
    pub(crate) fn code_lines(&self, lines: RangeInclusive<usize>) -> usize {
        let first = lines.start().saturating_sub(1);
        let last = (*lines.end()).min(self.code.len());
        self.code.get(first..last).unwrap_or_default().iter().filter(|code| **code).count()
    }

    /// How many lines of code this source has.
    pub(crate) fn length(&self) -> usize {
        self.code_lines(1..=self.code.len())
    }

    /// Every lexeme: its line and its text. `::` is one.
    pub(crate) fn lexemes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lexemes.iter().map(|lexeme| (*lexeme.lines.start(), &self.text[lexeme.bytes.clone()]))
    }

    /// The lines on which the lexemes `pattern` stand in a row.
    pub(crate) fn occurrences(&self, pattern: &[&str]) -> Vec<usize> {
        let starts_here = |window: &[Lexeme]| {
            window.iter().zip(pattern).all(|(lexeme, part)| self.is(lexeme, part))
        };
        let windows = self.lexemes.windows(pattern.len());
        windows.filter(|w| starts_here(w)).map(|w| *w[0].lines.start()).collect()
    }

    /// Every attribute, those inside macros included: its line and the lexemes between its
    /// brackets.
    pub(crate) fn attributes(&self) -> Vec<(usize, Vec<&str>)> {
        let (lines, texts): (Vec<usize>, Vec<&str>) = self.lexemes().unzip();
        let mut found = Vec::new();
        for at in (0..texts.len()).filter(|at| texts[*at] == "#") {
            let inner = texts.get(at + 1) == Some(&"!");
            let open = at + 1 + usize::from(inner);
            if texts.get(open) == Some(&"[") {
                found.push((lines[at], enclosed(&texts[open..]).to_vec()));
            }
        }
        found
    }

    /// The text of every comment, line by line, the documenting ones included.
    pub(crate) fn comments(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        let (mut byte, mut line) = (0, 1);
        let end = Lexeme { bytes: self.text.len()..self.text.len(), lines: 0..=0 };
        for lexeme in self.lexemes.iter().chain([&end]) {
            let gap = self.text[byte..lexeme.bytes.start].split('\n').enumerate();
            found.extend(gap.map(|(below, text)| (line + below, text)));
            (byte, line) = (lexeme.bytes.end, *lexeme.lines.end());
        }
        found.retain(|(_, text)| !text.trim().is_empty());
        found
    }

    fn is(&self, lexeme: &Lexeme, text: &str) -> bool {
        self.text[lexeme.bytes.clone()] == *text
    }
}

/// What stands between the delimiter that `lexemes` begins with and its counterpart.
pub(crate) fn enclosed<'a, 'b>(lexemes: &'a [&'b str]) -> &'a [&'b str] {
    let mut depth = 0_usize;
    for (at, lexeme) in lexemes.iter().enumerate() {
        match *lexeme {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return lexemes.get(1..at).unwrap_or_default();
        }
    }
    &[]
}

fn flatten(text: &str, tokens: TokenStream, lexemes: &mut Vec<Lexeme>) {
    for tree in tokens {
        // A documenting comment comes as the attribute it stands for, with the comment's span.
        let start = tree.span().byte_range().start;
        if text[start..].starts_with("//") || text[start..].starts_with("/*") {
            continue;
        }
        match tree {
            TokenTree::Group(group) => {
                push(text, group.span_open(), lexemes);
                flatten(text, group.stream(), lexemes);
                push(text, group.span_close(), lexemes);
            }
            leaf => push(text, leaf.span(), lexemes),
        }
    }
}

fn push(text: &str, span: Span, lexemes: &mut Vec<Lexeme>) {
    let bytes = span.byte_range();
    if let Some(last) = lexemes.last_mut()
        && last.bytes.end == bytes.start
        && &text[last.bytes.start..bytes.end] == "::"
    {
        last.bytes.end = bytes.end;
        return;
    }
    lexemes.push(Lexeme { bytes, lines: span.start().line..=span.end().line });
}

fn code_lines(text: &str, lexemes: &[Lexeme]) -> Vec<bool> {
    let blank: Vec<bool> = text.lines().map(|line| line.trim().is_empty()).collect();
    let mut code = vec![false; blank.len()];
    for line in lexemes.iter().flat_map(|lexeme| lexeme.lines.clone()) {
        if let Some(code) = code.get_mut(line - 1) {
            *code = !blank[line - 1];
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        match Source::parse("a.rs", text.to_owned()) {
            Ok(source) => source,
            Err(violation) => panic!("{violation:?}"),
        }
    }

    #[test]
    fn neither_blank_lines_nor_comments_are_code() {
        let source = source(
            "//! About é.\n\n/// Doc.\nfn a() {\n    // why\n    b(\"x\n\n  // y\");\n    /* no\n */\n}\n",
        );
        assert_eq!(source.length(), 4, "fn, b(, // y in the string, brace");
        assert_eq!(source.code_lines(4..=5), 1);
    }

    #[test]
    fn occurrences_are_found_in_macros_and_not_in_strings_or_comments() {
        let source = source("fn a() {\n m!(std::io);\n // std::io\n \"std::io\";\n}\n");
        assert_eq!(source.occurrences(&["std", "::", "io"]), [2]);
    }

    #[test]
    fn comments_of_every_kind_are_found() {
        let source =
            source("//! é one\nfn a() {} // two\n/* three\nfour */\n/// five\nfn b() {}\n");
        let expected = [(1, "//! é one"), (2, " // two"), (3, "/* three"), (4, "four */")];
        assert_eq!(source.comments()[..4], expected);
        assert_eq!(source.comments()[4..], [(5, "/// five")]);
    }

    #[test]
    fn attributes_are_found_in_macros_too() {
        let source = source("#![a(b[c])]\nm! {\n #[d] fn e() {} }\n/// not this\nfn f() {}\n");
        let expected = [(1, vec!["a", "(", "b", "[", "c", "]", ")"]), (3, vec!["d"])];
        assert_eq!(source.attributes(), expected);
    }

    #[test]
    fn what_does_not_parse_says_where() {
        for text in ["fn a() {}\nfn {}\n", "fn a() {}\nfn b( {}\n"] {
            let violation = Source::parse("a.rs", text.to_owned()).err();
            assert_eq!(violation.map(|v| v.line), Some(2), "{text}");
        }
    }
}
