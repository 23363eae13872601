//! What a listener serves: paths, and what is at each.

use std::fmt;
use std::net::IpAddr;

use hyper::body::Body;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode, header};

use super::connection::{Answers, ServedConnection};
use super::page::{ErrorPage, HttpResponse, set};
use super::purpose::RequestPurpose;

/// What a listener serves.
pub(super) trait Site: fmt::Debug + Send + Sync + 'static {
    /// A place on it.
    type Resource: Copy + Send + Sync;

    /// The places and their paths. A path that ends in `*` has a variable part in its place.
    const RESOURCES: &'static [(&'static str, Self::Resource)];

    /// Whether this site has the place.
    fn has(&self, _place: Self::Resource) -> bool {
        true
    }

    /// What a request for this place is for.
    fn purpose(_place: Self::Resource) -> RequestPurpose {
        RequestPurpose::Reading
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
    /// The variable part of the path; empty where it has none.
    pub(super) part: &'q str,
    pub(super) query: &'q str,
    pub(super) headers: &'q HeaderMap,
    /// Where the request comes from.
    pub(super) client: IpAddr,
}

/// A listener that serves one site and nothing else.
#[derive(Debug)]
pub(super) struct SiteServer<S>(pub(super) S);

impl<S: Site> Answers for SiteServer<S> {
    const KEEPS_ALIVE: bool = false;

    fn purpose(&self, path: &str) -> RequestPurpose {
        purpose::<S>(path)
    }

    fn logged_path(&self, path: &str) -> &'static str {
        logged_path::<S>(path)
    }

    async fn answer(
        &self,
        info: &ServedConnection,
        request: Request<axum::body::Body>,
    ) -> Response<axum::body::Body> {
        let answer = answer(&self.0, info.client.ip(), request).await;
        answer.map(axum::body::Body::new)
    }
}

/// Longest variable part of a path, in bytes.
const MAX_PART: usize = 64;

/// A path of the table, the place there, and the variable part of the path that was asked for.
type Found<'p, R> = (&'static str, R, &'p str);

/// The place at a path.
fn place_at<'p, S: Site>(path: &'p str) -> Option<Found<'p, S::Resource>> {
    S::RESOURCES.iter().find_map(|(known, place)| {
        let part = match known.strip_suffix('*') {
            Some(before) => path.strip_prefix(before).filter(|part| is_part(part)),
            None => (*known == path).then_some(""),
        };
        part.map(|part| (*known, *place, part))
    })
}

/// Whether this can stand in the place of a `*`: letters, digits and dashes, so nothing that is
/// encoded, and no further part of a path.
fn is_part(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_PART).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// What a request for this path is for.
pub(super) fn purpose<S: Site>(path: &str) -> RequestPurpose {
    place_at::<S>(path).map_or(RequestPurpose::Reading, |(_, place, _)| S::purpose(place))
}

/// The path for logs. The variable part of a path can be a secret, and so can a path that is mistyped.
pub(super) fn logged_path<S: Site>(path: &str) -> &'static str {
    place_at::<S>(path).map_or("unknown", |(known, _, _)| known)
}

/// Answers a request, whatever it is.
pub(super) async fn answer<S: Site>(
    site: &S,
    client: IpAddr,
    request: Request<impl Body>,
) -> HttpResponse {
    let place = place_at::<S>(request.uri().path());
    let Some((_, place, part)) = place.filter(|(_, place, _)| site.has(*place)) else {
        let here = S::RESOURCES.iter().filter(|(_, place)| site.has(*place));
        let known: Vec<_> = here.map(|(path, _)| *path).collect();
        let hint = format!("there is {}", known.join(" and "));
        let message = "there is nothing at this path";
        return ErrorPage::new(StatusCode::NOT_FOUND, message, hint).answer();
    };
    let methods = S::purpose(place).methods();
    if !methods
        .split(", ")
        .any(|one| one == request.method().as_str())
    {
        let hint = format!("ask with {}", methods.replace(", ", " or "));
        let message = "this can only be read";
        let refusal = ErrorPage::new(StatusCode::METHOD_NOT_ALLOWED, message, hint);
        let mut answer = refusal.answer();
        set(&mut answer, header::ALLOW, methods);
        return answer;
    }
    if has_body(&request) {
        let hint = "send none, and neither Content-Length nor Transfer-Encoding";
        let message = "a question has no body";
        return ErrorPage::new(StatusCode::BAD_REQUEST, message, hint).answer();
    }
    // Of the request only this goes on: its body is not read.
    let question = Question {
        part,
        query: request.uri().query().unwrap_or_default(),
        headers: request.headers(),
        client,
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
