//! `rproxy nodes script`.

use crate::ca::CaKind;
use crate::cli::auth::client::AuthClient;
use crate::cli::config::proxy_address;
use crate::cli::{Context, Exit, Failure, ui};
use crate::openssh;

/// The script, with placeholders for what belongs to this cluster. They stand in single quotes.
const TEMPLATE: &str = include_str!("join.sh");

/// Print the script with which hosts join
///
/// Run it on a host, as root: it needs OpenSSH only, says what it will change, and asks for a token of
/// `rproxy tokens add`. It has no secret in it, only the address of the proxy and the public key of the
/// host CA, by which the host knows the proxy. It stays the same until the host CA's key is rotated.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesScriptArgs {
    /// Where hosts reach the proxy [default: the configuration's `public_addr`]
    #[arg(long, value_name = "HOST:PORT")]
    proxy: Option<String>,
}

impl NodesScriptArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.script(context)?)?;
        ui::note(
            "rproxy: run it on the host as root: sh join.sh\n  \
             hint: it asks for a token: rproxy tokens add --type=node --names=NAME",
        );
        Ok(())
    }

    /// What is printed.
    pub(super) fn script(&self, context: &Context) -> Result<String, Failure> {
        let (host, port) = proxy_address(context, self.proxy.as_deref())?;
        let authorities = AuthClient::new(context).authorities()?;
        let keys = authorities.of(CaKind::Host).public_keys();
        let keys = keys
            .iter()
            .map(|key| openssh::plain_key(key.key_data(), ""));
        let keys: Vec<String> = keys.collect::<Result<_, _>>().map_err(|error| {
            Failure::new(Exit::Internal, "cannot write the CA's key").because(error)
        })?;
        filled(
            TEMPLATE,
            &[
                ("@PROXY_HOST@", host),
                ("@PROXY_PORT@", port.to_string()),
                ("@HOST_CAS@", keys.join("\n")),
                ("@CLUSTER@", context.config.cluster_name.to_string()),
                ("@VERSION@", env!("CARGO_PKG_VERSION").to_owned()),
            ],
        )
    }
}

/// The template with its placeholders replaced, in one pass: what a value has in it is not replaced
/// again.
///
/// # Errors
/// A value that could be more than a text in single quotes.
fn filled(template: &str, values: &[(&str, String)]) -> Result<String, Failure> {
    if let Some((name, value)) = values.iter().find(|(_, value)| !is_harmless(value)) {
        let name = name.trim_matches('@');
        return Err(
            Failure::new(Exit::Failed, "cannot write the script").because(format!(
                "{value:?}, for {name}, has characters that a shell could read as something else"
            )),
        );
    }
    let mut script = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, from)) = rest.find('@').and_then(|at| rest.split_at_checked(at)) {
        script.push_str(before);
        let found = values
            .iter()
            .find_map(|(name, value)| Some((value.as_str(), from.strip_prefix(name)?)));
        let other = || ("@", from.strip_prefix('@').unwrap_or_default());
        let (put, behind) = found.unwrap_or_else(other);
        script.push_str(put);
        rest = behind;
    }
    script.push_str(rest);
    Ok(script)
}

/// Whether a value means itself between single quotes, whatever the shell. Keys are in several lines.
fn is_harmless(value: &str) -> bool {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '.' | '_' | '-' | ':' | '+' | '/' | '=' | '@' | ' ' | '\n'
            )
    };
    !value.is_empty() && !value.starts_with('-') && value.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_inside_its_quotes_and_is_not_filled_again() {
        let values = |host: &str| {
            [
                ("@PROXY_HOST@", host.to_owned()),
                ("@CLUSTER@", "c".to_owned()),
            ]
        };
        let template = "a='@PROXY_HOST@' join@$a '@CLUSTER@' @OTHER@\n";
        let script = filled(template, &values("h@CLUSTER@")).unwrap();
        assert_eq!(script, "a='h@CLUSTER@' join@$a 'c' @OTHER@\n");
        for host in [
            "",
            "a'b",
            "a\"b",
            "a\\b",
            "$(id)",
            "`id`",
            "-oProxyCommand=x",
            "a;b",
            "a\rb",
            "é",
        ] {
            let refused = filled(template, &values(host)).unwrap_err().to_string();
            assert!(refused.contains("PROXY_HOST"), "{host}: {refused}");
        }
    }

    #[test]
    fn every_placeholder_is_in_the_template_and_in_quotes() {
        for name in ["PROXY_HOST", "PROXY_PORT", "HOST_CAS", "CLUSTER", "VERSION"] {
            let quoted = format!("'@{name}@'");
            assert!(TEMPLATE.contains(&quoted), "{quoted}");
            let all = TEMPLATE.matches(&format!("@{name}@")).count();
            assert_eq!(all, TEMPLATE.matches(&quoted).count(), "{name}");
        }
    }
}
