//! The map: from addresses of the disk to places in the file.

use std::collections::VecDeque;

use super::super::decode::Codec;
use super::super::extent::{Extent, Place};
use super::super::source::{Source, be64, refuse};
use super::entry;
use super::header::Header;
use crate::error::Result;

/// The header and the first table of an image, both judged.
#[derive(Debug)]
pub(in super::super) struct Map {
    header: Header,
    /// The second tables that there are: which one of the first table's entries, and its offset.
    tables: Vec<(u64, u64)>,
    /// Their offsets, sorted: no data may be there.
    taken: Vec<u64>,
}

impl Map {
    pub(in super::super) fn open(source: &Source) -> Result<Self> {
        let header = Header::read(source)?;
        let mut tables = Vec::new();
        let mut buffer = vec![0; CHUNK];
        let mut index = 0;
        while index < header.l1_size {
            let entries = (header.l1_size - index).min(CHUNK as u64 / 8);
            // At most CHUNK, so it fits.
            let bytes = &mut buffer[..usize::try_from(entries * 8).unwrap_or(CHUNK)];
            source.read(header.l1_offset + index * 8, bytes)?;
            for at in (0..bytes.len()).step_by(8) {
                if let Some(offset) = entry::table(be64(bytes, at), &header, source)? {
                    tables.push((index, offset));
                }
                index += 1;
            }
        }
        let mut taken: Vec<u64> = tables.iter().map(|(_, offset)| *offset).collect();
        taken.sort_unstable();
        if taken.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse("two entries of the first table share a second one"));
        }
        let map = Self {
            header,
            tables,
            taken,
        };
        for (_, offset) in &map.tables {
            map.check_clear(*offset, map.header.cluster(), "a second table")?;
        }
        Ok(map)
    }

    pub(in super::super) fn size(&self) -> u64 {
        self.header.size
    }

    pub(in super::super) fn cluster(&self) -> usize {
        1 << self.header.cluster_bits
    }

    pub(in super::super) fn codec(&self) -> Codec {
        self.header.codec
    }

    /// Every piece of the disk, in order.
    pub(in super::super) fn extents<'a>(&'a self, source: &'a Source) -> Extents<'a> {
        Extents {
            map: self,
            source,
            buffer: Vec::new(),
            next: 0,
            entry: 0,
            at: 0,
            ready: VecDeque::new(),
            failed: false,
        }
    }

    /// Header, first table and reference counts: nothing else may be there.
    fn check_clear(&self, offset: u64, length: u64, what: &str) -> Result<()> {
        let header = &self.header;
        let (counts, clusters) = header.refcounts;
        let counted = clusters.saturating_mul(header.cluster());
        let taken = [
            (0, header.cluster(), "the header"),
            (header.l1_offset, header.l1_size * 8, "the first table"),
            (counts, counted, "the reference counts"),
        ];
        for (start, size, whose) in taken {
            if offset < start.saturating_add(size) && start < offset + length {
                return Err(refuse(format!("{what} overlaps {whose}: at {offset}")));
            }
        }
        Ok(())
    }

    /// Whether a piece is where content can be.
    fn check(&self, extent: &mut Extent, source: &Source) -> Result<()> {
        match &mut extent.place {
            Place::Zero => Ok(()),
            Place::Data { offset, .. } => {
                if !source.holds(*offset, extent.length) {
                    return Err(refuse(format!(
                        "a cluster is outside of the file: at {offset}"
                    )));
                }
                self.check_clear(*offset, extent.length, "a cluster")?;
                let start = *offset - *offset % self.header.cluster();
                if self.taken.binary_search(&start).is_ok() {
                    return Err(refuse(format!(
                        "a cluster overlaps a second table: at {offset}"
                    )));
                }
                Ok(())
            }
            Place::Compressed { offset, length } => {
                if *offset >= source.length() {
                    return Err(refuse(format!(
                        "a compressed cluster is outside of the file: at {offset}"
                    )));
                }
                // Sectors are counted, and the last one need not be there in full.
                *length = (*length).min(source.length() - *offset);
                self.check_clear(*offset, 1, "a compressed cluster")
            }
        }
    }
}

/// An iterator over the pieces of a disk; it holds one second table.
pub(in super::super) struct Extents<'a> {
    map: &'a Map,
    source: &'a Source,
    buffer: Vec<u8>,
    /// Which of the second tables is next, and how far it was read.
    next: usize,
    entry: usize,
    /// How much of the disk was given.
    at: u64,
    ready: VecDeque<Extent>,
    failed: bool,
}

impl Extents<'_> {
    /// Makes the next pieces ready: the gap before the next table, or what some of its entries say.
    fn advance(&mut self) -> Result<()> {
        let header = &self.map.header;
        let table = self.map.tables.get(self.next);
        let start = table.map_or(header.size, |(index, _)| index * header.reach());
        if self.entry == 0 && self.at < start {
            self.ready.push_back(Extent {
                start: self.at,
                length: start - self.at,
                place: Place::Zero,
            });
            self.at = start;
            return Ok(());
        }
        let Some((_, offset)) = table else {
            return Ok(());
        };
        if self.entry == 0 {
            self.buffer.resize(self.map.cluster(), 0);
            self.source.read(*offset, &mut self.buffer)?;
        }
        let end = header.size.min(start.saturating_add(header.reach()));
        let width = if header.extended { 16 } else { 8 };
        let entries = self.buffer.chunks_exact(width);
        for bytes in entries.skip(self.entry).take(ENTRIES) {
            if self.at >= end {
                // What is beyond the disk is nobody's.
                break;
            }
            let parts = if header.extended { be64(bytes, 8) } else { 0 };
            let length = header.cluster().min(end - self.at);
            let (map, source, ready) = (self.map, self.source, &mut self.ready);
            entry::pieces((be64(bytes, 0), parts), header, self.at, length, |piece| {
                let mut piece = piece;
                map.check(&mut piece, source)?;
                if !ready.back_mut().is_some_and(|last| last.join(&piece)) {
                    ready.push_back(piece);
                }
                Ok(())
            })?;
            self.at += length;
        }
        self.entry += ENTRIES;
        if self.at >= end || self.entry * width >= self.buffer.len() {
            self.entry = 0;
            self.next += 1;
        }
        Ok(())
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            if self.failed || self.at >= self.map.header.size {
                return None;
            }
            if let Err(error) = self.advance() {
                self.failed = true;
                self.ready.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Entries of a second table that are taken apart at once: up to 32 pieces each.
const ENTRIES: usize = 1024;

/// Bytes of the first table that are read at once.
const CHUNK: usize = 64 << 10;
