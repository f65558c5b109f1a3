//! Which proxy, if any, an address is reached through.
//!
//! The rules are curl's, as far as they are common to everyone: one proxy per scheme, one for all,
//! and a list of exceptions.

use std::net::IpAddr;

use crate::base::{Scheme, Url};

/// Proxies by scheme of the *target*.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://` targets.
    pub http: Option<String>,
    /// For `https://` targets.
    pub https: Option<String>,
    /// Who is reached directly.
    pub except: NoProxy,
}

impl Proxies {
    /// What the usual variables say: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in
    /// lower case or else in upper case. `variable` looks one up.
    pub fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            variable(name)
                .or_else(|| variable(&name.to_ascii_uppercase()))
                .filter(|value| !value.is_empty())
        };
        let all = either("all_proxy");
        Self {
            http: either("http_proxy").or(all.clone()),
            https: either("https_proxy").or(all),
            except: NoProxy::parse(&either("no_proxy").unwrap_or_default()),
        }
    }

    /// The proxy for an address.
    pub fn of(&self, url: &Url) -> Option<&str> {
        let proxy = match url.scheme() {
            Scheme::Https => self.https.as_deref(),
            Scheme::Http => self.http.as_deref(),
            Scheme::File => None,
        };
        proxy.filter(|proxy| !proxy.is_empty() && !self.except.matches(url.host()))
    }
}

/// Hosts that are reached directly: a comma-separated list of `host`, `.suffix`, address, network
/// (`10.0.0.0/8`), or `*`. A host also stands for everything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<String>);

impl NoProxy {
    /// Reads the list.
    pub fn parse(list: &str) -> Self {
        let words = list
            .split([',', ' '])
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Self(words.map(str::to_ascii_lowercase).collect())
    }

    /// Whether a host is on the list.
    pub fn matches(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = bare.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|word| {
            if word == "*" {
                return true;
            }
            if let Some(address) = address {
                return match word.split_once('/') {
                    Some((network, bits)) => in_network(address, network, bits),
                    None => word.trim_matches(['[', ']']).parse() == Ok(address),
                };
            }
            let word = word.trim_start_matches('*').trim_matches('.');
            host == word
                || host
                    .strip_suffix(word)
                    .is_some_and(|rest| !word.is_empty() && rest.ends_with('.'))
        })
    }
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let (a, b, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let list = NoProxy::parse("localhost, .corp.example,exact.org,10.0.0.0/8,::1,192.0.2.7");
        for (host, expect) in [
            ("localhost", true),
            ("a.corp.example", true),
            ("corp.example", true),
            ("notcorp.example", false),
            ("exact.org", true),
            ("sub.exact.org", true),
            ("inexact.org", false),
            ("10.200.3.4", true),
            ("11.0.0.1", false),
            ("[::1]", true),
            ("192.0.2.7", true),
            ("192.0.2.70", false),
            ("EXACT.org.", true),
        ] {
            assert_eq!(list.matches(host), expect, "{host}");
        }
        assert!(NoProxy::parse("*").matches("anything"));
        assert!(!NoProxy::parse("").matches("anything"));
    }

    #[test]
    fn the_scheme_of_the_target_decides() {
        let proxies = Proxies {
            http: Some("http://plain:1".into()),
            https: Some("http://tls:2".into()),
            except: NoProxy::parse("direct.example"),
        };
        for (url, expect) in [
            ("http://h/", Some("http://plain:1")),
            ("https://h/", Some("http://tls:2")),
            ("https://direct.example/", None),
            ("file:///x", None),
        ] {
            assert_eq!(proxies.of(&url.parse().unwrap()), expect);
        }
    }
}
