//! Judges `catalog.json` and renders it as a static table.
//!
//! A pure function of that one file: same catalog, same table, byte for byte. Whatever a table may
//! not hold becomes a cargo error of one line, `catalog.json:LINE:COLUMN: message`.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // how a build script talks to cargo

// The rooms that the schema stands on are compiled into this script too: the build and the
// runtime judge a catalog with the same code. Not all of it is used on each side.
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "src/base/mod.rs"]
mod base;
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "src/error/mod.rs"]
mod error;
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "src/catalog/schema.rs"]
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use askama::Template;

use schema::{Address, Catalog, Image, Kind, Pin, Retention, Rules, SourceType, Trust};

/// `templates/table.rs.txt` says what the table looks like. Nothing is escaped by askama: text goes
/// in as Rust literals made by `literal`.
#[derive(Template)]
#[template(path = "table.rs.txt", escape = "none")]
struct Table<'a> {
    catalog: &'a Catalog,
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={CATALOG}");
    println!("cargo::rerun-if-changed=templates/table.rs.txt");
    match render() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn render() -> Result<(), String> {
    let text = std::fs::read_to_string(CATALOG).map_err(|e| format!("{CATALOG}: {e}"))?;
    let catalog =
        Catalog::parse(&text, Rules::Embedded).map_err(|fault| format!("{CATALOG}:{fault}"))?;
    let table = Table { catalog: &catalog };
    let table = table.render().map_err(|e| format!("{CATALOG}: {e}"))?;
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let path = PathBuf::from(folder).join("table.rs");
    std::fs::write(&path, table).map_err(|e| format!("{}: {e}", path.display()))
}

/// Any text as a Rust literal: quotes, backslashes and control characters cannot end it early.
fn literal(text: &impl ToString) -> String {
    format!("{:?}", text.to_string())
}

/// A text that may be missing: the table says "", which no text of a catalog is.
fn optional(text: Option<&impl ToString>) -> String {
    text.map_or_else(|| "\"\"".to_owned(), literal)
}

fn retention(it: Retention) -> String {
    format!("Retention::{it:?}")
}

fn kind(it: Kind) -> String {
    format!("Kind::{it:?}")
}

fn format(it: Option<base::DiskFormat>) -> String {
    it.map_or_else(|| "None".to_owned(), |it| format!("Some(F::{it:?})"))
}

fn source_type(it: SourceType) -> String {
    format!("SourceType::{it:?}")
}

fn trust(it: Option<Trust>) -> String {
    it.map_or_else(|| "None".to_owned(), |it| format!("Some(Trust::{it:?})"))
}

fn arches(image: &Image) -> String {
    let names: Vec<_> = image
        .arches
        .iter()
        .map(|arch| format!("A::{}", arch.variant()))
        .collect();
    names.join(", ")
}

/// A file without alternates, as nearly all are: `P` of the template, which wraps its URL itself.
fn is_plain(pin: &Pin) -> bool {
    pin.alternates.is_empty() && matches!(pin.address, Address::Url(_))
}

fn address(pin: &Pin) -> String {
    match &pin.address {
        Address::Url(url) if is_plain(pin) => literal(url),
        Address::Url(url) => format!("Address::Url(U({}))", literal(url)),
        Address::Repository(name) => format!("Address::Repository(C({}))", literal(name)),
    }
}

/// A byte string is one expression; an array of 32 numbers is 33, and that is what rustc's time
/// goes by.
fn hash(pin: &Pin) -> String {
    let mut text = "b\"".to_owned();
    for byte in pin.sha256.as_bytes() {
        text.push_str(&format!("\\x{byte:02x}"));
    }
    text + "\""
}

/// Bytes, or 0 for none.
fn size(pin: &Pin) -> u64 {
    pin.size.unwrap_or(0)
}

/// `YYYYMMDD`, or 0 for none.
fn date(pin: &Pin) -> u32 {
    pin.bumped_at.map_or(0, |date| {
        let (year, month, day) = date.parts();
        u32::from(year) * 10_000 + u32::from(month) * 100 + u32::from(day)
    })
}

const CATALOG: &str = "catalog.json";
