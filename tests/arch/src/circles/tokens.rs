//! Paths in the tokens of a macro call, which have no grammar of their own.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Something that tokens name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A path. A local variable looks like a path of one name, so it counts as the item of that name if there is one.
    Path(Vec<String>),
    /// A method that is called on `self`.
    Method(String),
    /// A macro that is called.
    Macro(String),
}

/// All that the tokens name.
pub(super) fn named(tokens: TokenStream) -> Vec<Found> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => found.extend(named(group.stream())),
            TokenTree::Ident(_) => {
                let (path, next) = path_at(&tokens, at);
                found.extend(word(&tokens, at, next, path));
                at = next;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// What a path between `at` and `next` names there.
fn word(tokens: &[TokenTree], at: usize, next: usize, path: Vec<String>) -> Option<Found> {
    match path.as_slice() {
        [own] if own == "self" => method(tokens, next).map(Found::Method),
        [name] if is(tokens, next, '!') && matches!(tokens.get(next + 1), Some(TokenTree::Group(_))) => {
            Some(Found::Macro(name.clone()))
        }
        [_] if is_key(tokens, next) => None,
        _ => (!follows(tokens, at)).then_some(Found::Path(path)),
    }
}

/// The path that begins here, and where it ends.
fn path_at(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        path.push(word.to_string());
        at += 1;
        if !(is(tokens, at, ':') && is(tokens, at + 1, ':') && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))))
        {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// Behind `.`, a field or method; behind `::`, something of a type that is not a path or of another crate.
fn follows(tokens: &[TokenTree], at: usize) -> bool {
    let field = at > 0 && is(tokens, at - 1, '.') && !(at > 1 && is(tokens, at - 2, '.'));
    field || (at > 1 && is(tokens, at - 1, ':') && is(tokens, at - 2, ':'))
}

/// Before `:` or `=` stands the name of a field or an argument.
fn is_key(tokens: &[TokenTree], next: usize) -> bool {
    let colon = is(tokens, next, ':') && !is(tokens, next + 1, ':');
    colon || (is(tokens, next, '=') && !is(tokens, next + 1, '=') && !is(tokens, next + 1, '>'))
}

/// `.name(` behind `self`.
fn method(tokens: &[TokenTree], at: usize) -> Option<String> {
    match (is(tokens, at, '.'), tokens.get(at + 1), tokens.get(at + 2)) {
        (true, Some(TokenTree::Ident(name)), Some(TokenTree::Group(group)))
            if group.delimiter() == Delimiter::Parenthesis =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn is(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
