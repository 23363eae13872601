//! `rproxy man`: the manual pages, made from the command line's and the configuration's definitions.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{Cli, Exit, Failure, ui};
use crate::config::keys::{Fallback, Form, Key, ROOT};
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

/// Print the manual page of rproxy, or write those of all commands
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write every page into this directory instead: rproxy.1, one for each command, rproxy.yaml.5
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

/// A manual page.
struct Page {
    file: String,
    text: Vec<u8>,
}

impl Args {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut cli = Cli::command();
        cli.build();
        let Some(dir) = self.out_dir else {
            return ui::result_bytes(&command_page(&cli)?.text);
        };
        let mut pages = vec![configuration_page()?];
        collect(&cli, &mut pages)?;
        for page in &pages {
            write_whole(
                &dir.join(&page.file),
                &page.text,
                PUBLIC_FILE,
                Replace::Allow,
            )
            .map_err(|error| {
                let what = format!("cannot write {}", dir.join(&page.file).display());
                Failure::new(Exit::Failed, what).because(error)
            })?;
        }
        Ok(())
    }
}

/// The page of a command, and those of the commands below it.
fn collect(command: &clap::Command, pages: &mut Vec<Page>) -> Result<(), Failure> {
    pages.push(command_page(command)?);
    for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        collect(below, pages)?;
    }
    Ok(())
}

fn command_page(command: &clap::Command) -> Result<Page, Failure> {
    // Pages that are compared must not change with the day.
    let man = Man::new(command.clone()).date("");
    let file = man.get_filename();
    let mut text = Vec::new();
    man.render(&mut text)
        .map_err(|error| unwritten(&file, error))?;
    Ok(Page { file, text })
}

/// rproxy.yaml(5): every key, with what may stand after it and what holds without it.
fn configuration_page() -> Result<Page, Failure> {
    let file = "rproxy.yaml.5".to_owned();
    let mut roff = Roff::new();
    roff.control("TH", ["RPROXY.YAML", "5"])
        .control("SH", ["NAME"])
        .text([roman("rproxy.yaml - configuration of rproxy")])
        .control("SH", ["DESCRIPTION"])
        .text([
            roman("The file is /etc/rproxy/rproxy.yaml, or what "),
            bold("--config"),
            roman(" or RPROXY_CONFIG names. It is YAML; an unknown key, a wrong type or a bad value is an error. "),
            bold("rproxy serve --check"),
            roman(" names every mistake with its line, "),
            bold("rproxy serve --print-config"),
            roman(" shows what is in force."),
        ])
        .control("SH", ["KEYS"]);
    keys("", ROOT, &mut roff);
    roff.control("SH", ["SEE ALSO"])
        .text([bold("rproxy"), roman("(1)")]);
    let mut text = Vec::new();
    roff.to_writer(&mut text)
        .map_err(|error| unwritten(&file, error))?;
    Ok(Page { file, text })
}

fn keys(prefix: &str, keys_here: &[Key], roff: &mut Roff) {
    for key in keys_here {
        let name = format!("{prefix}{}", key.name);
        roff.control("TP", [])
            .text([bold(&name), roman(": "), italic(key.form.expected())]);
        roff.text([roman(key.doc), roman(holds_without(&key.default))]);
        let below = match key.form {
            Form::Sections(_) => format!("{name}[]."),
            _ => format!("{name}."),
        };
        keys(&below, key.form.keys(), roff);
    }
}

fn holds_without(default: &Fallback) -> String {
    match default {
        Fallback::Nothing => String::new(),
        Fallback::Required => " Must be given.".to_owned(),
        Fallback::Derived(from) => format!(" Default: {from}."),
        Fallback::Value(value) => format!(" Default: {value}."),
        Fallback::Values(values) => format!(" Default: [{}].", values.join(", ")),
    }
}

fn unwritten(file: &str, error: std::io::Error) -> Failure {
    Failure::new(Exit::Internal, format!("cannot render {file}")).because(error)
}
