#!/bin/sh
# A host's container: stock sshd with a certificate for its key, and the user CA trusted.
#
#   node.sh          serves
#   node.sh healthy  whether sshd listens
#
# The private key is made here at the first start, and stays here.

set -eu

exchange=${EXCHANGE:-/exchange}
etc=${SSH_ETC:-/etc/ssh}
key=$etc/ssh_host_rproxy_key

main() {
    case ${1-} in
        healthy)
            # Whether port 22 (0x16) listens (0A), as the kernel tells: sshd would log every connection.
            grep -qs '^ *[0-9]*: [0-9A-F]*:0016 [0-9A-F]*:0000 0A ' /proc/net/tcp /proc/net/tcp6
            exit
            ;;
    esac
    [ -f "$key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$key"
    "$(dirname -- "$0")/ask.sh" "$NAME" "$key"
    cp "$exchange/user_ca.pub" "$etc/rproxy_user_ca.pub"
    include
    # The three lines of the README.
    cat >"$etc/sshd_config.d/10-rproxy.conf" <<END
HostKey $key
HostCertificate $key-cert.pub
TrustedUserCAKeys $etc/rproxy_user_ca.pub
END
    # Where Debian's sshd confines its unprivileged half; the service makes it elsewhere.
    mkdir -p /run/sshd
    # sshd starts itself anew for each connection, and wants to be called by its whole path.
    sshd=$(command -v sshd)
    "$sshd" -t -f "$etc/sshd_config"
    exec "$sshd" -D -e -f "$etc/sshd_config"
}

# Distributions that read no directory of configurations are told to.
include() {
    mkdir -p "$etc/sshd_config.d"
    if ! grep -q '^Include .*/sshd_config\.d/' "$etc/sshd_config"; then
        printf 'Include %s/sshd_config.d/*.conf\n' "$etc" | cat - "$etc/sshd_config" >"$etc/.sshd_config"
        mv -f "$etc/.sshd_config" "$etc/sshd_config"
    fi
}

main "$@"
