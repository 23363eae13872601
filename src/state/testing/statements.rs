//! Which statements a thread has a database carry out.

use std::cell::RefCell;

use crate::state::db::SqlValue;

thread_local! {
    static NOTED: RefCell<Option<Vec<NotedStatement>>> = const { RefCell::new(None) };
}

/// A statement with its values.
pub(in crate::state) type NotedStatement = (String, Vec<SqlValue>);

/// Notes a statement, if that is wanted.
pub(in crate::state) fn note(sql: &str, values: &[SqlValue]) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.push((sql.to_owned(), values.to_vec()));
        }
    });
}

/// The statements that this function leads to on this thread.
pub(in crate::state) fn of<T>(work: impl FnOnce() -> T) -> (T, Vec<NotedStatement>) {
    NOTED.set(Some(Vec::new()));
    let done = work();
    (done, NOTED.take().unwrap_or_default())
}

/// How many statements this function leads to on this thread with SQLite, and how many changes, each of
/// which waits for the disk.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let (done, noted) = of(work);
    let changes = noted.iter().filter(|(sql, _)| sql == "BEGIN IMMEDIATE");
    let changes = changes.count();
    let begun = noted.iter().filter(|(sql, _)| sql.starts_with("BEGIN"));
    (done, noted.len() - begun.count(), changes)
}
