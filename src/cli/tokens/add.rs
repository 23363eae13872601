//! `rproxy tokens add`.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::{Context, Exit, Failure, NodeAccess, failure, ui};
use crate::cli::config::public_address;
use crate::cli::format::ReportFormat;
use crate::cli::nodes;
use crate::enrolment::{IssuedToken, MAX_TOKEN_TTL, MAX_TOKEN_USES, NewToken};
use crate::model::{
    DurationError, HostName, HostPrincipal, Label, TunnelRule, parse_duration_with_units, text,
};

/// Who joins with the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TokenType {
    /// A host
    Node,
}

/// Add a token, and print it with what has to be done on the host
///
/// The token is printed once: the state has only its hash. Send it in a way that only the host's
/// administrator can read. Whoever has it can join a host under a name that is free, so give it the
/// names that it is for, few uses and a short time.
#[derive(Debug, clap::Args)]
pub(crate) struct TokensAddArgs {
    /// Who joins with it
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: TokenType,
    /// Names that hosts can have which join with it [default: any that is free]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    names: Vec<String>,
    /// Labels that these hosts have, whatever they say themselves
    #[arg(long, value_name = "KEY=VALUE,..", value_delimiter = ',')]
    labels: Vec<String>,
    /// Whether these hosts may, or have to, be reached through a tunnel that they keep open
    #[arg(long, value_name = "RULE", default_value_t = TunnelRule::No, value_parser = tunnel_rule())]
    tunnel: TunnelRule,
    /// How many hosts can join with it; 10000 at most
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=MAX_TOKEN_USES))]
    uses: u64,
    /// How long it is valid, as in 30m, 1h, 2d; 30d at most
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    ttl: String,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

/// One of three words, which shells know too.
fn tunnel_rule() -> impl TypedValueParser<Value = TunnelRule> {
    let words = PossibleValuesParser::new(TunnelRule::ALL.map(TunnelRule::name));
    words.try_map(|word| word.parse::<TunnelRule>())
}

impl TokensAddArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let text = self.add(context)?;
        if public_address(context).is_none() {
            ui::note(
                "rproxy: warning: it is not known where hosts reach the proxy: give \
                 `rproxy nodes script` the flag --proxy=HOST:PORT\n  \
                 hint: set proxy_service.public_addr in the configuration",
            );
        }
        ui::result(&text)
    }

    /// Does it, and gives what is printed.
    pub(super) fn add(&self, context: &Context) -> Result<String, Failure> {
        let TokenType::Node = self.kind;
        self.check_names(context)?;
        let new = NewToken {
            names: self.names.clone(),
            labels: self.labels()?,
            tunnel: self.tunnel,
            uses: self.uses,
            ttl: self.span()?,
        };
        let issued = NodeAccess::to_add(context)?
            .tokens()
            .add(new, &context.config.cluster_name)
            .map_err(|error| failure::failure("add the token", error))?;
        match self.format {
            ReportFormat::Text => Ok(self.told(&issued)),
            ReportFormat::Json => serde_json::to_string(&TokenIssued::new(&issued))
                .map(|object| text::json(&object) + "\n")
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the token").because(error)
                }),
        }
    }

    /// Whether the names can be given to hosts that join, as far as the configuration says.
    fn check_names(&self, context: &Context) -> Result<(), Failure> {
        let config = &context.config;
        let cannot = || Failure::new(Exit::Failed, "cannot use the value of --names");
        let own = config.listener_names();
        let own = own.map_err(|error| cannot().because(error))?;
        let behind = format!(".{}", config.cluster_name).to_ascii_lowercase();
        for given in &self.names {
            if !matches!(given.parse(), Ok(HostName::Name(_))) {
                return Err(cannot().because(format!("{given:?} is no name of a host")));
            }
            let whole = given.to_ascii_lowercase();
            let name = whole.strip_suffix(&behind).unwrap_or(&whole);
            if config.nodes.iter().any(|node| node.name == name) {
                let why = format!("{name} is a node of {}", config.file);
                let hint = "remove it there first: a host is in the configuration or has joined";
                return Err(cannot().because(why).hint(hint));
            }
            let is_ours = |own: &HostPrincipal| own.as_str().eq_ignore_ascii_case(&whole);
            if own.iter().any(is_ours) {
                return Err(cannot().because(format!("{given} is a name of the proxy")));
            }
        }
        Ok(())
    }

    fn labels(&self) -> Result<Vec<Label>, Failure> {
        nodes::labels(&self.labels)
    }

    fn span(&self) -> Result<Duration, Failure> {
        let cannot = |exit| Failure::new(exit, "cannot use the value of --ttl");
        let span = parse_duration_with_units(&self.ttl).map_err(|error| {
            let exit = match error {
                DurationError::Syntax(_) => Exit::Usage,
                DurationError::Overflow(_) => Exit::Failed,
            };
            cannot(exit).because(error)
        })?;
        if span < Duration::from_secs(1) || span > MAX_TOKEN_TTL {
            return Err(cannot(Exit::Failed)
                .because("a token is valid for a second at least, and 30 days at most"));
        }
        Ok(span)
    }

    fn told(&self, issued: &IssuedToken) -> String {
        let expires = ui::time(issued.expires);
        let (hosts, times) = match self.uses {
            1 => ("the host", "which can be used once".to_owned()),
            uses => ("each host", format!("which can be used {uses} times")),
        };
        let token = issued.token.as_str();
        format!(
            "Copy the script, which has no secret in it, to {hosts}:\n\
             \n    rproxy nodes script > join.sh\n\
             \n\
             Run it there as root, until {expires}:\n\
             \n    sh join.sh\n\
             \n\
             It asks for this token, {times}:\n\
             \n    {token}\n"
        )
    }
}

/// The object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct TokenIssued<'a> {
    id: String,
    token: &'a str,
    expires: String,
}

impl<'a> TokenIssued<'a> {
    fn new(issued: &'a IssuedToken) -> Self {
        Self {
            id: issued.id.to_string(),
            token: issued.token.as_str(),
            expires: ui::time(issued.expires),
        }
    }
}
