//! What attributes say: that an item is only for tests, and paths in the attributes of derives.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, ImplItem, Item, Meta, TraitItem};

use super::tokens::{self, Found};

/// Keys of serde's attributes whose text is a path.
const PATHS: [&str; 8] =
    ["with", "default", "serialize_with", "deserialize_with", "skip_serializing_if", "from", "into", "try_from"];

/// `#[cfg(test)]`, or `all(…)` with `test` in it.
pub(super) fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| match &attribute.meta {
        Meta::List(list) => demands_test(list.tokens.clone()),
        _ => false,
    })
}

fn demands_test(tokens: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(group)] if word == "all" => {
            let parts: Vec<TokenTree> = group.stream().into_iter().collect();
            parts
                .split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
                .any(|part| demands_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

/// What an attribute names: values of its keys, and texts that serde reads as paths.
pub(super) fn named(attribute: &Attribute) -> Vec<Found> {
    let Meta::List(list) = &attribute.meta else { return Vec::new() };
    let serde = attribute.path().is_ident("serde");
    let tokens: Vec<TokenTree> = list.tokens.clone().into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Punct(punct) = token else { continue };
        if punct.as_char() != '=' {
            continue;
        }
        match (at.checked_sub(1).map(|key| &tokens[key]), tokens.get(at + 1)) {
            (Some(TokenTree::Ident(key)), Some(TokenTree::Literal(text)))
                if serde && PATHS.iter().any(|p| key == p) =>
            {
                let text = text.to_string();
                found.push(Found::Path(text.trim_matches('"').split("::").map(str::to_owned).collect()));
            }
            (_, Some(TokenTree::Ident(_))) => {
                let end = tokens[at + 1..].iter().position(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ','));
                let value = &tokens[at + 1..end.map_or(tokens.len(), |end| at + 1 + end)];
                found.extend(tokens::named(value.iter().cloned().collect()));
            }
            _ => {}
        }
    }
    found
}

/// An item's attributes.
pub(super) fn of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Likewise inside an `impl`.
pub(super) fn of_impl_item(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// Likewise inside a trait.
pub(super) fn of_trait_item(item: &TraitItem) -> &[Attribute] {
    match item {
        TraitItem::Const(item) => &item.attrs,
        TraitItem::Fn(item) => &item.attrs,
        TraitItem::Type(item) => &item.attrs,
        TraitItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}
