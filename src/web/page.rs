//! A page as HTTP has it (RFC 9110): its status, its headers, and whether the client has it already.

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use chrono::DateTime;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What goes back to a client.
pub(super) type HttpResponse = Response<Full<Bytes>>;

/// Something that is served.
#[derive(Clone, Debug)]
pub(super) struct Page {
    content: Bytes,
    /// `Content-Type`.
    kind: &'static str,
    /// What a browser saves it as.
    name: &'static str,
    /// `ETag`, with its quotes.
    tag: String,
    /// `Last-Modified`, in seconds since the epoch.
    modified: Option<u64>,
}

impl Page {
    /// A page of this media type, to be saved under this name.
    pub(super) fn new(kind: &'static str, name: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        // It tells one content from another; two that look the same do no harm.
        let mut hasher = DefaultHasher::new();
        hasher.write(&content);
        let tag = format!("\"{:x}-{:016x}\"", content.len(), hasher.finish());
        Self {
            content,
            kind,
            name,
            tag,
            modified: None,
        }
    }

    /// The same, last changed then: seconds since the epoch.
    pub(super) fn modified(self, at: u64) -> Self {
        Self {
            modified: Some(at),
            ..self
        }
    }

    /// The answer to a request with these headers. `If-None-Match` decides; `If-Modified-Since` is
    /// passed over, because two revocations within one second have the same date.
    pub(super) fn answer(&self, asked: &HeaderMap) -> HttpResponse {
        let is_known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
            let tags = value.to_str().unwrap_or_default().split(',');
            tags.map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag)
        });
        let mut answer = if is_known {
            with_status(StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            let mut answer = with_status(StatusCode::OK, self.content.clone());
            set(&mut answer, header::CONTENT_TYPE, self.kind);
            let disposition = format!("attachment; filename=\"{}\"", self.name);
            set(&mut answer, header::CONTENT_DISPOSITION, &disposition);
            answer
        };
        set(&mut answer, header::ETAG, &self.tag);
        let modified = self.modified.and_then(|at| i64::try_from(at).ok());
        if let Some(at) = modified.and_then(|at| DateTime::from_timestamp(at, 0)) {
            let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            set(&mut answer, header::LAST_MODIFIED, &date);
        }
        answer
    }
}

/// The state of something at this moment: nothing to keep, and nothing to save as a file.
pub(super) fn report(status: StatusCode, kind: &'static str, text: String) -> HttpResponse {
    let mut answer = with_status(status, text.into());
    set(&mut answer, header::CONTENT_TYPE, kind);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// The answer to a request for something that does not exist.
#[derive(Clone, Debug)]
pub(super) struct ErrorPage {
    status: StatusCode,
    message: String,
    hint: String,
}

impl ErrorPage {
    /// What is refused, and what to do instead. Neither repeats what came from the client.
    pub(super) fn new(
        status: StatusCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The proxy could not do it.
    pub(super) fn failed(message: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "{message}");
        let hint = "the proxy's log has the reason";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message, hint)
    }

    /// As an answer.
    pub(super) fn answer(&self) -> HttpResponse {
        let text = format!("rproxy: {}\n  hint: {}\n", self.message, self.hint);
        let mut answer = with_status(self.status, text.into());
        let kind = "text/plain; charset=utf-8";
        set(&mut answer, header::CONTENT_TYPE, kind);
        answer
    }
}

fn with_status(status: StatusCode, content: Bytes) -> HttpResponse {
    let mut answer = Response::new(Full::new(content));
    *answer.status_mut() = status;
    set(&mut answer, header::CACHE_CONTROL, "no-cache");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// Sets a header; what cannot stand in one is left out.
pub(super) fn set(answer: &mut HttpResponse, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(page: &Page, if_none_match: &[&str]) -> StatusCode {
        let mut asked = HeaderMap::new();
        for value in if_none_match {
            asked.append(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
        }
        page.answer(&asked).status()
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let page = Page::new("text/plain", "page", "content");
        let tag = page.answer(&HeaderMap::new()).headers()[header::ETAG].clone();
        let tag = tag.to_str().unwrap();
        let other = Page::new("text/plain", "page", "contents").tag;
        for (asked, expected) in [
            (&[][..], StatusCode::OK),
            (&[tag], StatusCode::NOT_MODIFIED),
            (&["*"], StatusCode::NOT_MODIFIED),
            (&[&*format!("W/{tag}")], StatusCode::NOT_MODIFIED),
            (&[&*format!("{other} , {tag}")], StatusCode::NOT_MODIFIED),
            (&[&*other, tag], StatusCode::NOT_MODIFIED),
            (&[&*other], StatusCode::OK),
            (&[tag.trim_matches('"')], StatusCode::OK),
        ] {
            assert_eq!(status(&page, asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let page = Page::new("text/plain", "page", "").modified(784_111_777);
        let answer = page.answer(&HeaderMap::new());
        let date = &answer.headers()[header::LAST_MODIFIED];
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
