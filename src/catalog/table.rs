//! The static table, as `build.rs` renders it from `catalog.json`.

#![allow(unused_imports, clippy::wildcard_imports)]
#![allow(non_snake_case, clippy::pedantic, clippy::too_many_arguments)] // generated: short names

use std::borrow::Cow;

use super::schema::*;
use crate::base::{Arch, Date, Digest, DiskFormat, ImageName, Snapshot, Url};

include!(concat!(env!("OUT_DIR"), "/table.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(IMAGES.is_sorted_by(|a, b| a.name < b.name));
        assert!(ORIGINS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn the_table_says_what_the_file_says() {
        let text = include_str!("../../catalog.json");
        let parsed = Catalog::parse(text, Rules::Embedded).unwrap();
        let mut images = parsed.images.to_vec();
        for image in &mut images {
            if let Some(source) = &mut image.source {
                source.fields = Cow::Borrowed(&[]);
            }
        }
        assert_eq!(images, IMAGES);
        assert_eq!(*parsed.origins, *ORIGINS);
        assert_eq!(parsed.to_json(), text, "catalog.json is in canonical form");
    }
}
