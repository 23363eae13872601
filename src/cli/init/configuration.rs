//! The text of the first configuration.

use std::path::Path;

use super::answers::{InitAnswers, SignInType};
use super::{Exit, Failure};
use crate::config::{self, Loaded, format_host_and_port, yaml_text};
use crate::model::text;

/// The role of administrators.
pub(super) const ADMIN_ROLE: &str = "admin";

/// The whole file.
///
/// # Errors
/// When the data directory's path is no text.
pub(super) fn text(answers: &InitAnswers) -> Result<String, Failure> {
    let data_dir = answers.data_dir.to_str().ok_or_else(|| {
        let path = text::path(&answers.data_dir);
        Failure::new(Exit::Failed, format!("the path {path} is not UTF-8"))
            .hint("name another directory with --data-dir")
    })?;
    let (host, port) = &answers.public;
    let file = TEMPLATE
        .replace("{cluster_name}", &yaml_text(answers.cluster.as_str()))
        .replace("{type}", answers.sign_in.as_str())
        .replace("{port}", &port.to_string())
        .replace(
            "{public_addr}",
            &yaml_text(&format_host_and_port(host, *port)),
        )
        .replace("{users}", &users(answers))
        // The last one: the path may have anything in it.
        .replace("{data_dir}", &yaml_text(data_dir));
    Ok(file)
}

/// The configuration that the text is, with another data directory.
///
/// # Errors
/// Only by a mistake in this program.
pub(super) fn read(answers: &InitAnswers, text: &str, data_dir: &Path) -> Result<Loaded, Failure> {
    config::parse(&answers.file, text, Some(data_dir)).map_err(|error| {
        Failure::new(Exit::Internal, "the new configuration is not accepted").because(error)
    })
}

/// The section `users`: users who sign in are not in it.
fn users(answers: &InitAnswers) -> String {
    let name = yaml_text(answers.administrator.as_str());
    match answers.sign_in {
        SignInType::Certificate => {
            format!("users:\n  - {{ name: {name}, roles: [{ADMIN_ROLE}] }}\n")
        }
        SignInType::Local => {
            "# Users who sign in are in the state: `rproxy users add NAME --roles=ROLE`.\n\
             # users:\n\
             #   - { name: alice, roles: [dba] }\n"
                .to_owned()
        }
    }
}

const TEMPLATE: &str = r#"# Configuration of rproxy, made by `rproxy init`. Every key is in rproxy.yaml(5). After a change,
# `rproxy serve --check` names every mistake, and `rproxy reload` has a running proxy read the file.

# The name of this installation.
cluster_name: {cluster_name}

# Recordings, the audit log, the users, and the keys of the CAs.
data_dir: {data_dir}

auth_service:
  authentication:
    # local: users sign in with their key, a password and a second factor, and certificates are
    # accepted too. certificate: only certificates of `rproxy auth sign`.
    type: {type}

    # What users who sign in need besides key and password. otp: a one-time code. webauthn: a security
    # key that has to be touched. any: one of the two. off: nothing.
    second_factor: "otp"

    # How long a sign-in is valid.
    sign_in_ttl: 12h

proxy_service:
  listen_addr: 0.0.0.0:{port}

  # Where users reach the listener.
  public_addr: {public_addr}

  # The addresses from which this proxy connects to hosts. With them, hosts refuse certificates of
  # users that do not come through the proxy.
  # egress_addrs: [203.0.113.10/32]

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

# The roles of users, by the key ids of their certificates.
{users}"#;
