#!/usr/bin/env bash
# Everything that the tests need, then all of them.
#
# Works as root and as an ordinary user, on Debian, Ubuntu and Fedora with a Rust toolchain. What is
# missing is installed with apt-get or dnf when that is possible without a question; otherwise the
# package is named.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

asciinema_version=3.2.0

main() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin:$HOME/.cargo/bin
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
    packages "${programs[@]}"
    others
    command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain, see https://rustup.rs"
    player

    step cargo fmt --check
    if command -v shellcheck >/dev/null; then
        step shellcheck contrib/*.sh tests/*.sh tests/docker/*.sh .ci/run
    fi
    step cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" step cargo doc --locked --no-deps --document-private-items
    step contrib/demo.sh --once
    # Many tests wait for time limits: more of them run at once than there are processors.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))} step cargo test --locked --no-fail-fast
}

# --- what must be there ---------------------------------------------------------------------------

# program, Debian's package, Fedora's package
programs=(
    "cc gcc gcc"
    "sshd openssh-server openssh-server"
    "ssh openssh-client openssh-clients"
    "sftp openssh-client openssh-clients"
    "ssh-agent openssh-client openssh-clients"
    "ssh-keygen openssh-client openssh"
    "zstd zstd zstd"
    "vim vim vim-enhanced"
    "rsync rsync rsync"
    "git git git"
    "curl curl curl"
    "softhsm2-util softhsm2 softhsm"
    "pkcs11-tool opensc opensc"
    "openssl openssl openssl"
    "ip iproute2 iproute"
)

# Programs of others: their tests pass over them with a word where they are missing.
# RPROXY_TEST_INTEROP=all brings them all, and makes that a failure.
interop_programs=(
    "dbclient dropbear-bin dropbear"
    "busybox busybox busybox"
    "fish fish fish"
    "fusermount3 fuse3 fuse3"
    "lftp lftp lftp"
    "mandoc mandoc mandoc"
    "plink putty-tools putty"
    "rpmbuild rpm rpm-build"
    "shellcheck shellcheck ShellCheck"
    "sshfs sshfs fuse-sshfs"
    "tinysshd tinysshd tinysshd"
    "xauth xauth xorg-x11-xauth"
    "zsh zsh zsh"
)
modules=(ansible-core asyncssh paramiko)

others() {
    if [[ ${RPROXY_TEST_INTEROP-} != all ]]; then
        return
    fi
    packages "${interop_programs[@]}"
    if [[ ! -x target/tools/python/bin/ansible-playbook ]]; then
        step python3 -m venv target/tools/python
        step target/tools/python/bin/pip install --quiet "${modules[@]}"
    fi
}

packages() {
    local line program debian fedora missing=()
    for line in "$@"; do
        read -r program debian fedora <<<"$line"
        if command -v "$program" >/dev/null; then
            continue
        fi
        if command -v apt-get >/dev/null; then
            missing+=("$debian")
        else
            missing+=("$fedora")
        fi
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return
    fi
    echo "run.sh: this machine lacks: ${missing[*]}"
    local as_root=()
    if [[ $EUID -ne 0 ]]; then
        sudo -n true 2>/dev/null || fail "please install: ${missing[*]}"
        as_root=(sudo -n)
    fi
    if command -v apt-get >/dev/null; then
        step "${as_root[@]}" apt-get update
        step "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}"
    elif command -v dnf >/dev/null; then
        step "${as_root[@]}" dnf install -y "${missing[@]}"
    else
        fail "please install: ${missing[*]}"
    fi
}

# Stock asciinema 3 is what plays recordings without us; no distribution ships it yet.
player() {
    if [[ -n ${RPROXY_TEST_ASCIINEMA-} || -x target/tools/bin/asciinema ]]; then
        return
    fi
    if command -v asciinema >/dev/null && [[ $(asciinema --version) == "asciinema 3."* ]]; then
        RPROXY_TEST_ASCIINEMA=$(command -v asciinema)
        export RPROXY_TEST_ASCIINEMA
        return
    fi
    # unoptimised and without what debuggers want: it plays a few lines
    CARGO_PROFILE_DEV_DEBUG=0 step cargo install --quiet --debug --locked --version "$asciinema_version" \
        --root target/tools --target-dir target/tools/build asciinema
    rm -rf target/tools/build
}

# --- small things ---------------------------------------------------------------------------------

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

fail() {
    printf 'run.sh: %s\n' "$*" >&2
    exit 1
}

main "$@"
