//! `#[needs(...)]`: see `cofferdam_test_support::needs`, by which tests reach it.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Marks a test as ignored, with the reason, and asks the gate of `cofferdam_test_support` when it runs all the same.
#[proc_macro_attribute]
pub fn needs(what: TokenStream, test: TokenStream) -> TokenStream {
    let ignored = match what.to_string().as_str() {
        "root" => r#"#[ignore = "needs root"]"#,
        "network" => r#"#[ignore = "needs the network"]"#,
        _ => return error("what a test may need is `root` or `network`"),
    };
    let mut tokens: Vec<TokenTree> = test.into_iter().collect();
    // The test attribute looks for `ignore` when it is expanded, which is in the order of the lines.
    if !is_test(&tokens) {
        return error("#[needs(...)] stands above #[test], on a test");
    }
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return error("#[needs(...)] stands on a function");
    };
    let gate = format!("::cofferdam_test_support::gate::{what}();");
    let mut guarded = parsed(&gate);
    guarded.extend(body.stream());
    tokens.push(TokenTree::Group(Group::new(Delimiter::Brace, guarded)));
    let mut result = parsed(ignored);
    result.extend(tokens);
    result
}

/// Whether an attribute such as `#[test]` or `#[tokio::test(...)]` comes first.
fn is_test(tokens: &[TokenTree]) -> bool {
    let attributes = tokens.windows(2).filter_map(|pair| match pair {
        [TokenTree::Punct(sign), TokenTree::Group(group)] if sign.as_char() == '#' => Some(group.stream()),
        _ => None,
    });
    let mut names = attributes.filter_map(|attribute| {
        let path = attribute.into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
        path.last().map(|token| token.to_string())
    });
    names.any(|name| name == "test")
}

fn error(text: &str) -> TokenStream {
    parsed(&format!("compile_error!({text:?});"))
}

fn parsed(source: &str) -> TokenStream {
    source.parse().unwrap_or_default()
}
