//! The end of a process of the proxy: its socket, a thread, and what each question is answered with.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::account::Accounts;
use super::protocol::{
    ControlRefusal, ControlRequest, ControlResponse, MAX_QUESTION, SessionRow, What, line,
};
use super::{ControlError, SUFFIX, process_of};
use crate::audit::{AuditEvent, AuditLog};
use crate::model::SessionId;
use crate::session::{LiveConnection, Reason, Registry, SessionCommand};
use crate::sys::account::Actor;
use crate::sys::fs::{FsError, PRIVATE_FILE, private_dir};

/// Clients at a time.
const MAX_CLIENTS: usize = 16;
/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may take for everything.
const LONGEST: Duration = Duration::from_secs(15);
/// How long somebody who ends a session is kept waiting for that.
const ENDING: Duration = Duration::from_secs(5);
/// How long to wait after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A process's control socket.
#[derive(Debug)]
pub struct Server {
    listener: std::os::unix::net::UnixListener,
    socket: Socket,
    accounts: Accounts,
}

/// A socket in the file system, which goes away with this.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

/// What is answered from.
#[derive(Debug)]
struct ControlContext {
    registry: Registry,
    audit: AuditLog,
    accounts: Accounts,
    pid: u32,
}

/// Who asks, by the kernel's word.
#[derive(Clone, Copy, Debug)]
struct PeerCredentials<'a> {
    name: &'a str,
    uid: u32,
}

impl PeerCredentials<'_> {
    /// The same with whom sudo works for, as they say themselves.
    fn actor(self, sudo_user: Option<&str>) -> Actor {
        Actor::new(self.name.to_owned(), self.uid, sudo_user)
    }
}

impl Server {
    /// Makes the socket, private to its owner, while this process still may. Those that processes which are gone have left are
    /// removed.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made.
    pub fn bind(directory: &Path) -> Result<Self, ControlError> {
        private_dir(directory)?;
        let own = std::process::id();
        remove_deserted(directory, own)?;
        let path = directory.join(format!("{own}{SUFFIX}"));
        let failed = |error| ControlError::Listen(path.clone(), error);
        let listener = std::os::unix::net::UnixListener::bind(&path).map_err(failed)?;
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
        let desk = Arc::new(ControlContext {
            registry,
            audit,
            accounts: self.accounts,
            pid: std::process::id(),
        });
        let stop = CancellationToken::new();
        let (stopped, listener) = (stop.clone(), self.listener);
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, desk) => {
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

/// Removes the sockets of processes that are gone, and one that had our number before us.
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
    // Somebody else's process is one all the same.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

async fn serve(
    listener: std::os::unix::net::UnixListener,
    desk: Arc<ControlContext>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _unnamed)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // A few bytes: they fit, or nobody waits for them.
            let busy = line(&ControlResponse::Refused(ControlRefusal::Busy));
            let _nobody_waits = stream.try_write(&busy);
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let _place = place;
            match timeout(LONGEST, desk.attend(stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a client of the control socket broke off");
                }
                Err(_elapsed) => tracing::debug!("a client of the control socket took too long"),
            }
        });
    }
}

impl ControlContext {
    /// One client: its question, and the answer.
    async fn attend(&self, mut stream: UnixStream) -> io::Result<()> {
        let uid = stream.peer_cred()?.uid();
        let Some(name) = self.accounts.admit(uid) else {
            tracing::warn!(uid, "somebody else asks on the control socket");
            return stream
                .write_all(&line(&ControlResponse::Refused(
                    ControlRefusal::NotPermitted,
                )))
                .await;
        };
        let (reading, mut writing) = stream.split();
        let mut question = Vec::new();
        let limit = u64::try_from(MAX_QUESTION).unwrap_or(u64::MAX);
        let mut reading = BufReader::new(reading.take(limit));
        timeout(PATIENCE, reading.read_until(b'\n', &mut question)).await??;
        let answer = match serde_json::from_slice(&question) {
            Ok(ask) if question.ends_with(b"\n") => {
                self.answer(ask, PeerCredentials { name, uid }, &mut writing)
                    .await?
            }
            Ok(_) | Err(_) => ControlResponse::Refused(ControlRefusal::NotUnderstood),
        };
        writing.write_all(&line(&answer)).await
    }

    /// Does what is asked. What this gives is the last line of the answer.
    async fn answer(
        &self,
        ask: ControlRequest,
        peer: PeerCredentials<'_>,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> io::Result<ControlResponse> {
        Ok(match ask {
            ControlRequest::Sessions => {
                for connection in self.registry.connections() {
                    for row in SessionRow::of(&connection, self.pid) {
                        out.write_all(&line(&ControlResponse::Row(Box::new(row))))
                            .await?;
                    }
                }
                ControlResponse::Done {}
            }
            ControlRequest::Watch {
                session,
                from_start,
                sudo_user,
            } => self.watch(session, from_start, peer.actor(sudo_user.as_deref())),
            ControlRequest::Kill {
                what,
                reason,
                sudo_user,
            } => {
                let actor = peer.actor(sudo_user.as_deref());
                self.kill(what, reason, actor).await
            }
        })
    }

    /// Nobody watches without having been put down for it.
    fn watch(&self, id: SessionId, from_start: bool, actor: Actor) -> ControlResponse {
        let Some((connection, session)) = self.registry.session(id) else {
            return ControlResponse::Refused(ControlRefusal::NotLive);
        };
        if session.file.is_none() {
            return ControlResponse::Refused(ControlRefusal::NotRecorded);
        }
        let audited = self.audit.emit(&AuditEvent::SessionWatched {
            session: id,
            connection: connection.id,
            user: connection.user.clone(),
            login: connection.login.clone(),
            target: connection.target.clone(),
            from_start,
            actor,
        });
        match audited {
            Ok(()) => ControlResponse::Done {},
            Err(_told_on_the_log) => ControlResponse::Refused(ControlRefusal::NotAudited),
        }
    }

    /// Ends a session also where that cannot be audited: what has to end must not depend on a disk.
    /// The program's log has the event then.
    async fn kill(&self, what: What, reason: Option<Reason>, actor: Actor) -> ControlResponse {
        let (connection, gone, session) = match what {
            What::Session(id) => match self.registry.session(id) {
                Some((connection, session)) => (connection, session.gone().clone(), Some(id)),
                None => return ControlResponse::Refused(ControlRefusal::NotLive),
            },
            What::Connection(id) => match self.registry.connection(id) {
                Some(connection) => {
                    let gone = connection.gone().clone();
                    (connection, gone, None)
                }
                None => return ControlResponse::Refused(ControlRefusal::NotLive),
            },
        };
        let by = actor.by.clone();
        let event = killed(&connection, session, reason.as_ref(), actor);
        let _told_on_the_log = self.audit.emit(&event);
        let told = connection.order(SessionCommand {
            session,
            by,
            reason,
        });
        if !told {
            tracing::debug!(connection = %connection.id, "it takes no orders, and ends by itself");
        }
        match timeout(ENDING, gone.cancelled()).await {
            Ok(()) => ControlResponse::Done {},
            Err(_elapsed) => ControlResponse::Pending {},
        }
    }
}

fn killed(
    connection: &LiveConnection,
    session: Option<SessionId>,
    reason: Option<&Reason>,
    actor: Actor,
) -> AuditEvent {
    AuditEvent::SessionKilled {
        session,
        connection: connection.id,
        user: connection.user.clone(),
        login: connection.login.clone(),
        target: connection.target.clone(),
        actor,
        message: reason.map(ToString::to_string),
    }
}
