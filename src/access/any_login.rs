//! Whether the policy allows a person any login at a place, where nothing names the logins.
//!
//! There are as many logins as there are names, and rules name them by patterns. So the logins are
//! taken together that no pattern of the rules about the place tells apart, and one of each such group
//! is judged.

use std::collections::{BTreeSet, VecDeque};

use super::pattern::PatternProgress;
use super::{Pattern, Policy, PolicyDenial, Question};
use crate::model::Login;

/// The most steps of one search. Only a policy whose patterns have many `*` that overlap needs more.
const MAX_STEPS: usize = 20_000;

impl Policy {
    /// Decides whether there is a login that [`Policy::judge`] allows. The login of the question does not
    /// count.
    ///
    /// If the patterns are too many to tell, the answer is yes: each login is judged by itself before it
    /// is used.
    ///
    /// # Errors
    /// The most telling of the reasons why not.
    pub fn judge_any_login(&self, question: &Question<'_>) -> Result<(), PolicyDenial> {
        let patterns = self.login_patterns(question);
        let mut search = LoginSearch::new(patterns);
        let mut barred = PolicyDenial::NoRole(question.who.to_owned());
        let mut is_allowed = |login: &str| {
            let verdict = self.judge_rules(&Question { login, ..*question });
            match verdict {
                Ok(_) => return true,
                Err(why) if why.tells_more_than(&barred) => barred = why,
                Err(_) => {}
            }
            false
        };
        // What a pattern names is allowed more often than not, and found at once.
        let is_allowed = search.examples().iter().any(|login| is_allowed(login))
            || search.any(|login| is_allowed(&login))
            || search.steps_left == 0;
        match is_allowed {
            true if question.place.is_locked => Err(PolicyDenial::Locked),
            true => Ok(()),
            false => Err(barred),
        }
    }
}

impl Policy {
    /// The patterns of the rules that allow logins at a place, as far as one that fits is allowed; `*`
    /// for a rule without any, and without roles. The login of the question does not count.
    #[must_use]
    pub fn logins_allowed(&self, question: &Question<'_>) -> Vec<String> {
        if question.place.is_locked {
            return Vec::new();
        }
        if !self.has_roles() {
            return vec!["*".to_owned()];
        }
        let roles = self.roles_of(question.who, question.roles).into_iter();
        let rules = roles.flat_map(|role| role.allow.iter().flatten());
        let rules = rules.filter(|rule| rule.is_about(question.place));
        let mut allowed = Vec::new();
        for rule in rules {
            match &rule.logins {
                None if self.judge_any_login(question).is_ok() => allowed.push("*".to_owned()),
                None => {}
                Some(patterns) => allowed.extend(
                    patterns
                        .iter()
                        .filter(|pattern| {
                            let login = &pattern.example('a');
                            self.judge(&Question { login, ..*question }).is_ok()
                        })
                        .map(ToString::to_string),
                ),
            }
        }
        allowed.sort_unstable();
        allowed.dedup();
        allowed
    }
}

/// Finds a login of each group that the patterns tell apart, shorter ones first.
struct LoginSearch<'a> {
    patterns: Vec<&'a Pattern>,
    /// The characters that the patterns name, and one that none of them names.
    characters: Vec<char>,
    /// Beginnings of logins, with what the patterns make of them.
    queue: VecDeque<(String, Vec<PatternProgress>)>,
    seen: BTreeSet<Vec<PatternProgress>>,
    /// The groups that have been found: which patterns fit.
    found: BTreeSet<Vec<bool>>,
    steps_left: usize,
}

impl<'a> LoginSearch<'a> {
    fn new(patterns: Vec<&'a Pattern>) -> Self {
        let named = patterns.iter().flat_map(|pattern| pattern.characters());
        let mut characters: BTreeSet<char> = named
            .filter(|c| is_login(c.encode_utf8(&mut [0; 4])))
            .collect();
        let mut others = ('a'..='z').chain('\u{4e00}'..='\u{9fff}');
        characters.extend(others.find(|c| !characters.contains(c)));
        let start = patterns.iter().map(|pattern| pattern.begin()).collect();
        Self {
            patterns,
            characters: characters.into_iter().collect(),
            queue: VecDeque::from([(String::new(), start)]),
            seen: BTreeSet::new(),
            found: BTreeSet::new(),
            steps_left: MAX_STEPS,
        }
    }

    /// For each pattern a login that fits.
    fn examples(&self) -> Vec<String> {
        let patterns = self.patterns.iter();
        patterns
            .map(|pattern| pattern.example('a'))
            .filter(|login| is_login(login))
            .collect()
    }
}

impl Iterator for LoginSearch<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while let Some((login, progress)) = self.queue.pop_front() {
            for character in &self.characters {
                self.steps_left = self.steps_left.checked_sub(1)?;
                let longer = format!("{login}{character}");
                let each = self.patterns.iter().zip(&progress);
                let next: Vec<_> = each
                    .map(|(pattern, progress)| pattern.advance(progress, *character))
                    .collect();
                if is_login(&longer) && self.seen.insert(next.clone()) {
                    self.queue.push_back((longer, next));
                }
            }
            let each = self.patterns.iter().zip(&progress);
            let fits = each.map(|(pattern, progress)| pattern.fits(progress));
            if is_login(&login) && self.found.insert(fits.collect()) {
                return Some(login);
            }
        }
        None
    }
}

fn is_login(text: &str) -> bool {
    text.parse::<Login>().is_ok()
}
