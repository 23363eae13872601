//! The registry lists exactly what is live, and one session ends without the others.

mod exact;

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::model::{SessionId, SessionKind};
use crate::recording::{EventKind, Reader, State};
use crate::relay::{ChannelKey, Destination, Kind, Start, Stream, Tap};

/// A recorder whose connection is in a registry.
struct House {
    registry: Registry,
    recorder: Recorder,
    inbox: Inbox,
    directory: tempfile::TempDir,
}

impl House {
    fn new(policy: RecordingPolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (recorder, registry, inbox) =
            testing::recorder(directory.path(), testing::permit(), policy);
        Self {
            recorder,
            registry,
            inbox,
            directory,
        }
    }

    /// Starts a command on a channel; its session.
    fn start(&mut self, channel: u32) -> SessionId {
        let start = Start {
            kind: Kind::Exec(format!("command {channel}").into()),
            pty: None,
            environment: Vec::new(),
            asked: Vec::new(),
        };
        self.recorder.start(ChannelKey(channel), &start).unwrap();
        let connection = self.registry.connections().remove(0);
        let name = format!("command {channel}");
        let is_it = |one: &&Arc<LiveSession>| one.command.as_ref() == Some(&name);
        let sessions = connection.sessions();
        sessions.iter().find(is_it).unwrap().id
    }

    fn audit(&self) -> Vec<Value> {
        let file = self.directory.path().join("data/audit.jsonl");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The audited ends of sessions, as soon as there are so many.
    async fn ends(&self, count: usize) -> Vec<Value> {
        loop {
            let mut events = self.audit();
            events.retain(|event| event["event"] == "session.end");
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Everything in a recording, and how far it goes.
    fn recorded(&self, session: SessionId) -> (Vec<EventKind>, State) {
        let name = crate::store::file_name(session);
        let file = self.directory.path().join("recordings").join(name);
        let mut reader = Reader::open(std::fs::File::open(file).unwrap()).unwrap();
        let events = reader.by_ref().map(|event| event.unwrap().kind).collect();
        (events, reader.state().clone())
    }
}

#[tokio::test]
async fn what_is_live_is_listed_for_as_long_as_it_is() {
    let mut house = House::new(RecordingPolicy::Strict);
    let connection = house.registry.connections().remove(0);
    assert_eq!(connection.login, "deploy");
    assert_eq!(connection.host, "db1");
    assert_eq!(connection.target, "db1.example.com:22");
    assert!(connection.sessions().is_empty());

    let id = house.start(3);
    let (found, session) = house.registry.session(id).unwrap();
    assert_eq!(found.id, connection.id);
    assert_eq!(session.kind, SessionKind::Exec);
    assert!(session.file.as_ref().unwrap().is_file());
    for (stream, bytes) in [
        (Stream::Stdin, "12"),
        (Stream::Stdout, "345"),
        (Stream::Stderr, "6789"),
    ] {
        house.recorder.data(ChannelKey(3), stream, bytes.as_bytes());
    }
    assert_eq!((session.bytes_in(), session.bytes_out()), (2, 7));
    assert!(!session.is_incomplete());
    assert!(!session.gone().is_cancelled());
    house.recorder.closed(ChannelKey(3));
    session.gone().cancelled().await;
    assert!(house.registry.session(id).is_none());
    assert!(house.registry.connection(connection.id).is_some());

    let destination = Destination::Unix("/run/x".into());
    house.recorder.forward(ChannelKey(4), &destination).unwrap();
    assert_eq!(connection.sessions()[0].kind, SessionKind::Forward);
    let House {
        registry, recorder, ..
    } = house;
    drop(recorder);
    assert!(connection.gone().is_cancelled());
    assert!(connection.sessions().is_empty());
    assert!(registry.connections().is_empty());
}

#[tokio::test]
async fn without_a_recording_there_is_no_file() {
    let mut house = House::new(RecordingPolicy::Off);
    let id = house.start(0);
    let (_, session) = house.registry.session(id).unwrap();
    assert!(session.file.is_none() && session.is_incomplete());
}

/// Has recordings synced in another way from now on.
fn sync_by(
    house: &mut House,
    sync: impl Fn(&std::fs::File) -> std::io::Result<()> + Send + Sync + 'static,
) {
    let store = &mut house.recorder.recording.store;
    *store = store.clone().synced_by(sync);
}

/// A slow disk keeps no relay waiting, and meanwhile no recording is called complete.
#[tokio::test]
async fn an_end_is_audited_when_the_disk_has_the_recording_and_not_before() {
    let mut house = House::new(RecordingPolicy::Strict);
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    sync_by(&mut house, move |_| {
        told.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let (first, second) = (house.start(0), house.start(1));
    let (_, slow) = house.registry.session(first).unwrap();
    house.recorder.closed(ChannelKey(0));
    assert!(house.registry.session(first).is_none());
    let bytes = b"meanwhile";
    house.recorder.data(ChannelKey(1), Stream::Stdout, bytes);
    house.recorder.commit().unwrap();
    let (events, _) = house.recorded(second);
    assert!(matches!(events.last(), Some(EventKind::Output { bytes: b, .. }) if b == bytes));
    let ends = |events: &[Value]| events.iter().any(|event| event["event"] == "session.end");
    assert!(!ends(&house.audit()), "the disk does not have it yet");
    assert!(!slow.gone().is_cancelled());
    go_on.send(()).unwrap();
    slow.gone().cancelled().await;
    let end = house.ends(1).await.remove(0);
    assert_eq!(end["session"], first.to_string());
    assert_eq!(end["recording"], "complete");
    drop(go_on);
}

#[tokio::test]
async fn a_sync_that_fails_is_an_event_and_the_recording_is_not_called_complete() {
    let mut house = House::new(RecordingPolicy::Strict);
    sync_by(&mut house, |_| Err(std::io::Error::from_raw_os_error(5)));
    let id = house.start(0);
    house.recorder.closed(ChannelKey(0));
    let end = house.ends(1).await.remove(0);
    assert_eq!(end["recording"], "incomplete");
    let events = house.audit();
    let failed = events
        .iter()
        .find(|event| event["event"] == "recording.sync_failed")
        .unwrap();
    assert_eq!(failed["code"], "RP2009E");
    assert_eq!(failed["session"], id.to_string());
    assert!(failed["error"].as_str().unwrap().contains("os error 5"));
}

#[tokio::test]
async fn one_session_is_ended_and_sealed_and_the_other_is_recorded_on() {
    let mut house = House::new(RecordingPolicy::Strict);
    let (doomed, spared) = (house.start(0), house.start(1));
    let destination = Destination::Unix("/run/x".into());
    house.recorder.forward(ChannelKey(2), &destination).unwrap();
    let place = house.recorder.place(doomed).unwrap();
    assert_eq!(place, SessionLocation::Channel(ChannelKey(0)));
    house
        .recorder
        .end_one(place, "ended by root: why", "killed");
    assert_eq!(house.recorder.place(doomed), None);
    assert!(house.registry.session(doomed).is_none());
    let end = house.ends(1).await.remove(0);
    let (events, state) = house.recorded(doomed);
    assert!(matches!(state, State::Complete(_)), "{state:?}");
    let is_marker = |kind: &EventKind| *kind == EventKind::Marker("ended by root: why".to_owned());
    assert!(events.iter().any(is_marker), "{events:?}");
    assert_eq!(end["session"], doomed.to_string());
    assert_eq!(end["reason"], "killed");

    // What is said of a channel that is gone is about nothing.
    house.recorder.data(ChannelKey(0), Stream::Stdout, b"late");
    house.recorder.closed(ChannelKey(0));
    house
        .recorder
        .data(ChannelKey(1), Stream::Stdout, b"on time");
    house.recorder.commit().unwrap();
    let (events, state) = house.recorded(spared);
    assert_eq!(state, State::Truncated);
    assert!(matches!(events.last(), Some(EventKind::Output { bytes, .. }) if bytes == b"on time"));

    let connection = house.registry.connections().remove(0);
    let forwards = connection.sessions().pop().unwrap().id;
    assert_eq!(
        house.recorder.place(forwards),
        Some(SessionLocation::Forwards)
    );
    house
        .recorder
        .end_one(SessionLocation::Forwards, "why", "killed");
    house.recorder.closed(ChannelKey(2));
    let live: Vec<_> = connection.sessions().iter().map(|one| one.id).collect();
    assert_eq!(live, [spared]);
    house.recorder.mark_all("all of it");
    house.recorder.end("killed");
    assert!(house.registry.connections().is_empty());
    assert!(connection.gone().is_cancelled());
    let (events, _) = house.recorded(spared);
    let is_marker = |kind: &EventKind| *kind == EventKind::Marker("all of it".to_owned());
    assert!(events.iter().any(is_marker), "{events:?}");
}

#[tokio::test]
async fn orders_are_passed_on_and_do_not_pile_up() {
    let mut house = House::new(RecordingPolicy::Off);
    let connection = house.registry.connections().remove(0);
    let order = || {
        connection.order(SessionCommand {
            session: None,
            by: "root".to_owned(),
            reason: None,
        })
    };
    let taken = (0..1000).take_while(|_| order()).count();
    assert!((1..100).contains(&taken), "{taken}");
    assert!(house.inbox.commands.recv().await.is_some());
    assert!(order());
    house.inbox.commands.close();
    assert!(!order());
}
