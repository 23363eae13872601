//! The documents are true: every command in a `console` block of `docs` is run, in the order of the
//! text, on a stage with a proxy, two hosts and a user; every test that is named exists.
//!
//! `stage::Stage::afterwards` does what the text asks the reader to do between two commands.

mod stage;

use std::path::{Path, PathBuf};

use crate::support::{keys, proxy};
use stage::{Stage, StageMachine};

/// Commands that are not run here, and why; the beginning of each, without `sudo`.
const CANNOT_RUN: &[(&str, &str)] = &[
    (
        "docker ",
        "no Docker engine is asked for; `compose` runs the scripts of the containers",
    ),
    (
        "cargo build --release",
        "builds what the tests were built from; `tests/docker/proxy.Dockerfile` does it too",
    ),
    (
        "web/build.sh",
        "builds what the tests were built with; `tests/run.sh` runs it",
    ),
    (
        "systemctl enable --now rproxy",
        "changes this machine; `tests/docs.rs` has systemd check the unit, `supervised` runs as under it",
    ),
    ("systemctl status rproxy", "no unit was started"),
    ("augenrules", "changes the kernel of this machine"),
    (
        "ausearch",
        "the kernel's audit is one for the whole machine; `host_audit` has records of its form",
    ),
    (
        "systemd-sysusers",
        "changes this machine; `tests/docs.rs` runs it with a root of its own",
    ),
    (
        "systemd-tmpfiles --create",
        "changes this machine; `tests/docs.rs` runs it with a root of its own",
    ),
];

/// A fenced block, with the word after the fence.
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) text: String,
    /// The last heading of level two above it.
    section: String,
}

/// The blocks of a document, those in lists too.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    let mut section = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                let block = Block {
                    kind: kind.to_owned(),
                    text: String::new(),
                    section: section.clone(),
                };
                open = Some((indent, block));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (None, Some((indent, block))) => {
                let line = line.get(*indent..).unwrap_or_default();
                block.text.push_str(&format!("{line}\n"));
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
            }
        }
    }
    assert!(open.is_none(), "a block without its end");
    blocks
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `docs/*.md`, sorted.
fn documents() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).expect("they are there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    paths
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a readable document")
}

fn name(path: &Path) -> String {
    let name = path.file_name().expect("a file");
    name.to_string_lossy().into_owned()
}

/// A command of a block.
struct Typed {
    machine: StageMachine,
    command: String,
    /// The part of its output that the document shows.
    shown: Vec<String>,
}

fn commands(block: &Block) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for line in block.text.lines() {
        let prompt = line.split_once("$ ");
        let is_prompt = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric());
        match prompt.filter(|(prompt, _)| is_prompt(prompt)) {
            Some((prompt, command)) => all.push(Typed {
                machine: StageMachine::of(prompt)
                    .unwrap_or_else(|| panic!("{line:?}: who is that?")),
                // Commands on the stage do not run as root, and do not need to.
                command: command.replace("sudo -u rproxy ", "").replace("sudo ", ""),
                shown: Vec::new(),
            }),
            None => {
                let last = all.last_mut();
                let last = last.unwrap_or_else(|| panic!("{line:?} comes before any command"));
                last.shown.push(line.trim().to_owned());
            }
        }
    }
    all
}

fn cannot_run(command: &str) -> bool {
    CANNOT_RUN
        .iter()
        .any(|(beginning, _)| command.starts_with(beginning))
}

/// Runs the blocks of a document, or of one of its sections. Gives how many commands were run.
fn run(blocks: &[&Block], stage: impl FnOnce() -> Stage) -> usize {
    let can_run = |block: &&&Block| {
        block.kind == "console"
            && commands(block)
                .iter()
                .any(|typed| !cannot_run(&typed.command))
    };
    if !blocks.iter().any(|block| can_run(&block)) {
        return 0;
    }
    let mut stage = stage();
    let mut count = 0;
    for block in blocks {
        match block.kind.as_str() {
            "yaml" => stage.configure(&block.text),
            "console" => {
                for typed in commands(block) {
                    if !cannot_run(&typed.command) {
                        stage.run(typed.machine, &typed.command, &typed.shown);
                        stage.afterwards(&typed.command);
                        count += 1;
                    }
                }
            }
            _ => {}
        }
    }
    count
}

fn run_document(name: &str, stage: impl FnOnce() -> Stage) -> usize {
    let blocks = blocks(&text(&root().join("docs").join(name)));
    run(&blocks.iter().collect::<Vec<_>>(), stage)
}

/// Documents whose commands are run on another stage than a running cluster.
const OTHER_STAGES: [&str; 5] = [
    "ca-keys.md",
    "getting-started.md",
    "installation.md",
    "migration.md",
    "operation.md",
];

#[test]
fn getting_started() {
    assert!(run_document("getting-started.md", Stage::empty) > 20);
}

#[test]
fn installation() {
    assert!(run_document("installation.md", Stage::empty) > 10);
}

#[test]
fn ca_keys() {
    assert!(run_document("ca-keys.md", Stage::configured) > 5);
}

/// Each section of the migration starts with a new stage.
#[test]
fn migration() {
    let blocks = blocks(&text(&root().join("docs/migration.md")));
    let mut count = 0;
    for section in [
        "From Teleport's recording proxy mode",
        "From a plain bastion",
        "The way back",
    ] {
        let blocks: Vec<_> = blocks
            .iter()
            .filter(|block| block.section == section)
            .collect();
        assert!(!blocks.is_empty(), "{section}");
        count += run(&blocks, Stage::serving);
    }
    let all = blocks.iter().filter(|block| block.kind == "console");
    let all: usize = all.map(|block| commands(block).len()).sum();
    assert_eq!(count, all, "a section was left out");
}

/// A rotation waits for hosts that have joined.
#[test]
fn operation() {
    if let Some(stage) = Stage::joined() {
        assert!(run_document("operation.md", || stage) > 3);
    }
}

/// All other documents, each with a running cluster.
#[test]
fn other_documents() {
    let mut count = 0;
    for path in documents() {
        if !OTHER_STAGES.contains(&name(&path).as_str()) {
            count += run_document(&name(&path), Stage::enrolled);
        }
    }
    assert!(count > 5, "the commands have been found");
}

/// Every exception is needed, and has a reason.
#[test]
fn exceptions_are_needed() {
    let all: Vec<_> = documents()
        .iter()
        .flat_map(|path| blocks(&text(path)))
        .filter(|block| block.kind == "console")
        .flat_map(|block| commands(&block))
        .collect();
    for (beginning, reason) in CANNOT_RUN {
        assert!(!reason.is_empty());
        let is_there = all.iter().any(|typed| typed.command.starts_with(beginning));
        assert!(is_there, "no document has {beginning:?}");
    }
}

/// A block of the type `yaml` is a configuration, or a part of one.
#[test]
fn every_configuration_is_accepted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("rproxy.yaml");
    let mut count = 0;
    for path in documents() {
        for block in blocks(&text(&path))
            .iter()
            .filter(|block| block.kind == "yaml")
        {
            std::fs::write(&file, &block.text).expect("a writable directory");
            let data = format!("--data-dir={}", dir.path().join("data").display());
            keys::tool(proxy::rproxy(&file).args(["serve", "--print-config", &data]));
            count += 1;
        }
    }
    assert!(count > 5, "the configurations have been found");
}

/// A block of the type `sh` is a test that the reader may repeat; all other commands are in
/// `console` blocks.
#[test]
fn tests_to_repeat_exist() {
    let sources: Vec<_> = keys::files(&root().join("tests/e2e"))
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    for path in documents() {
        for block in blocks(&text(&path))
            .iter()
            .filter(|block| block.kind == "sh")
        {
            for line in block.text.lines() {
                let test = line.strip_prefix("cargo test --test e2e ");
                let test = test.and_then(|rest| rest.split(' ').next());
                let wanted = format!("fn {}()", test.unwrap_or_else(|| panic!("{line}")));
                let found = sources.iter().any(|source| source.contains(&wanted));
                assert!(found, "{}: {line}", name(&path));
            }
        }
    }
}

/// `module::test` in a document is a test of this directory, or of a room of `src`.
#[test]
fn every_named_test_exists() {
    let mut count = 0;
    let documents = documents();
    for path in documents.iter().chain([&root().join("README.md")]) {
        let document = text(path);
        let names = document.split('`').filter(|word| {
            word.contains("::")
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ":_".contains(c))
        });
        for named in names {
            let (module, test) = named.rsplit_once("::").expect("it contains one");
            let place = root().join("tests/e2e").join(module.replace("::", "/"));
            let room = module.split("::").next().expect("it begins with one");
            let mut files = vec![place.with_extension("rs"), place.join("mod.rs")];
            files.extend(keys::files(&root().join("src").join(room)));
            let wanted = format!("fn {test}(");
            let found = files.iter().any(|file| {
                std::fs::read_to_string(file).is_ok_and(|source| source.contains(&wanted))
            });
            assert!(found, "{}: {named}", name(path));
            count += 1;
        }
    }
    assert!(count > 50, "the tables have been found: {count}");
}
