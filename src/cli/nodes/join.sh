#!/bin/sh
# Makes this host a node of an rproxy cluster, and keeps it one, with nothing but its own OpenSSH.
#
#   sh join.sh                          says what it changes, asks whether to, and asks for the token
#   sh join.sh --yes < token-file       for programs
#   sh join.sh --dry-run                only says what it would change
#   sh join.sh --leave                  removes everything again
#
#   --name NAME        a name by which users ask for this host; may be given again
#   --label KEY=VALUE  a label; may be given again. Later they are in the file `labels`
#   --address ADDRESS  where the proxy reaches this host [default: its own addresses]
#   --tunnel           keep a tunnel to the proxy open, for a host that cannot be reached
#   --yes              do not ask
#
# `rproxy nodes script` prints this script; there is no secret in it. It keeps a copy of itself,
# /etc/ssh/rproxy/node.sh, which a timer runs once a minute (`node.sh heartbeat`). It needs a POSIX shell and
# the programs ssh, ssh-keygen and sshd, 7.4 or newer. The host key stays where it is, and is what the proxy
# knows this host by. sshd is reloaded only if `sshd -t` takes the new files; otherwise they are restored.

# A variable of the environment stays in it: the token must not.
unset token
set -u

script_host='@PROXY_HOST@'
script_port='@PROXY_PORT@'
script_cluster='@CLUSTER@'
script_version='@VERSION@'
# The public keys of the host CA: the proxy has to prove itself by a certificate of one of them.
script_cas='@HOST_CAS@'

# The largest answer, and the largest revocation list that a proxy makes, in bytes.
max_answer=262144
max_revoked=67108864

# Tests run it below a directory of theirs.
root=${RPROXY_ROOT-}
newline='
'

main() {
    umask 022
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin
    LC_ALL=C
    export PATH LC_ALL
    unset SSH_AUTH_SOCK SSH_ASKPASS
    work='' agent_pid='' ssh_pid='' older='' lock='' echo_is_off='' token='' problem=''
    stopped='' marked='' account=''
    trap clean_up EXIT
    heed_signals

    mode=join yes='' dry='' tunnel_wanted='' later='' names='' labels='' addresses=''
    read_arguments "$@"
    find_host
    case $mode in
        join) join ;;
        leave) leave ;;
        heartbeat) run_heartbeat ;;
        tunnel) run_tunnel ;;
    esac
}

heed_signals() {
    trap 'exit 130' HUP INT TERM
}

# What is short and must not be left half done.
ignore_signals() {
    trap '' HUP INT TERM
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            heartbeat | tunnel) mode=$1 ;;
            --leave) mode=leave ;;
            --later) later=yes ;;
            --yes) yes=yes ;;
            --dry-run) dry=yes ;;
            --tunnel) tunnel_wanted=yes ;;
            --name | --label | --address)
                [ $# -ge 2 ] || fail "$1 needs a value"
                read_value "$1" "$2"
                shift
                ;;
            --name=* | --label=* | --address=*) read_value "${1%%=*}" "${1#*=}" ;;
            --help | -h)
                sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
                exit 0
                ;;
            *) fail "unknown argument $1: see --help" ;;
        esac
        shift
    done
}

read_value() {
    case $1 in
        --name)
            case $2 in
                '' | [!A-Za-z0-9_]* | *[!A-Za-z0-9._-]*) fail "$2 is no name for a host" ;;
            esac
            names=$names$(printf '%s' "$2" | tr '[:upper:]' '[:lower:]')$newline
            ;;
        --label)
            is_label "$2" || fail "$2 is no label: write it as --label env=prod"
            labels=$labels$2$newline
            ;;
        --address)
            case $2 in
                '' | *[!0-9A-Fa-f.:]*) fail "$2 is no address" ;;
            esac
            addresses=$addresses$2$newline
            ;;
    esac
}

# --- what this host is ----------------------------------------------------------------------------

# Where sshd and its configuration are, and what an earlier run has set up.
find_host() {
    for program in ssh ssh-keygen sshd; do
        command -v "$program" >/dev/null 2>&1 || fail "$program is missing: install OpenSSH"
    done
    sshd=$(command -v sshd)
    etc=$root/etc/ssh
    # FreeBSD's port has its own.
    if [ ! -f "$etc/sshd_config" ] && [ -f "$root/usr/local/etc/ssh/sshd_config" ]; then
        etc=$root/usr/local/etc/ssh
    fi
    sshd_config=$etc/sshd_config
    [ -f "$sshd_config" ] || fail "there is no $sshd_config"
    home=$etc/rproxy
    snippet=$etc/sshd_config.d/00-rproxy.conf
    run=$root/run
    [ -d "$run" ] || run=$root/var/run
    run=$run/rproxy-node
    block_begin="# rproxy: begin. Run sh $home/node.sh --leave to remove these lines."
    block_end='# rproxy: end'
    host=$script_host port=$script_port cluster=$script_cluster
    key='' also_user_ca='' also_revoked='' release=''
    if [ -f "$home/proxy" ]; then
        key=$(setting key)
        also_user_ca=$(setting also-user-ca)
        also_revoked=$(setting also-revoked)
    fi
}

# One value of what an earlier run has written.
setting() {
    while read -r word value; do
        if [ "$word" = "$1" ]; then
            printf '%s\n' "$value"
            return
        fi
    done <"$home/proxy"
}

# A directory for this run, in memory where the system has that: a full disk must not be in the way.
make_work() {
    old_umask=$(umask)
    umask 077
    for place in "${run%/rproxy-node}" "${TMPDIR:-/tmp}"; do
        if command -v mktemp >/dev/null 2>&1; then
            work=$(mktemp -d "$place/rproxy.XXXXXXXX" 2>/dev/null) || continue
        else
            # mkdir fails if the name is there, as a link too.
            mkdir "$place/rproxy.$$" 2>/dev/null || continue
            work=$place/rproxy.$$
        fi
        # A directory can be made where there is no room for files.
        head -c 1048576 /dev/zero 2>/dev/null >"$work/room" && break
        rm -rf "$work"
        work=''
    done
    umask "$old_umask"
    [ -n "$work" ] || fail "there is no room for temporary files in ${run%/rproxy-node} and ${TMPDIR:-/tmp}"
    rm -f "$work/room"
    : >"$work/journal"
    : >"$work/plan"
}

# Asks sshd about its configuration: the status, and $work/sshd.out and sshd.err.
ask_sshd() {
    "$sshd" "$1" -f "$2" </dev/null >"$work/sshd.out" 2>"$work/sshd.err" && return 0
    # Debian has it made by the unit of a running sshd only. It stays: sshd may have been started since.
    missing=$(plain <"$work/sshd.err" | sed -n 's/^Missing privilege separation directory: *//p' | head -n 1)
    case $missing in
        /run/* | /var/run/*)
            (umask 022 && mkdir -p "$missing") 2>/dev/null || return 1
            "$sshd" "$1" -f "$2" </dev/null >"$work/sshd.out" 2>"$work/sshd.err"
            ;;
        *) return 1 ;;
    esac
}

# The first thing that it does not like.
sshd_error() {
    plain <"$work/sshd.err" | { grep -v ': terminating, ' || echo "$sshd $sshd_config fails"; } | head -n 1 | cut -c 1-300
}

# What sshd makes of its configuration; $work/effective has it, keywords in lower case on every release.
look_at_sshd() {
    ask_sshd -T "$sshd_config" || return 1
    awk '{ $1 = tolower($1); print }' "$work/sshd.out" >"$work/effective"
}

effective() {
    awk -v word="$1" '$1 == word { $1 = ""; sub(/^ /, ""); print }' "$work/effective"
}

# The host key to certify: the one of an earlier run, or sshd's best.
choose_key() {
    effective hostkey >"$work/hostkeys"
    if [ -n "$key" ]; then
        grep -Fqx -- "$key" "$work/hostkeys" && [ -r "$key.pub" ] && return 0
        fail "sshd does not show $key any more: restore it, or leave and join again"
    fi
    for type in ssh-ed25519 ecdsa-sha2-nistp ssh-rsa; do
        while read -r file; do
            [ -r "$file" ] || continue
            case $(cat "$file.pub" 2>/dev/null) in
                $type*)
                    key=$file
                    return 0
                    ;;
            esac
        done <"$work/hostkeys"
    done
    fail "sshd shows no host key that this account can read: run it as root, or ssh-keygen -A makes keys"
}

fingerprints() {
    # Releases differ in what stands around it.
    ssh-keygen -l -f "$1" 2>/dev/null |
        awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^SHA256:/) { print $i; next } }'
}

# A line without control characters.
plain() {
    tr -d '\000-\011\013-\037\177'
}

is_label() {
    case $1 in
        # It would be a comment in the file.
        =* | '#'*) return 1 ;;
        *=*) ;;
        *) return 1 ;;
    esac
    case ${1%%=*} in
        *[[:space:]]*) return 1 ;;
    esac
    case $1 in
        *[[:cntrl:]]*) return 1 ;;
    esac
    [ ${#1} -le 320 ]
}

# The first problem of a run counts: the others often follow from it.
note_problem() {
    warn "$1"
    [ -n "$problem" ] || problem=$(printf '%s' "$1" | tr '\n' ' ' | plain | cut -c 1-500)
}

# --- labels ---------------------------------------------------------------------------------------

# `label KEY=VALUE` for each label of the file, then of the programs.
collect_labels() {
    : >"$work/labels"
    if [ -f "$work/new/labels" ]; then
        read_labels "$work/new/labels"
    elif [ -f "$home/labels" ]; then
        read_labels "$home/labels"
    fi
    deadline=$(($(date +%s) + 10))
    for file in "$home"/labels.d/*; do
        if [ ! -f "$file" ] || [ ! -x "$file" ]; then
            continue
        fi
        name=${file##*/}
        if ! is_private "$file" || ! is_private "$home/labels.d"; then
            note_problem "$file: others can write it, or it is a link, so it is not run"
        elif [ "$(date +%s)" -ge "$deadline" ]; then
            note_problem "$file: not run, the programs before it took too long"
        elif ! run_limited "$file"; then
            note_problem "$file: $why"
        else
            value=$(head -n 1 "$work/label" | head -c 321)
            if is_label "$name=$value"; then
                printf 'label %s=%s\n' "$name" "$value" >>"$work/labels"
            else
                note_problem "$file: what it prints is no value of a label"
            fi
        fi
    done
    head -n 64 "$work/labels"
}

read_labels() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            '' | '#'*) ;;
            *)
                if is_label "$line"; then
                    printf 'label %s\n' "$line" >>"$work/labels"
                else
                    note_problem "$home/labels has a line that is no label"
                fi
                ;;
        esac
    done <"$1"
}

# What others could change would be run as root.
is_private() {
    [ -n "$account" ] || account=$(id -u)
    owner=
    [ "$account" != 0 ] || owner='-user 0'
    # shellcheck disable=SC2086 # it is two words, or none
    [ -n "$(find "$1" -prune ! -perm -020 ! -perm -002 $owner 2>/dev/null)" ]
}

# Runs a program for five seconds at most; what it prints, 4 KiB at most, goes to $work/label.
run_limited() {
    group='' why=''
    rm -f "$work/late"
    if command -v setsid >/dev/null 2>&1; then
        group=setsid
    fi
    (
        ulimit -f 8
        exec $group "$1"
    ) </dev/null >"$work/label" 2>/dev/null &
    child=$!
    watch 5 "$child" </dev/null >/dev/null 2>&1 &
    watcher=$!
    wait "$child" 2>/dev/null
    status=$?
    kill "$watcher" 2>/dev/null
    # What it has left behind.
    [ -z "$group" ] || kill_group "$child"
    if [ -f "$work/late" ]; then
        why='stopped after five seconds'
        return 1
    fi
    if [ "$(wc -c <"$work/label")" -ge 4096 ]; then
        why='prints more than 4 KiB'
        return 1
    fi
    why="ended with status $status"
    [ "$status" -eq 0 ]
}

# Ends a program after some seconds, unless it is ended itself before.
watch() {
    nap=''
    trap '[ -z "$nap" ] || kill "$nap"; exit 0' TERM
    sleep "$1" &
    nap=$!
    wait "$nap"
    # The run is over: the number may be another process's.
    [ -d "$work" ] || exit 0
    : >"$work/late"
    kill_group "$2"
}

kill_group() {
    if [ -n "$group" ]; then
        # Not every shell takes `--` here.
        kill -9 "-$1" 2>/dev/null
    else
        kill -9 "$1" 2>/dev/null
    fi
}

# --- the report -----------------------------------------------------------------------------------

# $work/report; the token is no part of it.
write_report() {
    if [ ! -f "$work/report.labels" ]; then
        collect_labels >"$work/report.labels" || fail "cannot write $work/report.labels"
        label_problem=$problem
    fi
    if [ "$mode" = heartbeat ] && ! look_at_sshd; then
        is_broken=yes
        note_problem "sshd refuses its configuration: $(sshd_error)"
    fi
    [ -n "$release" ] || release=$("$sshd" -V </dev/null 2>&1 | plain |
        sed -n 's/^\(OpenSSH_[^,]*\).*/\1/p' | head -n 1)
    {
        [ -z "$names" ] || printf '%s' "$names" | sed 's/^/name /'
        cat "$work/report.labels"
        own_addresses | head -n 32 | sed 's/^/address /'
        printf 'port %s\n' "$(sshd_port)"
        printf 'sshd %s\n' "$release"
        uptime_seconds
        printf 'clock %s\n' "$(date +%s)"
        printf 'tunnel %s\n' "$(keeps_tunnel)"
        if [ -f "$home/user_ca.pub" ]; then
            fingerprints "$home/user_ca.pub" | head -n 8 | sed 's/^/user-ca /'
        fi
        if [ -f "$home/known_hosts" ]; then
            awk '{ print $3, $4 }' "$home/known_hosts" >"$work/known_cas"
            fingerprints "$work/known_cas" | head -n 8 | sed 's/^/host-ca /'
        fi
        certificate_serial "$home/host-cert.pub" | sed 's/^/certificate /'
        revocation_number "$home/revoked.krl" | sed 's/^/revocations /'
        if [ -n "$problem" ]; then
            printf 'problem %s\n' "$problem"
        elif [ -f "$run/problem" ]; then
            head -n 1 "$run/problem" | plain | sed 's/^/problem /'
        fi
        echo end
    } >"$work/report"
    # From one that is cut, the proxy would learn that labels are gone.
    [ "$(tail -n 1 "$work/report")" = end ] || fail "cannot write $work/report"
}

sshd_port() {
    found=
    if [ -f "$work/effective" ]; then
        found=$(effective port | head -n 1)
    elif [ -f "$home/proxy" ]; then
        found=$(setting sshd-port)
    fi
    echo "${found:-22}"
}

own_addresses() {
    if [ -n "$addresses" ]; then
        printf '%s' "$addresses"
    elif [ -f "$home/proxy" ] && [ -n "$(setting address)" ]; then
        sed -n 's/^address //p' "$home/proxy"
    elif command -v ip >/dev/null 2>&1; then
        ip -o addr show scope global 2>/dev/null | awk '{ sub(/\/.*/, "", $4); print $4 }'
    else
        ifconfig -a 2>/dev/null | awk '$1 ~ /^inet6?$/ {
            sub(/^addr:/, "", $2); sub(/[\/%].*/, "", $2)
            if ($2 !~ /^127\./ && $2 != "::1" && $2 !~ /^fe80/) print $2
        }'
    fi
}

uptime_seconds() {
    if [ -r /proc/uptime ]; then
        sed 's/[. ].*//;s/^/uptime /' /proc/uptime
    else
        booted=$(sysctl -n kern.boottime 2>/dev/null | sed -n 's/.*[{ ]sec = \([0-9]*\).*/\1/p')
        [ -z "$booted" ] || echo "uptime $(($(date +%s) - booted))"
    fi
}

keeps_tunnel() {
    if [ -f "$home/proxy" ]; then
        setting tunnel
    else
        echo "${tunnel_wanted:-no}"
    fi
}

certificate_serial() {
    [ -f "$1" ] || return 0
    ssh-keygen -L -f "$1" 2>/dev/null | sed -n 's/^ *Serial: *\([0-9]*\)$/\1/p' | head -n 1
}

# PROTOCOL.krl: "SSHKRL\n\0", the format's version, then the number of the list.
revocation_number() {
    [ -f "$1" ] || return 0
    [ "$(od -An -tx1 -N8 "$1" | tr -d ' \n')" = 5353484b524c0a00 ] || return 0
    od -An -tu1 -j12 -N8 "$1" | awk '{ for (i = 1; i <= NF; i++) n = n * 256 + $i } END { printf "%.0f\n", n }'
}

# --- talking with the proxy -----------------------------------------------------------------------

known_hosts_lines() {
    pattern=$host
    [ "$port" = 22 ] || pattern="[$host]:$port"
    awk -v pattern="$pattern" 'NF >= 2 && !seen[$1, $2]++ { print "@cert-authority", pattern, $1, $2 }'
}

# The host CAs that are trusted so far.
trusted_cas() {
    if [ "$mode" = join ]; then
        printf '%s\n' "$script_cas"
    fi
    if [ -f "$home/known_hosts" ]; then
        awk '{ print $3, $4 }' "$home/known_hosts"
    fi
}

# The key for ssh, which refuses a file that a group can read, as RHEL's is: an agent of this run has it then.
make_identity() {
    identity=$key
    [ -n "$(find "$key" -prune ! -perm -040 ! -perm -020 ! -perm -004 ! -perm -002)" ] && return 0
    identity=$key.pub
    [ -z "$agent_pid" ] || return 0
    eval "$(ssh-agent -s -a "$work/agent" | sed '/^echo/d')" >/dev/null
    agent_pid=${SSH_AGENT_PID-}
    ssh-add - <"$key" >"$work/ssh-add" 2>&1 || fail "ssh-add cannot use $key: $(tail -n 1 "$work/ssh-add")"
}

# ssh to the proxy, with the file of known hosts and more options, or a program. In the background: it takes
# the place of the shell there, so that it can be ended. At lower levels of the log, ssh leaves out what the proxy
# says before it lets nobody in, as to a locked node.
ssh_to_proxy() {
    known=$1
    shift
    exec ssh -F /dev/null -T -x -a -i "$identity" -p "$port" -l join \
        -o BatchMode=yes -o IdentitiesOnly=yes -o PreferredAuthentications=publickey \
        -o StrictHostKeyChecking="$strictly" -o UserKnownHostsFile="$known" \
        -o GlobalKnownHostsFile=/dev/null -o CheckHostIP=no -o UpdateHostKeys=no \
        -o ControlMaster=no -o ControlPath=none -o ConnectTimeout=20 \
        -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o LogLevel=INFO "$@"
}

# One program of the proxy: its name, the largest answer, where the answer goes. The report is its input.
# `echo` is part of every shell, so no process has the token among its arguments. A proxy that says nothing
# more and keeps the connection open is left after a while.
talk() {
    rm -f "$work/ssh.status"
    {
        echo 'rproxy-report 1'
        [ "$1" != join ] || echo "token $token"
        cat "$work/report"
    } 2>/dev/null | {
        in_time ssh_to_proxy "$work/known_hosts" "$host" "$1" 2>"$work/ssh.err"
        echo $? >"$work/ssh.status"
    } | head -c "$2" >"$3"
    [ "$(cat "$work/ssh.status" 2>/dev/null)" = 0 ]
}

# Runs a command, for 100 seconds at most.
in_time() {
    group=''
    # The input of what runs in the background is empty otherwise.
    exec 4<&0
    "$@" <&4 4<&- &
    child=$!
    echo "$child" >"$work/child"
    exec 4<&- </dev/null
    watch 100 "$child" </dev/null >/dev/null 2>&1 &
    watcher=$!
    # Shells keep a copy of the error output for it, which whoever has started this run may wait for.
    echo "$child $watcher" >"$work/child"
    wait "$child"
    status=$?
    : >"$work/child"
    kill "$watcher" 2>/dev/null
    return "$status"
}

# A program whose answer is text: fails unless the answer is whole.
ask_proxy() {
    strictly=yes
    make_identity
    if ! talk "$1" "$max_answer" "$work/answer"; then
        is_unknown_proxy && follow_successors || return 1
        strictly=yes
        talk "$1" "$max_answer" "$work/answer" || return 1
    fi
    if [ "$(head -n 1 "$work/answer")" != 'rproxy-node 1' ] || [ "$(tail -n 1 "$work/answer")" != end ]; then
        echo 'the answer of the proxy is not whole: nothing of it was used' >"$work/ssh.err"
        return 1
    fi
    if [ -n "$(tr -d '\n -~\200-\377' <"$work/answer")" ]; then
        echo 'the answer of the proxy has control characters: nothing of it was used' >"$work/ssh.err"
        return 1
    fi
}

is_unknown_proxy() {
    grep -Eqi 'host key verification failed|host key is known for|host key for .* has changed' "$work/ssh.err"
}

is_refused_for() {
    grep -Eq "(^|[^a-z-])($1)([^a-z-]|\$)" "$work/ssh.err"
}

# Whether it was the proxy that has said no, and why.
is_refusal() {
    grep -q '^rproxy: ' "$work/ssh.err"
}

# Why a talk has failed, for people.
explain() {
    plain <"$work/ssh.err" | grep -v '^@*$' | sed 's/^/  /' | tail -n 12 >&2
    if grep -Eqi 'not yet valid|certificate has expired|certificate invalid: expired' "$work/ssh.err"; then
        warn "this host's clock says $(date): is that right?"
    elif is_unknown_proxy; then
        warn "nothing was sent: $host port $port does not prove that it is the proxy of $cluster"
    fi
}

# The host CA has been rotated while this host was off. The proxy has a certificate for each new key of it,
# signed by the key before. Whoever answers here is not known, so only what is signed counts; and any host has
# a certificate of the host CA, so only one that says that it is of a key of the CA.
follow_successors() {
    strictly=no
    printf 'end\n' >"$work/report.none"
    mv "$work/report" "$work/report.kept"
    mv "$work/report.none" "$work/report"
    cp "$work/known_hosts" "$work/known_hosts.kept"
    cp "$work/ssh.err" "$work/ssh.err.kept"
    : >"$work/known_hosts"
    talk successors 65536 "$work/successors"
    status=$?
    mv "$work/report.kept" "$work/report"
    mv "$work/known_hosts.kept" "$work/known_hosts"
    mv "$work/ssh.err.kept" "$work/ssh.err"
    [ "$status" -eq 0 ] && [ "$(tail -n 1 "$work/successors")" = end ] || return 1
    [ "$(wc -l <"$work/successors")" -le 64 ] || return 1
    awk '{ print $3, $4 }' "$work/known_hosts" >"$work/cas"
    sed '$d' "$work/successors" >"$work/links"
    found=
    follow_links
    [ -n "$found" ] || return 1
    known_hosts_lines <"$work/cas" >"$work/known_hosts"
}

# Adds to the trusted keys of the host CA, in $work/cas, those that one of them names in $work/links.
follow_links() {
    while read -r type blob key_type key_blob rest; do
        printf '%s %s\n' "$type" "$blob" >"$work/link"
        printf '%s %s\n' "$key_type" "$key_blob" >"$work/link.key"
        # Most often there is no key that is new.
        if [ -z "$rest" ] && ! grep -Fqx -- "$key_type $key_blob" "$work/cas" && names_key host-ca-successor; then
            cat "$work/link.key" >>"$work/cas"
            found=yes
        fi
    done <"$work/links"
}

# Whether $work/link, whose signature ssh-keygen verifies, is a certificate by which a trusted key of the host CA
# names $work/link.key, as a `host-ca-successor` or a `user-ca`.
names_key() {
    ssh-keygen -L -f "$work/link" >"$work/link.text" 2>/dev/null || return 1
    grep -q '^ *Type: .* host certificate$' "$work/link.text" || return 1
    [ "$(section Principals)" = "$1@$cluster" ] || return 1
    case $(section 'Critical Options') in
        "$1@rproxy" | "$1@rproxy "*) ;;
        *) return 1 ;;
    esac
    signer=$(sed -n 's/^ *Signing CA: .*\(SHA256:[^ ]*\).*/\1/p' "$work/link.text")
    subject=$(sed -n 's/^ *Public key: .*\(SHA256:[^ ]*\).*/\1/p' "$work/link.text")
    [ -n "$signer" ] && [ -n "$subject" ] || return 1
    [ "$(fingerprints "$work/link.key")" = "$subject" ] || return 1
    fingerprints "$work/cas" | grep -Fqx -- "$signer"
}

# The lines below one heading of `ssh-keygen -L`.
section() {
    awk -v name="$1:" '
        index($0, name) { inside = 1; next }
        inside && /^ *[A-Z][A-Za-z ]*:/ { exit }
        inside { sub(/^ +/, ""); sub(/ +$/, ""); print }
    ' "$work/link.text"
}

# --- what the answer has --------------------------------------------------------------------------

answer() {
    sed -n "s/^$1 //p" "$work/answer"
}

# Checks the answer, and puts what is to be installed into $work/new. `refused` says what is wrong with it, and
# `strangers` what was left out of it.
read_answer() {
    strangers=''
    mkdir -p "$work/new"
    refused='the proxy sends no usable id or name'
    node_id=$(answer id)
    node_name=$(answer name)
    # A second one would be a second line.
    case $node_id in
        *[!0-9a-f-]*) return 1 ;;
    esac
    case $node_name in
        '' | [!a-z0-9_]* | *[!a-z0-9._-]*) return 1 ;;
    esac
    [ ${#node_id} -eq 36 ] && [ ${#node_name} -le 253 ] || return 1
    refused=
    answer user-ca >"$work/user_cas"
    answer host-ca >"$work/host_cas"
    for file in "$work/user_cas" "$work/host_cas"; do
        number=$(wc -l <"$file")
        if [ ! -s "$file" ] || [ "$number" -gt 8 ] ||
            [ "$(fingerprints "$file" | wc -l)" -ne "$number" ] ||
            grep -Evq '^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+$' "$file"; then
            refused='the proxy sends no usable keys of its CAs'
            return 1
        fi
    done
    keep_host_cas && keep_user_cas || return 1
    known_hosts_lines <"$work/host_cas" >"$work/new/known_hosts"
    merge_user_cas || return 1
    answer certificate >"$work/new/host-cert.pub"
    if [ -s "$work/new/host-cert.pub" ]; then
        check_certificate "$work/new/host-cert.pub" || return 1
    else
        rm -f "$work/new/host-cert.pub"
    fi
    fetch_revoked
}

# The answer has come through a process that speaks with the network, and that an attacker may have taken over.
# What it cannot do is to sign as the host CA: so a key is trusted only if it was before, or if a key of the host
# CA that is trusted here names it.

# Leaves the keys of the host CA in $work/host_cas that are to be trusted.
keep_host_cas() {
    awk '{ print $3, $4 }' "$work/known_hosts" >"$work/cas"
    answer successor | head -n 64 >"$work/links"
    follow_links
    grep -Fx -f "$work/cas" "$work/host_cas" >"$work/host_cas.kept"
    note_strangers host_cas 'the host CA'
}

# The same for the user CA.
keep_user_cas() {
    : >"$work/user_cas.kept"
    answer user-ca-proof | head -n 64 >"$work/links"
    while read -r line; do
        if is_installed "$line" || is_proved "$line"; then
            printf '%s\n' "$line" >>"$work/user_cas.kept"
        fi
    done <"$work/user_cas"
    note_strangers user_cas 'the user CA'
}

is_installed() {
    [ -f "$home/user_ca.pub" ] && grep -Fqx -- "$1" "$home/user_ca.pub"
}

# Whether one of $work/links names this key of the user CA.
is_proved() {
    printf '%s\n' "$1" >"$work/link.key"
    while read -r type blob key_type key_blob rest; do
        [ "$key_type $key_blob$rest" = "$1" ] || continue
        printf '%s %s\n' "$type" "$blob" >"$work/link"
        ! names_key user-ca || return 0
    done <"$work/links"
    return 1
}

# Goes on with the keys of a list that are kept, if there are any. `strangers` says so if others were left out.
note_strangers() {
    if ! cmp -s "$work/$1" "$work/$1.kept"; then
        strangers="the proxy sends a key of $2 that no known key of the host CA has signed: it was left out"
    fi
    mv "$work/$1.kept" "$work/$1"
    refused="the proxy sends no key of $2 that a known key of the host CA has signed"
    [ -s "$work/$1" ] || return 1
    refused=
}

# sshd reads one file of user CAs: those that the administrator has named stay trusted.
merge_user_cas() {
    {
        cat "$work/user_cas"
        if [ -n "$also_user_ca" ] && ! cat "$also_user_ca"; then
            refused="cannot read $also_user_ca, which sshd trusts besides"
        fi
    } >"$work/new/user_ca.pub" 2>/dev/null
    [ -z "$refused" ]
}

check_certificate() {
    refused='the proxy sends a host certificate that is not for this host'
    [ "$(wc -l <"$1")" -eq 1 ] || return 1
    ssh-keygen -L -f "$1" >"$work/link.text" 2>/dev/null || return 1
    grep -q '^ *Type: .* host certificate$' "$work/link.text" || return 1
    [ "$(sed -n 's/^ *Public key: .*\(SHA256:[^ ]*\).*/\1/p' "$work/link.text")" = "$(fingerprints "$key.pub")" ] ||
        return 1
    fingerprints "$work/cas" |
        grep -Fqx -- "$(sed -n 's/^ *Signing CA: .*\(SHA256:[^ ]*\).*/\1/p' "$work/link.text")" || return 1
    refused=
}

# Fetches the revocation list, if it is another one than that which is installed.
fetch_revoked() {
    number=$(answer revocations | head -n 1)
    have=$(revocation_number "$home/revoked.krl")
    [ -z "$number" ] || [ "$number" != "$have" ] || return 0
    refused='cannot fetch the revocation list'
    strictly=yes
    talk revocations "$max_revoked" "$work/new/revoked.krl" || return 1
    refused='the proxy sends a revocation list that ssh-keygen cannot read'
    fetched=$(revocation_number "$work/new/revoked.krl")
    [ -n "$fetched" ] && can_read_list "$work/new/revoked.krl" || return 1
    refused="the proxy sends revocation list $fetched, and $have, which is newer, is installed"
    [ -z "$have" ] || [ "$(printf '%s\n%s\n' "$have" "$fetched" | sort -n | head -n 1)" = "$have" ] || return 1
    refused=
}

# To look up a key, ssh-keygen reads the whole list; the host's own may be on it.
can_read_list() {
    ssh-keygen -Q -f "$1" "$key.pub" >"$work/verdict" 2>&1 || grep -q 'REVOKED' "$work/verdict"
}

# --- changing files -------------------------------------------------------------------------------

# Every change can be taken back without space on the disk: the old file keeps a second name until `commit`.

# Makes a directory.
put_dir() {
    [ ! -d "$1" ] || return 0
    printf 'dir %s\n' "$1" >>"$work/journal"
    mkdir -m 0755 "$1" || return 1
    changed=yes
}

# Puts a file in its place in one step. The mode is `keep` if it is another's file that is changed.
put() {
    [ ! -f "$3" ] || ! cmp -s "$2" "$3" || return 0
    if ! put_now "$@"; then
        rm -f "$3.rproxy-new" "$3.rproxy-old"
        note_problem "cannot write $3: $(plain <"$work/put.err" | tail -n 1 | cut -c 1-200)"
        return 1
    fi
    changed=yes
}

# Before a file is changed. Nothing is written through a link that has one of these names.
begin() {
    printf 'begin %s\n' "$1" >>"$work/journal"
    for left in "$1.rproxy-new" "$1.rproxy-old"; do
        if [ -e "$left" ] || [ -h "$left" ]; then
            rm -f "$left" || return 1
        fi
    done
}

put_now() {
    {
        if ! is_private "${3%/*}/."; then
            echo 'others can write its directory'
            return 1
        fi
        begin "$3" || return 1
        if [ -f "$3" ]; then
            ln -f "$3" "$3.rproxy-old" || return 1
        fi
        if [ "$1" = keep ] && [ ! -f "$3" ]; then
            cp "$2" "$3.rproxy-new" && chmod 0600 "$3.rproxy-new" || return 1
        elif [ "$1" = keep ]; then
            cp -p "$3" "$3.rproxy-new" && cat "$2" >"$3.rproxy-new" || return 1
        else
            cp "$2" "$3.rproxy-new" && chmod "$1" "$3.rproxy-new" || return 1
        fi
        # Not every file system says at once that it is full.
        cmp "$2" "$3.rproxy-new" || return 1
        if [ -f "$3.rproxy-old" ]; then
            printf 'old %s\n' "$3" >>"$work/journal"
        else
            printf 'new %s\n' "$3" >>"$work/journal"
        fi
        mv -f "$3.rproxy-new" "$3"
    } >"$work/put.err" 2>&1
}

# Takes every change of this run back, the last one first.
undo() {
    awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' "$work/journal" >"$work/undo"
    while read -r how path; do
        case $how in
            old) mv -f "$path.rproxy-old" "$path" ;;
            new) rm -f "$path" ;;
            begin) rm -f "$path.rproxy-new" "$path.rproxy-old" ;;
            dir) [ ! -d "$path" ] || rmdir "$path" ;;
        esac
    done <"$work/undo"
    : >"$work/journal"
    unmark_reload
    if [ -n "$stopped" ]; then
        stopped=
        start_services
    fi
}

# Keeps the changes: from here on, nothing is taken back.
commit() {
    ignore_signals
    mv "$work/journal" "$work/committed"
    : >"$work/journal"
    while read -r how path; do
        [ "$how" != old ] || rm -f "$path.rproxy-old"
    done <"$work/committed"
    stopped='' marked=''
    heed_signals
    if command -v restorecon >/dev/null 2>&1; then
        restorecon -R "$home" >/dev/null 2>&1
    fi
}

# Our lines stand at the top of another's file: `sshd_config` because the first value counts and a `Match`
# block must not enclose them, a crontab because its last line may lack its end.
with_block() {
    without_block "$2" >"$work/rest"
    {
        printf '%s\n' "$block_begin"
        cat "$1"
        printf '%s\n' "$block_end"
        cat "$work/rest"
    }
}

has_block() {
    [ -f "$1" ] && grep -q '^# rproxy: begin' "$1" && grep -Fqx -- "$block_end" "$1"
}

# The file without our lines; what follows them stays byte for byte.
without_block() {
    if ! has_block "$1"; then
        cat "$1"
        return
    fi
    first=$(grep -n '^# rproxy: begin' "$1" | head -n 1 | cut -d : -f 1)
    last=$(grep -Fnx -- "$block_end" "$1" | head -n 1 | cut -d : -f 1)
    [ "$first" -eq 1 ] || head -n $((first - 1)) "$1"
    tail -n "+$((last + 1))" "$1"
}

# --- sshd -----------------------------------------------------------------------------------------

sshd_lines() {
    printf 'HostCertificate %s\n' "$home/host-cert.pub"
    printf 'TrustedUserCAKeys %s\n' "$home/user_ca.pub"
    printf 'RevokedKeys %s\n' "$home/revoked.krl${also_revoked:+ $also_revoked}"
}

snippet_lines() {
    # shellcheck disable=SC2016 # it is how the command is shown
    echo '# Written by the script of `rproxy nodes script`.'
    sshd_lines
}

# Whether sshd reads the directory before anything that our lines would come too late for.
includes_directory() {
    without_block "$sshd_config" | awk -v files="$etc/sshd_config.d/*.conf" '
        { gsub(/["\r]/, ""); sub(/^[ \t]+/, ""); sub(/[ \t]*=[ \t]*/, " "); word = tolower($1) }
        word == "match" || word == "trustedusercakeys" || word == "revokedkeys" { exit }
        word == "include" {
            for (i = 2; i <= NF; i++)
                if ($i == files || $i == "sshd_config.d/*.conf") { found = 1; exit }
        }
        END { exit !found }
    '
}

# What the administrator has set before the first run, and would be lost: only the first line of each counts.
keep_their_settings() {
    [ ! -f "$home/proxy" ] || return 0
    others=$(names_ours "$snippet")
    [ -z "$others" ] || fail "$others names files in $home already, as the Ansible role writes them: remove its lines first"
    # Lines of ours whose directory somebody has removed are written anew.
    also_user_ca=$(effective trustedusercakeys | grep -v -e '^none$' -e "^$home/")
    also_revoked=$(effective revokedkeys | grep -v -e '^none$' -e "^$home/")
    for file in $(effective hostcertificate); do
        if [ -f "$file" ] &&
            [ "$(fingerprints "$file" | head -n 1)" = "$(fingerprints "$key.pub")" ]; then
            fail "sshd shows $file for $key already: remove its HostCertificate line first"
        fi
    done
    [ -n "$also_revoked" ] || return 0
    { printf 'RevokedKeys %s %s\n' "$also_revoked" "${also_revoked%% *}" && cat "$sshd_config"; } >"$work/trial"
    ask_sshd -t "$work/trial" ||
        fail "sshd before 10.3 reads one list of revoked keys, and yours is $also_revoked: remove its line first"
}

# Whether sshd takes its configuration as it is now.
is_taken() {
    ask_sshd -t "$sshd_config" && look_at_sshd
}

# Whether sshd uses what is installed.
is_in_force() {
    is_taken && uses_ours
}

# The same by what it has said the last time.
uses_ours() {
    [ "$(effective trustedusercakeys)" = "$home/user_ca.pub" ] &&
        effective hostcertificate | grep -Fqx -- "$home/host-cert.pub" &&
        [ "$(effective revokedkeys | cut -d ' ' -f 1)" = "$home/revoked.krl" ] && return 0
    printf 'other lines come before ours: sshd does not use the files in %s\n' "$home" >"$work/sshd.err"
    return 1
}

# sshd reads its certificates when it starts. A reload ends no session.
reload_sshd() {
    case $(manager) in
        systemd)
            for unit in ssh.service sshd.service; do
                if systemctl is-active --quiet "$unit" 2>/dev/null; then
                    systemctl reload "$unit"
                    return
                fi
            done
            # Started for a connection, by a socket: it reads its files then.
            return 0
            ;;
        openrc)
            rc-service sshd reload >/dev/null
            return
            ;;
    esac
    if [ -z "$root" ] && [ -x /etc/rc.d/sshd ] && command -v service >/dev/null 2>&1; then
        service sshd reload >/dev/null
        return
    fi
    pid_file=$(effective pidfile | head -n 1)
    [ -f "$pid_file" ] || return 0
    pid=$(head -n 1 "$pid_file")
    case $pid in
        '' | *[!0-9]*) return 0 ;;
    esac
    if [ -r "/proc/$pid/comm" ] && [ "$(cat "/proc/$pid/comm")" != sshd ]; then
        return 0
    fi
    kill -0 "$pid" 2>/dev/null || return 0
    kill -HUP "$pid"
}

# Noted before files are changed: a later run reloads if this one is killed in between.
mark_reload() {
    [ ! -f "$run/reload" ] || return 0
    make_run && : >"$run/reload" && marked=yes
}

unmark_reload() {
    [ -z "$marked" ] || rm -f "$run/reload"
    marked=
}

# Reloads if a run before could not. Never with a configuration that sshd refuses: it would stop.
reload_if_due() {
    [ -f "$run/reload" ] || return 0
    look_at_sshd || return 0
    if reload_sshd; then
        rm -f "$run/reload"
        say 'sshd: reloaded'
    else
        note_problem 'sshd cannot be reloaded'
    fi
}

# --- what starts it -------------------------------------------------------------------------------

manager() {
    if [ -d "$root/run/systemd/system" ]; then
        echo systemd
    elif [ -d "$root/run/openrc" ] && command -v rc-service >/dev/null 2>&1; then
        echo openrc
    else
        echo cron
    fi
}

# The crontab: a file of its own, or lines in root's, as busybox has it.
cron_file() {
    if [ -d "$root/etc/cron.d" ]; then
        echo "$root/etc/cron.d/rproxy"
    elif [ -d "$root/etc/crontabs" ]; then
        echo "$root/etc/crontabs/root"
    fi
}

cron_line() {
    user='root '
    [ -d "$root/etc/cron.d" ] || user=
    to='>/dev/null 2>&1'
    ! command -v logger >/dev/null 2>&1 || to='2>&1 | logger -t rproxy-node'
    printf '* * * * * %s/bin/sh %s/node.sh %s %s\n' "$user" "$home" "$1" "$to"
}

# Plans what runs the heartbeat, and the tunnel if there is one.
plan_services() {
    services=$(manager)
    units=$root/etc/systemd/system
    case $services in
        systemd)
            heartbeat_service | plan 0644 "$units/rproxy-heartbeat.service"
            heartbeat_timer | plan 0644 "$units/rproxy-heartbeat.timer"
            [ "$tunnel" = no ] || tunnel_service | plan 0644 "$units/rproxy-tunnel.service"
            return
            ;;
        openrc) [ "$tunnel" = no ] || tunnel_init | plan 0755 "$root/etc/init.d/rproxy-tunnel" ;;
    esac
    {
        cron_line 'heartbeat --later'
        [ "$tunnel" = no ] || [ "$services" = openrc ] || cron_line tunnel
    } >"$work/crontab"
    case $(cron_file) in
        */cron.d/*) plan 0644 "$(cron_file)" <"$work/crontab" ;;
        '')
            [ -n "$is_warned" ] ||
                warn "there is neither systemd nor a crontab: run sh $home/node.sh heartbeat once a minute"
            is_warned=yes
            ;;
        *)
            [ -f "$(cron_file)" ] || : >"$work/empty"
            with_block "$work/crontab" "$([ -f "$(cron_file)" ] && cron_file || echo "$work/empty")" |
                plan keep "$(cron_file)"
            ;;
    esac
}

heartbeat_service() {
    cat <<END
# Written by the script of \`rproxy nodes script\`.
[Unit]
Description=Report to rproxy, and keep certificate and revocations current
After=network-online.target ssh.service sshd.service
ConditionPathExists=$home/node.sh

[Service]
Type=oneshot
ExecStart=/bin/sh $home/node.sh heartbeat
TimeoutStartSec=300
SuccessExitStatus=130
END
}

heartbeat_timer() {
    cat <<END
# Written by the script of \`rproxy nodes script\`.
[Unit]
Description=Report to rproxy once a minute

[Timer]
OnBootSec=10
OnUnitActiveSec=60
RandomizedDelaySec=10
AccuracySec=1

[Install]
WantedBy=timers.target
END
}

tunnel_service() {
    cat <<END
# Written by the script of \`rproxy nodes script\`.
[Unit]
Description=Tunnel to rproxy
After=network-online.target ssh.service sshd.service
Wants=network-online.target
ConditionPathExists=$home/node.sh

[Service]
ExecStart=/bin/sh $home/node.sh tunnel
SuccessExitStatus=130
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
END
}

tunnel_init() {
    cat <<END
#!/sbin/openrc-run
# Written by the script of \`rproxy nodes script\`.
description="Tunnel to rproxy"
supervisor=supervise-daemon
command=/bin/sh
command_args="$home/node.sh tunnel"
respawn_delay=10
respawn_max=0

depend() {
    need net
    after sshd
}
END
}

# Whether what starts the heartbeat, and the tunnel if there is one, does so. Cron needs no start.
services_run() {
    case $(manager) in
        systemd)
            is_started rproxy-heartbeat.timer && { [ "$tunnel" = no ] || is_started rproxy-tunnel.service; }
            ;;
        openrc) [ "$tunnel" = no ] || rc-service rproxy-tunnel status >/dev/null 2>&1 ;;
    esac
}

is_started() {
    systemctl is-enabled --quiet "$1" 2>/dev/null && systemctl is-active --quiet "$1" 2>/dev/null
}

start_services() {
    case $(manager) in
        systemd)
            systemctl daemon-reload
            systemctl enable --now rproxy-heartbeat.timer
            [ "$tunnel" = no ] || systemctl enable --now rproxy-tunnel.service
            ;;
        openrc)
            [ "$tunnel" = no ] || {
                rc-update add rproxy-tunnel default && rc-service rproxy-tunnel start
            }
            ;;
    esac >"$work/services" 2>&1 || warn "cannot start the services: $(tail -n 1 "$work/services")"
    if [ "$(manager)" != systemd ] && [ -n "$(cron_file)" ] &&
        ! command -v crond >/dev/null 2>&1 && ! command -v cron >/dev/null 2>&1; then
        warn "there is no cron: have something run sh $home/node.sh heartbeat once a minute"
    fi
}

stop_services() {
    case $(manager) in
        systemd)
            for unit in rproxy-heartbeat.timer rproxy-tunnel.service; do
                [ ! -f "$root/etc/systemd/system/$unit" ] || systemctl disable --now "$unit"
            done
            ;;
        openrc)
            [ ! -f "$root/etc/init.d/rproxy-tunnel" ] || {
                rc-service rproxy-tunnel stop
                rc-update del rproxy-tunnel default
            }
            ;;
    esac >"$work/services" 2>&1
    # The one that cron has started.
    holder=$(readlink "$run/tunnel.lock" 2>/dev/null)
    if is_alive "$holder"; then
        kill "${holder%%:*}"
    fi
}

# --- joining --------------------------------------------------------------------------------------

# A file that is to be: its text is the input. No two of them have the same name, in whatever directories.
plan() {
    cat >"$work/planned.${2##*/}"
    printf '%s %s %s\n' "$1" "$work/planned.${2##*/}" "$2" >>"$work/plan"
}

join() {
    make_work
    check_places
    if [ -h "$sshd_config" ]; then
        sshd_config=$(readlink -f "$sshd_config") || fail "cannot follow the link $etc/sshd_config"
    fi
    look_at_sshd || fail "sshd refuses its configuration as it is: $(sshd_error)"
    choose_key
    keep_their_settings
    is_joined='' is_warned=''
    tunnel=${tunnel_wanted:-no}
    if [ -f "$home/proxy" ]; then
        [ "$(setting cluster)" = "$cluster" ] ||
            fail "this host is a node of $(setting cluster): run sh $home/node.sh --leave first"
        is_joined=yes
        [ -n "$tunnel_wanted" ] || tunnel=$(setting tunnel)
    fi
    check_tunnel
    trusted_cas | known_hosts_lines >"$work/known_hosts"
    # A file that is not yet there is shown by its name.
    plan_files
    announce
    [ -z "$dry" ] || return 0
    if [ -n "$is_joined" ] && [ -z "$to_change" ]; then
        say "is a node of $cluster already: nothing to change"
    else
        confirm
    fi
    take_lock || fail "another run is going on: $(readlink "$run/lock")"
    # Files may have been changed while it was waiting for an answer.
    look_at_sshd || fail "sshd refuses its configuration as it is: $(sshd_error)"
    plan_files
    if [ -n "$is_joined" ]; then
        refresh
    else
        enter
    fi
    install_all
    mode=heartbeat
    heartbeat || warn "joined, but the first report has failed; it is repeated once a minute"
}

# Before anything is asked: what would end in the middle otherwise.
check_places() {
    grep -q '^script_version=' "$0" 2>/dev/null ||
        fail 'it keeps a copy of itself: put it into a file first, and run sh join.sh'
    (
        ignore_signals
        mkdir "$etc/.rproxy-new.$$" && rmdir "$etc/.rproxy-new.$$"
    ) 2>/dev/null || fail "cannot write to $etc: run it as root, on a file system that can be written"
    # What is run as root, and what sshd trusts, must be root's alone.
    for place in "$home" "$home/labels.d"; do
        if [ -e "$place" ] || [ -h "$place" ]; then
            is_private "$place" || fail "$place: others can write it, or it is a link: remove it first"
        fi
    done
}

# The proxy's end of a tunnel leads to sshd, and sshd has to see the loopback address.
check_tunnel() {
    loopback=127.0.0.1
    [ "$tunnel" != no ] || return 0
    listens=$(effective listenaddress | tr '\n' ' ')
    case " $listens" in
        *' 0.0.0.0:'* | *' 127.0.0.1:'*) ;;
        *' [::]:'* | *' [::1]:'*) loopback='[::1]' ;;
        *) fail "sshd does not listen on 127.0.0.1, where a tunnel ends: add ListenAddress 127.0.0.1" ;;
    esac
}

# Everything that does not depend on the proxy's answer.
plan_files() {
    : >"$work/plan"
    mkdir -p "$work/new"
    plan_labels >"$work/new/labels"
    plan 0644 "$home/labels" <"$work/new/labels"
    plan 0755 "$home/node.sh" <"$0"
    sshd_lines >"$work/sshd_lines"
    if ! has_block "$sshd_config" && includes_directory; then
        snippet_lines | plan 0644 "$snippet"
    else
        with_block "$work/sshd_lines" "$sshd_config" | plan keep "$sshd_config"
    fi
    plan_services
}

# The file of labels, with those that were given.
plan_labels() {
    if [ -f "$home/labels" ]; then
        cat "$home/labels"
    else
        echo '# Labels of this host: key=value, one in a line. Programs in labels.d print the value of the'
        echo '# label that has their name.'
    fi >"$work/labels.old"
    printf '%s' "$labels" >"$work/labels.given"
    awk -F = 'NR == FNR { given[$1] = $0; next } !($1 in given)' "$work/labels.given" "$work/labels.old" |
        if [ -s "$work/labels.given" ]; then cat; else cat "$work/labels.old"; fi
    cat "$work/labels.given"
}

# Says what would be changed.
announce() {
    to_change=
    while read -r mode_of source to; do
        if [ ! -f "$to" ]; then
            to_change="$to_change  writes     $to$newline"
        elif ! cmp -s "$source" "$to"; then
            to_change="$to_change  changes    $to$newline"
        else
            continue
        fi
        # Before a token is asked for and used.
        if [ -d "${to%/*}" ] && ! is_private "${to%/*}/."; then
            fail "cannot write $to: others can write its directory"
        fi
    done <"$work/plan"
    : "$mode_of"
    if [ -n "$is_joined" ] && [ -n "$addresses" ] &&
        [ "$(sed -n 's/^address //p' "$home/proxy")" != "${addresses%"$newline"}" ]; then
        to_change="$to_change  changes    $home/proxy$newline"
    fi
    [ -n "$to_change" ] || return 0
    say "makes this host a node of $cluster, by its proxy $host port $port (script of rproxy $script_version)"
    {
        printf '  certifies  %s (%s), which stays here\n' "$key" "$(fingerprints "$key.pub")"
        [ -d "$home" ] || printf '  makes      %s, for what the proxy sends\n' "$home"
        printf '%s' "$to_change"
        [ -z "$also_user_ca" ] || printf '  keeps      %s: sshd goes on to trust its keys\n' "$also_user_ca"
        printf '  reloads    sshd, if sshd -t takes it; sessions go on\n'
        printf '  undone by  sh %s/node.sh --leave\n' "$home"
    } >&2
}

confirm() {
    [ -z "$yes" ] || return 0
    (exec </dev/tty) 2>/dev/null || fail 'there is no terminal to ask at: give --yes'
    printf 'Go on? [y/N] ' >/dev/tty
    read -r reply </dev/tty
    case $reply in
        y | Y | yes) ;;
        *) fail 'nothing was changed' ;;
    esac
}

# The token is typed without being shown, or is a line of standard input.
read_token() {
    if [ -t 0 ]; then
        echo_is_off=yes
        stty -echo
        printf 'Token: ' >&2
        read -r token
        stty echo
        echo_is_off=
        printf '\n' >&2
    else
        read -r token || [ -n "$token" ] || fail 'there is no token on standard input'
    fi
    # The file may have lines of Windows.
    token=${token%"$(printf '\r')"}
    case $token in
        '') fail 'no token was given; nothing was changed' ;;
        *[!A-Za-z0-9_.-]*) fail 'this is no token: it has letters, digits and _ only' ;;
    esac
    [ ${#token} -le 200 ] || fail 'this is no token: it is too long'
}

# Joins with a token.
enter() {
    read_token
    write_report
    if ! ask_proxy join; then
        if [ -z "$names" ] && is_refused_for name-missing; then
            names=$(uname -n | tr '[:upper:]' '[:lower:]' | sed 's/\..*//')$newline
            write_report
            ask_proxy join || not_joined
        elif is_refused_for 'token-spent|token-expired'; then
            # It was spent by this host, in a run that could not finish.
            cp "$work/ssh.err" "$work/refusal"
            # Soon after its last certificate it gets none for that.
            if ! ask_proxy heartbeat || { [ -z "$(answer certificate)" ] && [ ! -f "$home/host-cert.pub" ]; }; then
                cp "$work/refusal" "$work/ssh.err"
                not_joined
            fi
        else
            not_joined
        fi
    fi
    token=
}

not_joined() {
    explain
    is_refusal || fail "cannot ask the proxy $host; nothing was changed"
    fail "$cluster does not take this host in; nothing was changed"
}

# The host is a node already: its key is enough, unless it was removed there.
refresh() {
    write_report
    ask_proxy heartbeat && return 0
    if is_refused_for not-joined; then
        say "is no node of $cluster any more, and joins again"
        enter
        return 0
    fi
    explain
    is_refusal || fail "cannot ask the proxy $host; nothing was changed"
    fail "the proxy $host refuses this host; nothing was changed"
}

# Installs everything, or leaves everything as it was.
install_all() {
    read_answer || fail "$refused; nothing was changed"
    [ -z "$strangers" ] || warn "$strangers"
    if [ ! -f "$work/new/host-cert.pub" ] && [ ! -f "$home/host-cert.pub" ]; then
        fail 'the proxy sends no host certificate: if this host had one a moment ago, try again in 10 seconds; nothing was changed'
    fi
    changed=
    rule=$(answer tunnel | head -n 1)
    case $tunnel$rule in
        yesno)
            way='use one that does'
            [ -z "$is_joined" ] || way='leave, and join again with one that does'
            fail "the token does not allow a tunnel: $way; nothing was changed"
            ;;
        norequired)
            tunnel=yes
            check_tunnel
            plan_files
            ;;
    esac
    say "is the node $node_name of $cluster"
    answer warning | while read -r line; do warn "$line"; done
    mark_reload
    if ! install_files; then
        undo
        fail "${problem:-cannot write}; everything is as it was"
    fi
    if ! is_in_force; then
        error=$(sshd_error)
        undo
        fail "sshd refuses what is new: $error; everything is as it was"
    fi
    [ -n "$changed" ] || unmark_reload
    commit
    # A run that was ended before this point has not started them.
    if [ -n "$changed" ] || ! services_run; then
        start_services
    fi
    reload_if_due
}

install_files() {
    before_first
    put_dir "$home" && put_dir "$home/labels.d" || return 1
    write_settings >"$work/new/proxy"
    put 0644 "$work/new.installed" "$home/installed" && save_before || return 1
    for name in proxy known_hosts user_ca.pub revoked.krl host-cert.pub; do
        [ ! -f "$work/new/$name" ] || put 0644 "$work/new/$name" "$home/$name" || return 1
    done
    # A candidate beside: even if this run is killed at the wrong moment, sshd starts.
    { cat "$work/sshd_lines" && without_block "$sshd_config"; } >"$work/candidate"
    if ! ask_sshd -t "$work/candidate"; then
        problem="sshd refuses what is new: $(sshd_error)"
        return 1
    fi
    while read -r mode_of source to; do
        put_dir "${to%/*}" && put "$mode_of" "$source" "$to" || return 1
    done <"$work/plan"
}

# What --leave needs: directories that are ours, and files of others that ours take the place of.
before_first() {
    if [ -f "$home/installed" ]; then
        cp "$home/installed" "$work/new.installed"
    else
        : >"$work/new.installed"
    fi
    : >"$work/save"
    {
        printf 'dir %s\n' "$home"
        sed 's/^[^ ]* [^ ]* //' "$work/plan" | while read -r to; do printf 'dir %s\n' "${to%/*}"; done
    } | awk '!seen[$0]++' | while read -r how path; do
        [ -d "$path" ] || printf '%s %s\n' "$how" "$path"
    done >"$work/made"
    while read -r mode_of source to; do
        word='file'
        [ "$mode_of" != keep ] || word='block'
        printf '%s %s\n' "$word" "$to"
        [ "$word" = block ] && [ ! -f "$to" ] && printf 'made %s\n' "$to"
    done <"$work/plan" >>"$work/made"
    for name in proxy known_hosts user_ca.pub revoked.krl host-cert.pub installed; do
        printf 'file %s\n' "$home/$name"
    done >>"$work/made"
    : "$source"
    number=$(grep -c '^was ' "$work/new.installed")
    # What was noted in an earlier run is ours.
    awk -v installed="$work/new.installed" '
        BEGIN { while ((getline line < installed) > 0) known[line] = 1 }
        $0 in known || $1 == "made" && ("block" substr($0, 5)) in known { next }
        { print }
    ' "$work/made" >"$work/to.note"
    while read -r how path; do
        printf '%s %s\n' "$how" "$path" >>"$work/new.installed"
        if [ "$how" = file ] && [ -f "$path" ]; then
            number=$((number + 1))
            printf 'was %s %s\n' "$number" "$path" >>"$work/new.installed"
            printf '%s %s\n' "$number" "$path" >>"$work/save"
        fi
    done <"$work/to.note"
}

save_before() {
    [ -s "$work/save" ] || return 0
    put_dir "$home/before" || return 1
    while read -r number path; do
        printf 'new %s\n' "$home/before/$number" >>"$work/journal"
        cp -p "$path" "$home/before/$number" && cmp -s "$path" "$home/before/$number" || return 1
    done <"$work/save"
}

write_settings() {
    printf 'host %s\nport %s\ncluster %s\nkey %s\n' "$host" "$port" "$cluster" "$key"
    printf 'id %s\nname %s\ntunnel %s\n' "$node_id" "$node_name" "$tunnel"
    printf 'loopback %s\nsshd-port %s\n' "$loopback" "$(sshd_port)"
    if [ -n "$addresses" ]; then
        printf '%s' "$addresses" | sed 's/^/address /'
    elif [ -f "$home/proxy" ]; then
        grep '^address ' "$home/proxy"
    fi
    [ -z "$also_user_ca" ] || printf 'also-user-ca %s\n' "$also_user_ca"
    [ -z "$also_revoked" ] || printf 'also-revoked %s\n' "$also_revoked"
}

# --- heartbeats -----------------------------------------------------------------------------------

load_settings() {
    [ -f "$home/proxy" ] || fail "this host has not joined: there is no $home/proxy"
    host=$(setting host) port=$(setting port) cluster=$(setting cluster)
    loopback=$(setting loopback)
    [ -r "$key" ] || fail "cannot read the host key $key: run it as root"
}

run_heartbeat() {
    load_settings
    # Hosts do not report all in the same second.
    [ -z "$later" ] || sleep "$(cksum <"$key.pub" | awk '{ print $1 % 40 }')"
    # Another run reports.
    take_lock || exit 0
    make_work
    heartbeat || exit 1
}

# Reports, installs what the answer has, and reports that.
heartbeat() {
    trusted_cas | known_hosts_lines >"$work/known_hosts"
    beat
    result=$?
    if [ -n "$changed" ]; then
        problem=$label_problem
        write_report
        ask_proxy heartbeat || result=1
    fi
    return "$result"
}

beat() {
    changed='' problem='' is_broken=''
    write_report
    if ! ask_proxy heartbeat; then
        explain
        if is_refusal; then
            warn "the proxy $host refuses this report"
        else
            warn "the proxy $host does not answer as it should"
        fi
        return 1
    fi
    rm -rf "$work/new"
    if ! read_answer; then
        problem=
        note_problem "$refused"
    else
        answer warning | while read -r line; do warn "$line"; done
        problem=
        [ -z "$strangers" ] || note_problem "$strangers"
        install_news
    fi
    remember_problem
    reload_if_due
    renew_tunnel
    [ -z "$problem" ]
}

# Files that sshd reads are put in place one by one; each of them is good in itself.
install_news() {
    write_news_settings
    for name in proxy known_hosts user_ca.pub revoked.krl host-cert.pub; do
        [ -f "$work/new/$name" ] || continue
        if [ "$name" = host-cert.pub ] && ! cmp -s "$work/new/$name" "$home/$name"; then
            mark_reload
        fi
        if ! put 0644 "$work/new/$name" "$home/$name"; then
            undo_news
            return
        fi
    done
    is_good=yes
    if [ -n "$changed" ]; then
        is_taken || is_good=
    elif [ -n "$is_broken" ]; then
        # It has been asked for the report.
        is_good=
    fi
    if [ -n "$is_good" ]; then
        if [ -n "$is_broken" ] || uses_ours; then
            commit
            [ -z "$changed" ] || say 'installed what the proxy has sent'
            return
        fi
        note_problem "$(sshd_error); run sh $home/node.sh again"
        commit
    elif [ -n "$is_broken" ]; then
        # It is broken with the old files too: the new ones are in place for when it is repaired.
        commit
        note_problem "sshd refuses its configuration: $(sshd_error)"
    else
        note_problem "sshd refuses what the proxy has sent: $(sshd_error)"
        undo_news
    fi
}

undo_news() {
    undo
    changed=
}

# The node may have been given another name.
write_news_settings() {
    awk -v id="$node_id" -v name="$node_name" '
        $1 == "id" { print "id " id; next }
        $1 == "name" { print "name " name; next }
        { print }
    ' "$home/proxy" >"$work/new/proxy"
}

remember_problem() {
    if [ -n "$problem" ]; then
        make_run && printf '%s\n' "$problem" >"$run/problem"
    else
        rm -f "$run/problem"
    fi
}

# --- the tunnel -----------------------------------------------------------------------------------

# Keeps the tunnel open. Reconnects after up to 15 seconds: after a restart of the proxy all hosts come back.
run_tunnel() {
    load_settings
    another='' is_refused=''
    trap 'another=yes' USR1
    lock_name=tunnel.lock
    take_lock || exit 0
    make_work
    strictly=yes
    while :; do
        make_identity
        another=''
        port_there=$(setting sshd-port)
        # Heartbeats may have learned of new host CAs meanwhile.
        ssh_to_proxy "$home/known_hosts" -N -o ExitOnForwardFailure=yes \
            -R "22:$loopback:${port_there:-22}" "$host" </dev/null >/dev/null 2>"$work/tunnel.err" &
        ssh_pid=$!
        while kill -0 "$ssh_pid" 2>/dev/null && [ -z "$another" ]; do
            wait "$ssh_pid"
        done
        if [ -n "$another" ] && kill -0 "$ssh_pid" 2>/dev/null; then
            keep_beside
            continue
        fi
        ssh_pid=''
        plain <"$work/tunnel.err" | head -c 2000 >&2
        pause=1
        if grep -q '^rproxy: .* is locked' "$work/tunnel.err"; then
            pause=60
        elif grep -q 'remote port forwarding failed' "$work/tunnel.err"; then
            # The node was removed, or may have no tunnel. The first time, the proxy may have just started.
            [ -z "$is_refused" ] || pause=60
            is_refused=yes
        else
            is_refused=''
        fi
        # A heartbeat that learns that a tunnel is wanted ends the wait.
        sleep $((pause + $(random) % 15)) &
        ssh_pid=$!
        wait "$ssh_pid" || kill "$ssh_pid" 2>/dev/null
        ssh_pid=''
    done
}

# Another connection is wanted: an upgraded proxy leaves this one with the process that has its sessions, and
# it ends with the last of them. Eight at most.
keep_beside() {
    kept=''
    count=0
    for one in $older; do
        if kill -0 "$one" 2>/dev/null; then
            kept="$kept $one"
            count=$((count + 1))
        fi
    done
    older=$kept
    if [ "$count" -ge 8 ]; then
        another=''
        wait "$ssh_pid"
    else
        older="$older $ssh_pid"
    fi
}

# The process that keeps the tunnel opens another connection, if the proxy has none for new sessions.
renew_tunnel() {
    [ "$(answer tunnel-open | head -n 1)" = no ] && [ "$(setting tunnel)" = yes ] || return 0
    holder=$(readlink "$run/tunnel.lock" 2>/dev/null)
    ! is_alive "$holder" || kill -USR1 "${holder%%:*}"
}

random() {
    od -An -N2 -tu2 /dev/urandom | tr -d ' \n'
}

# --- leaving --------------------------------------------------------------------------------------

leave() {
    [ -f "$home/installed" ] || fail "this host has not joined: there is no $home/installed"
    make_work
    name=$(setting name)
    sshd_config=$(sed -n 's/^block //p' "$home/installed" | grep "sshd_config\$" || echo "$sshd_config")
    say "removes this host from $(setting cluster)"
    {
        sed -n 's/^file /  removes    /p; s/^block /  restores   /p' "$home/installed" | grep -v "$home/"
        printf '  removes    %s, with the labels\n' "$home"
    } >&2
    [ -z "$dry" ] || return 0
    confirm
    take_lock || fail "another run is going on: $(readlink "$run/lock")"
    was_good=
    look_at_sshd && was_good=yes
    tunnel=$(setting tunnel)
    stopped=yes
    stop_services
    # First what refers to other files, then these.
    changed=
    if ! remove_listed block || ! remove_listed file; then
        undo
        fail 'everything is as it was'
    fi
    is_good=yes
    if ! is_taken; then
        is_good=
        if [ -n "$was_good" ]; then
            error=$(sshd_error)
            undo
            fail "sshd would refuse the configuration without ours: $error; everything is as it was"
        fi
        warn "sshd refuses its configuration, as before: $(sshd_error); it was not reloaded"
    fi
    others=$(still_named)
    if [ -n "$others" ]; then
        undo
        fail "$others still names files in $home, which would be gone: remove these lines first; everything is as it was"
    fi
    commit
    ignore_signals
    if [ -n "$is_good" ]; then
        reload_sshd || warn 'sshd cannot be reloaded'
    fi
    remove_home
    [ "$(manager)" != systemd ] || systemctl daemon-reload
    say "has left. On the proxy, remove it: rproxy nodes rm $name"
}

# What names our files beside our lines; one file counts as ours. `sshd -T` does not show all: a line can hold
# for some users only.
names_ours() {
    for file in "$sshd_config" "$etc"/sshd_config.d/*; do
        case $file in
            # What is kept until it is sure that this run succeeds.
            "$1" | *.rproxy-old) continue ;;
        esac
        if [ -f "$file" ] && without_block "$file" | grep -v '^[[:space:]]*#' | grep -Fq -- "$home/"; then
            echo "$file"
            return
        fi
    done
}

# What would use our files without our lines: without the file of RevokedKeys, sshd would refuse every key.
still_named() {
    others=$(names_ours '')
    if [ -n "$others" ]; then
        echo "$others"
    elif [ -n "$is_good" ] && grep -E '^(hostcertificate|trustedusercakeys|revokedkeys) ' "$work/effective" |
        grep -Fq -- "$home/"; then
        echo "sshd's configuration"
    fi
}

# The files outside of the directory, each with a way back.
remove_listed() {
    sed -n "s/^$1 //p" "$home/installed" | grep -v "^$home/" >"$work/listed"
    while read -r path; do
        [ -f "$path" ] || continue
        before=$(sed -n "s|^was \\([0-9]*\\) $path\$|\\1|p" "$home/installed")
        if [ "$1" = block ]; then
            without_block "$path" >"$work/rest.of"
            if [ ! -s "$work/rest.of" ] && grep -Fqx -- "made $path" "$home/installed"; then
                take_away "$path" || return 1
            else
                put keep "$work/rest.of" "$path" || return 1
            fi
        elif [ "$path" = "$snippet" ] && [ -z "$before" ] && their_lines >"$work/rest.of"; then
            put keep "$work/rest.of" "$path" || return 1
        elif [ -n "$before" ]; then
            begin "$path" && cp -p "$home/before/$before" "$path.rproxy-new" && ln -f "$path" "$path.rproxy-old" &&
                printf 'old %s\n' "$path" >>"$work/journal" && mv -f "$path.rproxy-new" "$path" || return 1
        else
            take_away "$path" || return 1
        fi
    done <"$work/listed"
}

# What the administrator has added to our file of settings; fails if there is nothing.
their_lines() {
    also_user_ca=$(setting also-user-ca) also_revoked=$(setting also-revoked)
    snippet_lines >"$work/snippet"
    grep -Fvx -f "$work/snippet" "$snippet" | grep '[^[:space:]]'
}

take_away() {
    begin "$1" && ln -f "$1" "$1.rproxy-old" && printf 'old %s\n' "$1" >>"$work/journal" && rm -f "$1"
}

# The directory, which was made by the first run or was there before it.
remove_home() {
    cp "$home/installed" "$work/installed"
    sed -n "s|^was \\([0-9]*\\) \\($home/.*\\)\$|\\1 \\2|p" "$work/installed" |
        while read -r number path; do mv -f "$home/before/$number" "$path.rproxy-was"; done
    sed -n "s|^file \\($home/.*\\)\$|\\1|p" "$work/installed" | while read -r path; do
        rm -f "$path"
        [ ! -f "$path.rproxy-was" ] || mv -f "$path.rproxy-was" "$path"
    done
    if grep -Fqx -- "dir $home" "$work/installed"; then
        rm -rf "$home"
    else
        rm -rf "$home/before" "$home/labels.d"
    fi
    # Deepest first.
    sed -n 's/^dir //p' "$work/installed" | sort -r | while read -r path; do
        [ ! -d "$path" ] || rmdir "$path" 2>/dev/null
    done
    rm -rf "$run"
    lock=
}

# --- small things ---------------------------------------------------------------------------------

# With -p it is no failure that another run makes it at the same moment.
make_run() {
    [ -d "$run" ] || (umask 077 && mkdir -p "$run")
}

# One run at a time. The lock is a link to `pid:script`, which is made in one step.
take_lock() {
    make_run || fail "cannot make $run: run it as root"
    mine=$$:${0##*/}
    lock=$run/${lock_name:-lock}
    ! ln -s "$mine" "$lock" 2>/dev/null || return 0
    holder=$(readlink "$lock")
    ! is_alive "$holder" || return 1
    # Its process is gone. Of several that find that, one takes it over.
    if ! ln -s "$mine" "$lock.taken" 2>/dev/null; then
        # For the next run, if that one is gone too.
        is_alive "$(readlink "$lock.taken")" || rm -f "$lock.taken"
        return 1
    fi
    if [ "$(readlink "$lock")" = "$holder" ]; then
        rm -f "$lock"
    fi
    rm -f "$lock.taken"
    ln -s "$mine" "$lock" 2>/dev/null
}

# shellcheck disable=SC2317 # it is called by a trap
release_lock() {
    for one in "$lock" "$lock.taken"; do
        [ "$(readlink "$one" 2>/dev/null)" != "$mine" ] || rm -f "$one"
    done
}

# Whether the process of a lock is there, and is this script: numbers are used again.
is_alive() {
    case ${1%%:*} in
        '' | *[!0-9]*) return 1 ;;
    esac
    kill -0 "${1%%:*}" 2>/dev/null || return 1
    [ -r "/proc/${1%%:*}/cmdline" ] || return 0
    tr '\000' '\n' <"/proc/${1%%:*}/cmdline" | grep -q -- "${1#*:}\$"
}

# shellcheck disable=SC2317 # it is a trap
clean_up() {
    status=$?
    trap - EXIT
    # A signal can reach a child of bash before the child has put down the traps that it has from this shell.
    own=$(exec sh -c 'echo "$PPID"' 2>/dev/null)
    [ "${own:-$$}" = "$$" ] || exit "$status"
    ignore_signals
    [ -z "$echo_is_off" ] || stty echo
    # What runs in the background does not heed Ctrl-C.
    [ ! -s "$work/child" ] || ssh_pid="$ssh_pid $(cat "$work/child")"
    for one in $older $ssh_pid; do
        kill "$one" 2>/dev/null
    done
    [ -z "$agent_pid" ] || kill "$agent_pid" 2>/dev/null
    if [ -n "$work" ] && { [ -s "$work/journal" ] || [ -n "$stopped$marked" ]; }; then
        undo
    fi
    [ -z "$work" ] || rm -rf "$work"
    [ -z "$lock" ] || release_lock
    exit "$status"
}

say() {
    printf 'rproxy: %s\n' "$1" >&2
}

warn() {
    printf 'rproxy: %s\n' "$1" >&2
}

fail() {
    printf 'rproxy: %s\n' "$1" >&2
    exit 1
}

main "$@"
exit $?
