//! `/webapi/auth/krl`: what is revoked, as the file that sshd's `RevokedKeys` names.

use super::keys::PublicDocuments;
use super::page::Page;

/// The page.
pub(super) fn page(documents: &PublicDocuments) -> Page {
    let page = Page::new(
        "application/octet-stream",
        "rproxy_revoked_keys",
        documents.list.clone(),
    );
    match documents.changed {
        0 => page,
        at => page.modified(at),
    }
}
