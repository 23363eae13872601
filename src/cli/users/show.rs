//! `rproxy users show`.

use std::fmt::Write as _;

use serde::Serialize;

use super::access::UserAccess;
use super::ls::{UserObject, logins};
use super::standing::UserStanding;
use super::{Context, Exit, Failure, failure, ui};
use crate::cli::format::ReportFormat;
use crate::model::text;
use crate::people::PersonDetails;
use crate::state::{RegisteredKey, SignIn};

/// Show a person: roles, keys, and live sign-ins
#[derive(Debug, clap::Args)]
pub(crate) struct UsersShowArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl UsersShowArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.show(context)?)
    }

    /// What is printed.
    pub(super) fn show(&self, context: &Context) -> Result<String, Failure> {
        let report = UserAccess::to_read(context, "show", Some(&self.person))?
            .ok_or_else(|| failure::no_such(&self.person))?
            .admin()
            .show(&self.person)
            .map_err(|error| failure::failure(&format!("show {}", self.person), error))?;
        match self.format {
            ReportFormat::Text => Ok(told(&report)),
            ReportFormat::Json => serde_json::to_string_pretty(&Object::new(&report))
                .map(|object| text::json(&object) + "\n")
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the report").because(error)
                }),
        }
    }
}

/// The object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    user: UserObject<'a>,
    recovery_codes: u64,
    invited_until: Option<String>,
    keys: Vec<KeyObject<'a>>,
    sign_ins: Vec<SignInObject<'a>>,
}

#[derive(Serialize)]
struct KeyObject<'a> {
    fingerprint: &'a str,
    key: &'a str,
    comment: &'a str,
    registered: String,
    used: Option<String>,
}

#[derive(Serialize)]
struct SignInObject<'a> {
    id: String,
    kind: &'static str,
    fingerprint: Option<&'a str>,
    client: &'a str,
    started: String,
    until: String,
}

impl<'a> Object<'a> {
    fn new(report: &'a PersonDetails) -> Self {
        Self {
            user: UserObject::new(&report.user),
            recovery_codes: report.recovery_codes,
            invited_until: invited_until(report).map(ui::time),
            keys: report.keys.iter().map(KeyObject::new).collect(),
            sign_ins: report.sign_ins.iter().map(SignInObject::new).collect(),
        }
    }
}

impl<'a> KeyObject<'a> {
    fn new(key: &'a RegisteredKey) -> Self {
        Self {
            fingerprint: &key.fingerprint,
            key: &key.line,
            comment: &key.comment,
            registered: ui::time(key.registered),
            used: key.used.map(ui::time),
        }
    }
}

impl<'a> SignInObject<'a> {
    fn new(sign_in: &'a SignIn) -> Self {
        Self {
            id: sign_in.id.to_string(),
            kind: sign_in.kind(),
            fingerprint: sign_in.fingerprint.as_deref(),
            client: &sign_in.client,
            started: ui::time(sign_in.started),
            until: ui::time(sign_in.until),
        }
    }
}

/// Until when the person can use an invitation.
fn invited_until(report: &PersonDetails) -> Option<u64> {
    report.invitations.iter().max().copied()
}

fn told(report: &PersonDetails) -> String {
    let user = &report.user;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(text, "{:<14} {value}", format!("{name}:"));
    };
    line("name", user.name.as_str());
    line("state", UserStanding::of(user).as_str());
    if let Some(lock) = &user.locked {
        let why = match lock.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        line(
            "locked",
            &format!("since {} by {}{why}", ui::time(lock.since), lock.by),
        );
    }
    if let Some(until) = invited_until(report) {
        line("invitation", &format!("valid until {}", ui::time(until)));
    } else if !user.password && user.provider.is_none() {
        line("invitation", "expired, or reset");
    }
    line("roles", &user.roles.join(", "));
    line("logins", &logins(user));
    line("added", &ui::time(user.created));
    if let Some(provider) = &user.provider {
        let (issuer, subject) = (&provider.issuer, &provider.subject);
        line("provider", &format!("{issuer}, subject {subject}"));
    } else {
        line("password", if user.password { "set" } else { "none" });
        let otp = match user.totp {
            true => format!("set up, {} recovery codes left", report.recovery_codes),
            false => "none".to_owned(),
        };
        line("one-time codes", &otp);
    }
    for key in &report.keys {
        let used = match key.used {
            Some(used) => format!(", last sign-in {}", ui::time(used)),
            None => String::new(),
        };
        let registered = ui::time(key.registered);
        let comment = match key.comment.is_empty() {
            true => String::new(),
            false => format!(" {}", key.comment),
        };
        let fingerprint = &key.fingerprint;
        line(
            "key",
            &format!("{fingerprint}{comment}, registered {registered}{used}"),
        );
    }
    for sign_in in &report.sign_ins {
        line(
            "sign-in",
            &format!(
                "until {}, from {}, since {}, {}",
                ui::time(sign_in.until),
                sign_in.client,
                ui::time(sign_in.started),
                match &sign_in.fingerprint {
                    Some(fingerprint) => format!("with {fingerprint}"),
                    None => "in a browser".to_owned(),
                }
            ),
        );
    }
    text
}
