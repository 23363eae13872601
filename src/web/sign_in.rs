//! The pages of signing in at an identity provider: the link that a terminal shows, and the page to
//! which the provider sends the browser back.
//!
//! ```text
//! /webapi/oidc/login/TICKET   ─▶ Browser::ask(Open)     ─▶ 303 to the provider, and a cookie
//! /webapi/oidc/callback?..    ─▶ Browser::ask(Returned) ─▶ the code for the terminal
//! ```
//!
//! Nothing is decided here: the process that has the state is asked on threads that may block, a few at
//! a time. The code is shown after the provider has agreed, and typed into the terminal that asked. The
//! other direction, to confirm in a browser what a terminal shows, would let an attacker send the link.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use hyper::{StatusCode, header};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::browser_cookie::BrowserCookie;
use super::callback::{Callback, CallbackError, Outcome};
use super::html::{HtmlPage, keep_private};
use super::page::{HttpResponse, report, set};
use crate::ipc::{
    Browser, BrowserAnswer, BrowserQuestion, BrowserRefusal, BrowserRequest, CallError, SecretText,
    Service,
};
use crate::model::ClusterName;

/// How long a browser waits for its turn.
const TURN: Duration = Duration::from_secs(20);
/// What to do when something went wrong.
const START_AGAIN: &str = "Connect again with ssh, and open the new link.";

/// What these pages need.
#[derive(Debug)]
pub(super) struct SignInPages {
    cluster: ClusterName,
    browser: Arc<dyn Browser>,
    /// As many calls at a time as the service allows.
    turns: Arc<Semaphore>,
}

/// Why a browser has no answer.
#[derive(Debug, Error)]
enum NoAnswer {
    /// Too many others wait.
    #[error("too many browsers wait for an answer")]
    Crowded,
    /// The other process cannot be asked.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl SignInPages {
    pub(super) fn new(cluster: ClusterName, browser: Arc<dyn Browser>) -> Self {
        Self {
            cluster,
            browser,
            turns: Arc::new(Semaphore::new(Service::Browser.at_once())),
        }
    }

    /// The link that a terminal shows. It may be opened again until the provider has answered.
    pub(super) async fn open(&self, ticket: &str, client: IpAddr) -> HttpResponse {
        let ticket = SecretText::new(ticket.to_owned());
        match self.ask(client, BrowserQuestion::Open { ticket }).await {
            Ok(BrowserAnswer::Redirect { url }) => match to_provider(&url) {
                Some(answer) => answer,
                None => self.senseless(),
            },
            Ok(BrowserAnswer::Refused(refusal)) => self.refused(&refusal),
            Ok(BrowserAnswer::Code { .. }) => self.senseless(),
            Err(error) => self.unanswered(&error),
        }
    }

    /// The page to which the provider sends the browser back.
    pub(super) async fn returned(
        &self,
        query: &str,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> HttpResponse {
        let callback = match Callback::parse(query) {
            Ok(callback) => callback,
            Err(error) => return self.unreadable(error),
        };
        let cookie = BrowserCookie::of(&callback.state);
        if !cookie.is_in(headers) {
            return self.other_browser();
        }
        let (code, error) = match callback.outcome {
            Outcome::Code(code) => (Some(SecretText::new(code.to_string())), None),
            Outcome::Error(error) => (None, Some(error)),
        };
        let ask = BrowserQuestion::Returned {
            state: SecretText::new(callback.state.to_string()),
            code,
            error,
            iss: callback.iss,
        };
        let mut answer = match self.ask(client, ask).await {
            Ok(BrowserAnswer::Code {
                code,
                name,
                terminal,
            }) => self.code(&code, &name, terminal),
            Ok(BrowserAnswer::Refused(refusal)) => self.refused(&refusal),
            Ok(BrowserAnswer::Redirect { .. }) => self.senseless(),
            // The browser may ask again.
            Err(error) => return self.unanswered(&error),
        };
        set(&mut answer, header::SET_COOKIE, &cookie.clear());
        answer
    }

    /// Asks. If the browser goes away, the answer is dropped.
    async fn ask(&self, client: IpAddr, ask: BrowserQuestion) -> Result<BrowserAnswer, NoAnswer> {
        let turn = timeout(TURN, Arc::clone(&self.turns).acquire_owned());
        // The semaphore is never closed.
        let Ok(Ok(turn)) = turn.await else {
            return Err(NoAnswer::Crowded);
        };
        let browser = Arc::clone(&self.browser);
        let client = client.to_canonical();
        let asked = tokio::task::spawn_blocking(move || {
            let answer = browser.ask(BrowserRequest { client, ask });
            drop(turn);
            answer
        });
        Ok(asked.await.unwrap_or(Err(CallError::HungUp))?)
    }

    fn page(&self, status: StatusCode, heading: &str) -> HtmlPage {
        let title = format!("{heading} - rproxy {}", self.cluster);
        HtmlPage::new(status, &title, heading)
    }

    fn code(&self, code: &SecretText, name: &str, terminal: IpAddr) -> HttpResponse {
        self.page(StatusCode::OK, "Type this code into your terminal")
            .code(code.expose())
            .paragraph(&format!(
                "You have signed in as {name}. The terminal that waits for the code connects to \
                 rproxy {} from the address {terminal}.",
                self.cluster
            ))
            .warning(
                "Type the code only into a terminal in which you started ssh yourself. If you did \
                 not, close this page.",
            )
            .paragraph(
                "Do not give the code to another person: it opens a connection in your name. It is \
                 valid once, and for a few minutes.",
            )
            .answer()
    }

    fn refused(&self, refusal: &BrowserRefusal) -> HttpResponse {
        self.failed(
            StatusCode::FORBIDDEN,
            &refusal.message,
            refusal.hint.as_deref().unwrap_or(START_AGAIN),
        )
    }

    fn unreadable(&self, error: CallbackError) -> HttpResponse {
        let message = format!("This is no answer of an identity provider: {error}.");
        self.failed(StatusCode::BAD_REQUEST, &message, START_AGAIN)
    }

    fn other_browser(&self) -> HttpResponse {
        self.failed(
            StatusCode::FORBIDDEN,
            "This sign-in was begun in another browser, or this browser accepts no cookies.",
            "Connect again with ssh, open the new link in this browser, and allow cookies of this \
             site. If you have not started ssh yourself, close this page.",
        )
    }

    fn unanswered(&self, error: &NoAnswer) -> HttpResponse {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "a browser has no answer"
        );
        self.failed(
            StatusCode::SERVICE_UNAVAILABLE,
            "The proxy cannot answer now.",
            "Load this page again in a few seconds. If that does not help, connect again with ssh, \
             and open the new link.",
        )
    }

    fn senseless(&self) -> HttpResponse {
        tracing::error!("an answer for a browser that makes no sense");
        self.failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The proxy has made a mistake.",
            START_AGAIN,
        )
    }

    fn failed(&self, status: StatusCode, message: &str, hint: &str) -> HttpResponse {
        self.page(status, "You are not signed in")
            .paragraph(message)
            .paragraph(hint)
            .answer()
    }
}

/// Sends the browser to the provider; `None` if this is no URL of an authorization request.
fn to_provider(url: &str) -> Option<HttpResponse> {
    let (_, query) = url.split_once('?')?;
    let (_, state) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state")?;
    let is_url = url.starts_with("https://") || url.starts_with("http://");
    if !is_url || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut answer = report(
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        String::new(),
    );
    keep_private(&mut answer);
    set(&mut answer, header::LOCATION, url);
    set(
        &mut answer,
        header::SET_COOKIE,
        &BrowserCookie::of(&state).set(),
    );
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    use http_body_util::BodyExt as _;
    use hyper::header::HeaderValue;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const AT_PROVIDER: &str = "https://id.example.com/auth?response_type=code&state=s1&nonce=n";

    /// Gives one answer, and keeps what it was asked.
    #[derive(Debug)]
    struct Double {
        answer: Result<BrowserAnswer, ()>,
        asked: Mutex<Vec<BrowserRequest>>,
    }

    impl Browser for Double {
        fn ask(&self, request: BrowserRequest) -> Result<BrowserAnswer, CallError> {
            self.asked.lock().unwrap().push(request);
            self.answer.clone().or(Err(CallError::HungUp))
        }
    }

    fn pages(answer: Result<BrowserAnswer, ()>) -> (SignInPages, Arc<Double>) {
        let double = Arc::new(Double {
            answer,
            asked: Mutex::default(),
        });
        let cluster = "example.com".parse().unwrap();
        (
            SignInPages::new(cluster, Arc::<Double>::clone(&double)),
            double,
        )
    }

    fn code(code: &str, name: &str) -> BrowserAnswer {
        BrowserAnswer::Code {
            code: SecretText::new(code.to_owned()),
            name: name.to_owned(),
            terminal: "2001:db8::7".parse().unwrap(),
        }
    }

    /// What a browser sends that has opened the link of `state`.
    fn opened(state: &str) -> HeaderMap {
        let set = BrowserCookie::of(state).set();
        let (pair, _) = set.split_once(';').unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(pair).unwrap());
        headers
    }

    async fn html(answer: HttpResponse) -> String {
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "text/html; charset=utf-8");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_link_leads_to_the_provider_and_marks_the_browser() {
        let url = AT_PROVIDER.to_owned();
        let (pages, double) = pages(Ok(BrowserAnswer::Redirect { url }));
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        let answer = pages.open("ABCD-EFGH", mapped).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[header::LOCATION], AT_PROVIDER);
        assert_eq!(answer.headers()[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let cookie = &answer.headers()[header::SET_COOKIE];
        assert_eq!(cookie, &BrowserCookie::of("s1").set());
        let ticket = SecretText::new("ABCD-EFGH".to_owned());
        let ask = BrowserQuestion::Open { ticket };
        let asked = BrowserRequest {
            client: CLIENT,
            ask,
        };
        assert_eq!(*double.asked.lock().unwrap(), [asked]);
    }

    #[tokio::test]
    async fn a_link_leads_nowhere_else() {
        for url in [
            "javascript:alert(1)?state=s",
            "/relative?state=s",
            "https://id.example.com/",
            "https://id.example.com/?nonce=n",
            "https://id.example.com/?state=s\r\nset-cookie: a=b",
            "https://id.example.com/?state=s#\u{e9}",
        ] {
            let url = url.to_owned();
            let (pages, _) = pages(Ok(BrowserAnswer::Redirect { url }));
            let answer = pages.open("T", CLIENT).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!answer.headers().contains_key(header::LOCATION));
            assert!(html(answer).await.contains("You are not signed in"));
        }
    }

    #[tokio::test]
    async fn the_code_is_shown_with_the_name_and_the_address_of_the_terminal() {
        let (pages, double) = pages(Ok(code("ABCD-1234", "<b>alice</b>")));
        let query = "code=c&state=s1&iss=https%3A%2F%2Fid.example.com";
        let answer = pages.returned(query, &opened("s1"), CLIENT).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cleared = &answer.headers()[header::SET_COOKIE];
        assert_eq!(cleared, &BrowserCookie::of("s1").clear());
        let html = html(answer).await;
        assert!(html.contains("<code>ABCD-1234</code>"), "{html}");
        assert!(html.contains("&lt;b&gt;alice&lt;/b&gt;"), "{html}");
        assert!(html.contains("2001:db8::7"), "{html}");
        assert!(html.contains("in which you started ssh yourself"), "{html}");
        assert!(!html.contains("<b>") && !html.contains("<script"), "{html}");
        let secret = |text: &str| SecretText::new(text.to_owned());
        let ask = BrowserQuestion::Returned {
            state: secret("s1"),
            code: Some(secret("c")),
            error: None,
            iss: Some("https://id.example.com".to_owned()),
        };
        let asked = BrowserRequest {
            client: CLIENT,
            ask,
        };
        assert_eq!(*double.asked.lock().unwrap(), [asked]);
    }

    /// An attacker has opened the link, and sends the address at the provider.
    #[tokio::test]
    async fn a_browser_that_has_not_opened_the_link_gets_no_code_and_spends_nothing() {
        let (pages, double) = pages(Ok(code("ABCD-1234", "alice")));
        for headers in [HeaderMap::new(), opened("s2")] {
            let answer = pages.returned("code=c&state=s1", &headers, CLIENT).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            let html = html(answer).await;
            assert!(html.contains("in another browser"), "{html}");
            assert!(!html.contains("ABCD"), "{html}");
        }
        assert!(double.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_query_that_no_provider_sends_is_a_page_and_no_question() {
        let (pages, double) = pages(Ok(code("ABCD-1234", "alice")));
        let huge = format!("state=s1&code={}", "a".repeat(14_000));
        for query in [
            "",
            "state=s1",
            "code=c",
            "state=s1&state=s1&code=c",
            "state=s1&code=%ff%fe",
            "state=s1&code=c&error=access_denied",
            "state=s1&error=%3Cscript%3E%E2%80%AE",
            huge.as_str(),
        ] {
            let answer = pages.returned(query, &opened("s1"), CLIENT).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
            let html = html(answer).await;
            assert!(html.contains("no answer of an identity provider"), "{html}");
            assert!(!html.contains("<script"), "{html}");
        }
        assert!(double.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_refusal_is_a_page_with_a_hint() {
        let message = "the provider refuses: <img src=x onerror=alert(1)>".to_owned();
        for (hint, shown) in [
            (Some("ask \"them\"".to_owned()), "ask &quot;them&quot;"),
            (None, "Connect again with ssh"),
        ] {
            let message = message.clone();
            let refusal = BrowserRefusal { message, hint };
            let (pages, double) = pages(Ok(BrowserAnswer::Refused(refusal)));
            let query = "error=access_denied&error_description=%3Cb%3Ecall+us&state=s1";
            let answer = pages.returned(query, &opened("s1"), CLIENT).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            let html = html(answer).await;
            assert!(
                html.contains("&lt;img src=x onerror=alert(1)&gt;"),
                "{html}"
            );
            assert!(html.contains(shown) && !html.contains("call us"), "{html}");
            let asked = double.asked.lock().unwrap();
            let error = match &asked[0].ask {
                BrowserQuestion::Returned {
                    error, code: None, ..
                } => error.as_deref(),
                other => panic!("{other:?}"),
            };
            assert_eq!(error, Some("access_denied"));
        }
    }

    #[tokio::test]
    async fn without_an_answer_the_browser_may_ask_again() {
        let (pages, _) = pages(Err(()));
        let opened_link = pages.open("T", CLIENT).await;
        let returned = pages
            .returned("code=c&state=s1", &opened("s1"), CLIENT)
            .await;
        for answer in [opened_link, returned] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(!answer.headers().contains_key(header::SET_COOKIE));
            assert!(html(answer).await.contains("Load this page again"));
        }
    }

    #[tokio::test]
    async fn an_answer_to_another_question_is_not_shown() {
        let (pages_of_code, _) = pages(Ok(code("ABCD-1234", "alice")));
        let url = AT_PROVIDER.to_owned();
        let (pages_of_url, _) = pages(Ok(BrowserAnswer::Redirect { url }));
        let headers = opened("s1");
        let returned = pages_of_url.returned("code=c&state=s1", &headers, CLIENT);
        for answer in [pages_of_code.open("T", CLIENT).await, returned.await] {
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let html = html(answer).await;
            assert!(!html.contains("ABCD") && !html.contains("id.example.com"));
        }
    }
}
