//! Where the certificate of HTTPS is: with the administrator's files, or in the data directory.

use std::path::PathBuf;

use super::Config;
use super::web::{HttpsFiles, WebTls};

impl Config {
    /// The files of HTTPS, whoever makes them; `None` where it is not served.
    #[must_use]
    pub fn https_files(&self) -> Option<HttpsFiles> {
        match &self.proxy.web.as_ref()?.tls {
            WebTls::Files(files) => Some(files.clone()),
            WebTls::Own => {
                let file = self.own_https_file()?;
                Some(HttpsFiles {
                    cert_file: file.clone(),
                    key_file: file,
                })
            }
            WebTls::Plain => None,
        }
    }

    /// The file with the certificate that the proxy makes for itself, and with its key; `None` where it makes
    /// none.
    #[must_use]
    pub fn own_https_file(&self) -> Option<PathBuf> {
        let web = self.proxy.web.as_ref()?;
        (web.tls == WebTls::Own).then(|| self.data_dir.web().join("https.pem"))
    }
}
