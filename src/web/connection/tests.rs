//! Clients that ask for too much, too slowly, or in a way that two programs would read differently.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Semaphore;

use super::*;
use crate::web::slots::Places;

/// Answers at once with a body of this length; or waits until it is let.
#[derive(Debug)]
struct Double {
    length: usize,
    hold: Option<Semaphore>,
}

impl Answers for Double {
    const KEEPS_ALIVE: bool = true;

    fn purpose(&self, _path: &str) -> RequestPurpose {
        RequestPurpose::Browsing
    }

    fn logged_path(&self, _path: &str) -> &'static str {
        "/"
    }

    async fn answer(&self, _info: &ServedConnection, _request: Request<Body>) -> Response<Body> {
        if let Some(hold) = &self.hold {
            hold.acquire().await.unwrap().forget();
        }
        Response::new(Body::from("x".repeat(self.length)))
    }
}

/// A client's end, and the connection, which is served until it ends.
struct ClientEnd {
    stream: DuplexStream,
    served: tokio::task::JoinHandle<()>,
    answers: Arc<Double>,
    closing: CancellationToken,
}

fn connect(is_http2: bool, length: usize, hold: bool) -> ClientEnd {
    let (stream, far) = tokio::io::duplex(64 * 1024);
    let answers = Arc::new(Double {
        length,
        hold: hold.then(|| Semaphore::new(0)),
    });
    let closing = CancellationToken::new();
    let client: SocketAddr = "192.0.2.7:4000".parse().unwrap();
    let info = ServedConnection {
        is_http2,
        ..ServedConnection::plain(client)
    };
    let (of_server, ends) = (Arc::clone(&answers), closing.clone());
    let served = tokio::spawn(async move {
        let slot = Arc::new(Places::new().enter(client.ip()));
        serve(far, info, of_server, &slot, ends).await;
    });
    ClientEnd {
        stream,
        served,
        answers,
        closing,
    }
}

impl ClientEnd {
    /// What arrives until the connection ends. The clock is wound forward while nothing happens.
    async fn rest(mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _cut_off = self.stream.read_to_end(&mut all).await;
        self.served.await.unwrap();
        all
    }

    /// Asks once with HTTP/1.1; the status line, or nothing if the connection has ended.
    async fn asks(&mut self) -> Option<String> {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.stream.write_all(request).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let mut body = vec![0; self.answers.length];
        self.stream.read_exact(&mut body).await.ok()?;
        let head = String::from_utf8(head).unwrap();
        Some(head.lines().next()?.to_owned())
    }
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://localhost/` in HPACK.
const GET: &[u8] = b"\x82\x86\x84\x41\x09localhost";

fn preface() -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
    ]
    .concat()
}

/// The kinds of the frames, each with its stream.
fn frames(bytes: &[u8]) -> Vec<(u8, u32)> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        found.push((head[3], stream));
        rest = after.get(length as usize..).unwrap_or_default();
    }
    found
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_nothing_is_not_waited_for() {
    for is_http2 in [false, true] {
        let silent = connect(is_http2, 1, false);
        let began = tokio::time::Instant::now();
        silent.rest().await;
        assert!(began.elapsed() < 2 * PATIENCE, "{is_http2}");
    }
    // A byte now and then is no request.
    let mut slow = connect(false, 1, false);
    let began = tokio::time::Instant::now();
    slow.stream
        .write_all(b"GET / HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    while !slow.served.is_finished() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _gone = slow.stream.write_all(b"x").await;
    }
    assert!(began.elapsed() < 3 * PATIENCE);
    // Neither is one of HTTP/2 that says hello and no more.
    let mut hello = connect(true, 1, false);
    hello.stream.write_all(&preface()).await.unwrap();
    let began = tokio::time::Instant::now();
    hello.rest().await;
    assert!(began.elapsed() < 3 * PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_connection_gets_so_many_requests_and_no_more() {
    let mut client = connect(false, 1, false);
    for number in 0..MAX_REQUESTS {
        let status = client.asks().await;
        assert_eq!(status.as_deref(), Some("HTTP/1.1 200 OK"), "{number}");
    }
    assert_eq!(client.asks().await, None);
    client.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_a_while_and_no_longer() {
    let mut client = connect(false, 1, false);
    let began = tokio::time::Instant::now();
    while client.asks().await.is_some() {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(began.elapsed() >= KEPT && began.elapsed() < KEPT + PATIENCE);
}

/// A client that does not read its answer holds it for a while.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_dropped() {
    for is_http2 in [false, true] {
        let mut client = connect(is_http2, 4 * 1024 * 1024, false);
        let request = match is_http2 {
            false => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            true => [preface(), frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)].concat(),
        };
        client.stream.write_all(&request).await.unwrap();
        let began = tokio::time::Instant::now();
        client.served.await.unwrap();
        assert!(began.elapsed() <= KEPT + LONGEST + PATIENCE, "{is_http2}");
    }
}

/// At an upgrade: what was asked is answered, and who has not asked is told to go.
#[tokio::test(start_paused = true)]
async fn closing_waits_for_answers_and_for_nothing_else() {
    let mut client = connect(false, 1, true);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.stream.write_all(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.closing.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!client.served.is_finished());
    client.answers.hold.as_ref().unwrap().add_permits(1);
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for is_http2 in [false, true] {
        let idle = connect(is_http2, 1, false);
        let began = tokio::time::Instant::now();
        idle.closing.cancel();
        idle.rest().await;
        assert!(began.elapsed() <= 2 * FAREWELL, "{is_http2}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_answers() {
    let mut client = connect(true, 3, false);
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, GET);
    client
        .stream
        .write_all(&[preface(), request].concat())
        .await
        .unwrap();
    let all = client.rest().await;
    assert!(all.windows(3).any(|window| window == b"xxx"));
    let kinds = frames(&all);
    assert!(kinds.contains(&(HEADERS, 1)), "{kinds:?}");
}

/// Requests that are broken off at once (CVE-2023-44487): the connection is ended after some.
#[tokio::test(start_paused = true)]
async fn rapid_resets_end_the_connection() {
    let mut client = connect(true, 1, true);
    client.stream.write_all(&preface()).await.unwrap();
    let mut sent = 0;
    for number in 0..20_000_u32 {
        let stream = 2 * number + 1;
        let both = [
            frame(HEADERS, END_STREAM | END_HEADERS, stream, GET),
            frame(RESET, 0, stream, &8_u32.to_be_bytes()),
        ];
        if client.stream.write_all(&both.concat()).await.is_err() {
            break;
        }
        sent += 1;
    }
    client.served.await.unwrap();
    assert!(sent < 20_000, "{sent}");
}

/// Headers that do not end (CVE-2024-27983 and others).
#[tokio::test(start_paused = true)]
async fn headers_without_end_end_the_connection() {
    let mut client = connect(true, 1, false);
    client.stream.write_all(&preface()).await.unwrap();
    let first = frame(HEADERS, END_STREAM, 1, GET);
    client.stream.write_all(&first).await.unwrap();
    // A header that is in no table: "x" with a value of 100 bytes.
    let header = [&b"\x00\x01x\x64"[..], &[b'y'; 100]].concat();
    let mut sent = 0;
    for _ in 0..100_000 {
        let more = frame(CONTINUATION, 0, 1, &header);
        if client.stream.write_all(&more).await.is_err() {
            break;
        }
        sent += more.len();
    }
    client.served.await.unwrap();
    assert!(sent < 4 * 1024 * 1024, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn requests_of_http_2_at_a_time_are_bounded() {
    let mut client = connect(true, 1, true);
    let mut all = preface();
    for number in 0..MAX_STREAMS + 10 {
        let stream = 2 * number + 1;
        all.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
    }
    client.stream.write_all(&all).await.unwrap();
    let kinds = frames(&client.rest().await);
    let refused = kinds.iter().filter(|(kind, _)| *kind == RESET).count();
    assert!(refused >= 10, "{kinds:?}");
}

/// Two programs that disagree about where such a request ends: the rest of it is never a request.
#[tokio::test(start_paused = true)]
async fn nothing_is_smuggled_behind_a_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = smuggled.len() + 5;
    for head in [
        // CL.TE and TE.CL
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        // TE.TE
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        // CL.CL
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: 5, 5\r\n".to_owned(),
    ] {
        let app = crate::web::app::tests::app();
        let (mut stream, far) = tokio::io::duplex(64 * 1024);
        let client: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let served = tokio::spawn(async move {
            let slot = Arc::new(Places::new().enter(client.ip()));
            let info = ServedConnection::plain(client);
            let never = CancellationToken::new();
            serve(far, info, Arc::new(app), &slot, never).await;
        });
        let request = format!(
            "POST /api/v1/about HTTP/1.1\r\nHost: localhost\r\nRproxy-Request: 1\r\n\
             Content-Type: application/json\r\n{head}\r\n0\r\n\r\n{smuggled}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let _cut_off = stream.read_to_end(&mut all).await;
        served.await.unwrap();
        let all = String::from_utf8(all).unwrap();
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{head:?}: {all}");
        let status = all.get(..12).unwrap_or_default();
        let is_refused = ["HTTP/1.1 400", "HTTP/1.1 411"].contains(&status);
        assert!(is_refused, "{head:?}: {all}");
    }
}
