//! Network file systems, which are refused: a journal cannot keep its promises there. Locks may not reach other machines, and a memory
//! map may miss writes.

use std::path::Path;

use crate::{Error, Result};

/// The environment variable that allows a journal on a network file system, when it is 1.
pub const ALLOW_VARIABLE: &str = "PLSYNC_ALLOW_NETWORK_FS";

/// The numbers by which statfs(2) of Linux names network file systems.
#[cfg(any(target_os = "linux", test))]
const KINDS: [(u64, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x7375_7245, "Coda"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x564c, "NCP"),
];
#[cfg(any(target_os = "linux", test))]
const FUSE: u64 = 0x6573_5546;
/// The names of FUSE mounts that use a network. Other FUSE mounts are local.
#[cfg(any(target_os = "linux", test))]
const FUSE_KINDS: [&str; 14] = [
    "sshfs",
    "s3fs",
    "rclone",
    "glusterfs",
    "ceph-fuse",
    "gcsfuse",
    "davfs",
    "smbnetfs",
    "curlftpfs",
    "juicefs",
    "goofys",
    "blobfuse",
    "mount-s3",
    "nfs",
];

/// Refuses a path on a network file system, unless the environment allows it.
pub(crate) fn refuse(path: &Path) -> Result<()> {
    if std::env::var_os(ALLOW_VARIABLE).is_some_and(|value| value == "1") {
        return Ok(());
    }
    // A new journal will be in the first of its parents that exists.
    let Some(existing) = path.ancestors().find(|ancestor| ancestor.try_exists().unwrap_or(true)) else { return Ok(()) };
    kind_at(existing).map_or(Ok(()), |kind| Err(Error::Network { path: path.to_path_buf(), kind }))
}

/// The network file system with this number of statfs(2); `mount` is the mount's type in mountinfo, such as `fuse.sshfs`.
#[cfg(any(target_os = "linux", test))]
fn network_kind(magic: u64, mount: Option<&str>) -> Option<String> {
    if magic == FUSE {
        let name = mount.and_then(|mount| mount.strip_prefix("fuse.")).unwrap_or_default();
        return FUSE_KINDS.iter().find(|kind| name.starts_with(**kind)).map(|_| name.to_owned());
    }
    KINDS.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned())
}

#[cfg(target_os = "linux")]
fn kind_at(path: &Path) -> Option<String> {
    // The type's width and sign differ between platforms; the numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let magic = u64::from(statfs(path)?.f_type as u32);
    network_kind(magic, mount_type(path).as_deref())
}

#[cfg(target_os = "macos")]
fn kind_at(path: &Path) -> Option<String> {
    let is_local = statfs(path)?.f_flags & libc::MNT_LOCAL as u32 != 0;
    (!is_local).then(|| "remote".to_owned())
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn statfs(path: &Path) -> Option<libc::statfs> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `name` ends with a zero and `found` has room for the structure that statfs writes.
    if unsafe { libc::statfs(name.as_ptr(), found.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: statfs returned 0, so it has filled the structure.
    Some(unsafe { found.assume_init() })
}

/// The type of the mount that a path is on.
#[cfg(target_os = "linux")]
fn mount_type(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let device = path.metadata().ok()?.dev();
    let wanted = format!("{}:{}", libc::major(device), libc::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&wanted))?;
    mount.split(" - ").nth(1)?.split(' ').next().map(str::to_owned)
}

#[cfg(windows)]
fn kind_at(path: &Path) -> Option<String> {
    use std::path::{Component, Prefix};
    // canonicalize replaces the drive letter of a share by the share.
    match path.canonicalize().ok()?.components().next()? {
        Component::Prefix(prefix) if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) => {
            Some("remote".to_owned())
        }
        _ => None,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn kind_at(_path: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x0102_1997, "9p")] {
            assert_eq!(network_kind(magic, None).as_deref(), Some(name));
        }
    }

    #[test]
    fn local_file_systems_are_not_refused() {
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs.
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(network_kind(magic, Some("ext4")), None);
        }
    }

    #[test]
    fn fuse_mounts_are_refused_by_their_name() {
        assert_eq!(network_kind(FUSE, Some("fuse.sshfs")).as_deref(), Some("sshfs"));
        assert_eq!(network_kind(FUSE, Some("fuse.gocryptfs")), None);
        assert_eq!(network_kind(FUSE, None), None);
    }

    #[test]
    fn a_temporary_directory_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        refuse(&dir.path().join("not/made/yet")).unwrap();
    }
}
