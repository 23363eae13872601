//! What a listener serves: paths, and what is at each.

use std::fmt;

use hyper::body::Body;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, header};

use super::page::{ErrorPage, HttpResponse, set};

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

/// Whether one is announced; it is never read.
fn has_body(request: &Request<impl Body>) -> bool {
    let headers: &HeaderMap = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    !request.body().is_end_stream()
        || headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length != "0")
}
