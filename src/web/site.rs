//! What there is, and at which path.

use std::sync::Arc;

use hyper::body::Body;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, header};
use tokio::sync::watch;

use super::keys::PublicKeys;
use super::krl::Krl;
use super::page::{Answer, Page, Refusal, set};
use crate::ca::Revocations;
use crate::model::ClusterName;

/// A place on the site.
#[derive(Clone, Copy, Debug)]
enum Place {
    Export,
    Krl,
}

/// The places and their paths.
const PLACES: &[(&str, Place)] = &[
    ("/webapi/auth/export", Place::Export),
    ("/webapi/auth/krl", Place::Krl),
];

/// Everything that is served.
#[derive(Debug)]
pub struct Site {
    keys: watch::Receiver<Arc<PublicKeys>>,
    krl: Krl,
}

impl Site {
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

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request<impl Body>) -> Answer {
        let path = request.uri().path();
        let Some((_, place)) = PLACES.iter().find(|(known, _)| *known == path) else {
            let known: Vec<_> = PLACES.iter().map(|(path, _)| *path).collect();
            let hint = format!("there is {}", known.join(" and "));
            let message = "there is nothing at this path";
            return Refusal::new(StatusCode::NOT_FOUND, message, hint).answer();
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let (message, hint) = ("this can only be read", "ask with GET or HEAD");
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message, hint);
            let mut answer = refusal.answer();
            set(&mut answer, header::ALLOW, "GET, HEAD");
            return answer;
        }
        if has_body(&request) {
            let hint = "send none, and neither Content-Length nor Transfer-Encoding";
            let message = "a question has no body";
            return Refusal::new(StatusCode::BAD_REQUEST, message, hint).answer();
        }
        let query = request.uri().query().unwrap_or_default();
        match self.page(*place, query).await {
            Ok(page) => page.answer(request.headers()),
            Err(refusal) => refusal.answer(),
        }
    }

    async fn page(&self, place: Place, query: &str) -> Result<Page, Refusal> {
        match place {
            Place::Export => {
                let keys = Arc::clone(&self.keys.borrow());
                keys.page(query)
            }
            Place::Krl if query.is_empty() => self.krl.page().await,
            Place::Krl => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "the revocation list takes no parameters",
                "ask for /webapi/auth/krl alone",
            )),
        }
    }
}

/// Whether one is announced; it is never read.
fn has_body(request: &Request<impl Body>) -> bool {
    let headers: &HeaderMap = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    !request.body().is_end_stream()
        || headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length != "0")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, Full};

    use super::*;
    use crate::ca::{RevocationLog, Revoked};
    use crate::cert::krl::RevocationList;
    use crate::sys::clock::Clock;

    fn site() -> (Site, watch::Sender<Arc<Revocations>>) {
        let none = PublicKeys {
            user: Vec::new(),
            host: Vec::new(),
        };
        let (_, keys) = watch::channel(Arc::new(none));
        let (sender, revocations) = watch::channel(Arc::default());
        let site = Site::new("example.com".parse().unwrap(), keys, revocations);
        (site, sender)
    }

    fn request(method: &str, target: &str) -> Request<Empty<Bytes>> {
        Request::builder()
            .method(method)
            .uri(target)
            .body(Empty::new())
            .unwrap()
    }

    async fn said(answer: Answer) -> Vec<u8> {
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
            let answer = site.answer(request(method, target)).await;
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
        assert_eq!(
            site.answer(with_body).await.status(),
            StatusCode::BAD_REQUEST
        );
        let announced = Request::get("/webapi/auth/krl").header("content-length", "7");
        let announced = announced.body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(
            site.answer(announced).await.status(),
            StatusCode::BAD_REQUEST
        );
    }

    #[tokio::test]
    async fn the_list_is_the_one_in_force() {
        let (site, sender) = site();
        let krl = || async {
            let answer = site.answer(request("GET", "/webapi/auth/krl")).await;
            RevocationList::decode(&said(answer).await).unwrap()
        };
        assert_eq!(krl().await.version, 0);
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let log = RevocationLog::new(&state, Clock::System);
        let key_id = "mallory".to_owned();
        let revoked = Revoked::KeyId { key_id };
        log.revoke(vec![revoked], "root", None).unwrap();
        sender.send_replace(Arc::new(log.read().unwrap()));
        assert_eq!(krl().await.version, 1);
        assert_eq!(krl().await.comment, "rproxy example.com");
    }
}
