//! `help`: who the client is here, what it can ask for, and how it reaches a host.

use super::call::ProgramName;
use super::context::ProgramContext;
use crate::model::text::Printable;

/// The text of `help`.
pub(super) fn text(context: &ProgramContext) -> String {
    let reached = context.reached();
    let identity = &context.caller.identity;
    // With a certificate, every user name is as good.
    let ssh = match identity.sign_in() {
        None => reached.ssh(),
        Some(_) => reached.ssh_as(identity.name()),
    };
    let mut text = format!(
        "rproxy {}: you are {}\n\n{} COMMAND\n\n",
        context.cluster(),
        Printable(identity.name()),
        ssh,
    );
    let has_certificate = identity.sign_in().is_none();
    text.push_str(&commands(has_certificate));
    text.push_str(&format!(
        "\nTo log in to a host:\n\nssh -o ForwardAgent=yes -o ProxyCommand=\"{}\" LOGIN@HOST\n",
        reached.command()
    ));
    text
}

/// A line for each program that the client can run.
fn commands(has_certificate: bool) -> String {
    let programs = ProgramName::ALL.iter();
    let programs = programs.filter(|one| !has_certificate || one.is_for_certificates());
    let longest = programs.clone().map(|one| one.usage().len()).max();
    let width = longest.unwrap_or_default();
    programs
        .map(|one| format!("  {:width$}  {}\n", one.usage(), one.about()))
        .collect()
}
