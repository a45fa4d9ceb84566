//! Frames that are being written, each in one piece of memory from its header to its end.

use super::{HEADER, MAGIC, VERSION, frame_len};
use crate::checksum::crc32c;
use crate::state::{CallEnd, FrameKind, Lane};
use crate::{RecordId, labels};

/// The header fields of a frame that do not depend on its labels and body.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The kind of the frame.
    pub kind: FrameKind,
    /// How the call ended; [`CallEnd::No`] unless `kind` is [`FrameKind::End`].
    pub ended: CallEnd,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// The lane of the record.
    pub lane: Lane,
    /// The record.
    pub id: RecordId,
}

impl Head {
    /// The head of a frame without end, flags or lane.
    pub fn new(kind: FrameKind, id: RecordId) -> Self {
        Self { kind, ended: CallEnd::No, flags: 0, lane: Lane::UNORDERED, id }
    }
}

/// An event to append.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its kind, end, flags, lane and record.
    pub head: Head,
    /// See [`crate::labels`].
    pub labels: &'a [u8],
    /// The bytes to store.
    pub body: &'a [u8],
}

impl Event<'_> {
    /// Writes the event into a draft, complete except for its number.
    pub(crate) fn draft(&self, draft: &mut Draft) {
        draft.fill(self);
        draft.finish(&self.head);
    }
}

/// The bytes of a frame, for fuzzing.
#[cfg(fuzzing)]
#[must_use]
pub fn frame_bytes(event: &Event<'_>, number: u64) -> Vec<u8> {
    let mut draft = Draft::new();
    event.draft(&mut draft);
    draft.with_number(number).to_vec()
}

/// An event on its way to a segment: room for the header, then labels, then the body, in the memory that is written out.
pub struct Draft {
    bytes: Vec<u8>,
    labels_len: usize,
    payload_len: usize,
}

impl Default for Draft {
    fn default() -> Self {
        Self::new()
    }
}

impl Draft {
    /// An empty draft, which holds no memory yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), labels_len: 0, payload_len: 0 }
    }

    /// Starts an event.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.labels_len = 0;
    }

    /// Adds a label, before the body begins. A value that is too long is cut; a label that does not fit any more is left out.
    pub fn label(&mut self, kind: u8, value: &[u8]) {
        debug_assert_eq!(self.bytes.len(), HEADER + self.labels_len);
        labels::push_after(&mut self.bytes, HEADER, kind, value);
        self.labels_len = self.bytes.len() - HEADER;
    }

    /// Like [`Self::label`], for a value of several parts. A value that is too long is left out.
    pub fn label_of_parts(&mut self, kind: u8, parts: [&[u8]; 3]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if let Ok(length) = u8::try_from(length)
            && self.labels_len + 2 + usize::from(length) <= labels::MAX_SECTION
        {
            self.bytes.extend_from_slice(&[kind, length]);
            for part in parts {
                self.bytes.extend_from_slice(part);
            }
            self.labels_len = self.bytes.len() - HEADER;
        }
    }

    /// The memory to append the body to. The caller must keep the bytes that are in it already.
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Drops the body and keeps the labels.
    pub fn clear_body(&mut self) {
        self.bytes.truncate(HEADER + self.labels_len);
    }

    /// Bytes of memory that the draft holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes of labels and body.
    pub(crate) fn payload_len(&self) -> usize {
        self.payload_len
    }

    fn fill(&mut self, event: &Event<'_>) {
        self.clear();
        self.bytes.extend_from_slice(event.labels);
        self.labels_len = event.labels.len();
        self.bytes.extend_from_slice(event.body);
    }

    /// Completes the frame except for its number.
    pub(crate) fn finish(&mut self, head: &Head) {
        self.payload_len = self.bytes.len() - HEADER;
        debug_assert!(self.labels_len <= labels::MAX_SECTION);
        let crc = crc32c(&self.bytes[HEADER..]);
        self.bytes.resize(frame_len(self.payload_len), 0);
        let header = &mut self.bytes[..HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&[VERSION, head.kind as u8, head.flags, head.ended as u8]);
        header[8..12].copy_from_slice(&u32::try_from(self.payload_len).unwrap_or(u32::MAX).to_le_bytes());
        header[12..14].copy_from_slice(&u16::try_from(self.labels_len).unwrap_or(u16::MAX).to_le_bytes());
        header[14..16].copy_from_slice(&[head.lane.0, 0]);
        header[24..40].copy_from_slice(&head.id.0);
        header[40..44].copy_from_slice(&crc.to_le_bytes());
    }

    /// The bytes of the frame, with its number in its segment.
    pub(crate) fn with_number(&mut self, number: u64) -> &[u8] {
        self.bytes[16..24].copy_from_slice(&number.to_le_bytes());
        let header_crc = crc32c(&self.bytes[..44]);
        self.bytes[44..HEADER].copy_from_slice(&header_crc.to_le_bytes());
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Defect, Header};
    use crate::state::FLAG_CACHED;
    use proptest::prelude::*;

    fn frame_bytes(labels: &[u8], body: &[u8], number: u64) -> Vec<u8> {
        let id = RecordId::new();
        let head = Head { ended: CallEnd::Ok, flags: FLAG_CACHED, lane: Lane(9), ..Head::new(FrameKind::End, id) };
        let event = Event { head, labels, body };
        let mut draft = Draft::new();
        event.draft(&mut draft);
        draft.with_number(number).to_vec()
    }

    #[test]
    fn zeros_are_a_clean_end() {
        assert_eq!(Header::read(&[0; HEADER]), Err(Defect::Blank));
        assert_eq!(Header::read(&[]), Err(Defect::Blank));
    }

    proptest! {
        #[test]
        fn a_frame_reads_back(labels in prop::collection::vec(any::<u8>(), 0..300),
                              body in prop::collection::vec(any::<u8>(), 0..5000), number: u64) {
            let bytes = frame_bytes(&labels, &body, number);
            let header = Header::read(&bytes).unwrap();
            let payload = &bytes[HEADER..HEADER + header.payload_len];
            prop_assert_eq!(header.verify(payload), Ok(()));
            prop_assert_eq!(&payload[..header.labels_len], &labels[..]);
            prop_assert_eq!(&payload[header.labels_len..], &body[..]);
            prop_assert_eq!((header.number, header.lane, header.frame_len()), (number, Lane(9), bytes.len()));
        }

        #[test]
        fn any_flipped_bit_is_noticed(body in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8u8) {
            let mut bytes = frame_bytes(b"", &body, 3);
            let at = at.index(HEADER + body.len());
            bytes[at] ^= 1 << bit;
            let intact = Header::read(&bytes)
                .and_then(|header| header.verify(&bytes[HEADER..HEADER + body.len()]));
            prop_assert!(intact.is_err());
        }

        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::read(&bytes);
        }
    }
}
