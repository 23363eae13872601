//! `/webapi/auth/export`: the CAs' public keys, in the forms of `rproxy auth export`.

use bytes::Bytes;
use hyper::StatusCode;
use ssh_key::PublicKey;
use ssh_key::certificate::CertType;

use super::page::{ErrorPage, Page};
use crate::openssh::{Export, ExportError, ExportFormat};

/// What to ask for.
const USAGE: &str = "ask for ?type=user or ?type=host, with &format=openssh, authorized-keys or \
                     known-hosts, and for known-hosts with &hosts=PATTERN,..";

/// What others are to trust: of each CA one key, or during a rotation two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// The user CA's.
    pub user: Vec<PublicKey>,
    /// The host CA's.
    pub host: Vec<PublicKey>,
}

/// All that anybody may read: the keys, and the list of what is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicDocuments {
    /// The CAs' keys.
    pub keys: PublicKeys,
    /// The list, as the file that sshd's `RevokedKeys` names.
    pub list: Bytes,
    /// When it was last changed, in seconds since the epoch; 0 if nothing was ever revoked.
    pub changed: u64,
}

impl PublicKeys {
    /// The page for a query, or the refusal of it.
    pub(super) fn page(&self, query: &str) -> Result<Page, ErrorPage> {
        let wanted = Wanted::parse(query)?;
        let (keys, name) = match wanted.authority {
            CertType::User => (&self.user, "rproxy_user_ca.pub"),
            CertType::Host => (&self.host, "rproxy_host_ca.pub"),
        };
        let text = wanted.export.lines(keys);
        let text = text.map_err(|error| ErrorPage::failed("cannot write the CA's key", &error))?;
        Ok(Page::new("text/plain; charset=utf-8", name, text))
    }
}

/// A query, understood.
struct Wanted {
    authority: CertType,
    export: Export,
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, ErrorPage> {
        let bad = |message: &str| ErrorPage::new(StatusCode::BAD_REQUEST, message, USAGE);
        let (mut authority, mut format, mut hosts) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "type" => &mut authority,
                "format" => &mut format,
                "hosts" => &mut hosts,
                _ => return Err(bad("there is a parameter that is not known")),
            };
            if place.replace(value).is_some() {
                return Err(bad("a parameter is given twice"));
            }
        }
        let authority = match authority.as_deref() {
            Some("user") => CertType::User,
            Some("host") => CertType::Host,
            Some(_) => return Err(bad("there is no CA of this type")),
            None => return Err(bad("which CA? the type is missing")),
        };
        let format = format.as_deref().map(str::parse::<ExportFormat>);
        let export = format
            .transpose()
            .and_then(|format| Export::new(authority, format, hosts.as_deref()));
        let export = export.map_err(|error| match error {
            // The pattern itself is not repeated: it is the client's input.
            ExportError::Patterns(_) => bad("a pattern of hosts cannot stand in known_hosts"),
            other => bad(&other.to_string()),
        })?;
        Ok(Self { authority, export })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn page(query: &str) -> Result<Page, ErrorPage> {
        let key = |name: &str| PublicKey::from_openssh(&format!("{KEY} {name}")).unwrap();
        let keys = PublicKeys {
            user: vec![key("user")],
            host: vec![key("old"), key("new")],
        };
        keys.page(query)
    }

    #[test]
    fn every_form_is_served() {
        for query in [
            "type=user",
            "type=user&format=openssh",
            "format=authorized-keys&type=user",
            "type=host",
            "type=host&hosts=%2A.example.com%2Cdb1",
            "type=host&format=known-hosts&hosts=*.example.com,db1",
        ] {
            assert!(page(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in [
            "",
            "type",
            "type=",
            "type=tls",
            "type=User",
            "type=user&type=user",
            "type=user&keys=1",
            "type=user&format=pem",
            "type=user&format=known-hosts",
            "type=host&format=authorized-keys",
            "type=user&hosts=a",
            "type=host&hosts=a%0Ab",
            "type=host&hosts=",
            "type=host&hosts=%00",
            "type=host&hosts=%ff",
            "%=&&;=?",
        ] {
            let refused = page(query).unwrap_err();
            assert_eq!(
                refused.answer().status(),
                StatusCode::BAD_REQUEST,
                "{query}"
            );
        }
    }
}
