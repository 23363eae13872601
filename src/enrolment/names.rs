//! The names of nodes: which a host may take, and which its certificate is for.
//!
//! A node is called NAME or NAME.CLUSTER. So the state has names without the cluster's behind them, and what
//! is free is decided about those.

use super::refusal::Refused;
pub(super) use super::refusal::shown;
use super::settings::EnrolmentSettings;
use crate::model::{ClusterName, HostName, HostPrincipal};

/// Most names of one node.
pub(super) const MAX_NAMES: usize = 16;

/// The names that a host asks for, in lower case, each once, without the cluster's name behind them.
pub(super) fn wanted(names: &[String], cluster: &ClusterName) -> Result<Vec<String>, Refused> {
    if names.len() > MAX_NAMES {
        return Err(Refused::report("has too many names"));
    }
    let mut wanted = Vec::new();
    for name in names {
        let name = node_name(name, cluster).map_err(|why| Refused::name_invalid(name, why))?;
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    Ok(wanted)
}

/// A text as the name of a node: a host name, in lower case, without the cluster's name behind it.
///
/// # Errors
/// Says why no node can have it.
pub(super) fn node_name(text: &str, cluster: &ClusterName) -> Result<String, &'static str> {
    let name = match text.parse() {
        Ok(HostName::Name(name)) => name,
        Ok(HostName::Address(_)) => return Err("it is an address"),
        Ok(HostName::Label(_)) | Err(_) => return Err("it is no host name"),
    };
    let name = without_cluster(&name, cluster);
    // Programs read 127.1 and 0x7f000001 as addresses.
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number(last) || is_hexadecimal {
        return Err("it ends in a number, as an address does");
    }
    let name = name.to_owned();
    match with_cluster(&name, cluster) {
        // A cluster's name need not be a host name; then nothing stands behind the name.
        Err(_) if cluster.as_str().parse::<HostPrincipal>().is_ok() => {
            Err("with the name of the cluster it is too long")
        }
        _ => Ok(name),
    }
}

/// The name without the cluster's behind it, in lower case.
pub(super) fn without_cluster<'n>(name: &'n str, cluster: &ClusterName) -> &'n str {
    let cluster = cluster.as_str().to_ascii_lowercase();
    let mut name = name;
    while let Some(shorter) = name
        .strip_suffix(cluster.as_str())
        .and_then(|name| name.strip_suffix('.'))
        .filter(|name| !name.is_empty())
    {
        name = shorter;
    }
    name
}

fn with_cluster(name: &str, cluster: &ClusterName) -> Result<HostPrincipal, Refused> {
    let whole = format!("{name}.{}", cluster.as_str());
    whole
        .parse()
        .map_err(|_no_name| Refused::name_invalid(name, "it is no host name"))
}

/// Refuses a name that the proxy or a host of the configuration file has. Those of other nodes are refused by
/// the state, when the host joins.
pub(super) fn refuse_reserved(name: &str, settings: &EnrolmentSettings) -> Result<(), Refused> {
    let is_in = |names: &std::collections::BTreeSet<String>| {
        let mut names = names.iter();
        names.any(|taken| without_cluster(taken, &settings.cluster) == name)
    };
    if is_in(&settings.proxy_names) {
        return Err(Refused::name_taken(name, "it is the proxy's own"));
    }
    if is_in(&settings.file_names) {
        let by = "it is in the configuration file of the proxy";
        return Err(Refused::name_taken(name, by));
    }
    Ok(())
}

/// Refuses names that the token does not allow. One without names allows all.
pub(super) fn refuse_others(wanted: &[String], allowed: &[String]) -> Result<(), Refused> {
    let other = wanted.iter().find(|name| !allowed.contains(name));
    match other.filter(|_| !allowed.is_empty()) {
        Some(other) => Err(Refused::token_names(other, allowed)),
        None => Ok(()),
    }
}

/// What the certificate of a node is for: its names, and each with the cluster's name behind it. The first is
/// its name, and becomes the key id.
pub(super) fn principals(
    names: &[String],
    cluster: &ClusterName,
) -> Result<Vec<HostPrincipal>, String> {
    let own = names.iter().map(|name| {
        let parsed = name.parse::<HostPrincipal>();
        parsed.map_err(|error| format!("the name {}: {error}", shown(name)))
    });
    let mut principals = own.collect::<Result<Vec<_>, _>>()?;
    let whole = names
        .iter()
        .filter_map(|name| with_cluster(name, cluster).ok());
    for name in whole {
        if !principals.contains(&name) {
            principals.push(name);
        }
    }
    Ok(principals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterName {
        "Example.com".parse().unwrap()
    }

    #[test]
    fn a_name_is_one_name_however_it_is_written() {
        for text in [
            "db1",
            "DB1",
            "db1.",
            "db1.example.com",
            "db1.Example.COM.",
            "db1.example.com.example.com",
        ] {
            assert_eq!(node_name(text, &cluster()).unwrap(), "db1", "{text:?}");
        }
        let other = node_name("db1.example.org", &cluster());
        assert_eq!(other.unwrap(), "db1.example.org");
        let names = ["a", "A.example.com", "b"].map(str::to_owned);
        assert_eq!(wanted(&names, &cluster()).unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("{}.x", "a".repeat(63)).repeat(10);
        let nearly = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
        let nearly = format!("{nearly}.{}", "d".repeat(55));
        for text in [
            "",
            ".",
            "-db1",
            "db 1",
            "db1\n",
            "db1\u{202e}",
            "db1,db2",
            "*",
            "db?",
            "!db1",
            "env=prod",
            "10.0.0.5",
            "::1",
            "[::1]",
            "127.1",
            "2130706433",
            "db.0x7f000001",
            "a@b",
            "ⅾb1",
            &"a".repeat(4_096),
            &long,
            &nearly,
        ] {
            assert!(node_name(text, &cluster()).is_err(), "{text:?}");
        }
        let many = vec!["a".to_owned(); MAX_NAMES + 1];
        assert_eq!(
            wanted(&many, &cluster()).unwrap_err().reason,
            "report-invalid"
        );
    }

    #[test]
    fn a_certificate_is_for_each_name_and_for_it_with_the_clusters() {
        let names = ["db1", "db"].map(str::to_owned);
        let shown = |cluster: &ClusterName| {
            let principals = principals(&names, cluster).unwrap();
            principals
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&cluster()),
            ["db1", "db", "db1.example.com", "db.example.com"]
        );
        // Nothing can stand before a name that is no host name.
        assert_eq!(shown(&"a..b".parse().unwrap()), ["db1", "db"]);
    }
}
