//! The page for people.

use askama::Template;

use super::ledger::Row;
use super::place::{PAGE, Place};
use super::stock::Stock;
use super::version::word;
use crate::base::{HumanBytes, Url, encode_path, natural_order};
use crate::catalog::Kind as Content;
use crate::error::{Error, Kind, Result};

/// `templates/mirror.html` says what it looks like: no script, nothing from elsewhere, every text
/// escaped.
#[derive(Template)]
#[template(path = "mirror.html")]
struct Page<'a> {
    url: String,
    pins: Vec<Line<'a>>,
}

/// One pin.
struct Line<'a> {
    image: &'a str,
    arch: &'a str,
    snapshot: &'a str,
    kind: &'a str,
    size: String,
    sha256: String,
    href: String,
    file: &'a str,
    /// What to type.
    commands: Vec<String>,
}

/// Writes `index.html`, a function of the ledger and the address.
pub(super) fn write(stock: &Stock<'_>, url: Option<&Url>) -> Result<()> {
    let url = url.map_or_else(|| "https://MIRROR/".to_owned(), ToString::to_string);
    let url = if url.ends_with('/') {
        url
    } else {
        format!("{url}/")
    };
    let mut rows: Vec<&Row> = stock.ledger.rows.values().collect();
    rows.sort_by(|a, b| {
        natural_order(&a.image, &b.image)
            .then_with(|| a.arch.as_str().cmp(b.arch.as_str()))
            .then_with(|| natural_order(&b.snapshot, &a.snapshot))
    });
    let pins = rows.into_iter().map(|row| line(row, &url)).collect();
    let page = Page { url, pins };
    let text = page
        .render()
        .map_err(|error| Error::new(Kind::Other, "cannot write the page").with_source(error))?;
    stock.shelf.write(&Place::parse(PAGE)?, text.as_bytes())?;
    Ok(())
}

fn line<'a>(row: &'a Row, url: &str) -> Line<'a> {
    let href = encode_path(&row.place);
    let (folder, file) = row.place.rsplit_once('/').unwrap_or(("", &row.place));
    let (image, arch) = (&row.image, row.arch);
    let mut commands = Vec::new();
    if row.kind == Content::Oci {
        commands.push(format!("skopeo inspect oci:oci:{image}"));
    } else {
        commands.push(format!(
            "distro-fetch ensure {image}@{} --arch {arch} --mirror {url}",
            row.snapshot
        ));
        commands.push(format!("curl -fO {url}{href}"));
    }
    if let Ok(indexed) = &row.indexed {
        let vm = if row.kind == Content::Disk {
            " --vm"
        } else {
            ""
        };
        let (alias, arch) = (&indexed.alias, word(arch));
        commands.push(format!("incus launch mirror:{alias}/{arch}{vm}"));
    }
    Line {
        image,
        arch: arch.as_str(),
        snapshot: &row.snapshot,
        kind: row.kind.as_str(),
        size: HumanBytes(row.size).to_string(),
        sha256: row.sha256.to_string(),
        href: if row.kind == Content::Oci {
            format!("{folder}{file}/index.json")
        } else {
            href
        },
        file,
        commands,
    }
}
