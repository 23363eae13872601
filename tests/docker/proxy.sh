#!/bin/sh
# The proxy's container: exports the CAs' public keys, signs keys of the containers that
# docker-compose.yml names, and serves.
#
#   proxy.sh          serves
#   proxy.sh healthy  whether the proxy serves
#
# It signs every key in the exchange that has a name that it knows. Do not use it for real hosts:
# getting-started.md and contrib/ansible are for those.

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

# Answers requests: a file NAME.pub becomes a file NAME-cert.pub.
sign() {
    for host in $HOSTS; do
        answer "$host" --host="$host,$host.example.com"
    done
    answer "$PERSON" --user="$PERSON" --logins="$LOGINS"
}

answer() {
    request=$exchange/$1.pub
    [ -f "$request" ] || return 0
    # To sign it again by hand, as the README does.
    cp "$request" "$HOME/$1.pub"
    # The requesting container waits for the certificate, so the error is reported here.
    rproxy auth sign "$2" ${3+"$3"} --public-key="$request" --out="$exchange/$1" --overwrite >/dev/null ||
        echo "proxy.sh: no certificate for $1" >&2
    rm -f "$request"
}

main "$@"
