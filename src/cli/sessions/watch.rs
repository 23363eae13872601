//! `rproxy sessions watch`: a live session on this terminal, read from its recording as it grows.
//!
//! The session is not involved: it is not slowed, and cannot notice that it is watched.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::find::{self, Live};
use crate::cli::play::keys::KeyPress;
use crate::cli::play::player::{PlayError, Player};
use crate::cli::play::{exit, terminal};
use crate::cli::{Context, Exit, Failure, ui};
use crate::control::{ControlReply, ControlRequest, What};
use crate::model::SessionId;
use crate::recording::{Event, EventKind, ExitNote, Header, Reader, RecordingError, Screen, State};
use crate::store::{self, Tail, file_name};
use crate::sys::account;

/// What is read ahead of what is shown.
const AHEAD: usize = 64;

/// Watch a live session
///
/// It is shown until it ends; q or Ctrl-C ends the watching, not the session. Control sequences that
/// could act on this terminal are left out, and it is as it was before however the watching ends. That
/// somebody watches is audited.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionsWatchArgs {
    /// Id of a session, or its beginning; of a connection, if it has one session
    id: String,
    /// Show first what was there before
    #[arg(long)]
    from_start: bool,
    /// Begin with what the terminal shows now (the default)
    #[arg(long, conflicts_with = "from_start")]
    from_now: bool,
}

/// What the view waits for.
#[derive(Debug)]
enum Feed {
    /// What comes now happens now.
    CaughtUp,
    Event(Event),
    /// There is no more.
    End(State),
    Failed(RecordingError),
    /// The viewer ends the view.
    Quit,
}

/// How the watching ends.
#[derive(Debug)]
enum WatchEnd {
    /// With the session; how that ended, if that is known.
    Session(Box<State>, Option<ExitNote>),
    /// The session goes on.
    Quit,
}

impl SessionsWatchArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let live = find::all(context)?;
        let (found, session) = self.session(&live)?;
        let ask = ControlRequest::Watch {
            session,
            from_start: self.from_start,
            sudo_user: account::sudo_user(),
        };
        match found.process.ask(&ask).map_err(find::failure)? {
            ControlReply::Done(_) => {}
            ControlReply::Pending => {
                return Err(Failure::new(Exit::Internal, "no answer to a question"));
            }
            ControlReply::Refused(why) => {
                return Err(super::refused::refused(&session.to_string(), why));
            }
        }
        // Where it is is ours to know: what a process says names no file that we open.
        let path = context
            .config
            .data_dir
            .recordings()
            .join(file_name(session));
        match self.watch(&path) {
            Ok(WatchEnd::Session(state, exit)) => {
                ui::note(&farewell(&state, exit.as_ref()));
                Ok(())
            }
            Ok(WatchEnd::Quit) => Err(Failure::new(
                Exit::Interrupted,
                "the watching was ended, the session goes on",
            )),
            Err(error) => terminal::failed(error, "cannot watch the session to its end"),
        }
    }

    fn session<'l>(&self, live: &'l [Live]) -> Result<(&'l Live, SessionId), Failure> {
        let (found, what) = find::named(live, &self.id)?;
        let connection = match what {
            What::Session(session) => return Ok((found, session)),
            What::Connection(connection) => connection,
        };
        let sessions = || live.iter().filter(|one| one.row.connection == connection);
        let mut ids = sessions().filter_map(|one| one.row.session.map(|session| (one, session)));
        match (ids.next(), ids.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Failure::new(
                Exit::Failed,
                format!("nothing runs on connection {connection}"),
            )),
            (Some(_), Some(_)) => Err(sessions().filter_map(|one| one.row.session).fold(
                Failure::new(
                    Exit::Failed,
                    format!("connection {connection} has several sessions"),
                ),
                |failure, id| failure.hint(format!("one is {id}")),
            )),
        }
    }

    fn watch(&self, path: &Path) -> Result<WatchEnd, PlayError> {
        let (sender, feed) = sync_channel(AHEAD);
        let told = sender.clone();
        let reader = store::follow(path, move || {
            // The view may be over.
            drop(told.send(Feed::CaughtUp));
        })?;
        let header = reader.header().clone();

        let (pressed, keys) = sync_channel(1);
        terminal::show(
            &header,
            &pressed,
            |_screen| None,
            |player| {
                let quit = sender.clone();
                // These threads end with the process: neither a terminal nor a file can be told to stop
                // waiting.
                std::thread::spawn(move || wait_for_quit(&keys, &quit));
                std::thread::spawn(move || follow(reader, &sender));
                let past = (!self.from_start).then(|| Past::new(&header, player.is_watched()));
                show(&feed, past, player)
            },
        )
    }
}

/// What was there before the view began, without being shown.
struct Past {
    /// The terminal, where there is one on both sides.
    screen: Option<Screen>,
    resized: Option<Event>,
}

impl Past {
    fn new(header: &Header, is_watched: bool) -> Self {
        let has_screen = header.pty.is_some() && is_watched;
        Self {
            screen: has_screen.then(|| Screen::new(header.size())),
            resized: None,
        }
    }

    fn take(&mut self, event: Event) {
        match (&event.kind, &mut self.screen) {
            (EventKind::Output { bytes, .. }, Some(screen)) => screen.feed(bytes),
            (EventKind::Resize { cols, rows }, screen) => {
                if let Some(screen) = screen {
                    screen.resize(*cols, *rows);
                }
                self.resized = Some(event);
            }
            _ => {}
        }
    }

    /// Shows what the terminal shows now.
    fn show(self, player: &mut Player<impl io::Write>) -> io::Result<()> {
        if let Some(resized) = &self.resized {
            player.show(resized)?;
        }
        match self.screen {
            Some(screen) => player.output(&screen.dump()),
            None => Ok(()),
        }
    }
}

fn show(
    feed: &Receiver<Feed>,
    mut past: Option<Past>,
    player: &mut Player<impl io::Write>,
) -> Result<WatchEnd, PlayError> {
    player.begin()?;
    let mut exit = None;
    for fed in feed {
        match fed {
            Feed::CaughtUp => {
                if let Some(past) = past.take() {
                    past.show(player)?;
                }
            }
            Feed::Event(event) => {
                if let EventKind::Exit(note) = &event.kind {
                    exit = Some(note.clone());
                }
                match &mut past {
                    Some(past) => past.take(event),
                    None => player.show(&event)?,
                }
            }
            Feed::End(state) => return Ok(WatchEnd::Session(Box::new(state), exit)),
            Feed::Failed(error) => return Err(error.into()),
            Feed::Quit => return Ok(WatchEnd::Quit),
        }
    }
    Ok(WatchEnd::Quit)
}

/// Reads for as long as the view goes on.
fn follow(mut reader: Reader<Tail>, feed: &SyncSender<Feed>) {
    for event in &mut reader {
        let fed = match event {
            Ok(event) => Feed::Event(event),
            Err(error) => Feed::Failed(error),
        };
        if feed.send(fed).is_err() {
            return;
        }
    }
    // The view may be over.
    drop(feed.send(Feed::End(reader.state().clone())));
}

fn wait_for_quit(keys: &Receiver<KeyPress>, feed: &SyncSender<Feed>) {
    for key in keys {
        if key == KeyPress::Quit {
            // The view may be over.
            drop(feed.send(Feed::Quit));
            return;
        }
    }
}

fn farewell(state: &State, exit: Option<&ExitNote>) -> String {
    match (state, exit.and_then(exit::sentence)) {
        (_, Some(ending)) => ending,
        (State::Truncated, None) => {
            "rproxy: nobody writes the recording any more: the proxy was killed".to_owned()
        }
        (_, None) => "rproxy: the session has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::play::player;
    use crate::model::SessionKind;
    use crate::recording::testing::header;
    use crate::recording::{Pty, Stream};

    fn output(text: &str) -> Feed {
        Feed::Event(Event {
            at: Duration::ZERO,
            kind: EventKind::Output {
                stream: Stream::Stdout,
                bytes: text.as_bytes().to_vec(),
            },
        })
    }

    /// What is shown of this feed.
    fn shown(pty: bool, is_watched: bool, from_start: bool, fed: Vec<Feed>) -> (WatchEnd, String) {
        let header = Header {
            pty: pty.then(|| Pty {
                term: "xterm".into(),
                cols: 20,
                rows: 4,
            }),
            ..header(SessionKind::Shell, false)
        };
        let (sender, feed) = sync_channel(fed.len());
        for one in fed {
            sender.send(one).unwrap();
        }
        let screen = player::Screen {
            size: is_watched.then_some((80, 24)),
            is_watched,
        };
        let mut bytes = Vec::new();
        let mut player = Player::new(&mut bytes, screen, None, &header);
        let past = (!from_start).then(|| Past::new(&header, is_watched));
        let ending = show(&feed, past, &mut player).unwrap();
        drop(player);
        (ending, String::from_utf8(bytes).unwrap())
    }

    fn feed() -> Vec<Feed> {
        vec![
            output("scrolled away\r\n\n\n\n\n\x1b[Hbefore\x1b[2;3"),
            Feed::CaughtUp,
            output("Hafter\x1b]52;c;x\x07"),
            Feed::Quit,
        ]
    }

    #[test]
    fn who_begins_now_sees_the_screen_as_it_is_and_what_follows() {
        let (ending, shown) = shown(true, true, false, feed());
        assert!(matches!(ending, WatchEnd::Quit));
        assert!(!shown.contains("scrolled"), "{shown:?}");
        let (screen, rest) = shown.split_once("before").unwrap();
        assert!(screen.starts_with("\x1b[H\x1b[2J"), "{shown:?}");
        assert!(rest.ends_with("\x1b[2;3Hafter"), "{shown:?}");
    }

    #[test]
    fn who_begins_at_the_start_sees_it_all() {
        let (_, shown) = shown(true, false, true, feed());
        assert!(shown.starts_with("scrolled away\r\n"), "{shown:?}");
        assert!(shown.ends_with("\x1b[2;3Hafter"), "{shown:?}");
    }

    #[test]
    fn a_pipe_gets_what_comes_and_no_screen() {
        for pty in [true, false] {
            let feed = vec![
                output("past"),
                Feed::CaughtUp,
                output("new\n"),
                Feed::Event(Event {
                    at: Duration::ZERO,
                    kind: EventKind::Exit(ExitNote::Status(3)),
                }),
                Feed::End(State::Truncated),
            ];
            let (ending, shown) = shown(pty, false, false, feed);
            assert_eq!(shown, "new\n");
            let WatchEnd::Session(state, exit) = ending else {
                panic!("it ends with the session");
            };
            let farewell = farewell(&state, exit.as_ref());
            assert!(farewell.ends_with("exit status 3"), "{farewell}");
        }
    }
}
