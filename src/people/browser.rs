//! The browser's side: it opens the link that a terminal shows, goes to the identity provider, comes back,
//! and then is shown the code that the terminal waits for. It is not signed in by that: the terminal is,
//! when the code is typed there and a key has proved itself.

use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use super::browser_secrets::{Ticket, new_browser_code, provider_state_hash};
use super::context::{Context, Unavailable};
use super::provider::BrowserSignIn;
use super::refusal::Refused;
use super::vouched::candidate;
use crate::audit::PersonEvent;
use crate::ipc::{BrowserAnswer, BrowserQuestion, BrowserRequest, SecretText};
use crate::model::{ConnectionId, chain};
use crate::oidc::{Authorization, ProviderError};
use crate::state::{PendingAuthorization, ProviderSubject, VouchedSubject};

/// Answers a browser.
pub(super) fn answer(
    context: &Context,
    request: &BrowserRequest,
) -> Result<BrowserAnswer, Unavailable> {
    let Some(sign_in) = context.browser() else {
        return Ok(Refused::no_browsers().into());
    };
    let browser = Browsing {
        context,
        sign_in,
        client: request.client.to_canonical(),
    };
    match &request.ask {
        BrowserQuestion::Open { ticket } => browser.open(ticket.expose()),
        BrowserQuestion::Returned {
            state,
            code,
            error,
            iss,
        } => {
            let returned = ReturnedWith {
                code: code.as_ref(),
                error: error.as_deref(),
                iss: iss.as_deref(),
            };
            browser.come_back(state.expose(), &returned)
        }
    }
}

/// What a browser has come back with, besides its state.
struct ReturnedWith<'r> {
    code: Option<&'r SecretText>,
    error: Option<&'r str>,
    iss: Option<&'r str>,
}

/// The terminal that an authorization is for.
struct WaitingTerminal {
    client: SocketAddr,
    connection: ConnectionId,
}

impl WaitingTerminal {
    fn of(pending: &PendingAuthorization) -> Result<Self, Unavailable> {
        let client = pending.client.parse();
        let connection = pending.connection.parse();
        match (client, connection) {
            (Ok(client), Ok(connection)) => Ok(Self { client, connection }),
            _ => Err(Unavailable::new("an authorization cannot be read")),
        }
    }
}

/// One request of a browser.
struct Browsing<'b> {
    context: &'b Context,
    sign_in: &'b BrowserSignIn,
    client: IpAddr,
}

impl Browsing<'_> {
    /// The link is opened.
    fn open(&self, ticket: &str) -> Result<BrowserAnswer, Unavailable> {
        let state = &self.context.state;
        let Some(ticket) = Ticket::parse(ticket) else {
            return Ok(self.refuse(None, Refused::link_over()));
        };
        let pending = state
            .authorizations()
            .of_ticket(&ticket.hash(), state.now())?;
        let Some(pending) = pending else {
            return Ok(self.refuse(None, Refused::link_over()));
        };
        let terminal = WaitingTerminal::of(&pending)?;
        let authorization = authorization(&pending, ticket.provider_state());
        let url = match self.sign_in.provider.url_of(&authorization) {
            Ok(url) => url,
            Err(error) => return Ok(self.refuse(Some(&terminal), failed(&error))),
        };
        self.context.audit(PersonEvent::AuthorizationOpened {
            browser_addr: self.client,
            client_addr: terminal.client,
            connection: terminal.connection,
        })?;
        Ok(BrowserAnswer::Redirect { url })
    }

    /// The browser comes back from the provider. This is looked at once, whatever comes of it.
    fn come_back(
        &self,
        state: &str,
        returned: &ReturnedWith<'_>,
    ) -> Result<BrowserAnswer, Unavailable> {
        let authorizations = self.context.state.authorizations();
        let taken =
            authorizations.take_returned(&provider_state_hash(state), self.context.now())?;
        let Some(pending) = taken else {
            return Ok(self.refuse(None, Refused::link_over()));
        };
        let terminal = WaitingTerminal::of(&pending)?;
        let authorization = authorization(&pending, Zeroizing::new(state.to_owned()));
        let vouched = match self.redeem(&authorization, returned) {
            Ok(vouched) => vouched,
            Err(error) => return Ok(self.refuse(Some(&terminal), failed(&error))),
        };
        if let Err(refused) = candidate(self.context, &vouched)? {
            return Ok(self.refuse(Some(&terminal), refused));
        }
        // What cannot be audited has not happened.
        self.context.audit(PersonEvent::AuthorizationAnswered {
            name: vouched.name.clone(),
            issuer: vouched.subject.issuer.clone(),
            subject: vouched.subject.subject.clone(),
            roles: vouched.roles.clone(),
            browser_addr: self.client,
            client_addr: terminal.client,
            connection: terminal.connection,
        })?;
        let (code, hash) = new_browser_code(pending.id);
        if !authorizations.answer(pending.id, &hash, &vouched, self.context.now())? {
            return Ok(self.refuse(Some(&terminal), Refused::link_over()));
        }
        Ok(BrowserAnswer::Code {
            code: SecretText::new(code.to_string()),
            name: vouched.name,
            terminal: terminal.client.ip().to_canonical(),
        })
    }

    fn redeem(
        &self,
        authorization: &Authorization,
        returned: &ReturnedWith<'_>,
    ) -> Result<VouchedSubject, ProviderError> {
        if let Some(error) = returned.error {
            return Err(ProviderError::refused(error, None));
        }
        let Some(code) = returned.code else {
            return Err(ProviderError::BadAnswer {
                of: "answer to the browser",
                what: "there is no code in it".to_owned(),
            });
        };
        let provider = &self.sign_in.provider;
        let verified = provider.redeem(authorization, code.expose(), returned.iss)?;
        Ok(VouchedSubject {
            subject: ProviderSubject {
                issuer: verified.issuer().to_owned(),
                subject: verified.subject().to_owned(),
            },
            name: verified.name().to_owned(),
            roles: verified.roles().to_vec(),
        })
    }

    /// Writes a refusal down.
    fn refuse(&self, terminal: Option<&WaitingTerminal>, refused: Refused) -> BrowserAnswer {
        self.context
            .audit_refusal(PersonEvent::AuthorizationRefused {
                reason: refused.reason,
                message: refused.message.clone(),
                browser_addr: self.client,
                client_addr: terminal.map(|terminal| terminal.client),
                connection: terminal.map(|terminal| terminal.connection),
            });
        refused.into()
    }
}

/// The random texts of an authorization. The state of the program has only the hash of `state`.
fn authorization(pending: &PendingAuthorization, state: Zeroizing<String>) -> Authorization {
    Authorization {
        state,
        nonce: pending.nonce.clone(),
        verifier: pending.verifier.clone(),
    }
}

/// The refusal of a browser, or of a terminal, because of the provider. The log says more than the person
/// reads.
pub(super) fn failed(error: &ProviderError) -> Refused {
    tracing::warn!(error = %chain(error), "the identity provider cannot be used");
    Refused::provider(error)
}
