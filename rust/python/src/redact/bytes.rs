//! Classes of bytes in running text, and lengths of runs of them.

/// White space and the signs around a URL in running text.
pub(super) fn ends_url(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'|')
}

/// The bytes of words. Most bytes of a text are looked up here and nowhere else.
const WORD: [bool; 256] = {
    let mut is_word = [false; 256];
    let mut byte = u8::MAX;
    loop {
        is_word[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if byte == 0 {
            break is_word;
        }
        byte -= 1;
    }
};

pub(super) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

pub(super) fn length(text: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !is_part(*byte)).unwrap_or(text.len())
}

pub(super) fn length_to(text: &[u8], most: usize, is_part: impl Fn(u8) -> bool) -> usize {
    length(&text[..text.len().min(most)], is_part)
}

pub(super) fn length_back(text: &[u8], most: usize, is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().rev().take(most).take_while(|byte| is_part(**byte)).count()
}
