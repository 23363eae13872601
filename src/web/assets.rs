//! The interface in the browser, as its build (`web/`) has made it: files inside the program, compressed
//! already.
//!
//! A program that was built without `web/dist` has no such files, and one page in their place, which says so.

/// A file of the interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset {
    /// `Content-Type`.
    pub(super) media_type: &'static str,
    /// Its name changes with its content: a browser may keep it for ever.
    pub(super) immutable: bool,
    /// The content as it is.
    pub(super) plain: &'static [u8],
    /// The same for clients that accept `br`; none where compression gains nothing.
    pub(super) brotli: Option<&'static [u8]>,
    /// The same for clients that accept `gzip`.
    pub(super) gzip: Option<&'static [u8]>,
}

/// A row of the table that `build.rs` writes.
#[derive(Debug)]
struct BuiltFile {
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// Sorted by path.
static BUILT: &[BuiltFile] = include!(concat!(env!("OUT_DIR"), "/interface.rs"));

/// The paths at which the interface has pages; at every other one it says that there is none.
pub(super) const PAGES: &[&str] = &["/", "/account", "/sign-in"];

/// What every page path shows.
const INDEX: &str = "/index.html";

/// In place of the interface. It needs no style and no script, which the policy of the pages would not allow
/// inline.
const WITHOUT: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>rproxy: built without the interface</title>
</head>
<body>
<main>
<h1>This rproxy was built without its interface</h1>
<p>Everything else works: sign in and connect with <code>ssh</code>.</p>
<p>To have the interface, build it (Node.js 20 or later), then rproxy, in the directory of its sources:</p>
<pre>npm --prefix web ci
npm --prefix web run build
cargo build --release</pre>
</main>
</body>
</html>
";

/// Whether this program was built with the interface.
pub(super) fn is_built() -> bool {
    !BUILT.is_empty()
}

/// The document of every page path: the interface finds the page by the path itself. Without the interface,
/// the page that says so.
pub(super) fn document() -> Asset {
    asset(INDEX).unwrap_or(Asset {
        media_type: "text/html; charset=utf-8",
        immutable: false,
        plain: WITHOUT.as_bytes(),
        brotli: None,
        gzip: None,
    })
}

/// The file at this path of a URL, which has to be exactly that of a file: nothing in it is decoded.
pub(super) fn asset(path: &str) -> Option<Asset> {
    let at = BUILT.binary_search_by(|file| file.path.cmp(path)).ok()?;
    let file = BUILT.get(at)?;
    Some(Asset {
        media_type: media_type(path),
        immutable: has_hash(path),
        plain: file.plain,
        brotli: file.brotli,
        gzip: file.gzip,
    })
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Whether the build has put a hash into the name: `/assets/NAME-HASH.ENDING`, with the eight characters of
/// its bundler.
fn has_hash(path: &str) -> bool {
    let hash = path
        .strip_prefix("/assets/")
        .and_then(|name| name.rsplit_once('.'))
        .and_then(|(stem, _)| stem.len().checked_sub(9).and_then(|at| stem.get(at..)))
        .and_then(|tail| tail.strip_prefix('-'));
    hash.is_some_and(|hash| {
        hash.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_built_is_found_by_its_path_alone() {
        assert!(BUILT.is_sorted_by_key(|file| file.path));
        for file in BUILT {
            let found = asset(file.path).expect(file.path);
            assert_eq!(found.plain, file.plain);
            assert_eq!((found.brotli, found.gzip), (file.brotli, file.gzip));
        }
        for path in [
            "",
            "/",
            "/assets",
            "/assets/",
            "/assets/../index.html",
            "/index.html/",
        ] {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    /// `web/src/routes.ts` has the same paths.
    #[test]
    fn pages_are_those_of_the_interface() {
        let routes = include_str!("../../web/src/routes.ts");
        for path in PAGES {
            assert!(routes.contains(&format!("\"{path}\"")), "{path}");
        }
        assert_eq!(routes.matches("path: \"/").count(), PAGES.len());
        assert!(PAGES.iter().all(|path| asset(path).is_none()));
    }

    #[test]
    fn every_page_has_a_document() {
        let document = document();
        assert!(document.media_type.starts_with("text/html"));
        assert!(!document.immutable, "its name does not change");
        let text = str::from_utf8(document.plain).unwrap();
        assert!(text.starts_with("<!DOCTYPE html>") || text.starts_with("<!doctype html>"));
        assert_eq!(text.contains("npm --prefix web ci"), !is_built());
        // What the policy of the pages forbids.
        for inline in ["<style", " style=", "<script>", " onload="] {
            assert!(!text.contains(inline), "{inline}");
        }
    }

    #[test]
    fn compressed_files_are_the_same_and_smaller() {
        for file in BUILT {
            let Some(packed) = file.gzip else { continue };
            let mut plain = Vec::new();
            let mut gzip = flate2::read::GzDecoder::new(packed);
            gzip.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, file.plain, "{}", file.path);
            assert!(packed.len() < file.plain.len(), "{}", file.path);
            assert!(
                file.brotli
                    .is_some_and(|brotli| brotli.len() <= packed.len())
            );
        }
    }

    #[test]
    fn names_with_a_hash_are_kept_for_ever() {
        for (path, expected) in [
            ("/assets/index-Dk3_x-9Z.js", true),
            ("/assets/index-Dk3_x.9Z.js", false),
            ("/assets/third-party.txt", false),
            ("/assets/a.js", false),
            ("/assets/index-Dk3_x-9Z", false),
            ("/index-Dk3_x-9Z.js", false),
            ("/index.html", false),
        ] {
            assert_eq!(has_hash(path), expected, "{path}");
        }
    }

    #[test]
    fn media_types_are_those_that_browsers_insist_on() {
        for (path, expected) in [
            ("/assets/a.js", "text/javascript; charset=utf-8"),
            ("/assets/a.css", "text/css; charset=utf-8"),
            ("/assets/a.svg", "image/svg+xml"),
            ("/assets/a", "application/octet-stream"),
        ] {
            assert_eq!(media_type(path), expected, "{path}");
        }
    }
}
