# Joins sessions of rproxy with the logins in a host's log. docs/host-audit.md says how to use it:
#
#   jq -nRc -f host-audit.jq audit.jsonl sshd.log
#
# It reads, in any order and line by line: rproxy's audit.jsonl; what `journalctl -o json` prints of
# sshd; syslog's files, and files of `sshd -E`; auditd's LOGIN records. It prints a line for each
# session, with `host` null if the log has no such login.
#
# A login is that of a session if sshd has logged the session's serial and port. Without a port
# (through a tunnel), and with `--arg by serial` (if NAT changes the port), the serial alone counts.
# Of several logins, the one whose time is the nearest is taken.

# Whole seconds since the epoch of an RFC 3339 time, in UTC or with an offset; null for other texts.
def seconds:
  capture("^(?<at>[0-9-]{10}T[0-9:]{8})(?:[.][0-9]+)?(?<zone>Z|(?<sign>[+-])(?<h>[0-9]{2}):(?<m>[0-9]{2}))$")
  | (if .sign == null then 0
     else (if .sign == "-" then -1 else 1 end) * ((.h | tonumber) * 3600 + (.m | tonumber) * 60) end) as $offset
  | (.at + "Z" | fromdateiso8601) - $offset;

# What sshd says about a certificate that it accepts. The text has to begin with it: sshd also logs
# names that clients choose.
def accepted:
  capture("^Accepted publickey for (?<login>.+) from (?<address>[^ ]+) port (?<port>[0-9]+) ssh2: .*ID (?<key_id>.*) \\(serial (?<serial>[0-9]+)\\) CA (?<ca>.*)$");

# The program, its process and its message, of a line of syslog; of `sshd -E` the message alone.
def syslog:
  (capture("^(?<time>[0-9-]{10}T[^ ]+) [^ ]+ sshd(-session)?\\[(?<pid>[0-9]+)\\]: (?<message>.*?)\r?$")
   // capture("^[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [^ ]+ sshd(-session)?\\[(?<pid>[0-9]+)\\]: (?<message>.*?)\r?$")
   // capture("^(?<message>Accepted publickey for .*?)\r?$"));

# A login in a line of the host's log, or nothing.
def login($json):
  if $json | type == "object" then
    $json | select(.MESSAGE | type == "string")
    | { message: .MESSAGE, pid: ._PID, at: ((.__REALTIME_TIMESTAMP // "") | tonumber? / 1000000 | floor) }
  else
    syslog | { message, pid, at: ((.time // "") | [seconds] | .[0]) }
  end
  | . as $line | .message | accepted
  | . + { pid: ($line.pid | if . == null then null else tonumber end), at: $line.at };

# Which audit session a process has got: from the kernel's LOGIN record, or from the journal.
def audit_session($json):
  if $json | type == "object" then
    $json | select(._AUDIT_SESSION != null and ._PID != null)
    | { pid: (._PID | tonumber), session: (._AUDIT_SESSION | tonumber), at: ((.__REALTIME_TIMESTAMP // "") | tonumber? / 1000000 | floor) }
  else
    capture("^(node=[^ ]+ )?type=LOGIN msg=audit\\((?<at>[0-9]+)[.0-9]*:[0-9]+\\): pid=(?<pid>[0-9]+) .*[^-]ses=(?<session>[0-9]+)")
    | { pid: (.pid | tonumber), session: (.session | tonumber), at: (.at | tonumber) }
  end;

# How far two times are apart; unknown ones are the farthest.
def apart($one; $other):
  if $one == null or $other == null then infinite else $one - $other | fabs end;

def port: capture(":(?<port>[0-9]+)$").port;

reduce inputs as $line (
  { sessions: [], entered: {}, logins: {}, audit: {} };
  (try ($line | fromjson) catch null) as $json
  | if ($json | type) == "object" and $json.code == "RP2001I" then
      .sessions += [$json]
    elif ($json | type) == "object" and $json.code == "RP1001I" and $json.leg == "host-authentication" then
      .entered[$json.connection // ""] = ($json.time | seconds)
    else
      reduce ($line | login($json)) as $login (.; .logins[$login.serial] += [$login])
      | reduce ($line | audit_session($json)) as $audit (.; .audit[$audit.pid | tostring] += [$audit])
    end
)
| . as $all
| .sessions[]
| . as $session
| ($all.entered[.connection] // (.time | seconds)) as $entered
| [ $all.logins[.serial // ""] // [] | .[]
    | select($session.egress_addr == null or $ARGS.named.by == "serial"
             or .port == ($session.egress_addr | port)) ]
| sort_by(apart(.at; $entered)) | .[0]
| . as $login
| { session: $session.session, connection: $session.connection, user: $session.user,
    login: $session.login, target: $session.target, command: $session.command,
    recording: $session.recording, serial: $session.serial, egress_addr: $session.egress_addr,
    time: $session.time,
    host: (if $login == null then null else
      { login: .login, address: .address, port: (.port | tonumber), key_id: .key_id, pid: .pid,
        # How many seconds the host's log is after the proxy's.
        seconds_after: (if .at == null then null else .at - $entered end),
        audit_session: ([ $all.audit[.pid | tostring] // [] | .[]
                          | select(apart(.at; $login.at) < 60) ]
                        | sort_by(apart(.at; $login.at)) | .[0].session) }
    end) }
