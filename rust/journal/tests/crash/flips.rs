//! Flipped bits in the store's file: each is noticed or harmless.
//!
//! LMDB trusts its file, so a child process opens it. When that process dies, the damage counts as noticed.

use std::path::Path;

use plsync_journal::Store;

use crate::child::{self, print};
use crate::common::{golden, temp_dir};
use crate::count;

/// A child process, not a test: it reads a damaged store, and prints the result.
#[test]
fn reading() {
    let Some(arguments) = child::arguments() else { return };
    let journal = Path::new(&arguments[0]);
    let found = read(journal);
    print(&match found {
        Err(problem) => format!("noticed {problem}"),
        Ok(contents) if contents == golden::expected(golden::ALL[0]) => "harmless".to_owned(),
        Ok(contents) => {
            let changed = contents.iter().find(|line| !golden::expected(golden::ALL[0]).contains(line));
            format!("silent {:.300}", changed.map_or("fewer lines", String::as_str))
        }
    });
}

/// Checks and reads a journal. Returns its content, or the first error or problem.
fn read(journal: &Path) -> Result<Vec<String>, String> {
    let store = Store::open(journal, false).map_err(|error| error.to_string())?;
    let sound = || {
        let problems = store.check().map_err(|error| error.to_string())?.problems;
        problems.first().map_or(Ok(()), |problem| Err(format!("{}: {}", problem.place, problem.description)))
    };
    sound()?;
    let report = store.ingest(true).map_err(|error| error.to_string())?;
    if let Some(damage) = report.damage.first() {
        return Err(damage.reason.to_owned());
    }
    sound()?;
    golden::contents(&store).map_err(|error| error.to_string())
}

#[test]
fn a_flipped_bit_in_the_store_is_noticed_or_harmless() {
    let dir = temp_dir();
    let flips = count("PLSYNC_FLIPS", 300);
    let (mut noticed, mut silent) = (0, Vec::new());
    for _ in 0..flips {
        let path = dir.path().join("journal");
        golden::copy_to(golden::ALL[0], &path);
        let file = path.join("lmdb/data.mdb");
        let mut bytes = std::fs::read(&file).unwrap();
        let (at, bit) = (fastrand::usize(..bytes.len()), fastrand::u8(..8));
        bytes[at] ^= 1 << bit;
        std::fs::write(&file, bytes).unwrap();
        let output = child::output(child::spawn("flips::reading", &[path.to_str().unwrap()]));
        let result = output.as_deref().map_or("noticed", |output| {
            output
                .lines()
                .find(|line| ["noticed", "harmless", "silent"].iter().any(|word| line.starts_with(word)))
                .unwrap()
        });
        noticed += usize::from(result.starts_with("noticed"));
        if result.starts_with("silent") {
            silent.push(format!("bit {bit} of byte {at}: {result}"));
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
    assert!(noticed > 0, "no flip was noticed");
    assert!(
        silent.is_empty(),
        "{} of {flips} flips change what is read, silently:\n{}",
        silent.len(),
        silent.join("\n")
    );
}
