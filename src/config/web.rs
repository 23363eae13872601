//! The keys of `proxy_service` that say whether and how HTTPS is served: several keys, one value.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{Composite, PATH};
use super::section::Section;
use super::value::{self, switch_word, yaml_text};

/// The port of the web where none is given.
pub(super) const WEB_PORT: u16 = 3080;

/// What `proxy_service` says about the web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// `web_listen_addr`.
    pub listen_addr: SocketAddr,
    /// Which certificate HTTPS has, if any.
    pub tls: WebTls,
}

/// Which certificate HTTPS has, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebTls {
    /// The administrator's.
    Files(HttpsFiles),
    /// One that the proxy makes for itself.
    Own,
    /// Plain HTTP is served instead, with `web_plain_http`.
    Plain,
}

/// The files of HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsFiles {
    /// `https_cert_file`.
    pub cert_file: PathBuf,
    /// `https_key_file`.
    pub key_file: PathBuf,
}

/// `proxy_service.https_cert_file`.
pub(super) const HTTPS_CERT_FILE: Key = Key {
    name: "https_cert_file",
    form: PATH.form,
    default: DefaultValue::Nothing,
    doc: "The certificate of HTTPS in PEM, then those of its issuers. It is read again when the \
          file changes. Without it, the proxy makes a certificate for itself, which browsers do not \
          know: its fingerprint is in the log.",
};

/// `proxy_service.https_key_file`.
pub(super) const HTTPS_KEY_FILE: Key = Key {
    name: "https_key_file",
    form: PATH.form,
    default: DefaultValue::Nothing,
    doc: "The private key of that certificate in PEM, unencrypted. A group may read it, everybody \
          may not.",
};

/// `proxy_service.web_plain_http`.
pub(super) const WEB_PLAIN_HTTP: Key = Key {
    name: "web_plain_http",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether HTTP without TLS is served instead, as behind a reverse proxy. Whoever is on the \
          network path can then put keys of their own in the place of the CAs'.",
};

/// The listener of the web, its files, and whether it does without them. Under the key of the
/// listener: without it, there is no web.
pub(super) const WEB: Composite<Option<Web>> = Composite {
    form: ValueType::Text("an address with a port, as in 0.0.0.0:3080, [::]:3080 or :3080"),
    read,
    print: |key, web| {
        let print = |web: &Web| print(key, web);
        web.as_ref().map(print).unwrap_or_default()
    },
    show: |web| switch_word(is_plain(web)).to_owned(),
};

/// Whether HTTP is served without TLS.
pub(super) fn is_plain(web: &Option<Web>) -> bool {
    web.as_ref().is_some_and(|web| web.tls == WebTls::Plain)
}

fn read(
    section: &Section<'_>,
    key: &Key,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Option<Web>> {
    let address = |text: &str| value::listener(key, WEB_PORT, text);
    let is_wanted = section.has(key);
    let listen_addr = section.value(key, address, diagnostics);
    let mut path = |key: &Key| section.value(key, |text| value::absolute(key, text), diagnostics);
    let cert_file = path(&HTTPS_CERT_FILE);
    let key_file = path(&HTTPS_KEY_FILE);
    let plain = section.value(&WEB_PLAIN_HTTP, value::switch, diagnostics)?;
    if !is_wanted {
        return Some(None);
    }
    let listen_addr = listen_addr?;
    let tls = match (cert_file, key_file, plain.value) {
        (Some(cert_file), Some(key_file), false) => WebTls::Files(HttpsFiles {
            cert_file: cert_file.value,
            key_file: key_file.value,
        }),
        (None, None, false) => WebTls::Own,
        (_, _, false) => {
            let message = "https_cert_file and https_key_file are needed together, or neither: then \
                           the proxy makes a certificate for itself";
            diagnostics.error(listen_addr.place, &section.path_to(key.name), message);
            return None;
        }
        (None, None, true) => WebTls::Plain,
        (_, _, true) => {
            let path = section.path_to(WEB_PLAIN_HTTP.name);
            let message = "plain HTTP has no use for https_cert_file and https_key_file";
            diagnostics.error(plain.place, &path, message);
            return None;
        }
    };
    if tls == WebTls::Plain && !listen_addr.value.ip().is_loopback() {
        let path = section.path_to(WEB_PLAIN_HTTP.name);
        let message = "insecure: anybody on the network path can put keys of their own in the \
                       place of the CAs'";
        diagnostics.warning(plain.place, &path, message);
    }
    Some(Some(Web {
        listen_addr: listen_addr.value,
        tls,
    }))
}

fn print(key: &Key, web: &Web) -> Vec<String> {
    let address = yaml_text(&web.listen_addr.to_string());
    let mut lines = vec![format!("{}: {address}", key.name)];
    let path =
        |key: &Key, path: &Path| format!("{}: {}", key.name, yaml_text(&path.to_string_lossy()));
    match &web.tls {
        WebTls::Files(files) => lines.extend([
            path(&HTTPS_CERT_FILE, &files.cert_file),
            path(&HTTPS_KEY_FILE, &files.key_file),
        ]),
        WebTls::Own => {}
        WebTls::Plain => lines.push(format!("{}: {}", WEB_PLAIN_HTTP.name, switch_word(true))),
    }
    lines
}
