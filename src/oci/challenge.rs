//! `WWW-Authenticate`: how a registry wants to be asked.
//!
//! RFC 9110, section 11.6.1, and RFC 6750, section 3; which parameters there are is the Docker
//! token authentication specification's.

/// What a `Bearer` challenge says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Where tokens are to be had.
    pub(super) realm: String,
    /// For whom.
    pub(super) service: Option<String>,
    /// For what.
    pub(super) scope: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge with a realm in the values of all headers.
    pub(super) fn find(headers: &[String]) -> Option<Self> {
        headers.iter().find_map(|header| Self::in_header(header))
    }

    /// One header may hold several challenges, with the same commas between them as between the
    /// parameters of one.
    fn in_header(header: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (name, after) = take_token(rest)?;
            let Some(value) = after.trim_start().strip_prefix('=') else {
                // A word without a value is the scheme of the next challenge.
                if found.as_ref().is_some_and(|it| !it.realm.is_empty()) {
                    return found;
                }
                found = name.eq_ignore_ascii_case("bearer").then(Self::default);
                rest = after;
                continue;
            };
            let (value, after) = take_value(value.trim_start())?;
            if let Some(challenge) = &mut found {
                match name.to_ascii_lowercase().as_str() {
                    "realm" => challenge.realm = value,
                    "service" => challenge.service = Some(value),
                    "scope" => challenge.scope = Some(value),
                    _ => {}
                }
            }
            rest = after;
            if rest.trim().is_empty() {
                return found.filter(|it| !it.realm.is_empty());
            }
        }
    }
}

/// Whether a user and a password are taken. A header with this scheme and others in it is said to
/// want it: a quoted `basic` costs nothing but a refusal.
pub(super) fn wants_basic(headers: &[String]) -> bool {
    headers.iter().any(|header| {
        let words = header.split([' ', ',', '\t']);
        words
            .into_iter()
            .any(|word| word.eq_ignore_ascii_case("basic"))
    })
}

fn take_token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token, or a quoted string with its escapes undone.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = take_token(text)?;
        return Some((token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let challenge = |realm: &str, service: &str, scope: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Some(Challenge {
                realm: realm.to_owned(),
                service: some(service),
                scope: some(scope),
            })
        };
        for (header, expect) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#,
                challenge(
                    "https://auth.docker.io/token",
                    "registry.docker.io",
                    "repository:library/alpine:pull",
                ),
            ),
            (r#"bearer realm="r" , service=s"#, challenge("r", "s", "")),
            (
                r#"Basic realm="b", Bearer realm="r",scope="a,b""#,
                challenge("r", "", "a,b"),
            ),
            (
                r#"Bearer realm="r", Basic realm="b""#,
                challenge("r", "", ""),
            ),
            (
                r#"Bearer error="invalid_token", realm="a\"b""#,
                challenge("a\"b", "", ""),
            ),
            (r#"Basic realm="b""#, None),
            ("Bearer", None),
            (r#"Bearer realm="never ends"#, None),
            ("", None),
        ] {
            assert_eq!(Challenge::find(&[header.to_owned()]), expect, "{header}");
        }
    }
}
