//! Names that a volume, a file manager or a container platform puts into a directory that no program has used.

/// Names without a leading dot. `mkfs` makes the first; the rest are of Windows, macOS, and disk quotas.
const NAMES: [&str; 9] = [
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    "RECYCLER",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",
    "aquota.user",
    "aquota.group",
];

/// Whether a file of this name may be in a directory that no program has used. A hidden file may: `.snapshot`, `.zfs`, `.Trash-1000`,
/// `.nfs0001`, `.DS_Store`, `..data`.
pub(crate) fn is_system_name(name: &str) -> bool {
    name.starts_with('.') || NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
