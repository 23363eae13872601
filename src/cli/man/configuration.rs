//! rproxy.yaml(5): every key, with its values and its default.

use roff::{bold, italic, roman};

use super::page::Page;
use crate::config::DEFAULT_FILE;
use crate::config::keys::{DefaultValue, Key, ROOT, ValueType};

/// A file to begin with.
const EXAMPLE: &str = "\
cluster_name: example.com
proxy_service:
  listen_addr: 0.0.0.0:3023
  public_addr: proxy.example.com:3023
  egress_addrs: [203.0.113.10/32]
nodes:
  - { name: db1, addr: \"10.0.0.5:22\", labels: { env: prod } }
roles:
  - name: dba
    allow: [{ logins: [postgres], nodes: [\"db*\"] }]
users:
  - { name: alice, roles: [dba] }";

/// The page.
pub(super) fn page() -> Page {
    let mut page = Page::new("rproxy.yaml", "5", "configuration of rproxy");
    page.heading("DESCRIPTION");
    page.paragraphs(&format!(
        "The file is `{DEFAULT_FILE}`, or what `--config` or `RPROXY_CONFIG` names. It is YAML; an \
         unknown key, a wrong type or a bad value is an error. `rproxy serve --check` names every mistake \
         with its line, `rproxy serve --print-config` shows what is in force.\n\n\
         A running proxy reads the file again at SIGHUP."
    ));
    page.heading("KEYS");
    let (plain, sections): (Vec<&Key>, Vec<&Key>) =
        ROOT.iter().partition(|key| key.form.keys().is_empty());
    for one in plain {
        key("", one, &mut page);
    }
    for section in sections {
        page.subheading(section.name);
        page.paragraphs(&format!(
            "{}{}",
            section.doc,
            holds_without(&section.default)
        ));
        for one in section.form.keys() {
            key(&below(section.name, section.form), one, &mut page);
        }
    }
    page.heading("EXAMPLES");
    page.verbatim(EXAMPLE.lines());
    page.see_also(&["rproxy(1)", "rproxy-serve(1)", "rproxy-explain(1)"].map(str::to_owned));
    page
}

fn key(prefix: &str, key_here: &Key, page: &mut Page) {
    let name = format!("{prefix}{}", key_here.name);
    let form = match key_here.form {
        ValueType::Section(_) => "a section".to_owned(),
        ValueType::Sections(_) => "a list of sections".to_owned(),
        form => form.expected(),
    };
    let meaning = format!("{}{}", key_here.doc, holds_without(&key_here.default));
    page.term(
        [bold(&name), roman(": "), italic(form.replace('`', ""))],
        &meaning,
    );
    for one in key_here.form.keys() {
        key(&below(&name, key_here.form), one, page);
    }
}

/// What stands before the name of a key in a section.
fn below(name: &str, form: ValueType) -> String {
    match form {
        ValueType::Sections(_) => format!("{name}[]."),
        _ => format!("{name}."),
    }
}

fn holds_without(default: &DefaultValue) -> String {
    match default {
        DefaultValue::Nothing => String::new(),
        DefaultValue::Required => " Must be given.".to_owned(),
        DefaultValue::Derived(from) => format!(" Default: {from}."),
        DefaultValue::Value(value) => format!(" Default: `{value}`."),
        DefaultValue::Values(values) => format!(" Default: `[{}]`.", values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_example_is_a_configuration() {
        let data = Some(Path::new("/data"));
        let loaded = crate::config::parse(Path::new("r.yaml"), EXAMPLE, data).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}
