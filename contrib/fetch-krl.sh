#!/bin/sh
# Keeps a host's list of revoked keys and certificates up to date: for cron, or a timer.
#
#   fetch-krl.sh URL FILE [CURL OPTION..]
#   */5 * * * * root fetch-krl.sh https://proxy.example.com:3080/webapi/auth/krl /etc/ssh/rproxy_revoked_keys
#
# FILE is the file that RevokedKeys of sshd_config names; sshd reads it again at every login. The
# script replaces it in one step, and only by a list that ssh-keygen can read and that is not older:
# an sshd with a broken list refuses every login. If the script fails, it keeps FILE and exits with 1.
#
# It needs a POSIX shell, curl, od and ssh-keygen, nothing of rproxy's.

set -eu

# The proxy makes no larger list.
max_bytes=67108864

main() {
    [ $# -ge 2 ] || fail "usage: fetch-krl.sh URL FILE [CURL OPTION..]"
    url=$1
    file=$2
    shift 2
    case $file in
        */*) directory=${file%/*} ;;
        *) directory=. ;;
    esac
    # In the same directory, so that the last step is a rename.
    work=$(mktemp -d "${directory:-/}/.fetch-krl.XXXXXX") || fail "cannot write to ${directory:-/}"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM

    status=$(fetch "$@") || fail "cannot fetch $url"
    case $status in
        200) ;;
        304) exit 0 ;;
        *) fail "$url answers with status $status" ;;
    esac
    check
    chmod 644 "$work/krl"
    mv -f "$work/krl" "$file"
    remember
}

# The status; the list is in $work/krl, if there is one.
fetch() {
    tag=
    # A tag is valid only for the file that it came with.
    if [ -f "$file" ] && [ -f "$file.etag" ] &&
        [ -z "$(find "$file" -newer "$file.etag")" ]; then
        tag=$(cat "$file.etag")
    fi
    if [ -n "$tag" ]; then
        set -- "$@" --header "If-None-Match: $tag"
    fi
    curl --silent --show-error --max-time 60 --max-filesize "$max_bytes" \
        --dump-header "$work/headers" --output "$work/krl" --write-out '%{http_code}' \
        "$@" "$url"
}

# Whether the list may take the file's place.
check() {
    [ -s "$work/krl" ] || fail "$url gives an empty list"
    [ "$(wc -c <"$work/krl")" -le "$max_bytes" ] || fail "$url gives a list that is too large"
    # To look up a key, ssh-keygen reads the whole list. Versions before 8.6 cannot print a list.
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/key"
    ssh-keygen -Q -f "$work/krl" "$work/key.pub" >"$work/verdict" 2>&1 ||
        fail "$url gives no list that ssh-keygen can read: $(tail -n 1 "$work/verdict")"
    [ -s "$file" ] || return 0
    is_list "$file" || fail "$file is no revocation list of OpenSSH's; remove it first"
    # Versions have the same number of digits, so that they sort as numbers.
    if [ "$(printf '%s\n%s\n' "$(version "$file")" "$(version "$work/krl")" |
        LC_ALL=C sort | head -n 1)" != "$(version "$file")" ]; then
        fail "$url gives an older list than $file"
    fi
}

# PROTOCOL.krl: "SSHKRL\n\0", the format's version, then that of the list.
is_list() {
    [ "$(od -An -tx1 -N8 "$1" | tr -d ' \n')" = 5353484b524c0a00 ]
}

version() {
    od -An -tx1 -j12 -N8 "$1" | tr -d ' \n'
}

# Without a tag, the next run fetches the list again.
remember() {
    tr -d '\r' <"$work/headers" | sed -n 's/^[Ee][Tt][Aa][Gg]: *//p' | tail -n 1 >"$work/etag"
    mv -f "$work/etag" "$file.etag"
}

fail() {
    printf 'fetch-krl.sh: %s\n' "$1" >&2
    exit 1
}

main "$@"
