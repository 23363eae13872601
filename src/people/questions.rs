//! What people are asked, word for word.

use zeroize::Zeroizing;

use super::qr::qr_code;
use super::settings::PeopleSettings;
use super::totp::OtpSecret;
use crate::ipc::{PeopleAnswer, Prompt, Questions};
use crate::model::UserName;
use crate::model::text::Printable;

/// Longest name in a question, in bytes: it can be one that was typed.
const MAX_SHOWN: usize = 64;
/// The answer to the question for the name that asks for a link.
pub(super) const BROWSER: &str = "browser";

impl PeopleSettings {
    fn prompt(&self, what: &str, echo: bool) -> Prompt {
        Prompt {
            text: format!("rproxy {}: {what}: ", self.cluster),
            echo,
        }
    }

    fn code_prompt(&self, account: &str) -> Prompt {
        let account = Printable(account).within(MAX_SHOWN);
        self.prompt(&format!("code for {account}"), true)
    }

    fn password_prompt(&self, account: &str) -> Prompt {
        let account = Printable(account).within(MAX_SHOWN);
        self.prompt(&format!("password for {account}"), false)
    }

    fn new_password_prompts(&self) -> [Prompt; 2] {
        [
            self.prompt("new password", false),
            self.prompt("the same again", false),
        ]
    }

    /// Who it is; `user` is the name that an empty answer stands for.
    pub(super) fn ask_name(&self, user: &str) -> PeopleAnswer {
        let user = Printable(user).within(MAX_SHOWN);
        let prompt = self.prompt(&format!("your name [{user}]"), true);
        ask("", vec![prompt])
    }

    /// The same, where people also sign in with a browser.
    pub(super) fn ask_name_or_browser(&self, user: &str) -> PeopleAnswer {
        let user = Printable(user).within(MAX_SHOWN);
        let what = format!("your name [{user}], or \"{BROWSER}\" to sign in there");
        ask("", vec![self.prompt(&what, true)])
    }

    /// The code that the browser shows which has opened this link.
    pub(super) fn ask_browser_code(&self, link: &str) -> PeopleAnswer {
        let banner = format!("Open this link in a browser and sign in:\n\n  {link}\n");
        self.ask_browser_code_again(&banner)
    }

    /// The same, after a sentence on what is wrong with the last one.
    pub(super) fn ask_browser_code_again(&self, banner: &str) -> PeopleAnswer {
        ask(banner, vec![self.prompt("code from the browser", true)])
    }

    /// The password, and a code.
    pub(super) fn ask_credentials(&self, account: &str, asks_code: bool) -> PeopleAnswer {
        let mut prompts = vec![self.password_prompt(account)];
        if asks_code {
            prompts.push(self.code_prompt(account));
        }
        ask("", prompts)
    }

    /// The invitation.
    pub(super) fn ask_invitation(&self) -> PeopleAnswer {
        ask("", vec![self.prompt("invitation", true)])
    }

    /// The first password, after a sentence on what is wrong with the last one.
    pub(super) fn ask_first_password(&self, banner: &str) -> PeopleAnswer {
        ask(banner, self.new_password_prompts().into())
    }

    /// The password, and another one in place of it.
    pub(super) fn ask_change(&self, name: &UserName, banner: &str) -> PeopleAnswer {
        let [new, again] = self.new_password_prompts();
        ask(
            banner,
            vec![self.password_prompt(name.as_str()), new, again],
        )
    }

    /// The first code of a new authenticator. `note` stands before the picture.
    pub(super) fn ask_first_code(
        &self,
        name: &UserName,
        secret: &OtpSecret,
        note: &str,
    ) -> PeopleAnswer {
        let uri = secret.uri(&self.cluster, name);
        let picture = qr_code(&uri).unwrap_or_default();
        let (uri, picture) = (uri.as_str(), picture.as_str());
        let width = picture.lines().map(|line| line.chars().count()).max();
        let width = width.unwrap_or_default();
        let banner = Zeroizing::new(format!(
            "{note}Scan this with an authenticator app ({width} columns wide), or give it the URI \
             below:\n\n{picture}\n\n{uri}\n"
        ));
        ask(&banner, vec![self.code_prompt(name.as_str())])
    }

    /// Shows the recovery codes.
    pub(super) fn show_recovery_codes(&self, codes: &[Zeroizing<String>]) -> PeopleAnswer {
        let banner = recovery_codes(codes);
        let prompt = self.prompt("press Enter when you have stored them", true);
        ask(&banner, vec![prompt])
    }
}

/// The recovery codes, with what they are for.
pub(super) fn recovery_codes(codes: &[Zeroizing<String>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(
        "Your recovery codes. Each works once in place of a code, when you have lost the \
         authenticator. They are not shown again:\n\n"
            .to_owned(),
    );
    for code in codes {
        text.push_str("  ");
        text.push_str(code);
        text.push('\n');
    }
    text
}

fn ask(banner: &str, prompts: Vec<Prompt>) -> PeopleAnswer {
    PeopleAnswer::Questions(Questions {
        banner: banner.to_owned(),
        prompts,
    })
}
