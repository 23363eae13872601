//! The order of the house: floors, doors, heads, sizes, names (`ARCHITECTURE.md`).
//!
//! Reads the sources as text. Test code in `src` may use what it likes.
#![expect(
    clippy::disallowed_methods,
    reason = "documents of ours need no particular mode"
)]

#[cfg(test)]
mod circles;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod source;

#[cfg(test)]
mod tidy {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use crate::source::{files, masked, product, root, rust_files as sources, text, type_names};

    /// A room of `src`: it may use the rooms of lower floors, and those beside it that are named.
    struct Room {
        name: &'static str,
        floor: u8,
        beside: &'static [&'static str],
        /// Rooms of lower floors that it may not use after all.
        never: &'static [&'static str],
    }

    const fn room(name: &'static str, floor: u8, beside: &'static [&'static str]) -> Room {
        Room {
            name,
            floor,
            beside,
            never: &[],
        }
    }

    const ROOMS: &[Room] = &[
        // nouns and the operating system
        room("model", 0, &[]),
        room("sys", 0, &["model"]),
        // rules: pure
        room("access", 1, &["cert"]),
        room("agent", 1, &[]),
        room("cert", 1, &[]),
        room("openssh", 1, &[]),
        room("recording", 1, &[]),
        room("relay", 1, &["access", "wire"]),
        room("wire", 1, &["cert"]),
        // doors to one foreign system each
        room("audit", 2, &[]),
        room("dns", 2, &[]),
        room("ipc", 2, &[]),
        room("metrics", 2, &["audit"]),
        room("net", 2, &["metrics"]),
        room("store", 2, &[]),
        // CAs with durable state: not each other
        room("ca", 3, &[]),
        room("nodes", 3, &[]),
        // It speaks with strangers over HTTP: nothing but what it is told.
        Room {
            name: "oidc",
            floor: 3,
            beside: &[],
            never: &[
                "access",
                "agent",
                "audit",
                "cert",
                "dns",
                "ipc",
                "metrics",
                "net",
                "openssh",
                "recording",
                "relay",
                "store",
                "wire",
            ],
        },
        Room {
            name: "state",
            floor: 3,
            beside: &["ca"],
            never: &["dns", "recording", "relay", "store", "wire"],
        },
        // the live session
        Room {
            name: "session",
            floor: 4,
            beside: &[],
            never: &["ca", "nodes", "oidc", "state"],
        },
        // people
        Room {
            name: "people",
            floor: 4,
            beside: &[],
            never: &["dns", "recording", "relay", "store", "wire"],
        },
        // hosts that join
        Room {
            name: "enrolment",
            floor: 4,
            beside: &[],
            never: &[
                "dns",
                "nodes",
                "oidc",
                "openssh",
                "recording",
                "relay",
                "store",
                "wire",
            ],
        },
        // SSH over sockets: it asks the process that has the credentials
        Room {
            name: "ssh",
            floor: 5,
            beside: &[],
            never: &["enrolment", "oidc", "people", "state"],
        },
        // what is not SSH
        room("control", 6, &[]),
        Room {
            name: "web",
            floor: 6,
            beside: &[],
            never: &["enrolment", "oidc", "people", "ssh", "state"],
        },
        // assembly
        room("config", 7, &[]),
        Room {
            name: "worker",
            floor: 7,
            beside: &["config", "monitor"],
            never: &["enrolment", "oidc", "people", "state"],
        },
        Room {
            name: "web_service",
            floor: 7,
            beside: &["config", "monitor"],
            never: &["enrolment", "oidc", "people", "ssh", "state"],
        },
        // It reads nothing that comes from the network either, and has the secrets.
        Room {
            name: "auth",
            floor: 7,
            beside: &["config", "monitor"],
            never: &[
                "dns",
                "nodes",
                "openssh",
                "recording",
                "relay",
                "session",
                "ssh",
                "store",
                "web",
                "wire",
            ],
        },
        // It reads nothing that comes from the network.
        Room {
            name: "monitor",
            floor: 7,
            beside: &["config"],
            never: &[
                "dns",
                "nodes",
                "openssh",
                "recording",
                "relay",
                "session",
                "ssh",
                "store",
                "web",
                "wire",
            ],
        },
        // the command line
        room("cli", 8, &[]),
    ];

    /// Foreign crates that only these rooms may name: a crate can be replaced by a change of these
    /// rooms alone.
    const DOORS: &[(&str, &[&str])] = &[
        ("argon2", &["people"]),
        ("avt", &["recording"]),
        ("axum", &["web"]),
        ("aws_lc_rs", &["cert", "config", "state", "web", "wire"]),
        ("clap", &["cli"]),
        ("crypto_bigint", &["wire"]),
        ("dialoguer", &["cli"]),
        ("form_urlencoded", &["web"]),
        ("hickory_resolver", &["dns"]),
        ("http_body_util", &["web"]),
        ("hyper", &["web"]),
        ("hyper_util", &["web"]),
        ("indicatif", &["cli"]),
        ("landlock", &["sys"]),
        ("libc", &["sys"]),
        ("openidconnect", &["oidc"]),
        ("postgres", &["state"]),
        ("prometheus_client", &["metrics"]),
        ("rusqlite", &["state"]),
        ("rcgen", &["auth"]),
        ("rustls", &["auth", "oidc", "state"]),
        ("rustls_native_certs", &["oidc", "state"]),
        ("saphyr_parser", &["config"]),
        ("listenfd", &["monitor"]),
        ("qrcode", &["people"]),
        ("sd_notify", &["monitor"]),
        ("seccompiler", &["sys"]),
        ("sntrup761", &["wire"]),
        (
            "tokio",
            &[
                "auth",
                "cli",
                "control",
                "worker",
                "dns",
                "monitor",
                "net",
                "session",
                "ssh",
                "state",
                "web",
                "web_service",
            ],
        ),
        ("tokio_rustls", &["state", "web"]),
        ("totp_rs", &["people"]),
        ("tower", &["web"]),
        (
            "tokio_util",
            &["control", "worker", "net", "session", "ssh", "web"],
        ),
        ("tracing_subscriber", &["cli"]),
        ("ureq", &["oidc"]),
        ("unicode_width", &["cli"]),
        ("vte", &["recording"]),
        ("zstd", &["recording"]),
    ];

    /// Rooms that parse what comes from the network, and the one that assembles them. `nodes` parses
    /// nothing: it is the inventory, which people are shown too, and hands names on to `dns`.
    const READERS: &[&str] = &[
        "dns",
        "recording",
        "relay",
        "session",
        "ssh",
        "store",
        "web",
        "web_service",
        "wire",
        "worker",
    ];

    /// Rooms that have credentials, or decide about them.
    const KEEPERS: &[&str] = &["auth", "enrolment", "oidc", "people", "state"];

    /// Crates that parse what comes from the network.
    const PARSERS: &[&str] = &[
        "axum",
        "hickory_resolver",
        "http_body_util",
        "hyper",
        "hyper_util",
    ];

    /// What has the CAs' private keys, or signs with them: not for [`READERS`].
    const KEY_HOLDERS: &[&str] = &[
        "Authorities",
        "Authority",
        "CaRecords",
        "ImportedKey",
        "Installation",
        "Issuer",
        "IssuingRules",
        "KeyFile",
        "KeyOwner",
        "LockedKey",
    ];

    /// File names that forbid nothing and so collect everything.
    const DRAWERS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

    /// Ends of type names that say nothing.
    const EMPTY_NAMES: &[&str] = &["Data", "Handler", "Helper", "Info", "Manager", "Utils"];

    #[test]
    fn rooms_use_only_what_is_below_them() {
        let mut wrong = Vec::new();
        for source in product() {
            let file = &source.path;
            let Some(room) = room_of(file) else { continue };
            for used in rooms_used(&source.code) {
                if !may_use(room, &used) {
                    wrong.push(format!(
                        "{}: {} (floor {}) may not use {used}: a room uses lower floors, and \
                         beside it only {:?}",
                        file.display(),
                        room.name,
                        room.floor,
                        room.beside,
                    ));
                }
            }
        }
        complain(&wrong);
    }

    /// What parses SSH or HTTP does not reach credentials, and the other way round: a mistake in the one
    /// yields nothing of the other.
    #[test]
    fn the_network_and_the_credentials_are_apart() {
        let room = |name: &str| {
            let found = ROOMS.iter().find(|room| room.name == name);
            found.unwrap_or_else(|| panic!("no room {name}"))
        };
        let mut wrong = Vec::new();
        for reader in READERS.iter().map(|name| room(name)) {
            for keeper in KEEPERS.iter().map(|name| room(name)) {
                let pairs = [(reader, keeper), (keeper, reader)];
                let allowed = pairs.iter().filter(|(one, other)| may_use(one, other.name));
                wrong.extend(allowed.map(|(one, other)| {
                    format!("{} may use {}, and must not", one.name, other.name)
                }));
            }
        }
        for (krate, doors) in DOORS.iter().filter(|(krate, _)| PARSERS.contains(krate)) {
            let keepers = doors.iter().filter(|door| KEEPERS.contains(door));
            wrong.extend(keepers.map(|door| format!("{door} may use the crate {krate}")));
        }
        for source in product() {
            let Some(room) = room_of(&source.path) else {
                continue;
            };
            let taken = names_of("ca", &source.code);
            let held = taken.iter().filter(|name| KEY_HOLDERS.contains(&&***name));
            if READERS.contains(&room.name) {
                wrong.extend(held.map(|name| {
                    format!("{}: ca::{name} has the CAs' keys", source.path.display())
                }));
            }
        }
        complain(&wrong);
    }

    #[test]
    fn every_room_is_on_a_floor() {
        let lib = text(Path::new("src/lib.rs"));
        let declared: BTreeSet<_> = lib
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
            .collect();
        let placed: BTreeSet<_> = ROOMS.iter().map(|room| room.name).collect();
        assert_eq!(
            declared, placed,
            "src/lib.rs and the table of tests/tidy differ"
        );
    }

    /// `RPROXY_TEST_BLESS=1` writes the table instead.
    #[test]
    fn the_architecture_shows_these_rooms() {
        const FILE: &str = "ARCHITECTURE.md";
        let shown = text(Path::new(FILE));
        let (before, rest) = shown
            .split_once("<!-- begin rooms -->\n")
            .expect("the beginning of the table");
        let (table, after) = rest
            .split_once("<!-- end rooms -->")
            .expect("the end of the table");
        let expected = rooms_as_markdown();
        if std::env::var_os("RPROXY_TEST_BLESS").is_some() {
            let text = format!("{before}<!-- begin rooms -->\n{expected}<!-- end rooms -->{after}");
            std::fs::write(root().join(FILE), text).expect("a writable file");
            return;
        }
        assert_eq!(
            table, expected,
            "{FILE} shows other rooms: run this test with RPROXY_TEST_BLESS=1"
        );
    }

    #[test]
    fn foreign_crates_have_one_door() {
        let mut wrong = Vec::new();
        for source in product() {
            let (file, code) = (&source.path, &source.code);
            let Some(room) = room_of(file) else { continue };
            for (krate, doors) in DOORS {
                if names_crate(code, krate) && !doors.contains(&room.name) {
                    wrong.push(format!(
                        "{}: only {doors:?} may use the crate {krate}",
                        file.display()
                    ));
                }
            }
        }
        complain(&wrong);
    }

    /// What is allowed and no longer needed is taken off the list, or it hides the next mistake.
    #[test]
    fn no_exception_is_stale() {
        let mut used = BTreeSet::new();
        for source in product() {
            let Some(room) = room_of(&source.path) else {
                continue;
            };
            used.extend(
                rooms_used(&source.code)
                    .into_iter()
                    .map(|other| (room.name, other)),
            );
            let crates = DOORS.iter().map(|(krate, _)| *krate);
            let named = crates.filter(|krate| names_crate(&source.code, krate));
            used.extend(named.map(|krate| (room.name, krate.to_owned())));
        }
        let mut wrong = Vec::new();
        for room in ROOMS {
            for other in room.beside {
                if !used.contains(&(room.name, (*other).to_owned())) {
                    wrong.push(format!("{} no longer uses {other} beside it", room.name));
                }
            }
        }
        for (krate, doors) in DOORS {
            for door in *doors {
                if !used.contains(&(*door, (*krate).to_owned())) {
                    wrong.push(format!("{door} no longer uses the crate {krate}"));
                }
            }
        }
        complain(&wrong);
    }

    #[test]
    fn every_file_says_what_it_is_for() {
        let wrong: Vec<_> = sources("src")
            .into_iter()
            .chain(sources("tests"))
            .filter(|file| !text(file).starts_with("//! "))
            .map(|file| format!("{}: begins without a `//!` head", file.display()))
            .collect();
        complain(&wrong);
    }

    #[test]
    fn names_say_something() {
        let mut wrong = Vec::new();
        for file in sources("src").into_iter().chain(sources("tests/e2e")) {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            if DRAWERS.contains(&&*stem) {
                wrong.push(format!("{}: a drawer; name what is in it", file.display()));
            }
            for line in text(&file).lines() {
                let line = line.trim_start();
                if line.contains("fn get_") {
                    wrong.push(format!("{}: no `get_`: {line}", file.display()));
                }
            }
            for name in type_names(&masked(&text(&file))) {
                if EMPTY_NAMES.iter().any(|empty| name.ends_with(empty)) {
                    wrong.push(format!("{}: {name} says nothing", file.display()));
                }
            }
        }
        complain(&wrong);
    }

    /// What decides about single characters of foreign text, or escapes them.
    const ESCAPES: &[&str] = &[
        "is_control(",
        "::is_control",
        "is_ascii_control",
        "escape_debug",
        "escape_default",
        "escape_unicode",
    ];

    /// Files that may, and why.
    const MAY_ESCAPE: &[(&str, &str)] = &[
        ("src/model/text.rs", "the door"),
        (
            "src/access/pattern.rs",
            "a rule may name whatever a certificate of others says, also if it cannot be seen",
        ),
        (
            "src/recording/sanitizer.rs",
            "a terminal's own output: controls are left out of a replay, not shown",
        ),
        (
            "src/cli/auth/revoke.rs",
            "what is revoked is what a certificate says, also if it cannot be seen",
        ),
    ];

    /// Foreign text reaches terminals, tables and logs by one door, which knows of more than control
    /// characters.
    #[test]
    fn foreign_text_has_one_door() {
        let mut wrong = Vec::new();
        for source in product() {
            let (file, code) = (&source.path, &source.code);
            let found = ESCAPES.iter().find(|escape| code.contains(**escape));
            let may = MAY_ESCAPE.iter().any(|(name, _)| Path::new(name) == *file);
            match found {
                Some(escape) if !may => wrong.push(format!(
                    "{}: `{escape}`: model::text is the door for foreign text",
                    file.display()
                )),
                None if may => wrong.push(format!("{}: needs no exception", file.display())),
                _ => {}
            }
        }
        let stale = MAY_ESCAPE
            .iter()
            .filter(|(name, _)| !root().join(name).is_file());
        wrong.extend(stale.map(|(name, _)| format!("{name}: an exception for no file")));
        complain(&wrong);
    }

    /// How the names of what stands in the data directory are written as paths are made of them.
    const DATA_PATHS: &[&str] = &[
        "\"audit.jsonl\"",
        "\"issued.jsonl\"",
        "\"revoked.jsonl\"",
        "\"serve.lock\"",
        "(\"ca\")",
        "(\"control\")",
        "(\"recordings\")",
        "= \"ca\"",
        "= \"control\"",
        "= \"recordings\"",
        "data_dir.path().join(",
    ];

    /// The file that may.
    const DATA_DIR: &str = "src/model/data_dir.rs";

    /// Where something stands in the data directory is said once.
    #[test]
    fn paths_in_the_data_directory_are_made_in_one_place() {
        let mut wrong = Vec::new();
        for source in product() {
            let file = &source.path;
            // What stands in literals is blank in the code, but not in the file.
            let whole = text(file);
            let lines = source.code.lines().zip(whole.lines());
            let lines = lines.filter(|(code, _)| !code.trim().is_empty());
            let code: String = lines.map(|(_, line)| format!("{line}\n")).collect();
            let found: Vec<_> = DATA_PATHS
                .iter()
                .filter(|path| code.contains(**path))
                .collect();
            if *file == Path::new(DATA_DIR) {
                assert!(!found.is_empty(), "{DATA_DIR} names no files");
                continue;
            }
            wrong.extend(found.into_iter().map(|path| {
                format!(
                    "{}: `{path}`: model::DataDir says where it is",
                    file.display()
                )
            }));
        }
        complain(&wrong);
    }

    /// The file that makes sign-ins: there the answer of the process with the state arrives.
    const MAKES_SIGN_INS: &str = "src/ssh/sign_in.rs";

    #[test]
    fn sign_ins_are_made_in_one_place() {
        let makes = |code: &str| {
            let mut places = code.match_indices("SignIn::new(");
            places.any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let all = product().into_iter();
        let makers: Vec<_> = all.filter(|source| makes(&source.code)).collect();
        let files: Vec<_> = makers.iter().map(|source| source.path.as_path()).collect();
        assert_eq!(files, [Path::new(MAKES_SIGN_INS)]);
    }

    /// What is left to do is not left in the sources.
    #[test]
    fn nothing_is_left_for_later() {
        // Written in halves, or this file would be the first to be found.
        let marks = [
            ("TO", "DO"),
            ("FIX", "ME"),
            ("XX", "X:"),
            ("HA", "CK:"),
            ("WI", "P:"),
        ]
        .map(|(first, second)| format!("{first}{second}"));
        let unfinished = ["under ", "construction"].concat();
        let mut wrong = Vec::new();
        for file in everything() {
            for (number, line) in text(&file).lines().enumerate() {
                if marks.iter().any(|mark| line.contains(mark)) || line.contains(&unfinished) {
                    wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
                }
            }
        }
        complain(&wrong);
    }

    /// A test module that is not declared is never run, and the compiler does not report it.
    #[test]
    fn no_test_module_is_forgotten() {
        let mut wrong = Vec::new();
        for file in sources("tests/e2e") {
            let (stem, parent) = (file.file_stem(), file.parent());
            let (Some(stem), Some(parent)) = (stem, parent) else {
                continue;
            };
            let (name, parent) = match stem.to_str() {
                Some("main") | None => continue,
                Some("mod") => (
                    parent.file_name().unwrap_or_default().to_string_lossy(),
                    parent.parent().unwrap_or(parent),
                ),
                Some(name) => (name.into(), parent),
            };
            let declared = ["main.rs", "mod.rs"]
                .iter()
                .map(|file| std::fs::read_to_string(root().join(parent).join(file)))
                .any(|text| text.unwrap_or_default().contains(&format!("mod {name};")));
            if !declared {
                wrong.push(format!("{}: no `mod {name};` for it", file.display()));
            }
        }
        complain(&wrong);
    }

    /// The table of rooms, the highest floor first.
    fn rooms_as_markdown() -> String {
        let quoted = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        let mut table = "| floor | room | beside it | never | crates that few rooms may name |\n\
                         |---|---|---|---|---|\n"
            .to_owned();
        for room in ROOMS.iter().rev() {
            let crates: Vec<_> = DOORS
                .iter()
                .filter(|(_, doors)| doors.contains(&room.name))
                .map(|(krate, _)| *krate)
                .collect();
            table.push_str(&format!(
                "| {} | `{}` | {} | {} | {} |\n",
                room.floor,
                room.name,
                quoted(room.beside),
                quoted(room.never),
                quoted(&crates),
            ));
        }
        table
    }

    pub(crate) fn complain(wrong: &[String]) {
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    // --- reading ----------------------------------------------------------------------------------

    /// All text that people write here.
    fn everything() -> Vec<PathBuf> {
        let kinds = ["md", "rs", "sh", "toml", "yaml"];
        let mut all: Vec<_> = ["src", "tests", "contrib"]
            .iter()
            .flat_map(|dir| files(Path::new(dir)))
            .chain(files(Path::new("docs")))
            .chain(
                [
                    "ARCHITECTURE.md",
                    "CHANGELOG.md",
                    "Cargo.toml",
                    "README.md",
                    "SECURITY.md",
                ]
                .map(PathBuf::from),
            )
            .collect();
        all.retain(|file| {
            let extension = file.extension().unwrap_or_default().to_string_lossy();
            kinds.contains(&&*extension)
        });
        all
    }

    /// The room that a file of `src` is in; none for `lib.rs` and `main.rs`.
    fn room_of(file: &Path) -> Option<&'static Room> {
        let name = file.iter().nth(1)?.to_str()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        ROOMS.iter().find(|room| room.name == name)
    }

    fn may_use(room: &Room, used: &str) -> bool {
        let Some(other) = ROOMS.iter().find(|other| other.name == used) else {
            // Something of lib.rs itself; the compiler knows better.
            return true;
        };
        other.name == room.name
            || room.beside.contains(&other.name)
            || (other.floor < room.floor && !room.never.contains(&other.name))
    }

    /// A file that names what its room must not is found.
    #[test]
    fn a_wall_that_is_broken_is_noticed() {
        let breaks = |file: &str, code: &str| {
            let room = room_of(Path::new(file)).expect("a room");
            rooms_used(code).iter().any(|used| !may_use(room, used))
        };
        for reader in READERS {
            let file = format!("src/{reader}/new.rs");
            for keeper in KEEPERS {
                let code = format!("use crate::{keeper}::Secret;");
                assert!(breaks(&file, &code), "{file}: {code}");
            }
        }
        for keeper in KEEPERS {
            let file = format!("src/{keeper}/new.rs");
            for reader in READERS {
                let code = format!("fn f() {{ crate::{{model, {reader}::Parser}} }}");
                assert!(breaks(&file, &code), "{file}: {code}");
            }
        }
        assert!(!breaks("src/ssh/new.rs", "use crate::ipc::People;"));
        assert!(!breaks("src/auth/new.rs", "use crate::state::State;"));
    }

    /// The rooms behind `crate::room` and `crate::{room, ..}`.
    fn rooms_used(code: &str) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                None => used.extend(word(rest)),
                Some(group) => used.extend(top_level(group).into_iter().filter_map(word)),
            }
        }
        used
    }

    /// What code names of a room: `room::name` and `room::{name, ..}`.
    fn names_of(room: &str, code: &str) -> BTreeSet<String> {
        let path = format!("{room}::");
        let mut names = BTreeSet::new();
        for (at, _) in code.match_indices(&path) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + path.len()..];
            match rest.strip_prefix('{') {
                None => names.extend(word(rest)),
                Some(group) => names.extend(top_level(group).into_iter().filter_map(word)),
            }
        }
        names
    }

    /// The first word of a path.
    fn word(path: &str) -> Option<String> {
        let word: String = path
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        (!word.is_empty()).then_some(word)
    }

    /// The parts of a `{..}` group, inner groups left whole.
    fn top_level(group: &str) -> Vec<&str> {
        let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    parts.push(&group[begin..at]);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&group[begin..at]);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        parts
    }

    /// Whether code names a crate: `krate::`, and not as the end of a longer word or path.
    fn names_crate(code: &str, krate: &str) -> bool {
        let path = format!("{krate}::");
        code.match_indices(&path).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        })
    }

    #[test]
    fn the_reading_itself_is_right() {
        assert_eq!(
            rooms_used("use crate::{model::{A, B}, sys};\ncrate::cert::x()"),
            ["cert", "model", "sys"].map(str::to_owned).into()
        );
        assert!(names_crate("use zstd::Encoder;", "zstd"));
        assert!(!names_crate("use crate::zstd::x; my_zstd::y()", "zstd"));
        assert!(!may_use(&ROOMS[0], "cli"));
        assert_eq!(
            names_of("ca", "use crate::{ca::{A, B}, sys};\nca::C::x(); my_ca::D"),
            ["A", "B", "C"].map(str::to_owned).into()
        );
    }
}
