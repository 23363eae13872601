#!/usr/bin/env bash
# OpenSSH of another release, unpacked beside the system's with the libraries that it was built for:
#
#   tests/openssh.sh SUITE DIRECTORY [PACKAGE...]
#
# SUITE is one of Debian's (sid has the newest release). DIRECTORY then has `bin` with the programs, and
# `version`. More packages come along where they are named. Or its security key in software, which its
# own tests use, built from Debian's copy of the source:
#
#   tests/openssh.sh --sk-dummy SUITE DIRECTORY
#
# DIRECTORY then has `sk-dummy.so`. Or a whole host, a small Debian with OpenSSH's server in it, which only
# root can unpack:
#
#   tests/openssh.sh --host SUITE DIRECTORY [PACKAGE...]
#
# What is there already stays as it is.
#
# For Debian and what has its packages. The packages come from where this machine has its own, are
# checked as apt-get checks them, and nothing of the system is touched. What was interrupted leaves
# nothing that counts as done: a directory takes its place when it is whole.

set -euo pipefail

main() {
    local what=programs suite to
    case $1 in
    --sk-dummy) what=sk_dummy ;;
    --host) what=host ;;
    esac
    if [[ $1 == --* ]]; then
        shift
    fi
    suite=$1 to=$2
    shift 2
    mkdir -p "$(dirname -- "$to")"
    to=$(realpath -m -- "$to")
    # One at a time, where several are started.
    exec 9<"$(dirname -- "$to")"
    flock 9
    # Of a run that was killed.
    rm -rf -- "$to".new.*
    work=$(mktemp -d "$to.new.XXXXXX")
    trap 'rm -rf -- "$work"' EXIT
    apt=$work/apt
    "$what" "$suite" "$to" "$@"
}

# The programs of a release.
programs() {
    local suite=$1 to=$2
    shift 2
    if [[ -f $to/version ]]; then
        return
    fi
    needs apt-get dpkg-deb patchelf
    fetch "$suite" openssh-server openssh-client "$@"
    relocate "$to"
    rm -rf -- "$to"
    mv -T -- "$work/unpacked" "$to"
    "$to/bin/ssh" -V 2>&1 | sed 's/[ ,].*//' >"$to/version.new"
    mv -- "$to/version.new" "$to/version"
    echo "openssh.sh: $(<"$to/version") in $to"
}

# regress/misc/sk-dummy of a release.
sk_dummy() {
    local suite=$1 to=$2
    if [[ -f $to/sk-dummy.so ]]; then
        return
    fi
    needs apt-get tar cc make
    sources "$suite" deb-src
    mkdir "$work/made"
    (
        cd -- "$work" &&
            apt-get "${options[@]}" source --download-only openssh &&
            mkdir source &&
            tar -xf openssh_*.orig.tar.gz --strip-components=1 -C source &&
            cd source &&
            ./configure --without-zlib --with-privsep-path="$work/made" &&
            make -s openbsd-compat/libopenbsd-compat.a &&
            make -s regress/misc/sk-dummy/sk-dummy.so &&
            mv regress/misc/sk-dummy/sk-dummy.so "$work/made"
    ) >"$work/log" 2>&1 || fail "sk-dummy cannot be built: $(tail -n 5 "$work/log")"
    rm -rf -- "$to"
    mv -T -- "$work/made" "$to"
    echo "openssh.sh: sk-dummy.so in $to"
}

# The root of a host.
host() {
    local suite=$1 to=$2 packages from
    shift 2
    packages=$(IFS=, && echo "openssh-server,openssh-client${*:+,$*}")
    if [[ -f $to/etc/ssh/sshd_config ]]; then
        return
    fi
    needs apt-get debootstrap
    [[ $EUID -eq 0 ]] || fail "only root can unpack a host"
    sources "$suite" deb
    from=$(sed 's/.*] \([^ ]*\) .*/\1/' "$apt/sources.list")
    debootstrap --variant=minbase --include="$packages" \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$suite" "$work/host" "$from" >"$work/log" 2>&1 ||
        fail "debootstrap cannot make a host of $suite: $(tail -n 5 "$work/log")"
    rm -rf -- "$work"/host/var/cache/apt/archives/*.deb "$work"/host/var/lib/apt/lists/*
    rm -rf -- "$to"
    mv -T -- "$work/host" "$to"
    echo "openssh.sh: a host of $suite in $to"
}

needs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing"
    done
}

# --- the packages ---------------------------------------------------------------------------------

# An apt of its own: another list of sources, and a machine that has nothing installed. A download that
# fails is tried again, and one that fails for good ends this.
sources() {
    local suite=$1 kind=$2 from keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$apt"/{lists,archives}/partial
    : >"$apt/status"
    local quiet=(
        -qq -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none
        -o Acquire::Retries=3 -o Acquire::http::Timeout=60 -o APT::Update::Error-Mode=any
    )
    from=$(archive)
    if [[ -z $from ]]; then
        # Its own lists were never fetched, as in a new container.
        mkdir -p "$apt/own/partial"
        local own=(-o "Dir::State::Lists=$apt/own" -o "Dir::Cache=$apt")
        apt-get "${quiet[@]}" "${own[@]}" update
        from=$(archive "${own[@]}")
    fi
    [[ -n $from ]] || fail "this machine has no packages of Debian"
    echo "$kind [signed-by=$keyring] $from $suite main" >"$apt/sources.list"
    options=(
        "${quiet[@]}"
        -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt" -o "Dir::Cache::Archives=$apt/archives"
    )
    apt-get "${options[@]}" update
}

# Where this machine has its packages from.
archive() {
    apt-get "$@" indextargets --format "\$(REPO_URI)" \
        'Identifier: Packages' 'Component: main' 'Origin: Debian' | sed -n 1p
}

fetch() {
    local suite=$1
    shift
    sources "$suite" deb
    mkdir -p "$work/unpacked"
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
    loader=$(cd -- "$root" && find . -name 'ld-linux*.so.?' -path '*lib*' -print -quit)
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
