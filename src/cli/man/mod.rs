//! `rproxy man`: the manual pages, generated from the program's own definitions: the command line,
//! the keys of the configuration, the text of the recording format. Only the examples are written
//! for the pages.

mod command;
mod configuration;
mod page;
mod recording;
mod words;

use std::path::PathBuf;

use super::{Exit, Failure, ui};
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};
use page::Page;

/// Print the manual page of rproxy, or write those of all commands
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write every page into this directory instead: rproxy.1, one for each command, rproxy.yaml.5,
    /// rproxy-recording.5
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

impl ManArgs {
    /// `cli` is the command line that the pages are about.
    pub(crate) fn run(self, mut cli: clap::Command) -> Result<(), Failure> {
        cli.build();
        let Some(dir) = self.out_dir else {
            return ui::result_bytes(&command::page(&cli).render()?);
        };
        let mut pages = vec![configuration::page(), recording::page()];
        collect(&cli, &mut pages);
        for page in &pages {
            let path = dir.join(page.file());
            write_whole(&path, &page.render()?, PUBLIC_FILE, Replace::Allow).map_err(|error| {
                let what = format!("cannot write {}", path.display());
                Failure::new(Exit::Failed, what).because(error)
            })?;
        }
        Ok(())
    }
}

/// The page of a command, and those of the commands below it.
fn collect(command: &clap::Command, pages: &mut Vec<Page>) {
    pages.push(command::page(command));
    for below in command::shown(command) {
        collect(below, pages);
    }
}
