//! An identity provider, and browsers that sign in there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use super::house::{House, HouseClient, questions};
use crate::ipc::{BrowserAnswer, BrowserQuestion, BrowserRefusal, BrowserRequest, SecretText};
use crate::oidc::{Authorization, ProviderError, TokenFault, VerifiedSubject};
use crate::people::IdentityProvider;

/// Where browsers find the proxy.
pub(super) const ORIGIN: &str = "https://proxy.example.com:3080";
/// The name of the provider.
pub(super) const ISSUER: &str = "https://id.example.com";

/// A provider that vouches for whom a code says, if the code is of the authorization.
#[derive(Debug, Default)]
pub(super) struct FakeProvider {
    /// Why it cannot be used.
    pub(super) fault: Mutex<Option<ProviderError>>,
    /// The codes that were redeemed.
    redeemed: Mutex<BTreeSet<String>>,
}

impl FakeProvider {
    pub(super) fn fails(&self, error: ProviderError) {
        *self.fault.lock().unwrap() = Some(error);
    }

    pub(super) fn redeemed(&self) -> usize {
        self.redeemed.lock().unwrap().len()
    }

    fn works(&self) -> Result<(), ProviderError> {
        self.fault.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl IdentityProvider for FakeProvider {
    fn begin(&self) -> Result<Authorization, ProviderError> {
        self.works()?;
        Ok(Authorization::random())
    }

    fn url_of(&self, pending: &Authorization) -> Result<String, ProviderError> {
        self.works()?;
        let (state, nonce) = (pending.state.as_str(), pending.nonce.as_str());
        Ok(format!("{ISSUER}/auth?state={state}&nonce={nonce}"))
    }

    fn redeem(
        &self,
        pending: &Authorization,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedSubject, ProviderError> {
        self.works()?;
        if let Some(iss) = iss.filter(|iss| *iss != ISSUER) {
            return Err(ProviderError::OtherProvider(iss.to_owned()));
        }
        if !self.redeemed.lock().unwrap().insert(code.to_owned()) {
            return Err(ProviderError::Refused {
                error: "invalid_grant".to_owned(),
                description: None,
            });
        }
        let mut parts = code.split('|');
        let mut part = || parts.next().unwrap_or_default();
        let (nonce, subject, name, roles) = (part(), part(), part(), part());
        if nonce != pending.nonce.as_str() {
            return Err(ProviderError::Token(TokenFault::Nonce));
        }
        let roles = roles.split(',').filter(|role| !role.is_empty());
        let roles: Vec<_> = roles.map(str::to_owned).collect();
        Ok(VerifiedSubject::for_test(ISSUER, subject, name, &roles))
    }
}

/// A person whom the provider knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct PersonThere {
    pub(super) subject: &'static str,
    pub(super) name: &'static str,
    /// Separated by commas.
    pub(super) roles: &'static str,
}

pub(super) const ALICE: PersonThere = PersonThere {
    subject: "1001",
    name: "alice",
    roles: "dba",
};

pub(super) const MALLORY: PersonThere = PersonThere {
    subject: "6666",
    name: "mallory",
    roles: "dba",
};

/// A browser that was sent to the provider.
#[derive(Clone, Debug)]
pub(super) struct BrowserThere {
    pub(super) state: String,
    nonce: String,
}

impl BrowserThere {
    /// What it comes back with when this person has signed in there.
    pub(super) fn signed_in(&self, person: PersonThere) -> BrowserQuestion {
        let PersonThere {
            subject,
            name,
            roles,
        } = person;
        let code = format!("{}|{subject}|{name}|{roles}", self.nonce);
        BrowserQuestion::Returned {
            state: secret(&self.state),
            code: Some(secret(&code)),
            error: None,
            iss: Some(ISSUER.to_owned()),
        }
    }

    /// The same with the state of another authorization.
    pub(super) fn with_state_of(&self, other: &Self) -> Self {
        Self {
            state: other.state.clone(),
            nonce: self.nonce.clone(),
        }
    }
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

impl House {
    pub(super) fn browse(&self, ask: BrowserQuestion) -> BrowserAnswer {
        let client: IpAddr = "198.51.100.9".parse().unwrap();
        self.service.answer_browser(&BrowserRequest { client, ask })
    }

    /// Opens a link.
    pub(super) fn open(&self, ticket: &str) -> BrowserAnswer {
        self.browse(BrowserQuestion::Open {
            ticket: secret(ticket),
        })
    }

    /// Opens a link that is of use.
    pub(super) fn follow(&self, ticket: &str) -> BrowserThere {
        let answer = self.open(ticket);
        let BrowserAnswer::Redirect { url } = answer else {
            panic!("{answer:?}")
        };
        let (_, query) = url.split_once("?state=").unwrap();
        let (state, nonce) = query.split_once("&nonce=").unwrap();
        BrowserThere {
            state: state.to_owned(),
            nonce: nonce.to_owned(),
        }
    }

    /// Opens a link and signs in; gives the code that the browser shows.
    pub(super) fn code_for(&self, ticket: &str, person: PersonThere) -> String {
        let there = self.follow(ticket);
        let (code, name) = code(self.browse(there.signed_in(person)));
        assert_eq!(name, person.name);
        code
    }
}

impl HouseClient<'_> {
    /// Asks for a link; gives the last part of it.
    pub(super) fn link(&self) -> String {
        ticket(&questions(self.begin()).banner)
    }
}

/// The last part of the link in a banner.
pub(super) fn ticket(banner: &str) -> String {
    let mut lines = banner.lines();
    let link = lines.find_map(|line| line.trim().strip_prefix(ORIGIN));
    let ticket = link.unwrap().strip_prefix("/webapi/oidc/login/");
    ticket.unwrap().to_owned()
}

/// The code that a browser shows, and the name.
pub(super) fn code(answer: BrowserAnswer) -> (String, String) {
    match answer {
        BrowserAnswer::Code {
            code,
            name,
            terminal,
        } => {
            assert_eq!(terminal.to_string(), "203.0.113.7");
            (code.expose().to_owned(), name)
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(answer: BrowserAnswer) -> BrowserRefusal {
    match answer {
        BrowserAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}
