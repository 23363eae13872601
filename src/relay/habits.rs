//! Requests that clients send routinely, and whose refusal has no effect on them: they are audited
//! once, without a warning.

use std::collections::BTreeSet;

use super::What;

/// How many different ones are remembered for one connection; all others count as refusals.
const MAX_HABITS: usize = 64;

/// Longest name that may be one, in bytes.
const MAX_NAME: usize = 64;

/// Requests by name. PuTTY and its derivatives announce with them how they use a channel, and
/// measure the window with a request that is refused.
const REQUESTS: &[&str] = &[
    "simple@putty.projects.tartarus.org",
    "winadj@putty.projects.tartarus.org",
];

/// The beginnings of keepalive requests of libraries: any reply is enough, including a failure.
const QUESTIONS: &[&str] = &["keepalive@", "keep-alive@"];

/// Variables that clients have in `SendEnv`, or set themselves, and that do not change how programs
/// work; a `*` at the end stands for any rest.
const VARIABLES: &[&str] = &[
    "COLORFGBG",
    "COLORTERM",
    "EDITOR",
    "GIT_AUTHOR_*",
    "GIT_COMMITTER_*",
    "GIT_PROTOCOL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "NO_COLOR",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TZ",
    "VISUAL",
    "VTE_VERSION",
    "XMODIFIERS",
];

/// The routine requests of one connection so far.
#[derive(Debug, Default)]
pub struct Habits {
    told: BTreeSet<String>,
}

/// How to treat a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It is not routine.
    No,
    /// It is routine, and was not seen before.
    First,
    /// It is routine, and was audited already.
    Again,
}

impl Habits {
    /// Classifies a refused request. `detail` is the variable, if the request is about one.
    pub fn look(&mut self, what: What, name: &str, detail: Option<&str>) -> Habit {
        let key = detail.unwrap_or(name);
        if key.len() > MAX_NAME || !is_habit(what, name, detail) {
            return Habit::No;
        }
        if self.told.contains(key) {
            Habit::Again
        } else if self.told.len() < MAX_HABITS {
            self.told.insert(key.to_owned());
            Habit::First
        } else {
            Habit::No
        }
    }
}

fn is_habit(what: What, name: &str, detail: Option<&str>) -> bool {
    match what {
        What::Channel | What::Data => false,
        What::ChannelRequest if name == "env" => detail.is_some_and(is_usual),
        What::ChannelRequest => REQUESTS.contains(&name) || is_question(name),
        What::GlobalRequest => is_question(name),
    }
}

fn is_question(name: &str) -> bool {
    QUESTIONS.iter().any(|begin| name.starts_with(begin))
}

fn is_usual(variable: &str) -> bool {
    VARIABLES.iter().any(|usual| match usual.strip_suffix('*') {
        Some(begin) => variable.starts_with(begin),
        None => variable == *usual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_told_once_and_nothing_else_is_one() {
        let mut habits = Habits::default();
        let mut env = |name| habits.look(What::ChannelRequest, "env", Some(name));
        assert_eq!(env("GIT_PROTOCOL"), Habit::First);
        assert_eq!(env("GIT_PROTOCOL"), Habit::Again);
        assert_eq!(env("LC_ALL"), Habit::First);
        for name in [
            "LD_PRELOAD",
            "GIT_SSH_COMMAND",
            "PATH",
            "LC",
            "",
            "git_protocol",
        ] {
            assert_eq!(env(name), Habit::No, "{name}");
        }
        let mut request = |what, name| habits.look(what, name, None);
        for name in REQUESTS {
            assert_eq!(request(What::ChannelRequest, name), Habit::First);
            assert_eq!(request(What::ChannelRequest, name), Habit::Again);
            assert_eq!(request(What::GlobalRequest, name), Habit::No);
        }
        assert_eq!(
            request(What::GlobalRequest, "keepalive@lag.net"),
            Habit::First
        );
        for name in ["x11-req", "env", "tcpip-forward", "simple@example.com"] {
            assert_eq!(request(What::ChannelRequest, name), Habit::No, "{name}");
        }
    }

    #[test]
    fn no_connection_has_habits_without_end() {
        let mut habits = Habits::default();
        let told = (0..1_000)
            .map(|number| format!("LC_{number}"))
            .filter(|name| habits.look(What::ChannelRequest, "env", Some(name)) == Habit::First);
        assert_eq!(told.count(), MAX_HABITS);
    }
}
