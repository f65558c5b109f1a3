//! The canonical writer.

use serde_json::{Map, Value};

use super::{Catalog, Image, Mirror, Origin, Pin, Retention, SCHEMA, Source};

/// A catalog as canonical JSON text.
pub(super) fn catalog(catalog: &Catalog) -> String {
    let images = catalog
        .images
        .iter()
        .map(|it| (it.name.to_string(), image(it)));
    let origins = catalog
        .origins
        .iter()
        .map(|it| (it.name.to_string(), origin(it)));
    let document = object(vec![
        ("images", Some(sorted(images.collect()))),
        ("origins", Some(sorted(origins.collect()))),
        ("schema", Some(SCHEMA.into())),
    ]);
    // `{:#}` is serde_json's pretty form: two spaces. A `Value` cannot fail to print.
    format!("{document:#}\n")
}

fn origin(it: &Origin) -> Value {
    let mirrors = it
        .mirrors
        .iter()
        .map(|Mirror { name, url }| (name.to_string(), text(url)));
    object(vec![
        (
            "mirrors",
            (!it.mirrors.is_empty()).then(|| sorted(mirrors.collect())),
        ),
        (
            "retention",
            Some(match it.retention {
                Retention::Permanent => "permanent".into(),
                Retention::Builds(n) => object(vec![("builds", Some(n.into()))]),
                Retention::Days(n) => object(vec![("days", Some(n.into()))]),
            }),
        ),
        ("title", it.title.as_ref().map(text)),
        ("url", Some(text(&it.url))),
    ])
}

fn image(it: &Image) -> Value {
    let pins = it
        .pins
        .iter()
        .map(|pin| (pin.arch.to_string(), self::pin(pin)));
    object(vec![
        ("arches", Some(it.arches.iter().map(text).collect())),
        ("codename", it.codename.as_ref().map(text)),
        ("default", it.default.then_some(true.into())),
        ("distro", Some(text(&it.distro))),
        ("ephemeral", it.ephemeral.then_some(true.into())),
        ("format", it.format.as_ref().map(text)),
        ("kind", Some(text(&it.kind))),
        ("pins", Some(sorted(pins.collect()))),
        ("source", it.source.as_ref().map(source)),
        ("title", it.title.as_ref().map(text)),
        ("variant", it.variant.as_ref().map(text)),
        ("version", Some(text(&it.version))),
    ])
}

fn source(it: &Source) -> Value {
    let mut members: Vec<(String, Value)> = it
        .fields
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    members.push(("type".into(), it.kind.as_str().into()));
    members.extend(it.origin.as_ref().map(|it| ("origin".into(), text(it))));
    members.extend(it.trust.map(|it| ("trust".into(), it.as_str().into())));
    sorted(members)
}

fn pin(it: &Pin) -> Value {
    object(vec![
        (
            "alternates",
            (!it.alternates.is_empty()).then(|| it.alternates.iter().map(text).collect()),
        ),
        ("bumped_at", it.bumped_at.as_ref().map(text)),
        ("sha256", Some(text(&it.sha256))),
        ("size", it.size.map(Into::into)),
        ("snapshot", Some(text(&it.snapshot))),
        ("url", Some(text(&it.address))),
    ])
}

fn text(it: &impl ToString) -> Value {
    Value::String(it.to_string())
}

/// Members are listed in the order of their names: sorted also where some other crate of the
/// build has made `serde_json::Map` keep insertion order.
fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    debug_assert!(members.is_sorted_by_key(|(name, _)| *name));
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect())
}

fn sorted(mut members: Vec<(String, Value)>) -> Value {
    members.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}
