//! `$(NAME)` in commands, arguments and variables, as Kubernetes has it: `$$` is a dollar, an unknown name stays.

use std::collections::BTreeMap;

/// Replaces what is known.
pub(super) fn expand(text: &str, known: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (replaced, length) = reference(rest, known);
        out.push_str(&replaced);
        rest = &rest[length..];
    }
    out + rest
}

/// What stands for the text at a dollar, and how much of it that is.
fn reference(text: &str, known: &BTreeMap<&str, String>) -> (String, usize) {
    if text.starts_with("$$") {
        return ("$".into(), 2);
    }
    match text.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
        Some((name, _)) => {
            let whole = &text[..name.len() + 3];
            (known.get(name).cloned().unwrap_or_else(|| whole.to_owned()), whole.len())
        }
        None => ("$".into(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_everything_else_stays() {
        let known = BTreeMap::from([("A", "1".to_owned())]);
        for (text, want) in [
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$(B) $A ${A} $(A", "$(B) $A ${A} $(A"),
            ("$", "$"),
            ("ä$(A)ö", "ä1ö"),
        ] {
            assert_eq!(expand(text, &known), want);
        }
    }
}
