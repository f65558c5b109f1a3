//! The canonical writer, and catalogs of many rows.

use std::fmt::Write as _;

use distro_fetch::Catalog;
use distro_fetch::catalog::Rules;

use super::GOOD;

#[test]
fn the_canonical_form_has_one_spelling() {
    let catalog = Catalog::parse(GOOD, Rules::Embedded).unwrap();
    let canonical = catalog.to_json();
    assert_eq!(
        Catalog::parse(&canonical, Rules::Embedded).unwrap(),
        catalog
    );
    assert!(canonical.ends_with("}\n") && !canonical.ends_with("\n\n"));
    assert!(
        canonical.starts_with("{\n  \"images\": {\n    \"alpine-3.21\": {\n      \"arches\": [")
    );

    let value: serde_json::Value = serde_json::from_str(GOOD).unwrap();
    let tabs = GOOD.replace("  ", "\t").replace(": ", " :\r\n");
    for other in [
        reversed(&value),
        value.to_string(),
        tabs,
        GOOD.replace("Alpine", "\\u0041lpine"),
        GOOD.replace("[\"amd64\", \"arm64\"]", "[\"arm64\", \"amd64\"]"),
    ] {
        let parsed = Catalog::parse(&other, Rules::Embedded).unwrap();
        assert_eq!(parsed, catalog);
        assert_eq!(parsed.to_json(), canonical);
    }
}

/// The same document, with the members of every object in falling order.
fn reversed(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| b.0.cmp(a.0));
            let members: Vec<_> = members
                .into_iter()
                .map(|(key, value)| format!("{key:?}:{}", reversed(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

#[test]
fn the_catalog_of_the_project_is_canonical() {
    let text = include_str!("../../../catalog.json");
    let catalog = Catalog::parse(text, Rules::Embedded).unwrap();
    assert!(catalog.to_json() == text, "run `cargo refresh`");
}

#[test]
fn many_rows_are_only_many_rows() {
    let mut images = String::new();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { ",\n" };
        write!(
            images,
            "{comma}\"many-{row}\": {{ \"distro\": \"many\", \"version\": \"{row}\", \
             \"kind\": \"rootfs\", \"arches\": [\"amd64\"], \
             \"source\": {{ \"type\": \"fixed\", \"origin\": \"up\" }}, \
             \"pins\": {{ \"amd64\": {{ \"snapshot\": \"s{row}\", \"size\": 1, \
             \"url\": \"https://up.example/s{row}/x\", \"sha256\": \"{row:064x}\" }} }} }}"
        )
        .unwrap();
    }
    let text = format!(
        "{{ \"schema\": 1, \"origins\": {{ \"up\": {{ \"url\": \"https://up.example/\", \
         \"retention\": \"permanent\" }} }}, \"images\": {{\n{images}\n}} }}"
    );
    let start = std::time::Instant::now();
    let catalog = Catalog::parse(&text, Rules::Embedded).unwrap();
    let took = start.elapsed();
    assert_eq!(catalog.images.len(), ROWS);
    assert!(catalog.get("many-7777").is_some());
    // Far above what it takes, far below what a quadratic reader would take.
    assert!(took.as_secs() < 60, "{took:?}");
    // The last row is judged as the first one is, and its line is counted.
    let text = text.replace(
        &format!("\"version\": \"{}\"", ROWS - 1),
        "\"version\": \"\"",
    );
    let fault = Catalog::parse(&text, Rules::Embedded).unwrap_err();
    assert_eq!(fault.line, ROWS + 1);
}

const ROWS: usize = 100_000;
