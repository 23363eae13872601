#!/usr/bin/env bash
# OpenSSH of another release, unpacked beside the system's with the libraries that it was built for:
#
#   tests/openssh.sh SUITE DIRECTORY [PACKAGE...]
#
# SUITE is one of Debian's (sid has the newest release). DIRECTORY then has `bin` with the programs, and
# `version`. More packages come along where they are named. What is there already stays as it is.
#
# For Debian and what has its packages. The packages come from where this machine has its own, are
# checked as apt-get checks them, and nothing of the system is touched.

set -euo pipefail

main() {
    local suite=$1 to=$2
    shift 2
    if [[ -f $to/version ]]; then
        return
    fi
    local program
    for program in apt-get dpkg-deb patchelf; do
        command -v "$program" >/dev/null || fail "$program is missing"
    done
    mkdir -p "$(dirname -- "$to")"
    work=$(mktemp -d "$to.XXXXXX")
    work=$(realpath -- "$work")
    trap 'rm -rf -- "$work"' EXIT
    to=$(realpath -m -- "$to")

    fetch "$suite" openssh-server openssh-client "$@"
    relocate "$to"
    rm -rf -- "${work:?}/apt" "$to"
    mv -- "$work/unpacked" "$to"
    "$to/bin/ssh" -V 2>&1 | sed 's/[ ,].*//' >"$to/version.new"
    mv -- "$to/version.new" "$to/version"
    echo "openssh.sh: $(<"$to/version") in $to"
}

# --- the packages ---------------------------------------------------------------------------------

# An apt of its own: another list of sources, and a machine that has nothing installed.
fetch() {
    local suite=$1 from keyring apt=$work/apt
    shift
    mkdir -p "$apt"/{lists,archives}/partial "$work/unpacked"
    : >"$apt/status"
    from=$(apt-get indextargets --format "\$(REPO_URI)" \
        'Identifier: Packages' 'Component: main' 'Origin: Debian' | head -n 1)
    [[ -n $from ]] || fail "this machine has no packages of Debian"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keyring] $from $suite main" >"$apt/sources.list"
    options=(
        -qq
        -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt" -o "Dir::Cache::Archives=$apt/archives"
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none
        -o Acquire::Retries=3 -o Acquire::http::Timeout=60
    )
    apt-get "${options[@]}" update
    # Of what the programs depend on, libraries are needed and no services.
    local packages
    packages=$(apt-get "${options[@]}" --print-uris -y --no-install-recommends install "$@" |
        awk '{ sub(/_.*/, "", $2); print $2 }' |
        grep -E "^(lib|zlib|openssh-)|^($(tr ' ' '|' <<<"$*"))\$")
    (
        cd -- "$apt"
        # shellcheck disable=SC2086 # one word for each package
        apt-get "${options[@]}" download $packages
    )
    local package
    for package in "$apt"/*.deb; do
        dpkg-deb -x "$package" "$work/unpacked"
    done
}

# --- in their place -------------------------------------------------------------------------------

# Gives the programs the loader and the libraries that came along, at the place where they are going to
# be, and puts them where one directory has them all.
relocate() {
    local to=$1 root=$work/unpacked file loader
    local libraries=$to/usr/lib/x86_64-linux-gnu:$to/lib/x86_64-linux-gnu
    libraries=${libraries//x86_64-linux-gnu/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)}
    # Suites before the merge of /usr have it below /lib.
    loader=$(cd -- "$root" && find . -name 'ld-linux*.so.?' -path '*lib*' | head -n 1)
    [[ -n $loader ]] || fail "there is no loader among the packages"
    mkdir -p "$root/bin"
    for file in "$root"/usr/{bin,sbin}/* "$root"/usr/lib/openssh/*; do
        if [[ ! -f $file || -L $file ]] || ! patchelf --print-interpreter "$file" >/dev/null 2>&1; then
            continue
        fi
        patchelf --set-interpreter "$to/${loader#./}" --force-rpath --set-rpath "$libraries" "$file"
        case $file in
        */usr/bin/sftp | */usr/bin/scp)
            # They have a name for ssh in them.
            printf '#!/bin/sh\nexec %q -S %q "$@"\n' "$to${file#"$root"}" "$to/bin/ssh" \
                >"$root/bin/${file##*/}"
            chmod 755 "$root/bin/${file##*/}"
            ;;
        *) ln -sf "$to${file#"$root"}" "$root/bin/${file##*/}" ;;
        esac
    done
}

fail() {
    printf 'openssh.sh: %s\n' "$*" >&2
    exit 1
}

main "$@"
