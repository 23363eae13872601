//! Pages for people: HTML without scripts, and the headers that keep other pages away from them.
//!
//! Every text is escaped where it is added; there is no way to add markup. A page is readable without
//! its style, and from top to bottom by a screen reader.

use hyper::{StatusCode, header};

use super::page::{HttpResponse, report, set};
use crate::model::text::Printable;

/// The only style. Its hash is in [`POLICY`].
const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:1.1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}\
    .code{font:700 2.5rem/1.2 ui-monospace,monospace;letter-spacing:.1em}";
/// Nothing is loaded, run, sent or framed (CSP level 3).
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-quxYxaZzSyzbsraMKzjTQKGxrPrgcuX3EVyq8aY8jWI='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Longest text of a paragraph, in bytes before escaping for HTML.
const MAX_TEXT: usize = 1024;

/// A page.
#[derive(Debug)]
pub(super) struct HtmlPage {
    status: StatusCode,
    /// What the browser calls it.
    title: String,
    /// What is in its `main`, escaped.
    body: String,
}

impl HtmlPage {
    /// A page with this title, and a heading.
    pub(super) fn new(status: StatusCode, title: &str, heading: &str) -> Self {
        Self {
            status,
            title: escaped(title),
            body: format!("<h1>{}</h1>\n", escaped(heading)),
        }
    }

    /// Adds a paragraph.
    pub(super) fn paragraph(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p>{}</p>\n", escaped(text)));
        self
    }

    /// Adds a paragraph that must not be overlooked.
    pub(super) fn warning(mut self, text: &str) -> Self {
        let text = escaped(text);
        self.body
            .push_str(&format!("<p><strong>{text}</strong></p>\n"));
        self
    }

    /// Adds a code that has to be copied character by character.
    pub(super) fn code(mut self, code: &str) -> Self {
        let code = escaped(code);
        let line = format!("<p class=\"code\"><code>{code}</code></p>\n");
        self.body.push_str(&line);
        self
    }

    /// As an answer, which no cache keeps, no other page frames, and no link from it names.
    pub(super) fn answer(self) -> HttpResponse {
        let Self {
            status,
            title,
            body,
        } = self;
        let text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
             </body>\n</html>\n"
        );
        let mut answer = report(status, "text/html; charset=utf-8", text);
        keep_private(&mut answer);
        answer
    }
}

/// Sets the headers of everything that a browser shows or follows during a sign-in.
pub(super) fn keep_private(answer: &mut HttpResponse) {
    set(answer, header::CACHE_CONTROL, "no-store");
    set(answer, header::CONTENT_SECURITY_POLICY, POLICY);
    set(answer, header::X_FRAME_OPTIONS, "DENY");
    set(answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(answer, header::REFERRER_POLICY, "no-referrer");
    let opener = header::HeaderName::from_static("cross-origin-opener-policy");
    set(answer, opener, "same-origin");
}

/// A text as HTML shows it, in an element or in a quoted attribute. It is one line, and what could
/// reorder or hide text around it is shown as an escape.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in Printable(text).within(MAX_TEXT).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn shown(page: HtmlPage) -> String {
        let body = page.answer().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn no_text_is_markup() {
        let hostile = "</p><script>alert(1)</script><a href='x' id=\"y\">&amp;\u{202e}\0\n";
        let page = HtmlPage::new(StatusCode::OK, hostile, hostile)
            .paragraph(hostile)
            .warning(hostile)
            .code(hostile);
        let html = shown(page).await;
        let with_text = "&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;a href=&#39;x&#39; \
                         id=&quot;y&quot;&gt;&amp;amp;\\u{202e}\\u{0}\\n";
        assert_eq!(html.matches(with_text).count(), 5, "{html}");
        assert_eq!(html.matches("<script").count(), 0, "{html}");
        assert_eq!(html.matches("<p").count(), 3, "{html}");
    }

    #[tokio::test]
    async fn a_long_text_is_cut() {
        let page = HtmlPage::new(StatusCode::OK, "t", "h").paragraph(&"<".repeat(100_000));
        let html = shown(page).await;
        assert!(html.len() < 8 * MAX_TEXT, "{}", html.len());
        assert!(html.contains("&lt;...</p>"), "{html}");
    }

    #[test]
    fn the_policy_allows_the_style_and_nothing_else() {
        use ssh_encoding::base64::{Base64, Encoding as _};
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let hash = Base64::encode_string(hash.as_ref());
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
        let answer = HtmlPage::new(StatusCode::OK, "t", "h").answer();
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
    }
}
