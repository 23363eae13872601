//! `rproxy explain`: what the policy decides about a user, a login and a host, and which line of the
//! configuration decides. It calls the same function as the proxy, and connects to no host; names are
//! looked up as the proxy does it.

use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use super::inventory::HostList;
use super::table::{Surface, Table};
use super::{Context, Exit, Failure, ui};
use crate::access::{
    Constraint, Grant, JoinDenial, JoinGrant, PolicyDenial, Question, RequestedHost, RuleRef,
};
use crate::cli::format::ReportFormat;
use crate::config::{Config, keys, permit_values};
use crate::dns::Resolver;
use crate::model::text;
use crate::model::{HostName, Label, Target, format_duration};
use crate::nodes::{self, Inventory, Match, ResolveError, Whereabouts};

const CANNOT: &str = "cannot explain that";

/// Say whether somebody may log in somewhere, and which line of the configuration decides
///
/// Exit code 0 if they may, 77 if not. The certificate has its say too: it must name the account, and be
/// good. What is not given is taken as it should be: without --from, the client is wherever it has to be.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Who wants to go where: the key id of their certificate, and the host as they call it
    #[arg(value_name = "USER@HOST[:PORT]")]
    subject: String,
    /// Account on the host
    #[arg(long, value_name = "LOGIN")]
    login: String,
    /// Roles that they have beside those of the configuration's users, as after `users add`
    #[arg(long, value_name = "ROLE,..", value_delimiter = ',')]
    roles: Vec<String>,
    /// Address of the client
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl ExplainArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let explanation = self.explain(context)?;
        let text = match self.format {
            ReportFormat::Text => explanation.text(Surface::stdout()),
            ReportFormat::Json => serde_json::to_string_pretty(&explanation)
                .map(|text| text::json(&text) + "\n")
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the explanation").because(error)
                })?,
        };
        ui::result(&text)?;
        if explanation.allowed {
            Ok(())
        } else {
            Err(Failure::told(Exit::NotPermitted))
        }
    }

    fn explain(&self, context: &Context) -> Result<Explanation, Failure> {
        let config = &context.config;
        let hosts = HostList::readable(config);
        let inventory = hosts.inventory(config)?;
        let (user, target) = self.subject()?;
        let place = place(&inventory, &target)?;
        let policy = config.policy();
        let unknown = self.roles.iter().find(|role| !policy.has_role(role));
        if let Some(role) = unknown {
            let text = format!("there is no role {role:?} in {}", config.file);
            return Err(Failure::new(Exit::Usage, CANNOT).because(text));
        }
        let judge = |place: &RequestedHost| policy.judge(&self.question(user, place));
        let judge_join = |place: &RequestedHost| policy.judge_join(&self.question(user, place));
        let mut verdict = judge(&place);
        let mut join = judge_join(&place);
        if verdict.is_ok() && policy.has_roles() {
            let node = inventory.resolve(&target).ok().and_then(|found| found.node);
            let joined = node.and_then(|node| node.id);
            let others = match joined {
                // No address is dialled.
                Some(id) if hosts.is_behind_tunnel(id) => Vec::new(),
                _ => others(config, &inventory, &target, &place)?,
            };
            for other in others {
                join = join.and_then(|grant| Ok(grant.and(judge_join(&other)?)));
                verdict = match (verdict, judge(&other)) {
                    (Ok(grant), Ok(more)) => Ok(grant.and(more)),
                    (Err(barred), _) | (Ok(_), Err(barred)) => Err(barred),
                };
            }
        }
        let roles = policy.roles_of(user, &self.roles).into_iter();
        Ok(Explanation {
            user: user.to_owned(),
            login: self.login.clone(),
            host: place.name,
            labels: place.labels,
            from: self.from,
            roles: roles.map(|role| role.name.clone()).collect(),
            ..Explanation::of(&verdict, &join)
        })
    }

    fn question<'a>(&'a self, who: &'a str, place: &'a RequestedHost) -> Question<'a> {
        Question {
            who,
            roles: &self.roles,
            place,
            login: &self.login,
            from: self.from.map(|address| address.to_canonical()),
            life: None,
        }
    }

    fn subject(&self) -> Result<(&str, Target), Failure> {
        let usage = || Failure::new(Exit::Usage, "expected USER@HOST, as in alice@db1");
        let (user, host) = self.subject.rsplit_once('@').ok_or_else(usage)?;
        if user.is_empty() || host.is_empty() {
            return Err(usage());
        }
        let without_port = host.parse::<HostName>().is_ok();
        let name = format!("proxy:{host}{}", if without_port { ":" } else { "" });
        let target = Target::from_subsystem(&name)
            .map_err(|error| Failure::new(Exit::Usage, CANNOT).because(error))?;
        Ok((user, target))
    }
}

/// Where a target leads. What the inventory does not have goes by its name, which is not looked up.
fn place(inventory: &Inventory, target: &Target) -> Result<RequestedHost, Failure> {
    match inventory.resolve(target) {
        Ok(_) | Err(ResolveError::NotFound(_)) => Ok(inventory.place(target)),
        Err(error) => Err(Failure::new(Exit::Failed, CANNOT)
            .because(error)
            .hint("name one node, as in the inventory")),
    }
}

/// The nodes that the target turns out to be as well, by the address that is dialled for them. A target
/// that resolves to nothing is compared by its name alone.
fn others(
    config: &Config,
    inventory: &Inventory,
    target: &Target,
    place: &RequestedHost,
) -> Result<Vec<RequestedHost>, Failure> {
    let found = inventory.resolve(target).ok();
    let Some(found) = found.or_else(|| Match::outside(target)) else {
        return Ok(Vec::new());
    };
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, CANNOT).because(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot(error.into()))?;
    let resolver = Resolver::from_system().map_err(|error| cannot(error.into()))?;
    let known = Whereabouts::default();
    let addresses = runtime.block_on(async {
        known.learn(inventory, &resolver).await;
        resolver.resolve(&found.host).await.unwrap_or_default()
    });
    let joined = found.node.and_then(|node| node.id);
    let mut others = match joined {
        None => inventory.places_by_text(&found.host, found.port),
        // What it reports itself is no reason to ask about others.
        Some(_) => Vec::new(),
    };
    let joined = joined.filter(|_| config.auth.proxy_checks_host_keys);
    for address in addresses {
        let address = SocketAddr::new(address, found.port);
        let nodes = known.nodes_for(inventory, address, joined);
        others.extend(nodes.into_iter().map(nodes::place));
    }
    others.retain(|other| other != place);
    others.dedup();
    Ok(others)
}

/// The answer.
#[derive(Debug, Default, Serialize)]
struct Explanation {
    allowed: bool,
    user: String,
    login: String,
    host: String,
    #[serde(serialize_with = "texts")]
    labels: Vec<Label>,
    from: Option<IpAddr>,
    roles: Vec<String>,
    /// Why, in a sentence.
    reason: String,
    /// The line that decides, where one does.
    rule: Option<RuleLine>,
    /// What a connection may carry, and what is demanded of it.
    permits: Vec<Permitted>,
}

/// Labels as `key=value`.
fn texts<S: Serializer>(labels: &[Label], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(labels.iter().map(Label::to_string))
}

#[derive(Debug, Serialize)]
struct RuleLine {
    role: String,
    file: String,
    line: usize,
}

#[derive(Debug, Serialize)]
struct Permitted {
    key: &'static str,
    value: String,
    /// The roles' lines; none where the section `permit` or a default stands.
    decided_by: Vec<RuleLine>,
}

impl From<&RuleRef> for RuleLine {
    fn from(citation: &RuleRef) -> Self {
        Self {
            role: citation.role().to_owned(),
            file: citation.file().to_owned(),
            line: citation.line(),
        }
    }
}

impl Explanation {
    fn of(verdict: &Result<Grant, PolicyDenial>, join: &Result<JoinGrant, JoinDenial>) -> Self {
        match verdict {
            Ok(grant) => Self {
                allowed: true,
                reason: match grant.rule() {
                    Some(rule) => format!("allowed by {rule}"),
                    None => "there are no roles: what the certificate allows is allowed".to_owned(),
                },
                rule: grant.rule().map(RuleLine::from),
                permits: permits(grant).into_iter().chain(joins(join)).collect(),
                ..Self::default()
            },
            Err(barred) => Self {
                reason: barred.to_string(),
                rule: barred.rule().map(RuleLine::from),
                ..Self::default()
            },
        }
    }

    fn text(&self, surface: Surface) -> String {
        let Self {
            user, login, host, ..
        } = self;
        let may = if self.allowed { "may" } else { "may not" };
        let mut text = format!(
            "{user} {may} log in to {host} as {login}\n  {}\n",
            self.reason
        );
        let labels = self.labels.iter().map(Label::listed).collect();
        for (what, words) in [("roles", self.roles.clone()), ("labels", labels)] {
            if !words.is_empty() {
                text.push_str(&format!("  {what}: {}\n", words.join(", ")));
            }
        }
        if self.permits.is_empty() {
            return text;
        }
        let mut table = Table::new(["permit", "value", "decided by"], &[1, 2]);
        for permitted in &self.permits {
            table.push(permitted.row().map(Into::into));
        }
        text.push('\n');
        // What else is told here has no colours.
        let colours = false;
        text + &table.render(Surface { colours, ..surface })
    }
}

fn permits(grant: &Grant) -> Vec<Permitted> {
    let granted = grant.permits();
    let permits = permit_values(granted.permissions())
        .into_iter()
        .map(|(key, value)| Permitted {
            key: keys::of_permit(key).name,
            value,
            decided_by: granted.decided_by(key).iter().map(RuleLine::from).collect(),
        });
    let demands = grant.demands().iter().map(|demand| match demand {
        Constraint::From { networks, rule } => Permitted {
            key: keys::MAY_CONNECT_FROM.name,
            value: networks.to_string(),
            decided_by: vec![rule.into()],
        },
        Constraint::MaxTtl { most, rule } => Permitted {
            key: keys::MAX_TTL.name,
            value: format_duration(*most),
            decided_by: vec![rule.into()],
        },
    });
    permits.chain(demands).collect()
}

/// Whether live sessions may be joined there, if so.
fn joins(join: &Result<JoinGrant, JoinDenial>) -> Option<Permitted> {
    let grant = join.as_ref().ok()?;
    Some(Permitted {
        key: keys::JOIN.name,
        value: grant.mode().to_string(),
        decided_by: vec![grant.rule().into()],
    })
}

impl Permitted {
    fn row(&self) -> [String; 3] {
        let lines: Vec<_> = self
            .decided_by
            .iter()
            .map(|line| format!("role {}, {}:{}", line.role, line.file, line.line))
            .collect();
        let by = match lines.as_slice() {
            [] => keys::PERMIT.name.to_owned(),
            some => some.join("; "),
        };
        [self.key.to_owned(), self.value.clone(), by]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::nodes::testing::{HostsFixture, node};
    use crate::model::TunnelRule;
    use crate::state::{JoinedNode, NodeLock};

    #[derive(Debug, Parser)]
    struct ExplainCli {
        #[command(flatten)]
        args: ExplainArgs,
    }

    const ROLES: &str = "
nodes: [{ name: db1, addr: 10.0.0.5, labels: { env: prod } }]
roles:
  - name: base
    deny: [{ logins: [root] }]
  - name: dba
    allow:
      - { nodes: [\"db*\"] }
    may_connect_from: [10.0.0.0/8]
    max_ttl: 90m
    permit: { agent: no, max_sessions: 2 }
    join: observe
users:
  - { name: \"*\", roles: [base] }
  - { name: alice@example.com, roles: [dba] }
";

    fn explain(config: &str, args: &[&str]) -> Result<Explanation, Failure> {
        let data = Some(Path::new("/data"));
        let loaded = crate::config::parse(Path::new("r.yaml"), config, data).unwrap();
        let context = Context {
            config: loaded.config,
            warnings: loaded.warnings,
        };
        let line = ExplainCli::try_parse_from([&["explain"], args].concat()).unwrap();
        line.args.explain(&context)
    }

    #[test]
    fn a_yes_lists_every_permit_with_its_line() {
        let args = ["alice@example.com@db1", "--login=postgres"];
        let text = explain(ROLES, &args).unwrap().text(Surface::default());
        assert_eq!(
            text,
            "alice@example.com may log in to db1 as postgres
  allowed by role dba, r.yaml:8
  roles: base, dba
  labels: env=prod

permit            value                                                              decided by
port_forwarding   yes                                                                permit
permit_open       [\"any\"]                                                            permit
permit_listen     [\"any\"]                                                            permit
x11               no                                                                 permit
agent             no                                                                 role dba, r.yaml:11
streamlocal       yes                                                                permit
nested_ssh        deny                                                               permit
accept_env        [\"LANG\", \"LC_*\", \"TERM\", \"COLORTERM\", \"NO_COLOR\", \"GIT_PROTOCOL\"]  permit
max_sessions      2                                                                  role dba, r.yaml:11
may_connect_from  10.0.0.0/8                                                         role dba, r.yaml:9
max_ttl           1h30m                                                              role dba, r.yaml:10
join              observe                                                            role dba, r.yaml:12
"
        );
    }

    #[test]
    fn a_no_has_its_line_and_no_permits() {
        for (args, reason) in [
            (
                &["alice@example.com@DB1:22", "--login=root"][..],
                "denied by role base, r.yaml:5",
            ),
            (
                &["bob@db1", "--login=bob"],
                "no allow rule matches in role base, r.yaml:4",
            ),
            (
                &[
                    "alice@example.com@db1",
                    "--login=a",
                    "--from=::ffff:192.0.2.1",
                ],
                "not from 192.0.2.1, only from 10.0.0.0/8: role dba, r.yaml:9",
            ),
        ] {
            let answer = explain(ROLES, args).unwrap();
            assert!(!answer.allowed && answer.permits.is_empty(), "{args:?}");
            assert_eq!(answer.reason, reason, "{args:?}");
        }
        let json = serde_json::to_value(explain(ROLES, &["bob@env=prod", "--login=root"]).unwrap());
        let json = json.unwrap();
        assert_eq!(
            (&json["allowed"], &json["host"]),
            (&false.into(), &"db1".into())
        );
        assert_eq!(json["rule"]["line"], 5);
    }

    #[test]
    fn without_roles_the_certificate_decides() {
        let answer = explain(
            "cluster_name: c\n",
            &["alice@anywhere.example", "--login=root"],
        );
        let text = answer.unwrap().text(Surface::default());
        assert!(text.contains("\n  there are no roles: what the certificate allows is allowed\n"));
    }

    #[test]
    fn what_is_no_single_place_is_a_failure() {
        let two = "nodes:
  - { name: a, addr: 10.0.0.1, labels: { env: prod } }
  - { name: b, addr: 10.0.0.2, labels: { env: prod } }
";
        for (subject, exit) in [
            ("alice@env=prod", Exit::Failed),
            ("alice@a:2222", Exit::Failed),
            ("alice", Exit::Usage),
            ("@a", Exit::Usage),
            ("alice@", Exit::Usage),
            ("alice@a b", Exit::Usage),
        ] {
            let failure = explain(two, &[subject, "--login=root"]).unwrap_err();
            assert_eq!(failure.exit(), exit, "{subject}");
        }
        for (subject, host) in [("alice@::1", "::1"), ("alice@[::1]:22", "::1")] {
            let answer = explain(two, &[subject, "--login=root"]).unwrap();
            assert_eq!(answer.host, host, "{subject}");
        }
    }

    #[test]
    fn a_host_that_has_joined_is_judged_by_its_name_and_labels() {
        let config = "
roles: [{ name: dba, allow: [{ labels: { env: prod } }] }]
users: [{ name: alice, roles: [dba] }]
";
        let fixture = HostsFixture::of(&format!("cluster_name: example.com{config}"));
        fixture.join(&node("db1", &["env=prod"]));
        // Hosts of different networks can report the same address.
        fixture.join(&node("db2", &["env=test"]));
        fixture.join(&JoinedNode {
            tunnel: TunnelRule::Required,
            ..node("inner1", &["env=prod", "net=inner"])
        });
        let explain = |subject: &str| {
            let line = ExplainCli::try_parse_from(["explain", subject, "--login=root"]);
            line.unwrap().args.explain(&fixture.context).unwrap()
        };
        for (subject, host) in [
            ("alice@db1", "db1"),
            ("alice@db1.example.com", "db1"),
            ("alice@db1-alias", "db1"),
            ("alice@inner1", "inner1"),
            ("alice@net=inner", "inner1"),
        ] {
            let answer = explain(subject);
            assert!(answer.allowed, "{subject}: {}", answer.reason);
            assert_eq!(answer.host, host, "{subject}");
            assert!(
                answer.labels.contains(&"env=prod".parse().unwrap()),
                "{subject}"
            );
        }
        assert!(!explain("alice@db2").allowed);
        let lock = NodeLock {
            at: 1,
            by: "root".to_owned(),
            reason: None,
        };
        fixture.state().nodes().lock("db1", &lock).unwrap().unwrap();
        let answer = explain("alice@db1");
        assert!(
            !answer.allowed && answer.reason.contains("locked"),
            "{}",
            answer.reason
        );
    }
}
