//! A random key of this user, in a file outside of all journals.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::fs;
use super::gate::create_own;

const LEN: usize = 16;
const NAME: &str = "store.key";
/// Another process may have made the file without having written it yet.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The key; made at the first call. `None` when the user has no directory for it: no home, or the home of another user.
pub(crate) fn get() -> Option<[u8; LEN]> {
    static KEY: OnceLock<Option<[u8; LEN]>> = OnceLock::new();
    *KEY.get_or_init(|| load(&directory()?))
}

fn load(directory: &Path) -> Option<[u8; LEN]> {
    let path = directory.join(NAME);
    for _ in 0..TRIES {
        if let Some(key) = read(&path) {
            return Some(key);
        }
        if !path.exists() {
            let existing = directory.ancestors().find(|ancestor| ancestor.exists())?;
            // Under sudo the home may be another user's, who could not use directories that root makes there.
            if !is_own(&existing.metadata().ok()?) {
                return None;
            }
            fs::make_dir(directory).ok()?;
            let mut key = [0; LEN];
            getrandom::fill(&mut key).ok()?;
            if let Ok(mut file) = create_own(&path) {
                file.write_all(&key).and_then(|()| file.sync_all()).ok()?;
                return Some(key);
            }
        }
        std::thread::sleep(PAUSE);
    }
    None
}

fn read(path: &Path) -> Option<[u8; LEN]> {
    let named = std::fs::symlink_metadata(path).ok()?;
    if !named.is_file() || !is_own(&named) || !is_private(&named) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LEN as u64 + 1).read_to_end(&mut bytes).ok()?;
    bytes.try_into().ok()
}

#[cfg(unix)]
fn is_own(meta: &std::fs::Metadata) -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    std::os::unix::fs::MetadataExt::uid(meta) == unsafe { libc::geteuid() }
}

#[cfg(unix)]
fn is_private(meta: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(meta).trailing_zeros() >= 6
}

#[cfg(not(unix))]
fn is_own(_meta: &std::fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn is_private(_meta: &std::fs::Metadata) -> bool {
    true
}

/// The directory for the state of programs, by the rules of the platform.
fn directory() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else {
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?
    };
    Some(base.join("plsync"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state/plsync");
        let key = load(&directory).unwrap();
        assert_eq!(load(&directory), Some(key));
        let path = directory.join(NAME);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load(&directory), None, "others could read the key");
    }

    #[test]
    fn processes_that_start_at_once_get_one_key() {
        let home = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|_| scope.spawn(|| load(home.path()))).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys[0].is_some());
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}
