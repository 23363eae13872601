//! What there is, and at which path: how a site answers, and the one for everybody.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::body::Body;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WebError;
use super::keys::PublicKeys;
use super::krl::Krl;
use super::page::{ErrorPage, HttpResponse, set};
use super::server::Server;
use crate::ca::Revocations;
use crate::model::ClusterName;

/// What a listener serves.
pub(super) trait Site: fmt::Debug + Send + Sync + 'static {
    /// A place on it.
    type Resource: Copy + Send + Sync;

    /// The places and their paths.
    const RESOURCES: &'static [(&'static str, Self::Resource)];

    /// Whether this place says if all is well: such a request never waits for others.
    fn is_about_health(_place: Self::Resource) -> bool {
        false
    }

    /// What is there for a question without mistakes.
    fn at(
        &self,
        place: Self::Resource,
        question: Question<'_>,
    ) -> impl Future<Output = Result<HttpResponse, ErrorPage>> + Send;
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) query: &'q str,
    pub(super) headers: &'q HeaderMap,
}

/// The place at a path.
fn place_at<S: Site>(path: &str) -> Option<S::Resource> {
    let mut places = S::RESOURCES.iter();
    places
        .find(|(known, _)| *known == path)
        .map(|(_, place)| *place)
}

/// Whether this path is asked for to learn if all is well.
pub(super) fn is_about_health<S: Site>(path: &str) -> bool {
    place_at::<S>(path).is_some_and(S::is_about_health)
}

/// Answers a request, whatever it is.
pub(super) async fn answer<S: Site>(site: &S, request: Request<impl Body>) -> HttpResponse {
    let Some(place) = place_at::<S>(request.uri().path()) else {
        let known: Vec<_> = S::RESOURCES.iter().map(|(path, _)| *path).collect();
        let hint = format!("there is {}", known.join(" and "));
        let message = "there is nothing at this path";
        return ErrorPage::new(StatusCode::NOT_FOUND, message, hint).answer();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let (message, hint) = ("this can only be read", "ask with GET or HEAD");
        let refusal = ErrorPage::new(StatusCode::METHOD_NOT_ALLOWED, message, hint);
        let mut answer = refusal.answer();
        set(&mut answer, header::ALLOW, "GET, HEAD");
        return answer;
    }
    if has_body(&request) {
        let hint = "send none, and neither Content-Length nor Transfer-Encoding";
        let message = "a question has no body";
        return ErrorPage::new(StatusCode::BAD_REQUEST, message, hint).answer();
    }
    // Of the request only this goes on: its body is not read.
    let (parts, _body) = request.into_parts();
    let question = Question {
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    };
    match site.at(place, question).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.answer(),
    }
}

/// A place for everybody.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Export,
    Krl,
}

/// What everybody may know.
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
