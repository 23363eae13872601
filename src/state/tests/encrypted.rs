//! Connections with TLS to a real server, with certificates that the test makes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::state::testing::NOW;
use crate::state::testing::server::PostgresServer;
use crate::state::{State, StateError, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::{self, PRIVATE_FILE, Replace, write_whole};
use crate::sys::skipped;

/// A server with TLS, and a CA.
struct Encrypted {
    server: PostgresServer,
    port: u16,
    database: String,
    directory: TempDir,
}

impl Encrypted {
    /// `None` if PostgreSQL or openssl is not installed.
    fn start() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            skipped::lacks("openssl");
            return None;
        }
        // The port is free again when the server takes it.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let Some(server) = PostgresServer::start_at(port) else {
            skipped::lacks("PostgreSQL");
            return None;
        };
        let database = server.database();
        let (_, name) = database.split_once("@/").unwrap();
        let (name, _) = name.split_once('?').unwrap();
        let encrypted = Self {
            port,
            database: name.to_owned(),
            server,
            directory: fs::private_tempdir(),
        };
        encrypted.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 \
             -keyout ca.key -out ca.pem",
        );
        encrypted.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 \
             -keyout other.key -out other.pem",
        );
        Some(encrypted)
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace());
        let output = openssl.current_dir(self.directory.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn ca(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has the server show a certificate of the CA for this host, which is valid for so many days from now
    /// on, or was.
    fn shows(&self, host: &str, days: i32) {
        let read = |name: &str| std::fs::read(self.ca(name)).unwrap();
        let names = format!("subjectAltName=DNS:{host}\n");
        let file = self.ca("names");
        write_whole(&file, names.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
             -keyout server.key -out server.csr",
        );
        self.openssl(&format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -extfile names -out server.pem"
        ));
        let certificate = self.server.give("server.pem", &read("server.pem"));
        let key = self.server.give("server.key", &read("server.key"));
        self.listens(&format!(
            "-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}",
            certificate.display(),
            key.display()
        ));
    }

    fn listens(&self, more: &str) {
        let options = format!("-c listen_addresses=127.0.0.1 {more}");
        self.server.start_again_with(&options);
    }

    /// Opens the state over TCP, with these options in its URL.
    fn open(&self, options: &str) -> Result<State, StateError> {
        let (port, database) = (self.port, &self.database);
        let url = format!("postgresql://rproxy@localhost:{port}/{database}?{options}");
        State::open(
            &StatePlace::Postgres(url.parse().unwrap()),
            Clock::Fixed(NOW),
        )
    }

    /// Why it cannot be opened.
    fn refused(&self, options: &str) -> String {
        self.open(options).unwrap_err().to_string()
    }
}

fn with_roots(mode: &str, roots: &Path) -> String {
    format!("sslmode={mode}&sslrootcert={}", roots.display())
}

/// Whether the connections of a state are encrypted, as the server sees them.
fn is_encrypted(state: &State) -> bool {
    let sql = "SELECT COUNT(*) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    state.database.read(|tx| tx.number(sql, &[])).unwrap() == 1
}

#[test]
fn a_server_is_trusted_by_its_ca_its_name_and_its_time() {
    let Some(server) = Encrypted::start() else {
        return;
    };
    let (ca, other) = (server.ca("ca.pem"), server.ca("other.pem"));
    let full = with_roots("verify-full", &ca);

    server.shows("localhost", 2);
    for options in [
        full.as_str(),
        &format!("sslrootcert={}", ca.display()),
        &with_roots("verify-ca", &ca),
        "sslmode=require",
        "sslmode=prefer",
    ] {
        assert!(is_encrypted(&server.open(options).unwrap()), "{options}");
    }
    assert!(!is_encrypted(&server.open("sslmode=disable").unwrap()));
    for options in [
        with_roots("verify-full", &other),
        with_roots("verify-ca", &other),
        // The CAs of the system.
        "sslmode=verify-full".to_owned(),
    ] {
        let refused = server.refused(&options);
        assert!(refused.contains("CA"), "{options}: {refused}");
    }

    server.shows("db.example.com", 2);
    let refused = server.refused(&full);
    assert!(refused.contains("another host"), "{refused}");
    assert!(refused.contains("db.example.com"), "{refused}");
    assert!(is_encrypted(
        &server.open(&with_roots("verify-ca", &ca)).unwrap()
    ));

    server.shows("localhost", -1);
    for mode in ["verify-full", "verify-ca"] {
        let refused = server.refused(&with_roots(mode, &ca));
        assert!(refused.contains("has expired"), "{refused}");
    }

    server.listens("");
    for options in [full.as_str(), "sslmode=require"] {
        let refused = server.refused(options);
        assert!(refused.contains("TLS"), "{refused}");
    }
    assert!(!is_encrypted(&server.open("sslmode=prefer").unwrap()));
}

#[test]
fn a_file_without_certificates_is_named() {
    let directory = fs::private_tempdir();
    let file = directory.path().join("ca.pem");
    let open = || {
        let url = format!(
            "postgresql://rproxy@localhost/rproxy?sslrootcert={}",
            file.display()
        );
        let place = StatePlace::Postgres(url.parse().unwrap());
        State::open(&place, Clock::Fixed(NOW))
            .unwrap_err()
            .to_string()
    };
    assert!(open().contains("ca.pem"), "{}", open());
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n"] {
        write_whole(&file, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        assert!(open().contains("ca.pem"), "{}", open());
    }
}
