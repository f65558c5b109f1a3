//! The whole way to the disk: what is unpacked has the digest of its archive, what is refused leaves
//! nothing, and neither touches what lies beside it.
#![no_main]

use std::fs;

use distro_fetch::archive::{Limits, Reader};
use distro_fetch::event::Silent;
use distro_fetch::tree::{DigestBuilder, Policy, TreeDigest, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = std::env::temp_dir().join(format!("distro-fetch-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("beside"), "untouched").unwrap();
    let target = folder.join("target");
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        ..Limits::default()
    };
    let unpack = || {
        let mut writer = Writer::create(&target, Policy::of_this_user(), limits)?;
        let mut builder = DigestBuilder::new(limits);
        let mut reader = Reader::new(data, limits);
        while let Some(entry) = reader.next_entry()? {
            writer.add(&entry, &mut reader)?;
        }
        reader.finish()?;
        let mut reader = Reader::new(data, limits);
        while let Some(entry) = reader.next_entry()? {
            builder.add(&entry, &mut reader)?;
        }
        Ok::<_, distro_fetch::Error>((writer.commit()?, builder.finish()))
    };
    match unpack() {
        Ok((report, digest)) if report.is_faithful() => {
            let found = TreeDigest::of_directory(&target, std::num::NonZeroUsize::MIN, &Silent);
            assert_eq!(found.ok(), Some(digest));
        }
        Ok(_) => {}
        Err(_) => assert!(!target.exists()),
    }
    assert_eq!(fs::read(folder.join("beside")).unwrap(), b"untouched");
    let _ = fs::remove_dir_all(&folder);
});
