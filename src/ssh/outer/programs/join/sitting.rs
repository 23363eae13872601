//! A participant's channel, connected with a session.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::super::session::ProgramSession;
use super::find::Found;
use super::keys::Keys;
use super::view::View;
use crate::access::JoinMode;
use crate::model::text::Printable;
use crate::session::{Participation, ViewPiece};
use crate::ssh::channel::ChannelHandle;

/// How long lines stand that the screen of the session then takes the place of.
const READABLE: Duration = Duration::from_secs(1);
/// How often a participant who cannot keep up gets the whole screen, at most.
const SCREENS: Duration = Duration::from_millis(100);
/// How long the participant's client may take to read the last line.
const LAST_LINE: Duration = Duration::from_secs(1);
/// How much typed is read at a time, in bytes.
const PIECE: usize = 4 * 1024;

/// How a participation ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With the session.
    Session,
    /// The participant has left; the session goes on.
    Left,
    /// The participant may not stay, for this reason.
    Unwelcome(String),
}

impl Ended {
    /// What the participant reads.
    fn line(&self) -> &str {
        match self {
            Self::Session => "the session has ended",
            Self::Left => "you have left, the session goes on",
            Self::Unwelcome(why) => why,
        }
    }
}

/// A participant in front of a terminal.
#[derive(Debug)]
pub(super) struct Sitting {
    greeting: String,
    mode: JoinMode,
    view: View,
}

impl Sitting {
    /// The participant of a session that was found, in this mode.
    pub(super) fn new(found: &Found, mode: JoinMode, terminal: Option<(u32, u32)>) -> Self {
        let connection = &found.connection;
        let leave = match mode {
            JoinMode::Observe => "~. or Ctrl-C leaves",
            JoinMode::Type => "~. or three times Ctrl-] leaves",
        };
        Self {
            greeting: format!(
                "rproxy: {mode} the session of {} as {}@{}: {leave}\r\n",
                Printable(&connection.user),
                Printable(&connection.login),
                Printable(&connection.host),
            ),
            mode,
            view: View::new(terminal),
        }
    }

    /// Shows the session, and passes on what is typed, until one of them ends or `unwelcome` is ready.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn run(
        self,
        session: &mut ProgramSession,
        participation: &Participation,
        unwelcome: impl Future<Output = String>,
    ) -> io::Result<Ended> {
        let Self {
            greeting,
            mode,
            mut view,
        } = self;
        let (reader, mut writer, handle) = session.raw();
        let ended = tokio::select! {
            biased;
            why = unwelcome => Ended::Unwelcome(why),
            () = handle.hung_up() => return Err(io::ErrorKind::BrokenPipe.into()),
            shown = show(&mut view, &greeting, &mut writer, participation) => {
                shown?;
                Ended::Session
            }
            typed = pass_on(reader, mode, participation) => {
                typed?;
                Ended::Left
            }
        };
        // Nothing reaches the session from here on, however long the client takes to read the rest.
        match &ended {
            Ended::Session => {}
            Ended::Left => participation.leave("left", None),
            Ended::Unwelcome(why) => participation.leave("not-permitted", Some(why.clone())),
        }
        say_goodbye(view, ended.line(), writer, &handle).await;
        Ok(ended)
    }
}

/// Shows the session to its end.
async fn show(
    view: &mut View,
    greeting: &str,
    writer: &mut (impl AsyncWrite + Unpin),
    participation: &Participation,
) -> io::Result<()> {
    writer.write_all(greeting.as_bytes()).await?;
    sleep(READABLE).await;
    let mut out = Vec::new();
    let mut next_screen = Instant::now();
    loop {
        let shown = participation.next().await;
        if shown == ViewPiece::End {
            return Ok(());
        }
        if let ViewPiece::Screen(screen) = &shown {
            if let Some(warning) = view.warning(screen) {
                writer.write_all(warning.as_bytes()).await?;
                sleep(READABLE).await;
            }
            sleep_until(next_screen).await;
            next_screen = Instant::now() + SCREENS;
        }
        out.clear();
        view.show(&shown, &mut out);
        writer.write_all(&out).await?;
        writer.flush().await?;
    }
}

/// Passes on what is typed, until the participant leaves. The end of the input is no reason to leave.
async fn pass_on(
    mut reader: impl AsyncRead + Unpin,
    mode: JoinMode,
    participation: &Participation,
) -> io::Result<()> {
    let mut keys = Keys::new(mode);
    let (mut read, mut typed) = (vec![0; PIECE], Vec::new());
    loop {
        typed.clear();
        let next = reader.read(&mut read);
        let count = match keys.held_until() {
            Some(until) => timeout_at(until, next).await.ok().transpose()?,
            None => Some(next.await?),
        };
        let leaves = match count {
            Some(count @ 1..) => keys.press(read.get(..count).unwrap_or_default(), &mut typed),
            // No other key follows in time, or ever.
            Some(0) | None => {
                keys.release(&mut typed);
                false
            }
        };
        participation.type_in(&typed).await;
        if count == Some(0) {
            std::future::pending::<()>().await;
        }
        if leaves {
            return Ok(());
        }
    }
}

/// Puts the terminal back into its normal state, and says why it is over.
async fn say_goodbye(
    mut view: View,
    line: &str,
    mut writer: impl AsyncWrite + Unpin,
    handle: &ChannelHandle,
) {
    let mut out = Vec::new();
    view.close(line, &mut out);
    let written = async {
        writer.write_all(&out).await?;
        writer.flush().await
    };
    if timeout(LAST_LINE, written).await.is_err() {
        // What waits before it is not read. This is shown before that.
        handle.stderr(&format!("\r\nrproxy: {}\r\n", Printable(line)));
    }
}
