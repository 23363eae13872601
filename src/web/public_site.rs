//! The site for all clients: the CAs' public keys and the revocation list.

use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WebError;
use super::keys::PublicKeys;
use super::krl::Krl;
use super::page::{ErrorPage, HttpResponse};
use super::server::Server;
use super::site::{Question, Site};
use crate::ca::Revocations;
use crate::model::ClusterName;

/// What is at its paths.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Export,
    Krl,
}

/// What any client may read.
#[derive(Debug)]
pub struct PublicSite {
    keys: watch::Receiver<Arc<PublicKeys>>,
    krl: Krl,
}

impl PublicSite {
    /// What is served follows the senders.
    #[must_use]
    pub fn new(
        cluster: ClusterName,
        keys: watch::Receiver<Arc<PublicKeys>>,
        revocations: watch::Receiver<Arc<Revocations>>,
    ) -> Self {
        Self {
            keys,
            krl: Krl::new(cluster, revocations),
        }
    }
}

impl PublicSite {
    /// Serves it on a thread of its own until `shutdown`.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub fn serve(
        self,
        server: Server,
        shutdown: CancellationToken,
    ) -> Result<JoinHandle<()>, WebError> {
        server.start("web", self, shutdown)
    }
}

impl Site for PublicSite {
    type Resource = Resource;

    const RESOURCES: &'static [(&'static str, Resource)] = &[
        ("/webapi/auth/export", Resource::Export),
        ("/webapi/auth/krl", Resource::Krl),
    ];

    async fn at(&self, place: Resource, question: Question<'_>) -> Result<HttpResponse, ErrorPage> {
        let Question { query, headers } = question;
        let page = match place {
            Resource::Export => {
                let keys = Arc::clone(&self.keys.borrow());
                keys.page(query)?
            }
            Resource::Krl if query.is_empty() => self.krl.page().await?,
            Resource::Krl => {
                return Err(ErrorPage::new(
                    StatusCode::BAD_REQUEST,
                    "the revocation list takes no parameters",
                    "ask for /webapi/auth/krl alone",
                ));
            }
        };
        Ok(page.answer(headers))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, Full};
    use hyper::Request;

    use super::*;
    use crate::ca::{RevocationLog, RevocationStore as _, Revoked};
    use crate::cert::krl::RevocationList;
    use crate::sys::clock::Clock;
    use crate::web::site::answer;

    fn site() -> (PublicSite, watch::Sender<Arc<Revocations>>) {
        let none = PublicKeys {
            user: Vec::new(),
            host: Vec::new(),
        };
        let (_, keys) = watch::channel(Arc::new(none));
        let (sender, revocations) = watch::channel(Arc::default());
        let site = PublicSite::new("example.com".parse().unwrap(), keys, revocations);
        (site, sender)
    }

    fn request(method: &str, target: &str) -> Request<Empty<Bytes>> {
        Request::builder()
            .method(method)
            .uri(target)
            .body(Empty::new())
            .unwrap()
    }

    async fn said(answer: HttpResponse) -> Vec<u8> {
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec()
    }

    #[tokio::test]
    async fn only_what_there_is_can_be_read() {
        let (site, _sender) = site();
        for (method, target, status) in [
            ("GET", "/webapi/auth/export?type=user", 200),
            ("HEAD", "/webapi/auth/krl", 200),
            ("GET", "/", 404),
            ("POST", "/", 404),
            ("GET", "/webapi/auth/krl/", 404),
            ("GET", "/webapi/auth/../auth/krl", 404),
            ("GET", "*", 404),
            ("POST", "/webapi/auth/krl", 405),
            ("DELETE", "/webapi/auth/export?type=user", 405),
            ("BREW", "/webapi/auth/krl", 405),
            ("GET", "/webapi/auth/krl?version=1", 400),
            ("GET", "/webapi/auth/export", 400),
        ] {
            let answer = answer(&site, request(method, target)).await;
            assert_eq!(answer.status().as_u16(), status, "{method} {target}");
            if status >= 400 {
                let said = String::from_utf8(said(answer).await).unwrap();
                assert!(said.starts_with("rproxy: ") && said.contains("\n  hint: "));
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_refused() {
        let (site, _sender) = site();
        let with_body = Request::get("/webapi/auth/krl");
        let with_body = with_body.body(Full::new(Bytes::from("x"))).unwrap();
        let refused = answer(&site, with_body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let announced = Request::get("/webapi/auth/krl").header("content-length", "7");
        let announced = announced.body(Empty::<Bytes>::new()).unwrap();
        let refused = answer(&site, announced).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn the_list_is_the_one_in_force() {
        let (site, sender) = site();
        let krl = || async {
            let list = answer(&site, request("GET", "/webapi/auth/krl")).await;
            RevocationList::decode(&said(list).await).unwrap()
        };
        assert_eq!(krl().await.version, 0);
        let directory = tempfile::tempdir().unwrap();
        let state = crate::model::DataDir::new(directory.path().join("state"));
        let log = RevocationLog::new(&state, Clock::System);
        let key_id = "mallory".to_owned();
        let revoked = Revoked::of_key_id(key_id);
        log.revoke(vec![revoked], "root", None).unwrap();
        sender.send_replace(Arc::new(log.read().unwrap()));
        assert_eq!(krl().await.version, 1);
        assert_eq!(krl().await.comment, "rproxy example.com");
    }
}
