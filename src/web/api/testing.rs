//! For tests: the process with the state, in which two people are signed in.

use std::sync::Mutex;

use uuid::Uuid;

use crate::ipc::{
    BrowserAccount, BrowserHost, BrowserHosts, BrowserPasswordQuestion, BrowserPasswordRequest,
    BrowserSession, BrowserSessionAnswer, BrowserSessionQuestion, BrowserSessionRefusal,
    BrowserSessionRefusalKind, BrowserSessionRequest, BrowserSessions, CallError, SecretText,
};

/// The id of a person's own sign-in, and the fingerprint of a person's own key.
pub(in crate::web) const OWN: [(&str, Uuid, &str); 2] = [
    ("alice", Uuid::from_u128(1), "SHA256:a/a"),
    ("bob", Uuid::from_u128(2), "SHA256:b"),
];
/// The password of both.
pub(in crate::web) const PASSWORD: &str = "correct horse battery";

/// `alice` and `bob` are signed in: their tokens are their names, 16 times.
#[derive(Debug, Default)]
pub(in crate::web) struct TwoBrowsers {
    /// What was changed, and by whom.
    pub(in crate::web) changes: Mutex<Vec<String>>,
}

/// The token of a person.
pub(in crate::web) fn token_of(name: &str) -> String {
    name.repeat(16)
}

fn refused(kind: BrowserSessionRefusalKind, reason: &str) -> BrowserSessionAnswer {
    BrowserSessionAnswer::Refused(BrowserSessionRefusal {
        kind,
        reason: reason.to_owned(),
        message: "no".to_owned(),
        hint: None,
    })
}

fn session(name: &str) -> BrowserSession {
    BrowserSession {
        id: Uuid::nil(),
        name: name.to_owned(),
        roles: vec!["dba".to_owned()],
        started: 1_800_000_000,
        expires: 1_800_000_060,
    }
}

impl TwoBrowsers {
    fn change(&self, who: &str, what: &str) -> BrowserSessionAnswer {
        self.changes.lock().unwrap().push(format!("{who}: {what}"));
        BrowserSessionAnswer::Done
    }
}

impl BrowserSessions for TwoBrowsers {
    fn ask(&self, request: BrowserSessionRequest) -> Result<BrowserSessionAnswer, CallError> {
        let token = request.token.expose();
        let found = OWN.iter().find(|(name, ..)| token_of(name) == token);
        let Some((name, id, fingerprint)) = found else {
            return Ok(refused(
                BrowserSessionRefusalKind::NotSignedIn,
                "not-signed-in",
            ));
        };
        Ok(match request.ask {
            BrowserSessionQuestion::Who => BrowserSessionAnswer::Session(session(name)),
            BrowserSessionQuestion::SignOut { everywhere } => {
                self.change(name, &format!("out {everywhere}"))
            }
            BrowserSessionQuestion::Hosts { after } => BrowserSessionAnswer::Hosts(BrowserHosts {
                hosts: vec![BrowserHost {
                    name: format!("{after}db"),
                    labels: std::collections::BTreeMap::default(),
                    logins: vec!["root".to_owned()],
                    is_online: Some(true),
                }],
                next: after.is_empty().then(|| "x".to_owned()),
            }),
            BrowserSessionQuestion::Account => {
                BrowserSessionAnswer::Account(Box::new(BrowserAccount {
                    name: (*name).to_owned(),
                    roles: Vec::new(),
                    keys: Vec::new(),
                    sign_ins: Vec::new(),
                    has_codes: true,
                    needs_code: true,
                    recovery_codes_left: 9,
                }))
            }
            BrowserSessionQuestion::RemoveKey { fingerprint: asked } if asked == *fingerprint => {
                self.change(name, &asked)
            }
            BrowserSessionQuestion::EndSignIn { id: asked } if asked == *id => {
                self.change(name, &asked.to_string())
            }
            BrowserSessionQuestion::RemoveKey { .. } | BrowserSessionQuestion::EndSignIn { .. } => {
                refused(BrowserSessionRefusalKind::Missing, "no-such-thing")
            }
        })
    }

    fn ask_with_password(
        &self,
        request: BrowserPasswordRequest,
    ) -> Result<BrowserSessionAnswer, CallError> {
        Ok(match request.ask {
            BrowserPasswordQuestion::SignIn { name, password, .. } => {
                match (name.expose(), password.expose()) {
                    ("alice", PASSWORD) => BrowserSessionAnswer::SignedIn {
                        token: SecretText::new(token_of("alice")),
                        session: session("alice"),
                    },
                    ("slow", _) => refused(
                        BrowserSessionRefusalKind::Throttled(70),
                        "sign-in-throttled",
                    ),
                    _ => refused(BrowserSessionRefusalKind::Wrong, "sign-in-wrong"),
                }
            }
            BrowserPasswordQuestion::ChangePassword { password, .. } => match password.expose() {
                PASSWORD => self.change("somebody", "password"),
                _ => refused(BrowserSessionRefusalKind::Wrong, "sign-in-wrong"),
            },
        })
    }
}
