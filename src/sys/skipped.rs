//! Tests that this machine cannot run: each says so, and `tests/run.sh` prints them all at its end.

use std::io::Write as _;

/// Names the file to which a line is added for each of them.
const LIST: &str = "RPROXY_TEST_SKIPPED";

/// The rest of a test is skipped, because a program, a library or a module of others is not installed.
///
/// # Panics
/// Where all of those must be there.
pub(crate) fn lacks(what: &str) {
    assert!(!are_all_wanted(), "{what} is missing");
    note(&format!("{what} is not installed"));
}

/// The rest of a test is skipped, because of what this machine is, has or allows.
pub(crate) fn cannot(why: &str) {
    note(why);
}

/// Whether all programs of others must be there: in continuous integration (`CI=true`), and with
/// `RPROXY_TEST_INTEROP=all`.
pub(crate) fn are_all_wanted() -> bool {
    let is = |name, value| std::env::var_os(name).is_some_and(|found| found == value);
    is("RPROXY_TEST_INTEROP", "all") || is("CI", "true")
}

fn note(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    print!("skipped: {line}");
    if let Some(list) = std::env::var_os(LIST) {
        let list = std::fs::File::options().append(true).open(list);
        let written = list.and_then(|mut list| list.write_all(line.as_bytes()));
        written.expect("the list of skipped tests can be written");
    }
}
