//! Hides passwords in what is shown of a file.

/// What stands before the user name and the password of a URL.
const BEFORE: &str = "://";
/// What stands before a secret that is a parameter of a URL, or the value of an unknown key.
const NAMES: [&str; 3] = ["password=", "password: ", "secret: "];

/// The line with each character of a password replaced by `*`. It is as long as before, in
/// characters. What could be a password is hidden too: the line may be no valid URL.
pub(super) fn masked(line: &str) -> String {
    let stars = |text: &str| "*".repeat(text.chars().count());
    let mut line = line.to_owned();
    for name in NAMES {
        if let Some((before, password)) = line.split_once(name) {
            line = format!("{before}{name}{}", stars(password));
        }
    }
    let Some((before, rest)) = line.split_once(BEFORE) else {
        return line;
    };
    let (credentials, after) = match rest.rsplit_once('@') {
        Some((credentials, after)) => (Some(credentials), after),
        None => (None, rest),
    };
    let mut shown = format!("{before}{BEFORE}");
    if let Some(credentials) = credentials {
        match credentials.split_once(':') {
            Some((user, password)) => shown.push_str(&format!("{user}:{}@", stars(password))),
            None => shown.push_str(&format!("{credentials}@")),
        }
    }
    shown.push_str(after);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        for (line, shown) in [
            (
                "url: postgresql://u:secret@h/d",
                "url: postgresql://u:******@h/d",
            ),
            (
                "url: \"mysql://u:a/b@c \u{e9}@h:1\"",
                "url: \"mysql://u:*******@h:1\"",
            ),
            (
                "postgresql://u@h/d?password=secret",
                "postgresql://u@h/d?password=******",
            ),
            ("  password: secret", "  password: ******"),
            ("  client_secret: s3cret", "  client_secret: ******"),
            ("password_file: /x", "password_file: /x"),
            ("client_secret_file: /x", "client_secret_file: /x"),
            ("https://example.com:3080/x", "https://example.com:3080/x"),
            ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
            ("# a: b@c", "# a: b@c"),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(line.chars().count(), shown.chars().count());
        }
    }
}
