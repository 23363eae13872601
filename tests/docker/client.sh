#!/bin/sh
# A person's container: a key, a certificate for it, an agent that holds both, a configuration for
# ssh, and one session to each host, so that there is something to replay.
#
#   client.sh          sets all of it up, and keeps the agent
#   client.sh healthy  whether that is done
#
# The key is made here at the first start, and stays here. A certificate is good for 12 hours; every
# start asks for a new one.

set -eu

exchange=${EXCHANGE:-/exchange}
ssh=$HOME/.ssh
key=$ssh/id_ed25519
ready=$ssh/ready

main() {
    case ${1-} in
        healthy)
            [ -f "$ready" ]
            exit
            ;;
    esac
    mkdir -p "$ssh"
    chmod 700 "$ssh"
    rm -f "$ready" "$SSH_AUTH_SOCK"
    [ -f "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$PERSON" -f "$key"
    "$(dirname -- "$0")/ask.sh" "$PERSON" "$key"
    configure

    ssh-agent -D -a "$SSH_AUTH_SOCK" >/dev/null &
    agent=$!
    trap 'kill "$agent"' TERM INT
    until [ -S "$SSH_AUTH_SOCK" ]; do
        sleep "${POLL:-1}"
    done
    ssh-add -q "$key"
    for host in $HOSTS; do
        # With a terminal: without one, asciinema would have nothing to show.
        ssh -F "$ssh/config" -tt "$host" 'echo "recorded on $(uname -s)"' </dev/null
    done
    : >"$ready"
    wait "$agent"
}

# The block that `rproxy config` prints, and under which account.
configure() {
    {
        cat "$exchange/ssh_config"
        printf '\nHost *\n    User %s\n    BatchMode yes\n' "$LOGIN"
    } >"$ssh/config"
    chmod 600 "$ssh/config"
}

main "$@"
