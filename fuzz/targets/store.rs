//! Verifies a data file with changed bytes. If the verifier accepts the file, LMDB must survive reading and changing it.
#![no_main]

mod damaged;

use std::fs;

use damaged::{Change, damaged, directory};
use heed::types::Bytes;
use heed::{Database, EnvOpenOptions, MdbError};
use libfuzzer_sys::fuzz_target;
use plsync_journal::is_sound;

fuzz_target!(|changes: Vec<Change>| {
    let bytes = damaged(&changes);
    if !is_sound(&bytes) {
        return;
    }
    let path = directory();
    fs::write(path.join("data.mdb"), &bytes).unwrap();
    let _ = fs::remove_file(path.join("lock.mdb"));
    match use_everything(&path) {
        // A file may have reserved more pages than this map has.
        Err(heed::Error::Mdb(MdbError::MapFull)) => {}
        used => used.unwrap(),
    }
});

fn use_everything(path: &std::path::Path) -> heed::Result<()> {
    let mut options = EnvOpenOptions::new();
    options.map_size(64 << 20).max_dbs(32);
    // SAFETY: no other process or environment has the file open.
    let env = unsafe { options.open(path) }?;
    let mut txn = env.write_txn()?;
    let names: Database<Bytes, Bytes> = env.open_database(&txn, None)?.expect("the tree of trees exists");
    let names: Vec<Vec<u8>> =
        names.iter(&txn)?.map(|entry| entry.map(|(key, _)| key.to_vec())).collect::<heed::Result<_>>()?;
    for name in names {
        // plsync opens the trees by names that are text, and heed accepts no others.
        let Some(name) = String::from_utf8(name).ok().filter(|name| !name.contains('\0')) else { continue };
        let Some(tree) = env.open_database::<Bytes, Bytes>(&txn, Some(&name))? else { continue };
        let mut keys = Vec::new();
        for entry in tree.iter(&txn)? {
            let (key, value) = entry?;
            assert!(value.iter().fold(0_u8, |sum, byte| sum ^ byte) as usize <= 255);
            keys.push(key.to_vec());
        }
        assert_eq!(keys.len() as u64, tree.len(&txn)?);
        for key in keys.iter().rev() {
            assert!(tree.get(&txn, key)?.is_some(), "a key is not found");
        }
        // Splits, merges and reused pages.
        for key in keys.iter().step_by(2) {
            tree.put(&mut txn, key, &[7; 3000])?;
        }
        for key in keys.iter().step_by(3) {
            tree.delete(&mut txn, key)?;
        }
    }
    txn.commit()?;
    env.prepare_for_closing().wait();
    Ok(())
}
