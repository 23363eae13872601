//! Opens directories without following links of other accounts, and lists their content.
//!
//! A program that runs as root and follows a path through a user's directory can be misled by that user:
//! a link there can lead to any file of the machine, and can be created after the path was checked. So a
//! path is opened one name at a time, each relative to the directory before it, which is held open. A
//! link is followed only if root or our own account owns it, and renaming a directory meanwhile changes
//! nothing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::fs::{FileLock, FsError, PRIVATE_DIR, PRIVATE_FILE};

/// Links on the way to one file, as many as the kernel follows.
const MOST_LINKS: usize = 40;
/// What is written to by more than its owner.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Of a directory: names in it are removed and renamed by their owners only.
const STICKY: u32 = 0o1000;

/// A directory, held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file of a [`Directory`], as it was read.
#[derive(Clone, Debug)]
pub struct Content {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl Directory {
    /// Reaches a directory. It is made, private to its owner, where it is missing, and so are those that
    /// it is in.
    ///
    /// # Errors
    /// [`FsError::Link`] where a link of another account is on the way, or the operating system's.
    pub fn make(path: &Path) -> Result<Self, FsError> {
        Walk::to(path)?.all_the_way()
    }

    /// Reaches the directory that a file is in, whether it is there or not, and gives its name there: both
    /// are other ones than `path` says if it is a link.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn of(path: &Path) -> Result<(Self, OsString), FsError> {
        Walk::to(path)?.until_the_last_name(&mut |_, _| Ok(()))
    }

    /// Where it is, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of at most `limit` bytes; `None` if it is not there.
    ///
    /// # Errors
    /// [`FsError::NotAFile`] for anything else, a link too; the operating system's.
    pub fn read(&self, name: &OsStr, limit: u64) -> Result<Option<Content>, FsError> {
        let path = self.path.join(name);
        match self.look(name) {
            Ok(Some(found)) if is(&found, FileType::RegularFile) => {}
            Ok(Some(_)) => return Err(FsError::NotAFile(path)),
            Ok(None) => return Ok(None),
            Err(errno) => return Err(FsError::io("read", &path)(errno.into())),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let read = || -> io::Result<(Vec<u8>, u32)> {
            let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
            let mode = file.metadata()?.mode() & 0o7777;
            let mut bytes = Vec::new();
            file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
            Ok((bytes, mode))
        };
        let (bytes, mode) = read().map_err(FsError::io("read", &path))?;
        if bytes.len() as u64 > limit {
            let said = format!("larger than the {limit} bytes that are allowed");
            let error = io::Error::new(io::ErrorKind::InvalidData, said);
            return Err(FsError::io("read", &path)(error));
        }
        Ok(Some(Content { bytes, mode }))
    }

    /// Writes a whole file in the place of the one that is there, if one is, so that others see the old
    /// content or the new one. What is no regular file stays where it is.
    ///
    /// # Errors
    /// [`FsError::NotAFile`], or the operating system's; nothing is left behind.
    pub fn write(&self, name: &OsStr, content: &[u8], mode: u32) -> Result<(), FsError> {
        let path = self.path.join(name);
        if let Ok(Some(found)) = self.look(name)
            && !is(&found, FileType::RegularFile)
        {
            return Err(FsError::NotAFile(path));
        }
        let unique = uuid::Uuid::now_v7().simple();
        let temporary = format!(".{}.{unique}.tmp", name.to_string_lossy());
        let written = self.write_at(&temporary, name, content, mode);
        if written.is_err() {
            let _gone = rustix::fs::unlinkat(&self.fd, &*temporary, AtFlags::empty());
        }
        written.map_err(FsError::io("write", &path))
    }

    fn write_at(&self, temporary: &str, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let private = Mode::from_raw_mode(PRIVATE_FILE);
        let file = rustix::fs::openat(&self.fd, temporary, flags | OFlags::CLOEXEC, private)?;
        let mut file = File::from(file);
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        rustix::fs::renameat(&self.fd, temporary, &self.fd, name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let whole = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?;
        Ok(rustix::fs::fsync(whole)?)
    }

    /// Waits for the lock on a file, which is made where it is missing and never removed.
    ///
    /// # Errors
    /// The operating system's, also where the name is a link.
    pub fn lock(&self, name: &str) -> Result<FileLock, FsError> {
        let path = self.path.join(name);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        let file = rustix::fs::openat(&self.fd, name, flags | OFlags::CLOEXEC, mode);
        let file = file.map_err(|errno| FsError::io("open", &path)(errno.into()))?;
        FileLock::on(file.into(), &path)
    }

    fn root() -> Result<Self, FsError> {
        let path = PathBuf::from("/");
        let fd = open_at(CWD, path.as_os_str());
        match fd {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(FsError::io("open", &path)(errno.into())),
        }
    }

    /// What has a name here; a link is not followed.
    fn look(&self, name: &OsStr) -> rustix::io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The directory with a name here, or `..`.
    fn enter(self, name: &OsStr) -> Result<Self, FsError> {
        let mut path = self.path;
        match name == ".." {
            true => drop(path.pop()),
            false => path.push(name),
        }
        match open_at(&self.fd, name) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(FsError::io("open", &path)(errno.into())),
        }
    }
}

/// Whether only root and this account can have written a program, or put it where it is: it and all
/// directories and links on the way belong to one of the two, and no other account may write them.
///
/// # Errors
/// [`FsError::Owner`], [`FsError::Writable`], [`FsError::NotAFile`], or the operating system's.
pub fn check_program(path: &Path) -> Result<(), FsError> {
    let mut check = |path: &Path, found: &Stat| {
        check_owner(path, found)?;
        let mode = found.st_mode & 0o7777;
        let is_link = is(found, FileType::Symlink);
        let is_sticky = is(found, FileType::Directory) && mode & STICKY != 0;
        if mode & WRITABLE_BY_OTHERS != 0 && !is_link && !is_sticky {
            let path = path.to_owned();
            return Err(FsError::Writable { path, mode });
        }
        Ok(())
    };
    let (directory, name) = Walk::to(path)?.until_the_last_name(&mut check)?;
    let path = directory.path.join(&name);
    match directory.look(&name) {
        Ok(Some(found)) if is(&found, FileType::RegularFile) => check(&path, &found),
        Ok(Some(_)) => Err(FsError::NotAFile(path)),
        Ok(None) => Err(FsError::io("find", &path)(io::ErrorKind::NotFound.into())),
        Err(errno) => Err(FsError::io("inspect", &path)(errno.into())),
    }
}

/// What is looked at on the way.
type Look<'l> = &'l mut dyn FnMut(&Path, &Stat) -> Result<(), FsError>;

/// The way to a path, from the root on.
struct Walk {
    here: Directory,
    rest: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn to(path: &Path) -> Result<Self, FsError> {
        let absolute = std::path::absolute(path).map_err(FsError::io("find", path))?;
        Ok(Self {
            here: Directory::root()?,
            rest: names(&absolute).collect(),
            links: 0,
        })
    }

    /// Into the last name too; what is missing is made.
    fn all_the_way(mut self) -> Result<Directory, FsError> {
        while let Some(name) = self.rest.pop_front() {
            let path = self.here.path.join(&name);
            let cannot = |errno: Errno| FsError::io("create directory", &path)(errno.into());
            match self.here.look(&name).map_err(cannot)? {
                Some(found) if is(&found, FileType::Symlink) => self.follow(&name, &found)?,
                Some(_) => self.here = self.here.enter(&name)?,
                None => {
                    let mode = Mode::from_raw_mode(PRIVATE_DIR);
                    match rustix::fs::mkdirat(&self.here.fd, &name, mode) {
                        Ok(()) | Err(Errno::EXIST) => self.rest.push_front(name),
                        Err(errno) => return Err(cannot(errno)),
                    }
                }
            }
        }
        Ok(self.here)
    }

    /// Up to the last name, which is no link; whether there is something is not asked.
    fn until_the_last_name(mut self, look: Look<'_>) -> Result<(Directory, OsString), FsError> {
        self.look_here(look)?;
        while let Some(name) = self.rest.pop_front() {
            let path = self.here.path.join(&name);
            let found = self.here.look(&name);
            let found = found.map_err(|errno| FsError::io("inspect", &path)(errno.into()))?;
            match found {
                Some(found) if is(&found, FileType::Symlink) => {
                    look(&path, &found)?;
                    self.follow(&name, &found)?;
                    self.look_here(look)?;
                }
                _ if self.rest.is_empty() && name != ".." => return Ok((self.here, name)),
                _ => {
                    self.here = self.here.enter(&name)?;
                    self.look_here(look)?;
                }
            }
        }
        Err(FsError::NotAFile(self.here.path))
    }

    fn look_here(&self, look: Look<'_>) -> Result<(), FsError> {
        let found = rustix::fs::fstat(&self.here.fd);
        let path = &self.here.path;
        look(
            path,
            &found.map_err(|errno| FsError::io("inspect", path)(errno.into()))?,
        )
    }

    /// Goes on where a link leads, if it is root's or ours.
    fn follow(&mut self, name: &OsStr, found: &Stat) -> Result<(), FsError> {
        let path = self.here.path.join(name);
        if !is_trusted(found.st_uid) {
            let owner = found.st_uid;
            return Err(FsError::Link { path, owner });
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(FsError::io("follow", &path)(Errno::LOOP.into()));
        }
        let target = rustix::fs::readlinkat(&self.here.fd, name, Vec::new());
        let target = target.map_err(|errno| FsError::io("follow", &path)(errno.into()))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.here = Directory::root()?;
        }
        for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
            self.rest.push_front(name);
        }
        Ok(())
    }
}

/// The names of a path. Of `..` is made what the kernel makes of it: the directory that one is in.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn open_at(directory: impl std::os::fd::AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    // For nothing but to go on from there: some directories may be passed through and not be read.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn is(found: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(found.st_mode) == kind
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

fn check_owner(path: &Path, found: &Stat) -> Result<(), FsError> {
    if is_trusted(found.st_uid) {
        return Ok(());
    }
    Err(FsError::Owner {
        path: path.to_owned(),
        owner: found.st_uid,
        expected: rustix::process::geteuid().as_raw(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

    fn put(path: &Path, text: &str) {
        write_whole(path, text.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
    }

    #[test]
    fn own_links_are_followed() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        put(&at("a/file"), "one");
        symlink("a/b", at("relative")).unwrap();
        symlink(at("a"), at("absolute")).unwrap();
        symlink("../absolute/file", at("a/link")).unwrap();
        let real = home.path().canonicalize().unwrap();
        let made = Directory::make(&at("relative/new/er")).unwrap();
        assert_eq!(made.path(), real.join("a/b/new/er"));
        let mode = std::fs::metadata(made.path()).unwrap().mode() & 0o7777;
        assert_eq!(mode, PRIVATE_DIR);
        let (directory, name) = Directory::of(&at("relative/../link")).unwrap();
        assert_eq!(
            (directory.path(), &*name),
            (&*real.join("a"), "file".as_ref())
        );
        let content = directory.read(&name, 3).unwrap().unwrap();
        assert_eq!(
            (content.bytes.as_slice(), content.mode),
            (&b"one"[..], 0o644)
        );
        directory.read(&name, 2).unwrap_err();
        directory.write(&name, b"two", 0o640).unwrap();
        assert_eq!(std::fs::read(at("a/file")).unwrap(), b"two");
        assert_eq!(
            std::fs::metadata(at("a/file")).unwrap().mode() & 0o7777,
            0o640
        );
        assert!(directory.read("none".as_ref(), 9).unwrap().is_none());
        let names = std::fs::read_dir(at("a")).unwrap().count();
        assert_eq!(names, 3, "nothing is left behind");
        symlink("round", at("round")).unwrap();
        assert!(matches!(
            Directory::of(&at("round")),
            Err(FsError::Io { .. })
        ));
        assert!(matches!(
            Directory::make(&at("a/file")),
            Err(FsError::Io { .. })
        ));
    }

    /// What was reached stays the same when another directory gets its name.
    #[test]
    fn a_directory_stays_what_it_was() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let directory = Directory::make(&at("own")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::fs::rename(at("own"), at("moved")).unwrap();
        symlink(at("other"), at("own")).unwrap();
        directory.write("file".as_ref(), b"x", PUBLIC_FILE).unwrap();
        let _lock = directory.lock("lock").unwrap();
        assert!(at("moved/file").exists() && at("moved/lock").exists());
        assert_eq!(std::fs::read_dir(at("other")).unwrap().count(), 0);
    }

    /// Only root can make links of other accounts, so only root can run this test.
    #[test]
    fn links_of_others_are_not_followed() {
        if !rustix::process::geteuid().is_root() {
            return crate::sys::skipped::cannot("only root can make another account's link");
        }
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir(at("secret")).unwrap();
        put(&at("secret/file"), "secret");
        for (name, target) in [
            ("directory", "secret"),
            ("file", "secret/file"),
            ("lock", "new"),
        ] {
            symlink(at(target), at(name)).unwrap();
            std::os::unix::fs::lchown(at(name), Some(65534), None).unwrap();
        }
        for refused in [
            Directory::make(&at("directory")).map(drop),
            Directory::make(&at("directory/deeper")).map(drop),
            Directory::of(&at("directory/file")).map(drop),
            Directory::of(&at("file")).map(drop),
        ] {
            assert!(
                matches!(refused, Err(FsError::Link { owner: 65534, .. })),
                "{refused:?}"
            );
        }
        // Nor where it is put there after the way was walked.
        let here = Directory::make(home.path()).unwrap();
        here.lock("lock").unwrap_err();
        assert!(!at("new").exists());
        let read = here.read("file".as_ref(), 9);
        assert!(matches!(read, Err(FsError::NotAFile(_))), "{read:?}");
        let written = here.write("file".as_ref(), b"x", PUBLIC_FILE);
        assert!(matches!(written, Err(FsError::NotAFile(_))), "{written:?}");
        assert_eq!(std::fs::read(at("secret/file")).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(at("secret")).unwrap().count(), 1);
    }
}
