//! The lifetime of the connections inside an outer connection, and the reason why they end with it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::end_reason::EndReason;

/// The lifetime of one outer connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    token: CancellationToken,
    why: Arc<OnceLock<EndReason>>,
}

impl Scope {
    /// A lifetime that ends with the proxy, unless it ends earlier.
    pub(crate) fn within(proxy: &CancellationToken) -> Self {
        Self {
            token: proxy.child_token(),
            why: Arc::default(),
        }
    }

    /// Ends it. Only the first reason counts.
    pub(crate) fn end(&self, why: EndReason) {
        // `set` fails if there is a reason already.
        drop(self.why.set(why));
        self.token.cancel();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> EndReason {
        self.token.cancelled().await;
        self.why.get().cloned().unwrap_or(EndReason::Shutdown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_for_all_clones() {
        let proxy = CancellationToken::new();
        let scope = Scope::within(&proxy);
        let clone = scope.clone();
        scope.end(EndReason::OuterLeft);
        clone.end(EndReason::OuterBroken);
        proxy.cancel();
        assert_eq!(scope.ended().await, EndReason::OuterLeft);
        assert_eq!(clone.ended().await, EndReason::OuterLeft);
    }

    #[tokio::test]
    async fn it_ends_with_the_proxy() {
        let proxy = CancellationToken::new();
        let scope = Scope::within(&proxy);
        proxy.cancel();
        assert_eq!(scope.ended().await, EndReason::Shutdown);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_alone() {
        let proxy = CancellationToken::new();
        let (ending, other) = (Scope::within(&proxy), Scope::within(&proxy));
        ending.end(EndReason::OuterLost(Duration::from_secs(9)));
        let lost = EndReason::OuterLost(Duration::from_secs(9));
        assert_eq!(ending.ended().await, lost);
        assert!(!proxy.is_cancelled());
        let later = timeout(Duration::from_secs(3600), other.ended()).await;
        assert!(later.is_err(), "{later:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken() {
        let scope = Scope::within(&CancellationToken::new());
        let waiting = scope.clone();
        let waiter = tokio::spawn(async move { waiting.ended().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        scope.end(EndReason::OuterBroken);
        assert_eq!(waiter.await.unwrap(), EndReason::OuterBroken);
    }
}
