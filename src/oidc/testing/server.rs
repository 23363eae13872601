//! A small server of HTTP that writes what it is told to.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct ProviderRequest {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) struct ProviderAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The time in the header, in seconds since the epoch.
    pub(crate) date: Option<i64>,
    /// Written in the place of all this.
    pub(crate) raw: Option<Vec<u8>>,
    /// Written again and again after the rest, each time after this pause, until the other side leaves.
    pub(crate) endless: Option<(Vec<u8>, Duration)>,
}

/// Where connections come from.
pub(super) struct ProviderListener {
    address: SocketAddr,
    socket: Mutex<Option<TcpListener>>,
    down: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    tls: Option<Arc<ServerConfig>>,
}

impl ProviderRequest {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str())
    }
}

impl ProviderAnswer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    pub(crate) fn text(status: u16, kind: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), kind.to_owned())],
            body: body.as_bytes().to_vec(),
            date: None,
            raw: None,
            endless: None,
        }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        let mut answer = Self::text(302, "text/plain", "");
        answer.headers.push(("Location".to_owned(), to.to_owned()));
        answer
    }

    /// These bytes, whatever they are.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        let mut answer = Self::text(200, "text/plain", "");
        answer.raw = Some(bytes.to_vec());
        answer
    }

    fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut head = format!("HTTP/1.1 {} -\r\nConnection: close\r\n", self.status);
        if self.endless.is_none() {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        if let Some(date) = self
            .date
            .and_then(|date| chrono::DateTime::from_timestamp(date, 0))
        {
            head += &format!("Date: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"));
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

impl ProviderListener {
    pub(super) fn plain() -> Self {
        Self::new(None)
    }

    pub(super) fn tls(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key).unwrap();
        let chain = vec![CertificateDer::from(certificate)];
        Self::new(Some(config.with_single_cert(chain, key).unwrap()))
    }

    fn new(tls: Option<ServerConfig>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            socket: Mutex::new(Some(socket)),
            down: Arc::default(),
            thread: Mutex::default(),
            tls: tls.map(Arc::new),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers each connection on a thread of its own.
    pub(super) fn serve(
        &self,
        answer: impl Fn(&ProviderRequest) -> ProviderAnswer + Send + Sync + 'static,
    ) {
        let socket = self.socket().take().expect("a socket that nothing serves");
        self.down.store(false, Ordering::SeqCst);
        let down = Arc::clone(&self.down);
        let (answer, tls) = (Arc::new(answer), self.tls.clone());
        let thread = thread::spawn(move || {
            for stream in socket.incoming() {
                if down.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (answer, tls) = (Arc::clone(&answer), tls.clone());
                thread::spawn(move || match tls {
                    None => serve_one(&stream, &*answer),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve_stream(StreamOwned::new(connection, stream), &*answer);
                    }
                });
            }
        });
        *self.thread() = Some(thread);
    }

    /// Closes the socket: connections are refused from then on.
    pub(super) fn stop(&self) {
        self.down.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread().take() {
            // Wakes the thread, which then closes the socket.
            let _woken = TcpStream::connect(self.address);
            thread.join().expect("a thread that closes its socket");
        }
    }

    /// Binds the socket again.
    pub(super) fn start_again(&self) {
        *self.socket() = Some(TcpListener::bind(self.address).unwrap());
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ProviderListener {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve_one(stream: &TcpStream, answer: &dyn Fn(&ProviderRequest) -> ProviderAnswer) {
    serve_stream(stream, answer);
    let _gone = stream.shutdown(Shutdown::Write);
}

fn serve_stream(
    mut stream: impl Read + Write,
    answer: &dyn Fn(&ProviderRequest) -> ProviderAnswer,
) {
    let Ok(request) = read(&mut stream) else {
        // A client that goes away in the middle is no fault of the server.
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        return;
    };
    let answer = answer(&request);
    if stream
        .write_all(&answer.bytes())
        .and_then(|()| stream.flush())
        .is_err()
    {
        return;
    }
    if let Some((bytes, pause)) = &answer.endless {
        while stream
            .write_all(bytes)
            .and_then(|()| stream.flush())
            .is_ok()
        {
            thread::sleep(*pause);
        }
    }
}

fn read(stream: &mut impl Read) -> std::io::Result<ProviderRequest> {
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        match lines.read_line(&mut line)? {
            0 => Err(std::io::Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let target = words.nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(ProviderRequest {
        path: path.to_owned(),
        query: query.to_owned(),
        body: String::from_utf8(body).unwrap(),
        headers,
    })
}
