//! The section `auth_service.authentication.oidc`: the OpenID Connect provider at which people sign in.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{Composite, NONE, PATH};
use super::secret_file;
use super::section::{Section, quoted};
use super::value::{absolute, expected, yaml_text};
use crate::model::text::is_printable;
use crate::oidc::{ClaimToRoles, IssuerUrl, IssuerUrlError};
use crate::sys::fs::FsError;

/// Longest client id, claim, value of a claim, or scope, in bytes.
const MAX_WORD: usize = 256;
/// The scope without which a provider returns no ID token (OpenID Connect Core 3.1.2.1).
const OPENID: &str = "openid";

/// `auth_service.authentication.oidc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// `issuer`.
    pub issuer: IssuerUrl,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret_file`; `None` for a public client.
    pub client_secret_file: Option<PathBuf>,
    /// `claims_to_roles`; never empty.
    pub claims_to_roles: Vec<ClaimToRoles>,
    /// `name_claim`.
    pub name_claim: String,
    /// `scopes`; "openid" is among them.
    pub scopes: Vec<String>,
    /// `ca_file`.
    pub ca_file: Option<PathBuf>,
}

impl Oidc {
    /// The client secret, without the end of its line; `None` for a public client. Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or others may read it.
    pub fn client_secret(&self) -> Result<Option<Zeroizing<String>>, FsError> {
        let file = self.client_secret_file.as_deref();
        file.map(secret_file::read).transpose()
    }
}

/// `auth_service.authentication.oidc.issuer`.
const ISSUER: Key = Key {
    name: "issuer",
    form: ValueType::Text("the provider's https:// URL, as in https://id.example.com"),
    default: DefaultValue::Required,
    doc: "The provider's issuer identifier, exactly as its discovery document has it \
          (ISSUER/.well-known/openid-configuration). http:// is accepted for a loopback address only.",
};

/// `auth_service.authentication.oidc.client_id`.
const CLIENT_ID: Key = Key {
    name: "client_id",
    form: ValueType::Text("the client id that the provider has for this proxy"),
    default: DefaultValue::Required,
    doc: "The client id under which the proxy is registered at the provider.",
};

/// `auth_service.authentication.oidc.client_secret_file`.
const CLIENT_SECRET_FILE: Key = Key {
    name: "client_secret_file",
    form: PATH.form,
    default: DefaultValue::Nothing,
    doc: "The file with the client secret, in one line. A group may read it, others may not. \
          Without the key, the proxy is a public client, which proves itself by PKCE alone.",
};

/// `auth_service.authentication.oidc.claims_to_roles`.
pub(super) const CLAIMS_TO_ROLES: Key = Key {
    name: "claims_to_roles",
    form: ValueType::Sections(&[CLAIM, CLAIM_VALUE, CLAIM_ROLES]),
    default: DefaultValue::Required,
    doc: "Which roles users have by their claims. A user has the roles of all items \
          that match, and is refused if none matches. The roles are set again at each sign-in.",
};

/// `auth_service.authentication.oidc.claims_to_roles[].claim`.
const CLAIM: Key = Key {
    name: "claim",
    form: ValueType::Text("the name of a claim, as in groups"),
    default: DefaultValue::Required,
    doc: "The claim: in the ID token, or else at the provider's userinfo endpoint.",
};

/// `auth_service.authentication.oidc.claims_to_roles[].value`.
const CLAIM_VALUE: Key = Key {
    name: "value",
    form: ValueType::Text("a value of the claim, as in dba"),
    default: DefaultValue::Required,
    doc: "The value that the claim must have, or that must be an item of it if it is a list. Upper \
          and lower case differ.",
};

/// `auth_service.authentication.oidc.claims_to_roles[].roles`.
pub(super) const CLAIM_ROLES: Key = Key {
    name: "roles",
    form: ValueType::Texts("the name of a role"),
    default: DefaultValue::Required,
    doc: "The roles that these users have.",
};

/// `auth_service.authentication.oidc.name_claim`.
const NAME_CLAIM: Key = Key {
    name: "name_claim",
    form: ValueType::Text("the name of a claim, as in preferred_username"),
    default: DefaultValue::Value("preferred_username"),
    doc: "The claim that has the user's name, as the audit log and the recordings \
          show it. A user is identified by the claim sub, not by this name. The claim email is \
          accepted only with email_verified: true.",
};

/// `auth_service.authentication.oidc.scopes`.
const SCOPES: Key = Key {
    name: "scopes",
    form: ValueType::Texts("a scope, as in profile"),
    default: DefaultValue::Values(&[OPENID, "profile", "email"]),
    doc: "What the proxy asks the provider for. \"openid\" must be among them.",
};

/// `auth_service.authentication.oidc.ca_file`.
const CA_FILE: Key = Key {
    name: "ca_file",
    form: PATH.form,
    default: DefaultValue::Nothing,
    doc: "CA certificates in PEM that are trusted for the provider's HTTPS, besides those of the \
          system.",
};

/// The whole section. `oidc_check` says whether it is needed, and what it needs.
pub(super) const PROVIDER: Composite<Option<Oidc>> = Composite {
    form: ValueType::Section(&[
        ISSUER,
        CLIENT_ID,
        CLIENT_SECRET_FILE,
        CLAIMS_TO_ROLES,
        NAME_CLAIM,
        SCOPES,
        CA_FILE,
    ]),
    read,
    print: |key, oidc| oidc.as_ref().map_or_else(Vec::new, |oidc| print(key, oidc)),
    show: |oidc| oidc.as_ref().map_or_else(|| NONE.to_owned(), show),
};

/// Whether `new` lets in more people, or gives them more roles, than `old`, or believes others.
pub(super) fn admits_more(old: &Option<Oidc>, new: &Option<Oidc>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        // Whether there is a provider at all is for the key `type` to say.
        return false;
    };
    let is_new = |one: &ClaimToRoles| {
        let same = |other: &&ClaimToRoles| other.claim == one.claim && other.value == one.value;
        let has = |role| {
            let mut others = old.claims_to_roles.iter().filter(same);
            others.any(|other| other.roles.contains(role))
        };
        !one.roles.iter().all(has)
    };
    old.issuer != new.issuer
        || (new.ca_file.is_some() && old.ca_file != new.ca_file)
        || new.claims_to_roles.iter().any(is_new)
}

fn read(
    section: &Section<'_>,
    key: &Key,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Option<Oidc>> {
    if !section.has(key) {
        return Some(None);
    }
    let section = section.section(key, diagnostics);
    let word = |key: &'static Key| move |text: &str| word(key, text);
    let issuer = section.value(&ISSUER, issuer, diagnostics);
    let client_id = section.value(&CLIENT_ID, word(&CLIENT_ID), diagnostics);
    let mut file = |key: &Key| section.value(key, |text| absolute(key, text), diagnostics);
    let (client_secret_file, ca_file) = (file(&CLIENT_SECRET_FILE), file(&CA_FILE));
    section.is_empty(&CLAIMS_TO_ROLES, diagnostics);
    if section.place_of(&CLAIMS_TO_ROLES).is_none() {
        let expected = CLAIMS_TO_ROLES.form.expected();
        let message = format!("missing, expected {expected}");
        diagnostics.error(
            section.place(),
            &section.path_to(CLAIMS_TO_ROLES.name),
            message,
        );
    }
    let claims_to_roles = claims_to_roles(&section, diagnostics);
    let name_claim = section.value(&NAME_CLAIM, word(&NAME_CLAIM), diagnostics);
    let scopes = section.texts(&SCOPES, SCOPES.form.item(), scope, diagnostics);
    let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.value).collect();
    if !scopes.iter().any(|scope| scope == OPENID) {
        let message = format!("{OPENID:?} is missing: a provider returns no ID token without it");
        diagnostics.error(
            section.place_of(&SCOPES),
            &section.path_to(SCOPES.name),
            message,
        );
    }
    Some(Some(Oidc {
        issuer: issuer?.value,
        client_id: client_id?.value,
        client_secret_file: client_secret_file.map(|file| file.value),
        claims_to_roles,
        name_claim: name_claim?.value,
        scopes,
        ca_file: ca_file.map(|file| file.value),
    }))
}

fn claims_to_roles(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Vec<ClaimToRoles> {
    let mut found = Vec::new();
    for section in section.sections(&CLAIMS_TO_ROLES, diagnostics) {
        let claim = section.value(&CLAIM, |text| word(&CLAIM, text), diagnostics);
        let value = section.value(&CLAIM_VALUE, |text| word(&CLAIM_VALUE, text), diagnostics);
        section.is_empty(&CLAIM_ROLES, diagnostics);
        let role = |text: &str| word(&CLAIM_ROLES, text);
        let roles = section.texts(&CLAIM_ROLES, CLAIM_ROLES.form.item(), role, diagnostics);
        if let (Some(claim), Some(value)) = (claim, value) {
            found.push(ClaimToRoles {
                claim: claim.value,
                value: value.value,
                roles: roles.into_iter().map(|role| role.value).collect(),
            });
        }
    }
    found
}

fn issuer(text: &str) -> Result<IssuerUrl, String> {
    text.parse()
        .map_err(|error: IssuerUrlError| format!("{error}, found {}", quoted(text)))
}

fn word(key: &Key, text: &str) -> Result<String, String> {
    match !text.is_empty() && text.len() <= MAX_WORD && is_printable(text) {
        true => Ok(text.to_owned()),
        false => Err(expected(key, text)),
    }
}

/// RFC 6749, 3.3: visible ASCII without `"` and `\`.
fn scope(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    match (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected {}, found {}",
            SCOPES.form.item(),
            quoted(text)
        )),
    }
}

fn print(key: &Key, oidc: &Oidc) -> Vec<String> {
    let line = |key: &Key, value: &str| format!("  {}: {}", key.name, yaml_text(value));
    let file = |key: &Key, path: &Path| line(key, &path.to_string_lossy());
    let texts = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| yaml_text(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    let mut lines = vec![
        format!("{}:", key.name),
        line(&ISSUER, oidc.issuer.as_str()),
        line(&CLIENT_ID, &oidc.client_id),
    ];
    let secret = oidc.client_secret_file.iter();
    lines.extend(secret.map(|path| file(&CLIENT_SECRET_FILE, path)));
    lines.push(format!("  {}:", CLAIMS_TO_ROLES.name));
    lines.extend(oidc.claims_to_roles.iter().map(|item| {
        let (claim, value) = (yaml_text(&item.claim), yaml_text(&item.value));
        let roles = texts(&item.roles);
        format!("    - {{ claim: {claim}, value: {value}, roles: {roles} }}")
    }));
    lines.push(line(&NAME_CLAIM, &oidc.name_claim));
    lines.push(format!("  {}: {}", SCOPES.name, texts(&oidc.scopes)));
    lines.extend(oidc.ca_file.iter().map(|path| file(&CA_FILE, path)));
    lines
}

/// What decides about who is let in.
fn show(oidc: &Oidc) -> String {
    let mut text = oidc.issuer.to_string();
    if let Some(file) = &oidc.ca_file {
        text.push_str(&format!(", {} {}", CA_FILE.name, file.display()));
    }
    for ClaimToRoles {
        claim,
        value,
        roles,
    } in &oidc.claims_to_roles
    {
        text.push_str(&format!(", {claim} {value}: {}", roles.join(" ")));
    }
    text
}
