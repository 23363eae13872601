//! What the provider answers when it behaves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::server::{ProviderAnswer, ProviderRequest};
use super::{Behaviour, CLIENT_ID, CLIENT_SECRET, SUBJECT, base64url};

/// The access token that everyone gets.
const ACCESS_TOKEN: &str = "access-token-of-ada";

pub(super) fn answer(behaviour: &Mutex<Behaviour>, request: &ProviderRequest) -> ProviderAnswer {
    let mut behaviour = behaviour.lock().unwrap_or_else(PoisonError::into_inner);
    *behaviour.asked.entry(request.path.clone()).or_default() += 1;
    let mut answer = match (behaviour.page)(request) {
        Some(answer) => answer,
        None => rightly(&mut behaviour, request),
    };
    if behaviour.tells_time {
        answer.date = Some(behaviour.now());
    }
    answer
}

fn rightly(behaviour: &mut Behaviour, request: &ProviderRequest) -> ProviderAnswer {
    match request.path.as_str() {
        "/.well-known/openid-configuration" => {
            let mut metadata = metadata(&behaviour.issuer);
            (behaviour.metadata)(&mut metadata);
            ProviderAnswer::json(200, &metadata)
        }
        "/keys" => {
            let keys: Vec<_> = behaviour
                .keys
                .iter()
                .map(|key| key.public.clone())
                .collect();
            ProviderAnswer::json(200, &json!({ "keys": keys }))
        }
        "/authorize" => {
            let back = behaviour.grant(&parameters(&request.query));
            let (code, state) = (escaped(&back.code), escaped(&back.state));
            let iss = escaped(&back.iss);
            let to = format!("{}?code={code}&state={state}&iss={iss}", back.redirect_url);
            ProviderAnswer::redirect(&to)
        }
        "/token" => token(behaviour, request),
        "/userinfo" => {
            let right = format!("Bearer {ACCESS_TOKEN}");
            if request.header("authorization") != Some(right.as_str()) {
                return ProviderAnswer::json(401, &json!({ "error": "invalid_token" }));
            }
            let mut claims = json!({ "sub": SUBJECT });
            for (claim, value) in behaviour.userinfo.as_object().unwrap() {
                claims[claim] = value.clone();
            }
            ProviderAnswer::json(200, &claims)
        }
        _ => ProviderAnswer::json(404, &json!({ "error": "not_found" })),
    }
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "ML-DSA-44"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
    })
}

/// Redeems a code, once, for the client and with the verifier that it was asked for with.
fn token(behaviour: &mut Behaviour, request: &ProviderRequest) -> ProviderAnswer {
    let form = parameters(&request.body);
    let parameter = |name: &str| form.get(name).map_or("", String::as_str);
    let refuse = |error: &str| ProviderAnswer::json(400, &json!({ "error": error }));
    let basic = format!("Basic {}", base64(&format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let in_body = (parameter("client_id"), parameter("client_secret"));
    if request.header("authorization") != Some(basic.as_str())
        && in_body != (CLIENT_ID, CLIENT_SECRET)
    {
        return refuse("invalid_client");
    }
    if parameter("grant_type") != "authorization_code" {
        return refuse("unsupported_grant_type");
    }
    let Some(grant) = behaviour.grants.remove(parameter("code")) else {
        return refuse("invalid_grant");
    };
    let challenge = base64url(digest(&SHA256, parameter("code_verifier").as_bytes()).as_ref());
    if challenge != grant.challenge || parameter("redirect_uri") != grant.redirect_url {
        return refuse("invalid_grant");
    }
    let mut claims = behaviour.id_token_claims(&grant.nonce);
    let hash = digest(&SHA256, ACCESS_TOKEN.as_bytes());
    claims["at_hash"] = json!(base64url(&hash.as_ref()[..16]));
    (behaviour.claims)(&mut claims);
    let mut answer = json!({
        "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300,
        "id_token": (behaviour.token)(&claims, &behaviour.keys),
    });
    (behaviour.token_answer)(&mut answer);
    ProviderAnswer::json(200, &answer)
}

/// The parameters of a query or a form.
pub(super) fn parameters(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect()
}

fn unescaped(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// In the alphabet of HTTP's `Basic`, with padding.
fn base64(text: &str) -> String {
    let mut encoded = base64url(text.as_bytes())
        .replace('-', "+")
        .replace('_', "/");
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}
