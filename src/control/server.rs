//! The control socket of a process of the proxy: created, and served by a thread of its own.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::account::Accounts;
use super::context::ControlContext;
use super::protocol::{ControlRefusal, ControlResponse, line};
use super::{ControlError, SUFFIX, process_of};
use crate::audit::AuditLog;
use crate::session::Registry;
use crate::sys::fs::{FsError, PRIVATE_FILE, private_dir};

/// Clients at a time.
const MAX_CLIENTS: usize = 16;
/// How long to wait after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A process's control socket.
#[derive(Debug)]
pub struct Server {
    listener: BlockingListener,
    socket: Socket,
    accounts: Accounts,
}

/// A socket in the file system, which goes away with this.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be gone already.
        drop(std::fs::remove_file(&self.0));
    }
}

impl Server {
    /// Makes the socket, private to its owner, while this process still may. Sockets of processes that
    /// have exited are removed.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made.
    pub fn bind(directory: &Path) -> Result<Self, ControlError> {
        private_dir(directory)?;
        let own = std::process::id();
        remove_deserted(directory, own)?;
        let path = directory.join(format!("{own}{SUFFIX}"));
        let failed = |error| ControlError::Listen(path.clone(), error);
        let listener = BlockingListener::bind(&path).map_err(failed)?;
        let socket = Socket(path.clone());
        // The directory keeps others out until then.
        let mode = std::fs::Permissions::from_mode(PRIVATE_FILE);
        std::fs::set_permissions(&path, mode).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            listener,
            socket,
            accounts: Accounts::of_this_process(),
        })
    }

    /// Answers on a thread of its own.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub fn start(self, registry: Registry, audit: AuditLog) -> Result<ControlHandle, ControlError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ControlError::Start)?;
        let context = Arc::new(ControlContext {
            registry,
            audit: Arc::new(audit),
            accounts: self.accounts,
            pid: std::process::id(),
        });
        let stop = CancellationToken::new();
        let (stopped, listener) = (stop.clone(), self.listener);
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, context) => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the control socket is not served any more");
                        }
                    }
                    () = stopped.cancelled() => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(serve)
            .map_err(ControlError::Start)?;
        Ok(ControlHandle {
            stop,
            thread: Some(thread),
            _socket: self.socket,
        })
    }
}

/// A control socket that is served until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it closes the control socket"]
pub struct ControlHandle {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _socket: Socket,
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        if self.thread.take().is_some_and(|one| one.join().is_err()) {
            tracing::error!("the thread of the control socket panicked");
        }
    }
}

/// Removes the sockets of processes that have exited, and one of an earlier process with our number.
fn remove_deserted(directory: &Path, own: u32) -> Result<(), FsError> {
    let entries = std::fs::read_dir(directory).map_err(FsError::io("read directory", directory))?;
    for entry in entries {
        let path = entry
            .map_err(FsError::io("read directory", directory))?
            .path();
        let Some(process) = process_of(&path) else {
            continue;
        };
        if process == own || !is_running(process) {
            std::fs::remove_file(&path).map_err(FsError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn is_running(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    // A process of another account runs too: then the answer is EPERM.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

async fn serve(listener: BlockingListener, context: Arc<ControlContext>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let busy = line(&ControlResponse::Refused(ControlRefusal::Busy));
            // A few bytes: they fit, or the client does without them.
            drop(stream.try_write(&busy));
            continue;
        };
        let context = Arc::clone(&context);
        tokio::spawn(async move {
            let _place = place;
            serve_client(&context, stream).await;
        });
    }
}

async fn serve_client(context: &ControlContext, stream: UnixStream) {
    let served = match stream.peer_cred() {
        Ok(peer) => context.serve(stream, peer.uid()).await,
        Err(error) => Ok(Err(error)),
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the control socket broke off"),
        Err(_) => tracing::debug!("a client of the control socket took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream as BlockingStream;

    use super::*;
    use crate::control::{ControlReply, ControlRequest, processes};
    use crate::model::DataDir;
    use crate::sys::clock::Clock;

    fn audit(directory: &Path) -> AuditLog {
        let cluster = "example.test".parse().unwrap();
        AuditLog::open(
            &DataDir::new(directory.join("data")),
            cluster,
            Clock::System,
        )
        .unwrap()
    }

    #[test]
    fn a_process_is_found_by_its_socket_and_answers_until_it_stops() {
        let directory = crate::sys::fs::private_tempdir();
        let sockets = directory.path().join("control");
        let server = Server::bind(&sockets).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let socket = server.socket.0.clone();
        assert_eq!((mode(&sockets), mode(&socket)), (0o700, 0o600));
        let handle = server.start(Registry::default(), audit(directory.path()));
        let handle = handle.unwrap();
        let found = processes(&sockets).unwrap();
        let [process] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(process.pid(), std::process::id());
        let reply = process.ask(&ControlRequest::Sessions).unwrap();
        assert_eq!(reply, ControlReply::Done(Vec::new()));
        drop(handle);
        assert!(!socket.exists());
        assert!(processes(&sockets).unwrap().is_empty());
    }

    #[test]
    fn sockets_of_processes_that_are_gone_are_removed_and_no_others() {
        let directory = crate::sys::fs::private_tempdir();
        let path = |name: &str| directory.path().join(name);
        let gone = format!("{}{SUFFIX}", i32::MAX);
        let running = format!("{}{SUFFIX}", std::os::unix::process::parent_id());
        let own = format!("{}{SUFFIX}", std::process::id());
        for name in [&gone, &running, &own, "notes"] {
            drop(BlockingListener::bind(path(name)).unwrap());
        }
        let server = Server::bind(directory.path()).unwrap();
        assert!(!path(&gone).exists());
        assert!(path(&running).exists() && path("notes").exists());
        BlockingStream::connect(path(&own)).unwrap();
        drop(server);
        assert!(!path(&own).exists());
    }

    /// All of them have connected before the first is accepted, and time stands still until all wait.
    #[tokio::test(start_paused = true)]
    async fn one_client_too_many_is_told_so() {
        let directory = crate::sys::fs::private_tempdir();
        let server = Server::bind(directory.path()).unwrap();
        let clients: Vec<_> = (0..=MAX_CLIENTS)
            .map(|_| BlockingStream::connect(&server.socket.0).unwrap())
            .collect();
        let context = Arc::new(ControlContext {
            registry: Registry::default(),
            audit: Arc::new(audit(directory.path())),
            accounts: server.accounts,
            pid: 7,
        });
        let served = tokio::time::timeout(Duration::from_secs(3), serve(server.listener, context));
        assert!(served.await.is_err(), "it serves until it is dropped");
        let answers: Vec<String> = clients
            .into_iter()
            .map(|mut client| {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                answer
            })
            .collect();
        let (last, others) = answers.split_last().unwrap();
        assert_eq!(last, "{\"refused\":\"busy\"}\n");
        assert!(others.iter().all(String::is_empty), "{others:?}");
    }
}
