//! The scenarios of the parity suite.

use super::Step::{Await, Resize, Type};
use super::{How, Scenario, exec};

/// How commands end.
pub(super) const ENDS: &[Scenario] = &[
    exec("success", "true"),
    exec("failure", "false"),
    exec("a status", "exit 7"),
    exec("the highest status", "exit 255"),
    exec("a status beyond a byte", "exit 300"),
    exec("no such command", "no-such-command"),
    exec("not executable", "/etc/passwd"),
    exec("a syntax error", "if"),
    exec("SIGHUP", "kill -HUP $$"),
    exec("SIGTERM", "echo before; kill -TERM $$"),
    exec("SIGKILL", "echo before >&2; kill -KILL $$"),
    exec("SIGSEGV", "ulimit -c 0; kill -SEGV $$"),
    exec("SIGPIPE", "kill -PIPE $$"),
    exec("SIGUSR1", "kill -USR1 $$"),
    exec("an empty command", ":"),
    exec("a command of many lines", "echo one\necho two\nexit 2"),
    exec("quotes", "printf '%s|' \"a b\" 'c\"d' e\\ f"),
    exec("a shell without a terminal", "")
        .shell()
        .stdin(b"echo from the shell\nexit 4\n"),
    exec("a shell that is told nothing", "").shell().stdin(b""),
];

/// The data of the streams.
pub(super) const STREAMS: &[Scenario] = &[
    exec("no newline", "printf 'no newline'"),
    exec("standard error alone", "echo err >&2"),
    exec("both streams", "echo out; echo err >&2; exit 3"),
    exec("NULs", "head -c 5000 /dev/zero; head -c 10 /dev/zero >&2"),
    exec(
        "not UTF-8",
        "printf '\\377\\376\\200caf\\303'; sleep 0.1; printf '\\251'",
    ),
    exec("a mebibyte of output", "seq 1 200000"),
    exec("a mebibyte of errors", "seq 1 100000 >&2"),
    exec("both at full speed", "seq 1 50000 & seq 1 50000 >&2; wait"),
    exec(
        "single bytes",
        "for i in 1 2 3 4 5 6 7 8 9; do printf $i; done",
    ),
    exec("an echo", "cat").stdin(b"typed in\n\0\xff"),
    exec("input counted", "wc -c").how(How::Piped(&[b'x'; 1000], 1000)),
    exec("input and output at full speed", "cat").how(How::Piped(b"0123456789abcdef", 60_000)),
    exec("input to both", "tee /dev/stderr").stdin(b"twice"),
    exec("input that nobody reads", "true").how(How::Piped(&[b'x'; 1000], 1000)),
    exec("input that is read in part", "head -c 3; cat >&2").stdin(b"typed in"),
    exec("no input", "cat; echo end").options(&["-n"]),
    exec("compression", "cat; seq 1 20000")
        .options(&["-C"])
        .how(How::Piped(b"compressible ", 20_000)),
    exec("keys exchanged again and again", "cat; seq 1 20000 >&2")
        .options(&["-o", "RekeyLimit=16K"])
        .how(How::Piped(b"0123456789abcdef", 10_000)),
];

/// The order and the time in which streams end.
pub(super) const TIMING: &[Scenario] = &[
    exec("a pause in the output", "echo a; sleep 0.4; echo b"),
    exec(
        "output closed first",
        "echo x; exec >&-; sleep 0.3; echo y >&2; exit 5",
    ),
    exec(
        "errors closed first",
        "echo x; exec 2>&-; sleep 0.3; echo y; exit 5",
    ),
    exec(
        "all closed first",
        "echo x; exec <&- >&- 2>&-; sleep 0.3; exit 6",
    ),
    exec("input closed first", "exec <&-; sleep 0.2; echo y").how(How::Piped(b"unread", 20_000)),
    exec(
        "an answer to the end of input",
        "cat >/dev/null; sleep 0.2; echo end",
    )
    .stdin(b"x"),
    exec("a child that keeps the output", "sleep 0.5 & echo parent"),
    exec(
        "a child that lets go",
        "sleep 20 </dev/null >/dev/null 2>&1 & echo parent",
    ),
    exec(
        "a child that writes later",
        "(sleep 0.4; echo child) & echo parent; exit 9",
    ),
    exec(
        "errors after the output's end",
        "echo x; exec >&-; sleep 0.2; seq 1 1000 >&2",
    ),
    exec("a listener that hangs up", "yes").how(How::HangUp(1000)),
    exec(
        "a listener that hangs up on little",
        // The command must not end by itself: whether its exit status or the client's CLOSE comes first
        // is a race, also without a proxy.
        "echo x; cat >/dev/null; while printf 'y\\n'; do sleep 0.1; done",
    )
    .how(How::HangUp(1)),
    exec(
        "a listener that hangs up without an effect",
        "echo x; cat >/dev/null",
    )
    .how(How::HangUp(1)),
];

/// The environment of the command.
pub(super) const ENVIRONMENT: &[Scenario] = &[
    exec("the whole environment", "env | grep -v '^SSH_' | sort"),
    exec("which variables there are", "env | cut -d= -f1 | sort"),
    exec("a language", "echo \"<$LANG> <$LC_ALL>\"")
        .env(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]),
    exec("a variable that the host refuses", "echo \"<$FOO>\"").options(&["-o", "SetEnv=FOO=1"]),
    exec("a loader's variable", "echo \"<$LD_PRELOAD>\"").options(&["-o", "SetEnv=LD_PRELOAD=/x"]),
    exec("an empty value", "echo \"<${LC_EMPTY-unset}>\"").options(&["-o", "SetEnv=LC_EMPTY="]),
    exec("an awkward value", "printf '<%s>' \"$LC_ODD\"")
        .env(&[("LC_ODD", "a\nb\t\"$HOME'`ls` blåbär")]),
    exec("many variables", "env | grep LC_ | sort")
        .options(&["-o", "SetEnv=LC_A=1 LC_B=2 LC_C=3 LC_D=4"]),
    exec("the terminal's name without one", "echo \"<$TERM>\"").options(&["-o", "SendEnv=TERM"]),
    exec("no agent", "echo \"<$SSH_AUTH_SOCK>\""),
    exec("no display", "echo \"<$DISPLAY>\""),
    exec(
        "directory, shell and flags",
        "pwd; echo $0 $-; umask; id; ulimit -a",
    ),
    exec(
        "how input and output look",
        "for i in 0 1 2; do test -t $i; echo $?; test -p /dev/fd/$i; echo $?; done",
    ),
];

/// Terminals.
pub(super) const TERMINALS: &[Scenario] = &[
    exec("terminal modes", "stty -a")
        .options(&["-tt"])
        .terminal(24, 80, &[]),
    exec("other terminal modes", "stty -a")
        .options(&["-tt"])
        .how(How::Terminal(
            24,
            80,
            "-echo -icanon intr ^X ixany -ixon cs7 parenb iutf8 9600",
            &[],
        )),
    exec("a raw terminal", "stty -a")
        .options(&["-tt"])
        .how(How::Terminal(24, 80, "raw -echo", &[])),
    exec("its size", "stty size; echo $TERM")
        .options(&["-tt"])
        .terminal(51, 133, &[]),
    exec("no size", "stty size")
        .options(&["-tt"])
        .terminal(0, 0, &[]),
    exec("one by one", "stty size; seq 1 20")
        .options(&["-tt"])
        .terminal(1, 1, &[]),
    exec("an enormous one", "stty size")
        .options(&["-tt"])
        .terminal(65_535, 65_535, &[]),
    exec("another name", "echo $TERM")
        .options(&["-tt"])
        .env(&[("TERM", "vt100")])
        .terminal(24, 80, &[]),
    exec("a name that is none", "echo \"<$TERM>\"")
        .options(&["-tt"])
        .env(&[("TERM", "")])
        .terminal(24, 80, &[]),
    exec("its variables", "env | cut -d= -f1 | sort")
        .options(&["-tt"])
        .terminal(24, 80, &[]),
    exec("no terminal in one", "test -t 0 || echo none")
        .options(&["-T"])
        .terminal(24, 80, &[]),
    exec("one stream in a terminal", "echo out; echo err >&2; exit 3")
        .options(&["-tt"])
        .terminal(24, 80, &[]),
    exec(
        "a resize",
        "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done",
    )
    .options(&["-tt"])
    .terminal(
        24,
        80,
        &[Await("ready\r\n"), Resize(40, 100), Await("40 100\r\n")],
    ),
    // The order of the terminal's echo and of the trap's output is a race.
    exec(
        "Ctrl-C",
        "stty -echo; trap 'echo caught; exit 3' INT; echo ready; sleep 30 >/dev/null 2>&1 & wait",
    )
    .options(&["-tt"])
    .terminal(24, 80, &[Await("ready\r\n"), Type("\x03")]),
    exec(
        "Ctrl-\\",
        "stty -echo; trap 'echo caught; exit 4' QUIT; echo ready; sleep 30 >/dev/null 2>&1 & wait",
    )
    .options(&["-tt"])
    .terminal(24, 80, &[Await("ready\r\n"), Type("\x1c")]),
    exec("Ctrl-D", "stty -echo; echo ready; cat; echo end")
        .options(&["-tt"])
        .terminal(
            24,
            80,
            &[
                Await("ready\r\n"),
                Type("x\r"),
                Await("x\r\n"),
                Type("\x04"),
            ],
        ),
    exec("an echoed line", "echo ready; read -r line; echo got $line")
        .options(&["-tt"])
        .terminal(
            24,
            80,
            &[Await("ready\r\n"), Type("words\r"), Await("got words\r\n")],
        ),
    exec(
        "a hidden line",
        "stty -echo; echo ready; read -r line; echo got $line",
    )
    .options(&["-tt"])
    .terminal(
        24,
        80,
        &[Await("ready\r\n"), Type("words\r"), Await("got words\r\n")],
    ),
    exec("flow control", "echo ready; read -r line; echo got $line")
        .options(&["-tt"])
        .terminal(
            24,
            80,
            &[
                Await("ready\r\n"),
                Type("\x13wo\x11rds\r"),
                Await("got words\r\n"),
            ],
        ),
    exec("disconnecting by ~.", "echo ready; sleep 30")
        .options(&["-tt", "-e", "~"])
        .terminal(24, 80, &[Await("ready\r\n"), Type("\r~.")]),
    exec(
        "a break",
        "stty -echo; echo ready; read -r a; echo first; read -r b; echo got $b",
    )
    .options(&["-tt", "-e", "~"])
    .terminal(
        24,
        80,
        &[
            Await("ready\r\n"),
            Type("\r"),
            Await("first\r\n"),
            Type("~B"),
            Type("x\r"),
            Await("got x\r\n"),
        ],
    ),
    exec("death by hang-up", "echo ready; kill -HUP $$")
        .options(&["-tt"])
        .terminal(24, 80, &[Await("ready\r\n")]),
    exec("a background job in a terminal", "sleep 20 & echo parent")
        .options(&["-tt"])
        .terminal(24, 80, &[]),
    exec(
        "a terminal that ssh has not itself",
        "stty -a; tty | cut -c1-9",
    )
    .options(&["-tt"]),
    exec("asking for one in vain", "test -t 0 || echo none").options(&["-t"]),
];

/// The requests that arrive at the client, and its own other requests.
pub(super) const REQUESTS: &[Scenario] = &[
    exec("exit-status", "exit 3").how(How::Requests),
    exec("exit-signal TERM", "kill -TERM $$").how(How::Requests),
    exec("exit-signal KILL", "kill -KILL $$").how(How::Requests),
    exec("eow", "exec <&-; sleep 0.2").how(How::Requests),
    exec("sftp's first packet", "sftp")
        .options(&["-s"])
        .how(How::Answered(b"\0\0\0\x05\x01\0\0\0\x03")),
    exec("no such subsystem", "nothing").options(&["-s"]),
    exec("keepalives", "sleep 2.2; echo alive").options(&["-o", "ServerAliveInterval=1"]),
    exec("no more sessions", "echo x").options(&[
        "-o",
        "ControlMaster=no",
        "-o",
        "ControlPath=none",
    ]),
    exec("X11 that has no display", "echo \"<$DISPLAY>\"").options(&["-X"]),
];

/// A host with `PermitTTY no` and a `ForceCommand`.
pub(super) const STRICT_HOST: &[Scenario] = &[
    exec("a forced command", "echo mine").stdin(b"input"),
    exec("a forced command for a shell", "")
        .shell()
        .stdin(b"input"),
    exec("a forced command for sftp", "sftp")
        .options(&["-s"])
        .stdin(b"input"),
    exec("no terminal is permitted", "echo mine")
        .options(&["-tt"])
        .stdin(b"input"),
];

pub(super) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        ENDS,
        STREAMS,
        TIMING,
        ENVIRONMENT,
        TERMINALS,
        REQUESTS,
        STRICT_HOST,
    ]
    .into_iter()
    .flatten()
}
