//! The files of the interface, as HTTP has them: the form that the client takes, and whether it has it already.

use std::hash::{DefaultHasher, Hasher as _};

use axum::body::Body;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::assets::{self, Asset};

/// Below it are the files whose names change with their contents.
const FILES: &str = "/assets/";

/// What there is at a path: a file, or the document of a page. `None` if there is nothing.
pub(super) fn at(path: &str) -> Option<Asset> {
    let page = || assets::PAGES.contains(&path).then(assets::document);
    assets::asset(path).or_else(page)
}

/// The path for logs.
pub(super) fn logged(path: &str) -> &'static str {
    if path.starts_with(FILES) {
        return "/assets/*";
    }
    let mut pages = assets::PAGES.iter();
    pages
        .find(|page| **page == path)
        .copied()
        .unwrap_or("unknown")
}

/// The answer with a file, to a request with these headers.
pub(super) fn answer(status: StatusCode, asset: Asset, asked: &HeaderMap) -> Response<Body> {
    let (content, encoding) = form(asset, asked);
    let tag = tag(content, encoding);
    let is_known = status == StatusCode::OK && has_tag(asked, &tag);
    let mut answer = match is_known {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(Bytes::from_static(content))),
    };
    *answer.status_mut() = match is_known {
        true => StatusCode::NOT_MODIFIED,
        false => status,
    };
    let headers = answer.headers_mut();
    let cache = match asset.immutable {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if !is_known {
        let kind = HeaderValue::from_static(asset.media_type);
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(encoding) = encoding {
            let encoding = HeaderValue::from_static(encoding);
            headers.insert(header::CONTENT_ENCODING, encoding);
        }
    }
    answer
}

/// The smallest form that the client takes, with the name of its encoding.
fn form(asset: Asset, asked: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
    let forms = [(asset.brotli, "br"), (asset.gzip, "gzip")];
    let mut taken = forms.into_iter().filter(|(_, name)| takes(asked, name));
    let packed = taken.find_map(|(bytes, name)| Some((bytes?, name)));
    packed.map_or((asset.plain, None), |(bytes, name)| (bytes, Some(name)))
}

/// Whether a client takes an encoding (RFC 9110, 12.5.3).
fn takes(asked: &HeaderMap, encoding: &str) -> bool {
    let lines = asked.get_all(header::ACCEPT_ENCODING).iter();
    let mut items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    items.any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=");
        let is_none = weight.is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(encoding) && !is_none
    })
}

fn tag(content: &[u8], encoding: Option<&str>) -> String {
    // It tells one content from another; two that look the same do no harm.
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    let encoding = encoding.unwrap_or("plain");
    format!(
        "\"{:x}-{:016x}-{encoding}\"",
        content.len(),
        hasher.finish()
    )
}

fn has_tag(asked: &HeaderMap, tag: &str) -> bool {
    asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let mut tags = value.to_str().unwrap_or_default().split(',');
        tags.any(|one| {
            let one = one.trim();
            one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Asset = Asset {
        media_type: "text/javascript; charset=utf-8",
        immutable: true,
        plain: b"plain",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn asked(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_client_gets_the_smallest_form_that_it_takes() {
        for (accepts, expected, encoding) in [
            ("", "plain", None),
            ("identity", "plain", None),
            ("gzip", "gz", Some("gzip")),
            ("gzip, deflate, br, zstd", "br", Some("br")),
            ("br;q=0, gzip;q=0.5", "gz", Some("gzip")),
            ("br;q=0.0,gzip;q=0", "plain", None),
            ("brx", "plain", None),
        ] {
            let asked = asked(header::ACCEPT_ENCODING, accepts);
            let (bytes, name) = form(FILE, &asked);
            assert_eq!((bytes, name), (expected.as_bytes(), encoding), "{accepts}");
            let answer = answer(StatusCode::OK, FILE, &asked);
            let shown = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(shown.map(|name| name.to_str().unwrap()), encoding);
            assert_eq!(answer.headers()[header::VARY], "accept-encoding");
        }
        let packed_once = Asset {
            brotli: None,
            ..FILE
        };
        let both = asked(header::ACCEPT_ENCODING, "br, gzip");
        assert_eq!(form(packed_once, &both), (&b"gz"[..], Some("gzip")));
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let first = answer(StatusCode::OK, FILE, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]);
        let again = answer(StatusCode::OK, FILE, &known);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(!again.headers().contains_key(header::CONTENT_TYPE));
        let cache = &again.headers()[header::CACHE_CONTROL];
        assert_eq!(cache, "public, max-age=31536000, immutable");
        // Another form is another thing to keep.
        let mut packed = known;
        packed.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(
            answer(StatusCode::OK, FILE, &packed).status(),
            StatusCode::OK
        );
        let page = Asset {
            immutable: false,
            ..FILE
        };
        let page = answer(StatusCode::OK, page, &HeaderMap::new());
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn pages_have_the_document_and_other_paths_have_nothing() {
        for page in assets::PAGES {
            let there = at(page).unwrap();
            assert!(there.media_type.starts_with("text/html"), "{page}");
            assert!(!there.immutable);
            assert_eq!(logged(page), *page);
        }
        for path in [
            "/assets/",
            "/assets/none.js",
            "/etc/passwd",
            "/account/",
            "",
        ] {
            assert!(at(path).is_none(), "{path}");
        }
        assert_eq!(logged("/assets/none.js"), "/assets/*");
        assert_eq!(logged("/secret"), "unknown");
    }
}
