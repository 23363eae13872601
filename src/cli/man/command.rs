//! Pages of commands, generated from the definition of the command line.

use clap::{Arg, ArgGroup, Command};
use roff::{Inline, bold, italic, roman};

use super::page::Page;
use super::words;
use crate::cli::Exit;

/// The page of a command.
pub(super) fn page(command: &Command) -> Page {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let is_whole = name == "rproxy";
    let about = command.get_about().map(ToString::to_string);
    let mut page = Page::new(name, "1", &about.unwrap_or_default());
    page.heading("SYNOPSIS");
    page.line(synopsis(command));
    page.heading("DESCRIPTION");
    description(command, &mut page);
    options(command, is_whole, &mut page);
    let mut below = shown(command).peekable();
    if below.peek().is_some() {
        page.heading("COMMANDS");
        for one in below {
            let term = [bold(format!("{name}-{}", one.get_name())), roman("(1)")];
            let about = one.get_about().map(ToString::to_string);
            page.term(term, &about.unwrap_or_default());
        }
    }
    if is_whole {
        around(&mut page);
    }
    examples(name, &mut page);
    page.see_also(&see_also(command, name));
    page
}

/// The commands below one that people are told about.
pub(super) fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
}

/// The arguments that a page tells about: all but those that every command takes, and --help.
fn own(command: &Command, is_whole: bool) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(move |argument| {
        !argument.is_hide_set() && (is_whole || !(argument.is_global_set() || is_about(argument)))
    })
}

fn is_about(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

// --- synopsis -------------------------------------------------------------------------------------

fn synopsis(command: &Command) -> Vec<Inline> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let groups: Vec<&ArgGroup> = command
        .get_groups()
        .filter(|group| group.is_required_set() && group.get_args().count() > 1)
        .collect();
    let grouped = |argument: &Arg| {
        groups
            .iter()
            .any(|group| group.get_args().any(|id| id == argument.get_id()))
    };
    for group in &groups {
        line.push(roman(" {"));
        for (at, id) in group.get_args().enumerate() {
            if at > 0 {
                line.push(roman(" | "));
            }
            let member = command.get_arguments().find(|one| one.get_id() == id);
            line.extend(member.into_iter().flat_map(usage));
        }
        line.push(roman("}"));
    }
    let single = |argument: &&Arg| !grouped(argument) && !is_about(argument);
    let (flags, positionals): (Vec<&Arg>, Vec<&Arg>) = own(command, false)
        .filter(single)
        .partition(|argument| !argument.is_positional());
    let (required, optional): (Vec<&Arg>, Vec<&Arg>) =
        flags.into_iter().partition(|flag| flag.is_required_set());
    let globals = command.get_arguments().filter(|flag| flag.is_global_set());
    let ordered = required.into_iter().chain(optional);
    for argument in ordered.chain(globals).chain(positionals) {
        line.push(roman(" "));
        if argument.is_required_set() {
            line.extend(usage(argument));
        } else {
            line.push(roman("["));
            line.extend(usage(argument));
            line.push(roman("]"));
        }
    }
    if shown(command).next().is_some() {
        line.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
    }
    line
}

/// An argument as it is typed: `--flag VALUE`, or its value alone.
fn usage(argument: &Arg) -> Vec<Inline> {
    let values = value_names(argument);
    // Commas in a value say already that there may be more.
    let may_repeat =
        matches!(argument.get_action(), clap::ArgAction::Append) && !values.ends_with("..");
    let mut typed = Vec::new();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) => typed.push(bold(format!("--{long}"))),
        (None, Some(short)) => typed.push(bold(format!("-{short}"))),
        (None, None) => {}
    }
    if !values.is_empty() {
        let may_lack = argument
            .get_num_args()
            .is_some_and(|range| range.min_values() == 0);
        let (open, close) = if may_lack && !argument.is_positional() {
            ("[", "]")
        } else {
            ("", "")
        };
        if !typed.is_empty() {
            // One line has both.
            typed.push(roman("\u{a0}"));
        }
        typed.extend([roman(open), italic(values), roman(close)]);
    }
    if may_repeat {
        typed.push(roman(" ..."));
    }
    typed
}

fn value_names(argument: &Arg) -> String {
    if !(argument.is_positional() || argument.get_action().takes_values()) {
        return String::new();
    }
    argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

// --- description and options ----------------------------------------------------------------------

fn description(command: &Command, page: &mut Page) {
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    match about.split_once("\n\n") {
        // The first line has no full stop, since it is a title too.
        Some((first, rest)) => page.paragraphs(&format!("{}.\n\n{rest}", first.trim())),
        None => page.paragraphs(&format!("{}.", about.trim())),
    }
}

fn options(command: &Command, is_whole: bool, page: &mut Page) {
    let positionals_last = |argument: &&Arg| argument.is_positional();
    let (positionals, flags): (Vec<&Arg>, Vec<&Arg>) =
        own(command, is_whole).partition(positionals_last);
    if !positionals.is_empty() {
        page.heading("ARGUMENTS");
        for argument in positionals {
            option(argument, page);
        }
    }
    if !flags.is_empty() {
        page.heading("OPTIONS");
        for argument in flags {
            option(argument, page);
        }
    }
    if !is_whole {
        page.paragraphs(
            "`--config`, `--data-dir`, `--help` and `--version` are described in `rproxy`(1).",
        );
    }
}

fn option(argument: &Arg, page: &mut Page) {
    let mut term = Vec::new();
    if let (Some(short), Some(_)) = (argument.get_short(), argument.get_long()) {
        term.extend([bold(format!("-{short}")), roman(", ")]);
    }
    term.extend(usage(argument));
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let mut help = help.map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        help.push_str(&format!(" [default: {}]", defaults.join(",")));
    }
    page.term(term, &help);
    let values = argument.get_possible_values();
    let explained = values.iter().any(|value| value.get_help().is_some());
    if values.is_empty() {
        return;
    }
    page.indented(|page| {
        if !explained {
            let names: Vec<_> = values
                .iter()
                .map(|value| format!("`{}`", value.get_name()))
                .collect();
            page.paragraphs(&format!("One of {}.", names.join(", ")));
            return;
        }
        for value in values {
            let help = value.get_help().map(ToString::to_string);
            page.term([bold(value.get_name())], &help.unwrap_or_default());
        }
    });
}

// --- what is around the commands ------------------------------------------------------------------

/// What concerns every command: files, variables, exit codes.
fn around(page: &mut Page) {
    for (title, rows) in [("FILES", words::FILES), ("ENVIRONMENT", words::ENVIRONMENT)] {
        page.heading(title);
        for (name, meaning) in rows {
            page.term([italic(*name)], meaning);
        }
    }
    page.heading("EXIT STATUS");
    page.term([bold("0")], "Done.");
    for exit in Exit::ALL {
        page.term([bold((exit as u8).to_string())], exit.meaning());
    }
}

fn examples(name: &str, page: &mut Page) {
    let mut shown = words::EXAMPLES
        .iter()
        .filter(|(of, _, _)| *of == name)
        .peekable();
    if shown.peek().is_none() {
        return;
    }
    page.heading("EXAMPLES");
    for (_, what, lines) in shown {
        page.paragraphs(what);
        page.verbatim(lines.lines());
    }
}

fn see_also(command: &Command, name: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut above = name;
    while let Some((shorter, _)) = above.rsplit_once('-') {
        above = shorter;
        pages.push(format!("{above}(1)"));
    }
    pages.reverse();
    pages.extend(shown(command).map(|below| format!("{name}-{}(1)", below.get_name())));
    let also = words::SEE_ALSO.iter().filter(|(of, _)| *of == name);
    pages.extend(also.flat_map(|(_, pages)| pages.iter().map(|page| (*page).to_owned())));
    pages
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    fn text(path: &[&str]) -> String {
        let mut cli = Cli::command();
        cli.build();
        let command = path
            .iter()
            .fold(&cli, |command, name| command.find_subcommand(name).unwrap());
        String::from_utf8(page(command).render().unwrap()).unwrap()
    }

    /// What a person sees of a synopsis.
    fn synopsis_of(path: &[&str]) -> String {
        let text = text(path);
        let (_, rest) = text.split_once(".SH SYNOPSIS\n").unwrap();
        let line = rest.lines().next().unwrap();
        ["\\fB", "\\fI", "\\fR", "\\"]
            .iter()
            .fold(line.to_owned(), |line, code| line.replace(code, ""))
            .replace('\u{a0}', " ")
    }

    #[test]
    fn a_synopsis_shows_what_to_type() {
        assert_eq!(
            synopsis_of(&["serve"]),
            "rproxy serve [--check] [--print-config] [--defaults] [--log-format FORMAT] \
             [--config FILE] [--data-dir DIR]"
        );
        let sign = synopsis_of(&["auth", "sign"]);
        assert!(sign.starts_with("rproxy auth sign {--host "), "{sign}");
        assert!(sign.contains(" | --user NAME | "), "{sign}");
        assert!(synopsis_of(&["play"]).ends_with(" ID|FILE"));
        assert!(synopsis_of(&["recordings"]).ends_with(" COMMAND ..."));
    }

    #[test]
    fn what_is_hidden_has_no_page_and_no_mention() {
        let whole = text(&[]);
        assert!(!whole.contains("complete(1)") && !whole.contains("rproxy\\-complete\\fR"));
        assert!(whole.contains("rproxy\\-completions"));
    }

    /// Pages that are named are there, and lines that are shown can be typed.
    #[test]
    fn examples_are_commands() {
        let mut cli = Cli::command();
        cli.build();
        let is_page = |name: &str| {
            let mut words = name.split('-').skip(1);
            let found = words.try_fold(&cli, |command, word| command.find_subcommand(word));
            found.is_some()
        };
        let examples = words::EXAMPLES.iter().map(|(name, _, _)| *name);
        for name in examples.chain(words::SEE_ALSO.iter().map(|(name, _)| *name)) {
            assert!(is_page(name), "{name}");
        }
        for (page, _, lines) in words::EXAMPLES {
            for line in lines.replace("\\\n", " ").lines() {
                let ends = [" |", " > ", " >> ", " && "];
                let ours = |line, end| str::split(line, end).next().unwrap();
                let line = ends.into_iter().fold(line, ours);
                // What is quoted is one word.
                let parts = line.split('\'').enumerate();
                let line: String = parts
                    .map(|(at, part)| match at % 2 {
                        1 => part.replace(' ', "_"),
                        _ => part.to_owned(),
                    })
                    .collect();
                if !line.starts_with("rproxy ") {
                    continue;
                }
                let parsed = Cli::try_parse_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{page}: {line}: {:?}", parsed.err());
            }
        }
    }

    #[test]
    fn marks_in_help_are_not_shown() {
        for path in [&[][..], &["auth", "export"], &["config"], &["completions"]] {
            assert!(!text(path).contains('`'), "{path:?}");
        }
    }
}
