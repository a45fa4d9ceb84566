//! ustar archives of regular files, in one form each: a header has exactly one permitted form for a name and a size.
//!
//! A reader that accepts variants of a header can see other files than the next reader. So the reader makes the header anew from the name
//! and the size that it read, and compares all 512 bytes. Extension headers, links, directories and sparse files do not pass.

use std::io::{self, Read, Write};

use crate::error::{Result, malformed};

/// Bytes of a header, and the unit of the archive.
pub const BLOCK: usize = 512;
/// The longest name.
pub const MAX_NAME: usize = 100;
/// The largest size that a header holds.
const MAX_SIZE: u64 = 0o77_777_777_777;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The header of a file.
///
/// # Errors
/// When the name is empty, too long or not ASCII, or the size is too large.
pub fn header(name: &str, size: u64) -> Result<[u8; BLOCK]> {
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return malformed("a name in the archive is not 1 to 100 printable characters");
    }
    if size > MAX_SIZE {
        return malformed("a size in the archive is too large");
    }
    let mut block = ZEROS;
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// The name and the size of a header; `None` for a block of zeros, which ends the archive.
///
/// # Errors
/// When the header has a form that [`header`] does not make.
pub fn parse(block: &[u8; BLOCK]) -> Result<Option<(&str, u64)>> {
    if *block == ZEROS {
        return Ok(None);
    }
    let length = block[..MAX_NAME].iter().position(|byte| *byte == 0).unwrap_or(MAX_NAME);
    let name = str::from_utf8(&block[..length]).ok();
    let size = str::from_utf8(&block[124..135]).ok().and_then(|digits| u64::from_str_radix(digits, 8).ok());
    match (name, size) {
        (Some(name), Some(size)) if header(name, size)? == *block => Ok(Some((name, size))),
        _ => malformed("a header of the archive does not describe a plain file in the ustar format"),
    }
}

/// Writes a file of an archive.
pub(crate) fn append(output: &mut impl Write, name: &str, size: u64, content: &mut impl Read) -> Result<()> {
    output.write_all(&header(name, size)?)?;
    if io::copy(&mut content.take(size), output)? != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    output.write_all(&ZEROS[..padding(size)])?;
    Ok(())
}

/// Ends an archive.
pub(crate) fn finish(output: &mut impl Write) -> Result<()> {
    output.write_all(&[0; 2 * BLOCK])?;
    Ok(())
}

fn padding(size: u64) -> usize {
    // The remainder is below 512.
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    (BLOCK - over) % BLOCK
}

/// The files of an archive, in order.
pub struct Archive<R> {
    input: R,
    /// Bytes of the present file that were not read.
    left: u64,
    padding: usize,
    ended: bool,
}

impl<R: Read> Archive<R> {
    /// Reads an archive from its first byte.
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, ended: false }
    }

    /// The name and the size of the next file, whose content [`Read`] returns afterwards. `None` after the last, which two blocks of
    /// zeros and the end of the input must follow.
    ///
    /// # Errors
    /// When the archive breaks the format, or its input cannot be read.
    pub fn next_file(&mut self) -> Result<Option<(String, u64)>> {
        if self.ended {
            return Ok(None);
        }
        io::copy(&mut self.by_ref(), &mut io::sink())?;
        if self.left != 0 {
            return malformed("the archive is cut short");
        }
        let mut block = [0; BLOCK];
        self.fill(self.padding, &mut block)?;
        if block != ZEROS {
            return malformed("the padding of a file in the archive is not zero");
        }
        self.fill(BLOCK, &mut block)?;
        if let Some((name, size)) = parse(&block)? {
            (self.left, self.padding) = (size, padding(size));
            return Ok(Some((name.to_owned(), size)));
        }
        self.fill(BLOCK, &mut block)?;
        if block != ZEROS || self.input.read(&mut block)? != 0 {
            return malformed("something follows the end of the archive");
        }
        self.ended = true;
        Ok(None)
    }

    fn fill(&mut self, length: usize, block: &mut [u8; BLOCK]) -> Result<()> {
        match self.input.read_exact(&mut block[..length]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => malformed("the archive is cut short"),
            done => Ok(done?),
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.input.read(&mut buffer[..wanted])?;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files {
            append(&mut bytes, name, content.len() as u64, &mut &content[..]).unwrap();
        }
        finish(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let (mut archive, mut files) = (Archive::new(bytes), Vec::new());
        while let Some((name, _)) = archive.next_file()? {
            let mut content = Vec::new();
            archive.read_to_end(&mut content)?;
            files.push((name, content));
        }
        Ok(files)
    }

    #[test]
    fn files_read_back() {
        let files: [(&str, &[u8]); 3] = [("a.json", b""), ("records/b", &[7; 512]), (&"x".repeat(100), &[9; 700])];
        let found = read(&archive(&files)).unwrap();
        assert_eq!(found.len(), 3);
        for ((name, content), (expected, bytes)) in found.iter().zip(files) {
            assert_eq!((name.as_str(), &content[..]), (expected, bytes));
        }
    }

    #[test]
    fn files_that_are_skipped_do_not_matter() {
        let bytes = archive(&[("a", &[1; 5000]), ("b", b"2")]);
        let mut archive = Archive::new(&bytes[..]);
        let names: Vec<_> = std::iter::from_fn(|| archive.next_file().unwrap()).map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn every_flipped_bit_of_a_header_and_of_padding_is_refused() {
        let bytes = archive(&[("a.json", b"xyz")]);
        let whole = read(&bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let in_content = (BLOCK..BLOCK + 3).contains(&(bit / 8));
            match read(&flipped) {
                Ok(found) => assert!(in_content && found != whole, "bit {bit}"),
                Err(_) => assert!(!in_content, "bit {bit}"),
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = archive(&[("a.json", b"xyz"), ("b", &[1; 600])]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "cut to {length}");
        }
        for more in [1, BLOCK, 2 * BLOCK] {
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + more, 0);
            assert!(read(&longer).is_err());
        }
    }
}
