//! What the user asks for: the grammar of `proxy:host:port[@cluster]`.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::host_name::HostName;
use super::name::ClusterName;
use super::target_error::TargetError;

/// A parsed `proxy:host:port[@cluster]` request.
///
/// The port is `None` where the request leaves it open (`proxy:db1:` or `proxy:db1:0`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Target {
    /// The host as asked for.
    pub host: HostName,
    /// The port as asked for; 1 to 65535.
    pub port: Option<u16>,
    /// The cluster, where one was named.
    pub cluster: Option<ClusterName>,
}

impl Target {
    /// Parses the name of a subsystem request.
    ///
    /// # Errors
    /// Names what is wrong and what was expected.
    pub fn from_subsystem(name: &str) -> Result<Self, TargetError> {
        let whole = || name.to_owned();
        let rest = name
            .strip_prefix("proxy:")
            .ok_or_else(|| TargetError::NotProxy(whole()))?;
        let (address, cluster) = match rest.rsplit_once('@') {
            Some((address, cluster)) => {
                let cluster = cluster
                    .parse()
                    .map_err(|_name_error| TargetError::BadCluster(whole()))?;
                (address, Some(cluster))
            }
            None => (rest, None),
        };
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| TargetError::BadPort(whole()))?;
        if host.is_empty() {
            return Err(TargetError::NoHost(whole()));
        }
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let number: u16 = digits
                    .parse()
                    .map_err(|_overflow| TargetError::BadPort(whole()))?;
                (number != 0).then_some(number)
            }
            _ => return Err(TargetError::BadPort(whole())),
        };
        Ok(Self {
            host: host.parse()?,
            port,
            cluster,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostName::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            host => host.fmt(f)?,
        }
        write!(f, ":{}", self.port.unwrap_or(0))?;
        match &self.cluster {
            Some(cluster) => write!(f, "@{cluster}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::label::Label;

    fn parse(name: &str) -> Result<Target, TargetError> {
        Target::from_subsystem(name)
    }

    #[test]
    fn the_forms_users_write() {
        let db1 = parse("proxy:DB1.example.com:2222@example.com").unwrap();
        assert_eq!(db1.host, HostName::Name("db1.example.com".to_owned()));
        assert_eq!(db1.port, Some(2222));
        assert_eq!(db1.cluster.unwrap().as_str(), "example.com");
        assert_eq!(parse("proxy:db1:0").unwrap().port, None);
        assert_eq!(parse("proxy:db1:").unwrap().port, None);
        assert_eq!(
            parse("proxy:env=prod:22").unwrap().host,
            HostName::Label(Label {
                key: "env".to_owned(),
                value: "prod".to_owned()
            })
        );
    }

    #[test]
    fn addresses_of_both_families_with_and_without_brackets() {
        for text in ["proxy:::1:22", "proxy:[::1]:22"] {
            assert_eq!(
                parse(text).unwrap().host,
                HostName::Address("::1".parse().unwrap())
            );
        }
        assert_eq!(
            parse("proxy:10.0.0.5:22").unwrap().host,
            HostName::Address("10.0.0.5".parse().unwrap())
        );
    }

    #[test]
    fn malformed_names_say_what_is_wrong() {
        assert!(matches!(parse("sftp"), Err(TargetError::NotProxy(_))));
        assert!(matches!(parse("proxy:"), Err(TargetError::BadPort(_))));
        assert!(matches!(parse("proxy:db1"), Err(TargetError::BadPort(_))));
        assert!(matches!(parse("proxy::22"), Err(TargetError::NoHost(_))));
        assert!(matches!(
            parse("proxy:db1:ssh"),
            Err(TargetError::BadPort(_))
        ));
        assert!(matches!(
            parse("proxy:db1:65536"),
            Err(TargetError::BadPort(_))
        ));
        assert!(matches!(
            parse("proxy:db1:+22"),
            Err(TargetError::BadPort(_))
        ));
        assert!(matches!(
            parse("proxy:db1:22@"),
            Err(TargetError::BadCluster(_))
        ));
        assert!(matches!(
            parse("proxy:db 1:22"),
            Err(TargetError::BadHost(_))
        ));
        assert!(matches!(
            parse("proxy:-db1:22"),
            Err(TargetError::BadHost(_))
        ));
        assert!(matches!(
            parse("proxy:[db1]:22"),
            Err(TargetError::BadHost(_))
        ));
        assert!(matches!(
            parse("proxy:db1\0:22"),
            Err(TargetError::BadHost(_))
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,64}") {
            let _judged = parse(&format!("proxy:{text}"));
        }

        #[test]
        fn what_is_displayed_parses_back(
            host in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,10}){0,3}",
            port in 1u16..,
        ) {
            let target = parse(&format!("proxy:{host}:{port}")).unwrap();
            prop_assert_eq!(parse(&format!("proxy:{target}")).unwrap(), target);
        }
    }
}
