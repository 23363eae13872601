//! Every request and its answer, and clients that do not behave, over streams in memory and with a
//! clock that is stopped.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::audit::AuditError;
use crate::relay::{ChannelKey, Kind, Start, Stream, Tap};
use crate::session::{Inbox, Recorder, RecordingPolicy, testing};

/// The account of the proxy.
const OWN: u32 = 997;
/// Room of a stream, in bytes: whole requests and answers.
const ROOM: usize = 64 * 1024;

/// An audit log in memory, or one on a full disk.
#[derive(Debug, Default)]
struct MemoryLog {
    events: Mutex<Vec<Value>>,
    is_full: bool,
}

impl AuditSink for MemoryLog {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let mut value = serde_json::to_value(event).unwrap();
        value["event"] = event.kind().name().into();
        self.events.lock().unwrap().push(value);
        match self.is_full {
            false => Ok(()),
            true => Err(AuditError::Write {
                path: "/full".into(),
                source: io::ErrorKind::StorageFull.into(),
            }),
        }
    }
}

/// A process with one connection.
struct Process {
    context: ControlContext,
    log: Arc<MemoryLog>,
    recorder: Recorder,
    inbox: Inbox,
    connection: ConnectionId,
    _directory: tempfile::TempDir,
}

impl Process {
    fn new(policy: RecordingPolicy) -> Self {
        Self::with_log(policy, MemoryLog::default())
    }

    fn with_log(policy: RecordingPolicy, log: MemoryLog) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let (recorder, registry, inbox) =
            testing::recorder(directory.path(), testing::permit(), policy);
        let log = Arc::new(log);
        let audit: Arc<dyn AuditSink> = Arc::clone(&log) as _;
        Self {
            connection: registry.connections()[0].id,
            context: ControlContext {
                registry,
                audit,
                accounts: Accounts::for_tests(OWN, "rproxy"),
                pid: 7,
            },
            log,
            recorder,
            inbox,
            _directory: directory,
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
        let connection = self.context.registry.connection(self.connection);
        connection.unwrap().sessions().last().unwrap().id
    }

    /// The lines that a client gets for these bytes; it sends nothing after them.
    async fn ask(&self, uid: u32, request: &[u8]) -> Vec<Value> {
        let (mut client, server) = duplex(ROOM);
        client.write_all(request).await.unwrap();
        client.shutdown().await.unwrap();
        self.context.serve(server, uid).await.unwrap().unwrap();
        lines(client).await
    }

    async fn request(&self, request: Value) -> Vec<Value> {
        self.ask(0, format!("{request}\n").as_bytes()).await
    }

    fn events(&self) -> Vec<Value> {
        self.log.events.lock().unwrap().clone()
    }
}

async fn lines(mut client: DuplexStream) -> Vec<Value> {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
    parsed.collect()
}

fn kill(what: Value, reason: Value) -> Value {
    json!({ "ask": "kill", "what": what, "reason": reason, "sudo_user": "carol" })
}

fn watch(session: SessionId) -> Value {
    json!({ "ask": "watch", "session": session, "from_start": true, "sudo_user": null })
}

const SESSIONS: &[u8] = b"{\"ask\":\"sessions\"}\n";

#[tokio::test(start_paused = true)]
async fn root_and_the_own_account_are_answered_and_no_other() {
    let process = Process::new(RecordingPolicy::Off);
    for uid in [0, OWN] {
        let answer = process.ask(uid, SESSIONS).await;
        assert_eq!(answer.last().unwrap(), &json!({ "done": {} }), "{uid}");
    }
    for uid in [1, 1000, u32::MAX] {
        let refused = json!({ "refused": "not-permitted" });
        assert_eq!(process.ask(uid, SESSIONS).await, [refused], "{uid}");
    }
}

/// Before the request is read: a client that says nothing is refused at once.
#[tokio::test(start_paused = true)]
async fn others_are_refused_without_being_waited_for() {
    let process = Process::new(RecordingPolicy::Off);
    let begun = Instant::now();
    let (client, server) = duplex(ROOM);
    process.context.serve(server, 1000).await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(lines(client).await, [json!({ "refused": "not-permitted" })]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_listed_and_then_its_sessions() {
    let mut process = Process::new(RecordingPolicy::Strict);
    let answer = process.request(json!({ "ask": "sessions" })).await;
    let [row, done] = &answer[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(*done, json!({ "done": {} }));
    let row = &row["row"];
    assert_eq!(row["session"], Value::Null);
    assert_eq!(row["connection"], json!(process.connection));
    assert_eq!(
        (&row["kind"], &row["state"]),
        (&json!("connection"), &json!("idle"))
    );
    assert_eq!(
        (&row["login"], &row["host"]),
        (&json!("deploy"), &json!("db1"))
    );
    assert_eq!(row["pid"], 7);

    let (first, second) = (process.start(3), process.start(4));
    process.recorder.data(ChannelKey(3), Stream::Stdin, b"12");
    process.recorder.data(ChannelKey(3), Stream::Stdout, b"345");
    let answer = process.request(json!({ "ask": "sessions" })).await;
    let [one, two, _] = &answer[..] else {
        panic!("{answer:?}")
    };
    let (one, two) = (&one["row"], &two["row"]);
    assert_eq!(
        (&one["session"], &two["session"]),
        (&json!(first), &json!(second))
    );
    assert_eq!(
        (&one["kind"], &one["command"]),
        (&json!("exec"), &json!("command 3"))
    );
    assert_eq!(
        (&one["bytes_in"], &one["bytes_out"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(
        (&one["state"], &one["pty"]),
        (&json!("recording"), &json!(false))
    );
    assert!(one["file"].as_str().unwrap().ends_with(".cast.zst"));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_watched_once_it_is_audited() {
    let mut process = Process::new(RecordingPolicy::Strict);
    let session = process.start(3);
    let answer = process.request(watch(session)).await;
    assert_eq!(answer, [json!({ "done": {} })]);
    let events = process.events();
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event["event"], "session.watched");
    assert_eq!(event["session"], json!(session));
    assert_eq!(event["connection"], json!(process.connection));
    assert_eq!((&event["by"], &event["uid"]), (&json!("root"), &json!(0)));
    assert_eq!(event["from_start"], true);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_watched_is_refused_and_not_audited() {
    let mut process = Process::new(RecordingPolicy::Off);
    let session = process.start(3);
    for (id, refused) in [(session, "not-recorded"), (SessionId::new(), "not-live")] {
        let answer = process.request(watch(id)).await;
        assert_eq!(answer, [json!({ "refused": refused })]);
    }
    assert!(process.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_audited_sessions_end_and_are_not_watched() {
    let log = MemoryLog {
        is_full: true,
        ..MemoryLog::default()
    };
    let mut process = Process::with_log(RecordingPolicy::Strict, log);
    let session = process.start(3);
    let answer = process.request(watch(session)).await;
    assert_eq!(answer, [json!({ "refused": "not-audited" })]);
    let answer = process
        .request(kill(json!({ "session": session }), Value::Null))
        .await;
    assert_eq!(answer, [json!({ "pending": {} })], "nothing ends it here");
    assert_eq!(
        process.inbox.commands.try_recv().unwrap().session,
        Some(session)
    );
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_passed_on_audited_and_answered_when_the_session_has_ended() {
    let mut process = Process::new(RecordingPolicy::Off);
    let (session, other) = (process.start(3), process.start(4));
    let request = kill(json!({ "session": session }), json!("laptop lost"));
    let (mut client, server) = duplex(ROOM);
    client
        .write_all(format!("{request}\n").as_bytes())
        .await
        .unwrap();
    let (served, ()) = tokio::join!(process.context.serve(server, OWN), async {
        let command = process.inbox.commands.recv().await.unwrap();
        assert_eq!(command.session, Some(session));
        assert_eq!(command.by, "rproxy");
        assert_eq!(command.reason.unwrap().to_string(), "laptop lost");
        process.recorder.closed(ChannelKey(3));
    });
    served.unwrap().unwrap();
    assert_eq!(lines(client).await, [json!({ "done": {} })]);
    assert!(process.context.registry.session(other).is_some());
    let events = process.events();
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event["event"], "session.killed");
    assert_eq!(event["session"], json!(session));
    assert_eq!(event["message"], "laptop lost");
    assert_eq!(
        (&event["by"], &event["sudo_user"]),
        (&json!("rproxy"), &json!("carol"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_all_that_runs_on_it() {
    let mut process = Process::new(RecordingPolicy::Off);
    process.start(3);
    let request = kill(json!({ "connection": process.connection }), Value::Null);
    let (mut client, server) = duplex(ROOM);
    client
        .write_all(format!("{request}\n").as_bytes())
        .await
        .unwrap();
    let Process {
        context,
        recorder,
        mut inbox,
        log,
        ..
    } = process;
    let (served, ()) = tokio::join!(context.serve(server, 0), async {
        let command = inbox.commands.recv().await.unwrap();
        assert_eq!((command.session, command.reason), (None, None));
        drop(recorder);
    });
    served.unwrap().unwrap();
    assert_eq!(lines(client).await, [json!({ "done": {} })]);
    assert!(context.registry.connections().is_empty());
    assert_eq!(log.events.lock().unwrap()[0]["session"], Value::Null);
}

/// A connection that ends by itself, as when the proxy stops, reads no commands any more. It is
/// listed, and answered for, until it has ended.
#[tokio::test(start_paused = true)]
async fn what_is_about_to_end_is_listed_and_waited_for() {
    let mut process = Process::new(RecordingPolicy::Strict);
    let session = process.start(3);
    process.inbox.commands.close();
    let begun = Instant::now();
    let answer = process
        .request(kill(json!({ "session": session }), Value::Null))
        .await;
    assert_eq!(answer, [json!({ "pending": {} })]);
    assert_eq!(begun.elapsed(), END_TIMEOUT);
    let answer = process.request(json!({ "ask": "sessions" })).await;
    assert_eq!(answer[0]["row"]["session"], json!(session));
    assert_eq!(
        process.request(watch(session)).await,
        [json!({ "done": {} })]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_live_cannot_be_ended() {
    let process = Process::new(RecordingPolicy::Off);
    for what in [
        json!({ "session": SessionId::new() }),
        json!({ "connection": ConnectionId::new() }),
    ] {
        let answer = process.request(kill(what, Value::Null)).await;
        assert_eq!(answer, [json!({ "refused": "not-live" })]);
    }
    assert!(process.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_would_drive_a_terminal_is_refused_and_nothing_ends() {
    let mut process = Process::new(RecordingPolicy::Off);
    let session = process.start(3);
    let long = "x".repeat(crate::model::text::MAX_REASON + 1);
    for reason in ["\u{1b}[2J", "a\nb", "\u{202e}txt", "", " ", &long] {
        let request = kill(json!({ "session": session }), json!(reason));
        let answer = process.request(request).await;
        assert_eq!(
            answer,
            [json!({ "refused": "not-understood" })],
            "{reason:?}"
        );
    }
    assert!(process.inbox.commands.try_recv().is_err());
    assert!(process.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_size_and_an_end() {
    let process = Process::new(RecordingPolicy::Off);
    let padded = |length: usize| {
        let mut request = b"{\"ask\":\"sessions\"}".to_vec();
        request.resize(length - 1, b' ');
        request.push(b'\n');
        request
    };
    let longest = process.ask(0, &padded(MAX_REQUEST)).await;
    assert_eq!(longest.last().unwrap(), &json!({ "done": {} }));
    let refused = [json!({ "refused": "not-understood" })];
    for request in [
        padded(MAX_REQUEST + 1),
        vec![b'x'; 3 * MAX_REQUEST],
        b"{\"ask\":\"sessions\"}".to_vec(),
        b"{\"ask\":\"shutdown\"}\n".to_vec(),
        b"\n".to_vec(),
        Vec::new(),
    ] {
        assert_eq!(
            process.ask(0, &request).await,
            refused,
            "{} bytes",
            request.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let process = Process::new(RecordingPolicy::Off);
    for begun_with in [&b""[..], b"{\"ask\":"] {
        let begun = Instant::now();
        let (mut client, server) = duplex(ROOM);
        client.write_all(begun_with).await.unwrap();
        let error = process.context.serve(server, 0).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), REQUEST_TIMEOUT);
        assert!(lines(client).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_let_go() {
    let process = Process::new(RecordingPolicy::Off);
    let begun = Instant::now();
    // An answer does not fit, so writing it waits for the client.
    let (mut client, server) = duplex(SESSIONS.len());
    client.write_all(SESSIONS).await.unwrap();
    assert!(process.context.serve(server, 0).await.is_err());
    assert_eq!(begun.elapsed(), CLIENT_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_costs_nothing_and_what_it_asked_for_is_done() {
    let mut process = Process::new(RecordingPolicy::Off);
    let session = process.start(3);
    let request = kill(json!({ "session": session }), Value::Null).to_string();
    let (half, _) = request.split_at(request.len() / 2);
    for (sent, is_done) in [(half.to_owned(), false), (format!("{request}\n"), true)] {
        let (mut client, server) = duplex(ROOM);
        client.write_all(sent.as_bytes()).await.unwrap();
        drop(client);
        // The answer has no reader.
        let served = process.context.serve(server, 0).await.unwrap();
        assert_eq!(served.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(process.inbox.commands.try_recv().is_ok(), is_done);
    }
}
