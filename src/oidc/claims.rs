//! What the claims of a checked ID token say about a person: who it is, the name, the roles.

use serde_json::{Map, Value};

use super::error::{ProviderError, TokenFault};
use super::settings::ClaimToRoles;
use crate::model::text::is_printable;

/// Longest subject and longest name, in bytes (OpenID Connect Core 1.0, section 2, for the subject).
const MAX: usize = 255;
/// The claim that is worth something only with [`VERIFIED`].
const EMAIL: &str = "email";
const VERIFIED: &str = "email_verified";

/// The claims, by name.
pub(super) type Claims = Map<String, Value>;

/// The person, for the provider.
pub(super) fn subject(claims: &Claims) -> Result<String, TokenFault> {
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = subject.filter(|subject| is_short_line(subject));
    Ok(subject.ok_or(TokenFault::Subject)?.to_owned())
}

/// The name that people read.
pub(super) fn name(claims: &Claims, claim: &str) -> Result<String, ProviderError> {
    let missing = || ProviderError::NoName {
        claim: claim.to_owned(),
    };
    let name = claims.get(claim).and_then(Value::as_str).map(str::trim);
    let name = name.filter(|name| !name.is_empty()).ok_or_else(missing)?;
    if !is_short_line(name) {
        return Err(ProviderError::BadAnswer {
            of: "ID token",
            what: format!("the claim \"{claim}\" is not one line of up to {MAX} bytes"),
        });
    }
    if claim == EMAIL && claims.get(VERIFIED) != Some(&Value::Bool(true)) {
        return Err(ProviderError::UnverifiedEmail);
    }
    Ok(name.to_owned())
}

/// The roles, each once, in the order of the configuration.
pub(super) fn roles(claims: &Claims, table: &[ClaimToRoles]) -> Vec<String> {
    let mut roles: Vec<String> = Vec::new();
    let matching = table.iter().filter(|row| {
        let value = claims.get(&row.claim);
        value.is_some_and(|value| has(value, &row.value))
    });
    for role in matching.flat_map(|row| &row.roles) {
        if !roles.contains(role) {
            roles.push(role.clone());
        }
    }
    roles
}

/// The claims that a configuration asks for and that are not there.
pub(super) fn lacks_any(claims: &Claims, name_claim: &str, table: &[ClaimToRoles]) -> bool {
    let mut wanted = table.iter().map(|row| row.claim.as_str());
    !claims.contains_key(name_claim)
        || (name_claim == EMAIL && !claims.contains_key(VERIFIED))
        || wanted.any(|claim| !claims.contains_key(claim))
}

/// Whether a claim is this text, or an array that has it.
fn has(claim: &Value, value: &str) -> bool {
    match claim {
        Value::Array(members) => members.iter().any(|member| is(member, value)),
        other => is(other, value),
    }
}

fn is(claim: &Value, value: &str) -> bool {
    match claim {
        Value::String(text) => text == value,
        Value::Number(number) => number.to_string() == value,
        Value::Bool(truth) => truth.to_string() == value,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn is_short_line(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && is_printable(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    fn row(claim: &str, value: &str, roles: &[&str]) -> ClaimToRoles {
        ClaimToRoles {
            claim: claim.to_owned(),
            value: value.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        }
    }

    #[test]
    fn a_claim_gives_roles_by_its_text_or_as_a_member() {
        let claims = claims(json!({
            "groups": ["dba", "ops", ["nested"], 7],
            "department": "sales", "level": 3, "contractor": false, "none": null,
            "realm": { "roles": ["dba"] },
        }));
        for (claim, value, matches) in [
            ("groups", "dba", true),
            ("groups", "ops", true),
            ("groups", "7", true),
            ("groups", "nested", false),
            ("groups", "DBA", false),
            ("groups", "db", false),
            ("groups", "", false),
            ("department", "sales", true),
            ("department", "sale", false),
            ("level", "3", true),
            ("level", "3.0", false),
            ("contractor", "false", true),
            ("contractor", "true", false),
            ("none", "null", false),
            ("none", "", false),
            ("realm", "roles", false),
            ("missing", "", false),
        ] {
            let roles = roles(&claims, &[row(claim, value, &["r"])]);
            assert_eq!(!roles.is_empty(), matches, "{claim} {value:?}");
        }
    }

    #[test]
    fn each_role_is_there_once_in_the_order_of_the_configuration() {
        let claims = claims(json!({ "groups": ["a", "b"] }));
        let table = [
            row("groups", "b", &["two", "one"]),
            row("groups", "c", &["never"]),
            row("groups", "a", &["one", "three"]),
        ];
        assert_eq!(roles(&claims, &table), ["two", "one", "three"]);
    }

    #[test]
    fn a_name_is_one_line_and_an_address_of_mail_is_verified() {
        let name = |value, claim| name(&claims(value), claim);
        assert_eq!(
            name(json!({ "nick": " Ada L. " }), "nick").unwrap(),
            "Ada L."
        );
        for value in [json!({}), json!({ "nick": " " }), json!({ "nick": 1 })] {
            let missing = name(value, "nick").unwrap_err();
            assert!(matches!(missing, ProviderError::NoName { claim } if claim == "nick"));
        }
        for wrong in ["a\nb", "a\u{202e}b", &"a".repeat(256)] {
            let error = name(json!({ "nick": wrong }), "nick").unwrap_err();
            assert!(matches!(error, ProviderError::BadAnswer { .. }));
        }
        let mail = "ada@example.com";
        let verified = json!({ "email": mail, "email_verified": true });
        assert_eq!(name(verified, "email").unwrap(), mail);
        for unverified in [
            json!({ "email": mail }),
            json!({ "email": mail, "email_verified": false }),
            json!({ "email": mail, "email_verified": "true" }),
        ] {
            let error = name(unverified, "email").unwrap_err();
            assert_eq!(error, ProviderError::UnverifiedEmail);
        }
    }

    #[test]
    fn a_subject_is_one_short_line() {
        let subject = |value| subject(&claims(json!({ "sub": value })));
        assert_eq!(subject(json!("24400320")).unwrap(), "24400320");
        assert_eq!(subject(json!("a".repeat(255))).unwrap().len(), 255);
        for wrong in [
            json!(""),
            json!("a".repeat(256)),
            json!("a\u{1b}b"),
            json!(7),
            json!(null),
        ] {
            assert_eq!(subject(wrong), Err(TokenFault::Subject));
        }
        assert_eq!(super::subject(&Claims::new()), Err(TokenFault::Subject));
    }

    #[test]
    fn what_is_asked_for_and_missing_is_looked_for_elsewhere() {
        let table = [row("groups", "a", &[])];
        let lacks = |value, name| lacks_any(&claims(value), name, &table);
        assert!(!lacks(json!({ "nick": "x", "groups": [] }), "nick"));
        assert!(lacks(json!({ "groups": [] }), "nick"));
        assert!(lacks(json!({ "nick": "x" }), "nick"));
        assert!(lacks(json!({ "email": "x", "groups": [] }), "email"));
    }
}
