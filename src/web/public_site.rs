//! The site for all clients: the CAs' public keys, the revocation list, and the pages with which people
//! sign in at an identity provider.

use std::sync::Arc;

use hyper::StatusCode;
use tokio::sync::watch;

use super::keys::PublicDocuments;
use super::krl;
use super::page::{ErrorPage, HttpResponse};
use super::purpose::RequestPurpose;
use super::sign_in::SignInPages;
use super::site::{Question, Site};
use crate::ipc::Browser;
use crate::model::ClusterName;

/// What is at its paths.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Export,
    Krl,
    /// The link that a terminal shows.
    Login,
    /// Where the identity provider sends the browser back to.
    Callback,
}

/// What any client may read.
#[derive(Debug)]
pub(super) struct PublicSite {
    documents: watch::Receiver<Arc<PublicDocuments>>,
    /// `None` if there is no identity provider.
    sign_in: Option<SignInPages>,
}

impl PublicSite {
    /// What is served follows the sender. With `browser`, people sign in at an identity provider.
    pub(super) fn new(
        cluster: ClusterName,
        documents: watch::Receiver<Arc<PublicDocuments>>,
        browser: Option<Arc<dyn Browser>>,
    ) -> Self {
        Self {
            documents,
            sign_in: browser.map(|browser| SignInPages::new(cluster, browser)),
        }
    }
}

impl Site for PublicSite {
    type Resource = Resource;

    const RESOURCES: &'static [(&'static str, Resource)] = &[
        ("/webapi/auth/export", Resource::Export),
        ("/webapi/auth/krl", Resource::Krl),
        ("/webapi/oidc/login/*", Resource::Login),
        ("/webapi/oidc/callback", Resource::Callback),
    ];

    fn has(&self, place: Resource) -> bool {
        match place {
            Resource::Export | Resource::Krl => true,
            Resource::Login | Resource::Callback => self.sign_in.is_some(),
        }
    }

    fn purpose(place: Resource) -> RequestPurpose {
        match place {
            Resource::Export | Resource::Krl => RequestPurpose::Reading,
            Resource::Login | Resource::Callback => RequestPurpose::SignIn,
        }
    }

    async fn at(&self, place: Resource, question: Question<'_>) -> Result<HttpResponse, ErrorPage> {
        let Question {
            part,
            query,
            headers,
            client,
        } = question;
        let page = match (place, &self.sign_in) {
            (Resource::Login, Some(pages)) => return Ok(pages.open(part, client).await),
            (Resource::Callback, Some(pages)) => {
                return Ok(pages.returned(query, headers, client).await);
            }
            (Resource::Login | Resource::Callback, None) => {
                let message = "people sign in in another way here";
                let hint = "read `ssh help@proxy`";
                return Err(ErrorPage::new(StatusCode::NOT_FOUND, message, hint));
            }
            (Resource::Export, _) => {
                let documents = Arc::clone(&self.documents.borrow());
                documents.keys.page(query)?
            }
            (Resource::Krl, _) if query.is_empty() => {
                let documents = Arc::clone(&self.documents.borrow());
                krl::page(&documents)
            }
            (Resource::Krl, _) => {
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
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, Full};
    use hyper::Request;

    use super::*;
    use crate::ipc::{BrowserAnswer, BrowserRefusal, BrowserRequest, CallError};
    use crate::web::keys::PublicKeys;
    use crate::web::site::{answer, logged_path};

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Refuses everything.
    #[derive(Debug)]
    struct NoProvider;

    impl Browser for NoProvider {
        fn ask(&self, request: BrowserRequest) -> Result<BrowserAnswer, CallError> {
            let message = format!("{:?}", request.client);
            let hint = None;
            Ok(BrowserAnswer::Refused(BrowserRefusal { message, hint }))
        }
    }

    fn site() -> (PublicSite, watch::Sender<Arc<PublicDocuments>>) {
        site_with(None)
    }

    fn site_with(
        browser: Option<Arc<dyn Browser>>,
    ) -> (PublicSite, watch::Sender<Arc<PublicDocuments>>) {
        let (sender, documents) = watch::channel(Arc::new(documents("a list", 0)));
        let cluster: ClusterName = "example.com".parse().unwrap();
        let site = PublicSite::new(cluster, documents, browser);
        (site, sender)
    }

    fn documents(list: &'static str, changed: u64) -> PublicDocuments {
        let keys = PublicKeys {
            user: Vec::new(),
            host: Vec::new(),
        };
        PublicDocuments {
            keys,
            list: Bytes::from_static(list.as_bytes()),
            changed,
        }
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
            ("GET", "/webapi/oidc/callback?code=c&state=s", 404),
            ("GET", "/webapi/oidc/login/ABCD", 404),
        ] {
            let answer = answer(&site, CLIENT, request(method, target)).await;
            assert_eq!(answer.status().as_u16(), status, "{method} {target}");
            if status >= 400 {
                let said = String::from_utf8(said(answer).await).unwrap();
                assert!(said.starts_with("rproxy: ") && said.contains("\n  hint: "));
            }
        }
    }

    #[tokio::test]
    async fn a_link_has_one_part_without_encodings() {
        let (site, _sender) = site_with(Some(Arc::new(NoProvider)));
        let long = format!("/webapi/oidc/login/{}", "A".repeat(65));
        for (method, target, status) in [
            ("GET", "/webapi/oidc/login/ABCD-efgh-0123", 403),
            ("GET", "/webapi/oidc/login/ABCD?x=y", 403),
            ("GET", "/webapi/oidc/callback", 400),
            // One that only looks, as programs do that preview links, must not spend anything.
            ("HEAD", "/webapi/oidc/login/ABCD", 405),
            ("HEAD", "/webapi/oidc/callback?code=c&state=s", 405),
            ("POST", "/webapi/oidc/callback", 405),
            ("GET", "/webapi/oidc/login/", 404),
            ("GET", "/webapi/oidc/login", 404),
            ("GET", "/webapi/oidc/login/AB/CD", 404),
            ("GET", "/webapi/oidc/login/..", 404),
            ("GET", "/webapi/oidc/login/AB%43D", 404),
            ("GET", "/webapi/oidc/login/AB_CD", 404),
            ("GET", "/webapi/oidc/login/*", 404),
            ("GET", long.as_str(), 404),
            ("GET", "/webapi/oidc/callback/", 404),
        ] {
            let answer = answer(&site, CLIENT, request(method, target)).await;
            assert_eq!(answer.status().as_u16(), status, "{method} {target}");
        }
    }

    #[test]
    fn no_part_of_a_path_that_may_be_secret_is_logged() {
        for (path, logged) in [
            ("/webapi/oidc/login/ABCD", "/webapi/oidc/login/*"),
            ("/webapi/oidc/login/ABCD.", "unknown"),
            ("/webapi/auth/krl", "/webapi/auth/krl"),
        ] {
            assert_eq!(logged_path::<PublicSite>(path), logged);
        }
    }

    #[tokio::test]
    async fn a_body_is_refused() {
        let (site, _sender) = site();
        let with_body = Request::get("/webapi/auth/krl");
        let with_body = with_body.body(Full::new(Bytes::from("x"))).unwrap();
        let refused = answer(&site, CLIENT, with_body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let announced = Request::get("/webapi/auth/krl").header("content-length", "7");
        let announced = announced.body(Empty::<Bytes>::new()).unwrap();
        let refused = answer(&site, CLIENT, announced).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn the_list_is_the_one_in_force() {
        let (site, sender) = site();
        let krl = || answer(&site, CLIENT, request("GET", "/webapi/auth/krl"));
        let first = krl().await;
        assert!(!first.headers().contains_key("last-modified"));
        assert_eq!(said(first).await, b"a list");
        sender.send_replace(Arc::new(documents("another", 784_111_777)));
        let next = krl().await;
        let date = &next.headers()["last-modified"];
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(said(next).await, b"another");
    }
}
