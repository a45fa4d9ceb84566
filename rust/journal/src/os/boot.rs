//! Which boot of the machine this is.

use crate::RecordId;

/// The id of this boot; zeros on systems without one.
pub(crate) fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| RecordId::from_hex(&text.trim().replace('-', "")))
        .map_or([0; 16], |id| id.0)
}
