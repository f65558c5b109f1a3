//! Archives made to measure, and what the reader says of them.

use std::io::{Read, Write};

use distro_fetch::archive::{Checks, Decoder, Empty, Entry, Format, Limits, Reader};
use distro_fetch::{Error, Kind};
use sha2::{Digest, Sha256};

/// A tar under construction.
#[derive(Clone, Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

/// A header with sensible fields, to be bent.
#[derive(Clone)]
pub(super) struct Header(pub(super) [u8; 512]);

impl Header {
    /// A POSIX header.
    pub(super) fn new(flag: u8, name: &[u8], size: usize) -> Self {
        let mut header = Self([0; 512]);
        header
            .put(0, name)
            .put(100, b"0000644\0")
            .put(108, b"0001750\0")
            .put(116, b"0001751\0")
            .put(124, format!("{size:011o}\0").as_bytes())
            .put(136, b"14000000000\0")
            .put(257, b"ustar\x0000")
            .put(329, b"0000000\0")
            .put(337, b"0000000\0");
        header.0[156] = flag;
        header
    }

    /// The same with GNU's magic.
    pub(super) fn gnu(flag: u8, name: &[u8], size: usize) -> Self {
        let mut header = Self::new(flag, name, size);
        header.put(257, b"ustar  \0").put(329, &[0; 16]);
        header
    }

    /// The same without a magic.
    pub(super) fn v7(flag: u8, name: &[u8], size: usize) -> Self {
        let mut header = Self::new(flag, name, size);
        header.put(257, &[0; 255]);
        header
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The header with its checksum.
    pub(super) fn sealed(&self) -> [u8; 512] {
        let mut header = self.clone();
        header.put(148, b"        ");
        let sum: u32 = header.0.iter().map(|byte| u32::from(*byte)).sum();
        header.put(148, format!("{sum:06o}\0 ").as_bytes());
        header.0
    }
}

impl Tar {
    /// A header and the data behind it.
    pub(super) fn add(mut self, header: &Header, data: &[u8]) -> Self {
        self.0.extend_from_slice(&header.sealed());
        self.data(data)
    }

    /// Data alone, padded.
    pub(super) fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, data: &[u8]) -> Self {
        self.add(&Header::new(b'0', name.as_bytes(), data.len()), data)
    }

    /// An extended header for the next entry with these records.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.raw_pax(b'x', &records_of(records))
    }

    /// An extended header with this data.
    pub(super) fn raw_pax(self, flag: u8, data: &[u8]) -> Self {
        self.add(&Header::new(flag, b"PaxHeaders/x", data.len()), data)
    }

    /// A GNU long name (`L`) or link text (`K`).
    pub(super) fn long(self, flag: u8, data: &[u8]) -> Self {
        self.add(&Header::gnu(flag, b"././@LongLink", data.len()), data)
    }

    /// The end marker.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// Records with their lengths.
pub(super) fn records_of(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (keyword, value) in records {
        let rest = keyword.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        out.extend_from_slice(format!("{length} {keyword}=").as_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

/// An entry with the data that the archive has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) entry: Entry,
    pub(super) data: Vec<u8>,
}

impl Listed {
    pub(super) fn path(&self) -> String {
        self.entry.path.escape_ascii().to_string()
    }

    /// The file as it is on disk.
    pub(super) fn content(&self) -> Vec<u8> {
        let Some(extents) = &self.entry.extents else {
            return self.data.clone();
        };
        let mut content = vec![0; usize::try_from(self.entry.size).unwrap()];
        let mut data = &self.data[..];
        for extent in extents {
            let (at, length) = (
                usize::try_from(extent.offset).unwrap(),
                usize::try_from(extent.length).unwrap(),
            );
            content[at..at + length].copy_from_slice(&data[..length]);
            data = &data[length..];
        }
        assert!(data.is_empty());
        content
    }
}

/// Reads a whole tar: every entry with its data, then the end.
pub(super) fn read<R: Read>(mut reader: Reader<R>) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        loop {
            let block = reader.next_block()?;
            if block.is_empty() {
                break;
            }
            data.extend_from_slice(block);
        }
        listed.push(Listed { entry, data });
    }
    reader.finish()?;
    Ok(listed)
}

/// The entries of a plain tar.
pub(super) fn list(tar: &[u8]) -> Result<Vec<Listed>, Error> {
    read(Reader::new(tar, Limits::default()))
}

/// The one entry of a plain tar.
pub(super) fn one(tar: &[u8]) -> Listed {
    let mut listed = list(tar).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

/// Why a plain tar is refused.
pub(super) fn refusal(tar: &[u8]) -> String {
    match list(tar) {
        Ok(listed) => {
            let names: Vec<_> = listed.iter().map(Listed::path).collect();
            format!("listed {}", names.join(" "))
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Format, "{error}");
            error.message().to_owned()
        }
    }
}

/// Decodes a stream to its end.
pub(super) fn decode(bytes: &[u8], format: Format, limits: &Limits) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut decoder = Decoder::new(bytes, format, limits, Checks::Verify)?;
    match decoder.read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(error) => Err(distro_fetch::archive::error_of(error)),
    }
}

/// A compressed tar, by threads, as the program reads it.
pub(super) fn open(bytes: Vec<u8>, format: Format, limits: Limits) -> Result<Vec<Listed>, Error> {
    let source = std::io::Cursor::new(bytes);
    let reader = Reader::open(source, format, limits, Checks::Verify)?;
    read(reader.with_empty(Empty::Refuse))
}

pub(super) fn compressed(bytes: &[u8], format: Format) -> Vec<u8> {
    match format {
        Format::Plain => bytes.to_vec(),
        Format::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Format::Xz => xz2::encode_all(bytes, 1).unwrap(),
        Format::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Format::Bzip2 => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
