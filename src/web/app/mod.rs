//! All that the web serves: public data and sign-ins at `/webapi/`, the API at `/api/`, the interface at
//! everything else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::ipc::{Browser, BrowserSessions};
use crate::model::ClusterName;
use crate::web::api::{self, About, ApiError, ApiPeople};
use crate::web::connection::{Answers, PATIENCE, ServedConnection};
use crate::web::guard;
use crate::web::headers::protect;
use crate::web::hosts::OwnHosts;
use crate::web::keys::PublicDocuments;
use crate::web::page::{ErrorPage, set};
use crate::web::public_site::PublicSite;
use crate::web::purpose::RequestPurpose;
use crate::web::server::{Ending, Server};
use crate::web::site;
use crate::web::{WebError, assets, files};

/// Where public data and the pages of sign-ins are.
const PUBLIC: &str = "/webapi/";

/// What the web is made of.
#[derive(Debug)]
pub struct WebParts {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// What everybody may read; it follows the sender.
    pub documents: watch::Receiver<Arc<PublicDocuments>>,
    /// Answers people who sign in at an identity provider; `None` if there is none.
    pub browser: Option<Arc<dyn Browser>>,
    /// How people sign in in the browser, as the API names it.
    pub sign_in: Vec<&'static str>,
    /// Answers people who sign in in the browser.
    pub sessions: Arc<dyn BrowserSessions>,
    /// The proxy's own names; it follows the sender.
    pub own: watch::Receiver<OwnHosts>,
}

/// It.
#[derive(Debug)]
pub struct WebApp {
    site: PublicSite,
    api: Router,
    own: watch::Receiver<OwnHosts>,
}

impl WebApp {
    /// Makes it.
    #[must_use]
    pub fn new(parts: WebParts) -> Self {
        let WebParts {
            cluster,
            documents,
            browser,
            sign_in,
            sessions,
            own,
        } = parts;
        let about = About {
            cluster: cluster.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            sign_in,
            interface: assets::is_built(),
        };
        Self {
            site: PublicSite::new(cluster, documents, browser),
            api: api::router(about, ApiPeople::new(sessions)),
            own,
        }
    }

    /// Serves it on a thread of its own until the end.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub fn serve(self, server: Server, ending: Ending) -> Result<JoinHandle<()>, WebError> {
        server.start("web", self, ending)
    }

    async fn answer_any(&self, info: &ServedConnection, request: Request<Body>) -> Response<Body> {
        if request.uri().path().starts_with(PUBLIC) {
            let answer = site::answer(&self.site, info.client.ip(), request).await;
            return answer.map(Body::new);
        }
        let (parts, body) = request.into_parts();
        let judged = guard::judge(&parts, &self.own.borrow(), info);
        let is_api = parts.uri.path().starts_with(api::PREFIX);
        match (judged, is_api) {
            (Err(refusal), true) => refused(refusal),
            (Err(refusal), false) => {
                let ApiError {
                    status,
                    message,
                    hint,
                    ..
                } = refusal;
                refused_in_words(ErrorPage::new(status, message, hint))
            }
            (Ok(()), true) => {
                self.answer_api(info.client, Request::from_parts(parts, body))
                    .await
            }
            (Ok(()), false) => {
                self.answer_page(info, Request::from_parts(parts, body))
                    .await
            }
        }
    }

    /// Reads the body first, so that nothing of the API waits for a slow client.
    async fn answer_api(&self, client: SocketAddr, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, guard::MAX_BODY);
        let body = match timeout(PATIENCE, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return refused(guard::too_large());
            }
            Ok(Err(_)) => return cut_short(StatusCode::BAD_REQUEST),
            Err(_) => return cut_short(StatusCode::REQUEST_TIMEOUT),
        };
        parts.extensions.insert(ConnectInfo(client));
        let request = Request::from_parts(parts, Body::from(body));
        match self.api.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    async fn answer_page(&self, info: &ServedConnection, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let is_read = guard::reads(request.method());
        let (found, headers) = (files::at(path), request.headers());
        let accepts = headers.get_all(header::ACCEPT).iter();
        let is_browser = accepts
            .filter_map(|line| line.to_str().ok())
            .any(|line| line.contains("text/html"));
        match found {
            Some(asset) if is_read => files::answer(StatusCode::OK, asset, headers),
            // The interface says so itself.
            None if is_read && is_browser => {
                files::answer(StatusCode::NOT_FOUND, assets::document(), headers)
            }
            Some(_) => {
                let message = "this can only be read";
                let hint = "ask with GET or HEAD";
                let refusal = ErrorPage::new(StatusCode::METHOD_NOT_ALLOWED, message, hint);
                let mut answer = refusal.answer();
                set(&mut answer, header::ALLOW, "GET, HEAD");
                answer.map(Body::new)
            }
            None => {
                let answer = site::answer(&self.site, info.client.ip(), request).await;
                answer.map(Body::new)
            }
        }
    }
}

fn refused(refusal: ApiError) -> Response<Body> {
    let is_unread = matches!(
        refusal.status,
        StatusCode::LENGTH_REQUIRED | StatusCode::PAYLOAD_TOO_LARGE
    );
    let mut answer = refusal.into_response();
    if is_unread {
        close_after(&mut answer);
    }
    answer
}

fn refused_in_words(page: ErrorPage) -> Response<Body> {
    let mut answer = page.answer().map(Body::new);
    close_after(&mut answer);
    answer
}

/// What is left of the request is read by nobody, and is no other request.
fn close_after(answer: &mut Response<Body>) {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
}

fn cut_short(status: StatusCode) -> Response<Body> {
    let mut answer = ApiError::new(
        status,
        "cut-short",
        "the body of the request did not arrive",
        "send it again",
    )
    .into_response();
    close_after(&mut answer);
    answer
}

impl Answers for WebApp {
    const KEEPS_ALIVE: bool = true;

    fn purpose(&self, path: &str) -> RequestPurpose {
        match path.starts_with(PUBLIC) {
            true => site::purpose::<PublicSite>(path),
            false => RequestPurpose::Browsing,
        }
    }

    fn logged_path(&self, path: &str) -> &'static str {
        if path.starts_with(PUBLIC) {
            site::logged_path::<PublicSite>(path)
        } else if path.starts_with(api::PREFIX) {
            "/api/*"
        } else {
            files::logged(path)
        }
    }

    async fn answer(&self, info: &ServedConnection, request: Request<Body>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let is_http2 = info.is_http2;
        let mut answer = self.answer_any(info, request).await;
        protect(&mut answer, info.is_tls());
        if is_head {
            let length = answer.body().size_hint().exact();
            let is_said = answer.headers().contains_key(header::CONTENT_LENGTH);
            if let Some(length) = length.filter(|_| !is_said) {
                let length = HeaderValue::from(length);
                answer.headers_mut().insert(header::CONTENT_LENGTH, length);
            }
            *answer.body_mut() = Body::empty();
        }
        if is_http2 {
            // There, a connection is for others too (RFC 9113, 8.2.2).
            answer.headers_mut().remove(header::CONNECTION);
        }
        answer
    }
}

#[cfg(test)]
pub(super) mod tests;
