//! Layers by anybody: what they make is a tree, in order, and the same by way of a tar.
#![no_main]

use std::num::NonZeroUsize;

use distro_fetch::Result;
use distro_fetch::archive::{Empty, End, Limits, Reader};
use distro_fetch::tree::{Dialect, DigestBuilder, Keep, Layer, Spool};
use libfuzzer_sys::fuzz_target;

fn layer(tar: &[u8], limits: Limits) -> Result<Layer> {
    let reader = Reader::new(tar, limits)
        .with_empty(Empty::Allow)
        .with_end(End::Anywhere);
    let keep = Keep::Spool(Spool::create(&std::env::temp_dir())?);
    Ok(Layer::read(reader, Dialect::Layer, keep, limits, || Ok(()))?.0)
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        ..Limits::default()
    };
    // The first byte says in which block the second layer begins.
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let cut = (usize::from(*cut) * 512).min(data.len());
    let (lower, upper) = data.split_at(cut);
    let (Ok(lower), Ok(upper)) = (layer(lower, limits), layer(upper, limits)) else {
        return;
    };
    let Ok(merged) = Layer::merge(&[lower, upper]) else {
        return;
    };
    let tree = merged.tree;
    assert_eq!(merged.origins.len(), tree.len());
    assert!(tree.walk().map(|it| it.path).is_sorted());
    let digest = tree.digest(NonZeroUsize::MIN, |_, _| Ok(())).unwrap();
    let (tar, _) = tree.pack(Vec::new(), || Ok(())).unwrap();
    let mut builder = DigestBuilder::new(Limits::default());
    let mut reader = Reader::new(&tar[..], Limits::default());
    while let Some(entry) = reader.next_entry().unwrap() {
        builder.add(&entry, &mut reader).unwrap();
    }
    assert_eq!(builder.finish(), digest);
});
