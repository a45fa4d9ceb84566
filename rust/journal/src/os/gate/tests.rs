//! Each kind of file at the gate. The tests of other users run in `tests/journal/test_gate.py`, which can change its user.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    (dir, path)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn reason(result: Result<impl Sized>) -> String {
    match result.err() {
        Some(Error::Refused { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn neither_links_nor_fifos_nor_devices_nor_directories_are_opened() {
    let (_dir, path) = directory();
    std::fs::write(path.join("file"), "kept").unwrap();
    symlink(path.join("file"), path.join("link")).unwrap();
    symlink(path.join("missing"), path.join("dangling")).unwrap();
    symlink("/dev/zero", path.join("zeros")).unwrap();
    std::fs::create_dir(path.join("directory")).unwrap();
    let fifo = std::ffi::CString::new(path.join("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for access in [Access::ReadAny, Access::Read, Access::Write, Access::Create] {
        for link in ["link", "dangling", "zeros"] {
            assert_eq!(reason(open(&path.join(link), access)), "is a symbolic link, not a regular file");
        }
        assert_eq!(reason(open(&path.join("directory"), access)), "is a directory, not a regular file");
        assert!(reason(open(&path.join("fifo"), access)).starts_with("is a FIFO"));
        assert!(open(&path.join("file"), access).is_ok());
    }
    assert!(!path.join("missing").exists());
    assert_eq!(reason(check_directory(&path.join("fifo"))), "is a FIFO, a socket or a device, not a directory");
}

#[test]
fn a_file_with_two_names_is_read_and_not_written() {
    let (_dir, path) = directory();
    std::fs::write(path.join("one"), "kept").unwrap();
    std::fs::hard_link(path.join("one"), path.join("two")).unwrap();
    assert!(open(&path.join("two"), Access::Read).is_ok());
    assert!(reason(open(&path.join("two"), Access::Write)).contains("hard link"));
    assert!(reason(open(&path.join("two"), Access::Create)).contains("hard link"));
}

#[test]
fn a_file_or_directory_that_others_can_write_to_is_refused() {
    let (_dir, path) = directory();
    std::fs::write(path.join("file"), "").unwrap();
    set_mode(&path.join("file"), 0o606);
    assert_eq!(reason(open(&path.join("file"), Access::Read)), "can be written to by every user (mode 0606)");
    set_mode(&path, 0o777);
    assert_eq!(reason(admit(&path, Purpose::Look)), "can be written to by every user (mode 0777)");
    set_mode(&path, 0o1777);
    admit(&path, Purpose::Use).unwrap();
    set_mode(&path, 0o755);
    admit(&path, Purpose::Use).unwrap();
    assert!(exposure(&path).unwrap().contains("mode 0755"));
    set_mode(&path, 0o700);
    assert_eq!(exposure(&path), None);
}

#[test]
fn a_directory_shared_with_a_group_needs_the_set_group_bit() {
    let (_dir, path) = directory();
    // A group that this process has, and that has not the number of its user.
    let group = (1..200)
        .map(|number| number + 60_000)
        .find(|group| std::os::unix::fs::chown(&path, None, Some(*group)).is_ok());
    let Some(group) = group else { return };
    set_mode(&path, 0o770);
    assert_eq!(reason(admit(&path, Purpose::Use)), format!("can be written to by its group {group} (mode 0770)"));
    set_mode(&path, 0o2770);
    assert!(reason(admit(&path, Purpose::Use)).contains("can be written to"), "this process is no member");
}

#[test]
fn a_file_that_is_missing_is_created_for_its_owner_alone() {
    let (_dir, path) = directory();
    let file = path.join("file");
    assert!(open(&file, Access::Write).unwrap_err().is_missing());
    open(&file, Access::Create).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn only_an_empty_directory_that_is_nobodys_volume_becomes_private() {
    let (_dir, path) = directory();
    set_mode(&path, 0o775);
    make_private(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    set_mode(&path, 0o2770);
    make_private(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o2770);
}
