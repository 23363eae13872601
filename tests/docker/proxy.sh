#!/bin/sh
# The proxy's container: hands out what is public of the CAs, signs for those that
# docker-compose.yml names, and serves.
#
#   proxy.sh          serves
#   proxy.sh healthy  whether the proxy serves
#
# It signs whatever lies in the exchange under a name that it knows, as nobody should who has hosts
# that matter: getting-started.md and contrib/ansible are for those.

set -eu

exchange=${EXCHANGE:-/exchange}

main() {
    case ${1-} in
        healthy)
            # It answers on its control socket, and logs nothing about it.
            rproxy sessions ls >/dev/null 2>&1
            exit
            ;;
    esac
    rproxy serve --check
    rproxy auth init >/dev/null
    publish user_ca.pub auth export --type=user
    publish known_hosts auth export --type=host
    publish ssh_config config
    while :; do
        sign
        sleep "${POLL:-1}"
    done &
    exec rproxy serve
}

# What `rproxy ARGUMENT..` prints, as a whole or not at all.
publish() {
    name=$1
    shift
    rproxy "$@" >"$exchange/.$name"
    mv -f "$exchange/.$name" "$exchange/$name"
}

# Answers those who ask: a file NAME.pub becomes a file NAME-cert.pub.
sign() {
    for host in $HOSTS; do
        answer "$host" --host="$host,$host.example.com"
    done
    answer "$PERSON" --user="$PERSON" --logins="$LOGINS"
}

answer() {
    request=$exchange/$1.pub
    [ -f "$request" ] || return 0
    # For whoever signs it again by hand, as the README does.
    cp "$request" "$HOME/$1.pub"
    # The one that asks waits for the certificate: it says what is wrong in its stead.
    rproxy auth sign "$2" ${3+"$3"} --public-key="$request" --out="$exchange/$1" --overwrite >/dev/null ||
        echo "proxy.sh: no certificate for $1" >&2
    rm -f "$request"
}

main "$@"
