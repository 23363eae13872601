//! How long the connections inside an outer connection live, and why they end with it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::format_duration;

/// Why everything inside an outer connection ends.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ScopeEnd {
    #[error("the client has gone")]
    ClientLeft,
    #[error("the client has not answered for {}", format_duration(*.0))]
    ClientLost(Duration),
    #[error("the client broke the protocol on the outer connection")]
    ProtocolError,
    #[error("the proxy is shutting down")]
    Shutdown,
}

impl ScopeEnd {
    /// A stable name for the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ClientLeft => "client-left",
            Self::ClientLost(_) => "client-lost",
            Self::ProtocolError => "protocol-error",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The life of one outer connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    token: CancellationToken,
    why: Arc<OnceLock<ScopeEnd>>,
}

impl Scope {
    /// One that ends with the proxy, if nothing ends it before.
    pub(crate) fn within(proxy: &CancellationToken) -> Self {
        Self {
            token: proxy.child_token(),
            why: Arc::default(),
        }
    }

    /// Ends it. Only the first reason counts.
    pub(crate) fn end(&self, why: ScopeEnd) {
        let _later_ones_tell_nothing = self.why.set(why);
        self.token.cancel();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> ScopeEnd {
        self.token.cancelled().await;
        self.why.get().copied().unwrap_or(ScopeEnd::Shutdown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts() {
        let proxy = CancellationToken::new();
        let scope = Scope::within(&proxy);
        scope.end(ScopeEnd::ClientLeft);
        scope.end(ScopeEnd::ProtocolError);
        proxy.cancel();
        assert_eq!(scope.clone().ended().await, ScopeEnd::ClientLeft);
    }

    #[tokio::test]
    async fn it_ends_with_the_proxy() {
        let proxy = CancellationToken::new();
        let scope = Scope::within(&proxy);
        proxy.cancel();
        assert_eq!(scope.ended().await, ScopeEnd::Shutdown);
    }
}
