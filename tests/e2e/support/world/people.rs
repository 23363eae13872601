//! The users of a world: their keys, certificates and agents.

use std::path::{Path, PathBuf};

use super::World;
use super::ca::Authorities;
use super::files::make_dir;
use super::login;
use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::keys::{self, Certificate, Issuer};
use crate::support::proxy;

/// The default type of a user's key, as arguments of `ssh-keygen`.
pub(super) const ED25519: &[&str] = &["-t", "ed25519"];

/// What the user's agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The key and its certificate, as `ssh-add` adds them.
    Certificate,
    /// The key alone, as GNOME Keyring and gpg-agent: the certificate is a file.
    BareKey,
    /// The key alone, and there is no certificate: the user signs in.
    KeyAlone,
    /// Nothing: key and certificate are files.
    Nothing,
    /// There is no agent.
    NoAgent,
}

/// A user with a key, a certificate and perhaps an agent.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) key: PathBuf,
    pub(super) holds: Holds,
    pub(super) agent: Option<Agent>,
}

impl User {
    /// The socket of the agent.
    pub(super) fn socket(&self) -> &Path {
        let agent = self.agent.as_ref();
        &agent.expect("this person has an agent").socket
    }

    /// The lines about keys in the configuration of `ssh`.
    pub(super) fn client_lines(&self) -> String {
        match self.holds {
            Holds::Certificate | Holds::KeyAlone => "IdentityFile none\n".to_owned(),
            Holds::BareKey => format!(
                "IdentityFile none\nCertificateFile {}\n",
                keys::with_suffix(&self.key, "-cert.pub").display()
            ),
            Holds::Nothing | Holds::NoAgent => format!("IdentityFile {}\n", self.key.display()),
        }
    }
}

/// Creates a user with a key of this type, a certificate, and an agent that holds what the test
/// chooses of them.
pub(super) fn make_user(
    children: &Children,
    root: &Path,
    name: &str,
    kind: &[&str],
    certificate: &Certificate,
    holds: Holds,
    authorities: &Authorities,
) -> User {
    let dir = root.join(name);
    make_dir(&dir);
    let key = dir.join("key");
    keys::generate_as(&key, kind);
    let principals = certificate.principals.clone().unwrap_or_else(login);
    match certificate.issuer {
        _ if holds == Holds::KeyAlone => {}
        Issuer::Rproxy => {
            keys::tool(proxy::rproxy(&root.join("rproxy.yaml")).args([
                "auth",
                "sign",
                &format!("--user={name}"),
                &format!("--logins={principals}"),
                &format!("--public-key={}.pub", key.display()),
                &format!("--out={}-cert.pub", key.display()),
            ]));
        }
        Issuer::UserAuthority(more) => {
            let authority = authorities.user_key(root);
            keys::sign(&authority, name, &principals, more, &key);
        }
        Issuer::Stranger => {
            let authority = dir.join("stranger_ca");
            keys::generate(&authority);
            keys::sign(&authority, name, &principals, &[], &key);
        }
    }
    let agent = (holds != Holds::NoAgent).then(|| {
        let agent = Agent::start(children, &dir.join("agent"));
        match holds {
            Holds::Certificate => agent.add(&key),
            Holds::BareKey | Holds::KeyAlone => agent.add_bare(&key),
            Holds::Nothing | Holds::NoAgent => {}
        }
        agent
    });
    User { key, holds, agent }
}

impl World {
    /// A second user, who may log in to the same account.
    pub(crate) fn another_user(&self, name: &str) -> User {
        let holds = match self.account {
            Some(_) => Holds::KeyAlone,
            None => Holds::Certificate,
        };
        let user = self.user_who_holds(name, holds);
        if self.account.is_some() {
            self.sign_up_silently(&user, name);
        }
        user
    }

    /// Another user, whose agent holds this.
    pub(crate) fn user_who_holds(&self, name: &str, holds: Holds) -> User {
        let authorities = Authorities::exported(&self.config());
        make_user(
            &self.children,
            self.dir.path(),
            name,
            ED25519,
            &Certificate::default(),
            holds,
            &authorities,
        )
    }

    /// Puts another key into the user's agent, with a certificate of the user CA for these
    /// logins, as `ssh-keygen` makes it with these arguments; `name` is its key id.
    pub(crate) fn add_certificate(&self, name: &str, principals: &str, more: &[&str]) {
        let authorities = Authorities::exported(&self.config());
        let key = self.dir().join(name);
        keys::generate(&key);
        keys::sign(
            &authorities.user_key(self.dir()),
            name,
            principals,
            more,
            &key,
        );
        self.agent().add(&key);
    }

    /// Signs the user's certificate again, for the same login.
    pub(crate) fn sign_user_again(&self) {
        let key = self.user.key.display();
        keys::tool(self.in_clock(self.rproxy()).args([
            "auth",
            "sign",
            "--user=alice",
            &format!("--logins={}", login()),
            &format!("--public-key={key}.pub"),
            &format!("--out={key}-cert.pub"),
            "--overwrite",
        ]));
    }

    /// The user's agent.
    pub(crate) fn agent(&self) -> &Agent {
        self.user.agent.as_ref().expect("the user has an agent")
    }

    /// The user's certificate file goes away.
    pub(crate) fn forget_certificate(&self) {
        std::fs::remove_file(keys::with_suffix(&self.user.key, "-cert.pub"))
            .expect("the certificate is a file");
    }
}
