//! Tables that are printed from the code into the documentation.
//!
//! `RPROXY_TEST_BLESS=1` writes them anew instead of comparing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use rproxy::config::keys::{DefaultValue, Key, ROOT, ValueType};
use rproxy::metrics::{Metrics, Values};
use rproxy::sys::fs::{PUBLIC_FILE, Replace, write_whole};

#[cfg(test)]
#[path = "../src/sys/skipped.rs"]
mod skipped;

/// Compares what stands in a document between `<!-- begin NAME -->` and `<!-- end NAME -->`.
fn assert_printed(document: &str, name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        format!("<!-- begin {name} -->\n"),
        format!("<!-- end {name} -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the beginning of the part");
    let (shown, after) = rest.split_once(&end).expect("the end of the part");
    if std::env::var_os("RPROXY_TEST_BLESS").is_some() {
        let text = format!("{before}{begin}{expected}{end}{after}");
        write(&path, text.as_bytes());
        return;
    }
    assert_eq!(
        shown, expected,
        "{document} is not what the code says: run this test with RPROXY_TEST_BLESS=1"
    );
}

#[test]
fn every_key_is_documented() {
    assert_printed("docs/configuration.md", "keys", &sections());
}

#[test]
fn every_audit_event_is_documented() {
    assert_printed("docs/audit-events.md", "events", &rproxy::audit::table());
}

#[test]
fn everything_that_crosses_is_documented() {
    assert_printed(
        "docs/channels.md",
        "channels",
        &rproxy::relay::table::markdown(),
    );
}

#[test]
fn what_each_process_may_do_is_documented() {
    let document = "docs/confinement.md";
    let printed = [
        ("kept", rproxy::monitor::kept_by_worker_markdown()),
        ("kept-by-auth", rproxy::monitor::kept_by_auth_markdown()),
        ("kept-by-web", rproxy::monitor::kept_by_web_markdown()),
        ("processes", rproxy::monitor::processes_markdown()),
        ("services", rproxy::monitor::services_markdown()),
        ("files", rproxy::monitor::files_markdown()),
    ];
    for (name, table) in printed {
        assert_printed(document, name, &table);
    }
}

#[test]
fn every_denied_system_call_is_documented() {
    assert_printed(
        "docs/confinement.md",
        "calls",
        &rproxy::sys::sandbox::table(),
    );
}

#[test]
fn everything_that_the_doctor_looks_at_is_documented() {
    assert_printed(
        "docs/troubleshooting.md",
        "checks",
        &rproxy::cli::doctor_checks(),
    );
}

#[test]
fn every_metric_is_documented() {
    assert_printed("docs/metrics.md", "metrics", &rproxy::metrics::table());
}

/// Labels that Prometheus adds by itself.
const LABELS_OF_PROMETHEUS: &[&str] = &["instance", "job", "le"];

/// The names in a query, each with the text behind it.
fn names(query: &str) -> Vec<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_part) {
        let (_, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (name, behind) = from.split_at(end);
        names.push((name, behind));
        rest = behind;
    }
    names
}

/// What is wrong with a query: metrics that there are not, labels and values that they do not have.
fn faults(query: &str) -> Vec<String> {
    let families = Metrics::families();
    let family_of = |name: &str| {
        let mut families = families.iter();
        families.find(|family| family.series().iter().any(|one| one == name))
    };
    let mut faults = Vec::new();
    let mut labels = LABELS_OF_PROMETHEUS.to_vec();
    for (name, behind) in names(query) {
        if !name.starts_with("rproxy_") && !name.starts_with("process_") {
            continue;
        }
        let Some(family) = family_of(name) else {
            faults.push(format!("{name} is no metric"));
            continue;
        };
        labels.extend(family.labels.iter().map(|label| label.name));
        let matchers = behind
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'));
        for matcher in matchers
            .into_iter()
            .flat_map(|(inside, _)| inside.split(','))
        {
            let (label, value) = matcher.split_once(['=', '!']).expect("a matcher");
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            match family.labels.iter().find(|known| known.name == label) {
                Some(known) => match &known.values {
                    Values::Closed(values) if !values.contains(&value) => {
                        faults.push(format!("{name}: {label} is never {value}"));
                    }
                    _ => {}
                },
                None if LABELS_OF_PROMETHEUS.contains(&label) => {}
                None => faults.push(format!("{name} has no label {label}")),
            }
        }
    }
    for grouping in query.split(" by (").skip(1) {
        let (inside, _) = grouping.split_once(')').expect("an end");
        for label in inside.split(',').map(str::trim) {
            if !labels.contains(&label) {
                faults.push(format!("nothing has the label {label}"));
            }
        }
    }
    faults
}

/// The texts of all fields of this name.
fn fields<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == name {
                    found.extend(value.as_str());
                }
                fields(value, name, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, name, found)),
        _ => {}
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The dashboard, the alerts and the examples ask for metrics that there are, by labels that they have.
#[test]
fn queries_ask_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("contrib/grafana-dashboard.json")).unwrap();
    let mut queries = Vec::new();
    fields(&dashboard, "expr", &mut queries);
    fields(&dashboard, "query", &mut queries);
    let rules = read("contrib/prometheus-rules.yaml");
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("expr: "))
        .collect();
    assert_eq!(
        alerts.len(),
        rules.matches("- alert: ").count(),
        "each on its line"
    );
    queries.extend(&alerts);
    let documented = read("docs/metrics.md");
    let is_example = |line: &&str| line.starts_with("rproxy_") || line.starts_with("histogram_");
    queries.extend(documented.lines().filter(is_example));
    assert!(queries.len() > 40, "{queries:#?}");
    let mut asked = String::new();
    for query in queries {
        assert_eq!(faults(query), Vec::<String>::new(), "{query}");
        asked.push_str(query);
    }
    // A query uses every metric.
    for family in Metrics::families() {
        assert!(
            asked.contains(&family.name()),
            "nobody asks for {}",
            family.name()
        );
    }
    for wrong in [
        "rproxy_session_total",
        "rproxy_sessions",
        "rate(rproxy_recording_commit_seconds[5m])",
        "rproxy_refusals_total{leg=\"host\"}",
        "rproxy_refusals_total{kind=\"exec\"}",
        "sum by (kind) (rproxy_refusals_total)",
    ] {
        assert_eq!(faults(wrong).len(), 1, "{wrong}");
    }
}

fn write(path: &Path, bytes: &[u8]) {
    write_whole(path, bytes, PUBLIC_FILE, Replace::Allow).unwrap();
}

/// The shells whose completions are in the tree, and the names under which they look for them.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "rproxy.bash"),
    ("zsh", "_rproxy"),
    ("fish", "rproxy.fish"),
    ("powershell", "rproxy.ps1"),
];

#[test]
fn manual_pages_and_completions_are_those_of_the_command_line() {
    let made = tempfile::tempdir().unwrap();
    let rproxy = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rproxy"))
            // Neither asks for a configuration, so a missing one is no hindrance.
            .env("RPROXY_CONFIG", "/nonexistent")
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    };
    let man = made.path().join("man");
    std::fs::create_dir(&man).unwrap();
    rproxy(&["man", "--out-dir", man.to_str().unwrap()]);
    assert_eq!(
        rproxy(&["man"]),
        std::fs::read(man.join("rproxy.1")).unwrap()
    );
    let completions = made.path().join("completions");
    std::fs::create_dir(&completions).unwrap();
    for (shell, name) in SHELLS {
        write(&completions.join(name), &rproxy(&["completions", shell]));
    }
    for kind in ["man", "completions"] {
        assert_same_files(kind, &made.path().join(kind));
    }
}

/// Compares a directory of the tree with what was made just now.
fn assert_same_files(kind: &str, made: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind);
    let files = |dir: &Path| -> std::collections::BTreeMap<_, _> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .collect()
    };
    let made = files(made);
    if std::env::var_os("RPROXY_TEST_BLESS").is_some() {
        if kept.exists() {
            std::fs::remove_dir_all(&kept).unwrap();
        }
        std::fs::create_dir(&kept).unwrap();
        for (name, text) in made {
            write(&kept.join(name), &text);
        }
        return;
    }
    let kept = files(&kept);
    assert!(made.keys().eq(kept.keys()), "{kind}: {:?}", made.keys());
    for (name, text) in made {
        assert!(
            kept.get(&name) == Some(&text),
            "{kind}/{name:?} is not what the code says: run this test with RPROXY_TEST_BLESS=1"
        );
    }
}

/// Skipped where there is no mandoc.
#[test]
fn manual_pages_are_good_to_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let checked = std::process::Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .args(pages)
        .output();
    let Ok(output) = checked else {
        return skipped::lacks("mandoc");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    // Pages that are compared have no date.
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| !line.contains("missing date"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Skipped where there is no systemd.
#[test]
fn systemd_understands_its_unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/rproxy.service");
    let text = std::fs::read_to_string(unit).unwrap();
    assert!(
        text.contains("ExecStart=/usr/local/bin/rproxy --config /etc/rproxy/rproxy.yaml serve\n")
    );
    let installed = text.replace("/usr/local/bin/rproxy", env!("CARGO_BIN_EXE_rproxy"));
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("rproxy.service");
    write(&copy, installed.as_bytes());
    let verified = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&copy)
        .output();
    let Ok(output) = verified else {
        return skipped::cannot("there is no systemd");
    };
    // Of other units it says what it likes.
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("rproxy"))
        .collect();
    assert!(ours.is_empty(), "{said}");
}

/// With a root of its own in place of this machine's. Skipped where that takes more than there is.
#[test]
fn systemd_makes_the_user_and_the_directories() {
    use std::os::unix::fs::MetadataExt as _;

    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("etc/rproxy/rproxy.yaml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    write(&config, b"cluster_name: example.com\n");
    let run = |program: &str, arguments: &[&str], file: &str| {
        let output = std::process::Command::new(program)
            .arg(format!("--root={}", root.path().display()))
            .args(arguments)
            .arg(contrib.join(file))
            .output();
        let output = output.ok()?;
        assert!(output.status.success(), "{program}: {output:?}");
        Some(())
    };
    if !rustix::process::geteuid().is_root() {
        return skipped::cannot("it takes root to give files away");
    }
    let made = run("systemd-sysusers", &[], "sysusers.conf")
        .and_then(|()| run("systemd-tmpfiles", &["--create"], "rproxy.tmpfiles"));
    if made.is_none() {
        return skipped::cannot("there is no systemd");
    }
    let users = std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user = users
        .lines()
        .find_map(|line| line.strip_prefix("rproxy:x:"));
    let (id, _) = user.unwrap().split_once(':').unwrap();
    let id: u32 = id.parse().unwrap();
    for (path, mode, owner) in [
        ("etc/rproxy", 0o40_750, 0),
        ("etc/rproxy/rproxy.yaml", 0o100_640, 0),
        ("var/lib/rproxy", 0o40_700, id),
    ] {
        let found = std::fs::metadata(root.path().join(path)).unwrap();
        assert_eq!((found.mode(), found.uid()), (mode, owner), "{path}");
    }
}

/// The keys of the top level, then those of each section, as tables.
fn sections() -> String {
    let (plain, sections): (Vec<&Key>, Vec<&Key>) =
        ROOT.iter().partition(|key| key.form.keys().is_empty());
    let mut text = table("", plain);
    let mut shown = Vec::new();
    for section in sections {
        text.push_str(&section_tables("", section, &mut shown));
    }
    text
}

/// The table of a section, and of those below; keys that were shown before are not shown again.
fn section_tables(above: &str, section: &Key, shown: &mut Vec<Vec<&'static str>>) -> String {
    let keys: Vec<&Key> = section.form.keys().iter().collect();
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    if names.is_empty() || shown.contains(&names) {
        return String::new();
    }
    shown.push(names);
    let name = format!("{above}{}", section.name);
    let (heading, prefix) = match section.form {
        ValueType::Sections(_) => (format!("`{name}`: a list"), format!("{name}[].")),
        _ => (format!("`{name}`"), format!("{name}.")),
    };
    let mut text = format!(
        "\n### {heading}\n\n{}\n\n{}",
        section.doc,
        table(&prefix, keys.iter().copied())
    );
    // A section in a section stands in its table.
    for key in keys {
        if let ValueType::Sections(_) = key.form {
            text.push_str(&section_tables(&prefix, key, shown));
        }
    }
    text
}

fn table<'k>(prefix: &str, keys: impl IntoIterator<Item = &'k Key>) -> String {
    let head = "| key | value | default | meaning |\n|---|---|---|---|\n";
    head.to_owned() + &rows(prefix, keys)
}

fn has_table(keys: &[Key]) -> bool {
    let names = |keys: &[Key]| keys.iter().map(|key| key.name).collect::<Vec<_>>();
    ROOT.iter()
        .any(|root| names(root.form.keys()) == names(keys))
}

fn rows<'k>(prefix: &str, keys: impl IntoIterator<Item = &'k Key>) -> String {
    let mut text = String::new();
    for key in keys {
        let default = match key.default {
            DefaultValue::Nothing => "none".to_owned(),
            DefaultValue::Required => "must be given".to_owned(),
            DefaultValue::Derived(from) => from.to_owned(),
            DefaultValue::Value(value) => format!("`{value}`"),
            DefaultValue::Values(values) => format!("`[{}]`", values.join(", ")),
        };
        let value = match key.form {
            ValueType::Section(_) => "a section".to_owned(),
            form => form.expected(),
        };
        let cells = [value, default, key.doc.to_owned()].map(|cell| cell.replace('|', "\\|"));
        let _infallible = writeln!(text, "| `{prefix}{}` | {} |", key.name, cells.join(" | "));
        // A section in a section has its keys below it, unless they have a table of their own.
        if let ValueType::Section(keys) = key.form
            && !has_table(keys)
        {
            text.push_str(&rows(&format!("{prefix}{}.", key.name), keys));
        }
    }
    text
}
