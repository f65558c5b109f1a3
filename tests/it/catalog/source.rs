//! Fields of a source that are another one for an architecture.

use distro_fetch::catalog::{Rules, Trust};
use distro_fetch::{Arch, Catalog};

use super::{check, edited};

#[test]
fn a_source_may_differ_by_architecture() {
    let edit = (
        r#""item": "x" }"#,
        r#""item": "x", "item@arm64": "y", "trust": "signature", "trust@arm64": "https" }"#,
    );
    let catalog = Catalog::parse(&edited(&[edit]), Rules::Embedded).unwrap();
    let source = catalog.get("alpine-3.21").unwrap().source.clone().unwrap();
    for (arch, item, trust) in [
        (Arch::Amd64, "x", Trust::Signature),
        (Arch::Arm64, "y", Trust::Https),
    ] {
        assert_eq!(source.field("item", arch), Some(item));
        assert_eq!(source.trust_of(arch), trust);
        assert_eq!(source.origin_of(arch), Some("up"));
    }
    assert!(Catalog::parse(&catalog.to_json(), Rules::Embedded).unwrap() == catalog);
    check(
        Rules::Embedded,
        r#"
        "item": "x" => "item": "x", "item@x86_64": "y" => 15:103: a source has no field "item@x86_64"
        "item": "x" => "item": "x", "items@amd64": "y" => 15:103: a source has no field "items@amd64"
        "item": "x" => "item": "x", "signature": "y" => 15:103: a source has no field "signature"
        "item": "x" => "item": "x", "origin@amd64": "y" => 15:119: there is no origin "y"
        "item": "x" => "item": "x", "trust@amd64": "y" => 15:118: unknown trust "y" (one of: signature, https)
        "#,
    );
}
