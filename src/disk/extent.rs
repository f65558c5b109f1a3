//! Pieces of a disk.

/// A piece of a disk, and where its content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// How many bytes of the disk it is; never 0.
    pub length: u64,
    /// Where its content is.
    pub place: Place,
}

/// Where the content of an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: zeros.
    Zero,
    /// In a file, as it is.
    Data {
        /// Which of the image's files: 0, but for images in several.
        file: usize,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// In the image, compressed; decoded it is one cluster, of which the extent is the beginning.
    Compressed {
        /// Where in the file, in bytes.
        offset: u64,
        /// At most so many bytes of it.
        length: u64,
    },
}

impl Extent {
    /// Where it ends on the disk.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Takes in the extent that follows, if both are one.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        let joins = self.end() == next.start
            && match (self.place, next.place) {
                (Place::Zero, Place::Zero) => true,
                (
                    Place::Data { file, offset },
                    Place::Data {
                        file: other,
                        offset: next,
                    },
                ) => file == other && offset + self.length == next,
                _ => false,
            };
        if joins {
            self.length += next.length;
        }
        joins
    }
}

/// How much of a disk is what, in bytes of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The size of the disk.
    pub size: u64,
    /// What stands in the file as it is.
    pub data: u64,
    /// What is compressed.
    pub compressed: u64,
}

impl Survey {
    /// What has content: at most so much space is needed to write it out.
    pub fn allocated(&self) -> u64 {
        self.data + self.compressed
    }
}
