//! Creates files with the right mode from the start, replaces them atomically, and locks them.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::text::path as shown;

/// Mode of what only the owner may read: private keys, recordings, the audit log.
pub const PRIVATE_FILE: u32 = 0o600;
/// Mode of files that all users may read: public keys, certificates.
pub const PUBLIC_FILE: u32 = 0o644;
/// Mode of directories that hold private files.
pub const PRIVATE_DIR: u32 = 0o700;

/// What went wrong with a file, and with which one.
#[derive(Debug, Error)]
pub enum FsError {
    /// The operating system refused.
    #[error("cannot {action} {}", shown(path))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A directory with secrets is open to others.
    #[error("{} has mode {mode:04o}, others can get at its keys", shown(path))]
    TooOpen {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory or file with secrets belongs to another account.
    #[error("{} belongs to user {owner}, not to user {expected} or root", shown(path.as_ref()))]
    Owner {
        /// The directory or file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who runs this program.
        expected: u32,
    },
    /// Others than its owner may write what only root and we should.
    #[error("others can write {} (mode {mode:04o})", shown(path))]
    Writable {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A link of another account, which chooses where it leads.
    #[error("{} is a link of user {owner}, who could lead it anywhere", shown(path.as_ref()))]
    Link {
        /// The link.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Something is there that must not be overwritten.
    #[error("{} already exists", shown(.0))]
    Exists(PathBuf),
    /// A device, a pipe or a socket is there: what is replaced are files.
    #[error("{} is no regular file", shown(.0))]
    NotAFile(PathBuf),
}

impl FsError {
    /// Wraps what the operating system said about a path; for `map_err`.
    pub fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file or directory was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Makes a directory for private files, and its parents, unless it is there; then checks it as
/// [`check_private`] does.
///
/// # Errors
/// When it cannot be made, or is there and others may enter it.
pub fn private_dir(path: &Path) -> Result<(), FsError> {
    if !path.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIR)
            .create(path)
            .map_err(FsError::io("create directory", path))?;
    }
    check_private(path)
}

/// Refuses a file or directory that anyone but its owner may read, write or enter, or that is
/// neither ours nor root's.
///
/// # Errors
/// [`FsError::TooOpen`], [`FsError::Owner`], or the operating system's.
pub fn check_private(path: &Path) -> Result<(), FsError> {
    check_owner(path, &check_closed(path)?)
}

/// Refuses a directory that anyone but its owner may read or write, or that is neither ours nor
/// root's. Others may pass through it.
///
/// # Errors
/// [`FsError::TooOpen`], [`FsError::Owner`], or the operating system's.
pub fn check_unshared(path: &Path) -> Result<(), FsError> {
    check_owner(path, &without(0o066, path)?)
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), FsError> {
    let expected = rustix::process::geteuid().as_raw();
    if metadata.uid() != expected && metadata.uid() != 0 {
        return Err(FsError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            expected,
        });
    }
    Ok(())
}

/// Refuses a file or directory that anyone but its owner may read, write or enter, whichever account that is.
///
/// # Errors
/// [`FsError::TooOpen`], or the operating system's.
pub fn check_closed(path: &Path) -> Result<Metadata, FsError> {
    without(0o077, path)
}

/// Refuses what has one of these bits in its mode.
fn without(bits: u32, path: &Path) -> Result<Metadata, FsError> {
    let metadata = std::fs::metadata(path).map_err(FsError::io("inspect", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & bits != 0 {
        return Err(FsError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(metadata)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// The operating system's; a longer file is `InvalidData`.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let file = File::open(path).map_err(FsError::io("read", path))?;
    read_file(file, path, limit)
}

/// Reads a whole open file of at most `limit` bytes; `path` is where it was opened.
pub(super) fn read_file(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    // In one piece: what grows leaves copies of a secret behind.
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    let expected = usize::try_from(expected.min(limit)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    io::Read::read_to_end(
        &mut io::Read::take(file, limit.saturating_add(1)),
        &mut bytes,
    )
    .map_err(FsError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let source = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than the {limit} bytes that are allowed"),
        );
        return Err(FsError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        });
    }
    Ok(bytes)
}

/// Reads the last bytes of a file, `limit` at most: the beginning of the first line may be missing.
///
/// # Errors
/// The operating system's.
pub fn read_end(mut file: File, limit: u64) -> io::Result<Vec<u8>> {
    let skipped = file.metadata()?.len().saturating_sub(limit);
    io::Seek::seek(&mut file, io::SeekFrom::Start(skipped))?;
    let mut end = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, limit), &mut end)?;
    Ok(end)
}

/// Opens a regular file to read it. What a directory holds others may have made: a pipe there is not
/// waited for, and a device is not touched.
///
/// # Errors
/// [`FsError::NotAFile`], or the operating system's.
pub fn open_regular(path: &Path) -> Result<File, FsError> {
    open_regular_with(path, rustix::fs::OFlags::empty())
}

/// The same for what a directory itself holds: a link there is no file.
///
/// # Errors
/// As [`open_regular`].
pub fn open_regular_entry(path: &Path) -> Result<File, FsError> {
    open_regular_with(path, rustix::fs::OFlags::NOFOLLOW)
}

fn open_regular_with(path: &Path, more: rustix::fs::OFlags) -> Result<File, FsError> {
    use rustix::io::Errno;
    let failed = |error| match Errno::from_io_error(&error) {
        // A socket cannot be opened at all, a link not without following it.
        Some(Errno::NXIO | Errno::LOOP) => FsError::NotAFile(path.to_owned()),
        _ => FsError::io("read", path)(error),
    };
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY | more;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(failed)?;
    if file
        .metadata()
        .map_err(FsError::io("inspect", path))?
        .is_file()
    {
        Ok(file)
    } else {
        Err(FsError::NotAFile(path.to_owned()))
    }
}

/// Creates a file that is not there yet, with exactly this mode, for appending.
///
/// # Errors
/// [`FsError::Exists`], or the operating system's.
pub fn create_new(path: &Path, mode: u32) -> Result<File, FsError> {
    let opened = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match opened {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FsError::Exists(path.to_owned()))
        }
        Err(error) => Err(FsError::io("create", path)(error)),
    }
}

/// Gives a new file to the account that the directory of `path` belongs to, if this process is root's:
/// what an administrator makes there is for that account.
///
/// # Errors
/// The operating system's.
pub fn give_to_owner_of_directory(file: &File, path: &Path) -> Result<(), FsError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let directory = directory_of(path);
    let owner = std::fs::metadata(directory).map_err(FsError::io("inspect", directory))?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
        .map_err(FsError::io("give away", path))
}

/// Opens a private file for appending; makes it where it is missing.
///
/// # Errors
/// The operating system's.
pub fn append_private(path: &Path) -> Result<File, FsError> {
    open_for_appending(path).map_err(FsError::io("open", path))
}

/// Opens a file for appending in this process, even if another process opens files for it.
pub(super) fn open_for_appending(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(PRIVATE_FILE)
        .open(path)
}

/// How much room a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this program may still take.
    pub free: u64,
    /// All of it.
    pub size: u64,
    /// Whether there is room for one more file.
    pub takes_files: bool,
}

/// How much room there is at a path.
///
/// # Errors
/// The operating system's.
pub fn space(path: &Path) -> Result<Space, FsError> {
    let answer = rustix::fs::statvfs(path).map_err(io::Error::from);
    let answer = answer.map_err(FsError::io("ask for the free space of", path))?;
    Ok(Space {
        free: answer.f_bavail.saturating_mul(answer.f_frsize),
        size: answer.f_blocks.saturating_mul(answer.f_frsize),
        // Some file systems make room for files as they go, and say that they have none at all.
        takes_files: answer.f_files == 0 || answer.f_favail > 0,
    })
}

/// What is kept free for recordings that run, in bytes; of a small disk [`RESERVED_PART`].
const RESERVE: u64 = 64 << 20;
/// The largest part of a disk that is kept free: one of so many.
const RESERVED_PART: u64 = 50;

/// Whether so little is left where a path is that only recordings that run may have it. What cannot be
/// asked is not known to be full.
#[must_use]
pub fn reserve_is_touched(path: &Path) -> bool {
    let reserve = |space: &Space| RESERVE.min(space.size / RESERVED_PART);
    space(path).is_ok_and(|space| space.free < reserve(&space))
}

/// Whether a file can be made and written in a directory, found out without leaving one there: it has no
/// name. Where the file system has no such files, its answer to access(2) has to do.
///
/// # Errors
/// The operating system's.
pub fn takes_files(directory: &Path) -> Result<(), FsError> {
    use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat};
    use rustix::io::Errno;
    let mode = Mode::from_raw_mode(PRIVATE_FILE);
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let written = match openat(CWD, directory, flags, mode) {
        Ok(file) => File::from(file).write_all(b"?"),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let wanted = Access::WRITE_OK | Access::EXEC_OK;
            accessat(CWD, directory, wanted, AtFlags::EACCESS).map_err(io::Error::from)
        }
        Err(errno) => Err(errno.into()),
    };
    written.map_err(FsError::io("make a file in", directory))
}

/// Whether an existing file may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// An existing file is an error.
    Refuse,
    /// An existing file is replaced.
    Allow,
}

/// Writes a whole file so that other processes see the old content or the new one, never a part.
///
/// # Errors
/// [`FsError::Exists`] with [`Replace::Refuse`], or the operating system's; nothing is left behind.
pub fn write_whole(
    path: &Path,
    content: &[u8],
    mode: u32,
    replace: Replace,
) -> Result<(), FsError> {
    Staged::write(path, content, mode)?.place(replace)
}

/// A whole file, written and synced under a temporary name beside its place. It goes away when it
/// is dropped: several files appear together or, when one cannot be written, not at all.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    temporary: PathBuf,
}

impl Staged {
    /// Writes the content beside `path`.
    ///
    /// # Errors
    /// The operating system's; nothing is left behind.
    pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<Self, FsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unique = uuid::Uuid::now_v7().simple();
        let staged = Self {
            path: path.to_owned(),
            temporary: directory_of(path).join(format!(".{name}.{unique}.tmp")),
        };
        let mut file = create_new(&staged.temporary, mode)?;
        // Without the account's mask; a confined process may not change modes, and has none.
        let metadata = file.metadata().map_err(FsError::io("inspect", path))?;
        if metadata.mode() & 0o7777 != mode {
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(FsError::io("write", path))?;
        }
        file.write_all(content)
            .map_err(FsError::io("write", path))?;
        file.sync_all().map_err(FsError::io("sync", path))?;
        Ok(staged)
    }

    /// Where the file is until it is placed.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Renames or links the file into its place.
    ///
    /// # Errors
    /// [`FsError::Exists`] with [`Replace::Refuse`], [`FsError::NotAFile`] with [`Replace::Allow`], or
    /// the operating system's.
    pub fn place(self, replace: Replace) -> Result<(), FsError> {
        let (path, temporary) = (&self.path, &self.temporary);
        match replace {
            Replace::Allow => {
                check_replaceable(path)?;
                std::fs::rename(temporary, path).map_err(FsError::io("replace", path))?;
            }
            // A hard link fails where the name is taken: there is no moment between check and use.
            Replace::Refuse => match std::fs::hard_link(temporary, path) {
                Ok(()) => {
                    std::fs::remove_file(temporary).map_err(FsError::io("remove", temporary))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(FsError::Exists(path.clone()));
                }
                Err(error) => return Err(FsError::io("create", path)(error)),
            },
        }
        sync_directory_of(path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where it was placed.
        let _gone = std::fs::remove_file(&self.temporary);
    }
}

/// Refuses a place that is, or leads to, something that no file may take the place of: root could
/// rename over `/dev/null` and `/dev/stdout`.
///
/// # Errors
/// [`FsError::NotAFile`].
pub fn check_replaceable(path: &Path) -> Result<(), FsError> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(FsError::NotAFile(path.to_owned())),
        // What cannot be inspected is for the writing to fail at.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Removes a file, for good also after a crash; one that is not there is as good as removed.
///
/// # Errors
/// The operating system's.
pub fn remove(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            removed.map_err(FsError::io("remove", path))?;
            sync_directory_of(path)
        }
    }
}

/// Gives a file another name in its directory, in the place of what has that name.
///
/// # Errors
/// The operating system's.
pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    std::fs::rename(from, to).map_err(FsError::io("replace", to))?;
    sync_directory_of(to)
}

/// The directory that a file is in; `.` for a bare name.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Syncs the directory that a file is in: only then is a new file there after a crash.
///
/// # Errors
/// The operating system's.
pub fn sync_directory_of(path: &Path) -> Result<(), FsError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FsError::io("sync", directory))
}

/// An exclusive lock on a file, held until it is dropped; other processes wait.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Waits for the lock. The file is made where it is missing and never removed.
    ///
    /// # Errors
    /// The operating system's.
    pub fn wait(path: &Path) -> Result<Self, FsError> {
        Self::on(append_private(path)?, path)
    }

    /// Waits for the lock on an open file, which is at `path`.
    pub(super) fn on(file: File, path: &Path) -> Result<Self, FsError> {
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| FsError::io("lock", path)(errno.into()))?;
        Ok(Self { file })
    }

    /// Takes the lock if it is free; `None` if another process has it. The file is made where it is
    /// missing and never removed.
    ///
    /// # Errors
    /// The operating system's.
    pub fn attempt(path: &Path) -> Result<Option<Self>, FsError> {
        let file = append_private(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(FsError::io("lock", path)(errno.into())),
        }
    }

    /// A lock that came from another process, with its file: the process with the file descriptor has the lock.
    #[must_use]
    pub fn handed_over(file: OwnedFd) -> Self {
        Self { file: file.into() }
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// For tests: waits until no process holds a lock on a file. A child that another thread of the tests
/// starts holds what is open here, until it becomes its program.
///
/// # Panics
/// If the file is locked for 20 seconds.
#[cfg(test)]
pub fn until_unlocked(path: &Path) {
    use rustix::fs::{FlockOperation, flock};
    let file = File::open(path).unwrap();
    let until = super::clock::monotonic() + std::time::Duration::from_secs(20);
    while flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
        assert!(
            super::clock::monotonic() < until,
            "{} is locked",
            path.display()
        );
        std::thread::yield_now();
    }
    flock(&file, FlockOperation::Unlock).unwrap();
}

/// For tests: a directory that no other account may look into, whatever the umask is.
#[cfg(test)]
pub fn private_tempdir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(PRIVATE_DIR))
        .tempdir()
        .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_whole_file_has_its_mode_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_whole(&path, b"one", PRIVATE_FILE, Replace::Refuse).unwrap();
        assert_eq!(mode(&path), 0o600);
        write_whole(&path, b"two", PUBLIC_FILE, Replace::Allow).unwrap();
        assert_eq!(
            (mode(&path), std::fs::read(&path).unwrap()),
            (0o644, b"two".to_vec())
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_whole(&path, b"one", PRIVATE_FILE, Replace::Refuse).unwrap();
        let refused = write_whole(&path, b"two", PRIVATE_FILE, Replace::Refuse);
        assert!(matches!(refused, Err(FsError::Exists(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = write_whole(&socket, b"one", PUBLIC_FILE, Replace::Allow);
        assert!(matches!(refused, Err(FsError::NotAFile(_))), "{refused:?}");
        assert!(!std::fs::metadata(&socket).unwrap().is_file());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        // No more than a link to it; another link is.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let refused = write_whole(&link, b"one", PUBLIC_FILE, Replace::Allow);
        assert!(matches!(refused, Err(FsError::NotAFile(_))), "{refused:?}");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        std::fs::remove_file(&socket).unwrap();
        write_whole(&link, b"one", PUBLIC_FILE, Replace::Allow).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    }

    #[test]
    fn directories_open_to_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        private_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        for open in [0o750, 0o705, 0o777] {
            std::fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            assert!(
                matches!(private_dir(&path), Err(FsError::TooOpen { .. })),
                "{open:o}"
            );
        }
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("big");
        write_whole(&path, &[0; 11], PUBLIC_FILE, Replace::Refuse).unwrap();
        assert!(read_limited(&path, 10).is_err());
        assert_eq!(read_limited(&path, 11).unwrap().len(), 11);
    }
}
