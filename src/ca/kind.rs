//! Which of the two CAs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::CertificateType;

/// Which of the two CAs: the one that vouches for people, or the one for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaKind {
    /// Signs user certificates; hosts and the proxy trust it.
    User,
    /// Signs host certificates; clients and the proxy trust it.
    Host,
}

impl From<CaKind> for CertificateType {
    fn from(kind: CaKind) -> Self {
        match kind {
            CaKind::User => Self::User,
            CaKind::Host => Self::Host,
        }
    }
}

impl fmt::Display for CaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Host => "host",
        })
    }
}
