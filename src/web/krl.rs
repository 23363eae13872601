//! `/webapi/auth/krl`: what is revoked, as the file that sshd's `RevokedKeys` names.

use super::page::{ErrorPage, Page};
use crate::ssh::RevocationFile;

/// The page, or why there is none.
pub(super) async fn page(file: &RevocationFile) -> Result<Page, ErrorPage> {
    let list = file.list().await;
    let list =
        list.map_err(|error| ErrorPage::failed("cannot make the revocation list", &error))?;
    let page = Page::new(
        "application/octet-stream",
        "rproxy_revoked_keys",
        list.bytes,
    );
    Ok(match list.changed {
        0 => page,
        at => page.modified(at),
    })
}
