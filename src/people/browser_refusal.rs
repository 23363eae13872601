//! Why people who sign in with a browser are refused.

use std::fmt::Display;

use super::refusal::Refused;
use crate::ipc::{BrowserAnswer, BrowserRefusal};
use crate::oidc::ProviderError;

impl Refused {
    /// The identity provider cannot be used, or refuses.
    pub(super) fn provider(error: &ProviderError) -> Self {
        let reason = match error {
            ProviderError::Settings(_) => "provider-settings",
            ProviderError::Unreachable { .. } | ProviderError::TooSlow { .. } => {
                "provider-unreachable"
            }
            ProviderError::Untrusted { .. } => "provider-untrusted",
            ProviderError::Refused { .. } => "provider-refused",
            ProviderError::BadAnswer { .. } => "provider-answer",
            ProviderError::Token(_) | ProviderError::OtherProvider(_) => "provider-token",
            ProviderError::Clock { .. } => "provider-clock",
            ProviderError::NoName { .. } | ProviderError::UnverifiedEmail => "provider-name",
        };
        Self::new(reason, error.message())
            .hint(error.hint())
            .and_end()
    }

    pub(super) fn link_over() -> Self {
        Self::new(
            "link-over",
            "this link is not valid: it is wrong, was used, or its five minutes are over",
        )
        .hint("connect again with ssh, and open the new link")
        .and_end()
    }

    pub(super) fn too_many_links() -> Self {
        Self::new(
            "too-many-links",
            "too many people from your address sign in with a browser at this moment",
        )
        .hint("try again in five minutes")
        .and_end()
    }

    pub(super) fn wrong_browser_code() -> Self {
        Self::new(
            "browser-code-wrong",
            "this is not the code that the browser shows",
        )
    }

    pub(super) fn no_role(name: impl Display) -> Self {
        Self::new(
            "no-role",
            format!("the identity provider says that you are {name}, and gives you no role here"),
        )
        .hint(
            "ask an administrator: auth_service.authentication.oidc.claims_to_roles says which \
             groups have which roles",
        )
        .and_end()
    }

    pub(super) fn unfit_name(why: impl Display) -> Self {
        Self::new(
            "name-unfit",
            format!("the name that the identity provider has for you cannot be a user's: {why}"),
        )
        .hint(
            "ask an administrator: auth_service.authentication.oidc.name_claim can name another \
             claim",
        )
        .and_end()
    }

    pub(super) fn name_taken(name: impl Display) -> Self {
        Self::new(
            "name-taken",
            format!(
                "the identity provider says that you are {name}, and another user of this proxy has \
                 this name"
            ),
        )
        .hint(format!(
            "ask an administrator: `rproxy users rm {name}` removes the other user, and in the \
             configuration no item of `users` may match the name, apart from \"*\""
        ))
        .and_end()
    }

    pub(super) fn other_account(account: impl Display) -> Self {
        Self::new(
            "other-account",
            format!(
                "your key is registered for {account}, and you have signed in with the browser as \
                 another user"
            ),
        )
        .hint(format!(
            "sign in there as {account}, or connect with another key: ssh -o IdentitiesOnly=yes -i \
             FILE"
        ))
        .and_end()
    }

    pub(super) fn no_sign_up() -> Self {
        Self::new(
            "no-sign-up",
            "there are no invitations here: you sign in with a browser, at the identity provider",
        )
        .hint("type: ssh NAME@PROXY login")
        .and_end()
    }

    pub(super) fn account_of_provider() -> Self {
        Self::new(
            "account-of-provider",
            "your password and your second factor are at the identity provider, and are changed there",
        )
    }

    pub(super) fn no_provider() -> Self {
        Self::new(
            "no-provider",
            "you sign in with a browser at an identity provider, and this proxy has none now",
        )
        .hint("ask an administrator: `rproxy users rm NAME` and `rproxy users add NAME` give you an invitation")
        .and_end()
    }

    pub(super) fn no_browsers() -> Self {
        Self::new("no-provider", "people do not sign in with a browser here")
    }
}

impl From<Refused> for BrowserAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(BrowserRefusal {
            message: refused.message,
            hint: refused.hint,
        })
    }
}
