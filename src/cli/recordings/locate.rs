//! Which recording `ID|FILE` means.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read;
use crate::cli::sessions::find::LAST;
use crate::cli::{Context, Exit, Failure, existing_data_dir};
use crate::model::text;
use crate::recording::{Header, Reader, Sought};
use crate::store::{self, FILE_SUFFIX, StoreError, listing};

/// How many candidates an ambiguous id lists.
const MAX_CANDIDATES: usize = 5;

/// Opens the recording that the user named: a file, or the beginning of an id. That one of the data
/// directory is read is audited, as what `how` names; else it is not opened.
pub(in crate::cli) fn open(
    context: &Context,
    name: &str,
    how: &'static str,
) -> Result<Reader<BufReader<File>>, Failure> {
    open_with(context, name, how, store::open, Reader::header)
}

/// Opens it as [`open`] does, behind what happened up to this time since its start.
pub(in crate::cli) fn open_at(
    context: &Context,
    name: &str,
    how: &'static str,
    at: Duration,
) -> Result<Sought<BufReader<File>>, Failure> {
    let open = |path: &Path| store::open_at(path, at);
    open_with(context, name, how, open, Sought::header)
}

fn open_with<R>(
    context: &Context,
    name: &str,
    how: &'static str,
    open: impl FnOnce(&Path) -> Result<R, StoreError>,
    header: impl FnOnce(&R) -> &Header,
) -> Result<R, Failure> {
    let directory = context.config.data_dir.recordings();
    if !is_path(name) {
        existing_data_dir(context)?;
    }
    let path = locate(&directory, name)?;
    let failed = || Failure::new(Exit::Failed, format!("cannot read {}", text::path(&path)));
    let reader = open(&path).map_err(|error| failed().because(error))?;
    if is_below(&path, &directory) {
        read::tell(context, &read::one(how, header(&reader)))?;
    }
    Ok(reader)
}

/// Whether a file is in the directory, by whatever path. A copy of a recording elsewhere is no longer
/// the proxy's.
fn is_below(path: &Path, directory: &Path) -> bool {
    match (path.canonicalize(), directory.canonicalize()) {
        (Ok(path), Ok(directory)) => path.starts_with(directory),
        // Without the directory there is nothing in it. A file that was there just now is.
        (_, directory) => directory.is_ok(),
    }
}

/// Whether a name is the path of a file, and no id.
fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(FILE_SUFFIX)
}

fn locate(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    if is_path(name) {
        return Ok(PathBuf::from(name));
    }
    if name == LAST {
        return newest(directory);
    }
    let found = if name.is_empty() {
        Vec::new()
    } else {
        listing::find(directory, name).map_err(|error| {
            Failure::new(Exit::Failed, "cannot look for the recording").because(error)
        })?
    };
    match found.as_slice() {
        [path] => Ok(path.clone()),
        [] if Path::new(name).is_file() => Ok(PathBuf::from(name)),
        [] => Err(Failure::new(
            Exit::Failed,
            format!("no recording has an id that begins with {name:?}"),
        )
        .hint("`rproxy recordings ls` lists them; a file is named by its path")),
        many => Err(ambiguous(name, many)),
    }
}

/// The newest recording: ids begin with the time.
fn newest(directory: &Path) -> Result<PathBuf, Failure> {
    let found = listing::find(directory, "").map_err(|error| {
        Failure::new(Exit::Failed, "cannot look for the recording").because(error)
    })?;
    found.into_iter().next_back().ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!("there are no recordings in {}", text::path(directory)),
        )
    })
}

fn ambiguous(name: &str, found: &[PathBuf]) -> Failure {
    let message = format!(
        "{} recordings have an id that begins with {name:?}",
        found.len()
    );
    found
        .iter()
        .take(MAX_CANDIDATES)
        .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(FILE_SUFFIX))
        .fold(Failure::new(Exit::Failed, message), |failure, id| {
            failure.hint(format!("one is {id}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs;

    #[test]
    fn an_id_may_be_shortened_while_it_is_unique() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["0192aa", "0192ab", "0193"] {
            let path = directory.path().join(format!("{name}{FILE_SUFFIX}"));
            fs::create_new(&path, fs::PRIVATE_FILE).unwrap();
        }
        let locate = |name| locate(directory.path(), name);
        assert!(locate("0193").unwrap().ends_with("0193.cast.zst"));
        let ambiguous = locate("0192a").unwrap_err();
        assert!(
            ambiguous.to_string().contains("2 recordings"),
            "{ambiguous}"
        );
        assert!(
            ambiguous.to_string().contains("one is 0192ab"),
            "{ambiguous}"
        );
        assert!(locate("last").unwrap().ends_with("0193.cast.zst"));
        for missing in ["", "04"] {
            assert_eq!(locate(missing).unwrap_err().exit(), Exit::Failed);
        }
        assert_eq!(locate("./x").unwrap(), PathBuf::from("./x"));
        assert_eq!(locate("x.cast.zst").unwrap(), PathBuf::from("x.cast.zst"));
    }
}
