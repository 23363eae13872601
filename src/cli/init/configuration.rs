//! The text of the first configuration.

use std::path::Path;

use super::answers::{InitAnswers, SignInWay};
use super::{Exit, Failure};
use crate::config::{self, Loaded, format_host_and_port, yaml_text};
use crate::model::text;

/// The port of HTTPS.
const WEB_PORT: u16 = 3080;
/// The role of administrators.
pub(super) const ADMIN_ROLE: &str = "admin";

/// The whole file.
///
/// # Errors
/// When a path is no text.
pub(super) fn text(answers: &InitAnswers) -> Result<String, Failure> {
    let (host, port) = &answers.public;
    let file = TEMPLATE
        .replace("{cluster_name}", &yaml_text(answers.cluster.as_str()))
        .replace("{type}", answers.sign_in.word())
        .replace("{port}", &port.to_string())
        .replace(
            "{public_addr}",
            &yaml_text(&format_host_and_port(host, *port)),
        )
        .replace("{users}", &users(answers))
        // Paths and the provider's last: they may have anything in them.
        .replace("{web}", &web(answers)?)
        .replace("{provider}", &provider(answers)?)
        .replace("{data_dir}", &yaml_path(&answers.data_dir)?);
    Ok(file)
}

/// The configuration that the text is, with another data directory.
///
/// # Errors
/// When an answer cannot be part of a configuration.
pub(super) fn read(answers: &InitAnswers, text: &str, data_dir: &Path) -> Result<Loaded, Failure> {
    config::parse(&answers.file, text, Some(data_dir)).map_err(|error| {
        Failure::new(Exit::Failed, "these answers make no configuration").because(error)
    })
}

/// The keys of the provider, and the text around them.
fn provider(answers: &InitAnswers) -> Result<String, Failure> {
    let SignInWay::Oidc(provider) = &answers.sign_in else {
        return Ok(String::new());
    };
    let secret = match &provider.secret_file {
        Some(file) => format!("      client_secret_file: {}\n", yaml_path(file)?),
        None => String::new(),
    };
    Ok(format!(
        "\n    # The provider at which users sign in, in a browser.\n    oidc:\n      issuer: {}\n      \
         client_id: {}\n{secret}      # The roles of users, by the claims of their ID token.\n      \
         claims_to_roles:\n        - {{ claim: {}, value: {}, roles: [{ADMIN_ROLE}] }}\n",
        yaml_text(&provider.issuer.to_string()),
        yaml_text(&provider.client_id),
        yaml_text(&provider.admin.claim),
        yaml_text(&provider.admin.value),
    ))
}

/// The keys of HTTPS, and the text around them.
fn web(answers: &InitAnswers) -> Result<String, Failure> {
    let SignInWay::Oidc(provider) = &answers.sign_in else {
        return Ok(String::new());
    };
    Ok(format!(
        "\n  # HTTPS: the browser comes back to it from the provider.\n  \
         web_listen_addr: 0.0.0.0:{WEB_PORT}\n  https_cert_file: {}\n  https_key_file: {}\n",
        yaml_path(&provider.cert_file)?,
        yaml_path(&provider.key_file)?,
    ))
}

/// The section `users`: users who sign in are not in it.
fn users(answers: &InitAnswers) -> String {
    match &answers.sign_in {
        SignInWay::Certificate(name) => format!(
            "# The roles of users, by the key ids of their certificates.\n\
             users:\n  - {{ name: {}, roles: [{ADMIN_ROLE}] }}\n",
            yaml_text(name.as_str())
        ),
        SignInWay::Local(_) => {
            "# The roles of users with certificates. Users who sign in are in the \
             state:\n# `rproxy users add NAME --roles=ROLE`.\n\
             # users:\n#   - { name: backup, roles: [dba] }\n"
                .to_owned()
        }
        SignInWay::Oidc(_) => {
            "# The roles of users with certificates. Those of other users are in \
             claims_to_roles.\n\
             # users:\n#   - { name: backup, roles: [dba] }\n"
                .to_owned()
        }
    }
}

fn yaml_path(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or_else(|| {
        let path = text::path(path);
        Failure::new(Exit::Failed, format!("the path {path} is not UTF-8"))
            .hint("name another one: the configuration is text")
    })?;
    Ok(yaml_text(text))
}

const TEMPLATE: &str = r#"# Configuration of rproxy, made by `rproxy init`. Every key is in rproxy.yaml(5). After a change,
# `rproxy serve --check` names every mistake, and `rproxy reload` has a running proxy read the file.

# The name of this installation.
cluster_name: {cluster_name}

# Recordings, the audit log, the users, and the keys of the CAs.
data_dir: {data_dir}

auth_service:
  authentication:
    # local: users sign in with their key, a password and a second factor. oidc: with their key and, in
    # a browser, at an OpenID Connect provider. With both, certificates are accepted too. certificate:
    # only certificates of `rproxy auth sign`.
    type: {type}

    # What users of type local need besides key and password. otp: a one-time code. webauthn: a security
    # key that has to be touched. any: one of the two. off: nothing.
    second_factor: "otp"

    # How long a sign-in is valid.
    sign_in_ttl: 12h
{provider}
proxy_service:
  listen_addr: 0.0.0.0:{port}

  # Where users reach the listener.
  public_addr: {public_addr}

  # The addresses from which this proxy connects to hosts. With them, hosts refuse certificates of
  # users that do not come through the proxy.
  # egress_addrs: [203.0.113.10/32]
{web}
# The hosts. Other names are looked up in DNS.
# nodes:
#   - { name: db1, addr: "10.0.0.5:22", labels: { env: prod } }

# Which users may log in to which hosts, and under which accounts there.
roles:
  # Every account on every host.
  - name: admin
    allow: [{ nodes: ["*"] }]
  # - name: dba
  #   allow: [{ logins: [postgres], nodes: ["db*"] }]

{users}"#;
