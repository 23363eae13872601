#!/usr/bin/env bash
# A recorded session, from an empty machine: a throwaway cluster on loopback.
#
#   contrib/demo.sh          shows it, then leaves it running for you to try
#   contrib/demo.sh --once   shows it, then cleans up
#
# RPROXY_DEMO_PROGRAM names a program that is built already.
#
# Everything lives in one temporary directory and goes away with this script. Nothing of yours is
# read or changed: no ~/.ssh, no running sshd, no running agent.

set -euo pipefail

host=db1
marker="hello from the demo, $$"
password="a password for this demo"

# The processes that this script has started, and the directory that it has made.
pids=()
dir=

main() {
    local once=no
    case "${1-}" in
        --once) once=yes ;;
        '') ;;
        *) fail "usage: contrib/demo.sh [--once]" ;;
    esac
    cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    need_openssh
    rproxy=${RPROXY_DEMO_PROGRAM-}
    if [[ -z $rproxy ]]; then
        need_cargo
        say "Build rproxy: several minutes the first time, seconds from then on"
        # Without Node.js it has no pages in the browser, and says so.
        run web/build.sh || true
        run cargo build --locked
        rproxy="${CARGO_TARGET_DIR:-$PWD/target}/debug/rproxy"
    fi

    dir=$(mktemp -d /tmp/rproxy-demo.XXXXXX)
    start_host
    start_agent
    start_proxy
    sign_up
    record
    replay
    [[ $once == yes ]] || leave_running
}

# --- the parts ------------------------------------------------------------------------------------

start_host() {
    say "A stock sshd as the host $host: it trusts the user CA and shows a host certificate"
    write "$dir/auth.yaml" "cluster_name: demo.test
data_dir: $dir/data"
    run "$rproxy" --config "$dir/auth.yaml" auth init
    run_to "$dir/user_ca.pub" "$rproxy" --config "$dir/auth.yaml" auth export --type=user
    run "$rproxy" --config "$dir/auth.yaml" auth sign --host="$host" --out="$dir/host_key"

    if [[ $EUID -eq 0 ]]; then
        # root's sshd confines its unprivileged half there
        mkdir -p /run/sshd
    fi
    local attempt
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        host_port=$((20000 + (RANDOM + attempt) % 12000))
        write "$dir/sshd_config" "ListenAddress 127.0.0.1:$host_port
HostKey $dir/host_key
HostCertificate $dir/host_key-cert.pub
TrustedUserCAKeys $dir/user_ca.pub
AuthorizedKeysFile none
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM $(use_pam)
PidFile none
PrintMotd no
PrintLastLog no"
        run "$sshd" -t -f "$dir/sshd_config"
        start "$dir/sshd.log" "$sshd" -D -e -f "$dir/sshd_config"
        if wait_for "$dir/sshd.log" "Server listening on" "$last_pid"; then
            return
        fi
    done
    cat "$dir/sshd.log" >&2
    fail "sshd does not start"
}

start_agent() {
    say "You: a key, and an agent that holds it"
    run ssh-keygen -q -t ed25519 -N '' -C demo -f "$dir/id"
    start "$dir/agent.log" ssh-agent -D -a "$dir/agent"
    export SSH_AUTH_SOCK="$dir/agent"
    wait_for_agent
    run ssh-add -q "$dir/id"
}

start_proxy() {
    say "The proxy"
    write "$dir/rproxy.yaml" "cluster_name: demo.test
data_dir: $dir/data
auth_service:
  # a demo has no phone for one-time codes
  authentication: { type: local, second_factor: \"off\" }
proxy_service:
  listen_addr: 127.0.0.1:0
  public_addr: 127.0.0.1:3023
  # HTTPS, with a certificate that the proxy makes for itself
  web_listen_addr: 127.0.0.1:0
nodes:
  - { name: $host, addr: \"127.0.0.1:$host_port\", labels: { env: demo } }
roles:
  - { name: everywhere, allow: [{ nodes: [\"*\"] }] }"
    start "$dir/rproxy.log" "$rproxy" --config "$dir/rproxy.yaml" serve
    if ! wait_for "$dir/rproxy.log" "listening on 127.0.0.1:" "$last_pid"; then
        cat "$dir/rproxy.log" >&2
        fail "the proxy does not start"
    fi
    proxy_port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$dir/rproxy.log" | head -n 1)
    local found
    found=$(sed -n 's/.*the web is at \(https:[^ ]*\).*fingerprint="\{0,1\}\([0-9A-F:]*\).*/\1 \2/p' \
        "$dir/rproxy.log" | head -n 1)
    web=${found%% *}
    web_fingerprint=${found##* }
    [[ -n $web ]] || fail "the web is not served"
    # All that a client must trust: the host CA.
    run_to "$dir/known_hosts" "$rproxy" --config "$dir/rproxy.yaml" auth export --type=host

    # -F none: no configuration of yours gets in the way.
    trust=(-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$dir/known_hosts"
        -o GlobalKnownHostsFile=/dev/null)
    through="ssh ${trust[*]} -o ForwardAgent=yes -p $proxy_port %r@127.0.0.1 -s proxy:%h:%p"
    ssh=(ssh "${trust[@]}" -o ForwardAgent=yes -o ProxyCommand="$through")
}

# Once; from then on the proxy knows the key. The answers are typed by a program here.
sign_up() {
    say "You sign up with an invitation, and choose a password"
    run_to "$dir/invited" "$rproxy" --config "$dir/rproxy.yaml" users add demo --roles=everywhere \
        --logins="$login" --format=json
    local invitation
    invitation=$(sed -n 's/.*"invitation":"\([^"]*\)".*/\1/p' "$dir/invited")
    write "$dir/answers" "#!/bin/sh
case \$1 in
*invitation*) echo '$invitation' ;;
*) echo '$password' ;;
esac"
    chmod +x "$dir/answers"
    run env SSH_ASKPASS="$dir/answers" SSH_ASKPASS_REQUIRE=force \
        ssh "${trust[@]}" -p "$proxy_port" signup@127.0.0.1 status
}

record() {
    say "Plain ssh, through the proxy"
    run "${ssh[@]}" "$login@$host" "echo '$marker'"
}

replay() {
    say "What the proxy has recorded"
    run "$rproxy" --config "$dir/rproxy.yaml" recordings ls
    local id file
    file=$(find "$dir/data" -name '*.cast.zst' | sort | tail -n 1)
    id=$(basename "$file" .cast.zst)
    run_to "$dir/replay" "$rproxy" --config "$dir/rproxy.yaml" play "$id"
    cat "$dir/replay"
    grep -q -F -- "$marker" "$dir/replay" || fail "the replay does not show the marker"
}

leave_running() {
    # Two programs that know where everything is, so that one short line is enough.
    write_program "$dir/ssh" "SSH_AUTH_SOCK=$SSH_AUTH_SOCK" "${ssh[@]}" -l "$login"
    write_program "$dir/rproxy" "RPROXY_CONFIG=$dir/rproxy.yaml" "$rproxy"
    say "Your turn. In another terminal:"
    printf '\n    %s/ssh %s\n\n' "$dir" "$host"
    printf 'Then see what was recorded:\n\n    %s/rproxy play last\n\n' "$dir"
    printf 'In a browser:\n\n    %s\n\n' "$web"
    printf 'It does not know the certificate yet, whose SHA-256 is\n%s\n' "$web_fingerprint"
    printf 'Sign in as demo, with the password: %s\n\n' "$password"
    if ! users_own_terminals; then
        printf 'In this container sshd cannot give you a terminal, because /dev/pts is mounted without gid=:\n'
        printf 'add a command to the line, or run the demo as root.\n\n'
    fi
    if [[ -t 0 ]]; then
        read -r -p "Press Enter to stop it and clean up. " _ || true
    else
        echo "Ctrl-C stops it and cleans up."
        wait "$last_pid" || true
    fi
}

# A program that sets one variable and runs a command with what it is given.
write_program() {
    local file=$1 variable=$2
    shift 2
    {
        printf '#!/bin/sh\n%s exec' "$variable"
        words "$@"
        printf ' "$@"\n'
    } >"$file"
    chmod +x "$file"
}

# --- what must be there ---------------------------------------------------------------------------

need_openssh() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    local missing=()
    if command -v apt-get >/dev/null; then
        command -v sshd >/dev/null || missing+=(openssh-server)
        command -v ssh-agent >/dev/null || missing+=(openssh-client)
    else
        command -v sshd >/dev/null || missing+=(openssh-server)
        command -v ssh-agent >/dev/null || missing+=(openssh-clients)
    fi
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_packages "${missing[@]}"
    fi
    # sshd wants to be called by its whole path
    sshd=$(command -v sshd)
    login=$(id -un)
}

install_packages() {
    local as_root=()
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || fail "please install: $*"
        as_root=(sudo)
    fi
    echo "This machine lacks: $*"
    if [[ -t 0 ]]; then
        local answer
        read -r -p "Install it now? [Y/n] " answer
        [[ ${answer:-y} == [yY]* ]] || fail "please install: $*"
    fi
    if command -v apt-get >/dev/null; then
        run "${as_root[@]}" apt-get update
        run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    elif command -v dnf >/dev/null; then
        run "${as_root[@]}" dnf install -y "$@"
    else
        fail "please install: $*"
    fi
}

need_cargo() {
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    command -v cargo >/dev/null ||
        fail "cargo is missing: install a Rust toolchain, see https://rustup.rs"
    command -v cc >/dev/null ||
        fail "a C compiler is missing: install gcc"
}

# Without PAM sshd turns away users whose password is locked, as root's is on many machines.
use_pam() {
    if [[ $EUID -eq 0 ]] && grep -q '^root:!' /etc/shadow; then
        echo yes
    else
        echo no
    fi
}

# sshd wants to give terminals to the group tty; an ordinary user's can only find them there.
users_own_terminals() {
    [[ $EUID -eq 0 ]] || grep -q ' /dev/pts devpts .*gid=' /proc/mounts
}

# --- small things ---------------------------------------------------------------------------------

say() {
    printf '\n# %s\n' "$*"
}

fail() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# Shows a command, then runs it.
run() {
    show "$@"
    printf '\n'
    "$@"
}

# Shows a command with the file that its output goes to, then runs it.
run_to() {
    local file=$1
    shift
    show "$@"
    printf ' > %s\n' "$file"
    "$@" >"$file"
}

# Shows a command, then runs it in the background with its output in a log.
start() {
    local log=$1
    shift
    show "$@"
    printf ' &\n'
    "$@" >"$log" 2>&1 </dev/null &
    last_pid=$!
    pids+=("$last_pid")
}

show() {
    printf '$'
    words "$@"
}

# Words as one would type them.
words() {
    local word
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%,+-]+$ ]]; then
            printf ' %s' "$word"
        else
            printf " '%s'" "${word//\'/\'\\\'\'}"
        fi
    done
}

write() {
    printf '%s\n' "$2" >"$1"
}

# Waits until a log says something; fails when its process ends before.
wait_for() {
    local log=$1 text=$2 pid=$3 i
    for ((i = 0; i < 300; i++)); do
        if grep -q -F -- "$text" "$log"; then
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# Waits until the agent answers; an empty one answers with 1.
wait_for_agent() {
    local i status
    for ((i = 0; i < 300; i++)); do
        status=0
        ssh-add -l >/dev/null 2>&1 || status=$?
        if [[ $status -le 1 ]]; then
            return 0
        fi
        sleep 0.1
    done
    fail "ssh-agent does not start"
}

# Ends what this script has started, newest first, and removes its directory.
clean_up() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    if [[ -n $dir ]]; then
        rm -rf -- "$dir"
    fi
}

main "$@"
