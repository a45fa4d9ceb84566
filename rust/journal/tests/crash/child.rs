//! Runs this test program again, as a process that may die.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const VARIABLE: &str = "PLSYNC_TEST_CHILD";
/// A child that takes longer hangs, and its alarm ends it.
const LIMIT_SECONDS: u32 = 120;

/// Starts the test `name` as a child process. `arguments` are paths or words without tabs.
pub fn spawn(name: &str, arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, arguments.join("\t"))
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The arguments of this process, if it is a child.
pub fn arguments() -> Option<Vec<String>> {
    let arguments = std::env::var(VARIABLE).ok()?;
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(LIMIT_SECONDS) };
    Some(arguments.split('\t').map(str::to_owned).collect())
}

/// Prints whole lines for the parent, apart from the output of the test harness.
pub fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    write!(output, "\n{text}\n").and_then(|()| output.flush()).unwrap();
}

/// Waits for a child. Returns its output, or how it failed.
pub fn output(child: Child) -> Result<String, String> {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let errors = text(&output.stderr);
    Err(format!("{}: {}", output.status, errors.lines().take(8).collect::<Vec<_>>().join(" | ")))
}

/// Checks a journal against the oracle in a child process. Returns how it fails.
pub fn check_journal(journal: &Path, marks: &Path) -> Result<(), String> {
    let output = output(spawn("child::checking", &[journal.to_str().unwrap(), marks.to_str().unwrap()]))?;
    assert!(output.contains("1 passed"), "the child checked nothing: {output}");
    Ok(())
}

/// A child process, not a test: it checks a journal.
#[test]
fn checking() {
    let Some(arguments) = arguments() else { return };
    crate::oracle::Oracle::load(Path::new(&arguments[1])).check(Path::new(&arguments[0]));
}
