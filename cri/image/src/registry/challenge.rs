//! What a `WWW-Authenticate` header asks for (RFC 9110 section 11, and Docker's token protocol).

/// One of the ways to log in that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scopes: Vec<String> },
}

/// The best way that the headers offer: a token before a password. Schemes that are not known are passed over.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(challenges).collect();
    let token = all.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
    token.or(all.first()).cloned()
}

/// All challenges of one header; it may hold several.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (name, after) = token(rest);
        if name.is_empty() {
            break;
        }
        let value = after.trim_start();
        rest = match (value.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = value_of(value.trim_start());
                parameters.push((name.to_ascii_lowercase(), value));
                after
            }
            (Some(_), None) => break,
            // A name without a value begins the next challenge.
            (None, _) => {
                found.push((name.to_ascii_lowercase(), Vec::new()));
                after
            }
        };
    }
    found.into_iter().filter_map(|(scheme, parameters)| known(&scheme, parameters)).collect()
}

fn known(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    let get = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let scopes = get("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
            Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scopes })
        }
        _ => None,
    }
}

fn token(text: &str) -> (&str, &str) {
    let separator = |c: char| !c.is_ascii_graphic() || "\"(),/:;<=>?@[]\\{}".contains(c);
    text.split_at(text.find(separator).unwrap_or(text.len()))
}

/// A quoted text, in which `\` stands before what it would not be otherwise, or everything up to a comma.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                value.push(c);
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(header: &str) -> Option<Challenge> {
        choose([header].into_iter())
    }

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Option<Challenge> {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned), scopes })
    }

    #[test]
    fn a_bearer_challenge_keeps_commas_in_its_scope() {
        let text = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#;
        assert_eq!(one(text), bearer("https://auth.example/token", Some("r"), &["repository:a/b:pull,push"]));
        assert_eq!(one("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(one("basic"), Some(Challenge::Basic));
        assert_eq!(one("Negotiate"), None);
        assert_eq!(one("Bearer service=x"), None);
        assert_eq!(one("=, ,\"\"=x"), None);
    }

    #[test]
    fn odd_spellings_are_read() {
        assert_eq!(
            one(r#"BEARER Realm = "r" , SERVICE=s , scope="a:b:pull c:d:pull" "#),
            bearer("r", Some("s"), &["a:b:pull", "c:d:pull"])
        );
        assert_eq!(one(r#"Bearer realm="a\"b\\c""#), bearer(r#"a"b\c"#, None, &[]));
        assert_eq!(one(r#"Bearer realm="open"#), bearer("open", None, &[]));
        assert_eq!(one("Bearer realm=https://x/t?a=b,service=s"), bearer("https://x/t?a=b", Some("s"), &[]));
    }

    #[test]
    fn a_token_is_taken_before_a_password_in_whatever_order_they_stand() {
        let token = bearer("r", None, &[]);
        assert_eq!(choose(["Basic realm=x", "Bearer realm=r"].into_iter()), token);
        assert_eq!(one("Negotiate, Basic realm=\"x\", Bearer realm=\"r\""), token);
        assert_eq!(one("Digest realm=\"x\", nonce=\"y\", Basic realm=\"z\""), Some(Challenge::Basic));
    }
}
