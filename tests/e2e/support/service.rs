//! The destination of forwards: a service that answers when the other side has sent all its data.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hostile::string;

/// The beginning of every answer.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nanswer: ";

/// Bytes that no encoding survives by accident.
pub(crate) fn bytes() -> Vec<u8> {
    (0..=255).cycle().take(100_000).collect()
}

/// Starts a service on a port of loopback; it answers as long as the test runs.
pub(crate) fn on_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(&stream, &stream);
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    });
    port
}

/// Starts a server on a port of loopback that does not speak SSH: it sends these bytes to a client
/// that has sent data, and then closes the connection or keeps it open. Also returns how often it
/// was connected to.
pub(crate) fn that_says(words: &'static [u8], stays: bool) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _asked = stream.read(&mut [0; 4096]);
            stream.write_all(words).unwrap_or_default();
            if stays {
                kept.push(stream);
            }
        }
    });
    (port, count)
}

/// The first bytes of a host that has host keys of this type only: identification and KEXINIT
/// (RFC 4253, 4.2 and 7.1).
pub(crate) fn host_with_keys_of(kind: &str) -> &'static [u8] {
    let (cipher, mac) = ("aes128-gcm@openssh.com", "hmac-sha2-256");
    let lists = [
        "curve25519-sha256",
        kind,
        cipher,
        cipher,
        mac,
        mac,
        "none",
        "none",
        "",
        "",
    ];
    let mut payload = vec![20];
    payload.extend([7; 16]);
    payload.extend(lists.iter().flat_map(|list| string(list.as_bytes())));
    payload.extend([0; 5]);
    let padding = 4 + (8 - (5 + payload.len() + 4) % 8) % 8;
    let mut packet = vec![u8::try_from(padding).expect("few")];
    packet.extend(payload);
    packet.extend(vec![0; padding]);
    [b"SSH-2.0-Young\r\n".as_slice(), &string(&packet)]
        .concat()
        .leak()
}

/// Starts something on a port of loopback that passes everything on to an address, and back.
pub(crate) fn that_leads_to(address: impl Fn() -> SocketAddr + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(address()).expect("somebody listens");
            for (mut from, mut to) in [(&near, &far), (&far, &near)]
                .map(|(from, to)| (from.try_clone(), to.try_clone()))
                .map(|(from, to)| (from.expect("a socket"), to.expect("a socket")))
            {
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).unwrap_or_default();
                    to.shutdown(Shutdown::Write).unwrap_or_default();
                });
            }
        }
    });
    port
}

/// Starts one on a Unix socket.
pub(crate) fn on_socket(path: &Path) {
    let listener = UnixListener::bind(path).expect("a short path");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(&stream, &stream);
        }
    });
}

/// A request ends as HTTP's do, or with the stream.
fn answer(mut from: impl Read, mut to: impl Write) {
    let mut asked = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        asked.extend_from_slice(&buffer[..count]);
        if asked.starts_with(b"GET ") && asked.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    // A client that has disconnected needs no answer.
    to.write_all(&[ANSWER, &asked].concat()).unwrap_or_default();
}

/// Says something to a port and hears everything that comes back.
pub(crate) fn ask(port: u16, bytes: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    let mut writer = stream.try_clone().expect("a socket");
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || {
        // A stream that is closed in the middle is what some tests are about.
        writer.write_all(&bytes).unwrap_or_default();
        writer.shutdown(Shutdown::Write).unwrap_or_default();
    });
    let mut heard = Vec::new();
    (&stream).read_to_end(&mut heard).unwrap_or_default();
    writing.join().expect("the writer does not panic");
    heard
}

/// Whether a process listens on a port.
pub(crate) fn listens(port: u16) -> bool {
    // Connecting would open a channel: look at the table instead.
    let wanted = format!("0100007F:{port:04X} 00000000:0000 0A");
    std::fs::read_to_string("/proc/net/tcp").is_ok_and(|table| table.contains(&wanted))
}
