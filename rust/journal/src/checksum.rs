//! CRC-32C, the checksum of everything the journal holds (Castagnoli's polynomial; catalogues also list it as CRC-32/ISCSI).

use crc_fast::{CrcAlgorithm, Digest};

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of the parts, one after the other.
pub(crate) fn crc32c_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    parts.into_iter().for_each(|part| digest.update(part));
    // The library returns 64 bits, of which a CRC of 32 bits fills the lower half.
    u32::try_from(digest.finalize()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_polynomial_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        /// Against the definition, bit by bit: the library computes it differently for each processor and length.
        #[test]
        fn every_length_and_cut_agrees_with_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..3000), cut: prop::sample::Index) {
            let mut expected = u32::MAX;
            for byte in &bytes {
                expected ^= u32::from(*byte);
                for _ in 0..8 {
                    expected = if expected & 1 == 1 { expected >> 1 ^ 0x82f6_3b78 } else { expected >> 1 };
                }
            }
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c(&bytes), !expected);
            prop_assert_eq!(crc32c_of([first, second]), !expected);
        }
    }
}
