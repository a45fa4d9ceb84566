//! Writes JSON strings and numbers.

use std::collections::TryReserveError;
use std::fmt::Debug;
use std::io::Write;

/// Appends a JSON string.
pub(crate) fn write(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 3);
    out.push(b'"');
    while let Some(at) = first_special(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Texts above this many bytes get their memory by [`try_reserve`].
pub(super) const LARGE: usize = 1 << 20;

/// Makes room for a large text. Without it, a failed allocation ends the process.
pub(crate) fn try_reserve(out: &mut Vec<u8>, len: usize) -> Result<(), TryReserveError> {
    // A vector doubles its memory, which may be too much.
    out.try_reserve(len).or_else(|_| out.try_reserve_exact(len))
}

/// The bytes that the escapes of a text add to its JSON, or more.
pub(super) fn escaped(text: &str) -> usize {
    let specials = text.bytes().filter(|byte| is_special(*byte) != 0).count();
    specials * (r"\u0000".len() - 1)
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite float. Its debug form is JSON, and the shortest text that reads back as the same number.
pub(super) fn write_debug(out: &mut Vec<u8>, number: impl Debug) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{number:?}");
}

/// The index of the first byte that needs an escape.
///
/// Most strings have a few bytes, and most bytes are in long strings. So a long string is searched in large steps, and a short one
/// without a loop.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut at = clean_steps::<64>(bytes);
    at += clean_steps::<16>(&bytes[at..]);
    for word in bytes[at..].as_chunks::<8>().0 {
        if let Some(found) = first_special_in(*word) {
            return Some(at + found);
        }
        at += 8;
    }
    // The last bytes are read together with clean bytes before them.
    if let Some(last) = bytes.last_chunk::<8>() {
        return first_special_in(*last).map(|found| bytes.len() + found - 8);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let mut word = [0; 8];
        word[..4].copy_from_slice(first);
        word[4..].copy_from_slice(last);
        return first_special_in(word).map(|found| if found < 4 { found } else { bytes.len() + found - 8 });
    }
    bytes.iter().position(|byte| is_special(*byte) != 0)
}

/// The number of clean bytes, in whole steps. The compiler turns a step into a few vector instructions.
fn clean_steps<const STEP: usize>(bytes: &[u8]) -> usize {
    let steps = bytes.as_chunks::<STEP>().0.iter();
    steps.take_while(|step| step.iter().fold(0, |any, byte| any | is_special(*byte)) == 0).count() * STEP
}

/// Has no branch, because a branch would prevent vector instructions.
fn is_special(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
}

/// Tests eight bytes at once, after "Determine if a word has a byte less than n" in Anderson's "Bit Twiddling Hacks". The lowest
/// marked byte is the first special byte; higher marks may be wrong.
fn first_special_in(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const CONTROLS: u64 = ONES * 0x20;
    const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
    let word = u64::from_le_bytes(word);
    let below = |limit: u64, word: u64| word.wrapping_sub(limit) & !word;
    let marked = (below(CONTROLS, word) | below(ONES, word ^ QUOTES) | below(ONES, word ^ BACKSLASHES)) & HIGH;
    (marked != 0).then(|| (marked.trailing_zeros() / 8) as usize)
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn special_bytes_are_escaped_at_every_position() {
        assert_eq!(written("a\"b\\c\n\t\u{1}é"), r#""a\"b\\c\n\t\u0001é""#);
        for (before, after) in (0..200).flat_map(|before| [0, 1, 3, 5, 90].map(|after| (before, after))) {
            let (before, after) = ("x".repeat(before), "x".repeat(after));
            assert_eq!(written(&format!("{before}\n{after}\"")), format!("\"{before}\\n{after}\\\"\""));
        }
    }
}
