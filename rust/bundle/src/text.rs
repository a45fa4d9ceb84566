//! The text of keys, signatures and cards: short lines, and base64 in its one form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text of some bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Exactly `N` bytes from base64 with padding, without unused bits.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Of this length alone, so a long text takes no memory.
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The lines of a text. Some programs end lines with CR LF.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect()
}

/// Whether a name is 1 to 32 lowercase letters, digits and hyphens, and begins with a letter or a digit.
pub fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-')
}
