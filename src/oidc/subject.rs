//! The person whom a provider has vouched for.

/// A person whom the provider has vouched for, in answer to one authorization. Its only constructor is
/// the check of an ID token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSubject {
    issuer: String,
    subject: String,
    name: String,
    roles: Vec<String>,
}

impl VerifiedSubject {
    /// From claims that have been checked.
    pub(super) fn new(issuer: String, subject: String, name: String, roles: Vec<String>) -> Self {
        Self {
            issuer,
            subject,
            name,
            roles,
        }
    }

    /// One for the tests of other rooms.
    #[cfg(test)]
    pub(crate) fn for_test(issuer: &str, subject: &str, name: &str, roles: &[String]) -> Self {
        Self::new(
            issuer.to_owned(),
            subject.to_owned(),
            name.to_owned(),
            roles.to_vec(),
        )
    }

    /// The provider, as the configuration and the ID token have it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The person, for this provider: it never changes, and no other person gets it. 1 to 255 printable
    /// bytes.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The name that people read, from the claim of the configuration: it may change, and is no
    /// identity. 1 to 255 printable bytes; it need not be the name of a user.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The roles that the claims give, each once, in the order of the configuration. They may be none.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}
