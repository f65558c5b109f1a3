//! Compressed clusters.

use zstd::bulk::Decompressor as Zstd;
use zstd::zstd_safe::find_frame_compressed_size;

use super::source::refuse;
use crate::error::{Error, Kind, Result};

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// Deflate without any header (RFC 1951).
    Deflate,
    /// Deflate with a header and a checksum (RFC 1950).
    Zlib,
    /// One Zstandard frame (RFC 8878).
    Zstd,
}

/// Decodes one cluster at a time; one for each thread.
pub(super) enum Decoder {
    Deflate(libdeflater::Decompressor),
    Zlib(libdeflater::Decompressor),
    Zstd(Zstd<'static>),
}

impl Decoder {
    pub(super) fn new(codec: Codec) -> Result<Self> {
        Ok(match codec {
            Codec::Deflate => Self::Deflate(libdeflater::Decompressor::new()),
            Codec::Zlib => Self::Zlib(libdeflater::Decompressor::new()),
            Codec::Zstd => Self::Zstd(Zstd::new().map_err(|error| {
                Error::new(Kind::Local, "cannot start a decoder").with_source(error)
            })?),
        })
    }

    /// Decodes what must be exactly `cluster`, of which the first `used` bytes are on the disk.
    /// What follows it in `input` is padding, or the next one's.
    pub(super) fn decode(&mut self, input: &[u8], cluster: &mut [u8], used: usize) -> Result<()> {
        let wanted = cluster.len();
        let wrong = |what: &str| Err(refuse(format!("a compressed cluster {what}")));
        let is_zlib = matches!(self, Self::Zlib(_));
        let written = match self {
            Self::Deflate(decoder) | Self::Zlib(decoder) => {
                let done = if is_zlib {
                    decoder.zlib_decompress(input, cluster)
                } else {
                    decoder.deflate_decompress(input, cluster)
                };
                match done {
                    Ok(written) => written,
                    // It reads zeros behind the end of its input for a while, and these may be
                    // content.
                    Err(libdeflater::DecompressionError::InsufficientSpace) => {
                        return wrong("is larger than a cluster, or cut off");
                    }
                    Err(_) => return wrong("is damaged or cut off"),
                }
            }
            Self::Zstd(decoder) => {
                let Ok(length) = find_frame_compressed_size(input) else {
                    return wrong("is damaged or cut off");
                };
                match decoder.decompress_to_buffer(&input[..length], cluster) {
                    Ok(written) => written,
                    Err(_) => return wrong("is damaged, or larger than a cluster"),
                }
            }
        };
        // The last grain of a VMDK is written in full by some, and up to the disk's end by others.
        if written == wanted || is_zlib && written == used {
            Ok(())
        } else {
            wrong(&format!("has {written} bytes instead of {wanted}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_a_cluster_or_nothing() {
        let cluster = b"0123456789abcdef".repeat(256);
        let deflate = |data: &[u8]| {
            let mut compressor =
                libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
            let mut out = vec![0; compressor.deflate_compress_bound(data.len())];
            let length = compressor.deflate_compress(data, &mut out).unwrap();
            out.truncate(length);
            out
        };
        let zlib = |data: &[u8]| {
            let mut compressor =
                libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
            let mut out = vec![0; compressor.zlib_compress_bound(data.len())];
            let length = compressor.zlib_compress(data, &mut out).unwrap();
            out.truncate(length);
            out
        };
        let zstd = |data: &[u8]| zstd::bulk::compress(data, 3).unwrap();
        for (codec, pack) in [
            (Codec::Deflate, &deflate as &dyn Fn(&[u8]) -> Vec<u8>),
            (Codec::Zlib, &zlib),
            (Codec::Zstd, &zstd),
        ] {
            let mut decoder = Decoder::new(codec).unwrap();
            let mut check = |input: &[u8], expect: Option<&str>| {
                let mut out = vec![0; cluster.len()];
                match (decoder.decode(input, &mut out, cluster.len()), expect) {
                    (Ok(()), None) => assert_eq!(out, cluster),
                    (Err(error), Some(why)) => {
                        assert!(error.message().contains(why), "{codec:?}: {error}");
                    }
                    (done, _) => panic!("{codec:?}: {done:?}, expected {expect:?}"),
                }
            };
            let good = pack(&cluster);
            check(&good, None);
            check(&[&good[..], &[0x55; 100]].concat(), None);
            // Without its end mark, it may also seem to go on.
            check(&good[..good.len() - 1], Some("a compressed cluster"));
            check(&[], Some("cut off"));
            check(&pack(b"abc"), Some("has 3 bytes instead of 4096"));
            check(&pack(&cluster.repeat(9)), Some("larger than a cluster"));
            check(&[0xff; 64], Some("damaged"));
            // Only the last grain of a VMDK may end where the disk does.
            let mut out = vec![0; cluster.len()];
            let short = decoder.decode(&pack(&cluster[..512]), &mut out, 512);
            assert_eq!(short.is_ok(), codec == Codec::Zlib);
        }
    }
}
