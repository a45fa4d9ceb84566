//! A text in which credentials are replaced.

/// Replaces a credential.
pub(crate) const REDACTED: &str = "[redacted]";

/// The longest text that is searched, in bytes. A longer one is replaced whole: the search holds the interpreter's lock.
pub(crate) const MAX_TEXT: usize = 8 << 20;

/// A text in which parts are replaced, from the left to the right.
pub(super) struct Output<'a> {
    text: &'a str,
    written: String,
    copied: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, written: String::new(), copied: 0 }
    }

    /// Replaces a part. Both indices are at characters, and the part begins behind all earlier ones.
    pub(super) fn replace(&mut self, start: usize, end: usize) {
        self.written.push_str(&self.text[self.copied..start]);
        self.written.push_str(REDACTED);
        self.copied = end;
    }

    /// The text with its parts replaced; None when no part was.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.written.push_str(&self.text[self.copied..]);
        Some(self.written)
    }
}
