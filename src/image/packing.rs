//! The packing of bytes: as they are, gzip, zstd, bzip2 or xz. Told by the first bytes, never by a
//! name, and unpacked within bounds, so that a few bytes can't become terabytes.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The packing of a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    /// A way that is known by its first bytes and can't be read here.
    Foreign(&'static str),
}

impl Packing {
    /// Tells it by the first bytes (at least six, where there are as many).
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // a frame, or one of the sixteen kinds that a reader skips
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'P', b'K', 3, 4, ..] => Self::Foreign("zip"),
            _ => Self::Plain,
        }
    }

    /// The widest window in anything that is unpacked of this.
    pub(crate) fn within(self) -> Window {
        match self {
            Self::Zstd | Self::Xz => Window::WITHIN,
            Self::Plain | Self::Gzip | Self::Bzip2 | Self::Foreign(_) => Window::WIDEST,
        }
    }
}

/// The bytes up to which anything is unpacked; more only at a ratio that real layers have.
const GENEROUS: u64 = 8 << 30;
/// gzip can't pack better than 1032 to 1, which takes nothing but zeros.
const RATIO: u64 = 500;

/// The most unpacked bytes that may be kept to unpack more: xz calls it a dictionary, zstd a
/// window. A few bytes can ask for gigabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window(u32);

impl Window {
    /// As much as the whole of devnet has room for.
    pub(crate) const WIDEST: Self = Self(32 << 20);
    /// The rest for a packing within one that may take as much itself.
    const WITHIN: Self = Self(8 << 20);
}

/// A window that is too wide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooWide {
    packing: Packing,
    widest: Window,
}

impl TooWide {
    fn error(packing: Packing, widest: Window) -> io::Error {
        io::Error::other(Self { packing, widest })
    }

    /// The window that was too wide, if reading failed for it.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The program that unpacks it.
    pub(crate) fn unpacker(self) -> &'static str {
        match self.packing {
            Packing::Zstd => "zstd --long=31 -dc",
            _ => "xz -dc",
        }
    }
}

impl fmt::Display for TooWide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.packing {
            Packing::Zstd => "zstd window",
            _ => "xz dictionary",
        };
        write!(f, "its {what} is larger than {} MB", self.widest.0 >> 20)
    }
}

impl std::error::Error for TooWide {}

/// Reads the unpacked content of `source`, with a window that is no wider than `widest`.
pub(crate) fn unpack<'r>(
    source: impl BufRead + 'r,
    packing: Packing,
    widest: Window,
) -> Box<dyn Read + 'r> {
    bounded(source, packing, widest, GENEROUS)
}

fn bounded<'r>(
    source: impl BufRead + 'r,
    packing: Packing,
    widest: Window,
    generous: u64,
) -> Box<dyn Read + 'r> {
    let taken = Rc::new(Cell::new(0));
    let counted = Counted {
        source,
        taken: taken.clone(),
    };
    let inner: Box<dyn Read + 'r> = match packing {
        Packing::Plain => return Box::new(counted),
        Packing::Gzip => Box::new(MultiGzDecoder::new(counted)),
        Packing::Zstd => Box::new(Frames::new(counted, widest)),
        Packing::Bzip2 => Box::new(MultiBzDecoder::new(counted)),
        Packing::Xz => Box::new(Xz::new(counted, widest)),
        Packing::Foreign(name) => Box::new(Refused(name)),
    };
    Box::new(Bounded {
        inner,
        given: 0,
        taken,
        generous,
    })
}

struct Counted<R> {
    source: R,
    taken: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken.set(self.taken.get() + count as u64);
        self.source.consume(count);
    }
}

/// Refuses a bomb.
struct Bounded<'r> {
    inner: Box<dyn Read + 'r>,
    given: u64,
    taken: Rc<Cell<u64>>,
    generous: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        if self.given > self.generous && self.given / RATIO > self.taken.get() {
            return Err(io::Error::other(format!(
                "it unpacks to over {RATIO} times its size, {} bytes so far",
                self.given
            )));
        }
        Ok(count)
    }
}

/// An xz reader that tells of a window which is too wide; the crate's own says that memory ran out.
struct Xz<R: Read> {
    reader: XzReader<R>,
    widest: Window,
}

/// The memory that xz takes beside its dictionary, in KiB.
const XZ_BESIDE: u32 = 1 << 10;

impl<R: Read> Xz<R> {
    fn new(source: R, widest: Window) -> Self {
        let room = (widest.0 >> 10) + XZ_BESIDE;
        let reader = XzReader::new_mem_limit(source, true, room);
        Self { reader, widest }
    }
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader
            .read(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::OutOfMemory => TooWide::error(Packing::Xz, self.widest),
                _ => error,
            })
    }
}

struct Refused(&'static str);

impl Read for Refused {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(format!(
            "it is packed with {}; devnet reads gzip, zstd, bzip2 and xz",
            self.0
        )))
    }
}

/// zstd files may be several frames in a row, with some between them that are to be skipped.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    widest: Window,
    begun: bool,
}

impl<R> Frames<R> {
    fn new(source: R, widest: Window) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(widest.0.into());
        Self {
            source,
            decoder,
            widest,
            begun: false,
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.begun {
                if self.source.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                match self.decoder.reset(&mut self.source) {
                    Ok(()) => self.begun = true,
                    Err(FrameDecoderError::ReadFrameHeaderError(
                        ReadFrameHeaderError::SkipFrame { length, .. },
                    )) => {
                        let length = u64::from(length);
                        let skipped =
                            io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                        if skipped < length {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        continue;
                    }
                    Err(FrameDecoderError::WindowSizeTooBig { .. }) => {
                        return Err(TooWide::error(Packing::Zstd, self.widest));
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let said = self.decoder.get_checksum_from_data();
            if said.is_some() && said != self.decoder.get_calculated_checksum() {
                return Err(io::Error::other("a frame's checksum is wrong"));
            }
            self.begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(content).unwrap();
        packed.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    fn bzip2(content: &[u8]) -> Vec<u8> {
        let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packed.write_all(content).unwrap();
        packed.finish().unwrap()
    }

    fn xz(content: &[u8], dictionary: u32) -> Vec<u8> {
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        options.lzma_options.dict_size = dictionary;
        let mut packed = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        packed.write_all(content).unwrap();
        packed.finish().unwrap()
    }

    fn read(packed: &[u8], generous: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        bounded(packed, Packing::of(packed), Window::WIDEST, generous).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn several_members_or_frames_in_a_row_are_one_content() {
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let packed = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&packed, 100).unwrap(), b"one two");
        let packed = [skipped, zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(read(&packed, 100).unwrap(), b"one two");
        let packed = [bzip2(b"one "), bzip2(b"two")].concat();
        assert_eq!(read(&packed, 100).unwrap(), b"one two");
        let packed = [xz(b"one ", 1 << 20), xz(b"two", 1 << 20)].concat();
        assert_eq!(read(&packed, 100).unwrap(), b"one two");
        assert_eq!(read(b"neither", 100).unwrap(), b"neither");
    }

    #[test]
    fn a_bomb_is_refused_and_honest_zeros_are_not() {
        let zeros = vec![0; 4 << 20];
        for packed in [
            gzip(&zeros),
            zstd(&zeros),
            bzip2(&zeros),
            xz(&zeros, 1 << 20),
        ] {
            assert_eq!(read(&packed, 8 << 20).unwrap().len(), zeros.len());
            let error = read(&packed, 1 << 20).unwrap_err().to_string();
            assert!(error.contains("500 times its size"), "{error}");
        }
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for mut packed in [
            gzip(&content),
            zstd(&content),
            bzip2(&content),
            xz(&content, 1 << 20),
        ] {
            packed.truncate(packed.len() - 9);
            assert!(read(&packed, GENEROUS).is_err());
        }
        let error = read(b"PK\x03\x04rest", GENEROUS).unwrap_err().to_string();
        assert!(error.contains("packed with zip"), "{error}");
    }

    /// A frame with nothing in it whose window has so many bits.
    fn frame(bits: u8) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (bits - 10) << 3];
        // the last block: raw, empty
        frame.extend([1, 0, 0]);
        frame
    }

    #[test]
    fn a_few_bytes_can_not_ask_for_gigabytes() {
        assert_eq!(read(&xz(b"text", 32 << 20), GENEROUS).unwrap(), b"text");
        assert_eq!(read(&frame(25), GENEROUS).unwrap(), b"");
        let mut huge = xz(b"text", 64 << 20);
        // the block's header: its dictionary is as large as can be said, and its sum is right
        let said = huge.iter().position(|byte| *byte == 28).unwrap();
        huge[said] = 40;
        let zeros = huge[said + 1..].iter().take_while(|byte| **byte == 0);
        let sum = said + 1 + zeros.count();
        let mut crc = flate2::Crc::new();
        crc.update(&huge[12..sum]);
        huge[sum..sum + 4].copy_from_slice(&crc.sum().to_le_bytes());
        for (packed, what) in [
            (xz(b"text", 48 << 20), "xz dictionary"),
            (xz(b"text", 64 << 20), "xz dictionary"),
            (huge, "xz dictionary"),
            (frame(26), "zstd window"),
            (frame(31), "zstd window"),
            // the first is fine, the second is not
            (
                [xz(b"text", 1 << 20), xz(b"text", 64 << 20)].concat(),
                "xz dictionary",
            ),
            ([frame(20), frame(27)].concat(), "zstd window"),
        ] {
            let error = read(&packed, GENEROUS).unwrap_err();
            let said = format!("its {what} is larger than 32 MB");
            assert_eq!(TooWide::of(&error).unwrap().to_string(), said);
        }
    }

    #[test]
    fn what_stands_in_something_packed_has_less_room() {
        for packed in [xz(b"text", 16 << 20), frame(24)] {
            let packing = Packing::of(&packed);
            let within = bounded(&*packed, packing, packing.within(), GENEROUS);
            let error = io::read_to_string(within).unwrap_err();
            assert!(TooWide::of(&error).is_some(), "{error}");
        }
        assert_eq!(Packing::Gzip.within(), Window::WIDEST);
    }
}
