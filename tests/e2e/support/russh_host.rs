//! Hosts that run russh's server, in the test's own process.

use std::net::TcpListener;
use std::sync::Arc;

use russh::keys::{Certificate, PrivateKey};
use russh::server::{self, Handler};

use super::{World, keys};

/// The configuration of a server with the host certificate of a foreign node.
pub(crate) fn config(world: &World, name: &str) -> server::Config {
    let key = world.host_key(name);
    let certificate = keys::with_suffix(&key, "-cert.pub");
    server::Config {
        keys: vec![PrivateKey::read_openssh_file(&key).expect("a key")],
        certificates: vec![Certificate::read_file(&certificate).expect("a certificate")],
        ..server::Config::default()
    }
}

/// Serves one connection after the other, each with a new host; it ends with the test's process.
pub(crate) fn serve<H>(
    listener: TcpListener,
    config: server::Config,
    host: impl Fn() -> H + Send + 'static,
) where
    H: Handler + Send + 'static,
{
    std::thread::spawn(move || {
        let config = Arc::new(config);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for stream in listener.incoming() {
                let stream = stream.expect("the proxy dials");
                stream.set_nonblocking(true).expect("a socket");
                let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
                if let Ok(session) = server::run_stream(Arc::clone(&config), stream, host()).await {
                    // The proxy disconnects when its client does.
                    let _ended = session.await;
                }
            }
        });
    });
}
