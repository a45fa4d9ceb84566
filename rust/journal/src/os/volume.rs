//! Names that a volume, a file manager or a container platform puts into a directory that no program has used.

/// Names without a mark. `mkfs` makes the first; the rest are of Windows, macOS, disk quotas and filers.
const NAMES: [&str; 15] = [
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    "RECYCLER",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",
    "Network Trash Folder",
    "Temporary Items",
    "TheVolumeSettingsFolder",
    "aquota.user",
    "aquota.group",
    "quota.user",
    "quota.group",
    "~snapshot",
];

/// Whether a file of this name may be in a directory that no program has used. A hidden file may: `.snapshot`, `.zfs`, `.Trash-1000`,
/// `.nfs0001`, `.DS_Store`, `..data`. So may the directories of network storage: `@eaDir`, `@Recycle`, `#recycle`, `#snapshot`.
pub(crate) fn is_system_name(name: &str) -> bool {
    name.starts_with(['.', '@', '#']) || NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
