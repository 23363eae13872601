#!/bin/sh
# Has the proxy of docker-compose.yml sign a key: ask.sh NAME KEY makes KEY-cert.pub from KEY.pub.
#
# The public key goes into the directory that all containers share; proxy.sh puts the certificate
# beside it.

set -eu

name=$1
key=$2
exchange=${EXCHANGE:-/exchange}

rm -f "$exchange/$name-cert.pub"
cp "$key.pub" "$exchange/.$name.pub"
mv -f "$exchange/.$name.pub" "$exchange/$name.pub"
until [ -f "$exchange/$name-cert.pub" ]; do
    sleep "${POLL:-1}"
done
cp "$exchange/$name-cert.pub" "$key-cert.pub"
