#!/usr/bin/env bash
# Many nodes that join, report once a minute and keep a tunnel open: what one costs the proxy, and how
# long all of them need to come back when the proxy was restarted.
#
#   benches/tunnels.sh --rproxy=target/release/rproxy [--nodes=300] [--sessions=20]
#
# The nodes are real `ssh` clients, with a host key each; one real sshd stands for all of their hosts, and
# has the host certificate of the first node. Everything is on loopback and in one temporary directory,
# and ends with this script, after ten minutes at the latest.

set -euo pipefail

nodes=300
sessions=20
rproxy=target/release/rproxy
# A node waits up to so many seconds before it opens its tunnel again: what the unit of the script does.
spread=15
limit=600

pids=()
dir=

main() {
    local option
    for option in "$@"; do
        case $option in
            --nodes=*) nodes=${option#*=} ;;
            --sessions=*) sessions=${option#*=} ;;
            --rproxy=*) rproxy=${option#*=} ;;
            *) fail "usage: benches/tunnels.sh [--rproxy=FILE] [--nodes=N] [--sessions=N]" ;;
        esac
    done
    [[ -x $rproxy ]] || fail "no program at $rproxy: cargo build --release, or name one with --rproxy"
    rproxy=$(realpath "$rproxy")
    dir=$(mktemp -d /tmp/rproxy-tunnels.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    (trap "kill \$! 2>/dev/null" TERM; sleep "$limit" & wait && kill -TERM $$ 2>/dev/null) &
    pids+=($!)

    configure
    start_proxy
    local empty idle
    empty=$(proxy_memory)
    join_all
    start_sshd
    open_tunnels
    wait_for_tunnels "all tunnels are open"
    sleep 5
    idle=$(proxy_memory)
    printf 'memory of the proxy: %s KiB without nodes, %s KiB with %s tunnels: %s KiB for each\n' \
        "$empty" "$idle" "$nodes" "$(((idle - empty) / nodes))"
    idle_for_a_minute
    beat_for_a_minute
    through_a_tunnel
    restart
}

configure() {
    local port
    port=$(free_port)
    proxy_port=$port
    sshd_port=$(free_port)
    cat >"$dir/rproxy.yaml" <<EOF
cluster_name: bench.test
data_dir: $dir/data
proxy_service:
  listen_addr: 127.0.0.1:$proxy_port
  public_addr: 127.0.0.1:$proxy_port
  max_connections_per_address: $((nodes * 2 + 100))
  max_connections: $((nodes * 3 + 200))
  max_starting: 400
EOF
}

start_proxy() {
    "$rproxy" --config "$dir/rproxy.yaml" serve >>"$dir/proxy.log" 2>&1 &
    proxy=$!
    pids+=("$proxy")
    wait_until "the proxy listens" 30 listens
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$proxy_port") 2>/dev/null
}

# Resident memory of all processes of the proxy, pages that they share divided among them.
proxy_memory() {
    local pid sum=0 kib
    for pid in "$proxy" $(pgrep -P "$proxy"); do
        kib=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")
        sum=$((sum + kib))
    done
    printf '%s\n' "$sum"
}

# Processor time of all processes of the proxy, in ticks of 10 ms.
proxy_ticks() {
    local pid sum=0 ticks
    for pid in "$proxy" $(pgrep -P "$proxy"); do
        ticks=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
        sum=$((sum + ticks))
    done
    printf '%s\n' "$sum"
}

join_all() {
    local token began number
    token=$("$rproxy" --config "$dir/rproxy.yaml" tokens add --type=node --tunnel=required \
        --uses="$nodes" --ttl=1h --format json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
    "$rproxy" --config "$dir/rproxy.yaml" auth export --type=host >"$dir/known_hosts"
    mkdir "$dir/keys"
    for ((number = 1; number <= nodes; number++)); do
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/keys/n$number"
    done
    began=$(now)
    for ((number = 1; number <= nodes; number++)); do
        report "n$number" "$token" | join "n$number" join >"$dir/keys/n$number.answer" ||
            fail "n$number cannot join: see $dir/proxy.log"
    done
    printf '%s nodes have joined, one after the other, in %s s\n' "$nodes" "$(since "$began")"
}

report() {
    printf 'rproxy-report 1\n'
    if [[ -n ${2-} ]]; then
        printf 'token %s\nname %s\n' "$2" "$1"
    fi
    printf 'port %s\nsshd OpenSSH\nuptime 60\nclock %s\ntunnel yes\nend\n' "$sshd_port" "$(date +%s)"
}

# ssh to the proxy as a node: name, then arguments for ssh.
join() {
    local name=$1
    shift
    ssh -F none -i "$dir/keys/$name" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
        -o UserKnownHostsFile="$dir/known_hosts" -o GlobalKnownHostsFile=/dev/null \
        -o ServerAliveInterval=15 -o ExitOnForwardFailure=yes -o LogLevel=ERROR \
        -p "$proxy_port" join@127.0.0.1 "$@"
}

start_sshd() {
    sed -n 's/^certificate //p' "$dir/keys/n1.answer" >"$dir/keys/n1-cert.pub"
    sed -n 's/^user-ca //p' "$dir/keys/n1.answer" >"$dir/user_ca.pub"
    cat >"$dir/sshd_config" <<EOF
ListenAddress 127.0.0.1
Port $sshd_port
HostKey $dir/keys/n1
HostCertificate $dir/keys/n1-cert.pub
TrustedUserCAKeys $dir/user_ca.pub
PidFile $dir/sshd.pid
StrictModes no
UsePAM no
MaxStartups 100
EOF
    # Privilege separation has a directory that Debian makes at boot.
    [[ $EUID -ne 0 ]] || mkdir -p /run/sshd
    "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$dir/sshd_config" >"$dir/sshd.log" 2>&1 &
    pids+=($!)
}

open_tunnels() {
    local number
    for ((number = 1; number <= nodes; number++)); do
        keep_tunnel "n$number" &
        pids+=($!)
    done
}

# What the unit of the script does: again and again, after a pause that differs.
keep_tunnel() {
    local client
    trap 'kill "$client" 2>/dev/null; exit 0' TERM
    while :; do
        join "$1" -N -R "22:127.0.0.1:$sshd_port" </dev/null >/dev/null 2>&1 &
        client=$!
        wait "$client" || true
        sleep "$((1 + RANDOM % spread))" &
        client=$!
        wait "$client" || true
    done
}

open_count() {
    "$rproxy" --config "$dir/rproxy.yaml" nodes ls --format json | grep -o '"tunnel": *"open"' | wc -l
}

all_open() {
    [[ $(open_count) -ge $nodes ]]
}

wait_for_tunnels() {
    local began
    began=$(now)
    wait_until "$1" 120 all_open
    printf '%s after %s s\n' "$1" "$(since "$began")"
}

# A minute in which nothing happens but what keeps the connections alive.
idle_for_a_minute() {
    local before
    before=$(proxy_ticks)
    sleep 60
    printf 'processor time of the proxy in a minute with %s idle tunnels: %s0 ms\n' \
        "$nodes" "$(($(proxy_ticks) - before))"
}

# A minute in which each node reports once, as its timer does.
beat_for_a_minute() {
    local before number began
    before=$(proxy_ticks)
    began=$(now)
    for ((number = 1; number <= nodes; number++)); do
        report "n$number" | join "n$number" heartbeat >/dev/null 2>&1 &
        sleep "$(awk -v n="$nodes" 'BEGIN { print 50 / n }')"
    done
    while [[ $(since "$began" | cut -d. -f1) -lt 60 ]]; do sleep 1; done
    printf 'processor time of the proxy in a minute with %s tunnels and %s heartbeats: %s0 ms\n' \
        "$nodes" "$nodes" "$(($(proxy_ticks) - before))"
}

user() {
    ssh -F none -o ForwardAgent=yes -o BatchMode=yes -o UserKnownHostsFile="$dir/known_hosts" \
        -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR -i "$dir/alice" \
        -o ProxyCommand="ssh -F none -o ForwardAgent=yes -o BatchMode=yes -i $dir/alice -o LogLevel=ERROR \
            -o UserKnownHostsFile=$dir/known_hosts -p $proxy_port %r@127.0.0.1 -s proxy:%h:%p" \
        "$(id -un)@n1" "$@"
}

# Sessions that stay open, some at a time, and one after the other.
through_a_tunnel() {
    local number began
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/alice"
    run "$rproxy" --config "$dir/rproxy.yaml" auth sign --user=alice --logins="$(id -un)" --ttl=1h \
        --public-key="$dir/alice.pub"
    eval "$(ssh-agent -s)" >/dev/null
    pids+=("$SSH_AGENT_PID")
    ssh-add -q "$dir/alice"
    began=$(now)
    for ((number = 1; number <= sessions; number++)); do
        user true || fail "a session through a tunnel failed"
    done
    printf '%s sessions through a tunnel, one after the other, in %s s\n' "$sessions" "$(since "$began")"
}

restart() {
    local began
    kill -TERM "$proxy"
    wait "$proxy" || true
    [[ $(open_count) -eq 0 ]] || fail "tunnels are listed as open without a proxy"
    began=$(now)
    start_proxy
    wait_until "all tunnels are back" 120 all_open
    printf 'after a restart of the proxy, all %s tunnels are back after %s s\n' "$nodes" "$(since "$began")"
    user true || fail "no session after the restart"
}

# --- small things ---------------------------------------------------------------------------------

now() {
    date +%s.%N
}

since() {
    awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_until() {
    local what=$1 seconds=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@"; do
        [[ $SECONDS -lt $end ]] || fail "$what: not within $seconds s; see $dir/proxy.log"
        sleep 0.2
    done
}

run() {
    "$@" >>"$dir/commands.log" 2>&1 || fail "failed: $*; see $dir/commands.log"
}

clean_up() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [[ -z ${failed-} ]]; then
        rm -rf "$dir"
    fi
}

fail() {
    printf 'tunnels.sh: %s\n' "$*" >&2
    failed=yes
    exit 1
}

main "$@"
