//! A journal that is shared with the group of this process: the modes of all files, the way back, and the format.

mod common;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use plsync_journal::{Error, Purpose, Store, admit, admit_journal, open_own, share};

    use super::common::Bench;

    fn own_group() -> u32 {
        std::fs::metadata("/proc/self").unwrap().gid()
    }

    fn modes(path: &Path) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([std::fs::metadata(path).unwrap().mode() & 0o7777]);
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(modes(&path));
            } else {
                found.insert(std::fs::metadata(&path).unwrap().mode() & 0o7777);
            }
        }
        found
    }

    #[test]
    fn a_journal_in_use_is_shared_and_becomes_private_again() {
        let bench = Bench::new();
        bench.call("private");
        let store = bench.store();
        let id = store.journal_id().unwrap();
        assert_eq!((store.group().unwrap(), store.stats().unwrap().format), (None, 1));
        let report = share(&bench.path, Some(own_group())).unwrap();
        assert_eq!(report.previous, None);
        bench.call("shared");
        store.ingest(true).unwrap();
        store.compact().unwrap();
        assert_eq!((store.group().unwrap(), store.stats().unwrap().format), (Some(own_group()), 2));
        assert_eq!(modes(&bench.path), BTreeSet::from([0o660, 0o2770]));
        assert_eq!(share(&bench.path, Some(own_group())).unwrap().changed, 0);
        assert_eq!(share(&bench.path, None).unwrap().previous, Some(own_group()));
        assert_eq!(modes(&bench.path), BTreeSet::from([0o600, 0o700]));
        let stats = store.stats().unwrap();
        assert_eq!((stats.records, stats.journal_id, stats.group), (2, id, None));
    }

    #[test]
    fn only_the_gate_of_journals_admits_a_file_of_a_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        share(&path, Some(own_group())).unwrap();
        admit_journal(&path, Purpose::Look).unwrap();
        let stamped = path.join("FORMAT");
        std::fs::set_permissions(&stamped, std::fs::Permissions::from_mode(0o662)).unwrap();
        assert!(matches!(open_own(&stamped, plsync_journal::Access::Read), Err(Error::Refused { .. })));
        assert!(matches!(plsync_journal::open(&stamped, plsync_journal::Access::Read), Err(Error::Refused { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o2777)).unwrap();
        assert!(matches!(admit(&path, Purpose::Look), Err(Error::Refused { .. })));
        assert!(matches!(Store::open(&path, false), Err(Error::Refused { .. })));
        share(&path, Some(own_group())).unwrap();
        Store::open(&path, false).unwrap();
    }

    #[test]
    fn a_missing_journal_cannot_become_private() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(share(&dir.path().join("journal"), None), Err(Error::NotFound(_))));
        assert!(!dir.path().join("journal").exists());
    }
}
