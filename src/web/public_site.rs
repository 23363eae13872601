//! The site for all clients: the CAs' public keys, the revocation list, and the pages with which people
//! sign in at an identity provider.

use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WebError;
use super::keys::PublicKeys;
use super::krl;
use super::page::{ErrorPage, HttpResponse};
use super::server::Server;
use super::sign_in::SignInPages;
use super::site::{Question, RequestPurpose, Site};
use crate::ipc::Browser;
use crate::model::ClusterName;
use crate::ssh::RevocationFile;

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
pub struct PublicSite {
    keys: watch::Receiver<Arc<PublicKeys>>,
    revocations: Arc<RevocationFile>,
    /// `None` if there is no identity provider.
    sign_in: Option<SignInPages>,
}

impl PublicSite {
    /// What is served follows the senders. With `browser`, people sign in at an identity provider.
    #[must_use]
    pub(crate) fn new(
        cluster: ClusterName,
        keys: watch::Receiver<Arc<PublicKeys>>,
        revocations: Arc<RevocationFile>,
        browser: Option<Arc<dyn Browser>>,
    ) -> Self {
        Self {
            keys,
            revocations,
            sign_in: browser.map(|browser| SignInPages::new(cluster, browser)),
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
                let keys = Arc::clone(&self.keys.borrow());
                keys.page(query)?
            }
            (Resource::Krl, _) if query.is_empty() => krl::page(&self.revocations).await?,
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
    use crate::ca::{RevocationLog, RevocationStore as _, Revocations, Revoked};
    use crate::cert::krl::RevocationList;
    use crate::ipc::{BrowserAnswer, BrowserRefusal, BrowserRequest, CallError};
    use crate::sys::clock::Clock;
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

    fn site() -> (PublicSite, watch::Sender<Arc<Revocations>>) {
        site_with(None)
    }

    fn site_with(
        browser: Option<Arc<dyn Browser>>,
    ) -> (PublicSite, watch::Sender<Arc<Revocations>>) {
        let none = PublicKeys {
            user: Vec::new(),
            host: Vec::new(),
        };
        let (_, keys) = watch::channel(Arc::new(none));
        let (sender, revocations) = watch::channel(Arc::default());
        let cluster: ClusterName = "example.com".parse().unwrap();
        let revocations = Arc::new(RevocationFile::new(cluster.clone(), revocations));
        let site = PublicSite::new(cluster, keys, revocations, browser);
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
        let krl = || async {
            let list = answer(&site, CLIENT, request("GET", "/webapi/auth/krl")).await;
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
